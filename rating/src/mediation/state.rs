//! What is remembered of a call: one protobuf form in memory's shape, so that a snapshot is the state itself.
//!
//! On disk (snapshot version 3): [`Saved`]. Field numbers are never reused; a change that old readers would misread
//! takes a new snapshot version.

use prost::Message;
use tollgate_schemas::{
    cdr::Cdr,
    id::Id,
    v1::{CallAttemptEnded, CallEnded, CreditHold, Event, Fx, LedgerEntry, Terms, Tier},
};

use super::rerate::RecentSaved;
use tollgate_schemas::nodes::Nodes;

/// Where and when a fact was born and at which offset it lies: what an output caused by it needs. Fixed widths, because
/// each closed call is saved.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Stamp {
    #[prost(fixed64, tag = "1")]
    pub id_high: u64,
    #[prost(fixed64, tag = "2")]
    pub id_low: u64,
    #[prost(fixed64, tag = "3")]
    pub offset: u64,
    #[prost(sfixed64, tag = "4")]
    pub occurred_us: i64,
    #[prost(fixed64, tag = "5")]
    pub boot_id: u64,
    #[prost(fixed64, tag = "6")]
    pub mono_ns: u64,
    #[prost(fixed64, tag = "7")]
    pub control_position: u64,
}

impl Stamp {
    pub fn of(offset: u64, event: &Event) -> Stamp {
        let id = event.id().0;
        Stamp {
            id_high: (id >> 64) as u64,
            id_low: id as u64,
            offset,
            occurred_us: event.occurred_us,
            boot_id: event.boot_id,
            mono_ns: event.mono_ns,
            control_position: event.control_position,
        }
    }

    pub fn id(&self) -> Id {
        Id(u128::from(self.id_high) << 64 | u128::from(self.id_low))
    }

    /// Milliseconds from this fact to a later one: monotonic within a boot, UTC across boots, never negative.
    pub fn ms_until(&self, later: &Stamp) -> u64 {
        if self.boot_id == later.boot_id {
            later.mono_ns.saturating_sub(self.mono_ns) / 1_000_000
        } else {
            u64::try_from(later.occurred_us.saturating_sub(self.occurred_us)).unwrap_or(0) / 1_000
        }
    }

    /// As a cause for [`Event::derived`], under the call's key.
    pub fn as_cause(&self, key: String) -> Event {
        Event {
            id: self.id().to_vec(),
            occurred_us: self.occurred_us,
            boot_id: self.boot_id,
            mono_ns: self.mono_ns,
            control_position: self.control_position,
            key,
            ..Event::default()
        }
    }
}

