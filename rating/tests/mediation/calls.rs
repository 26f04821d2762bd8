//! Calls as the proxy writes them, event by event, for tests and the bench.
#![allow(clippy::expect_used)]

use prost::Message;
use tollgate_schemas::{
    cdr::Cdr,
    event::{Body, Origin},
    id::{Id, Mint},
    log::Topic,
    stage::{Outputs, Stage},
    time::Now,
    v1::*,
};

/// 2023-11-14T22:13:20Z, when every story begins.
pub const T0: i64 = 1_700_000_000_000_000;
pub const NODE: u64 = 0x0123_4567_89ab;

/// Writes the events of one call, with a clock that is moved by hand.
pub struct Story {
    mint: Mint,
    start_us: i64,
    now: Now,
    boot_id: u64,
    next_offset: u64,
    acked_us: i64,
    pub call: Id,
    pub events: Vec<(u64, Event)>,
}

pub fn terms(deck: &str, rate_e12: i64, initial_s: u32, increment_s: u32) -> Terms {
    Terms {
        deck: deck.to_owned(),
        deck_version: "0123456789abcdef".to_owned(),
        prefix: "4420".to_owned(),
        destination: "GB London".to_owned(),
        rate_e12,
        initial_s,
        increment_s,
        currency: "USD".to_owned(),
        places: 6,
        effective_from_us: T0,
        route_class: "standard".to_owned(),
        ..Terms::default()
    }
}

/// 0.0150 a minute, 6/6.
pub fn sell() -> Terms {
    terms("retail", 15_000_000_000, 6, 6)
}

/// 0.0100 a minute, 1/1.
pub fn cost(carrier: &str) -> Terms {
    terms(&format!("{carrier}-deck"), 10_000_000_000, 1, 1)
}

pub fn facts() -> CallFacts {
    CallFacts {
        account: "shop".to_owned(),
        root_account: "acme".to_owned(),
        trunk: "acme-pbx".to_owned(),
        auth_method: "ip".to_owned(),
        transport: "udp".to_owned(),
        direction: "outbound".to_owned(),
        service_type: "voice".to_owned(),
        emergency: false,
        a_validity: "valid".to_owned(),
        a_number_source: "pai".to_owned(),
        a_privacy: "id".to_owned(),
        b_country: "44".to_owned(),
        b_dest_group: "GB London".to_owned(),
        b_number_type: "fixed".to_owned(),
        b_risk_flag: "none".to_owned(),
        b_valid: true,
        norm_rules: "strip_00".to_owned(),
        billing: "prepaid".to_owned(),
        ..CallFacts::default()
    }
}

fn caller() -> Personal {
    Personal {
        a_raw: "004930123456".to_owned(),
        a_e164: "4930123456".to_owned(),
        a_presentation: "030123456".to_owned(),
        b_raw: "00442071838750".to_owned(),
        b_e164: "442071838750".to_owned(),
        peer_addr: "192.0.2.10:5062".to_owned(),
        user_agent: b"Asterisk PBX 20.5.0".to_vec(),
        leg: Some(SipLeg { call_id: b"in-77@pbx".to_vec(), from_tag: b"ft1".to_vec(), ..SipLeg::default() }),
        ..Personal::default()
    }
}

/// One `call.ended`, to be filled by what matters.
pub fn end(disposition: &str, sip_code: u32, attempts: u32) -> CallEnded {
    CallEnded {
        account: "shop".to_owned(),
        disposition: disposition.to_owned(),
        sip_code,
        reason_phrase: "As It Is".to_owned(),
        hangup_party: "callee".to_owned(),
        end_reason: "normal".to_owned(),
        duration_confidence: "exact".to_owned(),
        attempts,
        ..CallEnded::default()
    }
}

impl Story {
    /// `seq` tells stories apart; `start_ms` after [`T0`].
    pub fn new(seq: u32, start_ms: i64, first_offset: u64) -> Story {
        Story::on(NODE, seq, start_ms, first_offset)
    }

    pub fn on(node: u64, seq: u32, start_ms: i64, first_offset: u64) -> Story {
        let start_us = T0 + start_ms * 1_000;
        let now = Now { utc_us: start_us, mono_ns: 5_000_000_000 + start_ms as u64 * 1_000_000 };
        Story { mint: Mint::new(node, seq), start_us, now, boot_id: 7, next_offset: first_offset, acked_us: 0, call: Id::NIL, events: Vec::new() }
    }

    /// Moves the clock to so many milliseconds after the story's start.
    pub fn at(&mut self, ms: i64) -> &mut Story {
        let utc_us = self.start_us + ms * 1_000;
        let step_ns = (utc_us - self.now.utc_us) * 1_000;
        self.now = Now { utc_us, mono_ns: self.now.mono_ns.saturating_add_signed(step_ns) };
        self
    }

