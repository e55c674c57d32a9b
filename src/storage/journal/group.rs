//! One group of the journal: written as a whole, read as a whole or not at all.
//!
//! Key invariants: a group that was written but for some of its sectors does not read (the checksum covers every byte that
//! counts); bytes of the disk never panic, and what is read is borrowed, never copied.

use uuid::Uuid;

use super::layout::{
    ENTRY_ALIGN_BYTES, ENTRY_HEADER_BYTES, FORMAT, Field, GROUP_ALIGN_BYTES, GROUP_BYTES_MAX,
    GROUP_HEADER_BYTES, GROUP_MAGIC, entry, group,
};
use crate::model::{LeaderEpoch, Offset};

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

/// Puts a group together.
#[derive(Clone, Debug)]
pub struct GroupBuilder {
    bytes: Vec<u8>,
    entries: u32,
}

impl GroupBuilder {
    /// An empty group.
    pub fn new(id: GroupId) -> Self {
        let mut bytes = vec![0; GROUP_HEADER_BYTES];
        put(&mut bytes, group::MAGIC, &GROUP_MAGIC);
        put(&mut bytes, group::FORMAT, &FORMAT.to_le_bytes());
        put(&mut bytes, group::JOURNAL, &id.journal.to_le_bytes());
        put(&mut bytes, group::INCARNATION, &id.incarnation.to_le_bytes());
        put(&mut bytes, group::SEQUENCE, &id.sequence.to_le_bytes());
        put(&mut bytes, group::PREVIOUS_CRC, &id.previous_crc.to_le_bytes());
        Self { bytes, entries: 0 }
    }

    /// Bytes of the group if it were sealed now.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len().next_multiple_of(GROUP_ALIGN_BYTES)
    }

    /// Whether an entry with a body of this size still fits.
    pub fn has_room(&self, body_bytes: usize) -> bool {
        let entry = (ENTRY_HEADER_BYTES + body_bytes).next_multiple_of(ENTRY_ALIGN_BYTES);
        self.bytes.len() + entry <= GROUP_BYTES_MAX
    }

    /// Adds an entry, for which there must be room.
    pub fn add(&mut self, added: &Entry<'_>) {
        debug_assert!(self.has_room(added.body.len()));
        debug_assert!(
            added.kind == EntryKind::Append || (added.body.is_empty() && added.end == added.offset)
        );
        let at = self.bytes.len();
        self.bytes.resize(at + ENTRY_HEADER_BYTES, 0);
        let header = &mut self.bytes[at..];
        put(header, entry::KIND, &[added.kind.code()]);
        put(header, entry::BODY_BYTES, &(added.body.len() as u32).to_le_bytes());
        put(header, entry::TOPIC, added.place.topic.as_bytes());
        put(header, entry::PARTITION, &added.place.partition.to_le_bytes());
        put(header, entry::EPOCH, &added.epoch.0.to_le_bytes());
        put(header, entry::OFFSET, &added.offset.0.to_le_bytes());
        put(header, entry::END_OFFSET, &added.end.0.to_le_bytes());
        self.bytes.extend_from_slice(added.body);
        self.bytes.resize(self.bytes.len().next_multiple_of(ENTRY_ALIGN_BYTES), 0);
        self.entries += 1;
    }

    /// The whole group, padded to blocks, and its checksum for the next one.
    pub fn seal(mut self) -> (Vec<u8>, u32) {
        let body = (self.bytes.len() - GROUP_HEADER_BYTES) as u32;
        put(&mut self.bytes, group::ENTRIES, &self.entries.to_le_bytes());
        put(&mut self.bytes, group::BODY_BYTES, &body.to_le_bytes());
        let crc = checksum(&self.bytes);
        put(&mut self.bytes, group::CRC, &crc.to_le_bytes());
        let padded = self.size_bytes();
        self.bytes.resize(padded, 0);
        (self.bytes, crc)
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
    let before = crc32c::crc32c(&group[..group::CRC.at]);
    crc32c::crc32c_append(before, &group[group::CRC.end()..])
}

fn put(bytes: &mut [u8], field: Field, value: &[u8]) {
    bytes[field.at..field.end()].copy_from_slice(value);
}

/// A field of a header that is there as a whole.
fn field<const BYTES: usize>(header: &[u8], field: Field) -> [u8; BYTES] {
    debug_assert_eq!(field.bytes, BYTES);
    std::array::from_fn(|at| header[field.at + at])
}
