//! Finance's documents as this process knows them: the fold of their partition of topic `ledger`, and the order of issuing.
//! A document is decided on the newest state, written, and stands when it comes back so: another process may have been
//! faster, then it is decided again.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use prost::Message;
use tollgate_ingest::{Runner, RunnerOptions, WorkerHandle};
use tollgate_rating::corrections::books::{Books, Document, Fate, PARTITION};
use tollgate_schemas::{
    event::{Body, Event, Origin},
    id::{Id, partition_of},
    log::{Append, Claim, EventLog, Topic, Urgency},
    stage::{BadSnapshot, Outputs, Poison, Stage},
    v1::{DocumentPosted, RequestKey},
};

use super::{Shared, accounts::{self, Accounts}};

/// Fates kept for who wrote the document.
const REMEMBERED: usize = 1024;
/// Between two looks for documents that are not posted, and how soon a stop is seen.
const LOOK: Duration = Duration::from_secs(2);
const NAP: Duration = Duration::from_millis(100);
/// When one that is missing is posted from here, and when again.
const FIRST: Duration = Duration::from_secs(3);
const AGAIN: Duration = Duration::from_secs(60);
/// How long the log may take to show what was written.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Default)]
pub struct SharedBooks {
    state: Mutex<State>,
    moved: Condvar,
    /// One document after the other.
    issuing: Mutex<()>,
}

#[derive(Default)]
struct State {
    books: Books,
    /// The events of what stands, for the snapshot.
    standing: Vec<Vec<u8>>,
    /// The next offset to read.
    next: u64,
    fates: VecDeque<(Id, Fate)>,
}

/// On disk: one event after the other.
#[derive(Clone, PartialEq, Message)]
struct Saved {
    #[prost(bytes = "vec", repeated, tag = "1")]
    events: Vec<Vec<u8>>,
    #[prost(uint64, tag = "2")]
    next: u64,
}

