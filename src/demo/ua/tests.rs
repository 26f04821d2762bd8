//! Caller against carrier, without a proxy between: over real sockets, and with a clock of our own.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    Agent, Out,
    caller::{CallRecord, Caller, Dial, Kind, Notice, Stage},
    carrier::{Carrier, LegRecord, Quality},
    serve,
};
use crate::demo::prng::Prng;

/// Answers every call after 20 ms of waiting and 20 ms of ringing.
fn quality() -> Quality {
    Quality {
        busy: 0,
        no_answer: 0,
        unavailable: 0,
        not_found: 0,
        silent: 0,
        pdd_ms: 20..=20,
        ring_ms: 20..=20,
        hangs_up: 0,
        hold_ms: 50..=50,
        traps: &["252"],
    }
}

fn dial(patience_ms: u64, hold_ms: u64) -> Dial {
    let ms = Duration::from_millis;
    Dial { kind: Kind::Legit, to: "442079460000".to_owned(), from: "12125550100".to_owned(), patience: ms(patience_ms), hold: ms(hold_ms) }
}

/// Both agents and the datagrams between them, on a clock that jumps from one thing due to the next.
struct Wire {
    caller: Caller,
    carrier: Carrier,
    a: SocketAddr,
    now: Instant,
    stage: Arc<Stage>,
    notices: Receiver<Notice>,
    /// Which datagrams are lost: (from the caller, text it starts with, how many of them).
    lose: Option<(bool, &'static str, u32)>,
    seen: Vec<String>,
}

impl Wire {
    fn new(quality: Quality) -> Wire {
        let (a, b) = ("127.0.0.1:7001".parse().expect("a"), "127.0.0.1:7002".parse().expect("b"));
        let stage = Arc::new(Stage::default());
        let (tell, notices) = channel();
        Wire {
            caller: Caller::new("caller", a, b, "r", Prng::new(1, "caller"), stage.clone(), tell),
            carrier: Carrier::new("carrier", b, "r", quality, Prng::new(1, "carrier")),
            a,
            now: Instant::now(),
            stage,
            notices,
            lose: None,
            seen: Vec::new(),
        }
    }

    fn carry(&mut self, out: Out, from_caller: bool) {
        for (_, bytes) in out {
            let text = String::from_utf8(bytes).expect("text");
            let first = text.lines().next().unwrap_or_default().to_owned();
            if let Some((side, start, left)) = &mut self.lose
                && *side == from_caller
                && first.starts_with(*start)
                && *left > 0
            {
                *left -= 1;
                continue;
            }
            self.seen.push(first);
            let mut answers = Out::new();
            match from_caller {
                true => self.carrier.handle(text.as_bytes(), self.a, self.now, &mut answers),
                false => self.caller.handle(text.as_bytes(), "127.0.0.1:7002".parse().expect("b"), self.now, &mut answers),
            }
            self.carry(answers, !from_caller);
        }
    }

