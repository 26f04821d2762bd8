//! The core on a fake clock: the defaults of P-13 and P-46, and what a datagram test cannot time.

use std::{net::SocketAddr, sync::Arc};

use tollgate_schemas::{
    control::{Carrier, CarrierTimers, DialPolicy, NumberPlan, Trunk},
    event::Body,
    id::Mint,
    parties::Parties,
    time::Now,
    v1::{RouteChoice, Terms, Tier},
};

use super::{Context, Core, Gate};
use crate::{
    admission::{CarrierIx, Documents, Policy, Prices, Sale, Sell},
    routing::{Plan, Route, RouteQuery, Routes, Routing},
    sip::{
        call::Verdict,
        msg::{Header, Msg},
        settings::Settings,
        token::Keyring,
    },
};

pub(super) const CALLER: &str = "10.0.0.9:5060";
pub(super) const CARRIERS: [&str; 3] = ["10.0.1.1:5060", "10.0.1.2:5060", "10.0.1.3:5060"];

/// Every call is sold and bought on these terms.
#[derive(Clone)]
struct Flat {
    sell: Terms,
    cost: Terms,
}

fn terms() -> Terms {
    Terms { deck: "d".into(), rate_e12: 10_000_000_000, initial_s: 1, increment_s: 1, currency: "USD".into(), places: 6, destination: "x".into(), ..Terms::default() }
}

impl Prices for Flat {
    fn sell<'p>(&'p self, _: &str, _: &Parties<'p>, _: i64) -> Sale<'p> {
        Sell::Terms(self.sell.clone()).into()
    }
}

impl Routing for Flat {
    fn routes(&self, query: &RouteQuery<'_>) -> Routes {
        let shut = |i: u32| query.shut.iter().find(|(ix, _)| ix.0 == i).map(|(_, shut)| shut.reason());
        let open = (0..3).filter(|i| shut(*i).is_none());
        let routes: Vec<_> = (1..).zip(open).map(|(rank, i)| Route { carrier: CarrierIx(i), cost: Some(self.cost.clone()), rank }).collect();
        let rank = |i: u32| routes.iter().find(|r| r.carrier.0 == i).map_or(0, |r| r.rank);
        let choices = (0..3).map(|i| RouteChoice { carrier: format!("c{i}"), rank: rank(i), reason: shut(i).unwrap_or("chosen").to_owned(), ..RouteChoice::default() }).collect();
        Routes { routes, choices, policy: "lcr".to_owned(), quality_snapshot: String::new() }
    }
    fn unchanged(&self, _: i64, _: i64) -> bool {
        true
    }
    fn cost(&self, _: CarrierIx, _: &Parties<'_>, _: i64) -> Option<Terms> {
        Some(self.cost.clone())
    }
    fn sell_at(&self, _: &str, _: &Parties<'_>, _: i64) -> Option<(Terms, Vec<Tier>)> {
        Some((self.sell.clone(), Vec::new()))
    }
}

fn plan(routing: Flat) -> Arc<Plan> {
    plan_of(routing, false)
}

