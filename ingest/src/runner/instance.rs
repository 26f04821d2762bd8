//! One partition of a stage: its state and how far it has read.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
};

use prost::Message;
use tollgate_schemas::{
    control::Decisions,
    event::{Body, Event},
    log::{Append, EventLog, LogError, Snapshot, Topic},
    stage::{Outputs, Poison, Stage},
    v1::Quarantined,
};

use super::{
    RunnerOptions,
    repeats::{self, Repeats},
};
use crate::worker::{Control, panic_text};

/// Control events read at once.
const CONTROL_BATCH: usize = 256;

pub struct Instance {
    pub partition: u16,
    stage: Box<dyn Stage>,
    name: &'static str,
    input: Topic,
    batch_max: usize,
    follow_control: bool,
    /// The next offset of topic control to read, and what of it stands.
    control: u64,
    decisions: Decisions,
    /// On a log that is shared: what came of each node.
    repeats: Option<Repeats>,
    /// Only looks on: another owns the partition's outputs and progress.
    observes: bool,
    /// The next input offset.
    pub next: u64,
    /// The next input offset as the log knows it.
    pub committed: u64,
    /// The next input offset of the newest snapshot.
    pub saved: u64,
}

/// Before the stage's own state in a snapshot: the next control offset, then what came of each node ([`Repeats`]).
const HEADER: usize = 8;
/// Version of that form, above the stage's own version.
pub(super) const FORM: u32 = 1 << 24;

/// As [`super::with_node`].
pub fn with_node(state: &[u8], node: u64, next: u64) -> Vec<u8> {
    let Some((control, rest)) = state.split_first_chunk::<HEADER>() else { return state.to_vec() };
    let Some((mut repeats, stage)) = Repeats::read(rest) else { return state.to_vec() };
    if next > 0 {
        repeats.reached(node, next);
    }
    let mut out = control.to_vec();
    repeats.write(&mut out);
    out.extend(stage);
    out
}

impl Instance {
    /// At the beginning, whatever was saved.
    pub fn fresh(
        log: &dyn EventLog,
        name: &'static str,
        partition: u16,
        make: &dyn Fn(u16) -> Box<dyn Stage>,
        options: &RunnerOptions,
    ) -> Result<Instance, LogError> {
        let first = log.first(options.input, partition);
        let committed = log.progress(name, options.input, partition)?.unwrap_or(0).max(first);
        Ok(Instance {
            partition,
            stage: make(partition),
            name,
            input: options.input,
            batch_max: options.batch_max.max(1),
            follow_control: options.follow_control,
            control: 0,
            decisions: Decisions::default(),
            repeats: log.shared().then(Repeats::default),
            observes: options.observes.is_some(),
            // What a trimmed log no longer has was folded into a snapshot once; without that one the fold begins here.
            next: first,
            committed,
            saved: 0,
        })
    }

    /// The newest snapshot of this version, else the beginning. `catch_up` must follow.
    pub fn restore(
        log: &dyn EventLog,
        name: &'static str,
        partition: u16,
        make: &dyn Fn(u16) -> Box<dyn Stage>,
        options: &RunnerOptions,
    ) -> Result<Instance, LogError> {
        let mut instance = Instance::fresh(log, name, partition, make, options)?;
        let committed = instance.committed;
        let Some(snapshot) = log.snapshot(name, partition)? else { return Ok(instance) };
        if instance.observes {
            // Any state is one to go on from; what it makes of the past is not put out.
            instance.committed = snapshot.next;
        }
        let usable = snapshot.version == instance.version() && (snapshot.next <= committed || instance.observes);
        let parts = snapshot.state.split_first_chunk::<HEADER>().filter(|_| usable);
        match parts.and_then(|(control, rest)| Repeats::read(rest).map(|(repeats, state)| (control, repeats, state))) {
            Some((control, repeats, state)) => match instance.stage.restore(state) {
                Ok(()) => {
                    instance.control = u64::from_be_bytes(*control);
                    instance.repeats = log.shared().then_some(repeats);
                    instance.next = snapshot.next;
                    instance.saved = snapshot.next;
                }
                Err(error) => {
                    tracing::warn!(stage = name, partition, %error, "replaying from the beginning");
                    instance.stage = make(partition);
                }
            },
            None => tracing::info!(stage = name, partition, version = snapshot.version, "snapshot of another version: replaying from the beginning"),
        }
        Ok(instance)
    }

    /// Applies what was applied before the restart, throwing the outputs away: they are in the log. False when told to stop.
    pub fn catch_up(&mut self, log: &dyn EventLog, control: &Control) -> Result<bool, LogError> {
        let mut thrown = Vec::new();
        while self.behind() {
            if !self.again(log, control, &mut thrown)? {
                return Ok(false);
            }
            thrown.clear();
            control.reached(self.partition.into(), self.next);
        }
        Ok(true)
    }

    /// Some of what was committed is not in this state yet.
    pub fn behind(&self) -> bool {
        self.next < self.committed
    }

