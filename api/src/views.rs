//! What the API remembers of the log: alerts, blocks, and counters for plots. A fold over events, fed by the program;
//! thrown away with the process and rebuilt by feeding again. Every fact is also told to the open streams.

mod alerts;
mod blocks;
mod series;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::{HashMap, HashMapExt};
use prost::Message;
use tokio::sync::broadcast;
use tollgate_schemas::{
    cdr::Cdr,
    event::{Body, Event},
    log::Topic,
};

pub use alerts::{Alert, AlertFilter};
pub use blocks::{Block, BlockState};
pub use series::{Bucket, Money, SECONDS, Series};

use alerts::Alerts;
use blocks::BlockTable;

/// Facts a stream may fall behind before it loses some and is told so.
const STREAM_BACKLOG: usize = 1024;

/// Where attempted, answered and refused calls, and what blocks did, are counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountFrom {
    /// Topic `calls`, at the moment it happens: the program feeds it.
    Calls,
    /// Final CDRs only, each by its own times: known when the call has ended.
    Cdrs,
}

/// A fact for the open streams.
#[derive(Debug, Clone)]
pub enum Fact {
    Alert(Arc<Alert>),
    Block(Arc<Block>),
    Unblock(Arc<Block>),
    Cdr(Arc<Cdr>),
}

impl Fact {
    /// Root account the fact belongs to; empty when it belongs to nobody.
    pub fn root(&self) -> &str {
        match self {
            Fact::Alert(a) => &a.root_account,
            Fact::Block(b) | Fact::Unblock(b) => b.tenant(),
            Fact::Cdr(c) => &c.root_account,
        }
    }
}

pub struct Views {
    count_from: CountFrom,
    fold: Mutex<Fold>,
    facts: broadcast::Sender<Fact>,
}

struct Fold {
    /// The next offset of each (topic, partition).
    next: HashMap<(Topic, u16), u64>,
    alerts: Alerts,
    blocks: BlockTable,
    series: Series,
}

impl Views {
    pub fn new(count_from: CountFrom) -> Views {
        let fold = Fold { next: HashMap::new(), alerts: Alerts::default(), blocks: BlockTable::default(), series: Series::new() };
        Views { count_from, fold: Mutex::new(fold), facts: broadcast::channel(STREAM_BACKLOG).0 }
    }

    /// Takes one durable event. Each (topic, partition) must come in order; what was already taken is passed over, so
    /// feeding a stretch twice changes nothing. Topics of use: `alerts` and `blocks` from their beginning; `cdrs` and
    /// `calls` from about an hour back (older ones only cost time). Others are ignored.
    pub fn apply(&self, topic: Topic, partition: u16, offset: u64, event: &Event) {
        let mut fold = self.lock();
        if !fold.is_new(topic, partition, offset) {
            return;
        }
        let fact = match &event.body {
            Some(Body::AlertRaised(body)) => {
                let alert = Arc::new(Alert::of(event, body));
                if fold.alerts.insert(&alert) {
                    fold.series.alert(&alert);
                    Some(Fact::Alert(alert))
                } else {
                    None
                }
            }
            Some(Body::AlertClosed(body)) => fold.alerts.close(event, body).map(Fact::Alert),
            Some(Body::BlockPlaced(body)) => fold.blocks.place(Block::of(event, body)).map(Fact::Block),
            Some(Body::BlockLifted(body)) => fold.blocks.lift(event, body).map(Fact::Unblock),
            Some(Body::CdrWritten(body)) => {
                Cdr::decode(body.cdr.as_slice()).ok().and_then(|cdr| fold.cdr(self.count_from, &Arc::new(cdr)))
            }
            Some(body) if topic == Topic::Calls && self.count_from == CountFrom::Calls => {
                fold.series.call(event, body);
                fold.blocks.call(body);
                None
            }
            _ => None,
        };
        drop(fold);
        self.tell(fact);
    }

    /// Takes one row of topic `cdrs` that the program has decoded already.
    pub fn apply_cdr(&self, partition: u16, offset: u64, cdr: &Arc<Cdr>) {
        let mut fold = self.lock();
        if fold.is_new(Topic::Cdrs, partition, offset) {
            let fact = fold.cdr(self.count_from, cdr);
            drop(fold);
            self.tell(fact);
        }
    }

