//! What callers are told to do, and what they tell: scripts and calls to place; records, notices and counts.

use std::{
    sync::atomic::{AtomicBool, AtomicU64},
    time::{Duration, Instant},
};

/// What a call is in the play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Legit,
    Fraud,
    Emergency,
}

/// A call to place.
#[derive(Debug, Clone)]
pub struct Dial {
    pub kind: Kind,
    /// Digits (or `+` and digits) as the customer writes them.
    pub to: String,
    pub from: String,
    /// When the caller gives up waiting for an answer.
    pub patience: Duration,
    /// When the caller hangs up, counted from the answer.
    pub hold: Duration,
}

/// Decides when to call whom. `live`: calls of this script's kind that are up or being set up.
pub trait Script: Send {
    fn kind(&self) -> Kind;
    fn due(&self) -> Option<Instant>;
    fn next(&mut self, now: Instant, live: usize) -> Option<Dial>;
}

/// How a call went, as the caller saw it.
#[derive(Debug, Clone)]
pub struct CallRecord {
    pub customer: &'static str,
    pub kind: Kind,
    pub call_id: String,
    pub started: Instant,
    pub answered: Option<Instant>,
    /// None: the call hangs, which must not be.
    pub ended: Option<Instant>,
    /// Final status; 0 without one.
    pub code: u16,
    /// The other side or the network in between said BYE.
    pub ended_by_far_side: bool,
}

/// What is told as it happens, of calls that are not everyday's.
#[derive(Debug, Clone, Copy)]
pub enum Notice {
    Answered(Kind, Instant),
    Failed(Kind, u16, Instant),
    /// An answered call was ended by the far side.
    CutOff(Kind, Instant),
}

/// Shared with whoever conducts the play.
#[derive(Debug, Default)]
pub struct Stage {
    /// Place no more calls.
    pub quiet: AtomicBool,
    /// End what is up.
    pub curtain: AtomicBool,
    pub placed: AtomicU64,
    pub answered: AtomicU64,
    pub done: AtomicU64,
}
