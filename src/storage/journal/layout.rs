//! Where the fields of a journal's files lie. All numbers are little-endian.
//!
//! ```text
//! journal: file header (32), zeros up to 4,096 | groups, each at a multiple of 4,096
//! header:  magic "CLJF" | format u16 | reserved u16 | journal u64 | incarnation u64 | shard u16 | number u16 | CRC-32C u32
//!          of the header without this field
//! group:   header (64) | entries | zeros up to a multiple of 4,096
//! header:  magic "CLJG" | format u16 | flags u16, 1: overlaps | journal u64 | incarnation u64 | sequence u64 | CRC-32C of the group
//!          before u32 | entries u32 | bytes of entries u32 | CRC-32C u32 of the header without this field and the entries |
//!          reserved (16)
//! entry:   header (56) | body | zeros up to a multiple of 8
//! header:  kind u8 | reserved (3) | bytes of the body u32 | topic id (16) | partition i32 | leader epoch i32 |
//!          offset i64 | end offset i64 | reserved (8)
//!
//! manifest: head (24) | body
//! head:    magic "CLJM" | format u16 | reserved u16 | bytes of the body u64 | CRC-32C of the body u32 | CRC-32C u32 of the
//!          head without this field
//! body:    journal u64 | incarnation u64 | from sequence u64 | shard u16 | reserved (2) | logs u32 | logs
//! log:     topic id (16) | partition i32 | segments written u32, 0 or 1 | log start i64 | written, if so
//! written: base offset i64 | next offset i64 | size u64 | largest timestamp i64 | its batch i64 | first batch's timestamp, first, last append i64 |
//!          epochs u32 | bytes of producer state u32 | epochs x (epoch i32, start offset i64) | producer state
//! ```
//!
//! Key invariants: fields neither overlap nor leave a gap; the checks below fail to compile otherwise. Magic, format and the
//! checksum of a file's header and of a manifest's head keep their places in every later format, so that a version knows a
//! file that it must not read.

/// The format that this version writes; it reads no other.
pub const FORMAT: u16 = 1;
pub const GROUP_MAGIC: [u8; 4] = *b"CLJG";
/// Begins a journal's file.
pub const FILE_MAGIC: [u8; 4] = *b"CLJF";
/// Of the files' header; a file of another format is refused.
pub const FILE_FORMAT: u16 = 1;
pub const MANIFEST_MAGIC: [u8; 4] = *b"CLJM";
pub const MANIFEST_FORMAT: u16 = 1;
/// Of a group's flags: it left while the group before it was still being written. What earlier versions wrote never does.
pub const OVERLAPS: u16 = 1;
/// What the header of a file takes with its padding; the first group follows.
pub const FILE_HEADER_BLOCK_BYTES: usize = GROUP_ALIGN_BYTES;
/// A group starts at a multiple of this, the block of direct writes.
pub const GROUP_ALIGN_BYTES: usize = 4096;
/// A group with its header and padding. More than the largest batch that a request can hold by default.
pub const GROUP_BYTES_MAX: usize = 64 << 20;
pub const ENTRY_ALIGN_BYTES: usize = 8;

/// A field of a header: where it begins and how long it is.
#[derive(Clone, Copy)]
pub struct Field {
    pub at: usize,
    pub bytes: usize,
}

impl Field {
    const fn first(bytes: usize) -> Self {
        Self { at: 0, bytes }
    }

    const fn then(self, bytes: usize) -> Self {
        Self { at: self.end(), bytes }
    }

    pub const fn end(self) -> usize {
        self.at + self.bytes
    }

    /// Writes the field of a header that begins at the front of `bytes`.
    pub(super) fn put(self, bytes: &mut [u8], value: &[u8]) {
        bytes[self.at..self.end()].copy_from_slice(value);
    }

    /// Reads the field of a header that is there as a whole.
    pub(super) fn read<const BYTES: usize>(self, header: &[u8]) -> [u8; BYTES] {
        debug_assert_eq!(self.bytes, BYTES);
        std::array::from_fn(|at| header[self.at + at])
    }
}

/// Of a file's header.
pub mod file {
    use super::Field;