/// `cnam`: names of the trunk's callers are looked up.
fn plan_of(routing: Flat, cnam: bool) -> Arc<Plan> {
    let mut documents = Documents::default();
    documents.accounts.insert(
        "acme".into(),
        serde_json::from_str(r#"{"sell_deck": "d"}"#).expect("an account"),
    );
    documents.trunks.insert(
        "t".into(),
        Trunk {
            account: "acme".into(),
            sources: vec!["10.0.0.9".into()],
            channels: 100,
            cps: 100,
            burst: 100,
            numbers: NumberPlan { country_code: "1".into(), ..NumberPlan::default() },
            dial: DialPolicy { international: true, daily_spend: None, ..DialPolicy::default() },
            emergency: vec!["911".into()],
            require_cli: false,
            party: None,
            relay_503: false,
            trust_npdi: false,
            cnam,
        },
    );
    for (i, addr) in CARRIERS.iter().enumerate() {
        documents.carriers.insert(
            format!("c{i}"),
            Carrier {
                addresses: vec![(*addr).into()],
                sources: vec![],
                deck: "d".into(),
                prefix: String::new(),
                channels: None,
                cps: None,
                route_class: "standard".into(),
                emergency: true,
                suspended: false,
                party: None,
                upstream: None,
                cli_guaranteed: false,
                priority: 0,
                weight: 0,
                timers: CarrierTimers::default(),
                advance_on: vec![],
                stop_on: vec![],
            },
        );
    }
    let policy = Policy::compile(&documents, 1).expect("policy");
    Arc::new(Plan { policy, routing: Box::new(routing), control_position: 1 })
}

/// A core whose log is durable at once, and its peers.
pub(super) struct World {
    pub(super) core: Core,
    pub(super) now_ms: u64,
    sent: Vec<(SocketAddr, Vec<u8>)>,
    pub(super) events: Vec<(u64, Body)>,
    /// Whether batches become durable as they are made.
    durable: bool,
}

impl World {
    pub(super) fn new() -> World {
        World::priced(terms(), terms())
    }

    fn priced(sell: Terms, cost: Terms) -> World {
        let ctx = Context {
            local: "10.0.0.1:5060".parse().expect("address"),
            settings: Settings::default(),
            keys: Keyring::new([3; 32], 1),
            mint: Arc::new(Mint::new(1, 1)),
            boot_id: 1,
            generation: 7,
            partitions: 16,
            gate: Arc::new(std::sync::Mutex::new(Gate::default())),
        };
        let now_ms = 1_000_000;
        let core = Core::new(ctx, plan(Flat { sell, cost }), now(now_ms));
        World { core, now_ms, sent: Vec::new(), events: Vec::new(), durable: true }
    }

    /// A plan in which callers' names are looked up.
    pub(super) fn ask_names(&mut self) {
        self.core.set_plan(plan_of(Flat { sell: terms(), cost: terms() }, true), now(self.now_ms));
    }

    /// A plan in which nobody may call.
    pub(super) fn provision_nobody(&mut self) {
        let policy = Policy::compile(&Documents::default(), 2).expect("policy");
        let plan = Plan { policy, routing: Box::new(Flat { sell: terms(), cost: terms() }), control_position: 2 };
        self.core.set_plan(Arc::new(plan), now(self.now_ms));
    }

    pub(super) fn settle(&mut self) {
        for append in std::mem::take(&mut self.core.out.events) {
            if let Some(body) = append.event.body {
                self.events.push((self.now_ms, body));
            }
        }
        let batch = self.core.batch();
        self.core.next_batch();
        if self.durable {
            self.core.set_durable(batch);
        }
        let reached = self.core.durable_batch();
        for send in self.core.out.sends.clone() {
            if send.after <= reached {
                self.sent.push((send.to, self.core.out.bytes(&send).to_vec()));
            }
        }
        self.core.out.clear_sends();
    }

    pub(super) fn from(&mut self, addr: &str, text: &str) {
        let bytes = text.replace('\n', "\r\n");
        self.core.handle(bytes.as_bytes(), addr.parse().expect("address"), now(self.now_ms));
        self.settle();
    }

    /// Lets time pass, millisecond timers and all.
    pub(super) fn pass(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while let Some(at) = self.core.next_timeout_ms().filter(|at| *at <= end) {
            self.now_ms = self.now_ms.max(at) + u64::from(at <= self.now_ms);
            self.core.handle_timeouts(now(self.now_ms));
            self.settle();
            if self.now_ms >= end {
                break;
            }
        }
        self.now_ms = end;
        self.core.handle_timeouts(now(self.now_ms));
        self.settle();
    }

    pub(super) fn invite(&mut self) {
        self.from(
            CALLER,
            "INVITE sip:12125550100@10.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bKa1\nFrom: <sip:12125550199@10.0.0.9>;tag=f1\nTo: <sip:12125550100@10.0.0.1>\nCall-ID: call-1\nCSeq: 1 INVITE\nContact: <sip:u@10.0.0.9:5060>\nMax-Forwards: 70\nContent-Length: 0\n\n",
        );
    }

    /// What was sent to an address since the last look, by first line.
    pub(super) fn take(&mut self, to: &str) -> Vec<String> {
        let to: SocketAddr = to.parse().expect("address");
        let (mine, rest) = std::mem::take(&mut self.sent).into_iter().partition(|(addr, _)| *addr == to);
        self.sent = rest;
        let mine: Vec<(SocketAddr, Vec<u8>)> = mine;
        mine.into_iter().map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned()).collect()
    }

    /// Answers a request as a carrier would.
    pub(super) fn answer(&mut self, carrier: &str, request: &str, status: &str, tag: &str) {
        let msg = Msg::parse(request.as_bytes()).expect("request");
        let mut text = format!("SIP/2.0 {status}\n");
        for header in [Header::Via, Header::RecordRoute] {
            let name = if header == Header::Via { "Via" } else { "Record-Route" };
            for value in msg.values(header) {
                text += &format!("{name}: {}\n", String::from_utf8_lossy(value.bytes));
            }
        }
        let of = |h| String::from_utf8_lossy(msg.header(h).expect("header")).into_owned();
        let to = if status.starts_with("100") { of(Header::To) } else { format!("{};tag={tag}", of(Header::To)) };
        text += &format!("From: {}\nTo: {to}\nCall-ID: {}\nCSeq: {}\nContact: <sip:c@{carrier}>\nContent-Length: 0\n\n", of(Header::From), of(Header::CallId), of(Header::CSeq));
        self.from(carrier, &text);
    }

    pub(super) fn first_lines(&mut self, to: &str) -> Vec<String> {
        self.take(to).iter().map(|m| m.lines().next().unwrap_or_default().to_owned()).collect()
    }

    pub(super) fn names(&self) -> Vec<&'static str> {
        self.events
            .iter()
            .map(|(_, b)| tollgate_schemas::v1::Event { body: Some(b.clone()), ..Default::default() }.name())
            .collect()
    }
}

