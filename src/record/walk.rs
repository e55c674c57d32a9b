//! Steps from record to record of a batch without looking at keys, values and headers.
//!
//! ```text
//! varint   length of what follows        zigzag, as all varints here
//! i8       attributes                    unused
//! varlong  timestamp - base timestamp
//! varint   offset - base offset
//! varint   key length, -1 for none       then the key
//! varint   value length, -1 for none     then the value
//! varint   number of headers             then of each: varint, key; varint, value (-1 for none)
//! ```
//!
//! Key invariant: a step takes exactly the length that the record states, or fails; it never trusts a length with
//! memory. Which records are acceptable is left to `validate`.

use super::compression::{decompress, decompressed_bytes_max, too_large};
use super::{BatchError, BatchHeader, Codec, HEADER_BYTES};
use std::io::Read;

/// Bytes that are decompressed at a time.
const CHUNK_BYTES: usize = 16 * 1024;

/// What a step tells about a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHead {
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: i32,
    pub(super) has_key: bool,
}

/// The bytes of records, read forwards.
pub(super) trait Source {
    fn byte(&mut self) -> Result<u8, BatchError>;
    fn skip(&mut self, bytes: u64) -> Result<(), BatchError>;
    /// Bytes taken so far.
    fn taken(&self) -> u64;
    fn is_at_end(&mut self) -> Result<bool, BatchError>;
}

const ENDS_EARLY: BatchError = BatchError::Invalid("the records end before the batch's record count");
const CONTRADICTORY: BatchError = BatchError::Invalid("a record's length contradicts its fields");

/// Calls `visit` with the index and head of each of the batch's records, until it answers `false`. Fails if the records
/// are fewer or more than the header says, or not well formed. Answers the bytes of the records before compression.
pub(super) fn walk(
    batch: &[u8],
    header: &BatchHeader,
    visit: impl FnMut(i32, RecordHead) -> bool,
) -> Result<u64, BatchError> {
    let records = batch.get(HEADER_BYTES..header.size_bytes as usize);
    let records = records.ok_or(BatchError::Truncated {
        expected: u64::from(header.size_bytes),
        actual: batch.len() as u64,
    })?;
    match header.codec() {
        Some(Codec::None) => walk_source(Slice { bytes: records, position: 0 }, header.record_count, visit),
        Some(codec) => walk_source(Stream::new(codec, records)?, header.record_count, visit),
        None => Err(BatchError::Compression(format!("unknown codec {}", header.attributes & 0x7))),
    }
}

fn walk_source(
    mut source: impl Source,
    count: i32,
    mut visit: impl FnMut(i32, RecordHead) -> bool,
) -> Result<u64, BatchError> {
    for index in 0..count {
        let head = step(&mut source)?;
        if !visit(index, head) {
            return Ok(source.taken());
        }
    }
    if source.is_at_end()? {
        Ok(source.taken())
    } else {
        Err(BatchError::Invalid("bytes follow the last record of the batch"))
    }
}

/// Takes one record.
fn step(source: &mut impl Source) -> Result<RecordHead, BatchError> {
    let length = u64::try_from(varint(source)?).map_err(|_| CONTRADICTORY)?;
    let end = source.taken() + length;
    source.byte()?;
    let timestamp_delta = varlong(source)?;
    let offset_delta = varint(source)?;
    let key_bytes = varint(source)?;
    skip_field(source, key_bytes, end)?;
    let value_bytes = varint(source)?;
    skip_field(source, value_bytes, end)?;
    let headers = varint(source)?;
    if headers < 0 {
        return Err(BatchError::Invalid("a record has a negative number of headers"));
    }
    for _ in 0..headers {
        let key_bytes = varint(source)?;
        if key_bytes < 0 {
            return Err(BatchError::Invalid("a record header has no key"));
        }
        skip_field(source, key_bytes, end)?;
        let value_bytes = varint(source)?;
        skip_field(source, value_bytes, end)?;
    }
    if source.taken() != end {
        return Err(CONTRADICTORY);
    }
    Ok(RecordHead { timestamp_delta, offset_delta, has_key: key_bytes >= 0 })
}