    pub const MAGIC: Field = Field::first(4);
    pub const FORMAT: Field = MAGIC.then(2);
    const RESERVED: Field = FORMAT.then(2);
    pub const JOURNAL: Field = RESERVED.then(8);
    pub const INCARNATION: Field = JOURNAL.then(8);
    pub const SHARD: Field = INCARNATION.then(2);
    pub const NUMBER: Field = SHARD.then(2);
    pub const CRC: Field = NUMBER.then(4);
}

/// Of a group's header.
pub mod group {
    use super::Field;

    pub const MAGIC: Field = Field::first(4);
    pub const FORMAT: Field = MAGIC.then(2);
    pub const FLAGS: Field = FORMAT.then(2);
    pub const JOURNAL: Field = FLAGS.then(8);
    pub const INCARNATION: Field = JOURNAL.then(8);
    pub const SEQUENCE: Field = INCARNATION.then(8);
    pub const PREVIOUS_CRC: Field = SEQUENCE.then(4);
    pub const ENTRIES: Field = PREVIOUS_CRC.then(4);
    pub const BODY_BYTES: Field = ENTRIES.then(4);
    pub const CRC: Field = BODY_BYTES.then(4);
    pub const TAIL: Field = CRC.then(16);
}

/// Of an entry's header.
pub mod entry {
    use super::Field;

    pub const KIND: Field = Field::first(1);
    const RESERVED: Field = KIND.then(3);
    pub const BODY_BYTES: Field = RESERVED.then(4);
    pub const TOPIC: Field = BODY_BYTES.then(16);
    pub const PARTITION: Field = TOPIC.then(4);
    pub const EPOCH: Field = PARTITION.then(4);
    pub const OFFSET: Field = EPOCH.then(8);
    pub const END_OFFSET: Field = OFFSET.then(8);
    pub const TAIL: Field = END_OFFSET.then(8);
}

/// Of a manifest's head.
pub mod manifest {
    use super::Field;

    pub const MAGIC: Field = Field::first(4);
    pub const FORMAT: Field = MAGIC.then(2);
    const RESERVED: Field = FORMAT.then(2);
    pub const BODY_BYTES: Field = RESERVED.then(8);
    pub const BODY_CRC: Field = BODY_BYTES.then(4);
    pub const CRC: Field = BODY_CRC.then(4);
}

pub const FILE_HEADER_BYTES: usize = file::CRC.end();
pub const MANIFEST_HEAD_BYTES: usize = manifest::CRC.end();
/// The fixed part of a manifest's body.
pub const MANIFEST_FIXED_BYTES: usize = 8 + 8 + 8 + 2 + 2 + 4;
/// A log of a manifest without what was written of it.
pub const LOG_BYTES: usize = 16 + 4 + 4 + 8;
/// What was written of a log, without epochs and producer state.
pub const WRITTEN_BYTES: usize = 8 * 8 + 4 + 4;
pub const EPOCH_BYTES: usize = 4 + 8;
pub const GROUP_HEADER_BYTES: usize = group::TAIL.end();
pub const ENTRY_HEADER_BYTES: usize = entry::TAIL.end();

const _: () = {
    assert!(FILE_HEADER_BYTES == 32);
    assert!(
        FILE_HEADER_BYTES <= 512,
        "the header lies in one sector, which is written as a whole or not at all"
    );
    assert!(
        MANIFEST_HEAD_BYTES == 24 && MANIFEST_FIXED_BYTES == 32 && LOG_BYTES == 32 && WRITTEN_BYTES == 72
    );
    assert!(file::JOURNAL.at.is_multiple_of(8) && manifest::BODY_BYTES.at.is_multiple_of(8));
    assert!(GROUP_HEADER_BYTES == 64);
    assert!(ENTRY_HEADER_BYTES == 56);
    assert!(GROUP_HEADER_BYTES.is_multiple_of(ENTRY_ALIGN_BYTES));
    assert!(ENTRY_HEADER_BYTES.is_multiple_of(ENTRY_ALIGN_BYTES));
    assert!(group::SEQUENCE.at.is_multiple_of(8) && entry::OFFSET.at.is_multiple_of(8));
    assert!(GROUP_BYTES_MAX.is_multiple_of(GROUP_ALIGN_BYTES) && GROUP_BYTES_MAX <= u32::MAX as usize);
};
