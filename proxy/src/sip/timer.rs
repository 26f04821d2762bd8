//! One hashed wheel per shard (`notes`: no sleep per transaction). Entries are never removed: whoever is woken looks
//! whether it still wants to be, by generation and by the time it is armed for.

/// What is to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Server(u32),
    Client(u32),
    Call(u32),
    Waiting(u32),
}

#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub owner: Owner,
    pub generation: u32,
    /// Milliseconds of the shard's monotonic clock.
    pub due_ms: u64,
}

/// Milliseconds per slot: how late a timer may be.
const GRAIN_MS: u64 = 5;
/// Slots, so that 64·T1 and T1 both fit in one turn; what is farther comes round again.
const SLOTS: usize = 8192;

pub struct Wheel {
    slots: Vec<Vec<Entry>>,
    /// One bit per slot that holds something.
    filled: Vec<u64>,
    /// The next slot time to look at, in grains.
    cursor: u64,
    len: usize,
}

impl Wheel {
    pub fn new(now_ms: u64) -> Wheel {
        Wheel { slots: vec![Vec::new(); SLOTS], filled: vec![0; SLOTS / 64], cursor: now_ms / GRAIN_MS, len: 0 }
    }

    /// Entries waiting, stale ones too.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn insert(&mut self, entry: Entry) {
        // Rounded up, so that nothing fires early; never into a slot that was passed.
        let grain = entry.due_ms.div_ceil(GRAIN_MS).max(self.cursor);
        let slot = (grain % SLOTS as u64) as usize;
        self.slots[slot].push(entry);
        self.filled[slot / 64] |= 1 << (slot % 64);
        self.len += 1;
    }

    /// Moves everything due by `now_ms` into `due`.
    pub fn advance(&mut self, now_ms: u64, due: &mut Vec<Entry>) {
        let end = now_ms / GRAIN_MS;
        // After a long sleep one full turn sees every slot.
        let start = self.cursor.max(end.saturating_sub(SLOTS as u64 - 1));
        if end < self.cursor {
            return;
        }
        for grain in start..=end {
            let slot = (grain % SLOTS as u64) as usize;
            if self.filled[slot / 64] & (1 << (slot % 64)) == 0 {
                continue;
            }
            let entries = &mut self.slots[slot];
            let before = due.len();
            entries.retain(|e| {
                let keep = e.due_ms > now_ms;
                if !keep {
                    due.push(*e);
                }
                keep
            });
            self.len -= due.len() - before;
            if entries.is_empty() {
                self.filled[slot / 64] &= !(1 << (slot % 64));
                if entries.capacity() > 256 {
                    entries.shrink_to(64);
                }
            }
        }
        self.cursor = end + 1;
    }

    /// When to call [`Wheel::advance`] next, at the latest; none when nothing waits.
    pub fn next_ms(&self) -> Option<u64> {
        if self.len == 0 {
            return None;
        }
        (self.cursor..self.cursor + SLOTS as u64)
            .find(|grain| {
                let slot = (grain % SLOTS as u64) as usize;
                self.filled[slot / 64] & (1 << (slot % 64)) != 0
            })
            .map(|grain| grain * GRAIN_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(n: u32, due_ms: u64) -> Entry {
        Entry { owner: Owner::Client(n), generation: 0, due_ms }
    }

    #[test]
    fn p_13_timers_fire_in_time_never_early_and_once() {
        let mut wheel = Wheel::new(1_000);
        let dues = [1_000, 1_003, 1_500, 33_000, 60_000, 14_400_000];
        for (n, due) in dues.iter().enumerate() {
            wheel.insert(entry(n as u32, *due));
        }
        let mut fired = vec![0u32; dues.len()];
        let mut now = 1_000;
        while !wheel.is_empty() {
            now = wheel.next_ms().expect("something waits").max(now + 1);
            let mut due = Vec::new();
            wheel.advance(now, &mut due);
            for e in due {
                assert!(e.due_ms <= now && now < e.due_ms + 2 * GRAIN_MS, "{e:?} at {now}");
                let Owner::Client(n) = e.owner else { panic!("owner") };
                fired[n as usize] += 1;
            }
        }
        assert_eq!(fired, vec![1; dues.len()]);
    }

    #[test]
    fn a_long_sleep_loses_no_timer() {
        let mut wheel = Wheel::new(0);
        for n in 0..1000 {
            wheel.insert(entry(n, u64::from(n) * 90));
        }
        let mut due = Vec::new();
        wheel.advance(1_000_000, &mut due);
        assert_eq!((due.len(), wheel.len()), (1000, 0));
    }
}
