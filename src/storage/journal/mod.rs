//! The journal of a shard: what was appended to all of its partitions, group by group, before it reaches their segments.
//!
//! `layout` has the bytes, `header` a file's first block, `group` writes and reads one group, `manifest` is a shard's checkpoint.
//! `load` reads the files at a start; `scan` finds their groups and tells a torn tail from damage; `source` sorts files into
//! journals, `replay` plans what each partition replays, and `damage` says what cannot be read. `ring` says where the next group
//! goes, `files` makes and holds the files. All of it but `load` and `files` is pure: bytes in, bytes and findings out. What is
//! committed, and when, is the committer's (`storage::commit`).
//!
//! Key invariant: what was acknowledged after its group was written is found again, in order, whatever else the file holds.

mod damage;
mod files;
mod group;
mod header;
mod layout;
mod load;
mod manifest;
mod replay;
mod ring;
mod scan;
mod source;
#[cfg(test)]
mod tests;

pub use damage::{Damage, Fault};
pub use files::{JournalIdentity, RingFiles};
pub use group::{
    Entry, EntryHeader, EntryKind, Group, GroupBuilder, GroupError, GroupId, Place, entry_size_bytes,
    group_size_bytes,
};
pub use header::{FileHeader, FileHeaderError};
pub use layout::{ENTRY_HEADER_BYTES, FILE_HEADER_BLOCK_BYTES, FORMAT, GROUP_BYTES_MAX, GROUP_HEADER_BYTES};
pub use load::{FileName, JOURNAL_DIRECTORY, JournalFiles, NamedFile, load};
pub use manifest::{LogRecord, Manifest, ManifestError, Written};
pub use replay::{PartitionReplay, Recovered, ReplayEntry, ReplayError, plan};
pub use ring::{Ring, Slot};
pub use scan::{Found, FoundGroup, Scan, ScanEnd, scan};
