//! R-45: calls rated again, remembered or long forgotten.

use proptest::prelude::*;
use prost::Message;
use tollgate_rating::{
    corrections::rerate::{Scope, Side, plan},
    mediation::{FRESH_US, KEEP_US, Rater, repriced},
};
use tollgate_schemas::{
    cdr::Cdr,
    event::{Body, Event, Origin},
    id::{Id, Mint},
    stage::{Outputs, Stage},
    time::Now,
    v1::{AttemptTerms, CallEnded, CallRerated, Fee, FeeOn, Fx, Terms, Tier},
};

use super::{
    calls::*,
    properties::{balances, bytes, current},
    tiers,
};

const LATER_US: i64 = 3 * KEEP_US;

/// The newest rows of a call, final first, as a store would give them.
fn newest(out: &Outputs, call: Id) -> Vec<Cdr> {
    let mut rows: Vec<Cdr> = Vec::new();
    for row in rows_of(out, call) {
        match rows.iter_mut().find(|r| r.record_type == row.record_type && r.attempt_no == row.attempt_no) {
            Some(old) => *old = row,
            None => rows.push(row),
        }
    }
    rows.sort_by_key(|r| (!r.is_final(), r.attempt_no));
    rows
}

fn rows_of(out: &Outputs, call: Id) -> Vec<Cdr> {
    rows(out).into_iter().filter(|r| Id::of(&r.call_uuid) == call).collect()
}

fn order_at(at_us: i64, read_us: i64, rows: &[Cdr], sell: Option<Terms>, costs: Vec<AttemptTerms>) -> Event {
    order_of(at_us, read_us, rows, sell, vec![], costs)
}

fn order_of(at_us: i64, read_us: i64, rows: &[Cdr], sell: Option<Terms>, tiers: Vec<Tier>, costs: Vec<AttemptTerms>) -> Event {
    let mint = Mint::new(0x0f0e_0d0c_0b0a, 9);
    let origin = Origin { mint: &mint, boot_id: 3, now: Now { utc_us: at_us, mono_ns: 1 }, control_position: 4 };
    let order = CallRerated {
        call_id: rows[0].call_uuid.clone(),
        batch: "b1".into(),
        reason: "notice of March".into(),
        actor: "finance".into(),
        rows: rows.iter().map(Cdr::encode_to_vec).collect(),
        read_us,
        sell,
        costs,
        tiers,
    };
    Event::born(origin, "acme", Body::CallRerated(order))
}

fn dearer_sell() -> Terms {
    terms("retail-2", 30_000_000_000, 60, 60)
}

fn cheaper_cost(no: u32) -> AttemptTerms {
    AttemptTerms { attempt_no: no, terms: Some(terms("north-2", 6_000_000_000, 1, 1)) }
}

/// The story, then the order, `after_us` after its last event.
fn rated_again(story: &Story, after_us: i64, sell: Option<Terms>, costs: Vec<AttemptTerms>) -> (Rater, Outputs, i64, Event) {
    resold_again(story, after_us, sell, vec![], costs)
}

fn resold_again(story: &Story, after_us: i64, sell: Option<Terms>, tiers: Vec<Tier>, costs: Vec<AttemptTerms>) -> (Rater, Outputs, i64, Event) {
    let mut rater = Rater::new(5, 9);
    let mut out = play(&mut rater, &story.events);
    let at_us = story.now_us() + after_us;
    rater.apply(900, &tick(1, at_us), &mut out).expect("a tick");
    let order = order_of(at_us, at_us, &newest(&out, story.call), sell, tiers, costs);
    rater.apply(901, &order, &mut out).expect("an order that stands");
    (rater, out, at_us, order)
}

