use tollgate_schemas::{
    event::Origin,
    id::{Id, Mint},
    time::Now,
    v1::{AlertClosed, AlertRaised, BlockLifted, BlockPlaced, BlockScope, CallRefused, CallTeardown},
};

use super::*;

const T0: i64 = 1_700_000_000_000_000;
const S: i64 = 1_000_000;

fn event(at_us: i64, key: &str, body: Body) -> Event {
    static MINT: std::sync::LazyLock<Mint> = std::sync::LazyLock::new(|| Mint::new(1, 1));
    Event::born(Origin { mint: &MINT, boot_id: 1, now: Now { utc_us: at_us, mono_ns: 0 }, control_position: 0 }, key, body)
}

fn alert(at_us: i64, first_us: i64, loss_e8: i64) -> Event {
    let body = AlertRaised {
        severity: "critical".to_owned(), account: "a".to_owned(), dest_group: "Cuba".to_owned(), loss_e8, currency: "USD".to_owned(), first_us,
        ..AlertRaised::default()
    };
    event(at_us, "a", Body::AlertRaised(body))
}

fn place(id: Id, account: &str, expires_us: i64) -> Body {
    let scope = Some(BlockScope { account: account.to_owned(), ..BlockScope::default() });
    Body::BlockPlaced(BlockPlaced { block_id: id.to_vec(), scope, expires_us, ..BlockPlaced::default() })
}

fn loss(views: &Views, now_us: i64) -> i64 {
    views.series(|s| s.minutes.sum(60, now_us).money.iter().map(|(_, m)| m.fraud_loss_e8).sum())
}

#[test]
fn feeding_a_stretch_twice_changes_nothing() {
    let views = Views::new(CountFrom::Calls);
    let refused = event(T0, "a", Body::CallRefused(CallRefused { reason: "credit".to_owned(), count: 3, ..CallRefused::default() }));
    for _ in 0..2 {
        views.apply(Topic::Calls, 4, 7, &refused);
        views.apply(Topic::Alerts, 4, 0, &alert(T0, T0 - S, 500));
    }
    let sum = views.series(|s| s.minutes.sum(60, T0 + 60 * S));
    assert_eq!((sum.attempted, sum.refused), (3, vec![("credit", 3)]));
    assert_eq!((views.alerts(&AlertFilter::default(), None, 10, T0).len(), loss(&views, T0 + 60 * S)), (1, 500));
    assert_eq!((views.next(Topic::Calls, 4), views.next(Topic::Calls, 5)), (8, 0));
}

#[test]
fn money_in_overlapping_alert_windows_is_counted_once() {
    let views = Views::new(CountFrom::Calls);
    for (offset, (at, first, loss_e8)) in [(10, 0, 500), (20, 0, 800), (30, 5, 700), (500, 400, 300)].into_iter().enumerate() {
        views.apply(Topic::Alerts, 0, offset as u64, &alert(T0 + at * S, T0 + first * S, loss_e8));
    }
    // 500, then 300 more, then nothing new, then a window of its own.
    assert_eq!(loss(&views, T0 + 600 * S), 1_100);
}

#[test]
fn s1_85_an_alert_that_stays_open_is_open_until_it_is_closed() {
    let views = Views::new(CountFrom::Calls);
    let raised = |dest: &str| AlertRaised { rule: "no_route".to_owned(), severity: "critical".to_owned(), dest_group: dest.to_owned(), stays_open: true, ..AlertRaised::default() };
    let closed = |rule: &str, dest: &str| Body::AlertClosed(AlertClosed { rule: rule.to_owned(), dest_group: dest.to_owned(), ..AlertClosed::default() });
    views.apply(Topic::Alerts, 0, 0, &event(T0, "", Body::AlertRaised(raised("japan"))));
    views.apply(Topic::Alerts, 0, 1, &event(T0 + S, "", Body::AlertRaised(raised("peru"))));
    let much_later = T0 + 100 * alerts::OPEN_US;
    let open = || views.alerts(&AlertFilter::default(), None, 10, much_later).into_iter().map(|(a, _, open)| (a.dest_group.clone(), open, a.closed_us)).collect::<Vec<_>>();
    assert_eq!(open(), [("peru".to_owned(), true, None), ("japan".to_owned(), true, None)]);
    views.apply(Topic::Alerts, 0, 2, &event(T0 + 2 * S, "", closed("diversity_1", "japan")));
    views.apply(Topic::Alerts, 0, 3, &event(T0 + 3 * S, "", closed("no_route", "japan")));
    assert_eq!(open(), [("peru".to_owned(), true, None), ("japan".to_owned(), false, Some(T0 + 3 * S))]);
    assert_eq!(views.open(None, much_later).0, 1);
    // Closed again changes nothing; raised again is another alert.
    views.apply(Topic::Alerts, 0, 4, &event(T0 + 4 * S, "", closed("no_route", "japan")));
    views.apply(Topic::Alerts, 0, 5, &event(T0 + 5 * S, "", Body::AlertRaised(raised("japan"))));
    assert_eq!(open()[0], ("japan".to_owned(), true, None));
    assert_eq!(open()[2].2, Some(T0 + 3 * S));
}

