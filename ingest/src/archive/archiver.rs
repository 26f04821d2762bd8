//! One partition's archiver.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tollgate_schemas::{
    event::VERSION,
    log::{EventLog, LogError, Progress, Topic},
};

use super::{
    ARCHIVER, ArchiverOptions, folder, place,
    segment::{self, Bad, Hash},
    starts,
    write::{self, Writer},
};
use crate::worker::{Control, NAP};

const BATCH: usize = 1024;
/// One wait for progress to be committed.
const PATIENCE: Duration = Duration::from_secs(10);
/// A danger that lasts is told again after this long.
const AGAIN: Duration = Duration::from_secs(600);

/// Between two tries to write the folder: this many doublings of the shortest pause, half a minute.
const MOST_TRIES: u32 = 8;

/// What ends a step.
enum Trouble {
    /// The folder: tried again.
    Io(io::Error),
    Log(LogError),
    Stop,
}

impl From<io::Error> for Trouble {
    fn from(e: io::Error) -> Trouble {
        Trouble::Io(e)
    }
}

impl From<LogError> for Trouble {
    fn from(e: LogError) -> Trouble {
        Trouble::Log(e)
    }
}

struct Part<'a> {
    log: &'a dyn EventLog,
    options: &'a ArchiverOptions,
    control: &'a Control,
    partition: u16,
    folder: PathBuf,
    /// Everything before is in segments, and committed.
    next: u64,
    /// The name of the segment before `next`.
    previous: Hash,
    /// The next offset to read into the open segment.
    read: u64,
    open: Option<Writer>,
    /// When the oldest event occurred that is in no segment.
    first_us: Option<i64>,
    warned: Option<Instant>,
}

/// Archives a partition until told to stop.
pub fn served(log: &dyn EventLog, dir: &Path, options: &ArchiverOptions, partition: u16, control: &Control) -> Result<(), LogError> {
    if control.until_read(|| log.take_over(ARCHIVER, Topic::Calls, partition))?.is_none() {
        return Ok(());
    }
    let Some(noted) = control.until_read(|| log.progress(ARCHIVER, Topic::Calls, partition))? else { return Ok(()) };
    let next = noted.unwrap_or(0);
    let folder = folder(dir, partition);
    let mut part =
        Part { log, options, control, partition, folder, next, previous: [0; 32], read: next, open: None, first_us: None, warned: None };
    control.reached(partition.into(), next);
    let end = part.run();
    options.stats.oldest(partition, None);
    end
}