pub(super) fn now(ms: u64) -> Now {
    Now { utc_us: 1_700_000_000_000_000 + ms as i64 * 1000, mono_ns: ms * 1_000_000 }
}

fn methods(lines: &[String]) -> Vec<&str> {
    lines.iter().map(|l| l.split(' ').next().unwrap_or_default()).collect()
}

#[test]
fn p_46_a_silent_carrier_is_given_up_after_3_5_s_and_three_repetitions() {
    let mut w = World::new();
    w.invite();
    w.pass(3_480);
    assert_eq!(methods(&w.first_lines(CARRIERS[0])), ["INVITE"; 3], "sent at 0, 0.5 and 1.5 s");
    assert!(w.first_lines(CARRIERS[1]).is_empty());
    w.pass(40);
    assert_eq!(methods(&w.first_lines(CARRIERS[1])), ["INVITE"]);
    w.pass(3_000);
    assert!(w.first_lines(CARRIERS[0]).iter().all(|l| !l.starts_with("INVITE")), "an abandoned branch is not repeated");
}

#[test]
fn p_46_pdd_limits_are_6_s_at_home_and_no_18x_means_the_next_carrier() {
    let mut w = World::new();
    w.invite();
    let invite = w.take(CARRIERS[0]).remove(0);
    w.answer(CARRIERS[0], &invite, "100 Trying", "");
    w.pass(5_980);
    assert!(w.first_lines(CARRIERS[1]).is_empty());
    w.pass(40);
    assert_eq!(methods(&w.first_lines(CARRIERS[0])), ["CANCEL"]);
    assert_eq!(methods(&w.first_lines(CARRIERS[1])), ["INVITE"]);
}

