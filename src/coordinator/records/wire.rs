//! Reads and writes the fields of coordinator records: integers, and texts, bytes, arrays in both of Kafka's encodings.
//!
//! Key invariant: a reader never looks beyond its bytes, never panics, and never reserves more memory than it has bytes
//! left; a writer that was given something too long for the format yields an error, not other bytes. Which fields a record
//! has is left to its type.

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

use crate::model::{PartitionIndex, TopicId};

/// The longest text in bytes, in either encoding: what an `i16` can say.
pub const TEXT_BYTES_MAX: usize = i16::MAX as usize;

/// Why bytes are not a record that this broker knows, or why a record cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("the record ends before its last field")]
    Truncated,
    #[error("a length or count of {0} cannot be")]
    Length(i64),
    #[error("a varint is longer than five bytes")]
    Varint,
    #[error("a text is not UTF-8")]
    NotUtf8,
    #[error("version {version} of a value whose key has type {kind} is not known")]
    UnknownVersion { kind: i16, version: i16 },
    #[error("a text or array is too long for a record")]
    TooLong,
}

/// What is left of a key or value.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    flexible: bool,
}

impl<'a> Reader<'a> {
    /// Reads a key: its type comes first, and it is never flexible.
    pub(super) fn key(bytes: &'a [u8]) -> Result<(Self, i16), RecordError> {
        let mut reader = Self { rest: bytes, flexible: false };
        let kind = reader.i16()?;
        Ok((reader, kind))
    }

    /// Reads a value of a key of type `kind`: its version comes first.
    pub(super) fn value(
        bytes: &'a [u8],
        kind: i16,
        version_max: i16,
        flexible_from: i16,
    ) -> Result<(Self, i16), RecordError> {
        let mut reader = Self { rest: bytes, flexible: false };
        let version = reader.i16()?;
        if !(0..=version_max).contains(&version) {
            return Err(RecordError::UnknownVersion { kind, version });
        }
        reader.flexible = version >= flexible_from;
        Ok((reader, version))
    }

    pub(super) fn i8(&mut self) -> Result<i8, RecordError> {
        self.array().map(i8::from_be_bytes)
    }

    pub(super) fn i16(&mut self) -> Result<i16, RecordError> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, RecordError> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, RecordError> {
        self.array().map(i64::from_be_bytes)
    }

    pub(super) fn topic_id(&mut self) -> Result<TopicId, RecordError> {
        self.array().map(|bytes| TopicId(Uuid::from_bytes(bytes)))
    }

    /// A text that has to be there.
    pub(super) fn text(&mut self) -> Result<&'a str, RecordError> {
        self.optional_text()?.ok_or(RecordError::Length(-1))
    }

    /// A text that may be null.
    pub(super) fn optional_text(&mut self) -> Result<Option<&'a str>, RecordError> {
        let length = if self.flexible { self.compact_length()? } else { i64::from(self.i16()?) };
        if length > TEXT_BYTES_MAX as i64 {
            return Err(RecordError::Length(length));
        }
        let Some(length) = not_null(length)? else { return Ok(None) };
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| RecordError::NotUtf8)?;
        Ok(Some(text))
    }

    /// Bytes that have to be there, copied so that the record's own memory can go.
    pub(super) fn blob(&mut self) -> Result<Bytes, RecordError> {
        let length = self.length()?;
        Ok(Bytes::copy_from_slice(self.take(length)?))
    }

    /// An array that has to be there.
    pub(super) fn list<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, RecordError>,
    ) -> Result<Vec<T>, RecordError> {
        let count = self.length()?;
        // Every element takes at least one byte.
        if count > self.rest.len() {
            return Err(RecordError::Truncated);
        }
        let mut list = Vec::with_capacity(count.min(self.rest.len() / size_of::<T>().max(1)));
        for _ in 0..count {
            list.push(element(self)?);
        }
        Ok(list)
    }

    pub(super) fn partitions(&mut self) -> Result<Vec<PartitionIndex>, RecordError> {
        self.list(|reader| reader.i32().map(PartitionIndex))
    }

    pub(super) fn texts(&mut self) -> Result<Vec<String>, RecordError> {
        self.list(|reader| reader.text().map(str::to_owned))
    }

    /// The end of a structure: `field` is called with the number and the bytes of each tagged field.
    pub(super) fn tagged_fields(
        &mut self,
        mut field: impl FnMut(u32, &mut Self) -> Result<(), RecordError>,
    ) -> Result<(), RecordError> {
        if !self.flexible {
            return Ok(());
        }
        let count = self.varint()?;
        for _ in 0..count {
            let tag = self.varint()?;
            let size = self.varint()?;
            let rest = self.take(size as usize)?;
            field(tag, &mut Self { rest, flexible: true })?;
        }
        Ok(())
    }

    /// The end of a structure that knows no tagged field.
    pub(super) fn end(&mut self) -> Result<(), RecordError> {
        self.tagged_fields(|_, _| Ok(()))
    }

    /// The length of bytes or the count of an array, neither of which may be null.
    fn length(&mut self) -> Result<usize, RecordError> {
        let length = if self.flexible { self.compact_length()? } else { i64::from(self.i32()?) };
        not_null(length)?.ok_or(RecordError::Length(-1))
    }

    /// A length that is written plus one, so that 0 is null.
    fn compact_length(&mut self) -> Result<i64, RecordError> {
        Ok(i64::from(self.varint()?) - 1)
    }

    fn varint(&mut self) -> Result<u32, RecordError> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(RecordError::Varint)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(RecordError::Truncated)?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], RecordError> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(RecordError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }
}

/// A length as it was read, -1 being null.
fn not_null(length: i64) -> Result<Option<usize>, RecordError> {
    if length == -1 {
        return Ok(None);
    }
    usize::try_from(length).map(Some).map_err(|_| RecordError::Length(length))
}

