//! Names by hash: one flat array of (hash, entry), the names themselves stay with their routes.
//!
//! A `HashMap` would keep a second handle of every name and compare through it; here a miss costs
//! one line of cache and a table of a million names 16 MiB.

use foldhash::quality::RandomState;
use std::hash::{BuildHasher, Hasher};

/// From a name to the first entry that has it. Open addressing, never more than half full.
#[derive(Debug)]
pub(super) struct NameIndex {
    slots: Box<[Slot]>,
    hasher: RandomState,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    tag: u32,
    entry: u32,
}

const FREE: Slot = Slot {
    tag: 0,
    entry: u32::MAX,
};

impl NameIndex {
    /// Room for this many names.
    pub(super) fn with_room_for(names: usize) -> NameIndex {
        NameIndex {
            slots: vec![FREE; (names * 2).next_power_of_two().max(2)].into(),
            hasher: RandomState::default(),
        }
    }

    /// The entry kept for a name. `name_of` tells the name of an entry.
    #[inline]
    pub(super) fn get<'t>(&self, name: &str, name_of: impl Fn(u32) -> &'t str) -> Option<u32> {
        let (slot, _) = self.find(name, name_of);
        let entry = self.slots[slot].entry;
        (entry != FREE.entry).then_some(entry)
    }

    /// Keeps an entry for a name; returns the one kept before.
    pub(super) fn put<'t>(
        &mut self,
        name: &str,
        entry: u32,
        name_of: impl Fn(u32) -> &'t str,
    ) -> Option<u32> {
        let (slot, tag) = self.find(name, name_of);
        let before = std::mem::replace(&mut self.slots[slot], Slot { tag, entry }).entry;
        (before != FREE.entry).then_some(before)
    }

    /// The slot that holds a name or would hold it, and the name's tag.
    #[inline]
    fn find<'t>(&self, name: &str, name_of: impl Fn(u32) -> &'t str) -> (usize, u32) {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(name.as_bytes());
        let hash = hasher.finish();
        let (tag, mask) = ((hash >> 32) as u32, self.slots.len() - 1);
        let mut at = hash as usize & mask;
        // Ends: at least half of the slots are free.
        loop {
            let slot = self.slots[at];
            if slot.entry == FREE.entry || (slot.tag == tag && name_of(slot.entry) == name) {
                return (at, tag);
            }
            at = (at + 1) & mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_name_and_no_other() {
        let names: Vec<String> = (0..5000).map(|i| format!("broker-{i}.example")).collect();
        let name_of = |i: u32| names[i as usize].as_str();
        let mut index = NameIndex::with_room_for(names.len());
        for i in 0..5000 {
            assert_eq!(index.put(name_of(i), i, name_of), None);
        }
        for i in 0..5000 {
            assert_eq!(index.get(name_of(i), name_of), Some(i));
        }
        assert_eq!(index.get("broker-5000.example", name_of), None);
        assert_eq!(index.get("", name_of), None);
    }

    #[test]
    fn the_last_entry_put_is_kept() {
        let mut index = NameIndex::with_room_for(1);
        assert_eq!(index.put("", 7, |_| ""), None);
        assert_eq!(index.put("", 3, |_| ""), Some(7));
        assert_eq!(index.get("", |_| ""), Some(3));
    }

    #[test]
    fn an_empty_index_finds_nothing() {
        assert_eq!(
            NameIndex::with_room_for(0).get("a", |_| unreachable!()),
            None
        );
    }
}
