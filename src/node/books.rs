//! Finance's documents as this process knows them: the fold of their partition of topic `ledger`, and the order of issuing.
//! A document is decided on the newest state, written, and stands when it comes back so: another process may have been
//! faster, then it is decided again.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use prost::Message;
use tollgate_ingest::{Runner, RunnerOptions, WorkerHandle};
use tollgate_rating::corrections::books::{Books, Fate, PARTITION};
use tollgate_schemas::{
    event::Event,
    id::Id,
    log::{EventLog, Topic},
    stage::{BadSnapshot, Outputs, Poison, Stage},
};

/// Fates kept for who wrote the document.
const REMEMBERED: usize = 1024;
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
    /// without one; `write` appends it and waits until it is durable.
    pub fn issue<T>(
        &self,
        log: &dyn EventLog,
        mut decide: impl FnMut(&Books) -> Result<(Event, T), String>,
        mut write: impl FnMut(Event) -> Result<(), String>,
    ) -> Result<T, String> {
        let _one = self.issuing.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..5 {
            let decided = self.read(log, |books| decide(books))?;
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