#[test]
fn p_46_no_answer_after_90_s_of_ringing_stops_the_hunt() {
    let mut w = World::new();
    w.invite();
    let invite = w.take(CARRIERS[0]).remove(0);
    w.answer(CARRIERS[0], &invite, "180 Ringing", "k");
    w.take(CALLER);
    w.pass(89_980);
    assert!(w.take(CALLER).is_empty());
    w.pass(40);
    assert_eq!(methods(&w.first_lines(CARRIERS[0])), ["CANCEL"]);
    assert_eq!(w.first_lines(CALLER), ["SIP/2.0 480 Temporarily Unavailable"]);
    assert!(w.first_lines(CARRIERS[1]).is_empty());
    assert_eq!(w.names(), ["call.attempted", "call.route_tried", "call.ringing", "call.attempt_ended", "call.ended"]);
}

#[test]
fn p_16_a_cancel_before_any_response_ends_with_the_first_response_limit() {
    let mut w = World::new();
    w.invite();
    w.pass(500);
    w.from(
        CALLER,
        "CANCEL sip:12125550100@10.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bKa1\nFrom: <sip:12125550199@10.0.0.9>;tag=f1\nTo: <sip:12125550100@10.0.0.1>\nCall-ID: call-1\nCSeq: 1 CANCEL\nMax-Forwards: 70\nContent-Length: 0\n\n",
    );
    assert_eq!(w.first_lines(CALLER), ["SIP/2.0 100 Trying", "SIP/2.0 200 OK"]);
    assert!(methods(&w.first_lines(CARRIERS[0])).iter().all(|m| *m == "INVITE"), "CANCEL waits for a provisional");
    w.pass(3_020);
    assert_eq!(w.first_lines(CALLER), ["SIP/2.0 487 Request Terminated"]);
    assert!(w.take(CARRIERS[1]).is_empty());
}

#[test]
fn p_46_no_attempt_starts_after_20_s_of_hunting() {
    let mut w = World::new();
    w.core.ctx.settings.pdd_ms = 15_000;
    w.invite();
    for carrier in CARRIERS {
        if let Some(invite) = w.take(carrier).first().cloned() {
            w.answer(carrier, &invite, "100 Trying", "");
            w.pass(15_020);
        }
    }
    let tried = w.events.iter().filter(|(_, b)| matches!(b, Body::CallRouteTried(_))).count();
    assert_eq!(tried, 2, "the third would have begun after 30 s");
    assert_eq!(w.first_lines(CALLER).last().map(String::as_str), Some("SIP/2.0 408 Request Timeout"));
}

#[test]
fn an_abandoned_branch_gets_cancel_on_a_late_18x_and_ack_and_bye_on_a_late_200() {
    let mut w = World::new();
    w.invite();
    let invite = w.take(CARRIERS[0]).remove(0);
    w.pass(3_520);
    assert_eq!(methods(&w.first_lines(CARRIERS[1])), ["INVITE"]);
    w.take(CARRIERS[0]);
    w.answer(CARRIERS[0], &invite, "180 Ringing", "k");
    assert_eq!(methods(&w.first_lines(CARRIERS[0])), ["CANCEL"]);
    w.take(CALLER);
    w.answer(CARRIERS[0], &invite, "200 OK", "k");
    assert_eq!(methods(&w.first_lines(CARRIERS[0])), ["ACK", "BYE"]);
    assert!(w.take(CALLER).is_empty(), "nothing of an abandoned branch goes upstream");
    let late = w.events.iter().filter(|(_, b)| matches!(b, Body::CallAttemptEnded(e) if e.late_answer && e.attempt_no == 1)).count();
    assert_eq!(late, 1);
    w.answer(CARRIERS[0], &invite, "200 OK", "k");
    assert_eq!(methods(&w.first_lines(CARRIERS[0])), ["ACK"], "a repeated late 200 is acknowledged, not ended again");
}

/// The same terms, which end a call at this many cents.
fn up_to(cents: i64, terms: Terms) -> Terms {
    Terms { max_charge_e12: cents * 10_000_000_000, end_at_max: true, ..terms }
}

