//! The envelope: how an event is made, read and named (design §2).

use prost::Message;
use thiserror::Error;

pub use crate::v1::{Event, event::Body};
use crate::{
    id::{Id, Mint},
    time::Now,
};

/// Version of `proto/` this program writes.
/// 2: decisions of several owners (`ControlApplied.based_on`), `call.end_requested`, leases, partial figures.
/// 3: what accounts above the caller's pay is rated again (`CallRerated.tiers`); carriers are judged by codec class, too; how the account
/// paid (`CallFacts.billing`), the caller's name (`Personal.a_name`); carriers that were passed over when their turn came
/// (`call.route_skipped`), and why a refused call had none (`CallRefused.choices`); money and documents that are asked for with a key are
/// made once (`RequestKey`), and a payment that an account could not take is not posted.
pub const VERSION: u32 = 3;
/// The oldest reader of what version 2 brought: an older one would take a void decision for one in force.
pub const OLDEST_READER_2: u32 = 2;
/// The oldest reader of what version 3 brought: an older one would leave it out of a price or of a CDR's explanation, take the counts
/// of one codec class for those of all, or post again what was asked for again.
pub const OLDEST_READER_3: u32 = 3;

#[derive(Debug, Error)]
pub enum ReadError {
    #[error("event cannot be decoded: {0}")]
    Undecodable(#[from] prost::DecodeError),
    /// Terminal: stop and alarm, never skip.
    #[error("event {id} was written for readers of version {oldest} or newer, this program reads up to {VERSION}: upgrade it before it reads on")]
    TooNew { id: Id, oldest: u32 },
}

/// Reads one event; refuses one that needs a newer reader.
pub fn decode(bytes: &[u8]) -> Result<Event, ReadError> {
    let event = Event::decode(bytes)?;
    if event.oldest_reader > VERSION {
        return Err(ReadError::TooNew { id: event.id(), oldest: event.oldest_reader });
    }
    Ok(event)
}

/// What every event of one process and moment shares.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    pub mint: &'a Mint,
    pub boot_id: u64,
    pub now: Now,
    /// How many control events were applied when this was decided.
    pub control_position: u64,
}

/// The oldest version that may handle an event with this body.
fn oldest_reader(body: &Body) -> u32 {
    match body {
        Body::QualityPublished(of) if of.counted.as_ref().is_some_and(|c| !c.codec_class.is_empty()) => OLDEST_READER_3,
        Body::QualityPublished(of) if of.judged.as_ref().is_some_and(|j| !j.classes.is_empty()) => OLDEST_READER_3,
        Body::CallEndRequested(_) | Body::LeaseAsked(_) | Body::LeaseGranted(_) | Body::PartialPublished(_)
        | Body::QualityPublished(_) => OLDEST_READER_2,
        Body::CallRerated(order) if !order.tiers.is_empty() => OLDEST_READER_3,
        Body::CallRouteSkipped(_) => OLDEST_READER_3,
        Body::CallRefused(refused) if !refused.choices.is_empty() => OLDEST_READER_3,
        Body::PaymentPosted(b) if b.request.is_some() => OLDEST_READER_3,
        Body::InvoiceIssued(b) if b.request.is_some() => OLDEST_READER_3,
        Body::NoteIssued(b) if b.request.is_some() => OLDEST_READER_3,
        Body::DisputeChanged(b) if b.request.is_some() => OLDEST_READER_3,
        Body::CallRerated(_) | Body::InvoiceIssued(_) | Body::NoteIssued(_) | Body::DisputeChanged(_) => OLDEST_READER_2,
        Body::PaymentPosted(_) | Body::AlertClosed(_) | Body::DocumentPosted(_) => OLDEST_READER_2,
        Body::ControlApplied(applied) if applied.based_on.is_some() => OLDEST_READER_2,
        _ => 1,
    }
}

impl Event {
    /// A new fact, born here.
    pub fn born(origin: Origin<'_>, key: &str, body: Body) -> Event {
        Event {
            version: VERSION,
            oldest_reader: oldest_reader(&body),
            id: origin.mint.mint().to_vec(),
            occurred_us: origin.now.utc_us,
            boot_id: origin.boot_id,
            mono_ns: origin.now.mono_ns,
            control_position: origin.control_position,
            key: key.to_owned(),
            body: Some(body),
            ..Event::default()
        }
    }

    /// A stage's output: its id is a hash of stage, cause, rule and ordinal, its time the cause's.
    pub fn derived(stage: &str, cause: &Event, rule: &str, ordinal: u32, body: Body) -> Event {
        Event {
            version: VERSION,
            oldest_reader: oldest_reader(&body),
            id: Id::derived(stage, cause.id(), rule, ordinal).to_vec(),
            occurred_us: cause.occurred_us,
            boot_id: cause.boot_id,
            mono_ns: cause.mono_ns,
            control_position: cause.control_position,
            key: cause.key.clone(),
            cause_id: cause.id.clone(),
            body: Some(body),
            ..Event::default()
        }
    }

    pub fn id(&self) -> Id {
        Id::of(&self.id)
    }

    /// Whose log counted `partition_seq`: events of one node come in its order, and one that comes again is a repeat.
    pub fn log_node(&self) -> u64 {
        if self.log_node == 0 { self.id().node() } else { self.log_node }
    }