    /// Applies a batch of what was committed before. False when told to stop.
    pub fn again(&mut self, log: &dyn EventLog, control: &Control, outputs: &mut Vec<Append>) -> Result<bool, LogError> {
        let before = self.next;
        let max = usize::try_from(self.committed - self.next).unwrap_or(usize::MAX).min(self.batch_max);
        if !self.advance(log, control, max, self.committed, outputs)? {
            return Ok(false);
        }
        if self.next == before {
            let problem = format!("{} has committed {} here, the log ends before that", self.name, self.committed);
            return Err(LogError::Corrupt { topic: self.input.name(), partition: self.partition, offset: self.next, problem });
        }
        Ok(true)
    }

    /// Applies what is new, up to one batch. False when told to stop.
    pub fn pass(&mut self, log: &dyn EventLog, control: &Control, outputs: &mut Vec<Append>) -> Result<bool, LogError> {
        if log.end(self.input, self.partition) == self.next {
            return Ok(true);
        }
        self.advance(log, control, self.batch_max, u64::MAX, outputs)
    }

    fn advance(&mut self, log: &dyn EventLog, control: &Control, max: usize, before: u64, outputs: &mut Vec<Append>) -> Result<bool, LogError> {
        let Some(records) = control.until_read(|| log.read(self.input, self.partition, self.next, max))? else { return Ok(false) };
        let mut out = Outputs { appends: std::mem::take(outputs) };
        for record in records.iter().take_while(|r| r.offset < before) {
            let event = &*record.event;
            if let Some(repeats) = &mut self.repeats {
                match repeats.see(event) {
                    repeats::Seen::Next => {}
                    repeats::Seen::Again => {
                        control.repeated();
                        self.next = record.offset + 1;
                        continue;
                    }
                    repeats::Seen::Gap { node, expected } => {
                        control.gap();
                        let found = event.partition_seq;
                        tracing::error!(
                            stage = self.name, partition = self.partition, offset = record.offset, node = format!("{node:012x}"), expected, found,
                            "events of a node are missing: its local log has them, see the page on operations"
                        );
                    }
                }
            }
            let block = matches!(event.body, Some(Body::BlockPlaced(_) | Body::BlockLifted(_)));
            if self.follow_control && !self.feed_control(log, control, event.control_position, &mut out)? {
                *outputs = out.appends;
                return Ok(false);
            }
            if !block {
                let stage = &mut self.stage;
                let kept = out.appends.len();
                if let Err(poison) = guarded(|| stage.apply_shared(record.offset, &record.event, &mut out)) {
                    out.appends.truncate(kept);
                    self.quarantine(self.input, self.partition, record.offset, event, poison, &mut out);
                }
            } else if self.follow_control {
                let stage = &mut self.stage;
                if let Err(poison) = guarded(|| stage.control(event)) {
                    self.quarantine(self.input, self.partition, record.offset, event, poison, &mut out);
                }
            }
            self.next = record.offset + 1;
        }
        *outputs = out.appends;
        Ok(true)
    }

    /// Feeds control events up to a stamp. A stamp was durable before it was given, so they are all there.
    fn feed_control(&mut self, log: &dyn EventLog, control: &Control, stamp: u64, out: &mut Outputs) -> Result<bool, LogError> {
        while self.control < stamp {
            let max = usize::try_from(stamp - self.control).unwrap_or(usize::MAX).min(CONTROL_BATCH);
            let Some(records) = control.until_read(|| log.read(Topic::Control, 0, self.control, max))? else { return Ok(false) };
            if records.is_empty() {
                tracing::error!(stage = self.name, stamp, end = self.control, "an event is stamped with a control position the log does not have");
                break;
            }
            for record in records.iter().take_while(|r| r.offset < stamp) {
                for event in self.decisions.take(record.offset, &record.event) {
                    let stage = &mut self.stage;
                    if let Err(poison) = guarded(|| stage.control(&event)) {
                        self.quarantine(Topic::Control, 0, record.offset, &event, poison, out);
                    }
                }
                self.control = record.offset + 1;
            }
        }
        Ok(true)
    }

    fn quarantine(&self, topic: Topic, partition: u16, offset: u64, event: &Event, poison: Poison, out: &mut Outputs) {
        tracing::error!(stage = self.name, topic = topic.name(), partition, offset, id = %event.id(), problem = poison.0, "event quarantined");
        let body = Quarantined {
            stage: self.name.to_owned(),
            problem: poison.0,
            event: event.encode_to_vec(),
            topic: topic.name().to_owned(),
            partition: partition.into(),
            offset,
            call_id: event.call_id().to_vec(),
        };
        // Every partition is fed control events: the ordinal keeps their ids apart.
        let ordinal = u32::from(self.partition);
        out.push(Topic::Quarantine, self.partition, Event::derived(self.name, event, "quarantine", ordinal, Body::Quarantined(body)));
    }

    pub fn snapshot(&self, consumer: &str) -> Snapshot {
        let mut state = self.decisions.resume_at(self.control).to_be_bytes().to_vec();
        self.repeats.as_ref().unwrap_or(&Repeats::default()).write(&mut state);
        state.extend(self.stage.snapshot());
        Snapshot { consumer: consumer.to_owned(), partition: self.partition, version: self.version(), next: self.next, state }
    }

    fn version(&self) -> u32 {
        FORM | self.stage.snapshot_version()
    }
}

/// A panic is poison too: the event that brought it is kept for a person, the partition goes on.
fn guarded(call: impl FnOnce() -> Result<(), Poison>) -> Result<(), Poison> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| Err(Poison(format!("the stage panicked: {}", panic_text(&*panic)))))
}
