//! One group of the journal: written as a whole, read as a whole or not at all.
//!
//! Key invariants: a group that was written but for some of its sectors does not read (the checksum covers every byte that
//! counts); bytes of the disk never panic, and what is read is borrowed, never copied.

use uuid::Uuid;

use super::layout::{
    ENTRY_ALIGN_BYTES, ENTRY_HEADER_BYTES, FORMAT, Field, GROUP_ALIGN_BYTES, GROUP_BYTES_MAX,
    GROUP_HEADER_BYTES, GROUP_MAGIC, OVERLAPS, entry, group,
};
use crate::model::{LeaderEpoch, Offset};
use crate::record::Crc32c;

/// Which group of which journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupId {
    /// A random number of the journal's file, so that no bytes of a client can pass for one of its groups.
    pub journal: u64,
    /// Grows with every start of the broker.
    pub incarnation: u64,
    /// Grows by one from group to group.
    pub sequence: u64,
    /// The checksum of the group before, 0 for an incarnation's first.
    pub previous_crc: u32,
    /// It left before the group before it was durable: if it reads and that one does not, both were answered to nobody.
    pub overlaps: bool,
}

/// A partition as the journal names it: by topic id, so that a topic created again under the same name is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    pub topic: Uuid,
    pub partition: i32,
}

/// What an entry records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// Record batches from `offset` up to `end`, which is the next offset after them.
    Append,
    /// The log was cut: it ends at `offset`.
    Truncate,
    /// The log begins at `offset`: what lies before was deleted.
    LogStart,
    /// The leader epoch begins at `offset`.
    EpochStart,
}

impl EntryKind {
    const ALL: [Self; 4] = [Self::Append, Self::Truncate, Self::LogStart, Self::EpochStart];

    const fn code(self) -> u8 {
        match self {
            Self::Append => 1,
            Self::Truncate => 2,
            Self::LogStart => 3,
            Self::EpochStart => 4,
        }
    }

    fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// One entry of a group; `body` is empty but for an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub kind: EntryKind,
    pub place: Place,
    pub epoch: LeaderEpoch,
    pub offset: Offset,
    /// Of an append the next offset after its records; else `offset`.
    pub end: Offset,
    pub body: &'a [u8],
}

/// Why bytes are no group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    #[error("no group begins here")]
    NotAGroup,
    #[error("the group has format {found}; this version reads {FORMAT}")]
    UnknownFormat { found: u16 },
    #[error("the group is longer than what is there")]
    CutOff,
    #[error("the group's checksum is {found:#010x}, its bytes have {computed:#010x}")]
    Checksum { found: u32, computed: u32 },
    #[error("the group's entries are malformed: {0}")]
    Malformed(&'static str),
}

/// What an entry's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryHeader {
    pub kind: EntryKind,
    pub place: Place,
    pub epoch: LeaderEpoch,
    pub offset: Offset,
    pub end: Offset,
}

/// Bytes that an entry with a body of `body_bytes` takes in a group.
pub const fn entry_size_bytes(body_bytes: usize) -> usize {
    (ENTRY_HEADER_BYTES + body_bytes).next_multiple_of(ENTRY_ALIGN_BYTES)
}

/// Bytes of a group, with header and padding, whose entries take `entries_bytes`.
pub const fn group_size_bytes(entries_bytes: usize) -> usize {
    (GROUP_HEADER_BYTES + entries_bytes).next_multiple_of(GROUP_ALIGN_BYTES)
}

/// Puts a group together in memory that is there already.
pub struct GroupBuilder<'a> {
    bytes: &'a mut [u8],
    at: usize,
    entries: u32,
}

