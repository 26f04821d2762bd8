//! CDRs as the API gives them, and what they must say.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Node, ms, wait_for};

/// The goal is one second after the end; asserted far above it.
const QUERYABLE: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
pub struct Cdr(pub Value);

impl Cdr {
    pub fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_else(|| panic!("{name} is {} in {self:?}", self.0[name]))
    }

    pub fn int(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or_else(|| panic!("{name} is {} in {self:?}", self.0[name]))
    }

    pub fn has(&self, name: &str) -> bool {
        !self.0[name].is_null()
    }

    /// A time column in microseconds of its UTC day: enough to compare times of one call.
    pub fn us(&self, name: &str) -> i64 {
        let text = self.text(name);
        let clock = text.split_once('T').expect(text).1.trim_end_matches('Z');
        let (hms, micros) = clock.split_once('.').expect(text);
        let parts: Vec<i64> = hms.split(':').map(|p| p.parse().expect(text)).collect();
        (parts[0] * 3600 + parts[1] * 60 + parts[2]) * 1_000_000 + micros.parse::<i64>().expect(text)
    }

    /// `first` is not after `then`, where both are known.
    pub fn in_order(&self, names: &[&str]) {
        let known: Vec<_> = names.iter().filter(|n| self.has(n)).map(|n| (*n, self.us(n))).collect();
        assert!(known.windows(2).all(|w| w[0].1 <= w[1].1), "times are out of order: {known:?}");
    }

    /// `duration_ms` is what the two sides saw, give or take what a loaded machine of two cores needs.
    pub fn lasted(&self, seen: Duration, column: &str) {
        let got = Duration::from_millis(self.int(column));
        let off = got.abs_diff(seen);
        assert!(off < ms(400), "{column} is {got:?}, and {seen:?} was seen");
    }
}

/// Every field of `want` is so in the CDR.
#[track_caller]
pub fn check(cdr: &Cdr, want: &Value) {
    for (name, value) in want.as_object().expect("an object") {
        assert_eq!(&cdr.0[name], value, "{name} of the {} record\n{:#}", cdr.0["record_type"], cdr.0);
    }
}

/// Money in millionths, as columns show it.
pub fn money(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    format!("{sign}{}.{:06}", micros.abs() / 1_000_000, micros.abs() % 1_000_000)
}

/// A money column in millionths.
pub fn micros(cdr: &Cdr, name: &str) -> i64 {
    let text = cdr.text(name);
    let (whole, part) = text.split_once('.').expect(text);
    let value = whole.trim_start_matches('-').parse::<i64>().expect(text) * 1_000_000 + part.parse::<i64>().expect(text);
    if text.starts_with('-') { -value } else { value }
}

/// Charge by the second for a duration: `per_minute` millionths a minute, a started second counts (1/1), half up.
pub fn per_second(per_minute: i64, duration_ms: u64) -> i64 {
    let seconds = duration_ms.div_ceil(1000) as i64;
    (per_minute * seconds * 2 + 60) / 120
}

impl Node {
    pub fn finals(&self, call_id: &str) -> Vec<Cdr> {
        self.api.items(&format!("/v1/cdrs?sip_call_id_in={}", escape(call_id))).into_iter().map(Cdr).collect()
    }

    pub fn attempts(&self, call_id: &str) -> Vec<Cdr> {
        let mut all: Vec<_> =
            self.api.items(&format!("/v1/cdrs?record_type=attempt&sip_call_id_in={}", escape(call_id))).into_iter().map(Cdr).collect();
        all.sort_by_key(|c| c.int("attempt_no"));
        all
    }

    /// The one final CDR of a call that ended just now, and one CDR for each carrier tried, in their order. Prints how
    /// long after `ended` they could be asked for.
    #[track_caller]
    pub fn cdrs(&self, call_id: &str, ended: Instant) -> (Cdr, Vec<Cdr>) {
        wait_for("the call's final CDR", QUERYABLE, || self.finals(call_id).into_iter().next());
        println!("final CDR queryable {:?} after the end", ended.elapsed());
        // A second one would be on its way.
        std::thread::sleep(ms(300));
        self.cdrs_at_once(call_id, ended)
    }

    /// The same without waiting for what should not come: for the many calls of one case.
    #[track_caller]
    pub fn cdrs_at_once(&self, call_id: &str, ended: Instant) -> (Cdr, Vec<Cdr>) {
        let first = wait_for("the call's final CDR", QUERYABLE.saturating_sub(ended.elapsed()).max(ms(500)), || self.finals(call_id).into_iter().next());
        let tried = first.int("attempts_total") as usize;
        let attempts = wait_for("the attempts' CDRs", QUERYABLE, || Some(self.attempts(call_id)).filter(|a| a.len() >= tried));
        assert_eq!(self.finals(call_id).len(), 1, "final CDRs of {call_id}");
        assert_eq!(attempts.len(), tried, "attempt CDRs of {call_id}");
        for (n, attempt) in attempts.iter().enumerate() {
            assert_eq!(attempt.int("attempt_no") as usize, n + 1);
            assert_eq!(attempt.0["call_uuid"], first.0["call_uuid"]);
            attempt.in_order(&["invite_ts", "first_100_ts", "first_18x_ts", "answer_ts", "end_ts"]);
        }
        first.in_order(&["invite_ts", "first_100_ts", "first_18x_ts", "answer_ts", "end_ts"]);
        first.in_order(&["answer_ts", "ack_ts"]);
        (first, attempts)
    }

    /// The id of a live call by its number, as soon as the API shows it in `state`.
    pub fn live(&self, b_number: &str, state: &str) -> String {
        wait_for(&format!("a call to {b_number} that is {state}"), QUERYABLE, || {
            let calls = self.api.items("/v1/calls");
            let call = calls.iter().find(|c| c["b_number"] == b_number && c["state"] == state)?;
            Some(call["call_uuid"].as_str()?.to_owned())
        })
    }

    /// No call is up.
    pub fn is_idle(&self) {
        wait_for("no call is up", QUERYABLE, || self.api.items("/v1/calls").is_empty().then_some(()));
    }
}

fn escape(text: &str) -> String {
    text.bytes().map(|b| if b.is_ascii_alphanumeric() || b"-._~".contains(&b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
