//! Messages in versions that the kafka-protocol crate lacks: each field with the versions that have it, read and written.
//!
//! Key invariant: reading takes no more memory than a small multiple of the bytes that are there, whatever they claim.
//! Writing leaves out what the version lacks: these messages hold the fields of all versions side by side, so that a
//! handler fills in one type. Messages implement the crate's traits, so `codec` treats them like the crate's own.

use std::ops::RangeInclusive;

use anyhow::{Result, bail};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::protocol::buf::ByteBuf;
use uuid::Uuid;

use super::{EncodeError, RequestHeader, frame::SIZE_PREFIX_BYTES};
use crate::model::TopicId;

/// The longest text in bytes, in either encoding.
const TEXT_BYTES_MAX: usize = i16::MAX as usize;

/// How fields are laid out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format {
    pub(super) version: i16,
    /// Compact lengths and tagged fields (KIP-482).
    pub(super) flexible: bool,
}

/// What messages consist of.
pub(super) trait Field: Sized {
    fn read<B: ByteBuf>(bytes: &mut B, format: Format) -> Result<Self>;
    fn write<S: Sink>(&self, sink: &mut S, format: Format) -> Result<()>;
}

/// A message as a whole.
pub(super) trait Body: Field {
    const VERSIONS: RangeInclusive<i16>;
    const FLEXIBLE_FROM: i16;

    fn format(version: i16) -> Result<Format> {
        if !Self::VERSIONS.contains(&version) {
            bail!("version {version} is not one of {:?}", Self::VERSIONS);
        }
        Ok(Format { version, flexible: version >= Self::FLEXIBLE_FROM })
    }
}

/// Where bytes are written to.
pub(super) trait Sink {
    fn put(&mut self, bytes: &[u8]);

    /// Writes bytes that need not be copied.
    fn put_shared(&mut self, bytes: &Bytes) {
        self.put(bytes);
    }
}

/// Into a buffer.
pub(super) struct Copied<'a, B>(pub(super) &'a mut B);

impl<B: BufMut> Sink for Copied<'_, B> {
    fn put(&mut self, bytes: &[u8]) {
        self.0.put_slice(bytes);
    }
}

/// Nowhere: counts bytes.
#[derive(Default)]
pub(super) struct Counted(pub(super) usize);

impl Sink for Counted {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

/// Into a list of slices, in which shared bytes stay where they are.
#[derive(Default)]
struct Woven {
    slices: Vec<Bytes>,
    last: BytesMut,
}

impl Sink for Woven {
    fn put(&mut self, bytes: &[u8]) {
        self.last.put_slice(bytes);
    }

    fn put_shared(&mut self, bytes: &Bytes) {
        if bytes.is_empty() {
            return;
        }
        if !self.last.is_empty() {
            self.slices.push(self.last.split().freeze());
        }
        self.slices.push(bytes.clone());
    }
}

/// The frame of a response as slices, none of them empty: size, response header, body.
pub(super) fn encode_slices<T: Body>(header: &RequestHeader, body: &T) -> Result<Vec<Bytes>, EncodeError> {
    let error = |error| EncodeError::new(header.version, error);
    let format = T::format(header.version).map_err(error)?;
    let mut counted = Counted::default();
    body.write(&mut counted, format).map_err(error)?;
    let size = 4 + usize::from(format.flexible) + counted.0;
    let prefix = i32::try_from(size)
        .map_err(|_| EncodeError::new(header.version, "the response is longer than a frame can be"))?;
    let mut woven = Woven::default();
    woven.put(&prefix.to_be_bytes());
    woven.put(&header.correlation_id.to_be_bytes());
    if format.flexible {
        woven.put(&[0]);
    }
    body.write(&mut woven, format).map_err(error)?;
    if !woven.last.is_empty() {
        woven.slices.push(woven.last.freeze());
    }
    debug_assert_eq!(woven.slices.iter().map(Bytes::len).sum::<usize>(), SIZE_PREFIX_BYTES + size);
    Ok(woven.slices)
}

macro_rules! integers {
    ($($type:ident $get:ident,)*) => {
        $(impl Field for $type {
            fn read<B: ByteBuf>(bytes: &mut B, _: Format) -> Result<Self> {
                Ok(bytes.$get()?)
            }

            fn write<S: Sink>(&self, sink: &mut S, _: Format) -> Result<()> {
                sink.put(&self.to_be_bytes());
                Ok(())
            }
        })*
    };
}

integers! {
    i8 try_get_i8,
    i16 try_get_i16,
    i32 try_get_i32,
    i64 try_get_i64,
}

impl Field for bool {
    fn read<B: ByteBuf>(bytes: &mut B, format: Format) -> Result<Self> {
        Ok(i8::read(bytes, format)? != 0)
    }

    fn write<S: Sink>(&self, sink: &mut S, _: Format) -> Result<()> {
        sink.put(&[u8::from(*self)]);
        Ok(())
    }
}

impl Field for TopicId {
    fn read<B: ByteBuf>(bytes: &mut B, _: Format) -> Result<Self> {
        Ok(Self(Uuid::from_u128(bytes.try_get_u128()?)))
    }