#[test]
fn r_45_a_call_rated_again_has_a_new_version_and_the_difference_is_posted_whether_it_is_remembered_or_not() {
    let mut told = Vec::new();
    for after_us in [1_000_000, LATER_US] {
        let story = answered(1, 0, 100, 10_000);
        let (_, out, ..) = rated_again(&story, after_us, Some(dearer_sell()), vec![cheaper_cost(1)]);
        let rows = rows_of(&out, story.call);
        let of = |r: &Cdr| (r.record_type.clone(), r.cdr_version, r.sell_amount, r.billed_sec_sell, r.cost_amount);
        // 10 s at 0.0150 by 6/6: 12 s, 0.0030; at 0.0300 by 60/60: a minute. 10 s at 0.0100, then at 0.0060 a minute.
        assert_eq!(rows.iter().map(of).collect::<Vec<_>>(), [
            ("attempt".into(), 1, 300_000, 12, 166_700), ("final".into(), 1, 300_000, 12, 166_700),
            ("attempt".into(), 2, 3_000_000, 60, 100_000), ("final".into(), 2, 3_000_000, 60, 100_000),
        ], "{after_us}");
        for row in &rows[2..] {
            assert_eq!((row.rerate_reason.as_str(), row.rerate_actor.as_str(), row.event_last_offset), ("notice of March", "finance", 901));
            assert_eq!((row.sell_deck.as_str(), row.cost_deck.as_str(), row.margin_base), ("retail-2", "north-2", Some(2_900_000)));
        }
        let posted = postings(&out);
        assert_eq!((posted[1].kind.as_str(), posted[1].reason.as_str(), posted[1].cdr_version), ("correction", "rerate", 2));
        let amounts: Vec<(&str, i64)> = posted[1].entries.iter().map(|e| (e.account.as_str(), e.amount_e8)).collect();
        assert_eq!(amounts, [("account:acme/shop", 2_700_000), ("revenue/5", -2_700_000), ("cost/5", -66_700), ("carrier:north/5", 66_700)]);
        told.push((rows, posted));
    }
    assert_eq!(told[0], told[1], "both ways write the same");
}

#[test]
fn r_45_what_a_resold_call_costs_anew_is_owed_to_the_account_above_whether_it_is_remembered_or_not() {
    let mut told = Vec::new();
    for after_us in [1_000_000, LATER_US] {
        let (retail, cost) = (tiers::priced("retail", 15_000_000_000, "USD"), tiers::priced("north-buy", 4_000_000_000, "USD"));
        let story = tiers::story(1, 60_000, retail, cost, vec![tiers::tier("acme", "wholesale", 6_000_000_000)], None);
        let (_, out, ..) = rated_again(&story, after_us, Some(tiers::priced("retail-2", 30_000_000_000, "USD")), vec![]);
        let rows = rows_of(&out, story.call);
        let last = rows.last().expect("a version 2");
        assert_eq!((last.cdr_version, last.sell_amount, last.margin_base), (2, 3_000_000, Some(200_000)), "the house earns what it did");
        let posted = postings(&out);
        let amounts: Vec<(&str, i64)> = posted[1].entries.iter().map(|e| (e.account.as_str(), e.amount_e8)).collect();
        assert_eq!(amounts, [("account:acme/shop", 1_500_000), ("resale:acme/acme", -1_500_000)]);
        told.push((rows, posted));
    }
    assert_eq!(told[0], told[1], "both ways write the same");
}

/// A call of shop, sold through mid to acme; the house is paid by acme.
fn resold(acme: Tier, fx: Option<Fx>) -> Story {
    let (retail, cost) = (tiers::priced("retail", 15_000_000_000, "USD"), tiers::priced("north-buy", 4_000_000_000, "USD"));
    tiers::story(1, 60_000, retail, cost, vec![tiers::tier("mid", "mid", 8_000_000_000), acme], fx)
}

