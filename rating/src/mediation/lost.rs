//! What the rater concludes of a call whose node fell silent (design §3, after a crash).
//!
//! An answered call is taken to have lasted until its node's last word, the last proof of life there is, and is priced so;
//! a call nobody answered failed and costs nothing. The conclusion stands in place of `ended` and is no fact: facts that come
//! while it stands are only kept, the node's own end replaces it as if it had never been, and a node lost once more moves it
//! to its newer last word.

use prost::Message;
use tollgate_schemas::{id::Id, nodes::{Word, node_of}, stage::Outputs, v1::CallEnded};

use super::{
    KEEP_LOST_US, Rater, Remembered,
    fold::Touched,
    state::{Attempt, Call, Ended, Stamp},
};

/// `end_reason`, `release_cause_local` and `duration_confidence` (C-052) of such a call.
pub(super) const NODE_LOST: &str = "node_lost";
/// Q.850 cause 41, temporary failure: as after a restart.
const TEMPORARY_FAILURE: u32 = 41;

impl Rater {
    /// A carrier's late answer is not to be missed because the node that has it is silent. True when the call is kept.
    pub(super) fn keep_for_silent_node(&mut self, (deadline, id): (i64, Id)) -> bool {
        let Some(Remembered::Closed { deadline_us, state, .. }) = self.calls.get_mut(&id) else { return false };
        if *deadline_us != deadline || !self.nodes.is_lost(node_of(id)) {
            return false;
        }
        let Ok(mut call) = Call::decode(&**state) else { return false };
        if call.kept {
            return false;
        }
        call.kept = true;
        call.deadline_us = deadline.saturating_add(KEEP_LOST_US);
        (*deadline_us, *state) = (call.deadline_us, call.encode_to_vec().into_boxed_slice());
        self.unsettled.push(call.deadline_us, id);
        true
    }

    /// Closes the calls of nodes that have just been found silent; of one silent for a second time, also those that were
    /// closed before and not ended since.
    pub(super) fn lose(&mut self, offset: u64, out: &mut Outputs) {
        let lost = self.nodes.newly_lost();
        if lost.is_empty() {
            return;
        }
        self.credit.lose(&lost);
        let open = |call: &Remembered| match call {
            Remembered::Open(call) => call.attempted.is_some() && call.ended.is_none(),
            Remembered::Closed { lost, .. } => *lost,
        };
        let of_lost = |id: &Id| lost.contains(&node_of(*id));
        let mut ids: Vec<Id> = self.calls.iter().filter(|(id, call)| of_lost(id) && open(call)).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        for id in ids {
            let Some(word) = self.nodes.last_word(node_of(id)) else { continue };
            match self.calls.get_mut(&id) {
                Some(Remembered::Open(call)) => {
                    conclude(call, &word, offset);
                    self.desk.settle(call, Touched::Call, None, out);
                    self.close(id);
                }
                Some(closed @ Remembered::Closed { .. }) => {
                    // What we closed ourselves reads back.
                    let Remembered::Closed { state, .. } = &*closed else { continue };
                    let Ok(mut call) = Call::decode(&**state) else { continue };
                    conclude(&mut call, &word, offset);
                    let concluded = call.ended.as_ref().map(|e| e.stamp);
                    self.desk.settle(&mut call, Touched::Call, concluded, out);
                    *closed = Remembered::closed(&mut call);
                }
                None => {}
            }
        }
    }
}

/// Ends a call at the last word of its node. `offset`: of the event by which the silence was seen.
pub(super) fn conclude(call: &mut Call, word: &Word, offset: u64) {
    let born = call.attempted.unwrap_or_default();
    // The call's own id: many calls are lost at once, and each needs ids of its own for what comes of it.
    let mut stamp = Stamp { offset, occurred_us: word.occurred_us, boot_id: word.boot_id, mono_ns: word.mono_ns, ..born };
    let answered = call.attempts.iter().filter_map(|a| Some((a, a.answered.as_ref()?.stamp)));
    let answered = answered.min_by_key(|(_, answer)| (answer.occurred_us, answer.id()));
    let mut body = CallEnded {
        disposition: "failed".to_owned(),
        q850: TEMPORARY_FAILURE,
        hangup_party: "system".to_owned(),
        end_reason: NODE_LOST.to_owned(),
        local_cause: NODE_LOST.to_owned(),
        duration_confidence: NODE_LOST.to_owned(),
        attempts: call.attempts.len() as u32,
        ..CallEnded::default()
    };
    if let Some((attempt, answer)) = answered {
        body.disposition = "answered".to_owned();
        body.sip_code = 200;
        body.answered_attempt = attempt.no;
        body.duration_ms = match ended_leg(attempt) {
            // The leg's end was written, the call's was not.
            Some((end, duration_ms)) => {
                stamp = Stamp { id_high: born.id_high, id_low: born.id_low, offset, control_position: born.control_position, ..end };
                duration_ms
            }
            None => answer.ms_until(&stamp),
        };
    }
    call.lost = true;
    call.was_lost = true;
    call.ended = Some(Ended { stamp, body });
}

fn ended_leg(attempt: &Attempt) -> Option<(Stamp, u64)> {
    attempt.ends.last().filter(|e| e.body.sip_code / 100 == 2 || e.body.duration_ms > 0).map(|e| (e.stamp, e.body.duration_ms))
}
