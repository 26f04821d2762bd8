//! Drives a pure stage (`tollgate_schemas::stage`): one instance for each partition, one thread for all of them.
//!
//! **Exactly once in effect.** A pass applies what is new in every partition, then commits outputs and progress
//! together. Progress without outputs is committed once a second: applying such events again changes nothing. After a
//! restart an instance is restored from its snapshot, brought up to the committed progress with its outputs thrown
//! away (they are in the log), and goes on from there.
//!
//! **Control.** With `follow_control`, before an input stamped with control position P the instance is fed the events of
//! topic `control` up to P, in order; how far it was fed is kept beside its snapshot. Blocks have no stamp: the ticker
//! copies them into every partition of the input (see [`crate::tick`]), so their place there is their order, and they are fed
//! as control events where they stand. Both orders are in the log, so a replay feeds the same.
//!
//! **Poison.** An event the stage refuses, or panics on, is written to `quarantine` with its bytes and its call's id,
//! nothing else of it is put out, and the partition goes on. Replay meets the same event in the same state, so it ends alike.

//!
//! **Shared.** On a log that several processes share, each owns some partitions ([`tollgate_schemas::log::Member`]) and works
//! each in a thread of its own, since a commit there takes tens of milliseconds. Who takes a partition over first fences and ends
//! what a dead owner left open. A runner that *observes* owns nothing: it follows every partition from the newest snapshot and
//! puts out, at once, only what may be said twice (blocks), so that nobody waits for a take-over.

mod instance;
pub(crate) mod repeats;
pub(crate) mod share;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tollgate_schemas::{
    log::{Append, Claim, EventLog, LogError, Membership, Progress, Topic, Urgency},
    stage::Stage,
};

use crate::worker::{self, Control, NAP, WorkerHandle};
pub(crate) use instance::Instance;

#[derive(Debug, Clone)]
pub struct RunnerOptions {
    /// The topic the stage reads.
    pub input: Topic,
    /// A pass begins at most this often, ms; 0 = as soon as something is durable.
    pub poll_ms: u64,
    /// Events of one partition in one pass, about.
    pub batch_max: usize,
    /// A snapshot is written after this many events or this time, whichever comes first, if anything changed.
    pub snapshot_every_events: u64,
    pub snapshot_every_s: u64,
    /// Feed the stage control and block events.
    pub follow_control: bool,
    /// Own nothing and put out only these topics.
    pub observes: Option<&'static [Topic]>,
    /// An observer that keeps snapshots, where no owner does.
    pub keeps: bool,
}

impl Default for RunnerOptions {
    fn default() -> RunnerOptions {
        RunnerOptions {
            input: Topic::Calls,
            poll_ms: 20,
            batch_max: 1024,
            snapshot_every_events: 500_000,
            snapshot_every_s: 60,
            follow_control: false,
            observes: None,
            keeps: false,
        }
    }
}

/// Progress of passes without outputs is committed this often; on a shared log, where that is a transaction, more seldom.
const PROGRESS: Duration = Duration::from_secs(1);
const PROGRESS_SHARED: Duration = Duration::from_secs(5);

/// Makes an empty instance of a stage for a partition.
pub(crate) type Make = Arc<dyn Fn(u16) -> Box<dyn Stage> + Send + Sync>;

pub struct Runner;

impl Runner {
    /// Starts the thread `stage`, which is also the consumer's name. `make` gives an empty instance for a partition.
    pub fn spawn(
        log: Arc<dyn EventLog>,
        stage: &'static str,
        make: impl Fn(u16) -> Box<dyn Stage> + Send + Sync + 'static,
        options: RunnerOptions,
    ) -> std::io::Result<WorkerHandle> {
        Runner::spawn_as(log, stage, stage, make, options)
    }