/// A call that is answered at once and acknowledged; when and how it ended, and what the sale came to.
fn ended_by_itself(sell: Terms, cost: Terms, number: &str) -> Option<(u64, String, i64)> {
    let mut w = World::priced(sell.clone(), cost);
    w.from(
        CALLER,
        &format!("INVITE sip:{number}@10.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bKa1\nFrom: <sip:12125550199@10.0.0.9>;tag=f1\nTo: <sip:{number}@10.0.0.1>\nCall-ID: call-1\nCSeq: 1 INVITE\nContact: <sip:u@10.0.0.9:5060>\nMax-Forwards: 70\nContent-Length: 0\n\n"),
    );
    let invite = w.take(CARRIERS[0]).remove(0);
    w.answer(CARRIERS[0], &invite, "200 OK", "k");
    let ok = w.take(CALLER).pop()?;
    let contact = |m: &str| m.lines().find_map(|l| l.strip_prefix("Record-Route: ").map(str::to_owned));
    let route = contact(&ok).map_or(String::new(), |r| format!("Route: {r}\n"));
    w.from(
        CALLER,
        &format!("ACK sip:c@{} SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bKa2\n{route}From: <sip:12125550199@10.0.0.9>;tag=f1\nTo: <sip:{number}@10.0.0.1>;tag=k\nCall-ID: call-1\nCSeq: 1 ACK\nMax-Forwards: 70\nContent-Length: 0\n\n", CARRIERS[0]),
    );
    let answered_ms = w.now_ms;
    w.take(CARRIERS[0]);
    w.pass(3_600_000);
    let (at_ms, end) = w.events.iter().find_map(|(at, b)| match b {
        Body::CallEnded(e) => Some((*at, e.clone())),
        _ => None,
    })?;
    assert_eq!(at_ms - answered_ms, end.duration_ms);
    assert!(w.first_lines(CARRIERS[0]).iter().any(|l| l.starts_with("BYE")) && w.first_lines(CALLER).iter().any(|l| l.starts_with("BYE")), "both sides are told");
    let answer_us = now(answered_ms).utc_us;
    Some((end.duration_ms, end.end_reason, sell.charge(answer_us, end.duration_ms).amount_e8))
}

#[test]
fn r_17_a_maximum_that_disconnects_ends_the_live_call_before_it_is_passed() {
    // 0.01 a minute, by the second: 0.02 is two minutes; a timer's length before that the call ends.
    let plain = terms();
    assert_eq!(ended_by_itself(up_to(2, plain.clone()), plain.clone(), "12125550100"), Some((119_900, "max_charge".into(), 2_000_000)));
    // The carrier's maximum ends it too, and the first of both.
    assert_eq!(ended_by_itself(up_to(5, plain.clone()), up_to(1, plain.clone()), "12125550100"), Some((59_900, "max_charge".into(), 1_000_000)));
    // One that goes on for nothing ends nothing, and neither does one of an emergency call.
    let free = Terms { end_at_max: false, ..up_to(2, plain.clone()) };
    assert_eq!(ended_by_itself(free, plain.clone(), "12125550100"), None);
    assert_eq!(ended_by_itself(up_to(2, plain.clone()), up_to(2, plain), "911"), None);
}

#[test]
fn p_17_an_answer_without_ack_ends_after_64_t1() {
    let mut w = World::new();
    w.invite();
    let invite = w.take(CARRIERS[0]).remove(0);
    w.answer(CARRIERS[0], &invite, "200 OK", "k");
    w.take(CARRIERS[0]);
    w.take(CALLER);
    w.pass(31_900);
    assert!(w.take(CARRIERS[0]).is_empty());
    w.pass(800);
    let to_carrier = w.first_lines(CARRIERS[0]);
    assert!(to_carrier.iter().any(|l| l.starts_with("BYE")), "{to_carrier:?}");
    assert!(w.first_lines(CALLER).iter().any(|l| l.starts_with("BYE")));
    let Some((_, Body::CallEnded(ended))) = w.events.last() else { panic!("ended") };
    assert_eq!((ended.end_reason.as_str(), ended.disposition.as_str()), ("no_ack", "answered"));
    assert!((32_000..=32_700).contains(&ended.duration_ms), "{}", ended.duration_ms);
}

