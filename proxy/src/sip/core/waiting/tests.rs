//! What a call that waits for its number looks like from outside, on a fake clock.

use std::sync::{Arc, Mutex};

use tollgate_schemas::{
    event::Body,
    number::E164,
    parties::Place,
    portability::{Asker, Dip, DipAnswer, DipError, Named, NumberSource, Ported},
    v1::{CallFacts, CallRefused},
};

use super::super::tests::{CALLER, CARRIERS, World, now};
use crate::admission::{Answers, Awaits, NodeState, PortabilitySource};

/// Says of every number that it is being asked, and notes for whom.
#[derive(Default)]
struct Slow(Mutex<Vec<(String, Option<Asker>)>>);

impl NumberSource for Slow {
    fn lookup(&self, number: &E164, asker: Option<Asker>, _now_us: i64) -> DipAnswer {
        self.0.lock().expect("a lock").push((number.digits().to_owned(), asker));
        Err(DipError::Pending(300))
    }
}

impl NumberSource<Named> for Slow {
    fn lookup(&self, number: &E164, asker: Option<Asker>, _now_us: i64) -> DipAnswer<Named> {
        self.0.lock().expect("a lock").push((format!("name of {}", number.digits()), asker));
        Err(DipError::Pending(300))
    }
}

struct Case {
    w: World,
    slow: Arc<Slow>,
}

fn number(digits: &str) -> E164 {
    E164::parse(digits).expect("a number of the test")
}

fn ported() -> DipAnswer {
    Ok(Dip { found: Ported { lrn: Some(number("12015550000")), place: Place { state: "NJ".into(), ..Place::default() } }, cached: false, took_ms: 9 })
}

impl Case {
    fn new() -> Case {
        let mut w = World::new();
        let slow = Arc::new(Slow::default());
        w.core.gate().admission.portability = PortabilitySource::new(slow.clone());
        w.core.set_shard(3);
        Case { w, slow }
    }

    fn send(&mut self, method: &str, call: u32, to: &str) {
        let text = format!(
            "{method} sip:{to}@10.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bKw{call}\nFrom: <sip:12125550199@10.0.0.9>;tag=f{call}\nTo: <sip:{to}@10.0.0.1>\nCall-ID: wait-{call}\nCSeq: 1 {method}\nContact: <sip:u@10.0.0.9:5060>\nMax-Forwards: 70\nContent-Length: 0\n\n"
        );
        self.w.from(CALLER, &text);
    }

    fn tell(&mut self, to: &str, answer: DipAnswer) {
        let at = now(self.w.now_ms);
        self.w.core.number_known(&number(to), answer, at);
        self.w.settle();
    }

    /// Of every attempted call: LRN, how it is known, milliseconds waited.
    fn known(&self) -> Vec<(String, String, u32)> {
        let facts = |b: &Body| match b {
            Body::CallAttempted(a) => a.facts.clone(),
            _ => None,
        };
        self.w.events.iter().filter_map(|(_, b)| facts(b)).map(|f: CallFacts| (f.lrn, f.lrn_source, f.lrn_dip_ms)).collect()
    }

    fn refused(&self) -> Vec<String> {
        let reason = |b: &Body| match b {
            Body::CallRefused(CallRefused { reason, .. }) => Some(reason.clone()),
            _ => None,
        };
        self.w.events.iter().filter_map(|(_, b)| reason(b)).collect()
    }

    /// Nothing is left of any that waited.
    fn nothing_waits(&self) {
        assert!(self.w.core.waiting.is_empty() && self.w.core.waiting_for.is_empty() && self.w.core.waiting_names.is_empty());
    }

    /// As `new`, on a trunk whose callers' names are asked for.
    fn named() -> Case {
        let mut c = Case::new();
        c.w.ask_names();
        c.w.core.gate().admission.caller_names = PortabilitySource::new(c.slow.clone());
        c
    }

    fn tell_name(&mut self, name: &str) {
        let at = now(self.w.now_ms);
        self.w.core.name_known(&number("12125550199"), Ok(Dip { found: Named(name.into()), cached: false, took_ms: 7 }), at);
        self.w.settle();
    }

    /// Of every attempted call: how its LRN and its caller's name are known, and for how long it waited for the name.
    fn sources(&self) -> Vec<(String, String, u32)> {
        let facts = |b: &Body| match b {
            Body::CallAttempted(a) => a.facts.clone(),
            _ => None,
        };
        self.w.events.iter().filter_map(|(_, b)| facts(b)).map(|f: CallFacts| (f.lrn_source, f.cnam_source, f.cnam_dip_ms)).collect()
    }
}