/// Skips a field of a record that ends at `end`; a negative length is none.
fn skip_field(source: &mut impl Source, bytes: i32, end: u64) -> Result<(), BatchError> {
    let Ok(bytes) = u64::try_from(bytes) else { return Ok(()) };
    if source.taken() + bytes > end {
        return Err(CONTRADICTORY);
    }
    source.skip(bytes)
}

/// A zigzag varint of up to 32 bits.
pub(super) fn varint(source: &mut impl Source) -> Result<i32, BatchError> {
    let mut value = 0_u32;
    for shift in [0, 7, 14, 21, 28] {
        let byte = source.byte()?;
        value |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok((value >> 1) as i32 ^ -((value & 1) as i32));
        }
    }
    Err(BatchError::Invalid("a varint in a record is longer than five bytes"))
}

/// A zigzag varint of up to 64 bits.
pub(super) fn varlong(source: &mut impl Source) -> Result<i64, BatchError> {
    let mut value = 0_u64;
    for place in 0..10 {
        let byte = source.byte()?;
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    Err(BatchError::Invalid("a varint in a record is longer than ten bytes"))
}

/// Records that lie in memory.
pub(super) struct Slice<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) position: usize,
}

impl Source for Slice<'_> {
    fn byte(&mut self) -> Result<u8, BatchError> {
        let byte = *self.bytes.get(self.position).ok_or(ENDS_EARLY)?;
        self.position += 1;
        Ok(byte)
    }

    fn skip(&mut self, bytes: u64) -> Result<(), BatchError> {
        if bytes > (self.bytes.len() - self.position) as u64 {
            return Err(ENDS_EARLY);
        }
        self.position += bytes as usize;
        Ok(())
    }

    fn taken(&self) -> u64 {
        self.position as u64
    }

    fn is_at_end(&mut self) -> Result<bool, BatchError> {
        Ok(self.position == self.bytes.len())
    }
}

/// Records that are decompressed as the walk goes.
struct Stream<'a> {
    reader: Box<dyn Read + 'a>,
    chunk: Vec<u8>,
    position: usize,
    before_chunk: u64,
    max: u64,
}

impl<'a> Stream<'a> {
    fn new(codec: Codec, compressed: &'a [u8]) -> Result<Self, BatchError> {
        let reader = decompress(codec, compressed)?;
        let max = decompressed_bytes_max(compressed.len());
        Ok(Self { reader, chunk: Vec::with_capacity(CHUNK_BYTES), position: 0, before_chunk: 0, max })
    }

    /// Makes sure that the chunk has an unread byte, unless the stream has ended.
    fn fill(&mut self) -> Result<bool, BatchError> {
        if self.position < self.chunk.len() {
            return Ok(true);
        }
        self.before_chunk += self.chunk.len() as u64;
        self.position = 0;
        self.chunk.resize(CHUNK_BYTES, 0);
        let read = loop {
            match self.reader.read(&mut self.chunk) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(BatchError::Compression(error.to_string())),
                Ok(read) => break read,
            }
        };
        self.chunk.truncate(read);
        if self.before_chunk + read as u64 > self.max {
            return Err(too_large(self.max));
        }
        Ok(read > 0)
    }
}

impl Source for Stream<'_> {
    fn byte(&mut self) -> Result<u8, BatchError> {
        if !self.fill()? {
            return Err(ENDS_EARLY);
        }
        self.position += 1;
        Ok(self.chunk[self.position - 1])
    }

    fn skip(&mut self, mut bytes: u64) -> Result<(), BatchError> {
        while bytes > 0 {
            if !self.fill()? {
                return Err(ENDS_EARLY);
            }
            let step = bytes.min((self.chunk.len() - self.position) as u64);
            self.position += step as usize;
            bytes -= step;
        }
        Ok(())
    }

    fn taken(&self) -> u64 {
        self.before_chunk + self.position as u64
    }

    fn is_at_end(&mut self) -> Result<bool, BatchError> {
        Ok(!self.fill()?)
    }
}
