//! A journal's file: its header, its groups, the search for them and the plan of what they replay. Bytes of the disk never
//! panic, and a group that reads has all its entries.

#![no_main]

use bytes::Bytes;
use corelog::storage::journal::{
    FILE_HEADER_BLOCK_BYTES, FileHeader, FileName, Group, JournalFiles, Scan, plan, scan,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut wanted = Scan { journal: 0, incarnation: 1, from_sequence: 0 };
    if let Ok(group) = Group::read(bytes) {
        assert!(group.entries().all(|entry| entry.end >= entry.offset));
        let (journal, incarnation) = (group.id.journal, group.id.incarnation);
        wanted = Scan { journal, incarnation, from_sequence: group.id.sequence };
    }
    let header = FileHeader { journal: wanted.journal, incarnation: wanted.incarnation, shard: 0, number: 0 };
    let file = [&header.encode()[..], bytes].concat();
    let found = scan([&*file, &*file], &wanted);
    let pairs = found.groups.windows(2);
    assert!(pairs.into_iter().all(|pair| pair[0].group.id.sequence + 1 == pair[1].group.id.sequence));
    let name = |number| FileName::Journal { incarnation: 1, shard: 0, number }.to_string();
    let first_block = bytes.get(..FILE_HEADER_BLOCK_BYTES).unwrap_or(bytes);
    let files = [Bytes::from(file), Bytes::copy_from_slice(bytes), Bytes::copy_from_slice(first_block)];
    let named = files.into_iter().enumerate().map(|(number, file)| (name(number as u16), file));
    if let Ok(recovered) = plan(JournalFiles::of(named)) {
        for place in recovered.places() {
            let replay = recovered.replay_of(place);
            assert!(replay.suspect.is_some() || !replay.entries.is_empty());
        }
    }
});