    /// The call this event is about; the nil id when it is about none.
    pub fn call_id(&self) -> Id {
        match &self.body {
            Some(Body::CallAttempted(_) | Body::CallRefused(_)) => self.id(),
            Some(Body::CallRouteTried(b)) => Id::of(&b.call_id),
            Some(Body::CallRouteSkipped(b)) => Id::of(&b.call_id),
            Some(Body::CallRinging(b)) => Id::of(&b.call_id),
            Some(Body::CallAnswered(b)) => Id::of(&b.call_id),
            Some(Body::CallDialogChanged(b)) => Id::of(&b.call_id),
            Some(Body::CallInterim(b)) => Id::of(&b.call_id),
            Some(Body::CallAttemptEnded(b)) => Id::of(&b.call_id),
            Some(Body::CallTeardown(b)) => Id::of(&b.call_id),
            Some(Body::CallMedia(b)) => Id::of(&b.call_id),
            Some(Body::CallEnded(b)) => Id::of(&b.call_id),
            Some(Body::LedgerPosted(b)) => Id::of(&b.call_id),
            Some(Body::CallEndRequested(b)) => Id::of(&b.call_id),
            Some(Body::CallRerated(b)) => Id::of(&b.call_id),
            _ => Id::NIL,
        }
    }

    /// The fact's name on the wire and for people, as `call.answered`.
    pub fn name(&self) -> &'static str {
        match &self.body {
            Some(Body::CallAttempted(_)) => "call.attempted",
            Some(Body::CallRefused(_)) => "call.refused",
            Some(Body::CallRouteTried(_)) => "call.route_tried",
            Some(Body::CallRouteSkipped(_)) => "call.route_skipped",
            Some(Body::CallRinging(_)) => "call.ringing",
            Some(Body::CallAnswered(_)) => "call.answered",
            Some(Body::CallDialogChanged(_)) => "call.dialog_changed",
            Some(Body::CallInterim(_)) => "call.interim",
            Some(Body::CallAttemptEnded(_)) => "call.attempt_ended",
            Some(Body::CallTeardown(_)) => "call.teardown",
            Some(Body::CallMedia(_)) => "call.media",
            Some(Body::CallEnded(_)) => "call.ended",
            Some(Body::Tick(_)) => "tick",
            Some(Body::ControlApplied(_)) => "control.applied",
            Some(Body::ControlRefused(_)) => "control.refused",
            Some(Body::DeckChunk(_)) => "deck.chunk",
            Some(Body::DeckClosed(_)) => "deck.closed",
            Some(Body::CdrWritten(_)) => "cdr.written",
            Some(Body::LedgerPosted(_)) => "ledger.posted",
            Some(Body::AlertRaised(_)) => "alert.raised",
            Some(Body::AlertClosed(_)) => "alert.closed",
            Some(Body::BlockPlaced(_)) => "block.placed",
            Some(Body::BlockLifted(_)) => "block.lifted",
            Some(Body::CallEndRequested(_)) => "call.end_requested",
            Some(Body::Quarantined(_)) => "quarantined",
            Some(Body::LeaseAsked(_)) => "lease.asked",
            Some(Body::LeaseGranted(_)) => "lease.granted",
            Some(Body::PaymentPosted(_)) => "payment.posted",
            Some(Body::PartialPublished(_)) => "partial.published",
            Some(Body::QualityPublished(_)) => "quality.published",
            Some(Body::CallRerated(_)) => "call.rerated",
            Some(Body::InvoiceIssued(_)) => "invoice.issued",
            Some(Body::NoteIssued(_)) => "note.issued",
            Some(Body::DisputeChanged(_)) => "dispute.changed",
            Some(Body::DocumentPosted(_)) => "document.posted",
            None => "unknown",
        }
    }

    /// The event as people see it: `{"event": name, ...envelope, body fields}`.
    pub fn json(&self) -> serde_json::Value {
        let mut object = serde_json::Map::new();
        object.insert("event".to_owned(), self.name().into());
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(fields)) => {
                for (name, value) in fields {
                    // The body's Rust name is not shown: `event` already says which fact it is.
                    let value = match (name.as_str(), value) {
                        ("body", serde_json::Value::Object(one)) => one.into_iter().next().map_or(serde_json::Value::Null, |(_, v)| v),
                        (_, value) => value,
                    };
                    object.insert(name, value);
                }
            }
            Ok(other) => drop(object.insert("body".to_owned(), other)),
            Err(e) => drop(object.insert("unreadable".to_owned(), e.to_string().into())),
        }
        serde_json::Value::Object(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{CallEnded, Tick};

    #[test]
    fn a_reader_too_old_stops_instead_of_skipping() {
        let event = Event { oldest_reader: VERSION + 1, body: Some(Body::Tick(Tick { at_us: 1 })), ..Event::default() };
        assert!(matches!(decode(&event.encode_to_vec()), Err(ReadError::TooNew { .. })));
    }

    #[test]
    fn events_read_as_json_with_ids_and_times_in_full() {
        let mint = Mint::new(1, 1);
        let origin = Origin { mint: &mint, boot_id: 1, now: Now { utc_us: 1_700_000_000_000_000, mono_ns: 5 }, control_position: 2 };
        let call = mint.mint();
        let event = Event::born(origin, "acme", Body::CallEnded(CallEnded { call_id: call.to_vec(), sip_code: 200, ..CallEnded::default() }));
        let json = event.json();
        assert_eq!(json["event"], "call.ended");
        assert_eq!(json["body"]["call_id"], call.to_string());
        assert_eq!(json["occurred_us"], "2023-11-14T22:13:20.000000Z");
        assert_eq!(event.call_id(), call);
    }
}