#[test]
fn r_45_r_20_a_corrected_wholesale_price_is_rated_again_whether_the_call_is_remembered_or_not() {
    let mut told = Vec::new();
    for after_us in [1_000_000, LATER_US] {
        let dearer = tiers::tier("acme", "wholesale-2", 7_000_000_000);
        let (_, out, ..) = resold_again(&resold(tiers::tier("acme", "wholesale", 6_000_000_000), None), after_us, None, vec![dearer], vec![]);
        let rows = rows(&out);
        let last = rows.last().expect("a version 2");
        assert_eq!((last.cdr_version, last.sell_amount, last.margin_base, last.rerate_actor.as_str()), (2, 1_500_000, Some(300_000), "finance"));
        assert_eq!(last.tier_amounts, concat!(
            r#"[{"account":"mid","deck":"mid","amount":"0.008000","currency":"USD","rate":"0.0080","billed_sec":60},"#,
            r#"{"account":"acme","deck":"wholesale-2","amount":"0.007000","currency":"USD","rate":"0.0070","billed_sec":60}]"#
        ));
        assert_eq!(rows[2].tier_amounts, last.tier_amounts, "the attempt says so too");
        let posted = postings(&out);
        let amounts: Vec<(&str, i64)> = posted[1].entries.iter().map(|e| (e.account.as_str(), e.amount_e8)).collect();
        assert_eq!(amounts, [("account:acme/acme", 100_000), ("revenue/5", -100_000)], "what mid and shop pay is as it was");
        told.push((rows, posted));
    }
    assert_eq!(told[0], told[1], "both ways write the same");
}

#[test]
fn r_30_r_45_a_price_in_another_currency_has_no_margin_without_a_rate_of_that_day() {
    let euros = |deck: &str| Tier { account: "acme".into(), terms: Some(tiers::priced(deck, 6_000_000_000, "EUR")) };
    let rate = Fx { from: "USD".into(), to: "EUR".into(), rate_e12: 500_000_000_000, source: "bank".into(), date: "2026-11-20".into() };
    for (before, fx, after, want) in [
        (tiers::tier("acme", "w", 6_000_000_000), None, euros("w2"), (None, None, "missing")),
        (euros("w"), Some(&rate), euros("w2"), (Some(400_000), Some(500_000_000_000), "bank")),
        (euros("w"), Some(&rate), tiers::tier("acme", "w2", 6_000_000_000), (Some(200_000), None, "")),
    ] {
        for after_us in [1_000_000, LATER_US] {
            let (_, out, ..) = resold_again(&resold(before.clone(), fx.cloned()), after_us, None, vec![after.clone()], vec![]);
            let rows = rows(&out);
            let last = rows.last().expect("a version 2");
            assert_eq!((last.margin_base, last.fx_rate, last.fx_source.as_str()), want, "{before:?} {after_us}");
        }
    }
}

/// R-44, R-30: north of EUR takes a fee for an attempt that failed, alpha of USD answers; sold in USD.
fn hunted(north: Terms, rate: Option<Fx>) -> Story {
    let alpha = tiers::priced("alpha-buy", 10_000_000_000, "USD");
    let mut story = Story::new(1, 10, 100);
    story.attempted_as(facts(), Some(tiers::priced("retail", 15_000_000_000, "USD")));
    story.tried_at(1, "north", Some(north)).at(300).attempt_ended(1, "north", 503, 0, 0);
    if let Some((_, Event { body: Some(Body::CallRouteTried(b)), .. })) = story.events.get_mut(1) {
        b.fx = rate;
    }
    story.tried_at(2, "alpha", Some(alpha.clone())).at(1_000).answered_at(2, "alpha", Some(tiers::priced("retail", 15_000_000_000, "USD")), Some(alpha));
    story.at(61_000).attempt_ended(2, "alpha", 200, 0, 60_000);
    story.ended(CallEnded { duration_ms: 60_000, answered_attempt: 2, ..end("answered", 200, 2) });
    story
}

fn with_fee(deck: &str, fee_e12: i64, currency: &str) -> Terms {
    let fee = Fee { name: "attempt".into(), amount_e12: fee_e12, on: FeeOn::Attempt.into() };
    Terms { fees: vec![fee], ..tiers::priced(deck, 1_000_000_000, currency) }
}