    fn write<S: Sink>(&self, sink: &mut S, _: Format) -> Result<()> {
        sink.put(self.0.as_bytes());
        Ok(())
    }
}

impl Field for Option<StrBytes> {
    fn read<B: ByteBuf>(bytes: &mut B, format: Format) -> Result<Self> {
        let length = if format.flexible {
            i64::from(read_varint(bytes)?) - 1
        } else {
            i64::from(i16::read(bytes, format)?)
        };
        let Some(length) = not_null(length)? else { return Ok(None) };
        if length > TEXT_BYTES_MAX {
            bail!("a text of {length} bytes is too long");
        }
        Ok(Some(StrBytes::from_utf8(bytes.try_get_bytes(length)?)?))
    }

    fn write<S: Sink>(&self, sink: &mut S, format: Format) -> Result<()> {
        write_text(sink, format, self.as_deref().map(str::as_bytes))
    }
}

impl Field for StrBytes {
    fn read<B: ByteBuf>(bytes: &mut B, format: Format) -> Result<Self> {
        match Field::read(bytes, format)? {
            Some(text) => Ok(text),
            None => bail!("a text is null"),
        }
    }

    fn write<S: Sink>(&self, sink: &mut S, format: Format) -> Result<()> {
        // Texts are short, and a `StrBytes` is cheap to clone anyway.
        Some(self.clone()).write(sink, format)
    }
}

impl<T: Field> Field for Option<Vec<T>> {
    fn read<B: ByteBuf>(bytes: &mut B, format: Format) -> Result<Self> {
        let Some(count) = read_length(bytes, format)? else { return Ok(None) };
        // Every element takes at least one byte, and most take as many as they will in memory.
        if count > bytes.remaining() {
            bail!("an array of {count} elements is longer than what is left");
        }
        let mut list = Vec::with_capacity(count.min(bytes.remaining() / size_of::<T>().max(1)));
        for _ in 0..count {
            list.push(T::read(bytes, format)?);
        }
        Ok(Some(list))
    }

    fn write<S: Sink>(&self, sink: &mut S, format: Format) -> Result<()> {
        write_length(sink, format, self.as_ref().map(Vec::len))?;
        self.iter().flatten().try_for_each(|element| element.write(sink, format))
    }
}

impl<T: Field> Field for Vec<T> {
    fn read<B: ByteBuf>(bytes: &mut B, format: Format) -> Result<Self> {
        match Field::read(bytes, format)? {
            Some(list) => Ok(list),
            None => bail!("an array is null"),
        }
    }

    fn write<S: Sink>(&self, sink: &mut S, format: Format) -> Result<()> {
        write_length(sink, format, Some(self.len()))?;
        self.iter().try_for_each(|element| element.write(sink, format))
    }
}

/// Whole record batches, in order; they are not copied where the response is sent as slices.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Records(pub Vec<Bytes>);

impl Field for Records {
    fn read<B: ByteBuf>(bytes: &mut B, format: Format) -> Result<Self> {
        let length = read_length(bytes, format)?.unwrap_or(0);
        let records = bytes.try_get_bytes(length)?;
        Ok(Self(if records.is_empty() { vec![] } else { vec![records] }))
    }