impl SharedBooks {
    /// Starts the fold.
    pub fn follow(log: Arc<dyn EventLog>) -> std::io::Result<(Arc<SharedBooks>, WorkerHandle)> {
        let books = Arc::new(SharedBooks::default());
        let shared = books.clone();
        let options = RunnerOptions { input: Topic::Ledger, observes: Some(&[]), keeps: true, ..RunnerOptions::default() };
        let make = move |partition| -> Box<dyn Stage> { Box::new(Follower { books: (partition == PARTITION).then(|| shared.clone()) }) };
        let worker = Runner::spawn_as(log, "books", "books", make, options)?;
        Ok((books, worker))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The books once they have everything that is durable now.
    pub fn read<T>(&self, log: &dyn EventLog, look: impl FnOnce(&Books) -> T) -> Result<T, String> {
        let end = log.end(Topic::Ledger, PARTITION);
        let state = self.wait(|state| (state.next >= end).then_some(()))?;
        Ok(look(&state.0.books))
    }

    fn wait<T>(&self, mut ready: impl FnMut(&State) -> Option<T>) -> Result<(MutexGuard<'_, State>, T), String> {
        let until = Instant::now() + PATIENCE;
        let mut state = self.lock();
        loop {
            if let Some(found) = ready(&state) {
                return Ok((state, found));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err("the ledger has not been read up to its end: ask again".to_owned());
            }
            state = self.moved.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Decides on the newest state and writes; again while others are faster. `decide` gives the event, or what is answered
    /// without one; `write` appends it and waits until it is durable. Nothing is decided for a request that came to something already.
    pub fn issue<T>(
        &self,
        log: &dyn EventLog,
        request: Option<&RequestKey>,
        mut decide: impl FnMut(&Books) -> Result<(Event, T), String>,
        mut write: impl FnMut(Event) -> Result<(), String>,
    ) -> Result<T, String> {
        let _one = self.issuing.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..5 {
            let now_us = super::clock().utc_us;
            let decided = self.read(log, |books| match request.and_then(|r| books.request(r, now_us)) {
                Some(_) => Err("this was done already".to_owned()),
                None => decide(books),
            })?;
            let (event, answer) = decided?;
            let id = event.id();
            write(event)?;
            let fate = self.wait(|state| state.fates.iter().find(|(of, _)| *of == id).map(|(_, fate)| *fate))?.1;
            if fate == Fate::Stands {
                return Ok(answer);
            }
        }
        Err("others are issuing documents at the same time: ask again".to_owned())
    }
}

/// Says of documents that stand what they add to the ledger, to the rater of each account's partition; durable when this returns.
/// Said again it changes nothing.
pub fn post(shared: &Shared, documents: &[&Document]) -> Result<(), String> {
    let origin = Origin { mint: &shared.mint, boot_id: shared.boot_id, now: (shared.clock)(), control_position: shared.owner.plan().control_position };
    let posted = documents.iter().filter(|d| !d.entries.is_empty()).map(|document| {
        let root = document.root_account.clone();
        let kind = if document.kind == "invoice" { "invoice".to_owned() } else { format!("{}_note", document.kind) };
        let body = DocumentPosted { account: document.account.clone(), root_account: root.clone(), number: document.name(), kind, entries: document.entries.clone() };
        Append { topic: Topic::Calls, partition: partition_of(&root, shared.log.partitions()), event: Event::born(origin, &root, Body::DocumentPosted(body)) }
    });
    let batch: Vec<Append> = posted.collect();
    if batch.is_empty() {
        return Ok(());
    }
    let ticket = shared.log.append(batch, Urgency::Group, Claim::Reserved).map_err(|e| e.to_string())?;
    shared.log.wait(ticket, PATIENCE).map_err(|e| e.to_string())
}

/// Posts documents whose issuer was stopped before it did: looks every few seconds for those that stand and are in no posting.
pub struct Poster {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Poster {
    pub fn start(shared: Arc<Shared>, books: Arc<SharedBooks>, accounts: Arc<Accounts>) -> std::io::Result<Poster> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = stop.clone();
        let thread = thread::Builder::new().name("documents".to_owned()).spawn(move || {
            // What was posted before this start is known then.
            let ends = accounts::ends(&*shared.log);
            let (mut last, mut due): (Instant, BTreeMap<String, Instant>) = (Instant::now(), BTreeMap::new());
            while !stopping.load(Ordering::Relaxed) {
                thread::sleep(NAP);
                if last.elapsed() < LOOK || !accounts.has_read(&ends) {
                    continue;
                }
                last = Instant::now();
                let missing = books.read(&*shared.log, |books| missing(books, &accounts)).unwrap_or_default();
                due.retain(|name, _| missing.iter().any(|d| d.name() == *name));
                // One just issued is on its way; one that was said may wait for a rater that is away.
                let mut is_due = |d: &&Document| *due.entry(d.name()).or_insert(last + FIRST) <= last;
                let said: Vec<&Document> = missing.iter().filter(|d| is_due(d)).collect();
                if let Err(error) = post(&shared, &said) {
                    tracing::warn!(%error, "documents wait to be posted");
                }
                due.extend(said.iter().map(|d| (d.name(), last + AGAIN)));
            }
        })?;
        Ok(Poster { stop, thread: Some(thread) })
    }
}

fn missing(books: &Books, accounts: &Accounts) -> Vec<Document> {
    books.documents().filter(|d| !d.entries.is_empty() && !accounts.has_posted(&d.name())).cloned().collect()
}

impl Drop for Poster {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Follower {
    /// None for partitions without documents.
    books: Option<Arc<SharedBooks>>,
}

impl Stage for Follower {
    fn name(&self) -> &'static str {
        "books"
    }

    fn snapshot_version(&self) -> u32 {
        1
    }

    fn apply(&mut self, offset: u64, event: &Event, _: &mut Outputs) -> Result<(), Poison> {
        let Some(books) = &self.books else { return Ok(()) };
        let mut state = books.lock();
        let fate = state.books.apply(event);
        if fate == Fate::Stands {
            state.standing.push(event.encode_to_vec());
        }
        if fate != Fate::Other {
            state.fates.push_back((event.id(), fate));
            if state.fates.len() > REMEMBERED {
                state.fates.pop_front();
            }
        }
        state.next = offset + 1;
        drop(state);
        books.moved.notify_all();
        Ok(())
    }

    fn snapshot(&self) -> Vec<u8> {
        self.books.as_ref().map_or_else(Vec::new, |books| {
            let state = books.lock();
            Saved { events: state.standing.clone(), next: state.next }.encode_to_vec()
        })
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), BadSnapshot> {
        let bad = |problem: String| BadSnapshot { stage: "books", problem };
        let Some(books) = &self.books else { return Ok(()) };
        let saved = Saved::decode(bytes).map_err(|e| bad(e.to_string()))?;
        let mut state = State { next: saved.next, ..State::default() };
        for event in &saved.events {
            let decoded = Event::decode(event.as_slice()).map_err(|e| bad(e.to_string()))?;
            if state.books.apply(&decoded) != Fate::Stands {
                return Err(bad(format!("event {} does not stand", decoded.id())));
            }
        }
        state.standing = saved.events;
        *books.lock() = state;
        books.moved.notify_all();
        Ok(())
    }
}