/// A key or value as far as it is written.
pub(super) struct Writer {
    bytes: BytesMut,
    flexible: bool,
    too_long: bool,
}

impl Writer {
    /// Begins a key of type `kind`.
    pub(super) fn key(kind: i16) -> Self {
        Self::begin(kind, false)
    }

    /// Begins a value of a version without tagged fields.
    pub(super) fn value(version: i16) -> Self {
        Self::begin(version, false)
    }

    /// Begins a value of a version with compact lengths and tagged fields (KIP-482).
    pub(super) fn flexible_value(version: i16) -> Self {
        Self::begin(version, true)
    }

    fn begin(first: i16, flexible: bool) -> Self {
        let mut bytes = BytesMut::with_capacity(64);
        bytes.put_i16(first);
        Self { bytes, flexible, too_long: false }
    }

    pub(super) fn i8(&mut self, value: i8) {
        self.bytes.put_i8(value);
    }

    pub(super) fn i16(&mut self, value: i16) {
        self.bytes.put_i16(value);
    }

    pub(super) fn i32(&mut self, value: i32) {
        self.bytes.put_i32(value);
    }

    pub(super) fn i64(&mut self, value: i64) {
        self.bytes.put_i64(value);
    }

    pub(super) fn topic_id(&mut self, id: TopicId) {
        self.bytes.put_slice(id.0.as_bytes());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.optional_text(Some(text));
    }

    pub(super) fn optional_text(&mut self, text: Option<&str>) {
        let length = match text.map(|text| i16::try_from(text.len())) {
            None => -1,
            Some(Ok(length)) => length,
            Some(Err(_)) => {
                self.too_long = true;
                return;
            }
        };
        if self.flexible {
            self.varint((i32::from(length) + 1) as u32);
        } else {
            self.bytes.put_i16(length);
        }
        self.bytes.put_slice(text.unwrap_or_default().as_bytes());
    }

    pub(super) fn blob(&mut self, blob: &[u8]) {
        self.length(blob.len());
        self.bytes.put_slice(blob);
    }

    pub(super) fn list<T>(&mut self, list: &[T], mut element: impl FnMut(&mut Self, &T)) {
        self.length(list.len());
        for each in list {
            element(self, each);
        }
    }

    pub(super) fn partitions(&mut self, partitions: &[PartitionIndex]) {
        self.list(partitions, |writer, partition| writer.i32(partition.get()));
    }

    pub(super) fn texts(&mut self, texts: &[String]) {
        self.list(texts, |writer, text| writer.text(text));
    }

    /// The end of a structure without tagged fields.
    pub(super) fn end(&mut self) {
        if self.flexible {
            self.varint(0);
        }
    }

    /// The end of a structure with the tagged field 0 alone, which is left out if `there` is false; `body` writes it.
    pub(super) fn end_with_field_0(&mut self, there: bool, body: impl FnOnce(&mut Self)) {
        if !there {
            return self.end();
        }
        self.varint(1);
        self.varint(0);
        let outer = std::mem::take(&mut self.bytes);
        body(self);
        let inner = std::mem::replace(&mut self.bytes, outer);
        self.varint(inner.len() as u32);
        self.bytes.put_slice(&inner);
    }

    /// All that was written.
    pub(super) fn finish(self) -> Result<Bytes, RecordError> {
        if self.too_long || i32::try_from(self.bytes.len()).is_err() {
            return Err(RecordError::TooLong);
        }
        Ok(self.bytes.freeze())
    }

    fn length(&mut self, length: usize) {
        // Whatever does not fit here makes the whole too long, which `finish` refuses.
        let length = length as u32;
        if self.flexible { self.varint(length.wrapping_add(1)) } else { self.bytes.put_u32(length) }
    }

    fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.bytes.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.put_u8(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flexible(rest: &[u8]) -> Reader<'_> {
        Reader { rest, flexible: true }
    }

    #[test]
    fn lengths_that_cannot_be_are_refused_before_memory_is_taken() {
        let huge = [0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(flexible(&huge).list(Reader::i64), Err(RecordError::Truncated));
        assert_eq!(flexible(&huge).blob(), Err(RecordError::Truncated));
        assert_eq!(flexible(&huge).text(), Err(RecordError::Length(i64::from(u32::MAX) - 1)));
        assert_eq!(flexible(&[0xff; 5]).blob(), Err(RecordError::Varint));
        assert_eq!(flexible(&[0]).text(), Err(RecordError::Length(-1)));
        assert_eq!(flexible(&[2, 0xff]).text(), Err(RecordError::NotUtf8));
        let mut plain = Reader { rest: &[0xff, 0xfe], flexible: false };
        assert_eq!(plain.optional_text(), Err(RecordError::Length(-2)));
        let mut plain = Reader { rest: &[0x80, 0, 0, 0], flexible: false };
        assert_eq!(plain.list(Reader::i8), Err(RecordError::Length(i32::MIN.into())));
        assert_eq!(flexible(&[1, 9, 2, 0]).end(), Err(RecordError::Truncated), "a tagged field of two bytes");
    }

    #[test]
    fn a_text_that_no_reader_would_take_is_not_written() {
        for flexible in [false, true] {
            let write = |length| {
                let mut writer = Writer::begin(0, flexible);
                writer.text(&"x".repeat(length));
                writer.finish()
            };
            let bytes = write(TEXT_BYTES_MAX).expect("the longest");
            let mut reader = Reader { rest: &bytes[2..], flexible };
            assert_eq!(reader.text().map(str::len), Ok(TEXT_BYTES_MAX));
            assert_eq!(write(TEXT_BYTES_MAX + 1), Err(RecordError::TooLong));
        }
    }
}
