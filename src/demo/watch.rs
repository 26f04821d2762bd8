//! What happens, told as short timed lines: from the node's own live stream, and from the callers.

use std::{
    collections::HashSet,
    io::IsTerminal,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use super::{
    client::Client,
    ua::caller::{Kind, Notice, Stage},
};

/// How long live calls that were ended together are counted before it is told.
const GATHER: Duration = Duration::from_millis(400);

/// Tells things to people: on standard output, or on standard error where that belongs to the JSON.
pub struct Teller {
    start: Instant,
    to_stderr: bool,
    bar: ProgressBar,
}

impl Teller {
    pub fn new(start: Instant, to_stderr: bool, seconds: u32) -> Teller {
        let target = if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(u64::from(seconds) * 10), target);
        if let Ok(style) = ProgressStyle::with_template("{elapsed_precise} {bar:30} {msg}") {
            bar.set_style(style);
        }
        Teller { start, to_stderr, bar }
    }

    pub fn line(&self, text: &str) {
        self.bar.suspend(|| if self.to_stderr { eprintln!("{text}") } else { println!("{text}") });
    }

    /// A line with the time of the play before it.
    pub fn timed(&self, at: Instant, text: &str) {
        let s = at.saturating_duration_since(self.start).as_secs();
        self.line(&format!("{:02}:{:02} {text}", s / 60, s % 60));
    }

    pub fn progress(&self, stage: &Stage) {
        self.bar.set_position((self.start.elapsed().as_millis() / 100) as u64);
        self.bar.set_message(counts(stage));
    }

    pub fn is_live(&self) -> bool {
        !self.bar.is_hidden()
    }

    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// How far the play is, in a few words.
pub fn counts(stage: &Stage) -> String {
    use std::sync::atomic::Ordering::Relaxed;
    let (done, placed) = (stage.done.load(Relaxed), stage.placed.load(Relaxed));
    format!("{placed} calls, {} answered, {} up", stage.answered.load(Relaxed), placed.saturating_sub(done))
}

/// Listens to the stream and the callers, and keeps the few things that are told once.
pub struct Watch {
    stream: Receiver<(Instant, String, Value)>,
    notices: Receiver<Notice>,
    told: HashSet<&'static str>,
    /// Fraudulent calls cut off, when the first of them was.
    cut_off: Option<(Instant, u32)>,
}

impl Watch {
    pub fn start(client: Client) -> anyhow::Result<(Watch, Sender<Notice>)> {
        let (tell, stream) = channel();
        // The stream ends when the node stops; nobody waits for this thread.
        thread::Builder::new().name("demo-watch".to_owned()).spawn(move || {
            let end = client.stream(|name, data| {
                if matches!(name, "alert" | "block" | "unblock") {
                    let _ = tell.send((Instant::now(), name.to_owned(), data));
                }
            });
            if let Err(error) = end {
                tracing::debug!(%error, "the demo's live stream");
            }
        })?;
        let (sender, notices) = channel();
        Ok((Watch { stream, notices, told: HashSet::new(), cut_off: None }, sender))
    }

    fn once(&mut self, what: &'static str) -> bool {
        self.told.insert(what)
    }

    /// Tells what has happened since the last time.
    pub fn tell(&mut self, teller: &Teller) {
        while let Ok(notice) = self.notices.try_recv() {
            match notice {
                Notice::Answered(Kind::Fraud, at) if self.once("answer") => teller.timed(at, "ATTACK first fraudulent call is answered"),
                Notice::Failed(Kind::Fraud, code, at) if self.once("refused") => teller.timed(at, &format!("REFUSED first fraudulent INVITE: {code}")),
                Notice::CutOff(Kind::Fraud, at) => self.cut_off.get_or_insert((at, 0)).1 += 1,
                Notice::Answered(Kind::Emergency, at) => teller.timed(at, "EMERGENCY call to 999 from the attacked trunk goes through"),
                Notice::Failed(Kind::Emergency, code, at) => teller.timed(at, &format!("EMERGENCY call to 999 FAILED: {code}")),
                Notice::Answered(..) | Notice::Failed(..) | Notice::CutOff(..) => {}
            }
        }
        while let Ok((at, name, data)) = self.stream.try_recv() {
            teller.timed(at, &words(&name, &data));
        }
        if let Some((at, calls)) = self.cut_off.filter(|(at, _)| at.elapsed() > GATHER) {
            teller.timed(at, &format!("ENDED {calls} live fraudulent calls"));
            self.cut_off = None;
        }
    }
}

fn words(name: &str, data: &Value) -> String {
    let text = |key: &str| data[key].as_str().unwrap_or_default().to_owned();
    match name {
        "alert" => format!("ALERT {}: {}", text("severity"), text("explanation")),
        "block" => {
            let scope: Vec<String> = data["scope"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(k, v)| v.as_str().map_or_else(|| k.replace('_', " "), |v| format!("{k} {v}")))
                .collect();
            format!("BLOCK {} until {} UTC", scope.join(", "), text("expires_ts").get(11..19).unwrap_or("?"))
        }
        _ => format!("UNBLOCK {}", text("lift_reason")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn blocks_and_alerts_are_told_in_words() {
        let block = json!({"scope": {"account": "office", "high_risk": true}, "expires_ts": "2026-11-22T01:02:03.000000Z"});
        assert_eq!(super::words("block", &block), "BLOCK account office, high risk until 01:02:03 UTC");
        let alert = json!({"severity": "critical", "explanation": "office to Somalia: 6 calls at once"});
        assert_eq!(super::words("alert", &alert), "ALERT critical: office to Somalia: 6 calls at once");
    }
}
