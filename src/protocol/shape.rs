//! Walks the bytes of a request against its layout, before the kafka-protocol crate decodes them.
//!
//! The crate reserves memory for as many array elements as the peer claims. Key invariant: after a walk succeeded,
//! every count in the request is the number of elements that are really there, so decoding allocates no more than a
//! small multiple of the frame, and [`ELEMENTS_MAX`] bounds that. The layouts themselves are in `shapes`.

/// Array elements and unknown tagged fields in one request. Far above what any client sends, far below what would hurt.
pub const ELEMENTS_MAX: u32 = 1 << 20;

/// The longest text in bytes, in either encoding: Kafka refuses longer ones too.
const TEXT_BYTES_MAX: u32 = i16::MAX as u32;

/// A layout.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// So many bytes.
    Fixed(usize),
    /// A string: length in an `i16`, or a varint in flexible versions.
    Text,
    /// Bytes or records: length in an `i32`, or a varint in flexible versions.
    Blob,
    /// An array: count in an `i32`, or a varint in flexible versions.
    List(&'static Kind),
    /// A structure.
    Struct(&'static Struct),
    /// A structure behind an `i8` that is 1 if it is there.
    Optional(&'static Struct),
}

/// Fields in order, and the tagged ones that the crate knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Struct {
    pub(super) fields: &'static [Field],
    pub(super) tagged: &'static [(u32, Field)],
}

/// One field and the versions that have it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) kind: Kind,
    pub(super) since: i16,
    pub(super) until: i16,
}

impl Field {
    fn is_in(&self, version: i16) -> bool {
        self.since <= version && version <= self.until
    }
}

/// The layout of one API's request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// The first version with compact lengths and tagged fields (KIP-482).
    pub(super) flexible_from: i16,
    pub(super) body: Struct,
}

/// Why bytes do not have the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    #[error("the request ends before its last field")]
    Truncated,
    #[error("a length or count is negative: {0}")]
    Negative(i32),
    #[error("a length or count of {0} is more than the bytes that are left")]
    TooMany(u32),
    #[error("a text of {0} bytes is longer than {TEXT_BYTES_MAX}")]
    TooLong(u32),
    #[error("a varint is longer than five bytes")]
    Varint,
    #[error("the request has more than {ELEMENTS_MAX} array elements")]
    Elements,
}

impl Shape {
    /// Checks that `bytes` begin with a request of this layout and answers how many bytes it takes; what follows it is
    /// not looked at.
    pub(super) fn check(&self, bytes: &[u8], version: i16) -> Result<usize, ShapeError> {
        let mut walk = Walk { version, ..Walk::new(bytes, version >= self.flexible_from) };
        walk.structure(&self.body)?;
        Ok(bytes.len() - walk.rest.len())
    }
}

/// A walk under way: what is left of the bytes. Codecs that read while they walk use it too.
pub(super) struct Walk<'a> {
    rest: &'a [u8],
    version: i16,
    flexible: bool,
    elements: u32,
}