    /// The wall clock is set; monotonic time goes on.
    pub fn step_clock(&mut self, ms: i64) {
        self.start_us += ms * 1_000;
        self.now.utc_us += ms * 1_000;
    }

    /// The machine starts again, and what was only in memory is gone.
    pub fn reboot(&mut self) {
        self.acked_us = 0;
        self.boot_id += 1;
        self.now.mono_ns = 1_000_000_000;
    }

    pub fn now_us(&self) -> i64 {
        self.now.utc_us
    }

    pub fn write(&mut self, personal: Option<Personal>, body: Body) -> Id {
        let origin = Origin { mint: &self.mint, boot_id: self.boot_id, now: self.now, control_position: 3 };
        let event = Event { personal, ..Event::born(origin, "acme", body) };
        let id = event.id();
        self.events.push((self.next_offset, event));
        self.next_offset += 1;
        id
    }

    pub fn attempted(&mut self) -> &mut Story {
        self.attempted_as(facts(), Some(sell()))
    }

    pub fn attempted_as(&mut self, facts: CallFacts, sell: Option<Terms>) -> &mut Story {
        let choice = |carrier: &str, rank, reason: &str| RouteChoice {
            carrier: carrier.to_owned(),
            rank,
            reason: reason.to_owned(),
            prefix: "4420".to_owned(),
            rate_e12: 10_000_000_000,
            expected_cost_e8: 1_000_000,
            ..RouteChoice::default()
        };
        let body = CallAttempted {
            facts: Some(facts),
            sell,
            hold_e8: 5_000_000,
            route_policy: "lcr".to_owned(),
            choices: vec![choice("north", 1, "chosen"), choice("south", 2, "chosen"), choice("west", 0, "suspended")],
            ..CallAttempted::default()
        };
        self.call = self.write(Some(caller()), Body::CallAttempted(body));
        self
    }

    pub fn tried(&mut self, no: u32, carrier: &str) -> &mut Story {
        self.tried_at(no, carrier, Some(cost(carrier)))
    }

    pub fn tried_at(&mut self, no: u32, carrier: &str, cost: Option<Terms>) -> &mut Story {
        let personal = Personal {
            b_out: "+442071838750".to_owned(),
            peer_addr: format!("[2001:db8::{no}]:5080"),
            leg: Some(SipLeg { call_id: format!("out-{no}").into_bytes(), ..SipLeg::default() }),
            ..Personal::default()
        };
        let body = CallRouteTried {
            call_id: self.call.to_vec(), attempt_no: no, carrier: carrier.to_owned(), cost, rank: no, route_class: "premium".to_owned(), fx: None,
        };
        self.write(Some(personal), Body::CallRouteTried(body));
        self
    }

    pub fn ringing(&mut self, no: u32) -> &mut Story {
        let body = CallRinging { call_id: self.call.to_vec(), attempt_no: no, code: 180, early_media: false, first_100_us: 0 };
        self.write(None, Body::CallRinging(body));
        self
    }

    pub fn answered(&mut self, no: u32, carrier: &str) -> &mut Story {
        self.answered_at(no, carrier, Some(sell()), Some(cost(carrier)))
    }

    pub fn answered_at(&mut self, no: u32, carrier: &str, sell: Option<Terms>, cost: Option<Terms>) -> &mut Story {
        let personal = Personal {
            dialogs: vec![SipDialog { to_tag: b"tt9".to_vec(), ..SipDialog::default() }],
            ..Personal::default()
        };
        let body = CallAnswered {
            call_id: self.call.to_vec(), attempt_no: no, sell, cost, code: 200, account: "shop".to_owned(),
            b_dest_group: "GB London".to_owned(), carrier: carrier.to_owned(), ..CallAnswered::default()
        };
        self.write(Some(personal), Body::CallAnswered(body));
        self
    }

    pub fn ack(&mut self) -> &mut Story {
        let body = CallDialogChanged { call_id: self.call.to_vec(), what: "ack".to_owned(), ack_us: self.now.utc_us };
        self.acked_us = self.now.utc_us;
        self.write(None, Body::CallDialogChanged(body));
        self
    }

    pub fn interim(&mut self, duration_ms: u64) -> &mut Story {
        self.write(None, Body::CallInterim(CallInterim { call_id: self.call.to_vec(), duration_ms, holds: Vec::new() }));
        self
    }

