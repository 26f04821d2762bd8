//! Ends the calls that were up when a backup was taken, in the folder it is restored into.
//!
//! Their dialogs are another node's, which may be up and have them still: a restored node must neither resume them nor send a BYE.
//! So the restore itself writes their ends, as facts of the new node, in the words of the rater for a node that fell silent: an
//! answered call lasted until the last word of its node in that partition, one that nobody answered failed.

use std::collections::BTreeMap;

use tollgate_ingest::EmbeddedLog;
use tollgate_proxy::live::{LiveCalls, OpenCall};
use tollgate_schemas::{
    event::{Body, Event, Origin},
    log::{Append, Claim, EventLog, LogError, Topic, Urgency},
    v1::{CallAttemptEnded, CallEnded},
};

use crate::node::clock;

const NODE_LOST: &str = "node_lost";
/// Q.850 cause 41, temporary failure.
const TEMPORARY_FAILURE: u32 = 41;
const BATCH: usize = 1024;
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
/// Nodes of one partition whose last word is kept; of others the call's own events tell.
const NODES: usize = 4096;

/// A node's last sign of life in a partition.
#[derive(Debug, Clone, Copy)]
struct Word {
    occurred_us: i64,
    boot_id: u64,
    mono_ns: u64,
}

impl Word {
    fn of(event: &Event) -> Word {
        Word { occurred_us: event.occurred_us, boot_id: event.boot_id, mono_ns: event.mono_ns }
    }

    /// Monotonic within a boot, by UTC across boots.
    fn ms_since(&self, event: &Event) -> u64 {
        if self.boot_id == event.boot_id {
            self.mono_ns.saturating_sub(event.mono_ns) / 1_000_000
        } else {
            u64::try_from(self.occurred_us.saturating_sub(event.occurred_us)).unwrap_or(0) / 1_000
        }
    }
}

/// How many calls were ended.
pub fn open_calls(log: &EmbeddedLog) -> Result<u64, LogError> {
    let mut closed = 0;
    let mut last = None;
    for partition in 0..log.partitions() {
        let mut live = LiveCalls::new();
        let mut words: BTreeMap<u64, Word> = BTreeMap::new();
        let (mut next, end) = (0, log.end(Topic::Calls, partition));
        while next < end {
            let records = log.read(Topic::Calls, partition, next, BATCH)?;
            let Some(last) = records.last().map(|r| r.offset) else { break };
            for record in &records {
                // What it cannot keep, no node would resume either.
                let _ = live.fold(record.offset, &record.event);
                let node = record.event.id().node();
                if record.event.cause_id.is_empty() && (words.len() < NODES || words.contains_key(&node)) {
                    words.insert(node, Word::of(&record.event));
                }
            }
            next = last + 1;
        }
        let mint = log.mint();
        // No boot of its own: nothing is measured against these.
        let origin = Origin { mint: &mint, boot_id: 0, now: clock(), control_position: log.end(Topic::Control, 0) };
        for call in live.open_calls() {
            let word = words.get(&call.id().node()).copied();
            let batch = ends(call, word).into_iter().map(|body| Append { topic: Topic::Calls, partition, event: Event::born(origin, &call.attempted_event().key, body) });
            let ticket = log.append(batch.collect(), Urgency::Group, Claim::Reserved)?;
            closed += 1;
            last = Some(ticket);
            // Far below the log's limit.
            if closed % 1_000 == 0 {
                log.wait(ticket, PATIENCE)?;
            }
        }
    }
    if let Some(last) = last {
        log.wait(last, PATIENCE)?;
    }
    Ok(closed)
}

/// The ends of a call and of its attempts that have none.
fn ends(call: &OpenCall, word: Option<Word>) -> Vec<Body> {
    let call_id = call.id().to_vec();
    let answered = call.answered();
    let ended: Vec<&CallAttemptEnded> = call
        .attempts_ended()
        .filter_map(|e| match &e.body {
            Some(Body::CallAttemptEnded(ended)) => Some(ended),
            _ => None,
        })
        .collect();
    // The leg's end may have been written, and the call's not.
    let duration_ms = answered.map_or(0, |(event, answer)| {
        let leg = ended.iter().find(|e| e.attempt_no == answer.attempt_no).map(|e| e.duration_ms);
        leg.unwrap_or_else(|| word.map_or(0, |w| w.ms_since(event)))
    });
    let mut attempts = 0;
    let mut out = Vec::new();
    for event in call.routes_tried() {
        let Some(Body::CallRouteTried(tried)) = &event.body else { continue };
        attempts += 1;
        if ended.iter().any(|e| e.attempt_no == tried.attempt_no) {
            continue;
        }
        let this = answered.is_some_and(|(_, answer)| answer.attempt_no == tried.attempt_no);
        out.push(Body::CallAttemptEnded(CallAttemptEnded {
            call_id: call_id.clone(),
            attempt_no: tried.attempt_no,
            carrier: tried.carrier.clone(),
            sip_code: if this { 200 } else { 0 },
            q850: TEMPORARY_FAILURE,
            local_cause: NODE_LOST.to_owned(),
            duration_ms: if this { duration_ms } else { 0 },
            ..CallAttemptEnded::default()
        }));
    }
    out.push(Body::CallEnded(CallEnded {
        call_id,
        account: call.facts().map(|f| f.account.clone()).unwrap_or_default(),
        disposition: if answered.is_some() { "answered" } else { "failed" }.to_owned(),
        sip_code: if answered.is_some() { 200 } else { 0 },
        q850: TEMPORARY_FAILURE,
        hangup_party: "system".to_owned(),
        end_reason: NODE_LOST.to_owned(),
        local_cause: NODE_LOST.to_owned(),
        duration_ms,
        duration_confidence: NODE_LOST.to_owned(),
        attempts,
        answered_attempt: answered.map_or(0, |(_, answer)| answer.attempt_no),
        ..CallEnded::default()
    }));
    out
}
