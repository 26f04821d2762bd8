//! Carriers that are blocked or full, at the choice and when their turn comes.

use tollgate_schemas::{
    event::Body,
    id::Id,
    v1::{BlockPlaced, BlockScope, CallRefused, CallRouteSkipped, RouteChoice},
};

use super::super::tests::{CALLER, CARRIERS, World, now};

fn block(w: &World, id: u128, carrier: &str) {
    let scope = BlockScope { carrier: carrier.to_owned(), ..BlockScope::default() };
    let placed = BlockPlaced { block_id: Id(id).to_vec(), scope: Some(scope), reason: format!("fraud at {carrier}"), ..BlockPlaced::default() };
    w.core.gate().admission.apply_block(&placed, now(w.now_ms)).expect("a block");
}

fn reasons(choices: &[RouteChoice]) -> Vec<(&str, u32, &str)> {
    choices.iter().map(|c| (c.carrier.as_str(), c.rank, c.reason.as_str())).collect()
}

#[test]
fn r_35_a_blocked_carrier_is_left_out_of_the_choice_by_name() {
    let mut w = World::new();
    block(&w, 7, "c0");
    w.invite();
    assert!(w.take(CARRIERS[0]).is_empty());
    assert_eq!(w.take(CARRIERS[1]).len(), 1);
    let Some((_, Body::CallAttempted(attempted))) = w.events.first() else { panic!("{:?}", w.names()) };
    assert_eq!(reasons(&attempted.choices), [("c0", 0, "carrier_blocked"), ("c1", 1, "chosen"), ("c2", 2, "chosen")]);
    assert_eq!(w.names(), ["call.attempted", "call.route_tried"]);
}

#[test]
fn r_35_a_call_that_every_carrier_is_blocked_for_is_refused_and_says_by_which_block() {
    let mut w = World::new();
    for (id, carrier) in [(7, "c0"), (8, "c1"), (9, "c2")] {
        block(&w, id, carrier);
    }
    w.invite();
    assert_eq!(w.first_lines(CALLER), ["SIP/2.0 100 Trying", "SIP/2.0 503 No Circuit Available"]);
    let [(_, Body::CallRefused(refused))] = &w.events[..] else { panic!("{:?}", w.names()) };
    let CallRefused { reason, block_id, choices, route_policy, draw_e6, detail, .. } = refused;
    assert_eq!((reason.as_str(), Id::of(block_id), route_policy.as_str()), ("carrier_unavailable", Id(7), "lcr"));
    assert_eq!(reasons(choices), [("c0", 0, "carrier_blocked"), ("c1", 0, "carrier_blocked"), ("c2", 0, "carrier_blocked")]);
    assert!(detail.starts_with("c0: carrier_blocked (fraud at c0); c1: "), "{detail}");
    // The event is the call: who has its id can draw again.
    assert!(*draw_e6 < 1_000_000);
    assert_eq!(w.core.gate().admission.gauges().calls, 0, "nothing is held for it");
}

#[test]
fn r_35_a_carrier_that_is_blocked_when_its_turn_comes_is_named_in_an_event() {
    let mut w = World::new();
    w.invite();
    let invite = w.take(CARRIERS[0]).remove(0);
    block(&w, 8, "c1");
    w.answer(CARRIERS[0], &invite, "503 Service Unavailable", "k");
    assert!(w.take(CARRIERS[1]).is_empty());
    assert_eq!(w.take(CARRIERS[2]).len(), 1);
    let skipped = w.events.iter().find_map(|(_, b)| match b {
        Body::CallRouteSkipped(skipped) => Some(skipped.clone()),
        _ => None,
    });
    let CallRouteSkipped { carrier, rank, reason, block_id, detail, .. } = skipped.expect("an event");
    assert_eq!((carrier.as_str(), rank, reason.as_str(), Id::of(&block_id), detail.as_str()), ("c1", 2, "carrier_blocked", Id(8), "fraud at c1"));
}