impl<'a> GroupBuilder<'a> {
    /// An empty group in `bytes`, which are as many as [`group_size_bytes`] says; what they hold does not matter.
    pub fn new(bytes: &'a mut [u8], id: GroupId) -> Self {
        debug_assert!(bytes.len().is_multiple_of(GROUP_ALIGN_BYTES) && bytes.len() <= GROUP_BYTES_MAX);
        bytes[..GROUP_HEADER_BYTES].fill(0);
        put(bytes, group::MAGIC, &GROUP_MAGIC);
        put(bytes, group::FORMAT, &FORMAT.to_le_bytes());
        put(bytes, group::FLAGS, &if id.overlaps { OVERLAPS } else { 0 }.to_le_bytes());
        put(bytes, group::JOURNAL, &id.journal.to_le_bytes());
        put(bytes, group::INCARNATION, &id.incarnation.to_le_bytes());
        put(bytes, group::SEQUENCE, &id.sequence.to_le_bytes());
        put(bytes, group::PREVIOUS_CRC, &id.previous_crc.to_le_bytes());
        Self { bytes, at: GROUP_HEADER_BYTES, entries: 0 }
    }

    /// Adds an entry whose body is the parts in their order; there is room for it.
    pub fn add<P: AsRef<[u8]>>(&mut self, added: &EntryHeader, parts: &[P]) {
        let body_bytes: usize = parts.iter().map(|part| part.as_ref().len()).sum();
        debug_assert!(added.kind == EntryKind::Append || (body_bytes == 0 && added.end == added.offset));
        let to = self.at + entry_size_bytes(body_bytes);
        let entry_bytes = &mut self.bytes[self.at..to];
        entry_bytes[..ENTRY_HEADER_BYTES].fill(0);
        put(entry_bytes, entry::KIND, &[added.kind.code()]);
        put(entry_bytes, entry::BODY_BYTES, &(body_bytes as u32).to_le_bytes());
        put(entry_bytes, entry::TOPIC, added.place.topic.as_bytes());
        put(entry_bytes, entry::PARTITION, &added.place.partition.to_le_bytes());
        put(entry_bytes, entry::EPOCH, &added.epoch.0.to_le_bytes());
        put(entry_bytes, entry::OFFSET, &added.offset.0.to_le_bytes());
        put(entry_bytes, entry::END_OFFSET, &added.end.0.to_le_bytes());
        let mut at = ENTRY_HEADER_BYTES;
        for part in parts {
            let part = part.as_ref();
            entry_bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        entry_bytes[at..].fill(0);
        self.at = to;
        self.entries += 1;
    }

    /// Ends the group; returns its checksum for the next one.
    pub fn seal(self) -> u32 {
        let body = (self.at - GROUP_HEADER_BYTES) as u32;
        put(self.bytes, group::ENTRIES, &self.entries.to_le_bytes());
        put(self.bytes, group::BODY_BYTES, &body.to_le_bytes());
        let crc = checksum(&self.bytes[..self.at]);
        put(self.bytes, group::CRC, &crc.to_le_bytes());
        self.bytes[self.at..].fill(0);
        crc
    }
}

/// A group that checks out.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    pub id: GroupId,
    pub crc: u32,
    /// With its padding.
    pub size_bytes: usize,
    entries: u32,
    body: &'a [u8],
}

impl<'a> Group<'a> {
    /// Reads the group at the front of `bytes`, which may go on behind it.
    pub fn read(bytes: &'a [u8]) -> Result<Self, GroupError> {
        let header = bytes.get(..GROUP_HEADER_BYTES).ok_or(GroupError::NotAGroup)?;
        if field::<4>(header, group::MAGIC) != GROUP_MAGIC {
            return Err(GroupError::NotAGroup);
        }
        let found = u16::from_le_bytes(field(header, group::FORMAT));
        if found != FORMAT {
            return Err(GroupError::UnknownFormat { found });
        }
        let body_bytes = u32::from_le_bytes(field(header, group::BODY_BYTES)) as usize;
        let whole_bytes = GROUP_HEADER_BYTES + body_bytes;
        if whole_bytes > GROUP_BYTES_MAX {
            return Err(GroupError::CutOff);
        }
        let whole = bytes.get(..whole_bytes).ok_or(GroupError::CutOff)?;
        let (found, computed) = (u32::from_le_bytes(field(header, group::CRC)), checksum(whole));
        if found != computed {
            return Err(GroupError::Checksum { found, computed });
        }
        let group = Self {
            id: GroupId {
                journal: u64::from_le_bytes(field(header, group::JOURNAL)),
                incarnation: u64::from_le_bytes(field(header, group::INCARNATION)),
                sequence: u64::from_le_bytes(field(header, group::SEQUENCE)),
                previous_crc: u32::from_le_bytes(field(header, group::PREVIOUS_CRC)),
                overlaps: u16::from_le_bytes(field(header, group::FLAGS)) & OVERLAPS != 0,
            },
            crc: found,
            size_bytes: whole_bytes.next_multiple_of(GROUP_ALIGN_BYTES),
            entries: u32::from_le_bytes(field(header, group::ENTRIES)),
            body: &whole[GROUP_HEADER_BYTES..],
        };
        group.check_entries()?;
        Ok(group)
    }

