//! A slab with generations: an index that outlives what it named finds nothing, not something else.

/// Names one entry of a table for as long as that entry lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ref {
    pub index: u32,
    pub generation: u32,
}

struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

pub struct Table<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    first_generation: u32,
    len: usize,
}

impl<T> Table<T> {
    /// `first_generation` differs from process to process, so that references of the last one are not ours.
    pub fn new(first_generation: u32) -> Table<T> {
        Table { slots: Vec::new(), free: Vec::new(), first_generation, len: 0 }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The reference the next insert will get.
    pub fn next_ref(&self) -> Ref {
        match self.free.last() {
            Some(&index) => Ref { index, generation: self.slots[index as usize].generation },
            None => Ref { index: self.slots.len() as u32, generation: self.first_generation },
        }
    }

    pub fn insert(&mut self, value: T) -> Ref {
        let at = self.next_ref();
        if self.free.pop().is_some() {
            self.slots[at.index as usize].value = Some(value);
        } else {
            self.slots.push(Slot { generation: at.generation, value: Some(value) });
        }
        self.len += 1;
        at
    }

    pub fn get(&self, at: Ref) -> Option<&T> {
        self.slots.get(at.index as usize).filter(|s| s.generation == at.generation)?.value.as_ref()
    }

    pub fn get_mut(&mut self, at: Ref) -> Option<&mut T> {
        self.slots.get_mut(at.index as usize).filter(|s| s.generation == at.generation)?.value.as_mut()
    }

    /// Takes a value out for a while; give it back with [`Table::put`].
    pub fn take(&mut self, at: Ref) -> Option<T> {
        self.slots.get_mut(at.index as usize).filter(|s| s.generation == at.generation)?.value.take()
    }

    /// Gives back what [`Table::take`] took.
    pub fn put(&mut self, at: Ref, value: T) {
        let slot = &mut self.slots[at.index as usize];
        debug_assert!(slot.generation == at.generation && slot.value.is_none());
        slot.value = Some(value);
    }

    pub fn remove(&mut self, at: Ref) -> Option<T> {
        let value = self.take(at)?;
        self.forget(at);
        Some(value)
    }

    /// Frees the place of a value that was taken and is not given back.
    pub fn forget(&mut self, at: Ref) {
        let slot = &mut self.slots[at.index as usize];
        debug_assert!(slot.generation == at.generation && slot.value.is_none());
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(at.index);
        self.len -= 1;
    }

    pub fn iter(&self) -> impl Iterator<Item = (Ref, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, s)| {
            Some((Ref { index: index as u32, generation: s.generation }, s.value.as_ref()?))
        })
    }
}