    /// As `spawn`, the thread named otherwise than the consumer whose snapshots it reads.
    pub fn spawn_as(
        log: Arc<dyn EventLog>,
        thread: &'static str,
        stage: &'static str,
        make: impl Fn(u16) -> Box<dyn Stage> + Send + Sync + 'static,
        options: RunnerOptions,
    ) -> std::io::Result<WorkerHandle> {
        let streams = partitions(&*log, options.input);
        let all: Vec<u16> = streams.iter().map(|(_, p)| *p).collect();
        let make: Make = Arc::new(make);
        let body_log = log.clone();
        worker::spawn(log, thread, streams, move |control| {
            let log = body_log;
            if options.observes.is_some() {
                return run(&*log, stage, &*make, &options, &all, control).map_err(|e| e.to_string());
            }
            let work: share::Work = Arc::new({
                let (log, make, options) = (log.clone(), make.clone(), options.clone());
                move |partition, control| run(&*log, stage, &*make, &options, &[partition], control)
            });
            let share = share::Share::new(stage, work, control.clone());
            match log.join(stage, options.input, share.clone()).map_err(|e| e.to_string())? {
                Membership::Alone => run(&*log, stage, &*make, &options, &all, control).map_err(|e| e.to_string()),
                Membership::Shared(membership) => share.watch(all.len() as u16, membership),
            }
        })
    }
}

/// A topic's streams.
pub(crate) fn partitions(log: &dyn EventLog, topic: Topic) -> Vec<(Topic, u16)> {
    let count = if topic.single_partition() { 1 } else { log.partitions() };
    (0..count).map(|p| (topic, p)).collect()
}

/// A snapshot's state of a log that one node wrote, for a shared log: up to `next` that node's events have come.
pub(crate) fn with_node(state: &[u8], node: u64, next: u64) -> Vec<u8> {
    instance::with_node(state, node, next)
}

/// What a pass leaves to commit, and when that was last done.
struct Ledger {
    outputs: Vec<Append>,
    committed: Instant,
    saved: Instant,
    /// Events since the last snapshots.
    events: u64,
}

fn run(
    log: &dyn EventLog,
    stage: &'static str,
    make: &dyn Fn(u16) -> Box<dyn Stage>,
    options: &RunnerOptions,
    partitions: &[u16],
    control: &Control,
) -> Result<(), LogError> {
    let mut instances = Vec::new();
    for partition in partitions.iter().copied() {
        if options.observes.is_none() && control.until_read(|| log.take_over(stage, options.input, partition))?.is_none() {
            return Ok(());
        }
        let Some(instance) = control.until_read(|| Instance::restore(log, stage, partition, make, options))? else { return Ok(()) };
        control.reached(partition.into(), instance.next);
        instances.push(instance);
    }
    for instance in &mut instances {
        if !instance.catch_up(log, control)? {
            return Ok(());
        }
    }
    control.ready();
    let mut ledger = Ledger { outputs: Vec::new(), committed: Instant::now(), saved: Instant::now(), events: 0 };
    while !control.stopping() {
        let began = Instant::now();
        let seen = log.news();
        let mut moved = 0;
        for instance in &mut instances {
            let before = instance.next;
            if !instance.pass(log, control, &mut ledger.outputs)? {
                break;
            }
            moved += instance.next - before;
        }
        ledger.events += moved;
        if !ledger.settle(log, stage, &mut instances, options, control)? {
            return Ok(());
        }
        for instance in &instances {
            control.reached(instance.partition.into(), instance.next);
        }
        if moved == 0 {
            log.wait_beyond(seen, NAP);
        }
        let rest = Duration::from_millis(options.poll_ms).saturating_sub(began.elapsed());
        if !rest.is_zero() && !control.stopping() {
            std::thread::sleep(rest);
        }
    }
    if options.observes.is_some() {
        return Ok(());
    }
    if ledger.save(log, stage, &mut instances, options, control)? {
        control.settle(log);
    }
    Ok(())
}