#[test]
fn r_30_r_44_attempts_in_another_currency_are_in_the_calls_cost_at_their_days_rate_also_when_rated_again() {
    let ecb = Fx { from: "EUR".into(), to: "USD".into(), rate_e12: 2_000_000_000_000, source: "ecb".into(), date: "2023-11-14".into() };
    let of = |r: &Cdr| (r.cost_amount, r.cost_currency.clone(), r.margin_base, r.fx_source.clone(), r.rating_status.clone());
    let is = |cost, currency: &str, margin, source: &str, status: &str| (cost, currency.to_owned(), margin, source.to_owned(), status.to_owned());
    // 0.0100 USD and 0.0007 EUR at 2; then 0.0009 EUR.
    let out = play(&mut Rater::new(5, 9), &hunted(with_fee("north-buy", 700_000_000, "EUR"), Some(ecb.clone())).events);
    let rows = rows(&out);
    assert_eq!(rows.iter().map(of).collect::<Vec<_>>(), [
        is(70_000, "EUR", Some(-140_000), "ecb", "rated"), is(1_000_000, "USD", Some(500_000), "", "rated"), is(1_140_000, "USD", Some(360_000), "attempts", "rated"),
    ]);
    let dearer = vec![AttemptTerms { attempt_no: 1, terms: Some(with_fee("north-2", 900_000_000, "EUR")) }];
    let mut told = Vec::new();
    for after_us in [1_000_000, LATER_US] {
        let story = hunted(with_fee("north-buy", 700_000_000, "EUR"), Some(ecb.clone()));
        let (_, out, ..) = rated_again(&story, after_us, None, dearer.clone());
        let rows = newest(&out, story.call);
        assert_eq!((of(&rows[0]), of(&rows[1])), (is(1_180_000, "USD", Some(320_000), "attempts", "rated"), is(90_000, "EUR", Some(-180_000), "ecb", "rated")), "{after_us}");
        // In dollars from now on: one currency, no rate.
        let (_, out, ..) = rated_again(&story, after_us, None, vec![AttemptTerms { attempt_no: 1, terms: Some(with_fee("north-3", 900_000_000, "USD")) }]);
        assert_eq!(of(&newest(&out, story.call)[0]), is(1_090_000, "USD", Some(410_000), "", "rated"), "{after_us}");
        // In a currency without a rate.
        let (_, out, ..) = rated_again(&story, after_us, None, vec![AttemptTerms { attempt_no: 1, terms: Some(with_fee("north-4", 900_000_000, "GBP")) }]);
        let last = newest(&out, story.call)[0].clone();
        assert_eq!((last.margin_base, last.fx_source.as_str(), last.rating_status.as_str()), (None, "missing", "error"), "{after_us}");
        told.push((rows, postings(&out)));
    }
    assert_eq!(told[0], told[1], "both ways write the same");
    // No rate was there: the sum is not known.
    let out = play(&mut Rater::new(5, 9), &hunted(with_fee("north-buy", 700_000_000, "EUR"), None).events);
    let last = rows_of_final(&out);
    assert_eq!((last.margin_base, last.fx_source.as_str(), last.rating_status.as_str()), (None, "missing", "error"));
}

fn rows_of_final(out: &Outputs) -> Cdr {
    rows(out).into_iter().rev().find(Cdr::is_final).expect("a final")
}

#[test]
fn r_45_a_tier_of_an_account_that_does_not_pay_for_the_call_is_refused() {
    for after_us in [1_000_000, LATER_US] {
        let story = resold(tiers::tier("acme", "wholesale", 6_000_000_000), None);
        let mut rater = Rater::new(5, 9);
        let mut out = play(&mut rater, &story.events);
        let at_us = story.now_us() + after_us;
        rater.apply(900, &tick(1, at_us), &mut out).expect("a tick");
        let order = order_of(at_us, at_us, &newest(&out, story.call), None, vec![tiers::tier("other", "w", 1)], vec![]);
        let refused = rater.apply(901, &order, &mut out).expect_err("a stranger");
        assert!(refused.0.contains("account other is not one of those that pay"), "{}", refused.0);
    }
}

