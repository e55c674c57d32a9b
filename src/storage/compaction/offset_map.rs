//! The newest offset of each key that a round of compaction has seen.
//!
//! ```text
//! slot: hash of the key u128 | offset + 1 u64, 0 if the slot is free
//! ```
//!
//! Key invariant: memory is what was given at the start, whatever is put in; a key that does not fit any more is refused, and
//! what the map knows by then is complete up to the record before it. Keys are told apart by 128 bits of a keyed hash, so
//! that nobody can make two of them meet.

use std::hash::{BuildHasher, RandomState};

use crate::model::Offset;

/// Bytes that one key takes.
pub(super) const SLOT_BYTES: u64 = 24;

#[derive(Clone, Copy)]
struct Slot {
    hash: [u64; 2],
    /// The offset and one; 0 if the slot is free, so that fresh memory is an empty map.
    taken: u64,
}

const _: () = assert!(size_of::<Slot>() as u64 == SLOT_BYTES);

/// See the module.
pub(super) struct OffsetMap {
    slots: Vec<Slot>,
    keys: usize,
    keys_max: usize,
    hashers: [RandomState; 2],
    /// Every record below this was put in.
    end: Offset,
}

impl OffsetMap {
    /// An empty map of `bytes`, of which `load_percent` may be used; one key always fits. It knows the records below
    /// `start` by definition: there is nothing to know of them.
    pub(super) fn new(bytes: u64, load_percent: u8, start: Offset) -> Self {
        let slots = usize::try_from(bytes / SLOT_BYTES).unwrap_or(usize::MAX).max(2);
        let load = usize::from(load_percent.clamp(1, 100));
        // A free slot ends every search.
        let keys_max = (slots / 100 * load + slots % 100 * load / 100).clamp(1, slots - 1);
        Self {
            slots: vec![Slot { hash: [0; 2], taken: 0 }; slots],
            keys: 0,
            keys_max,
            hashers: [RandomState::new(), RandomState::new()],
            end: start,
        }
    }

    /// Remembers that `key` stands at `offset`, which is above all offsets put in before. False, and nothing changed, if a
    /// new key does not fit.
    pub(super) fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        let at = self.find(key);
        let (hash, place) = at;
        if self.slots[place].taken == 0 {
            if self.keys == self.keys_max {
                return false;
            }
            self.keys += 1;
        }
        self.slots[place] = Slot { hash, taken: offset.0 as u64 + 1 };
        true
    }

    /// The newest offset of `key`.
    pub(super) fn get(&self, key: &[u8]) -> Option<Offset> {
        let (_, place) = self.find(key);
        let taken = self.slots[place].taken;
        (taken > 0).then(|| Offset((taken - 1) as i64))
    }

    /// Notes that every record below `end` was put in.
    pub(super) fn reached(&mut self, end: Offset) {
        self.end = self.end.max(end);
    }

    /// Every record below this was put in.
    pub(super) fn end(&self) -> Offset {
        self.end
    }

    /// How full the map is, of what may be used.
    pub(super) fn used_percent(&self) -> u64 {
        (self.keys as u64).saturating_mul(100) / self.keys_max as u64
    }

    /// The hash of `key`, and its slot or the free one that it would get.
    fn find(&self, key: &[u8]) -> ([u64; 2], usize) {
        let hash = [self.hashers[0].hash_one(key), self.hashers[1].hash_one(key)];
        let count = self.slots.len();
        let mut place = ((u128::from(hash[0]) * count as u128) >> 64) as usize;
        loop {
            let slot = &self.slots[place];
            if slot.taken == 0 || slot.hash == hash {
                return (hash, place);
            }
            place = if place + 1 == count { 0 } else { place + 1 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_offset_of_each_key_is_kept() {
        let mut map = OffsetMap::new(24 * 100, 90, Offset(5));
        assert_eq!((map.get(b"a"), map.end()), (None, Offset(5)));
        assert!(map.put(b"a", Offset(0)) && map.put(b"b", Offset(6)) && map.put(b"a", Offset(7)));
        assert_eq!((map.get(b"a"), map.get(b"b")), (Some(Offset(7)), Some(Offset(6))));
        assert_eq!(map.get(b""), None);
        assert!(map.put(b"", Offset(8)));
        assert_eq!(map.get(b""), Some(Offset(8)), "an empty key is a key");
        map.reached(Offset(9));
        map.reached(Offset(3));
        assert_eq!((map.end(), map.used_percent()), (Offset(9), 3));
    }

    #[test]
    fn a_full_map_refuses_new_keys_only() {
        let mut map = OffsetMap::new(24 * 100, 90, Offset(0));
        let key = |n: i64| n.to_be_bytes();
        for n in 0..90 {
            assert!(map.put(&key(n), Offset(n)), "{n}");
        }
        assert_eq!(map.used_percent(), 100);
        assert!(!map.put(&key(90), Offset(90)));
        assert!(map.put(&key(3), Offset(91)));
        for n in 0..90 {
            let newest = if n == 3 { 91 } else { n };
            assert_eq!(map.get(&key(n)), Some(Offset(newest)));
        }
        assert_eq!(map.get(&key(90)), None);
    }

    #[test]
    fn even_the_smallest_map_takes_a_key() {
        for (bytes, load) in [(0, 0), (1, 100), (48, 1), (100, 255)] {
            let mut map = OffsetMap::new(bytes, load, Offset(0));
            assert!(map.put(b"a", Offset(i64::MAX - 1)), "{bytes} bytes");
            assert_eq!((map.get(b"a"), map.get(b"b")), (Some(Offset(i64::MAX - 1)), None));
        }
    }
}