#[test]
fn r_29_both_look_ups_are_asked_for_at_once_and_a_call_waits_for_the_later_one() {
    let mut c = Case::named();
    c.send("INVITE", 1, "12125550100");
    assert_eq!(c.slow.0.lock().expect("a lock").as_slice(), [("12125550100".to_owned(), Some(3)), ("name of 12125550199".to_owned(), Some(3))]);
    c.w.pass(50);
    c.tell_name("ACME LTD");
    assert!(c.w.names().is_empty(), "the number is not known yet");
    c.w.pass(70);
    c.tell("12125550100", ported());
    assert_eq!(c.sources(), [("dip".to_owned(), "dip".to_owned(), 120)]);
    assert_eq!(c.slow.0.lock().expect("a lock").len(), 2, "neither is asked for again");
    let sent = c.w.take(CARRIERS[0]).remove(0);
    assert!(sent.contains("From: \"ACME LTD\" <sip:12125550199@10.0.0.9>;tag=f1\r\n"), "{sent}");
    // The carrier says so back, the caller hears what it wrote itself.
    let via = sent.lines().find(|l| l.starts_with("Via:")).expect("our Via");
    let below = "Via: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bKw1";
    let ringing = format!("SIP/2.0 180 Ringing\n{via}\n{below}\nFrom: \"ACME LTD\" <sip:12125550199@10.0.0.9>;tag=f1\nTo: <sip:12125550100@10.0.0.1>;tag=c\nCall-ID: wait-1\nCSeq: 1 INVITE\nContent-Length: 0\n\n");
    c.w.take(CALLER);
    c.w.from(CARRIERS[0], &ringing);
    let heard = c.w.take(CALLER).remove(0);
    assert!(heard.starts_with("SIP/2.0 180") && heard.contains("From: <sip:12125550199@10.0.0.9>;tag=f1\r\n"), "{heard}");
    c.nothing_waits();
}

#[test]
fn r_29_a_name_delays_no_call_beyond_the_one_limit_and_fails_none() {
    let mut c = Case::named();
    // The number in time, the name never.
    c.send("INVITE", 1, "12125550100");
    c.w.pass(100);
    c.tell("12125550100", ported());
    c.w.pass(195);
    assert!(c.w.names().is_empty());
    c.w.pass(15);
    let told = c.sources();
    assert!(told[0].0 == "dip" && told[0].1 == "fallback" && (300..320).contains(&told[0].2), "{told:?}");
    // The name of who calls a number that is not looked up.
    c.send("INVITE", 2, "442079460000");
    c.tell_name("ACME LTD");
    assert_eq!(c.sources()[1], ("none".to_owned(), "dip".to_owned(), 0));
    c.nothing_waits();
}

#[test]
fn r_29_who_gives_up_is_charged_for_what_was_made_for_it_and_the_next_one_for_the_rest() {
    let mut c = Case::named();
    c.send("INVITE", 1, "12125550100");
    c.send("INVITE", 2, "12125550100");
    c.tell("12125550100", ported());
    c.send("CANCEL", 1, "12125550100");
    assert_eq!(c.w.names()[..2], ["call.attempted", "call.ended"]);
    c.tell_name("ACME LTD");
    let told: Vec<(String, String)> = c.sources().into_iter().map(|(lrn, name, _)| (lrn, name)).collect();
    let of = |lrn: &str, name: &str| (lrn.to_owned(), name.to_owned());
    assert_eq!(told, [of("dip", "fallback"), of("cache", "dip")]);
    c.nothing_waits();
}

#[test]
fn r_04_a_call_waits_for_its_number_and_goes_on_by_the_answer_at_the_time_of_the_answer() {
    let mut c = Case::new();
    c.send("INVITE", 1, "12125550100");
    assert_eq!(c.w.first_lines(CALLER), ["SIP/2.0 100 Trying"]);
    assert_eq!(c.slow.0.lock().expect("a lock").as_slice(), [("12125550100".to_owned(), Some(3))]);
    c.w.pass(120);
    assert!(c.w.first_lines(CARRIERS[0]).is_empty() && c.w.names().is_empty(), "nothing is decided yet");
    // Its repetition is answered from memory, a copy by another path is merged away.
    c.send("INVITE", 1, "12125550100");
    assert_eq!(c.w.first_lines(CALLER), ["SIP/2.0 100 Trying"]);
    let copy = "INVITE sip:12125550100@10.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bKother\nFrom: <sip:12125550199@10.0.0.9>;tag=f1\nTo: <sip:12125550100@10.0.0.1>\nCall-ID: wait-1\nCSeq: 1 INVITE\nMax-Forwards: 70\nContent-Length: 0\n\n";
    c.w.from(CALLER, copy);
    assert_eq!(c.w.first_lines(CALLER), ["SIP/2.0 100 Trying", "SIP/2.0 482 Merged Request"]);
    c.tell("12125550100", ported());
    assert_eq!(c.w.first_lines(CARRIERS[0]).len(), 1);
    assert_eq!(c.known(), [("12015550000".to_owned(), "dip".to_owned(), 120)]);
    let at = c.w.events.iter().find(|(_, b)| matches!(b, Body::CallAttempted(_))).map(|(ms, _)| *ms);
    assert_eq!(at, Some(c.w.now_ms), "the decision's time is the answer's");
    assert_eq!(c.slow.0.lock().expect("a lock").len(), 1, "it is not asked again");
    c.nothing_waits();
    c.w.pass(1_000);
    assert_eq!(c.known().len(), 1, "its time limit finds nothing any more");
}

