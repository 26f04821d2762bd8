//! Holds, payments and what is lent: before a call's charge is posted, and beside it (FN-06 to FN-08).

use proptest::prelude::*;
use tollgate_rating::{
    ledger::{Balances, OfCall},
    mediation::Rater,
};
use tollgate_schemas::{
    event::{Body, Event, Origin},
    id::{Id, Mint},
    stage::{Outputs, Stage},
    time::Now,
    v1::*,
};

use super::calls::*;

const USD: &str = "USD";
const HELD: &str = "held:acme/shop";
const SHOP: &str = "account:acme/shop";

fn hold(amount_e8: i64) -> Vec<CreditHold> {
    vec![CreditHold { account: "shop".to_owned(), amount_e8, currency: USD.to_owned() }]
}

/// As `sell()`: 0.0150 a minute; each slice of a minute holds so much.
const SLICE: i64 = 1_500_000;

/// The events of a story as a proxy writes them for an account with a limit: a slice at the start, one more each minute.
fn limited(story: Story) -> Vec<(u64, Event)> {
    let mut events = Vec::new();
    for (offset, mut event) in story.events {
        let talk_ms = match &event.body {
            Some(Body::CallEnded(ended)) => ended.duration_ms,
            _ => 0,
        };
        match &mut event.body {
            Some(Body::CallAttempted(b)) => b.holds = hold(SLICE),
            Some(Body::CallAnswered(b)) => b.holds = hold(SLICE),
            Some(Body::CallEnded(b)) if b.answered_attempt > 0 => b.settled = hold(sell().charge(0, b.duration_ms).amount_e8),
            _ => {}
        }
        for slice in 1..=(talk_ms / 60_000) {
            let mint = Mint::new(NODE, 0x4000_0000 | (offset as u32) << 8 | slice as u32);
            let occurred_us = event.occurred_us - (talk_ms - slice * 60_000) as i64 * 1_000;
            let now = Now { utc_us: occurred_us, mono_ns: event.mono_ns - (talk_ms - slice * 60_000) * 1_000_000 };
            let body = CallInterim { call_id: event.call_id().to_vec(), duration_ms: slice * 60_000, holds: hold(SLICE * (slice as i64 + 1)) };
            events.push((offset * 100 + slice, Event::born(Origin { mint: &mint, boot_id: 7, now, control_position: 3 }, "acme", Body::CallInterim(body))));
        }
        events.push((offset * 100 + 99, event));
    }
    events
}

fn payment(seq: u32, kind: &str, amount_e8: i64, reference: &str) -> Event {
    let mint = Mint::new(NODE, 0x2000_0000 | seq);
    let body = PaymentPosted {
        account: "shop".to_owned(),
        root_account: "acme".to_owned(),
        kind: kind.to_owned(),
        amount_e8,
        currency: USD.to_owned(),
        actor: "operator:billing".to_owned(),
        reason: "bank transfer".to_owned(),
        reference: reference.to_owned(),
        request: None,
    };
    Event::born(Origin { mint: &mint, boot_id: 7, now: Now { utc_us: T0, mono_ns: 0 }, control_position: 3 }, "acme", Body::PaymentPosted(body))
}

/// What became of some postings, with what is held after each of them.
fn course(out: &Outputs) -> Vec<(String, i64, i64)> {
    let mut balances = Balances::default();
    let mut course = Vec::new();
    for posted in postings(out) {
        balances.apply(&posted).expect("balanced");
        assert!(balances.totals().values().all(|sum| *sum == 0), "FN-08: every posting sums to zero");
        course.push((posted.kind, balances.balance(SHOP, USD), balances.balance(HELD, USD)));
    }
    course
}

fn kinds(course: &[(String, i64, i64)]) -> Vec<(&str, i64, i64)> {
    course.iter().map(|(kind, owed, held)| (kind.as_str(), *owed, *held)).collect()
}

#[test]
fn fn_08_a_call_holds_slice_by_slice_and_its_charge_gives_the_rest_back() {
    let out = play(&mut Rater::new(5, 9), &limited(answered(1, 0, 100, 130_000)));
    // 132 s of 0.0150 a minute, 6/6.
    let charge = 3_300_000;
    assert_eq!(kinds(&course(&out)), [("hold", 0, SLICE), ("hold", 0, 2 * SLICE), ("hold", 0, 3 * SLICE), ("usage", charge, 0)]);
}

