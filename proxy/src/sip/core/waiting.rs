//! Calls that wait for what is known of their numbers, the called one's portability and the calling one's name, both
//! asked for at once: the INVITE has its 100 Trying and lies here, nothing of it is
//! counted or written but its CPS token, and it is decided anew, at that time and with the plan of then, when the answers are there,
//! when they have taken too long, when its caller gives up or when the node stops. Other calls never wait for it.
//!
//! At most [`MAX_WAITING`] in one shard; beyond, a call goes by the dialled number at once (`lrn_source` "fallback").

use std::{collections::HashMap, net::SocketAddr};

use foldhash::fast::RandomState;
use tollgate_schemas::{
    number::E164,
    portability::{DipAnswer, DipError, Named},
    time::Now,
};

use super::{
    super::{
        msg::Msg,
        table::Ref,
        timer::{Entry, Owner},
        txn::ServerState,
    },
    Core, ms,
    reply::phrase_of,
};
use crate::admission::{Answers, Awaits, Lookup, Party};

/// Calls of one shard that wait; their INVITEs are kept, so this is some tens of megabytes at worst.
pub const MAX_WAITING: usize = 4_096;

/// A call that is not decided.
pub struct Waiting {
    /// The caller's INVITE, as it came, and from where.
    invite: Vec<u8>,
    from: SocketAddr,
    server: Ref,
    merge_key: u128,
    /// What is not known yet, and what is.
    awaits: Awaits,
    answers: Answers,
    since_ms: u64,
    until_ms: u64,
}

/// Takes a call out of who waits for a number.
fn forget(waiting_for: &mut HashMap<E164, Vec<Ref>, RandomState>, number: Option<E164>, at: Ref) {
    let Some(number) = number else { return };
    if let Some(others) = waiting_for.get_mut(&number) {
        others.retain(|other| *other != at);
        if others.is_empty() {
            waiting_for.remove(&number);
        }
    }
}

impl Core {
    /// How a new call's number is looked up.
    pub(super) fn lookup(&self) -> Lookup<'static> {
        if self.waiting.len() < MAX_WAITING { Lookup::Wait(self.shard) } else { Lookup::AtOnce }
    }

    /// Keeps an INVITE until its numbers are known.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn wait_for(&mut self, server: Ref, msg: &Msg<'_>, from: SocketAddr, merge_key: u128, awaits: Awaits, within_ms: u32, now: Now) {
        let (since_ms, until_ms) = (ms(now), ms(now) + u64::from(within_ms));
        let at = self.waiting.insert(Waiting { invite: msg.bytes().to_vec(), from, server, merge_key, awaits, answers: Answers::default(), since_ms, until_ms });
        if let Some(number) = awaits.number {
            self.waiting_for.entry(number).or_default().push(at);
        }
        if let Some(name) = awaits.name {
            self.waiting_names.entry(name).or_default().push(at);
        }
        self.merges.insert(merge_key, server);
        if let Some(tx) = self.servers.get_mut(server) {
            tx.waiting = Some(at);
        }
        self.wheel.insert(Entry { owner: Owner::Waiting(at.index), generation: at.generation, due_ms: until_ms });
        self.counters.waited += 1;
    }

    /// Calls that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// What came of a look-up: every call that waits for it, and for nothing else, goes on, in the order they came. A look-up that
    /// was made is the first one's; the others have it from memory.
    pub fn number_known(&mut self, number: &E164, mut answer: DipAnswer, now: Now) {
        for at in self.waiting_for.remove(number).unwrap_or_default() {
            let Some(waiting) = self.waiting.get_mut(at) else { continue };
            (waiting.awaits.number, waiting.answers.number) = (None, Some(answer.clone()));
            if let Ok(dip) = &mut answer {
                dip.cached = true;
            }
            self.go_on_if_known(at, now);
        }
    }

    /// The same of a name.
    pub fn name_known(&mut self, number: &E164, mut answer: DipAnswer<Named>, now: Now) {
        for at in self.waiting_names.remove(number).unwrap_or_default() {
            let Some(waiting) = self.waiting.get_mut(at) else { continue };
            (waiting.awaits.name, waiting.answers.name) = (None, Some(answer.clone()));
            if let Ok(dip) = &mut answer {
                dip.cached = true;
            }
            self.go_on_if_known(at, now);
        }
    }

    fn go_on_if_known(&mut self, at: Ref, now: Now) {
        if self.waiting.get(at).is_some_and(|waiting| waiting.awaits == Awaits::default()) {
            self.go_on(at, now);
        }
    }

    /// The node stops: what waits is decided now, which is to say refused.
    pub fn settle_waiting(&mut self, now: Now) {
        let all: Vec<Ref> = self.waiting.iter().map(|(at, _)| at).collect();
        for at in all {
            self.give_up_waiting(at, DipError::Cancelled, now);
        }
    }

    pub(super) fn waiting_due(&mut self, at: Ref, now: Now) {
        let Some(waiting) = self.waiting.get(at) else { return };
        let waited_ms = ms(now).saturating_sub(waiting.since_ms);
        debug_assert!(ms(now) >= waiting.until_ms);
        self.give_up_waiting(at, DipError::Timeout(waited_ms as u32), now);
    }

    /// Goes on without an answer. Of a caller that gave up it is decided like any other, so that its record says what was
    /// asked for, and ends with 487 before a carrier is tried.
    pub(super) fn give_up_waiting(&mut self, at: Ref, why: DipError, now: Now) {
        if let Some(waiting) = self.waiting.get_mut(at) {
            let awaits = std::mem::take(&mut waiting.awaits);
            if awaits.number.is_some() {
                waiting.answers.number = Some(Err(why.clone()));
            }
            if awaits.name.is_some() {
                waiting.answers.name = Some(Err(why));
            }
            forget(&mut self.waiting_for, awaits.number, at);
            forget(&mut self.waiting_names, awaits.name, at);
        }
        self.go_on(at, now);
    }

    fn go_on(&mut self, at: Ref, now: Now) {
        let Some(waiting) = self.waiting.remove(at) else { return };
        self.merges.remove(&waiting.merge_key);
        let Some(tx) = self.servers.get_mut(waiting.server).filter(|tx| tx.state == ServerState::Proceeding) else { return };
        tx.waiting = None;
        let Ok(msg) = Msg::parse(&waiting.invite) else { return };
        // The plan may be another than when it came.
        let Some(Party::Trunk(trunk)) = self.plan.policy.party(waiting.from) else {
            // Nobody's by now: recorded as such (S1-75), and answered, as it was told to wait.
            self.note_stranger(waiting.from, now);
            return self.reply(waiting.server, &msg, waiting.from, 403, phrase_of(403), "", now);
        };
        let waited_ms = ms(now).saturating_sub(waiting.since_ms) as u32;
        self.decide(waiting.server, &msg, waiting.from, trunk, None, Lookup::Answer(&waiting.answers, waited_ms), now);
    }
}

#[cfg(test)]
mod tests;