    fn run(mut self, dial: Dial, ms: u64) -> (CallRecord, LegRecord, Vec<String>) {
        let (caller, carrier, seen, _) = {
            let mut out = Out::new();
            self.caller.place(dial, self.now, &mut out);
            self.carry(out, true);
            let end = self.now + Duration::from_millis(ms);
            while let Some(due) = self.caller.next_due().into_iter().chain(self.carrier.next_due()).min().filter(|d| *d <= end) {
                self.now = due;
                let mut out = Out::new();
                self.caller.tick(due, &mut out);
                self.carry(out, true);
                let mut out = Out::new();
                self.carrier.tick(due, &mut out);
                self.carry(out, false);
            }
            (self.caller.into_records(), self.carrier.into_records(), self.seen, self.notices)
        };
        assert_eq!((caller.len(), carrier.len()), (1, 1), "one call, one leg: {seen:?}");
        (caller[0].clone(), carrier[0].clone(), seen)
    }
}

fn times(seen: &[String], start: &str) -> usize {
    seen.iter().filter(|s| s.starts_with(start)).count()
}

fn lasted(from: Option<Instant>, to: Option<Instant>) -> u64 {
    to.expect("ended").duration_since(from.expect("answered")).as_millis() as u64
}

#[test]
fn a_call_is_answered_and_the_caller_hangs_up() {
    let (call, leg, seen) = Wire::new(quality()).run(dial(5_000, 300), 40_000);
    assert_eq!((call.code, leg.code), (200, 200));
    assert_eq!((lasted(call.answered, call.ended), lasted(leg.answered, leg.ended)), (300, 300));
    assert!(!call.ended_by_far_side);
    for (start, count) in [("INVITE", 1), ("SIP/2.0 100", 1), ("ACK", 1), ("BYE", 1), ("SIP/2.0 200", 2)] {
        assert_eq!(times(&seen, start), count, "{start} in {seen:?}");
    }
}

#[test]
fn a_call_is_answered_and_the_called_side_hangs_up() {
    let (call, leg, seen) = Wire::new(Quality { hangs_up: 1000, ..quality() }).run(dial(5_000, 300), 40_000);
    assert_eq!((call.code, leg.code, call.ended_by_far_side), (200, 200, true));
    assert_eq!((lasted(call.answered, call.ended), lasted(leg.answered, leg.ended)), (50, 50));
    assert_eq!(times(&seen, "BYE"), 1, "{seen:?}");
}

#[test]
fn failures_are_acknowledged_and_recorded_alike_on_both_sides() {
    for (quality, code) in [
        (Quality { busy: 1000, ..quality() }, 486),
        (Quality { no_answer: 1000, ..quality() }, 480),
        (Quality { unavailable: 1000, ..quality() }, 503),
        (Quality { not_found: 1000, ..quality() }, 404),
    ] {
        let (call, leg, seen) = Wire::new(quality).run(dial(5_000, 300), 40_000);
        assert_eq!((call.code, leg.code), (code, code));
        assert!(call.answered.is_none() && leg.answered.is_none() && call.ended.is_some());
        assert_eq!((times(&seen, "ACK"), times(&seen, "BYE")), (1, 0), "{seen:?}");
    }
}

#[test]
fn an_impatient_caller_cancels_and_gets_487() {
    let (call, leg, seen) = Wire::new(Quality { ring_ms: 9_000..=9_000, ..quality() }).run(dial(200, 300), 40_000);
    assert_eq!((call.code, leg.code), (487, 487));
    for (start, count) in [("CANCEL", 1), ("ACK", 1), ("SIP/2.0 487", 1), ("BYE", 0)] {
        assert_eq!(times(&seen, start), count, "{start} in {seen:?}");
    }
}

#[test]
fn a_cancel_waits_for_the_first_provisional() {
    let wire = Wire { lose: Some((false, "SIP/2.0 100", 1)), ..Wire::new(Quality { pdd_ms: 400..=400, ring_ms: 9_000..=9_000, ..quality() }) };
    let (call, _, seen) = wire.run(dial(100, 300), 40_000);
    let (ringing, cancel) = (seen.iter().position(|s| s.starts_with("SIP/2.0 18")), seen.iter().position(|s| s.starts_with("CANCEL")));
    assert!(call.code == 487 && ringing < cancel && ringing.is_some(), "{seen:?}");
}

#[test]
fn lost_datagrams_are_made_up_for() {
    for (side, start) in [(true, "INVITE"), (false, "SIP/2.0 200"), (true, "ACK"), (true, "BYE")] {
        let wire = Wire { lose: Some((side, start, 2)), ..Wire::new(quality()) };
        let (call, leg, seen) = wire.run(dial(20_000, 6_000), 60_000);
        assert_eq!((call.code, leg.code), (200, 200), "{start} lost: {seen:?}");
        assert!(call.ended.is_some() && leg.ended.is_some(), "{start} lost: {seen:?}");
        assert!(call.answered.is_some_and(|a| a < call.ended.expect("ended")));
    }
}

#[test]
fn an_invite_nobody_answers_ends_after_64_t1() {
    let (call, leg, seen) = Wire::new(Quality { silent: 1000, ..quality() }).run(dial(60_000, 300), 90_000);
    assert_eq!((call.code, leg.code), (408, 0));
    // RFC 3261 §17.1.1.2: at 0, 0.5, 1.5, 3.5, 7.5, 15.5 and 31.5 s.
    assert_eq!(times(&seen, "INVITE"), 7);
    assert_eq!(call.ended.expect("ended").duration_since(call.started), Duration::from_secs(32));
}

#[test]
fn calls_to_a_trap_are_answered_at_once_and_never_hung_up() {
    let trap = Dial { to: "252901234567".to_owned(), kind: Kind::Fraud, ..dial(5_000, 20_000) };
    let (call, leg, seen) = Wire::new(Quality { hangs_up: 1000, busy: 1000, ..quality() }).run(trap, 40_000);
    assert_eq!((call.code, lasted(leg.answered, leg.ended)), (200, 20_000));
    assert_eq!(times(&seen, "SIP/2.0 18"), 0, "{seen:?}");
    assert!(call.answered.expect("answered") - call.started < Duration::from_millis(60));
}

#[test]
fn the_curtain_ends_every_call() {
    let mut wire = Wire::new(quality());
    let mut out = Out::new();
    wire.caller.place(dial(5_000, 60_000), wire.now, &mut out);
    wire.carry(out, true);
    for step in 1..400 {
        wire.now += Duration::from_millis(5);
        if step == 100 {
            wire.stage.curtain.store(true, Ordering::Relaxed);
        }
        let (now, mut out) = (wire.now, Out::new());
        wire.caller.tick(now, &mut out);
        wire.carry(out, true);
        let mut out = Out::new();
        wire.carrier.tick(now, &mut out);
        wire.carry(out, false);
    }
    assert_eq!((wire.stage.placed.load(Ordering::Relaxed), wire.stage.done.load(Ordering::Relaxed)), (1, 1));
    let call = &wire.caller.into_records()[0];
    assert_eq!((call.code, call.ended_by_far_side), (200, false));
}

#[test]
fn agents_speak_over_real_sockets() {
    let (a, b) = (UdpSocket::bind("127.0.0.1:0").expect("socket"), UdpSocket::bind("127.0.0.1:0").expect("socket"));
    let (at, bt) = (a.local_addr().expect("a"), b.local_addr().expect("b"));
    let (stop, stage) = (Arc::new(AtomicBool::new(false)), Arc::new(Stage::default()));
    let (tell, _notices) = channel();
    let mut caller = Caller::new("caller", at, bt, "r", Prng::new(2, "caller"), stage.clone(), tell);
    let mut out = Out::new();
    for n in 0..50 {
        caller.place(dial(5_000, 40 + n), Instant::now(), &mut out);
    }
    let carrier = Carrier::new("carrier", bt, "r", Quality { busy: 300, hangs_up: 300, ..quality() }, Prng::new(2, "carrier"));
    let (ended, stopped) = (stop.clone(), stop.clone());
    let carrier = thread::spawn(move || serve(&b, carrier, &ended).expect("carrier"));
    for (to, bytes) in out {
        a.send_to(&bytes, to).expect("sent");
    }
    let caller = thread::spawn(move || serve(&a, caller, &stopped).expect("caller"));
    let until = Instant::now() + Duration::from_secs(20);
    while stage.done.load(Ordering::Relaxed) < 50 && Instant::now() < until {
        thread::sleep(Duration::from_millis(5));
    }
    stop.store(true, Ordering::Relaxed);
    let calls = caller.join().expect("caller").into_records();
    let legs = carrier.join().expect("carrier").into_records();
    assert_eq!((calls.len(), legs.len()), (50, 50));
    for call in &calls {
        let leg = legs.iter().find(|l| l.call_id == call.call_id).expect("its leg");
        assert_eq!(call.code, leg.code);
        assert!(matches!(call.code, 200 | 486) && call.ended.is_some());
        assert_eq!(call.answered.is_some(), call.code == 200);
    }
}