    /// Its entries in the order in which they were added.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let mut rest = self.body;
        (0..self.entries).map_while(move |_| {
            let (entry, after) = read_entry(rest).ok()?;
            rest = after;
            Some(entry)
        })
    }

    fn check_entries(&self) -> Result<(), GroupError> {
        let mut rest = self.body;
        for _ in 0..self.entries {
            (_, rest) = read_entry(rest)?;
        }
        if rest.is_empty() { Ok(()) } else { Err(GroupError::Malformed("bytes follow the last entry")) }
    }
}

fn read_entry(bytes: &[u8]) -> Result<(Entry<'_>, &[u8]), GroupError> {
    let header =
        bytes.get(..ENTRY_HEADER_BYTES).ok_or(GroupError::Malformed("an entry's header is cut off"))?;
    let [code] = field(header, entry::KIND);
    let kind = EntryKind::of_code(code).ok_or(GroupError::Malformed("an entry is of no known kind"))?;
    let body_bytes = u32::from_le_bytes(field(header, entry::BODY_BYTES)) as usize;
    let end_of_body = ENTRY_HEADER_BYTES + body_bytes;
    let body = bytes
        .get(ENTRY_HEADER_BYTES..end_of_body)
        .ok_or(GroupError::Malformed("an entry's body is cut off"))?;
    let after = bytes
        .get(end_of_body.next_multiple_of(ENTRY_ALIGN_BYTES)..)
        .ok_or(GroupError::Malformed("an entry's padding is cut off"))?;
    let read = Entry {
        kind,
        place: Place {
            topic: Uuid::from_bytes(field(header, entry::TOPIC)),
            partition: i32::from_le_bytes(field(header, entry::PARTITION)),
        },
        epoch: LeaderEpoch(i32::from_le_bytes(field(header, entry::EPOCH))),
        offset: Offset(i64::from_le_bytes(field(header, entry::OFFSET))),
        end: Offset(i64::from_le_bytes(field(header, entry::END_OFFSET))),
        body,
    };
    if read.kind == EntryKind::Append && (read.end <= read.offset || body.is_empty()) {
        return Err(GroupError::Malformed("an append without records"));
    }
    if read.kind != EntryKind::Append && !(body.is_empty() && read.end == read.offset) {
        return Err(GroupError::Malformed("records in an entry that is no append"));
    }
    Ok((read, after))
}

/// Over everything but the field that holds it.
fn checksum(group: &[u8]) -> u32 {
    let mut crc = Crc32c::default();
    crc.update(&group[..group::CRC.at]);
    crc.update(&group[group::CRC.end()..]);
    crc.finish()
}

fn put(bytes: &mut [u8], field: Field, value: &[u8]) {
    bytes[field.at..field.end()].copy_from_slice(value);
}

/// A field of a header that is there as a whole.
fn field<const BYTES: usize>(header: &[u8], field: Field) -> [u8; BYTES] {
    debug_assert_eq!(field.bytes, BYTES);
    std::array::from_fn(|at| header[field.at + at])
}