impl Part<'_> {
    fn run(&mut self) -> Result<(), LogError> {
        let mut begun = false;
        let mut tries = 0;
        while !self.control.stopping() {
            let step = if begun { self.step() } else { self.begin() };
            match step {
                Ok(()) => (begun, tries) = (true, 0),
                Err(Trouble::Stop) => return Ok(()),
                Err(Trouble::Log(e)) => return Err(e),
                Err(Trouble::Io(error)) => {
                    if tries == 0 {
                        tracing::error!(%error, folder = %self.folder.display(), "events wait to be archived");
                    }
                    (begun, self.open) = (false, None);
                    self.peek();
                    self.watch();
                    // What was in the open segment is read again, so not too often.
                    for _ in 0..1 << tries.min(MOST_TRIES) {
                        if !self.control.pause() {
                            return Ok(());
                        }
                    }
                    tries += 1;
                }
            }
        }
        Ok(())
    }

    /// Clears what a dead owner was writing, and goes on after the segments that are there.
    fn begin(&mut self) -> Result<(), Trouble> {
        std::fs::create_dir_all(&self.folder)?;
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "tmp") {
                match std::fs::remove_file(&path) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e.into()),
                    _ => {}
                }
            }
        }
        let begins = starts(&self.folder)?;
        self.previous = [0; 32];
        let committed = self.next;
        loop {
            let at = begins.partition_point(|s| *s <= self.next);
            let Some(from) = at.checked_sub(1).map(|i| begins[i]) else { break };
            let path = place(&self.folder, from);
            // One that ends before the progress was verified when that was committed.
            let (header, hash) = match segment::glance(&path, from) {
                Ok((header, hash)) if header.next() <= self.next => (header, hash),
                glanced => match glanced.and_then(|_| segment::check(&path, from)) {
                    Ok(sound) => sound,
                    Err(Bad::Io(e)) => return Err(e.into()),
                    Err(bad) => return self.broken(from, &path, &bad),
                },
            };
            self.previous = hash;
            if header.next() <= self.next {
                if header.next() < self.next {
                    tracing::error!(partition = self.partition, from = header.next(), to = self.next, "offsets are in no segment of the archive");
                }
                break;
            }
            self.next = header.next();
        }
        if self.next != committed {
            self.note()?;
            self.oldest(None);
        }
        self.read = self.next;
        self.control.reached(self.partition.into(), self.read);
        Ok(())
    }

    /// A damaged segment. One that was never committed is written again from the log; another is for a person to bring back, and
    /// what comes is archived all the same.
    fn broken(&mut self, from: u64, path: &Path, bad: &Bad) -> Result<(), Trouble> {
        tracing::error!(partition = self.partition, segment = %path.display(), problem = %bad, "an archived segment is damaged");
        if from == self.next {
            let before = starts(&self.folder)?.into_iter().rfind(|s| *s < from);
            let glance = |s| segment::glance(&place(&self.folder, s), s).ok();
            self.previous = before.and_then(glance).map_or([0; 32], |(_, hash)| hash);
        }
        self.read = self.next;
        self.control.reached(self.partition.into(), self.read);
        Ok(())
    }

    fn step(&mut self) -> Result<(), Trouble> {
        let seen = self.log.news();
        if self.log.end(Topic::Calls, self.partition) != self.read {
            let (log, partition, from) = (self.log, self.partition, self.read);
            let Some(records) = self.control.until_read(|| log.read(Topic::Calls, partition, from, BATCH))? else { return Err(Trouble::Stop) };
            let any = !records.is_empty();
            for record in records {
                self.take(&record)?;
                // Another owner's segment was met: from where that ends.
                if self.read != record.offset + 1 {
                    break;
                }
            }
            self.control.reached(self.partition.into(), self.read);
            if any && self.log.end(Topic::Calls, self.partition) != self.read {
                return Ok(());
            }
        }
        self.watch();
        // Only when there is nothing newer: what is read long after it happened is old at once, and must fill its segments too.
        let now_us = (self.options.clock)();
        if self.open.is_some() && self.first_us.is_some_and(|us| now_us.saturating_sub(us) >= self.options.age_us()) {
            return self.close();
        }
        self.log.wait_beyond(seen, NAP);
        Ok(())
    }

    fn take(&mut self, record: &tollgate_schemas::log::Record) -> Result<(), Trouble> {
        // What this program does not know of an event it would not write either.
        if record.event.version > VERSION {
            return Err(Trouble::Log(LogError::Refused(format!(
                "event {} at offset {} of partition {} has version {}, this program knows {VERSION}: upgrade the archiver first",
                record.event.id(), record.offset, self.partition, record.event.version
            ))));
        }
        let open = match &mut self.open {
            Some(open) => open,
            none => none.insert(Writer::create(&self.folder, self.partition, self.next, self.previous)?),
        };
        open.push(record)?;
        self.read = record.offset + 1;
        let full = open.bytes() >= self.options.segment_bytes;
        if self.first_us.is_none() {
            self.oldest(Some(record.event.occurred_us));
        }
        if full { self.close() } else { Ok(()) }
    }

    /// Puts the open segment in its place, then commits.
    fn close(&mut self) -> Result<(), Trouble> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let closed = open.close()?;
        match write::publish(&closed, &self.folder) {
            Ok(true) => {
                self.options.stats.archived(closed.header.count, closed.bytes);
                (self.next, self.previous) = (closed.header.next(), closed.hash);
                self.note()?;
            }
            // Another owner was faster: its segment stands.
            Ok(false) => self.begin()?,
            // A new owner has cleared it away.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(LogError::Fenced { consumer: ARCHIVER.to_owned(), partition: self.partition }.into());
            }
            Err(e) => return Err(e.into()),
        }
        self.oldest(None);
        Ok(())
    }

    fn oldest(&mut self, us: Option<i64>) {
        self.first_us = us;
        self.options.stats.oldest(self.partition, us);
    }

    /// What waits shows, even when nothing can be written.
    fn peek(&mut self) {
        if self.first_us.is_none()
            && self.log.end(Topic::Calls, self.partition) > self.next
            && let Ok(records) = self.log.read(Topic::Calls, self.partition, self.next, 1)
        {
            self.oldest(records.first().map(|r| r.event.occurred_us));
        }
    }

    /// Commits how far the archive is, and waits until the log knows.
    fn note(&self) -> Result<(), Trouble> {
        let progress = vec![Progress { consumer: ARCHIVER.to_owned(), topic: Topic::Calls, partition: self.partition, next: self.next }];
        let commit = || self.log.commit(Vec::new(), progress.clone(), Vec::new());
        let Some(ticket) = self.control.until_read(commit)? else { return Err(Trouble::Stop) };
        loop {
            match self.log.wait(ticket, PATIENCE) {
                Ok(()) => return Ok(()),
                Err(e) if e.retryable() && !self.control.stopping() => {}
                Err(e) if e.retryable() => return Err(Trouble::Stop),
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Says aloud when the log will soon drop what is not archived.
    fn watch(&mut self) {
        let (Some(retention), Some(first_us)) = (self.options.retention, self.first_us) else { return };
        let waited_us = (self.options.clock)().saturating_sub(first_us);
        let waited = Duration::from_micros(waited_us.max(0) as u64);
        if waited > retention / 2 && self.warned.is_none_or(|w| w.elapsed() > AGAIN) {
            self.warned = Some(Instant::now());
            tracing::error!(
                partition = self.partition, waited_s = waited.as_secs(), retention_s = retention.as_secs(), next = self.next,
                "the oldest event that is not archived is older than half of what the log keeps: it will be lost"
            );
        }
    }
}
