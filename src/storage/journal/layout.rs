//! Where the fields of a group lie. All numbers are little-endian.
//!
//! ```text
//! group:   header (64) | entries | zeros up to a multiple of 4,096
//! header:  magic "CLJG" | format u16 | reserved u16 | journal u64 | incarnation u64 | sequence u64 | CRC-32C of the group
//!          before u32 | entries u32 | bytes of entries u32 | CRC-32C u32 of the header without this field and the entries |
//!          reserved (16)
//! entry:   header (56) | body | zeros up to a multiple of 8
//! header:  kind u8 | reserved (3) | bytes of the body u32 | topic id (16) | partition i32 | leader epoch i32 |
//!          offset i64 | end offset i64 | reserved (8)
//! ```
//!
//! Key invariant: fields neither overlap nor leave a gap; the checks below fail to compile otherwise.

/// The format that this version writes; it reads no other.
pub const FORMAT: u16 = 1;
pub const GROUP_MAGIC: [u8; 4] = *b"CLJG";
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
}

/// Of a group's header.
pub mod group {
    use super::Field;

    pub const MAGIC: Field = Field::first(4);
    pub const FORMAT: Field = MAGIC.then(2);
    const RESERVED: Field = FORMAT.then(2);
    pub const JOURNAL: Field = RESERVED.then(8);
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

pub const GROUP_HEADER_BYTES: usize = group::TAIL.end();
pub const ENTRY_HEADER_BYTES: usize = entry::TAIL.end();

const _: () = {
    assert!(GROUP_HEADER_BYTES == 64);
    assert!(ENTRY_HEADER_BYTES == 56);
    assert!(GROUP_HEADER_BYTES.is_multiple_of(ENTRY_ALIGN_BYTES));
    assert!(ENTRY_HEADER_BYTES.is_multiple_of(ENTRY_ALIGN_BYTES));
    assert!(group::SEQUENCE.at.is_multiple_of(8) && entry::OFFSET.at.is_multiple_of(8));
    assert!(GROUP_BYTES_MAX.is_multiple_of(GROUP_ALIGN_BYTES) && GROUP_BYTES_MAX <= u32::MAX as usize);
};