#[test]
fn c_098_rows_name_the_posting_that_held_and_what_it_held() {
    let out = play(&mut Rater::new(5, 9), &limited(answered(1, 0, 100, 130_000)));
    let first = out.appends.iter().find(|a| matches!(&a.event.body, Some(Body::LedgerPosted(p)) if p.kind == "hold")).expect("a hold");
    for row in rows(&out) {
        assert_eq!((row.credit_reservation_id, row.credit_held), (Some(first.event.id.clone()), Some(SLICE)), "{}", row.record_type);
        assert_eq!(row.balance_type, "prepaid");
    }
    for row in rows(&play(&mut Rater::new(5, 9), &answered(1, 0, 100, 130_000).events)) {
        assert_eq!((row.credit_reservation_id, row.credit_held), (None, None), "an account without limit holds nothing");
    }
}

#[test]
fn c_098_the_ledger_tells_the_balance_before_and_after_a_calls_postings() {
    let mut stage = Rater::new(5, 9);
    let mut events = vec![(1, payment(1, "payment", 10_000_000, ""))];
    events.extend(limited(answered(1, 0, 100, 130_000)));
    events.push((30_000, payment(2, "payment", 500_000, "")));
    events.extend(limited(answered(2, 200_000, 400, 60_000)));
    let out = play(&mut stage, &events);
    let mut balances = Balances::default();
    postings(&out).iter().for_each(|p| balances.apply(p).expect("balanced"));
    let call = finals(&out).into_iter().find(|r| r.duration_ms == 60_000).expect("the second call");
    let ledger: Vec<&Event> = out.appends.iter().map(|a| &a.event).filter(|e| matches!(e.body, Some(Body::LedgerPosted(_)))).collect();
    // From the beginning, and from the call's own first posting on: the same.
    let own = ledger.iter().position(|e| e.call_id() == Id::of(&call.call_uuid)).expect("a posting of the call");
    for from in [0, own] {
        let mut of_call = OfCall::new(Id::of(&call.call_uuid), "acme");
        ledger[from..].iter().for_each(|e| of_call.apply(e));
        assert!(of_call.has(call.credit_reservation_id.as_deref().map(Id::of)) && !of_call.has(Some(Id::NIL)));
        let course = of_call.finish(|name, currency| balances.balance(name, currency));
        let told: Vec<_> = course.iter().map(|m| (m.kind.as_str(), m.owed_before_e8, m.owed_after_e8, m.held_before_e8, m.held_after_e8)).collect();
        // 10.00 and 0.50 paid, 3.30 used before; a minute is 1.50.
        let owed = -10_500_000 + 3_300_000;
        assert_eq!(told, [("hold", owed, owed, 0, SLICE), ("hold", owed, owed, SLICE, 2 * SLICE), ("usage", owed, owed + 1_500_000, 2 * SLICE, 0)], "from {from}");
        assert!(course.iter().all(|m| m.account == "shop" && m.currency == USD));
    }
}

#[test]
fn fn_08_a_call_that_costs_nothing_gives_its_hold_back() {
    for story in [busy(1, 0, 100), cancelled(1, 0, 100)] {
        let out = play(&mut Rater::new(5, 9), &limited(story));
        assert_eq!(kinds(&course(&out)), [("hold", 0, SLICE), ("void", 0, 0)]);
    }
}

#[test]
fn fn_08_a_call_of_an_account_without_limit_has_one_posting() {
    let out = play(&mut Rater::new(5, 9), &answered(1, 0, 100, 130_000).events);
    assert_eq!(kinds(&course(&out)), [("usage", 3_300_000, 0)]);
}

#[test]
fn fn_08_a_killed_proxys_holds_are_given_back_when_its_calls_are_closed() {
    let other = 0x0999_9999_9999;
    let mut story = Story::on(other, 1, 0, 100);
    story.attempted().at(5).tried(1, "north").at(1_000).answered(1, "north");
    let mut stage = Rater::new(5, 9);
    let mut all = course(&play(&mut stage, &limited(story)));
    assert_eq!(kinds(&all), [("hold", 0, SLICE)]);
    // The others go on, and the node says no more.
    let mut out = Outputs::default();
    for s in 0..200 {
        stage.apply(1_000_000 + s, &tick_of(NODE, T0 + s as i64 * 1_000_000), &mut out).expect("a tick");
    }
    all = course(&out);
    let closed = postings(&out).into_iter().find(|p| p.kind != "hold").expect("closed");
    let back = closed.entries.iter().find(|e| e.account == HELD).expect("given back");
    assert_eq!(back.amount_e8, -SLICE);
    assert_eq!(all.len(), 1);
}

