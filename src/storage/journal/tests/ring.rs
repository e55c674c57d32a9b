//! A shard's journal as a broker writes it: files that are filled in turn and filled again after a checkpoint.

use bytes::Bytes;

use super::super::layout::GROUP_ALIGN_BYTES;
use super::super::{
    Entry, FILE_HEADER_BLOCK_BYTES, FileHeader, FileName, GroupId, LogRecord, Manifest, ReplayEntry,
};
use super::{SECTOR_BYTES, written};

/// One group in the files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub sequence: u64,
    pub file: usize,
    pub at: usize,
    pub bytes: usize,
}

/// The journal of one shard of one start.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    pub journal: u64,
    pub incarnation: u64,
    pub shard: u16,
    pub files: Vec<Vec<u8>>,
    /// Every group that was written, some of them over others.
    pub extents: Vec<Extent>,
    pub manifest: Option<Manifest>,
    previous_crc: u32,
    file: usize,
    at: usize,
}

impl Ring {
    /// Files with nothing but their headers.
    pub(super) fn new((incarnation, shard): (u64, u16), files: u16, blocks: usize) -> Self {
        let journal = (incarnation << 32 | u64::from(shard) << 8) ^ 0x9e37_79b9_7f4a_7c15;
        let file = |number| {
            let header = FileHeader { journal, incarnation, shard, number };
            let mut file = header.encode().to_vec();
            file.resize(FILE_HEADER_BLOCK_BYTES + blocks * GROUP_ALIGN_BYTES, 0);
            file
        };
        Self {
            journal,
            incarnation,
            shard,
            files: (0..files).map(file).collect(),
            extents: vec![],
            manifest: None,
            previous_crc: 0,
            file: 0,
            at: FILE_HEADER_BLOCK_BYTES,
        }
    }

    pub(super) fn next_sequence(&self) -> u64 {
        self.extents.len() as u64
    }

    /// Groups before this one are in the segments.
    fn covered(&self) -> u64 {
        self.manifest.as_ref().map_or(0, |manifest| manifest.from_sequence)
    }

    /// Groups that no checkpoint covers.
    pub(super) fn live(&self) -> impl Iterator<Item = &Extent> {
        self.extents.iter().filter(|extent| extent.sequence >= self.covered())
    }

    /// Writes those sectors of a group that are kept, unless the next file holds what no checkpoint covers.
    pub(super) fn write_torn(&mut self, entries: &[Entry<'_>], mut kept: impl FnMut() -> bool) -> bool {
        let (journal, incarnation) = (self.journal, self.incarnation);
        let id = GroupId {
            journal,
            incarnation,
            sequence: self.next_sequence(),
            previous_crc: self.previous_crc,
            overlaps: false,
        };
        let (group, crc) = written(id, entries);
        let (mut file, mut at) = (self.file, self.at);
        if at + group.len() > self.files[file].len() {
            (file, at) = ((file + 1) % self.files.len(), FILE_HEADER_BLOCK_BYTES);
            assert!(at + group.len() <= self.files[file].len(), "the group fits into a file");
        }
        let end = at + group.len();
        // A file is begun anew only when a checkpoint covers all of it.
        if at == FILE_HEADER_BLOCK_BYTES && self.live().any(|live| live.file == file) {
            return false;
        }
        for sector in (0..group.len()).step_by(SECTOR_BYTES).filter(|_| kept()) {
            let bytes = sector..sector + SECTOR_BYTES;
            self.files[file][at..end][bytes.clone()].copy_from_slice(&group[bytes]);
        }
        self.extents.push(Extent { sequence: id.sequence, file, at, bytes: group.len() });
        (self.file, self.at, self.previous_crc) = (file, end, crc);
        true
    }

    /// Writes a group for which there is room.
    pub(super) fn write(&mut self, entries: &[Entry<'_>]) {
        assert!(self.write_torn(entries, || true), "a checkpoint is due");
    }

    /// A manifest that covers everything written so far.
    pub(super) fn checkpoint(&mut self, logs: Vec<LogRecord>) {
        self.manifest = Some(Manifest {
            journal: self.journal,
            incarnation: self.incarnation,
            shard: self.shard,
            from_sequence: self.next_sequence(),
            logs,
        });
    }

    /// The bytes of the newest group, to be changed.
    pub(super) fn group_mut(&mut self, sequence: u64) -> &mut [u8] {
        let Extent { file, at, bytes, .. } = self.extents[sequence as usize];
        &mut self.files[file][at..at + bytes]
    }

    pub(super) fn file_name(&self, number: usize) -> String {
        let (incarnation, shard) = (self.incarnation, self.shard);
        FileName::Journal { incarnation, shard, number: number as u16 }.to_string()
    }

    pub(super) fn manifest_name(&self) -> String {
        FileName::Manifest { incarnation: self.incarnation, shard: self.shard }.to_string()
    }

    /// All files with their names, the manifest last.
    pub(super) fn named(&self) -> Vec<(String, Bytes)> {
        let files = self.files.iter().enumerate();
        let mut named: Vec<(String, Bytes)> =
            files.map(|(number, file)| (self.file_name(number), Bytes::copy_from_slice(file))).collect();
        let manifest = self.manifest.as_ref();
        named.extend(manifest.map(|manifest| (self.manifest_name(), manifest.encode().into())));
        named
    }
}

/// The entry as a plan gives it.
pub(super) fn replayed(entry: &Entry<'_>) -> ReplayEntry {
    let body = Bytes::copy_from_slice(entry.body);
    ReplayEntry { kind: entry.kind, epoch: entry.epoch, offset: entry.offset, end: entry.end, body }
}
