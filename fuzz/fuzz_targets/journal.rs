//! The journal's groups and the search for them: bytes of the disk never panic, and a group that reads has all its entries.

#![no_main]

use corelog::storage::journal::{Group, Scan, scan};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut wanted = Scan { journal: 0, incarnation: 0, from_sequence: 0 };
    if let Ok(group) = Group::read(bytes) {
        assert!(group.entries().all(|entry| entry.end >= entry.offset));
        wanted = Scan { journal: group.id.journal, incarnation: group.id.incarnation, from_sequence: group.id.sequence };
    }
    let found = scan(bytes, &wanted);
    assert!(found.groups.windows(2).all(|pair| pair[0].id.sequence + 1 == pair[1].id.sequence));
});