#[test]
fn r_45_r_20_a_plan_prices_each_account_that_pays_and_an_accounts_plan_only_what_it_pays() {
    let story = resold(tiers::tier("acme", "wholesale", 6_000_000_000), None);
    let rows = newest(&play(&mut Rater::new(5, 9), &story.events), story.call);
    let rate = |payer: &str| match payer {
        "shop" => Some(("retail", 16_000_000_000)),
        "mid" => Some(("mid", 8_000_000_000)),
        "acme" => Some(("wholesale", 7_000_000_000)),
        _ => None,
    };
    let sell = |payer: &str, paid_by: &str, _: &Cdr| {
        let found = rate(payer).filter(|(deck, _)| *deck == paid_by).map(|(deck, rate)| tiers::priced(deck, rate, "USD"));
        found.ok_or_else(|| format!("{payer} has no price"))
    };
    let cost = |_: &Cdr| Ok(tiers::priced("north-buy", 4_000_000_000, "USD"));
    let changes = |scope: Scope| {
        let found = plan(&rows, &scope, &sell, &cost).expect("priced");
        found.map_or_else(Vec::new, |p| p.changes.iter().map(|c| (c.account.clone(), c.delta_e8())).collect::<Vec<_>>())
    };
    let (shop, acme) = (("shop".to_owned(), 100_000), ("acme".to_owned(), 100_000));
    for (scope, want) in [
        (Scope::default(), vec![shop.clone(), acme.clone()]),
        (Scope { account: Some("acme".into()), ..Scope::default() }, vec![acme.clone()]),
        (Scope { account: Some("mid".into()), ..Scope::default() }, vec![]),
        (Scope { account: Some("shop".into()), ..Scope::default() }, vec![shop]),
        (Scope { deck: Some("wholesale".into()), ..Scope::default() }, vec![acme]),
        (Scope { side: Side::Cost, ..Scope::default() }, vec![]),
        (Scope { carrier: Some("north".into()), ..Scope::default() }, vec![]),
    ] {
        assert_eq!(changes(scope.clone()), want, "{scope:?}");
    }
    let planned = plan(&rows, &Scope::default(), &sell, &cost).expect("priced").expect("changes");
    assert_eq!(planned.tiers.len(), 1, "what mid pays is not ordered: it is as it was");
    assert_eq!(plan(&planned.new, &Scope::default(), &sell, &cost), Ok(None), "a second run changes nothing");
    let none = |payer: &str, deck: &str, row: &Cdr| if payer == "acme" { Err("acme has no price".to_owned()) } else { sell(payer, deck, row) };
    assert_eq!(plan(&rows, &Scope::default(), &none, &cost), Err("acme has no price".to_owned()), "no price is no price of zero");
}

#[test]
fn r_45_an_order_that_does_not_follow_the_newest_version_is_refused() {
    for after_us in [1_000_000, LATER_US] {
        let story = answered(1, 0, 100, 10_000);
        let (mut rater, out, at_us, order) = rated_again(&story, after_us, Some(dearer_sell()), vec![]);
        let mut more = Outputs::default();
        let again = rater.apply(902, &order, &mut more).expect_err("the same order again");
        assert!(again.0.contains("other versions"), "{}", again.0);
        // What follows the new version stands.
        let next = order_at(at_us + 5, at_us + 5, &newest(&out, story.call), Some(sell()), vec![]);
        rater.apply(903, &next, &mut more).expect("follows version 2");
        assert_eq!(finals(&more)[0].cdr_version, 3);
        assert_eq!(finals(&more)[0].sell_amount, 300_000, "back to what it was");
    }
}

#[test]
fn r_45_an_order_whose_rows_were_read_long_ago_is_refused() {
    let story = answered(1, 0, 100, 10_000);
    let mut rater = Rater::new(5, 9);
    let mut out = play(&mut rater, &story.events);
    let at_us = story.now_us() + LATER_US;
    let order = order_at(at_us, at_us - FRESH_US - 1, &newest(&out, story.call), Some(dearer_sell()), vec![]);
    let refused = rater.apply(901, &order, &mut out).expect_err("too old");
    assert!(refused.0.contains("60 s before"), "{}", refused.0);
}

