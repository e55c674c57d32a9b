//! The header of a journal's file: which journal it belongs to.
//!
//! Key invariant: a header reads as it was written or not at all. It lies within one sector and is durable before the first
//! group, so a crash leaves it whole or leaves a file without groups.

use super::layout::{FILE_FORMAT, FILE_HEADER_BLOCK_BYTES, FILE_HEADER_BYTES, FILE_MAGIC, file};
use crate::record::crc32c;

/// What a file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// The random number of the journal, the same in all of its files.
    pub journal: u64,
    /// The start of the broker that made it.
    pub incarnation: u64,
    pub shard: u16,
    /// Which file of the journal, from 0.
    pub number: u16,
}

/// Why a block is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileHeaderError {
    #[error("the file has no readable header")]
    Unreadable,
    #[error("the file has format {found}; this version reads {FILE_FORMAT}")]
    UnknownFormat { found: u16 },
}

impl FileHeader {
    /// The file's first block.
    pub fn encode(&self) -> [u8; FILE_HEADER_BLOCK_BYTES] {
        let mut block = [0; FILE_HEADER_BLOCK_BYTES];
        file::MAGIC.put(&mut block, &FILE_MAGIC);
        file::FORMAT.put(&mut block, &FILE_FORMAT.to_le_bytes());
        file::JOURNAL.put(&mut block, &self.journal.to_le_bytes());
        file::INCARNATION.put(&mut block, &self.incarnation.to_le_bytes());
        file::SHARD.put(&mut block, &self.shard.to_le_bytes());
        file::NUMBER.put(&mut block, &self.number.to_le_bytes());
        let crc = crc32c(&block[..file::CRC.at]);
        file::CRC.put(&mut block, &crc.to_le_bytes());
        block
    }

    /// Reads the header at the front of a file's content.
    pub fn decode(content: &[u8]) -> Result<Self, FileHeaderError> {
        let header = content.get(..FILE_HEADER_BYTES).ok_or(FileHeaderError::Unreadable)?;
        let crc = u32::from_le_bytes(file::CRC.read(header));
        if file::MAGIC.read(header) != FILE_MAGIC || crc32c(&header[..file::CRC.at]) != crc {
            return Err(FileHeaderError::Unreadable);
        }
        let found = u16::from_le_bytes(file::FORMAT.read(header));
        if found != FILE_FORMAT {
            return Err(FileHeaderError::UnknownFormat { found });
        }
        Ok(Self {
            journal: u64::from_le_bytes(file::JOURNAL.read(header)),
            incarnation: u64::from_le_bytes(file::INCARNATION.read(header)),
            shard: u16::from_le_bytes(file::SHARD.read(header)),
            number: u16::from_le_bytes(file::NUMBER.read(header)),
        })
    }
}
