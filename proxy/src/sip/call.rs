//! The record of one call: who speaks with whom through us, what was promised to whom, and what is still to come.

use std::{net::SocketAddr, sync::Arc};

use tollgate_schemas::{
    id::Id,
    number::E164,
    parties::{CallerValidity, Parties, Place},
    time::Now,
    v1::{CallFacts, Terms, Tier},
};

use super::{dialog::Dialog, table::Ref, txn::Alarm};
use crate::{
    admission::{CarrierSlot, Slot},
    routing::{Plan, Route},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No final response went upstream yet.
    Hunting,
    /// The caller cancelled (or we ended it) before an answer: waiting for the carrier's final.
    Cancelling,
    /// A 2xx was seen.
    Answered,
    /// We ended it: BYEs are out, or a caller's ACK is awaited first.
    TearingDown,
    /// Its last event is written; what is left only absorbs.
    Over,
}

/// Why a call ends other than by its parties, for its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Actor as in events: `operator:NAME`, `fraud:RULE`, `system`.
    pub actor: String,
    /// `fraud_teardown`, `command`, `max_duration`, `max_charge`, `no_ack`, `crash` ...
    pub end_reason: &'static str,
    pub block: Option<Id>,
    /// What the caller hears when there was no answer yet.
    pub sip_code: u16,
    pub q850: u8,
    pub reason: String,
    /// Also ends calls that are up.
    pub teardown: bool,
}

impl Verdict {
    /// A limit of the node's own.
    pub fn system(end_reason: &'static str, q850: u8) -> Verdict {
        Verdict {
            actor: "system".to_owned(),
            end_reason,
            block: None,
            sip_code: 480,
            q850,
            reason: end_reason.to_owned(),
            teardown: true,
        }
    }

    /// What the parties may hear: never the rule (P-61).
    pub fn public_reason(&self) -> &'static str {
        match self.end_reason {
            "max_duration" | "max_charge" => "Call duration limit",
            "no_ack" => "No ACK",
            _ => "",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptState {
    Trying,
    /// CANCEL is wanted or out; waiting for the final.
    Cancelling,
    /// We gave it up and moved on: its late responses are dealt with, never passed.
    Abandoned,
    Answered,
    Failed,
}

pub struct Attempt {
    pub no: u8,
    pub carrier: String,
    pub addr: SocketAddr,
    pub route: Route,
    pub state: AttemptState,
    pub client: Ref,
    pub cancelled: bool,
    pub started_ms: u64,
    pub first_100_us: i64,
    pub first_18x_us: i64,
    pub first_18x_ms: u64,
    pub first_18x_code: u16,
    /// A 18x with a body went upstream: the caller hears this carrier.
    pub early_media: bool,
    pub slot: Option<CarrierSlot>,
    /// When CANCEL was wanted.
    pub cancel_ms: u64,
    /// Its `attempt_ended` is written.
    pub closed: bool,
    /// Dialog of a late 2xx that was acknowledged and ended: its To tag.
    pub late_tag: Option<Vec<u8>>,
}

/// The best final response of failed attempts (P-08), ready to go upstream.
pub struct Best {
    pub status: u16,
    /// Our Via already cut; empty for one made here (a timeout).
    pub bytes: Vec<u8>,
    pub q850: u8,
    pub phrase: String,
    /// The attempt it came from.
    pub attempt: u8,
    /// That attempt had rung.
    pub rang: bool,
}

/// What prices go by beside the called number, kept for the answer's rows.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    pub a: Option<E164>,
    pub validity: CallerValidity,
    pub routing: Option<E164>,
    pub lrn: Option<E164>,
    pub place: Option<Box<Place>>,
}

pub struct Call {
    pub id: Id,
    pub key: Arc<str>,
    pub partition: u16,
    pub facts: CallFacts,
    pub plan: Arc<Plan>,
    /// The called number's digits as routed (emergency numbers are no E.164).
    pub dialled: String,
    pub a_number: String,
    /// Its name, where one was looked up for carriers to show.
    pub a_name: String,
    /// What prices go by beside the called number.
    pub caller: Caller,
    pub sell: Option<Terms>,
    /// What the accounts above pay, nearest first.
    pub tiers: Vec<Tier>,
    pub slot: Option<Slot>,
    pub phase: Phase,
    pub verdict: Option<Verdict>,