#[test]
fn r_45_a_late_fact_keeps_the_new_price() {
    // North answers late, after the call was rated again with a dearer price of north.
    let mut story = late_answered(1, 0, 100, 60_000);
    let late = story.events.pop().expect("the late answer");
    let (mut rater, mut out, ..) = rated_again(&story, 1_000_000, None, vec![AttemptTerms { attempt_no: 1, terms: Some(terms("north-2", 60_000_000_000, 1, 1)) }]);
    rater.apply(950, &late.1, &mut out).expect("late");
    let last = newest(&out, story.call);
    let north = last.iter().find(|r| r.carrier == "north").expect("north's attempt");
    // A minute at 0.06.
    assert_eq!((north.cdr_version, north.cost_amount, north.cost_deck.as_str()), (3, 6_000_000, "north-2"));
    assert_eq!(last[0].cost_amount, 6_000_000 + 166_700);
}

#[test]
fn r_45_rows_that_are_not_all_of_the_call_are_not_priced() {
    let story = failover(1, 0, 100, 8_000);
    let out = play(&mut Rater::new(5, 9), &story.events);
    let rows = newest(&out, story.call);
    assert!(repriced(&rows[..2], Some(&dearer_sell()), &[], &[]).expect_err("one attempt is missing").contains("1 of its 2"));
    assert!(repriced(&rows[1..], Some(&dearer_sell()), &[], &[]).is_err());
    assert_eq!(repriced(&rows, None, &[], &[]).expect("nothing new"), rows);
}

