//! One open call: its events, as they are in the log, without those a newer one makes idle.

use std::sync::Arc;

use tollgate_schemas::{
    event::Body,
    id::Id,
    v1::{CallAnswered, CallAttempted, CallFacts, Event},
};

/// Most events kept of one call: hunts are bounded far below it, so only a flood of dialog changes of many forks meets it.
pub const MAX_EVENTS: usize = 128;

/// What is known of a call that has not ended. Never empty: the first event is `call.attempted`.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenCall {
    events: Vec<Arc<Event>>,
}

impl OpenCall {
    pub(super) fn new(attempted: Arc<Event>) -> OpenCall {
        OpenCall { events: vec![attempted] }
    }

    /// A call from a snapshot; none when it does not start with `call.attempted`.
    pub(super) fn of(events: Vec<Arc<Event>>) -> Option<OpenCall> {
        matches!(events.first()?.body, Some(Body::CallAttempted(_))).then_some(OpenCall { events })
    }

    /// Keeps an event of this call. `call.dialog_changed`, `call.interim` and `call.ringing` (of one attempt) replace
    /// the one before: each says the whole state. The first answer stays, since it prices the call.
    pub(super) fn keep(&mut self, event: &Arc<Event>) {
        let Some(body) = &event.body else { return };
        let replaces = |old: &Event| match (&old.body, body) {
            (Some(Body::CallDialogChanged(_)), Body::CallDialogChanged(_)) | (Some(Body::CallInterim(_)), Body::CallInterim(_)) => true,
            (Some(Body::CallRinging(old)), Body::CallRinging(new)) => old.attempt_no == new.attempt_no,
            _ => false,
        };
        match body {
            Body::CallRouteTried(_) | Body::CallRinging(_) | Body::CallDialogChanged(_) | Body::CallInterim(_) | Body::CallAttemptEnded(_) | Body::CallTeardown(_) => {}
            Body::CallAnswered(_) if self.answered().is_none() => {}
            _ => return,
        }
        self.events.retain(|old| !replaces(old));
        if self.events.len() >= MAX_EVENTS {
            let informs = |e: &Arc<Event>| matches!(e.body, Some(Body::CallRinging(_) | Body::CallAttemptEnded(_) | Body::CallTeardown(_)));
            let at = self.events.iter().position(informs).unwrap_or(1);
            self.events.remove(at);
        }
        self.events.push(Arc::clone(event));
    }

    pub fn id(&self) -> Id {
        self.events[0].id()
    }

    /// Every event kept, in the log's order, the first `call.attempted`.
    pub fn events(&self) -> &[Arc<Event>] {
        &self.events
    }

    pub fn attempted_event(&self) -> &Arc<Event> {
        &self.events[0]
    }

    pub fn attempted(&self) -> Option<&CallAttempted> {
        match &self.events[0].body {
            Some(Body::CallAttempted(attempted)) => Some(attempted),
            _ => None,
        }
    }

    pub fn facts(&self) -> Option<&CallFacts> {
        self.attempted()?.facts.as_ref()
    }

    /// The first answer, with its envelope (times, dialogs).
    pub fn answered(&self) -> Option<(&Arc<Event>, &CallAnswered)> {
        self.events.iter().find_map(|e| match &e.body {
            Some(Body::CallAnswered(answered)) => Some((e, answered)),
            _ => None,
        })
    }

    /// Each carrier tried, in order.
    pub fn routes_tried(&self) -> impl Iterator<Item = &Arc<Event>> {
        self.events.iter().filter(|e| matches!(e.body, Some(Body::CallRouteTried(_))))
    }

    /// The latest ringing of each attempt.
    pub fn ringing(&self) -> impl Iterator<Item = &Arc<Event>> {
        self.events.iter().filter(|e| matches!(e.body, Some(Body::CallRinging(_))))
    }

    pub fn attempts_ended(&self) -> impl Iterator<Item = &Arc<Event>> {
        self.events.iter().filter(|e| matches!(e.body, Some(Body::CallAttemptEnded(_))))
    }

    pub fn teardowns(&self) -> impl Iterator<Item = &Arc<Event>> {
        self.events.iter().filter(|e| matches!(e.body, Some(Body::CallTeardown(_))))
    }

    /// The latest state of the dialogs.
    pub fn dialog_changed(&self) -> Option<&Arc<Event>> {
        self.events.iter().rev().find(|e| matches!(e.body, Some(Body::CallDialogChanged(_))))
    }

    /// The last proof of life that was written.
    pub fn interim(&self) -> Option<&Arc<Event>> {
        self.events.iter().rev().find(|e| matches!(e.body, Some(Body::CallInterim(_))))
    }

    /// The latest event's time: the call was alive then.
    pub fn last_seen_us(&self) -> i64 {
        self.events.iter().map(|e| e.occurred_us).max().unwrap_or(0)
    }
}