/// The row last written of a record, to tell a change from a repetition.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Written {
    #[prost(uint32, tag = "1")]
    pub version: u32,
    #[prost(uint64, tag = "2")]
    pub last_offset: u64,
    #[prost(fixed64, tag = "3")]
    pub hash_high: u64,
    #[prost(fixed64, tag = "4")]
    pub hash_low: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Tried {
    #[prost(message, required, tag = "1")]
    pub stamp: Stamp,
    #[prost(string, tag = "2")]
    pub carrier: String,
    #[prost(message, optional, tag = "3")]
    pub cost: Option<Terms>,
    #[prost(uint32, tag = "4")]
    pub rank: u32,
    #[prost(string, tag = "5")]
    pub route_class: String,
    #[prost(string, tag = "6")]
    pub b_out: String,
    #[prost(string, tag = "7")]
    pub peer_addr: String,
    #[prost(string, tag = "8")]
    pub sip_call_id: String,
    #[prost(message, optional, tag = "9")]
    pub fx: Option<Fx>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Ringing {
    #[prost(sint64, tag = "1")]
    pub at_us: i64,
    #[prost(uint32, tag = "2")]
    pub code: u32,
    #[prost(sint64, tag = "3")]
    pub first_100_us: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Answered {
    #[prost(message, required, tag = "1")]
    pub stamp: Stamp,
    #[prost(message, optional, tag = "2")]
    pub sell: Option<Terms>,
    #[prost(message, optional, tag = "3")]
    pub cost: Option<Terms>,
    #[prost(string, tag = "4")]
    pub to_tag: String,
    #[prost(message, repeated, tag = "50")]
    pub tiers: Vec<Tier>,
    #[prost(message, optional, tag = "51")]
    pub fx: Option<Fx>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AttemptEnd {
    #[prost(message, required, tag = "1")]
    pub stamp: Stamp,
    /// Without its `call_id`.
    #[prost(message, required, tag = "2")]
    pub body: CallAttemptEnded,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Attempt {
    #[prost(uint32, tag = "1")]
    pub no: u32,
    #[prost(message, optional, tag = "2")]
    pub tried: Option<Tried>,
    #[prost(message, optional, tag = "3")]
    pub ringing: Option<Ringing>,
    #[prost(message, optional, tag = "4")]
    pub answered: Option<Answered>,
    /// In the order they came; more than one only when they contradict.
    #[prost(message, repeated, tag = "5")]
    pub ends: Vec<AttemptEnd>,
    #[prost(message, repeated, tag = "6")]
    pub lates: Vec<AttemptEnd>,
    #[prost(message, optional, tag = "7")]
    pub written: Option<Written>,
    /// Its terms are a re-rating's.
    #[prost(message, optional, tag = "20")]
    pub rerated: Option<Rerated>,
}

/// Why terms are not those the events brought, and who said so.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Rerated {
    #[prost(string, tag = "1")]
    pub reason: String,
    #[prost(string, tag = "2")]
    pub actor: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Teardown {
    #[prost(string, tag = "1")]
    pub actor: String,
    #[prost(string, tag = "2")]
    pub reason: String,
    #[prost(bytes = "vec", tag = "3")]
    pub block_id: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Ended {
    #[prost(message, required, tag = "1")]
    pub stamp: Stamp,
    /// Without its `call_id`.
    #[prost(message, required, tag = "2")]
    pub body: CallEnded,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Call {
    #[prost(fixed64, tag = "1")]
    pub id_high: u64,
    #[prost(fixed64, tag = "2")]
    pub id_low: u64,
    /// Key of the call's events.
    #[prost(string, tag = "3")]
    pub key: String,
    /// The columns `attempted` fills; every other column is overwritten for each row (`record::blank`).
    #[prost(message, optional, boxed, tag = "4")]
    pub head: Option<Box<Cdr>>,
    #[prost(message, optional, tag = "5")]
    pub attempted: Option<Stamp>,
    #[prost(message, optional, tag = "6")]
    pub sell: Option<Terms>,
    /// In hunt order.
    #[prost(message, repeated, tag = "7")]
    pub attempts: Vec<Attempt>,
    #[prost(message, optional, tag = "8")]
    pub teardown: Option<Teardown>,
    #[prost(sint64, tag = "9")]
    pub ack_us: i64,
    /// The end in force: the last that came.
    #[prost(message, optional, tag = "10")]
    pub ended: Option<Ended>,
    /// Ends it replaced.
    #[prost(message, repeated, tag = "11")]
    pub earlier_ends: Vec<Stamp>,
    #[prost(message, optional, tag = "12")]
    pub written: Option<Written>,
    /// What the ledger holds of this call, by account and currency.
    #[prost(message, repeated, tag = "13")]
    pub posted: Vec<LedgerEntry>,
    /// When something is to be done with the call if nothing comes; 0 = nothing.
    #[prost(sint64, tag = "14")]
    pub deadline_us: i64,
    /// Waited long enough: rows are written with what is there.
    #[prost(bool, tag = "15")]
    pub flushed: bool,
    /// `route_explain` of the final.
    #[prost(string, tag = "16")]
    pub explain: String,
    /// Offset of the first event that came.
    #[prost(uint64, tag = "17")]
    pub first_offset: u64,
    /// Closed, and nothing more is to be expected.
    #[prost(bool, tag = "18")]
    pub settled: bool,
    /// Its node is silent and `ended` is what the rater concluded: not a fact, so the next end contradicts nothing.
    #[prost(bool, tag = "19")]
    pub lost: bool,
    /// Rows were written while it was lost.
    #[prost(bool, tag = "20")]
    pub was_lost: bool,
    /// Remembered for longer, because its node was silent when it was to be forgotten.
    #[prost(bool, tag = "21")]
    pub kept: bool,
    /// `attempt_no` of the final's first version. It is part of what names a row, so it stays that of the chain, also when
    /// a later version shows another attempt: with another one the store would hold two current finals.
    #[prost(uint32, optional, tag = "22")]
    pub final_attempt_no: Option<u32>,
    /// The most it has held of each account so far.
    #[prost(message, repeated, tag = "40")]
    pub holds: Vec<CreditHold>,
    /// The proxy has told what it took; and it is not posted yet.
    #[prost(bool, tag = "41")]
    pub told: bool,
    #[prost(message, repeated, tag = "42")]
    pub waits: Vec<CreditHold>,
    /// Terms of the call are a re-rating's.
    #[prost(message, optional, tag = "60")]
    pub rerated: Option<Rerated>,
    /// What the accounts above were offered, nearest first.
    #[prost(message, repeated, tag = "50")]
    pub tiers: Vec<Tier>,
    /// Carriers that could not be tried when their turn came, by rank.
    #[prost(message, repeated, tag = "70")]
    pub skipped: Vec<Skipped>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Skipped {
    #[prost(uint32, tag = "1")]
    pub rank: u32,
    #[prost(string, tag = "2")]
    pub carrier: String,
    #[prost(string, tag = "3")]
    pub reason: String,
    #[prost(bytes = "vec", tag = "4")]
    pub block_id: Vec<u8>,
}

impl Call {
    pub fn new(id: Id, key: &str, offset: u64) -> Call {
        Call { id_high: (id.0 >> 64) as u64, id_low: id.0 as u64, key: key.to_owned(), first_offset: offset, ..Call::default() }
    }

    pub fn id(&self) -> Id {
        Id(u128::from(self.id_high) << 64 | u128::from(self.id_low))
    }

    pub fn end(&self) -> Option<&CallEnded> {
        self.ended.as_ref().map(|e| &e.body)
    }

    /// The attempt whose answer the caller got.
    pub fn answered_attempt(&self) -> Option<&Attempt> {
        let no = self.end()?.answered_attempt;
        self.attempts.iter().find(|a| no != 0 && a.no == no)
    }

    /// The attempt a final shows: the one that answered, else the last.
    pub fn shown_attempt(&self) -> Option<&Attempt> {
        self.answered_attempt().or(self.attempts.last())
    }

    /// The end of an attempt in force: the first, until the call itself ends a second time, then the second.
    pub fn end_of<'a>(&self, attempt: &'a Attempt) -> Option<&'a AttemptEnd> {
        attempt.ends.get(self.earlier_ends.len()).or(attempt.ends.last())
    }

    /// Whether the carrier answered the attempt in time. Well-formed events say so alike, whichever comes first.
    pub fn is_answered(&self, attempt: &Attempt) -> bool {
        attempt.answered.is_some()
            || self.end_of(attempt).is_some_and(|e| e.body.sip_code / 100 == 2 || e.body.duration_ms > 0)
            || self.end().is_some_and(|e| e.answered_attempt == attempt.no)
    }

    /// Answer to end of an answered attempt's leg.
    pub fn leg_ms(&self, attempt: &Attempt) -> u64 {
        let call_ms = self.end().map_or(0, |e| e.duration_ms);
        match self.end_of(attempt) {
            // The call's second end without the attempt's own second end yet.
            Some(_) if attempt.ends.len() <= self.earlier_ends.len() => call_ms,
            Some(end) => end.body.duration_ms,
            None => call_ms,
        }
    }

    /// Every fact of the attempt's row is there.
    pub fn attempt_complete(&self, attempt: &Attempt) -> bool {
        let closed = self.attempted.is_some() && attempt.tried.is_some() && (self.lost || !attempt.ends.is_empty());
        closed && (!self.is_answered(attempt) || attempt.answered.is_some() && self.ended.is_some())
    }

    /// Every fact that bears on money is there.
    pub fn money_complete(&self) -> bool {
        let Some(end) = self.end() else { return false };
        let closed = self.attempts.iter().filter(|a| self.attempt_complete(a)).count();
        self.attempted.is_some()
            && closed >= end.attempts as usize
            && (end.answered_attempt == 0 || self.answered_attempt().is_some_and(|a| a.answered.is_some()))
    }

    /// Every fact of the final is there.
    pub fn complete(&self) -> bool {
        self.money_complete() && (self.teardown.is_some() || !self.end().is_some_and(super::record::says_teardown))
    }

    /// Nothing more is to be expected of a call that ended: every carrier gave its last word and the end is known.
    pub fn is_settled(&self) -> bool {
        let abandoned = |a: &Attempt| {
            a.ends.last().is_none_or(|e| matches!(e.body.sip_code, 0 | 487) || !e.body.local_cause.is_empty())
        };
        !self.flushed && self.end().is_some_and(|e| e.duration_confidence == "exact") && !self.attempts.iter().any(abandoned)
    }
}

/// The stage's whole state.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Saved {
    #[prost(uint32, tag = "1")]
    pub partition: u32,
    #[prost(sint64, tag = "2")]
    pub clock_us: i64,
    /// By id.
    #[prost(message, repeated, tag = "3")]
    pub calls: Vec<Call>,
    /// Ids of 16 bytes each, oldest first.
    #[prost(bytes = "vec", tag = "4")]
    pub forgotten: Vec<u8>,
    #[prost(message, optional, tag = "5")]
    pub nodes: Option<Nodes>,
    #[prost(message, optional, tag = "20")]
    pub credit: Option<crate::credit::Saved>,
    /// Payments posted lately, 16 bytes each, oldest first.
    #[prost(bytes = "vec", tag = "21")]
    pub payments: Vec<u8>,
    /// As [`crate::lately::Lately::to_bytes`] has them.
    #[prost(bytes = "vec", tag = "22")]
    pub requests: Vec<u8>,
    #[prost(message, repeated, tag = "30")]
    pub recent: Vec<RecentSaved>,
}

impl Saved {
    /// Field number of `calls`, for writing them one by one.
    pub const CALLS: u32 = 3;
}
