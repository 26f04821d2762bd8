//! Logs, events and a stage for this crate's tests.

use std::{path::Path, sync::Arc, time::Duration};

use tollgate_schemas::{
    event::{Body, Event},
    id::Id,
    log::{Append, Claim, EventLog, Topic, Urgency},
    stage::{BadSnapshot, Outputs, Poison, Stage},
    v1::{BlockLifted, ControlApplied, LedgerPosted, Tick},
};

use crate::{EmbeddedLog, Options, embedded::Faults};

/// Far above what anything in these tests takes.
pub const LONG: Duration = Duration::from_secs(20);

pub fn open(dir: &Path) -> Arc<EmbeddedLog> {
    open_with(dir, None)
}

pub fn open_with(dir: &Path, faults: Option<Arc<Faults>>) -> Arc<EmbeddedLog> {
    let options = Options { partitions: 4, window_ms: 1, ride_ms: 3, reserve_bytes: 0, faults, ..Options::default() };
    Arc::new(EmbeddedLog::open(dir, options).expect("open"))
}

/// An event numbered `n`; its id too.
pub fn numbered(partition: u16, n: i64, control_position: u64) -> Append {
    let event = Event {
        id: Id(n as u128 + 1).to_vec(),
        control_position,
        body: Some(Body::Tick(Tick { at_us: n })),
        ..Event::default()
    };
    Append { topic: Topic::Calls, partition, event }
}

pub fn control(n: u128) -> Append {
    let body = Body::ControlApplied(ControlApplied { name: n.to_string(), ..ControlApplied::default() });
    Append { topic: Topic::Control, partition: 0, event: Event { id: Id(1 << 64 | n).to_vec(), body: Some(body), ..Event::default() } }
}

pub fn lifted(n: u128) -> Append {
    let body = Body::BlockLifted(BlockLifted { block_id: Id(n).to_vec(), ..BlockLifted::default() });
    Append { topic: Topic::Blocks, partition: 0, event: Event { id: Id(2 << 64 | n).to_vec(), body: Some(body), ..Event::default() } }
}

pub fn put(log: &dyn EventLog, batch: Vec<Append>) {
    let ticket = log.append(batch, Urgency::Group, Claim::Ordinary).expect("append");
    log.wait(ticket, LONG).expect("durable");
}

pub fn all(log: &dyn EventLog, topic: Topic, partition: u16) -> Vec<Arc<Event>> {
    let mut events = Vec::new();
    while events.len() < log.end(topic, partition) as usize {
        let read = log.read(topic, partition, events.len() as u64, 64).expect("read");
        events.extend(read.into_iter().map(|r| r.event));
    }
    events
}

/// Adds up what it is fed; for every event it posts the sums so far, so that its outputs show its whole state.
#[derive(Default)]
pub struct Adder {
    partition: u16,
    sum: i64,
    /// What came through `control`, folded so that its order shows.
    control: u64,
}

pub const ADDER: &str = "adder";
pub const ADDER_VERSION: u32 = 7;
/// Numbers the adder refuses, and panics on.
pub const POISON: i64 = 666;
pub const PANIC: i64 = 999;

pub fn adder(partition: u16) -> Box<dyn Stage> {
    Box::new(Adder { partition, ..Adder::default() })
}

impl Stage for Adder {
    fn name(&self) -> &'static str {
        ADDER
    }

    fn snapshot_version(&self) -> u32 {
        ADDER_VERSION
    }

    fn apply(&mut self, offset: u64, event: &Event, out: &mut Outputs) -> Result<(), Poison> {
        let Some(Body::Tick(tick)) = &event.body else { return Err(Poison("no number".to_owned())) };
        // Every third event has no output, as in life.
        if offset % 3 != 2 {
            let reason = format!("{} {} {}", tick.at_us, self.sum + tick.at_us, self.control);
            let body = Body::LedgerPosted(LedgerPosted { reason, ..LedgerPosted::default() });
            out.push(Topic::Ledger, self.partition, Event::derived(ADDER, event, "sum", 0, body));
        }
        match tick.at_us {
            POISON => Err(Poison("a number it does not like".to_owned())),
            PANIC => panic!("a number it cannot bear"),
            n => {
                self.sum += n;
                Ok(())
            }
        }
    }

    fn control(&mut self, event: &Event) -> Result<(), Poison> {
        self.control = self.control.wrapping_mul(31).wrapping_add(event.id().0 as u64 + 1);
        Ok(())
    }

    fn snapshot(&self) -> Vec<u8> {
        [self.sum.to_be_bytes(), self.control.to_be_bytes()].concat()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), BadSnapshot> {
        let bad = || BadSnapshot { stage: ADDER, problem: format!("{} bytes", state.len()) };
        let (sum, control) = state.split_first_chunk::<8>().ok_or_else(bad)?;
        self.sum = i64::from_be_bytes(*sum);
        self.control = u64::from_be_bytes(control.try_into().map_err(|_| bad())?);
        Ok(())
    }
}
