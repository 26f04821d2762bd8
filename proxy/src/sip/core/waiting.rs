//! Calls that wait for what is known of their number: the INVITE has its 100 Trying and lies here, nothing of it is
//! counted or written but its CPS token, and it is decided anew, at that time and with the plan of then, when the answer comes,
//! when it has taken too long, when its caller gives up or when the node stops. Other calls never wait for it.
//!
//! At most [`MAX_WAITING`] in one shard; beyond, a call goes by the dialled number at once (`lrn_source` "fallback").

use std::net::SocketAddr;

use tollgate_schemas::{
    number::E164,
    portability::{DipAnswer, DipError},
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
use crate::admission::{Lookup, Party};

/// Calls of one shard that wait; their INVITEs are kept, so this is some tens of megabytes at worst.
pub const MAX_WAITING: usize = 4_096;

/// A call that is not decided.
pub struct Waiting {
    /// The caller's INVITE, as it came, and from where.
    invite: Vec<u8>,
    from: SocketAddr,
    server: Ref,
    merge_key: u128,
    number: E164,
    since_ms: u64,
    until_ms: u64,
}

impl Core {
    /// How a new call's number is looked up.
    pub(super) fn lookup(&self) -> Lookup<'static> {
        if self.waiting.len() < MAX_WAITING { Lookup::Wait(self.shard) } else { Lookup::AtOnce }
    }

    /// Keeps an INVITE until its number is known.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn wait_for(&mut self, server: Ref, msg: &Msg<'_>, from: SocketAddr, merge_key: u128, number: E164, within_ms: u32, now: Now) {
        let (since_ms, until_ms) = (ms(now), ms(now) + u64::from(within_ms));
        let at = self.waiting.insert(Waiting { invite: msg.bytes().to_vec(), from, server, merge_key, number, since_ms, until_ms });
        self.waiting_for.entry(number).or_default().push(at);
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

    /// What came of a look-up: every call that waits for it goes on, in the order they came. A look-up that was made is the
    /// first one's; the others have it from memory.
    pub fn number_known(&mut self, number: &E164, mut answer: DipAnswer, now: Now) {
        for at in self.waiting_for.remove(number).unwrap_or_default() {
            if self.waiting.get(at).is_none() {
                continue;
            }
            self.go_on(at, &answer, now);
            if let Ok(dip) = &mut answer {
                dip.cached = true;
            }
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
        if let Some(waiting) = self.waiting.get(at)
            && let Some(others) = self.waiting_for.get_mut(&waiting.number)
        {
            others.retain(|other| *other != at);
            if others.is_empty() {
                self.waiting_for.remove(&waiting.number);
            }
        }
        self.go_on(at, &Err(why), now);
    }

    fn go_on(&mut self, at: Ref, answer: &DipAnswer, now: Now) {
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
        self.decide(waiting.server, &msg, waiting.from, trunk, None, Lookup::Answer(answer, waited_ms), now);
    }
}

#[cfg(test)]
mod tests;