impl Ledger {
    /// Commits what the pass requires; false when told to stop before it could be.
    fn settle(&mut self, log: &dyn EventLog, stage: &str, instances: &mut [Instance], o: &RunnerOptions, control: &Control) -> Result<bool, LogError> {
        if let Some(topics) = o.observes {
            self.say(log, stage, topics, control)?;
            if o.keeps && self.events > 0 && self.saved.elapsed() >= Duration::from_secs(o.snapshot_every_s) {
                self.keep(log, stage, instances)?;
            }
            return Ok(true);
        }
        let due = self.events >= o.snapshot_every_events || self.saved.elapsed() >= Duration::from_secs(o.snapshot_every_s);
        if due && self.events > 0 {
            return self.save(log, stage, instances, o, control);
        }
        let dirty = instances.iter().any(|i| i.next != i.committed);
        if !self.outputs.is_empty() || (dirty && self.committed.elapsed() >= if log.shared() { PROGRESS_SHARED } else { PROGRESS }) {
            return self.commit(log, stage, instances, o, control, false);
        }
        Ok(true)
    }

    /// Snapshots of what an observer sees; one that is not taken is made up by the next.
    fn keep(&mut self, log: &dyn EventLog, stage: &str, instances: &mut [Instance]) -> Result<(), LogError> {
        let shots = instances.iter().filter(|i| i.next != i.saved).map(|i| i.snapshot(stage)).collect();
        match log.commit(Vec::new(), Vec::new(), shots) {
            Ok(_) => instances.iter_mut().for_each(|i| i.saved = i.next),
            Err(error) if error.retryable() => {}
            Err(error) => return Err(error),
        }
        self.events = 0;
        self.saved = Instant::now();
        Ok(())
    }

    /// What may be said twice goes out now, the rest is its owner's to say.
    fn say(&mut self, log: &dyn EventLog, stage: &str, topics: &[Topic], control: &Control) -> Result<(), LogError> {
        self.outputs.retain(|a| topics.contains(&a.topic));
        if self.outputs.is_empty() {
            return Ok(());
        }
        match log.append(std::mem::take(&mut self.outputs), Urgency::Group, Claim::Reserved) {
            Ok(ticket) => control.appended(ticket),
            // The owner says it, too.
            Err(error) if error.retryable() => tracing::warn!(stage, %error, "a verdict is left to the partition's owner"),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn save(&mut self, log: &dyn EventLog, stage: &str, instances: &mut [Instance], o: &RunnerOptions, control: &Control) -> Result<bool, LogError> {
        if !self.commit(log, stage, instances, o, control, true)? {
            return Ok(false);
        }
        self.events = 0;
        self.saved = Instant::now();
        Ok(true)
    }

    /// Outputs, progress and, if asked, the snapshots of what changed, atomically.
    fn commit(
        &mut self,
        log: &dyn EventLog,
        stage: &str,
        instances: &mut [Instance],
        o: &RunnerOptions,
        control: &Control,
        snapshots: bool,
    ) -> Result<bool, LogError> {
        let progress: Vec<Progress> = instances
            .iter()
            .filter(|i| i.next != i.committed)
            .map(|i| Progress { consumer: stage.to_owned(), topic: o.input, partition: i.partition, next: i.next })
            .collect();
        let saved: Vec<_> = instances.iter().filter(|i| snapshots && i.next != i.saved).map(|i| i.snapshot(stage)).collect();
        if self.outputs.is_empty() && progress.is_empty() && saved.is_empty() {
            return Ok(true);
        }
        let outputs = std::mem::take(&mut self.outputs);
        let ticket = loop {
            // The copies matter only when the log says no, which it seldom does.
            match log.commit(outputs.clone(), progress.clone(), saved.clone()) {
                Ok(ticket) => break ticket,
                Err(e) if !e.retryable() => return Err(e),
                Err(error) => tracing::warn!(stage, %error, "outputs wait"),
            }
            if !control.pause() {
                // Not committed, so they are made again after the restart.
                return Ok(false);
            }
        };
        control.appended(ticket);
        for i in instances {
            i.committed = i.next;
            if snapshots {
                i.saved = i.next;
            }
        }
        self.committed = Instant::now();
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