    fn write<S: Sink>(&self, sink: &mut S, format: Format) -> Result<()> {
        write_length(sink, format, Some(self.0.iter().map(Bytes::len).sum()))?;
        self.0.iter().for_each(|slice| sink.put_shared(slice));
        Ok(())
    }
}

/// The length of bytes or the count of an array.
fn read_length<B: ByteBuf>(bytes: &mut B, format: Format) -> Result<Option<usize>> {
    not_null(if format.flexible {
        i64::from(read_varint(bytes)?) - 1
    } else {
        i64::from(i32::read(bytes, format)?)
    })
}

fn not_null(length: i64) -> Result<Option<usize>> {
    match length {
        -1 => Ok(None),
        length => Ok(Some(usize::try_from(length)?)),
    }
}

fn read_varint<B: ByteBuf>(bytes: &mut B) -> Result<u32> {
    let mut value = 0_u32;
    for shift in [0, 7, 14, 21, 28] {
        let byte = bytes.try_get_u8()?;
        value |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    bail!("a varint is longer than five bytes")
}

/// A text, which is UTF-8.
pub(super) fn write_text<S: Sink>(sink: &mut S, format: Format, text: Option<&[u8]>) -> Result<()> {
    let length = match text.map(|text| i16::try_from(text.len())) {
        None => -1,
        Some(Ok(length)) => length,
        Some(Err(_)) => bail!("a text is too long"),
    };
    if format.flexible {
        write_varint(sink, (i32::from(length) + 1) as u32);
    } else {
        sink.put(&length.to_be_bytes());
    }
    sink.put(text.unwrap_or_default());
    Ok(())
}

/// The length of bytes or the count of an array; none is null.
pub(super) fn write_length<S: Sink>(sink: &mut S, format: Format, length: Option<usize>) -> Result<()> {
    let length = length.map_or(Ok(-1), i32::try_from)?;
    if format.flexible {
        write_varint(sink, (i64::from(length) + 1) as u32);
    } else {
        sink.put(&length.to_be_bytes());
    }
    Ok(())
}

fn write_varint<S: Sink>(sink: &mut S, mut value: u32) {
    while value >= 0x80 {
        sink.put(&[value as u8 | 0x80]);
        value >>= 7;
    }
    sink.put(&[value as u8]);
}

/// The end of a structure; none of these messages has a tagged field that is known.
pub(super) fn skip_tagged_fields<B: ByteBuf>(bytes: &mut B, format: Format) -> Result<()> {
    if format.flexible {
        for _ in 0..read_varint(bytes)? {
            read_varint(bytes)?;
            let size = read_varint(bytes)? as usize;
            if size > bytes.remaining() {
                bail!("a tagged field is longer than what is left");
            }
            bytes.advance(size);
        }
    }
    Ok(())
}

pub(super) fn write_no_tagged_fields<S: Sink>(sink: &mut S, format: Format) {
    if format.flexible {
        sink.put(&[0]);
    }
}

/// Declares a structure: fields in the order of the wire, each with the versions that have it, and its default if that is
/// not the type's own.
macro_rules! structure {
    (
        $(#[$doc:meta])*
        $name:ident { $($(#[$about:meta])* $field:ident: $type:ty [$versions:expr] $(= $default:expr)?;)* }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $($(#[$about])* pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $crate::protocol::message::structure!(@default $($default)?),)* }
            }
        }

        impl $crate::protocol::message::Field for $name {
            fn read<B: kafka_protocol::protocol::buf::ByteBuf>(
                bytes: &mut B,
                format: $crate::protocol::message::Format,
            ) -> anyhow::Result<Self> {
                let mut read = Self::default();
                $(if ($versions).contains(&format.version) {
                    read.$field = $crate::protocol::message::Field::read(bytes, format)?;
                })*
                $crate::protocol::message::skip_tagged_fields(bytes, format)?;
                Ok(read)
            }

            fn write<S: $crate::protocol::message::Sink>(
                &self,
                sink: &mut S,
                format: $crate::protocol::message::Format,
            ) -> anyhow::Result<()> {
                $(if ($versions).contains(&format.version) {
                    $crate::protocol::message::Field::write(&self.$field, sink, format)?;
                })*
                $crate::protocol::message::write_no_tagged_fields(sink, format);
                Ok(())
            }
        }
    };
    (@default) => { Default::default() };
    (@default $default:expr) => { $default };
}

/// Makes two structures the request and the response of an API: its key, its versions, the first flexible one.
macro_rules! api {
    ($api:expr, $versions:expr, $flexible_from:literal, $request:ident, $response:ident) => {
        $crate::protocol::message::api!(@body $request, $versions, $flexible_from, 1);
        $crate::protocol::message::api!(@body $response, $versions, $flexible_from, 0);

        impl kafka_protocol::protocol::Request for $request {
            const KEY: i16 = $api as i16;
            type Response = $response;
        }
    };
    (@body $name:ident, $versions:expr, $flexible_from:literal, $header_version:literal) => {
        impl $crate::protocol::message::Body for $name {
            const VERSIONS: std::ops::RangeInclusive<i16> = $versions;
            const FLEXIBLE_FROM: i16 = $flexible_from;
        }

        impl kafka_protocol::protocol::Message for $name {
            const VERSIONS: kafka_protocol::protocol::VersionRange = kafka_protocol::protocol::VersionRange {
                min: *$versions.start(),
                max: *$versions.end(),
            };
            const DEPRECATED_VERSIONS: Option<kafka_protocol::protocol::VersionRange> = None;
        }

        impl kafka_protocol::protocol::HeaderVersion for $name {
            fn header_version(version: i16) -> i16 {
                $header_version + i16::from(version >= $flexible_from)
            }
        }

        impl kafka_protocol::protocol::Decodable for $name {
            fn decode<B: kafka_protocol::protocol::buf::ByteBuf>(
                bytes: &mut B,
                version: i16,
            ) -> anyhow::Result<Self> {
                let format = <Self as $crate::protocol::message::Body>::format(version)?;
                $crate::protocol::message::Field::read(bytes, format)
            }
        }

        impl kafka_protocol::protocol::Encodable for $name {
            fn encode<B: kafka_protocol::protocol::buf::ByteBufMut>(
                &self,
                bytes: &mut B,
                version: i16,
            ) -> anyhow::Result<()> {
                let format = <Self as $crate::protocol::message::Body>::format(version)?;
                let mut sink = $crate::protocol::message::Copied(bytes);
                $crate::protocol::message::Field::write(self, &mut sink, format)
            }

            fn compute_size(&self, version: i16) -> anyhow::Result<usize> {
                let format = <Self as $crate::protocol::message::Body>::format(version)?;
                let mut counted = $crate::protocol::message::Counted::default();
                $crate::protocol::message::Field::write(self, &mut counted, format)?;
                Ok(counted.0)
            }
        }
    };
}

pub(super) use {api, structure};

#[cfg(test)]
mod tests;
