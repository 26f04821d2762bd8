//! After a crash: the fold of the log gives admission back what it counted.

use std::sync::Arc;

use tollgate_proxy::{
    admission::{Admission, Admitted, Policy, Resumed},
    live::LiveCalls,
};
use tollgate_schemas::{
    event::{Body, Event, Origin},
    id::Mint,
    refusal::Refusal,
    time::Now,
    v1::{CallAnswered, CallAttempted, CallEnded},
};

use crate::fixture::{LONDON, SOMALIA, at, call, policy, terms, wide};

/// A proxy's counters beside the log it writes.
struct House {
    mint: Mint,
    policy: Policy,
    admission: Admission,
    live: LiveCalls,
    offset: u64,
}

impl House {
    fn new(policy: Policy) -> House {
        House { mint: Mint::new(1, 1), policy, admission: Admission::new(), live: LiveCalls::new(), offset: 0 }
    }

    fn write(&mut self, now: Now, body: Body) -> Arc<Event> {
        let origin = Origin { mint: &self.mint, boot_id: 1, now, control_position: 1 };
        let event = Arc::new(Event::born(origin, "acme-root", body));
        self.live.fold(self.offset, &event).expect("folds");
        self.offset += 1;
        event
    }

    fn invite(&mut self, dialled: &'static str, now: Now) -> (Admitted, Vec<u8>) {
        let admitted = call(&mut self.admission, &self.policy, dialled, now).expect("admitted");
        let body = CallAttempted { facts: Some(admitted.facts.clone()), sell: admitted.sell.clone(), hold_e8: admitted.hold_e8, ..CallAttempted::default() };
        let id = self.write(now, Body::CallAttempted(body)).id.clone();
        (admitted, id)
    }

    fn answer(&mut self, call: &mut (Admitted, Vec<u8>), now: Now) {
        let sell = call.0.sell.as_ref().map(|_| terms("UK", "44", "0.06"));
        self.admission.answered(&mut call.0.slot, now, sell.as_ref());
        self.write(now, Body::CallAnswered(CallAnswered { call_id: call.1.clone(), sell, ..CallAnswered::default() }));
    }

    fn end(&mut self, call: (Admitted, Vec<u8>), now: Now, duration_ms: Option<u64>) {
        self.admission.release(call.0.slot, now, duration_ms);
        self.write(now, Body::CallEnded(CallEnded { call_id: call.1, duration_ms: duration_ms.unwrap_or(0), ..CallEnded::default() }));
    }

    /// What a new process makes of the log.
    fn restarted(&self, now: Now) -> (Admission, Vec<tollgate_proxy::admission::Slot>) {
        let mut admission = Admission::new();
        admission.restore_usage(self.live.usage());
        let slots = self.live.open_calls().map(|open| {
            let attempted = open.attempted().expect("attempted");
            let answered = open.answered().and_then(|(event, a)| Some((((now.utc_us - event.occurred_us) / 1000) as u64, a.sell.as_ref()?)));
            let resumed = Resumed { facts: open.facts().expect("facts"), hold_e8: attempted.hold_e8, answered };
            admission.resume(&self.policy, resumed, now)
        });
        let slots = slots.collect();
        (admission, slots)
    }
}

#[test]
fn a_restarted_proxy_counts_what_the_old_one_counted() {
    let mut house = House::new(policy("", &wide(r#""daily_spend": "1""#, "")));
    let mut ended = house.invite(LONDON, at(0));
    house.answer(&mut ended, at(1_000));
    house.end(ended, at(91_000), Some(90_000));
    let unanswered = house.invite(SOMALIA, at(92_000));
    house.end(unanswered, at(95_000), None);
    let mut emergency = house.invite("112", at(95_000));
    house.answer(&mut emergency, at(96_000));
    let mut live = house.invite(LONDON, at(100_000));
    house.answer(&mut live, at(101_000));
    let ringing = house.invite(SOMALIA, at(102_000));
    let (mut admission, slots) = house.restarted(at(103_000));
    assert_eq!(slots.len(), 3);
    assert_eq!(admission.gauges(), house.admission.gauges());
    // And they end as they would have.
    let mut charges: Vec<i64> = slots.into_iter().map(|slot| admission.release(slot, at(161_000), Some(60_000))).collect();
    charges.sort_unstable();
    assert_eq!(charges, [0, 0, 6_000_000], "emergency and unanswered cost nothing");
    house.end(live, at(161_000), Some(60_000));
    house.end(ringing, at(161_000), None);
    house.end(emergency, at(161_000), Some(65_000));
    assert_eq!(admission.gauges(), house.admission.gauges());
}

#[test]
fn a_resumed_call_is_refused_by_no_limit_and_counts_for_the_next() {
    let mut house = House::new(policy("", &wide("", "")));
    let calls: Vec<_> = (0..3).map(|_| house.invite(SOMALIA, at(0))).collect();
    house.policy = policy("", &wide(r#""hot_spot_channels": 1"#, r#""channels": 1"#));
    let (mut admission, slots) = house.restarted(at(10));
    assert_eq!((slots.len(), calls.len()), (3, 3));
    assert_eq!(call(&mut admission, &house.policy, LONDON, at(10)).expect_err("full").refusal, Refusal::ChannelLimit);
}

#[test]
fn s5_4_a_restart_does_not_give_a_hot_spot_another_call() {
    let mut house = House::new(policy("", &wide(r#""hot_spot_calls_12h": 1"#, "")));
    let only = house.invite(SOMALIA, at(0));
    house.end(only, at(60_000), None);
    let (mut admission, _) = house.restarted(at(120_000));
    assert_eq!(call(&mut admission, &house.policy, SOMALIA, at(120_000)).expect_err("one in 12 h").refusal, Refusal::HotSpotLimit);
}

#[test]
fn f_17_a_restart_does_not_give_a_trunk_another_day() {
    let mut house = House::new(policy("", &wide(r#""daily_spend": "0.10""#, "")));
    let mut one = house.invite(LONDON, at(0));
    house.answer(&mut one, at(0));
    house.end(one, at(90_000), Some(90_000));
    let (mut admission, _) = house.restarted(at(120_000));
    assert_eq!(call(&mut admission, &house.policy, LONDON, at(120_000)).expect_err("0.09 spent").refusal, Refusal::SpendCap);
    let tomorrow = at(24 * 3_600_000);
    assert!(call(&mut admission, &house.policy, LONDON, tomorrow).is_ok());
}