    /// The next offset to feed; 0 before the first.
    pub fn next(&self, topic: Topic, partition: u16) -> u64 {
        self.lock().next.get(&(topic, partition)).copied().unwrap_or(0)
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Fact> {
        self.facts.subscribe()
    }

    /// Alerts newest first with what was done about them, after `after`, at most `limit`.
    pub(crate) fn alerts(&self, filter: &AlertFilter, after: Option<alerts::AlertKey>, limit: usize, now_us: i64) -> Vec<(Arc<Alert>, Option<Arc<Block>>, bool)> {
        let fold = self.lock();
        fold.alerts.newest(filter, after).map(|a| fold.with_block(a, now_us)).take(limit).collect()
    }

    pub(crate) fn alert_joined(&self, alert: &Arc<Alert>, now_us: i64) -> (Arc<Alert>, Option<Arc<Block>>, bool) {
        self.lock().with_block(alert, now_us)
    }

    /// Critical alerts that are open now, and blocks that are active, of one root account or of all.
    pub(crate) fn open(&self, tenant: Option<&str>, now_us: i64) -> (u64, u64) {
        let fold = self.lock();
        let filter = AlertFilter { tenant: tenant.map(str::to_owned), severity: Some("critical".to_owned()), ..AlertFilter::default() };
        let alerts = fold.alerts.newest(&filter, None).filter(|a| fold.with_block(a, now_us).2).count();
        let blocks = fold.blocks.newest().filter(|b| b.state(now_us) == BlockState::Active && tenant.is_none_or(|t| b.tenant() == t)).count();
        (alerts as u64, blocks as u64)
    }

    /// Blocks newest first.
    pub(crate) fn blocks(&self, wanted: impl Fn(&Block) -> bool) -> Vec<Arc<Block>> {
        self.lock().blocks.newest().filter(|b| wanted(b)).cloned().collect()
    }

    pub(crate) fn block(&self, id: tollgate_schemas::id::Id) -> Option<Arc<Block>> {
        self.lock().blocks.get(id)
    }

    /// Reads the plots' counters.
    pub(crate) fn series<T>(&self, read: impl FnOnce(&Series) -> T) -> T {
        read(&self.lock().series)
    }

    fn tell(&self, fact: Option<Fact>) {
        if let Some(fact) = fact {
            // No receiver is no error: nobody looks.
            let _ = self.facts.send(fact);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Fold> {
        // A fold that panicked half way is still a fold of a prefix plus a part: better shown than a dead API.
        self.fold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fold {
    fn is_new(&mut self, topic: Topic, partition: u16, offset: u64) -> bool {
        let next = self.next.entry((topic, partition)).or_default();
        let new = offset >= *next;
        if new {
            *next = offset + 1;
        }
        new
    }

    fn cdr(&mut self, count_from: CountFrom, cdr: &Arc<Cdr>) -> Option<Fact> {
        // A later version corrects a row that was counted; the plots show what was said at the time.
        if !cdr.is_final() || cdr.cdr_version > 1 {
            return None;
        }
        self.series.cdr(cdr, count_from == CountFrom::Cdrs);
        if count_from == CountFrom::Cdrs {
            self.blocks.cdr(cdr);
        }
        Some(Fact::Cdr(cdr.clone()))
    }

    /// The alert, its block, and whether it is open: its block is active, it was not closed yet, or it is younger than the
    /// time somebody needs to look at one that blocked nothing.
    fn with_block(&self, alert: &Arc<Alert>, now_us: i64) -> (Arc<Alert>, Option<Arc<Block>>, bool) {
        let block = alert.block_id.and_then(|id| self.blocks.get(id));
        let open = match &block {
            Some(block) => block.state(now_us) == BlockState::Active,
            None if alert.stays_open => alert.closed_us.is_none(),
            None => now_us - alert.raised_us < alerts::OPEN_US,
        };
        (alert.clone(), block, open)
    }
}

#[cfg(test)]
mod tests;