#[test]
fn fn_08_payments_are_posted_once_by_their_reference() {
    let events = [
        payment(1, "payment", 5_00000000, "RF-1"),
        payment(1, "payment", 5_00000000, "RF-1"),
        payment(2, "payment", 5_00000000, "RF-1"),
        payment(3, "adjustment", -1_00000000, ""),
        payment(3, "adjustment", -1_00000000, ""),
        payment(4, "deposit", 3_00000000, "D-1"),
        payment(5, "payment", -5_00000000, "RF-1-back"),
    ];
    let mut stage = Rater::new(5, 9);
    let mut out = Outputs::default();
    for (offset, event) in (0..).zip(&events) {
        stage.apply(offset, event, &mut out).expect("postable");
    }
    let mut balances = Balances::default();
    postings(&out).iter().for_each(|p| balances.apply(p).expect("balanced"));
    assert_eq!(balances.balance(SHOP, USD), 1_00000000, "5 paid and taken back, 1 charged by hand");
    assert_eq!((balances.balance("deposit:acme/shop", USD), balances.balance("cash/5", USD), balances.balance("adjustments/5", USD)), (-3_00000000, 3_00000000, -1_00000000));
    for bad in [payment(6, "gift", 1, ""), payment(7, "payment", 0, "")] {
        assert!(stage.apply(99, &bad, &mut Outputs::default()).is_err(), "it says nothing that can be posted");
    }
}

fn asked(seq: u32, key: u128, at_us: i64) -> Event {
    let mut event = payment(seq, "payment", 2_00000000, "");
    event.occurred_us = at_us;
    if let Some(Body::PaymentPosted(paid)) = &mut event.body {
        paid.request = Some(RequestKey { id: Id(key).to_vec(), sha256: vec![1; 32] });
    }
    event
}

/// Whatever process asks again, and whatever was killed in between.
#[test]
fn x_08_a_payment_asked_for_again_with_its_key_is_posted_once_within_a_day_and_over_a_snapshot() {
    const DAY: i64 = 24 * 3_600_000_000;
    let mut out = Outputs::default();
    let mut stage = Rater::new(5, 9);
    stage.apply(0, &asked(1, 7, T0), &mut out).expect("postable");
    let mut again = Rater::new(5, 9);
    again.restore(&stage.snapshot()).expect("its own");
    again.apply(1, &asked(2, 7, T0 + DAY - 1), &mut out).expect("known");
    again.apply(2, &asked(3, 8, T0 + DAY - 1), &mut out).expect("another key");
    again.apply(3, &asked(4, 7, T0 + DAY), &mut out).expect("another day");
    let posted = postings(&out);
    assert_eq!(posted.len(), 3);
    assert_eq!(posted[0].request.as_ref().map(|r| r.id.clone()), Some(Id(7).to_vec()));
}

#[test]
fn fn_08_a_payment_no_account_could_take_is_quarantined_and_moves_nothing() {
    let mut out = Outputs::default();
    let mut stage = Rater::new(5, 9);
    for bad in [payment(1, "payment", i64::MAX, ""), payment(2, "deposit", -5_00000000, "")] {
        stage.apply(0, &bad, &mut out).expect_err("not taken");
    }
    stage.apply(1, &payment(3, "deposit", 5_00000000, ""), &mut out).expect("kept");
    stage.apply(2, &payment(4, "deposit", -5_00000000, ""), &mut out).expect("given back");
    stage.apply(3, &payment(5, "deposit", -1, ""), &mut out).expect_err("nothing is kept");
    assert_eq!(postings(&out).len(), 2);
    // A log of before is read as it was.
    let mut old = payment(6, "deposit", -5_00000000, "");
    old.version = 2;
    stage.apply(4, &old, &mut out).expect("posted then");
}