#[test]
fn a_block_is_active_until_it_ends_or_is_lifted() {
    let views = Views::new(CountFrom::Calls);
    let (short, lifted) = (Id(1), Id(2));
    views.apply(Topic::Blocks, 0, 0, &event(T0, "a", place(short, "a", T0 + 10 * S)));
    views.apply(Topic::Blocks, 0, 1, &event(T0 + S, "a", place(lifted, "a", 0)));
    assert_eq!(views.open(Some("a"), T0 + 9 * S).1, 2);
    assert_eq!(views.open(Some("b"), T0 + 9 * S).1, 0);
    assert_eq!(views.open(None, T0 + 10 * S).1, 1, "it ends at its time, not after it");
    let lift = |reason: &str| Body::BlockLifted(BlockLifted { block_id: lifted.to_vec(), actor: "me".to_owned(), reason: reason.to_owned() });
    views.apply(Topic::Blocks, 0, 2, &event(T0 + 11 * S, "", lift("first")));
    views.apply(Topic::Blocks, 0, 3, &event(T0 + 12 * S, "", lift("second")));
    let block = views.block(lifted).expect("block");
    assert_eq!(block.lifted.as_ref().map(|l| l.2.as_str()), Some("first"), "what ended it stays");
    assert_eq!(block.state(T0), BlockState::Lifted);
}

#[test]
fn what_a_block_stopped_is_counted_even_before_the_block_is_seen() {
    let views = Views::new(CountFrom::Calls);
    let id = Id(9);
    let refused = CallRefused { block_id: id.to_vec(), count: 4, ..CallRefused::default() };
    views.apply(Topic::Calls, 0, 0, &event(T0, "a", Body::CallRefused(refused)));
    views.apply(Topic::Blocks, 0, 0, &event(T0, "a", place(id, "a", 0)));
    views.apply(Topic::Calls, 0, 1, &event(T0, "a", Body::CallTeardown(CallTeardown { block_id: id.to_vec(), ..CallTeardown::default() })));
    let block = views.block(id).expect("block");
    assert_eq!((block.calls_refused, block.calls_ended), (4, 1));
}

#[test]
fn r_21_a_block_of_a_carrier_or_a_number_is_nobodys_but_the_operators() {
    let views = Views::new(CountFrom::Calls);
    for (i, scope) in [
        BlockScope { account: "a".to_owned(), carrier: "northtel".to_owned(), ..BlockScope::default() },
        BlockScope { b_prefix: "53".to_owned(), ..BlockScope::default() },
        BlockScope { trunk: "a-1".to_owned(), ..BlockScope::default() },
    ].into_iter().enumerate() {
        let body = BlockPlaced { block_id: Id(i as u128 + 1).to_vec(), scope: Some(scope), ..BlockPlaced::default() };
        views.apply(Topic::Blocks, 0, i as u64, &event(T0, "a", Body::BlockPlaced(body)));
    }
    let tenants: Vec<String> = views.blocks(|_| true).iter().map(|b| b.tenant().to_owned()).collect();
    assert_eq!(tenants, ["a", "", ""], "newest first");
}

#[test]
fn a_bucket_forgets_the_hour_before_and_a_late_fact_of_it_is_dropped() {
    let views = Views::new(CountFrom::Calls);
    let refused = |at| event(at, "a", Body::CallRefused(CallRefused { reason: "credit".to_owned(), ..CallRefused::default() }));
    let minute = 60 * S;
    for (offset, at) in [T0, T0 + 61 * minute, T0].into_iter().enumerate() {
        views.apply(Topic::Calls, 0, offset as u64, &refused(at));
    }
    assert_eq!(views.series(|s| s.minutes.sum(60, T0 + 62 * minute)).attempted, 1);
    assert_eq!(views.series(|s| s.seconds.last(9_999, T0).len()), SECONDS as usize);
}

#[test]
fn counting_from_cdrs_needs_no_call_events() {
    let views = Views::new(CountFrom::Cdrs);
    let cdr = |disposition: &str, answer_ts| Cdr {
        record_type: "final".to_owned(), cdr_version: 1, root_account: "a".to_owned(), disposition: disposition.to_owned(), invite_ts: T0, answer_ts,
        end_ts: T0 + S, block_reason: if disposition == "blocked" { "credit".to_owned() } else { String::new() }, count: 2, sell_amount: 7,
        sell_currency: "USD".to_owned(), ..Cdr::default()
    };
    views.apply_cdr(0, 0, &Arc::new(cdr("answered", Some(T0 + 1))));
    views.apply_cdr(0, 1, &Arc::new(cdr("blocked", None)));
    views.apply_cdr(0, 2, &Arc::new(Cdr { cdr_version: 2, ..cdr("answered", None) }));
    views.apply_cdr(0, 3, &Arc::new(Cdr { record_type: "attempt".to_owned(), ..cdr("answered", None) }));
    let sum = views.series(|s| s.tenant("a").map(|r| r.sum(60, T0 + 60 * S))).expect("tenant");
    assert_eq!((sum.attempted, sum.answered, sum.refused, sum.money[0].1.revenue_e8), (4, 2, vec![("credit", 2)], 14));
}
