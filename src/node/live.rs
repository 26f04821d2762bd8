//! The calls that are up, for the API and for a start after a crash: the `live` stage's state, shared.

use std::sync::{Arc, Mutex, PoisonError};

use tollgate_proxy::live::{LiveCalls, OpenCall, Usage};
use tollgate_schemas::{
    id::Id,
    stage::{BadSnapshot, Outputs, Poison, Stage},
    v1::Event,
};

/// One fold per partition.
pub struct Live {
    partitions: Vec<Arc<Mutex<LiveCalls>>>,
}

impl Live {
    /// The calls of every node.
    pub fn of_all(partitions: u16) -> Arc<Live> {
        Arc::new(Live { partitions: (0..partitions).map(|_| Arc::new(Mutex::new(LiveCalls::new()))).collect() })
    }

    /// One node's own: open until they end, however long it was down.
    pub fn of_node(partitions: u16, node: u64) -> Arc<Live> {
        Arc::new(Live { partitions: (0..partitions).map(|_| Arc::new(Mutex::new(LiveCalls::of_node(node)))).collect() })
    }

    pub fn has(&self, call: Id) -> bool {
        self.partitions.iter().any(|p| p.lock().unwrap_or_else(PoisonError::into_inner).open_call(call).is_some())
    }

    /// The stage of a partition, for the runner.
    pub fn stage(&self, partition: u16) -> Box<dyn Stage> {
        Box::new(SharedStage(self.partitions[usize::from(partition)].clone()))
    }

    /// Visits every open call, a partition at a time.
    pub fn each(&self, mut see: impl FnMut(&OpenCall)) {
        for partition in &self.partitions {
            partition.lock().unwrap_or_else(PoisonError::into_inner).open_calls().for_each(&mut see);
        }
    }

    pub fn open_calls(&self) -> Vec<OpenCall> {
        let mut all = Vec::new();
        self.each(|open| all.push(open.clone()));
        all
    }

    pub fn each_usage(&self, mut see: impl FnMut(&Usage)) {
        for partition in &self.partitions {
            see(partition.lock().unwrap_or_else(PoisonError::into_inner).usage());
        }
    }
}

struct SharedStage(Arc<Mutex<LiveCalls>>);

impl SharedStage {
    fn lock(&self) -> std::sync::MutexGuard<'_, LiveCalls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stage for SharedStage {
    fn name(&self) -> &'static str {
        "live"
    }

    fn snapshot_version(&self) -> u32 {
        self.lock().snapshot_version()
    }

    fn apply(&mut self, offset: u64, event: &Event, out: &mut Outputs) -> Result<(), Poison> {
        self.lock().apply(offset, event, out)
    }

    fn apply_shared(&mut self, offset: u64, event: &Arc<Event>, _out: &mut Outputs) -> Result<(), Poison> {
        self.lock().fold(offset, event)
    }

    fn snapshot(&self) -> Vec<u8> {
        self.lock().snapshot()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), BadSnapshot> {
        self.lock().restore(state)
    }
}