#[test]
fn r_45_a_plan_names_what_changes_and_a_second_one_nothing() {
    let story = answered(1, 0, 100, 10_000);
    let out = play(&mut Rater::new(5, 9), &story.events);
    let rows = newest(&out, story.call);
    let (old_sell, old_cost) = (|_: &str, _: &str, _: &Cdr| Ok(sell()), |r: &Cdr| Ok(cost(&r.carrier)));
    assert_eq!(plan(&rows, &Scope::default(), &old_sell, &old_cost), Ok(None), "the prices it has");
    let planned = plan(&rows, &Scope::default(), &|_, _, _| Ok(dearer_sell()), &old_cost).expect("priced").expect("changes");
    assert_eq!((planned.changes.len(), planned.changes[0].sells, planned.changes[0].delta_e8()), (1, true, 2_700_000));
    assert!(planned.costs.is_empty(), "the carrier's price is as it was");
    assert_eq!(plan(&planned.new, &Scope::default(), &|_, _, _| Ok(dearer_sell()), &old_cost), Ok(None), "a second run changes nothing");
    for (scope, changes) in [
        (Scope { side: Side::Cost, ..Scope::default() }, 0),
        (Scope { deck: Some("other".into()), ..Scope::default() }, 0),
        (Scope { deck: Some("retail".into()), ..Scope::default() }, 1),
        (Scope { carrier: Some("north".into()), ..Scope::default() }, 0),
    ] {
        let found = plan(&rows, &scope, &|_, _, _| Ok(dearer_sell()), &old_cost).expect("priced");
        assert_eq!(found.map_or(0, |p| p.changes.len()), changes, "{scope:?}");
    }
    assert!(plan(&rows, &Scope::default(), &|_, _, _| Err("none".into()), &old_cost).is_err(), "no price now is a problem, not a zero");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn r_20_r_45_tiers_rated_again_are_what_they_would_be_rated_so_at_once(ms in 1..400_000i64, own in 0..90_000_000_000i64, rates in proptest::array::uniform2(0..90_000_000_000i64), given in 0..4usize, soon in any::<bool>()) {
        let tell = |own: i64, rates: [i64; 2]| {
            let above = vec![tiers::tier("mid", "m", rates[0]), tiers::tier("acme", "w", rates[1])];
            tiers::story(1, ms, tiers::priced("retail", own, "USD"), tiers::priced("north-buy", 4_000_000_000, "USD"), above, None)
        };
        let old = [8_000_000_000, 6_000_000_000];
        let new: Vec<Tier> = [("mid", "m", 0), ("acme", "w", 1)].into_iter().filter(|t| given & (1 << t.2) != 0).map(|(a, d, i)| tiers::tier(a, d, rates[i])).collect();
        let left = [0, 1].map(|i| if given & (1 << i) != 0 { rates[i] } else { old[i] });
        let sell = tiers::priced("retail", own, "USD");
        let (_, again, ..) = resold_again(&tell(15_000_000_000, old), if soon { 1_000_000 } else { LATER_US }, Some(sell), new, vec![]);
        let at_once = play(&mut Rater::new(5, 9), &tell(own, left).events);
        let plain = |out: &Outputs| {
            let mut rows = current(out);
            for r in rows.values_mut() {
                r.rerate_reason.clear();
                r.rerate_actor.clear();
            }
            rows
        };
        prop_assert_eq!(plain(&again), plain(&at_once));
        prop_assert_eq!(balances(&again), balances(&at_once));
    }

    #[test]
    fn r_45_a_call_rated_again_is_what_it_would_be_rated_so_at_once(kind in 0..3u32, talk_ms in 1..400_000u64, rate in 0..90_000_000_000i64, increment in 1..61u32, soon in any::<bool>()) {
        let tell = |sell_terms: Terms, cost_terms: Terms| {
            let mut s = Story::new(1, 0, 100);
            s.attempted_as(facts(), Some(sell_terms.clone())).at(5);
            if kind == 1 {
                s.tried_at(1, "south", Some(cost("south"))).at(300);
                s.attempt_ended(1, "south", 503, 0, 0);
            }
            let no = 1 + u32::from(kind == 1);
            s.tried_at(no, "north", Some(cost_terms.clone())).at(1_300).answered_at(no, "north", Some(sell_terms), Some(cost_terms)).at(1_300 + talk_ms as i64);
            s.attempt_ended(no, "north", 200, 0, talk_ms);
            s.ended(CallEnded { duration_ms: talk_ms, answered_attempt: no, ..end("answered", 200, no) });
            (s, no)
        };
        let (new_sell, new_cost) = (terms("retail-2", rate, increment, increment), terms("north-2", rate / 2, 1, increment));
        let (story, no) = tell(sell(), cost("north"));
        let (_, again, ..) = rated_again(&story, if soon { 1_000_000 } else { LATER_US }, Some(new_sell.clone()), vec![AttemptTerms { attempt_no: no, terms: Some(new_cost.clone()) }]);
        let at_once = play(&mut Rater::new(5, 9), &tell(new_sell, new_cost).0.events);
        let plain = |out: &Outputs| {
            let mut rows = current(out);
            for r in rows.values_mut() {
                r.rerate_reason.clear();
                r.rerate_actor.clear();
                // What was offered stands on attempts nobody answered, and is no charge.
                if !r.is_final() && r.disposition != "answered" {
                    r.sell_deck.clear();
                    (r.sell_rate, r.sell_increment) = (None, String::new());
                }
            }
            rows
        };
        prop_assert_eq!(plain(&again), plain(&at_once));
        prop_assert_eq!(balances(&again), balances(&at_once));
    }

    #[test]
    fn r_45_replayed_and_resumed_it_gives_the_same_bytes(talk_ms in 1..400_000u64, after_us in 0..LATER_US, cut in 0..12usize) {
        let story = failover(1, 0, 100, talk_ms);
        let (_, whole, at_us, order) = rated_again(&story, after_us, Some(dearer_sell()), vec![cheaper_cost(2)]);
        let mut events = story.events.clone();
        events.push((900, tick(1, at_us)));
        events.push((901, order));
        prop_assert_eq!(bytes(&play(&mut Rater::new(5, 9), &events)), bytes(&whole));
        let at = cut.min(events.len());
        let mut first = Rater::new(5, 9);
        let mut out = play(&mut first, &events[..at]);
        let mut second = Rater::new(5, 9);
        second.restore(&first.snapshot()).expect("our own snapshot");
        out.appends.extend(play(&mut second, &events[at..]).appends);
        prop_assert_eq!(bytes(&out), bytes(&whole));
        // After it, too: the version it wrote is remembered.
        let mut third = Rater::new(5, 9);
        play(&mut third, &events);
        let mut fourth = Rater::new(5, 9);
        fourth.restore(&third.snapshot()).expect("our own snapshot");
        let mut none = Outputs::default();
        prop_assert!(fourth.apply(902, &events[events.len() - 1].1, &mut none).is_err());
    }
}