#[test]
fn what_must_be_durable_is_not_sent_before() {
    let mut w = World::new();
    w.durable = false;
    w.invite();
    assert_eq!(w.first_lines(CALLER), ["SIP/2.0 100 Trying"]);
    assert!(w.sent.is_empty(), "no INVITE leaves before call.attempted is durable");
    w.pass(5_000);
    assert!(w.first_lines(CARRIERS[0]).is_empty(), "not by a timer either");
}

#[test]
fn p_61_an_ended_call_says_goodbye_on_both_legs_and_crossed_byes_are_content() {
    let mut w = World::new();
    w.invite();
    let invite = w.take(CARRIERS[0]).remove(0);
    w.answer(CARRIERS[0], &invite, "200 OK", "k");
    let ok = w.take(CALLER).pop().expect("200");
    let record_route = ok.lines().find(|l| l.starts_with("Record-Route")).expect("record-route").replace("Record-Route", "Route");
    let in_dialog = |method: &str, seq: u32, branch: &str| {
        format!("{method} sip:c@{} SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK{branch}\n{record_route}\nFrom: <sip:12125550199@10.0.0.9>;tag=f1\nTo: <sip:12125550100@10.0.0.1>;tag=k\nCall-ID: call-1\nCSeq: {seq} {method}\nMax-Forwards: 70\nContent-Length: 0\n\n", CARRIERS[0])
    };
    w.from(CALLER, &in_dialog("ACK", 1, "ack"));
    assert_eq!(methods(&w.first_lines(CARRIERS[0])), ["ACK"]);
    let id = w.events.iter().find_map(|(_, b)| match b {
        Body::CallAnswered(a) => Some(tollgate_schemas::id::Id::of(&a.call_id)),
        _ => None,
    });
    let at = now(w.now_ms);
    w.core.end_call(id.expect("answered"), Verdict::system("command", 16), at);
    w.settle();
    let to_carrier = w.take(CARRIERS[0]).remove(0);
    assert!(to_carrier.starts_with("BYE sip:c@10.0.1.1:5060 SIP/2.0") && to_carrier.contains("CSeq: 2 BYE"), "{to_carrier}");
    let to_caller = w.take(CALLER).remove(0);
    assert!(to_caller.starts_with("BYE sip:u@10.0.0.9:5060 SIP/2.0") && to_caller.contains("From: <sip:12125550100@10.0.0.1>;tag=k"), "{to_caller}");
    w.from(CALLER, &in_dialog("BYE", 2, "bye"));
    assert_eq!(w.first_lines(CALLER), ["SIP/2.0 200 OK"]);
    w.from(CALLER, &in_dialog("INFO", 3, "info"));
    assert_eq!(w.first_lines(CALLER), ["SIP/2.0 481 Call/Transaction Does Not Exist"]);
    assert_eq!(w.events.iter().filter(|(_, b)| matches!(b, Body::CallEnded(_))).count(), 1);
    // An unanswered BYE of ours is repeated up to 64·T1.
    w.pass(40_000);
    assert_eq!(methods(&w.first_lines(CARRIERS[0])).iter().filter(|m| **m == "BYE").count(), 10);
}

#[test]
fn nothing_is_left_of_calls_that_are_over() {
    let mut w = World::new();
    w.invite();
    let invite = w.take(CARRIERS[0]).remove(0);
    w.answer(CARRIERS[0], &invite, "486 Busy Here", "k");
    assert_eq!(w.first_lines(CALLER), ["SIP/2.0 100 Trying", "SIP/2.0 486 Busy Here"]);
    w.pass(200_000);
    assert!(w.core.calls.is_empty() && w.core.clients.is_empty() && w.core.servers.is_empty());
    assert!(w.core.server_keys.is_empty() && w.core.by_id.is_empty() && w.core.merges.is_empty() && w.core.learned.is_empty());
    assert_eq!(w.core.gate().admission.gauges().calls, 0);
}