#[test]
fn r_04_of_calls_to_one_number_the_first_has_the_dip_and_the_others_have_it_from_memory() {
    let mut c = Case::new();
    for call in 1..=3 {
        c.send("INVITE", call, "12125550100");
    }
    // Another number's call is not concerned.
    c.send("INVITE", 4, "13125550100");
    c.tell("12125550100", ported());
    let sources: Vec<_> = c.known().into_iter().map(|(lrn, source, _)| (lrn, source)).collect();
    let of = |source: &str| ("12015550000".to_owned(), source.to_owned());
    assert_eq!(sources, [of("dip"), of("cache"), of("cache")]);
    assert_eq!(c.w.core.waiting(), 1);
    c.tell("13125550100", Ok(Dip { cached: true, ..ported().expect("an answer") }));
    assert_eq!(c.known()[3].1, "cache", "another shard's call was charged for it");
    c.nothing_waits();
}

#[test]
fn r_04_without_an_answer_in_time_the_dialled_number_is_in_force() {
    let mut c = Case::new();
    c.send("INVITE", 1, "12125550100");
    c.send("INVITE", 2, "12125550100");
    c.w.pass(295);
    assert!(c.w.names().is_empty());
    c.w.pass(15);
    for known in c.known() {
        assert!(known.0.is_empty() && known.1 == "fallback" && (300..310).contains(&known.2), "{known:?}");
    }
    assert_eq!(c.known().len(), 2);
    c.nothing_waits();
    // The answer that comes late is for nobody.
    c.tell("12125550100", ported());
    assert_eq!(c.known().len(), 2);
    // A source that says that it failed is not waited for any longer.
    c.send("INVITE", 3, "12125550100");
    c.tell("12125550100", Err(DipError::Failed("refused".into())));
    assert_eq!(c.known()[2].1, "fallback");
    c.nothing_waits();
}

#[test]
fn p_16_a_cancel_of_a_waiting_call_ends_it_with_487_and_a_record_and_no_attempt() {
    let mut c = Case::new();
    c.send("INVITE", 1, "12125550100");
    c.send("INVITE", 2, "12125550100");
    c.w.take(CALLER);
    c.send("CANCEL", 1, "12125550100");
    assert_eq!(c.w.first_lines(CALLER), ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]);
    assert_eq!(c.w.names(), ["call.attempted", "call.ended"]);
    assert!(c.w.first_lines(CARRIERS[0]).is_empty());
    // The look-up is charged to who still waits for it.
    c.tell("12125550100", ported());
    assert_eq!(c.known().iter().map(|k| k.1.as_str()).collect::<Vec<_>>(), ["fallback", "dip"]);
    c.nothing_waits();
    assert_eq!(c.w.core.gate().admission.gauges().trunks.iter().map(|t| t.channels).sum::<u32>(), 1, "the cancelled call's place is free");
}

#[test]
fn p_44_a_node_that_stops_refuses_what_waits_at_once() {
    let mut c = Case::new();
    c.send("INVITE", 1, "12125550100");
    c.w.take(CALLER);
    c.w.core.set_node_state(NodeState::Draining, false);
    let at = now(c.w.now_ms);
    c.w.core.settle_waiting(at);
    c.w.settle();
    assert_eq!(c.w.first_lines(CALLER), ["SIP/2.0 503 Service Unavailable"]);
    assert_eq!((c.refused(), c.w.names().len()), (vec!["draining".to_owned()], 1));
    c.nothing_waits();
}

#[test]
fn s1_75_a_waiting_call_whose_trunk_is_gone_is_refused_and_recorded() {
    let mut c = Case::new();
    c.send("INVITE", 1, "12125550100");
    c.w.take(CALLER);
    c.w.provision_nobody();
    c.tell("12125550100", ported());
    assert_eq!(c.w.first_lines(CALLER), ["SIP/2.0 403 Forbidden"]);
    assert_eq!(c.refused(), ["unknown_source"]);
    c.nothing_waits();
}

#[test]
fn r_04_no_more_than_a_bounded_number_waits_and_the_rest_goes_by_the_dialled_number() {
    let mut c = Case::new();
    let at = now(c.w.now_ms);
    c.send("INVITE", 1, "12125550100");
    let tx = *c.w.core.server_keys.values().next().expect("the INVITE");
    let (invite, from) = (b"INVITE sip:1@x SIP/2.0\r\n".to_vec(), CALLER.parse().expect("an address"));
    while c.w.core.waiting() < super::MAX_WAITING {
        c.w.core.waiting.insert(super::Waiting { invite: invite.clone(), from, server: tx, merge_key: 0, awaits: Awaits { number: Some(number("12125550100")), name: None }, answers: Answers::default(), since_ms: at.mono_ns, until_ms: u64::MAX });
    }
    c.send("INVITE", 2, "12125550101");
    assert_eq!(c.known(), [(String::new(), "fallback".to_owned(), 0)]);
    assert_eq!(c.slow.0.lock().expect("a lock")[1], ("12125550101".to_owned(), None), "it is asked for all the same, for nobody");
}