    /// `rang_ms`: after the story's start, 0 = never.
    pub fn attempt_ended(&mut self, no: u32, carrier: &str, sip_code: u32, rang_ms: i64, duration_ms: u64) -> Id {
        let body = CallAttemptEnded {
            attempt_no: no,
            carrier: carrier.to_owned(),
            sip_code,
            reason_phrase: "Said The Carrier".to_owned(),
            duration_ms,
            first_100_us: self.start_us + 40_000,
            first_18x_us: if rang_ms == 0 { 0 } else { self.start_us + rang_ms * 1_000 },
            first_18x_code: if rang_ms == 0 { 0 } else { 180 },
            ..CallAttemptEnded::default()
        };
        self.attempt_ended_as(body)
    }

    pub fn attempt_ended_as(&mut self, body: CallAttemptEnded) -> Id {
        let body = CallAttemptEnded { call_id: self.call.to_vec(), ..body };
        self.write(None, Body::CallAttemptEnded(body))
    }

    pub fn late_answer(&mut self, no: u32, carrier: &str, duration_ms: u64) -> Id {
        self.attempt_ended_as(CallAttemptEnded {
            attempt_no: no,
            carrier: carrier.to_owned(),
            sip_code: 200,
            reason_phrase: "OK".to_owned(),
            local_cause: "LOCAL_LATE_ANSWER".to_owned(),
            late_answer: true,
            duration_ms,
            ..CallAttemptEnded::default()
        })
    }

    pub fn teardown(&mut self, actor: &str, reason: &str, block_id: Id) -> &mut Story {
        let body = CallTeardown {
            call_id: self.call.to_vec(), actor: actor.to_owned(), reason: reason.to_owned(), block_id: block_id.to_vec(), state: "live".to_owned(),
        };
        self.write(None, Body::CallTeardown(body));
        self
    }

    pub fn ended(&mut self, body: CallEnded) -> Id {
        let body = CallEnded { call_id: self.call.to_vec(), ack_us: self.acked_us, ..body };
        self.write(None, Body::CallEnded(body))
    }

    pub fn refused(&mut self, reason: &str, sip_code: u32, q850: u32, count: u64, block_id: &[u8]) -> &mut Story {
        let body = CallRefused {
            facts: Some(facts()),
            reason: reason.to_owned(),
            sip_code,
            q850,
            detail: "spend_per_hour".to_owned(),
            count,
            first_us: if count > 1 { self.now.utc_us - 1_000_000 } else { 0 },
            block_id: block_id.to_vec(),
            sell: Some(sell()),
            ..CallRefused::default()
        };
        self.call = self.write(Some(caller()), Body::CallRefused(body));
        self
    }
}

/// Answered by the first carrier after 3.5 s, ended by the callee after `talk_ms`.
pub fn answered(seq: u32, start_ms: i64, first_offset: u64, talk_ms: u64) -> Story {
    let mut s = Story::new(seq, start_ms, first_offset);
    s.attempted().at(5).tried(1, "north").at(1_200).ringing(1).at(3_500).answered(1, "north").at(3_560).ack();
    s.at(3_500 + talk_ms as i64);
    s.attempt_ended(1, "north", 200, 1_200, talk_ms);
    s.ended(CallEnded { duration_ms: talk_ms, answered_attempt: 1, q850: 16, ..end("answered", 200, 1) });
    s
}

pub fn busy(seq: u32, start_ms: i64, first_offset: u64) -> Story {
    let mut s = Story::new(seq, start_ms, first_offset);
    s.attempted().at(5).tried(1, "north").at(800);
    s.attempt_ended_as(CallAttemptEnded {
        attempt_no: 1, carrier: "north".to_owned(), sip_code: 486, reason_phrase: "Busy Here".to_owned(), q850: 17, first_100_us: s.now_us() - 700_000, ..CallAttemptEnded::default()
    });
    s.at(801).ended(CallEnded { q850: 17, reason_phrase: "Busy Here".to_owned(), ..end("busy", 486, 1) });
    s
}

pub fn cancelled(seq: u32, start_ms: i64, first_offset: u64) -> Story {
    let mut s = Story::new(seq, start_ms, first_offset);
    s.attempted().at(5).tried(1, "north").at(1_500).ringing(1).at(9_000);
    s.attempt_ended(1, "north", 487, 1_500, 0);
    s.ended(CallEnded { hangup_party: "caller".to_owned(), ..end("cancelled", 487, 1) });
    s
}

