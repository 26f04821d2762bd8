//! What can be made to go wrong at the storage boundary: a disk that fails, is slow, or fills up.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

#[derive(Debug)]
pub struct Faults {
    fail: AtomicBool,
    delay_ms: AtomicU64,
    free: AtomicU64,
}

impl Default for Faults {
    fn default() -> Faults {
        Faults { fail: AtomicBool::new(false), delay_ms: AtomicU64::new(0), free: AtomicU64::new(u64::MAX) }
    }
}

impl Faults {
    /// Every commit fails while set.
    pub fn fail_commits(&self, fail: bool) {
        self.fail.store(fail, SeqCst);
    }

    /// Every commit takes this much longer.
    pub fn delay_commits(&self, ms: u64) {
        self.delay_ms.store(ms, SeqCst);
    }

    /// The disk seems to have no more than this free, bytes; `u64::MAX` ends it.
    pub fn cap_free_bytes(&self, bytes: u64) {
        self.free.store(bytes, SeqCst);
    }

    pub(super) fn before_commit(&self) -> Result<(), String> {
        let delay = self.delay_ms.load(SeqCst);
        if delay > 0 {
            std::thread::sleep(std::time::Duration::from_millis(delay));
        }
        if self.fail.load(SeqCst) { Err("injected: no space left on device".to_owned()) } else { Ok(()) }
    }

    pub(super) fn free_bytes(&self) -> u64 {
        self.free.load(SeqCst)
    }
}