    /// The caller's INVITE: its transaction, and the datagram for further attempts (empty once none can follow).
    pub server: Option<Ref>,
    pub invite: Vec<u8>,
    pub merge_key: u128,
    pub source: SocketAddr,
    pub caller_contact: Vec<u8>,
    pub caller_routes: Vec<Vec<u8>>,
    pub call_id: Vec<u8>,
    /// From value with tag, To value without, as the caller wrote them.
    pub from_value: Vec<u8>,
    pub to_value: Vec<u8>,
    pub from_tag: Vec<u8>,
    /// Via values of the caller's INVITE, for responses of ours.
    pub vias: Vec<Vec<u8>>,
    pub cseq: u32,

    pub routes: Vec<Route>,
    pub next_route: usize,
    pub attempts: Vec<Attempt>,
    pub best: Option<Best>,
    /// Challenges of all 401 and 407 answers, for P-11.
    pub challenges: Vec<Vec<u8>>,
    pub dialogs: Vec<Dialog>,
    /// The 2xx as it went upstream, while we must repeat it ourselves.
    pub ok_response: Vec<u8>,
    pub ok_interval: u64,
    pub ok_next: u64,

    pub started: Now,
    pub started_ms: u64,
    pub answered: Option<Now>,
    pub answered_ms: u64,
    pub answered_attempt: u8,
    pub ack_us: i64,
    pub ended_ms: u64,
    pub interim_next: u64,
    /// The batch that `call.ended` is in.
    pub ended_batch: u64,
    /// The batch of `call.answered`.
    pub answered_batch: u64,
    /// Taken up again after a restart: CSeq numbers may be missing from its record.
    pub resumed: bool,
    /// Answered before this boot: its duration is by UTC.
    pub other_boot: bool,
    /// When it has lasted as long as a call may.
    pub limit_ms: u64,
    /// When a tariff's maximum charge ends it.
    pub charge_ms: u64,
    /// It holds money of accounts with a limit; and when its next slice is to be taken.
    pub on_credit: bool,
    pub slice_ms: u64,
    /// When a finished call is forgotten.
    pub forget_ms: u64,
    /// An intruder into its dialogs was reported; further ones are only counted.
    pub intruder_told: bool,
    pub alarm: Alarm,
}

impl Call {
    pub fn parties(&self) -> Parties<'_> {
        Parties {
            a: self.caller.a,
            a_validity: self.caller.validity,
            a_routing: self.caller.routing,
            called: &self.dialled,
            lrn: self.caller.lrn.as_ref(),
            place: self.caller.place.as_deref(),
            dipped: self.facts.lrn_source == "dip",
            named: self.facts.cnam_source == "dip",
        }
    }

    pub fn active_attempt(&self) -> Option<usize> {
        self.attempts.iter().rposition(|a| matches!(a.state, AttemptState::Trying | AttemptState::Cancelling | AttemptState::Answered))
    }

    pub fn dialog(&self, to_tag: &[u8]) -> Option<usize> {
        self.dialogs.iter().position(|d| d.to_tag == to_tag)
    }

    /// Milliseconds since the answer: monotonic within a boot, UTC across boots (design §4).
    pub fn answered_for_ms(&self, now: Now) -> u64 {
        match self.answered {
            None => 0,
            Some(at) if self.other_boot => (now.utc_us - at.utc_us).max(0) as u64 / 1000,
            Some(at) => now.mono_ns.saturating_sub(at.mono_ns) / 1_000_000,
        }
    }
}