/// The first carrier says 503, the second answers.
pub fn failover(seq: u32, start_ms: i64, first_offset: u64, talk_ms: u64) -> Story {
    let mut s = Story::new(seq, start_ms, first_offset);
    s.attempted().at(5).tried(1, "north").at(300);
    s.attempt_ended(1, "north", 503, 0, 0);
    s.at(301).tried(2, "south").at(2_000).ringing(2).at(4_301).answered(2, "south").at(4_400).ack();
    s.at(4_301 + talk_ms as i64);
    s.attempt_ended(2, "south", 200, 2_000, talk_ms);
    s.ended(CallEnded { duration_ms: talk_ms, answered_attempt: 2, hangup_party: "caller".to_owned(), ..end("answered", 200, 2) });
    s
}

/// Ended by the fraud stage's block while it was up.
pub fn torn_down(seq: u32, start_ms: i64, first_offset: u64, block: Id) -> Story {
    let mut s = Story::new(seq, start_ms, first_offset);
    s.attempted().at(5).tried(1, "north").at(1_000).ringing(1).at(2_000).answered(1, "north").at(2_050).ack();
    s.at(20_000).teardown("fraud", "spend_per_hour", block);
    s.at(20_010).attempt_ended(1, "north", 200, 1_000, 18_010);
    s.ended(CallEnded {
        duration_ms: 18_010, answered_attempt: 1, hangup_party: "system".to_owned(), end_reason: "fraud_teardown".to_owned(), ..end("answered", 200, 1)
    });
    s
}

/// The first carrier is given up after 4 s, the second answers; the first's 200 comes 2 s after the call's end.
pub fn late_answered(seq: u32, start_ms: i64, first_offset: u64, late_ms: u64) -> Story {
    let mut s = Story::new(seq, start_ms, first_offset);
    s.attempted().at(5).tried(1, "north").at(4_005);
    s.attempt_ended_as(CallAttemptEnded {
        attempt_no: 1, carrier: "north".to_owned(), local_cause: "LOCAL_PDD_TIMEOUT".to_owned(), ..CallAttemptEnded::default()
    });
    s.tried(2, "south").at(5_000).ringing(2).at(6_005).answered(2, "south").at(6_100).ack().at(16_005);
    s.attempt_ended(2, "south", 200, 5_000, 10_000);
    s.ended(CallEnded { duration_ms: 10_000, answered_attempt: 2, ..end("answered", 200, 2) });
    s.at(18_005).late_answer(1, "north", late_ms);
    s
}

pub fn tick(seq: u32, at_us: i64) -> Event {
    let mint = Mint::new(NODE, 0x8000_0000 | seq);
    let origin = Origin { mint: &mint, boot_id: 7, now: Now { utc_us: at_us, mono_ns: 0 }, control_position: 3 };
    Event::born(origin, "", Body::Tick(Tick { at_us }))
}

/// A tick of a node, on the clocks the stories have.
pub fn tick_of(node: u64, at_us: i64) -> Event {
    let since_us = at_us - T0;
    let mint = Mint::new(node, 0x8000_0000 | (since_us / 1_000_000 + 1_000) as u32);
    let now = Now { utc_us: at_us, mono_ns: 5_000_000_000u64.saturating_add_signed(since_us * 1_000) };
    Event::born(Origin { mint: &mint, boot_id: 7, now, control_position: 3 }, "", Body::Tick(Tick { at_us }))
}

/// Applies events in this order.
pub fn play<'a>(stage: &mut dyn Stage, events: impl IntoIterator<Item = &'a (u64, Event)>) -> Outputs {
    let mut out = Outputs::default();
    for (offset, event) in events {
        stage.apply(*offset, event, &mut out).expect("no poison in this story");
    }
    out
}

/// The rows of some outputs, in order; each is checked against its hash.
pub fn rows(out: &Outputs) -> Vec<Cdr> {
    let row = |event: &Event| match &event.body {
        Some(Body::CdrWritten(w)) => {
            let cdr = Cdr::decode(w.cdr.as_slice()).expect("a CDR");
            assert_eq!(w.content_hash, cdr.content_hash(), "the hash is the store's hash");
            Some(cdr)
        }
        _ => None,
    };
    out.appends.iter().filter(|a| a.topic == Topic::Cdrs).filter_map(|a| row(&a.event)).collect()
}

pub fn finals(out: &Outputs) -> Vec<Cdr> {
    rows(out).into_iter().filter(Cdr::is_final).collect()
}

pub fn attempts(out: &Outputs) -> Vec<Cdr> {
    rows(out).into_iter().filter(|r| !r.is_final()).collect()
}

pub fn postings(out: &Outputs) -> Vec<LedgerPosted> {
    let posted = |event: &Event| match &event.body {
        Some(Body::LedgerPosted(p)) => Some(p.clone()),
        _ => None,
    };
    out.appends.iter().filter(|a| a.topic == Topic::Ledger).filter_map(|a| posted(&a.event)).collect()
}