fn document(seq: u32, number: &str, amounts: &[(&str, i64)]) -> Event {
    let mint = Mint::new(NODE, 0x3000_0000 | seq);
    let entries = amounts.iter().map(|(account, amount_e8)| LedgerEntry { account: (*account).to_owned(), amount_e8: *amount_e8, currency: USD.to_owned() }).collect();
    let body = DocumentPosted { account: "shop".to_owned(), root_account: "acme".to_owned(), number: number.to_owned(), kind: "invoice".to_owned(), entries };
    Event::born(Origin { mint: &mint, boot_id: 7, now: Now { utc_us: T0, mono_ns: 0 }, control_position: 3 }, "acme", Body::DocumentPosted(body))
}

#[test]
fn fn_08_a_document_is_posted_once_and_over_a_snapshot() {
    let invoice = [(SHOP, 2_00000000), ("revenue/5", -1_50000000), ("tax/5", -50000000)];
    let mut stage = Rater::new(5, 9);
    let mut out = Outputs::default();
    stage.apply(0, &document(1, "2026-1", &invoice), &mut out).expect("postable");
    let mut again = Rater::new(5, 9);
    again.restore(&stage.snapshot()).expect("its own");
    again.apply(1, &document(2, "2026-1", &invoice), &mut out).expect("known");
    again.apply(2, &document(3, "2026-2", &[(SHOP, -40000000), ("revenue/5", 40000000)]), &mut out).expect("postable");
    assert_eq!(kinds(&course(&out)), [("invoice", 2_00000000, 0), ("invoice", 1_60000000, 0)]);
    assert_eq!(postings(&out).remove(0).reason, "2026-1");
    for wrong in [&[][..], &[(SHOP, 1)][..]] {
        assert!(again.apply(3, &document(4, "2026-3", wrong), &mut out).is_err(), "{wrong:?}");
    }
    // What was poison is not known: the right one may still come.
    again.apply(4, &document(5, "2026-3", &invoice), &mut out).expect("postable");
    assert_eq!(postings(&out).len(), 3);
}

fn traffic() -> impl Strategy<Value = Vec<Event>> {
    let call = (0..4u32, 0..90_000i64, 1..400_000u64, any::<bool>());
    (prop::collection::vec(call, 1..12), prop::collection::vec((0..3usize, 1..9i64, 0..90_000i64), 0..6)).prop_map(|(calls, payments)| {
        let mut all: Vec<Event> = Vec::new();
        for (seq, (kind, start_ms, talk_ms, has_limit)) in (1..).zip(calls) {
            let offset = u64::from(seq);
            let story = match kind {
                0 => answered(seq, start_ms, offset, talk_ms),
                1 => busy(seq, start_ms, offset),
                2 => failover(seq, start_ms, offset, talk_ms),
                _ => late_answered(seq, start_ms, offset, talk_ms),
            };
            all.extend(if has_limit { limited(story) } else { story.events }.into_iter().map(|(_, e)| e));
        }
        for (seq, (kind, amount, at_ms)) in (1..).zip(payments) {
            let mut event = payment(seq, ["payment", "adjustment", "deposit"][kind], amount * 10_000_000, &format!("P-{}", seq % 3));
            event.occurred_us = T0 + at_ms * 1_000;
            all.push(event);
        }
        all.sort_by_key(|e| (e.occurred_us, e.id()));
        all
    })
}

proptest! {
    /// Whatever comes in between, comes again, or is killed: totals are zero at each posting, what ended holds nothing, and
    /// the balance is that of an undisturbed run.
    #[test]
    fn fn_08_the_ledger_is_the_same_over_repeats_and_restarts(events in traffic(), repeat in 1usize..7, stops in prop::collection::vec(0usize..80, 0..4)) {
        let mut plain = Outputs::default();
        let mut undisturbed = Rater::new(5, 9);
        for (offset, event) in (0..).zip(&events) {
            undisturbed.apply(offset, event, &mut plain).expect("no poison");
        }
        let mut out = Outputs::default();
        let mut stage = Rater::new(5, 9);
        for (at, event) in events.iter().enumerate() {
            stage.apply(at as u64, event, &mut out).expect("no poison");
            if at % repeat == 0 {
                stage.apply(at as u64, event, &mut out).expect("no poison");
            }
            if stops.contains(&at) {
                let mut next = Rater::new(5, 9);
                next.restore(&stage.snapshot()).expect("restores");
                stage = next;
            }
        }
        let want = course(&plain);
        prop_assert_eq!(&course(&out), &want);
        prop_assert_eq!(want.last().map_or(0, |(_, _, held)| *held), 0);
        prop_assert_eq!(stage.snapshot(), undisturbed.snapshot());
    }
}