impl<'a> Walk<'a> {
    pub(super) fn new(rest: &'a [u8], flexible: bool) -> Self {
        Self { rest, version: 0, flexible, elements: 0 }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn structure(&mut self, layout: &Struct) -> Result<(), ShapeError> {
        for field in layout.fields {
            if field.is_in(self.version) {
                self.kind(&field.kind)?;
            }
        }
        self.tagged_fields(layout.tagged)
    }

    /// For structures that know no tagged field.
    #[inline]
    pub(super) fn skip_unknown_tagged_fields(&mut self) -> Result<(), ShapeError> {
        match (self.flexible, self.rest) {
            // As nearly all structures end.
            (true, [0, rest @ ..]) => {
                self.rest = rest;
                Ok(())
            }
            _ => self.tagged_fields(&[]),
        }
    }

    fn tagged_fields(&mut self, known: &[(u32, Field)]) -> Result<(), ShapeError> {
        if !self.flexible {
            return Ok(());
        }
        let count = self.varint()?;
        for _ in 0..count {
            let tag = self.varint()?;
            let size = self.varint()?;
            match known.iter().find(|(number, field)| *number == tag && field.is_in(self.version)) {
                // As Kafka and the crate read it: the size of a known field is not looked at.
                Some((_, field)) => self.kind(&field.kind)?,
                None => {
                    self.count_elements(1)?;
                    self.bytes(size as usize)?;
                }
            }
        }
        Ok(())
    }

    fn kind(&mut self, kind: &Kind) -> Result<(), ShapeError> {
        match kind {
            Kind::Fixed(bytes) => self.bytes(*bytes).map(drop),
            Kind::Text => self.text().map(drop),
            Kind::Blob => self.blob().map(drop),
            Kind::List(element) => self.list(element),
            Kind::Struct(layout) => self.structure(layout),
            Kind::Optional(layout) => match self.take::<1>()? {
                [1] => self.structure(layout),
                _ => Ok(()),
            },
        }
    }

    fn list(&mut self, element: &Kind) -> Result<(), ShapeError> {
        for _ in 0..self.list_count()?.unwrap_or(0) {
            self.kind(element)?;
        }
        Ok(())
    }

    /// How many elements of an array follow; `None` if there is no array.
    #[inline]
    pub(super) fn list_count(&mut self) -> Result<Option<u32>, ShapeError> {
        let Some(count) = self.length()? else { return Ok(None) };
        // Every element has at least one byte, so this refuses what cannot be before walking any of it.
        if count as usize > self.rest.len() {
            return Err(ShapeError::TooMany(count));
        }
        self.count_elements(count)?;
        Ok(Some(count))
    }

    /// A text's bytes, which need not be UTF-8.
    #[inline]
    pub(super) fn text(&mut self) -> Result<Option<&'a [u8]>, ShapeError> {
        let length = if self.flexible { self.compact()? } else { self.text_length()? };
        match length {
            None => Ok(None),
            Some(length) if length > TEXT_BYTES_MAX => Err(ShapeError::TooLong(length)),
            Some(length) => self.bytes(length as usize).map(Some),
        }
    }

    /// Bytes or records.
    #[inline]
    pub(super) fn blob(&mut self) -> Result<Option<&'a [u8]>, ShapeError> {
        self.length()?.map(|length| self.bytes(length as usize)).transpose()
    }

    fn count_elements(&mut self, count: u32) -> Result<(), ShapeError> {
        self.elements = self.elements.saturating_add(count);
        if self.elements > ELEMENTS_MAX { Err(ShapeError::Elements) } else { Ok(()) }
    }

    /// The length of bytes or the count of an array.
    #[inline]
    fn length(&mut self) -> Result<Option<u32>, ShapeError> {
        if self.flexible {
            return self.compact();
        }
        match i32::from_be_bytes(self.take()?) {
            -1 => Ok(None),
            length => u32::try_from(length).map(Some).map_err(|_| ShapeError::Negative(length)),
        }
    }

    fn text_length(&mut self) -> Result<Option<u32>, ShapeError> {
        match i16::from_be_bytes(self.take()?) {
            -1 => Ok(None),
            length => u32::try_from(length).map(Some).map_err(|_| ShapeError::Negative(i32::from(length))),
        }
    }

    /// A length that is written plus one, so that 0 is none.
    #[inline]
    fn compact(&mut self) -> Result<Option<u32>, ShapeError> {
        Ok(self.varint()?.checked_sub(1))
    }

    fn varint(&mut self) -> Result<u32, ShapeError> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.take()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(ShapeError::Varint)
    }

    #[inline]
    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], ShapeError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(ShapeError::Truncated)?;
        self.rest = rest;
        Ok(*bytes)
    }

    #[inline]
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], ShapeError> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or(ShapeError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests;
