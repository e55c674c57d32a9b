//! Reads and writes the primitive types of Kafka's protocol, without allocating.
//!
//! Key invariant: a [`Reader`] never reads beyond its bytes and never panics, whatever they are. What the fields mean is
//! left to the callers.

use smallvec::SmallVec;

/// Bytes that are not what the protocol says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

const SHORT: Malformed = Malformed("a message ends too early");
/// Bytes of the longest variable-length number of 32 bits.
const VARINT_BYTES_MAX: usize = 5;

/// Walks over a message.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// A reader that goes on where another one was.
    pub fn resume(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at: at.min(bytes.len()) }
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..count).ok_or(SHORT)?;
        self.at += count;
        Ok(taken)
    }

    pub fn skip(&mut self, count: usize) -> Result<(), Malformed> {
        self.take(count).map(drop)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let rest = &self.bytes[self.at..];
        let taken = rest.first_chunk::<N>().ok_or(SHORT)?;
        self.at += N;
        Ok(*taken)
    }

    pub fn i8(&mut self) -> Result<i8, Malformed> {
        self.array().map(i8::from_be_bytes)
    }

    pub fn i16(&mut self) -> Result<i16, Malformed> {
        self.array().map(i16::from_be_bytes)
    }

    pub fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    pub fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_be_bytes)
    }

    pub fn id(&mut self) -> Result<[u8; 16], Malformed> {
        self.array()
    }

    /// An unsigned variable-length number (KIP-482).
    pub fn uvarint(&mut self) -> Result<u32, Malformed> {
        let mut value = 0_u64;
        for place in 0..VARINT_BYTES_MAX {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return u32::try_from(value).map_err(|_| Malformed("a number is too large"));
            }
        }
        Err(Malformed("a number is too long"))
    }

    /// A count or length; `None` for null. Compact ones are written plus one.
    fn length(&mut self, wide: bool, compact: bool) -> Result<Option<usize>, Malformed> {
        let signed = match (compact, wide) {
            (true, _) => i64::from(self.uvarint()?) - 1,
            (false, true) => i64::from(self.i32()?),
            (false, false) => i64::from(self.i16()?),
        };
        match signed {
            -1 => Ok(None),
            _ => usize::try_from(signed).map(Some).map_err(|_| Malformed("a length is negative")),
        }
    }

    /// A count of elements; null counts as none.
    pub fn count(&mut self, compact: bool) -> Result<usize, Malformed> {
        Ok(self.length(true, compact)?.unwrap_or(0))
    }

    /// The length of bytes that follow; null counts as none.
    pub fn bytes_length(&mut self, compact: bool) -> Result<usize, Malformed> {
        Ok(self.length(true, compact)?.unwrap_or(0))
    }

    /// A string as it stands; null counts as the empty one.
    pub fn text(&mut self, compact: bool) -> Result<&'a [u8], Malformed> {
        let length = self.length(false, compact)?.unwrap_or(0);
        self.take(length)
    }

    /// Tagged fields, none of which matters here.
    pub fn skip_tags(&mut self) -> Result<(), Malformed> {
        for _ in 0..self.uvarint()? {
            self.uvarint()?;
            let length = self.uvarint()?;
            self.skip(usize::try_from(length).map_err(|_| SHORT)?)?;
        }
        Ok(())
    }
}

/// Appends an unsigned variable-length number.
pub fn put_uvarint(out: &mut Vec<u8>, mut value: u32) {
    let mut bytes: SmallVec<[u8; VARINT_BYTES_MAX]> = SmallVec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    out.extend_from_slice(&bytes);
}

/// Appends a count of elements.
pub fn put_count(out: &mut Vec<u8>, count: usize, compact: bool) {
    let count = u32::try_from(count).expect("counts on the wire have 31 bits");
    if compact { put_uvarint(out, count + 1) } else { out.extend_from_slice(&count.to_be_bytes()) }
}

/// Appends a string. Longer ones than the protocol can hold are cut.
pub fn put_text(out: &mut Vec<u8>, text: &[u8], compact: bool) {
    let text = &text[..text.len().min(i16::MAX as usize)];
    if compact {
        put_count(out, text.len(), true);
    } else {
        out.extend_from_slice(&(text.len() as i16).to_be_bytes());
    }
    out.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_that_are_too_long_or_too_large_are_refused() {
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x0f]).uvarint(), Ok(u32::MAX));
        assert!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x1f]).uvarint().is_err());
        assert!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0]).uvarint().is_err());
        assert_eq!(Reader::new(&[0, 0, 0]).i32(), Err(SHORT));
        assert!(Reader::new(&[0x80, 0, 0, 0]).count(false).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(value in any::<u32>(), text in prop::collection::vec(any::<u8>(), 0..300), compact in any::<bool>()) {
            let mut out = vec![];
            put_uvarint(&mut out, value);
            put_text(&mut out, &text, compact);
            put_count(&mut out, text.len(), compact);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.uvarint(), Ok(value));
            prop_assert_eq!(reader.text(compact), Ok(&text[..]));
            prop_assert_eq!(reader.count(compact), Ok(text.len()));
            prop_assert_eq!(reader.position(), out.len());
        }

        #[test]
        fn tagged_fields_of_any_kind_are_skipped(tags in prop::collection::vec((any::<u32>(), prop::collection::vec(any::<u8>(), 0..200)), 0..5)) {
            let mut out = vec![];
            put_uvarint(&mut out, tags.len() as u32);
            for (tag, bytes) in &tags {
                put_uvarint(&mut out, *tag);
                put_uvarint(&mut out, bytes.len() as u32);
                out.extend(bytes);
            }
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.skip_tags(), Ok(()));
            prop_assert_eq!(reader.position(), out.len());
        }
    }
}
