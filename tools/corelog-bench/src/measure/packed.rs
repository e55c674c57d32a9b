//! Histograms in HdrHistogram's compressed form (V2 with deflate), as they are kept in memory, in run files and in `.hlog`.
//!
//! Key invariant: unpacking what was packed gives equal counts of every value. Bytes from a file never panic: what is not
//! a histogram of latencies is refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

use super::{Latencies, empty_latencies};

/// Why a histogram could not be packed or unpacked.
#[derive(Debug, thiserror::Error)]
pub enum PackedError {
    #[error("a histogram is not valid base64: {0}")]
    Base64(#[from] base64::DecodeError),
    #[error("a histogram cannot be read: {0}")]
    Format(#[from] hdrhistogram::serialization::DeserializeError),
    #[error("a histogram holds values beyond an hour, or negative ones")]
    OutOfRange,
    #[error("a histogram cannot be written: {0}")]
    Write(#[from] hdrhistogram::serialization::V2DeflateSerializeError),
}

/// A compressed histogram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed(Vec<u8>);

impl Packed {
    /// Packs a histogram; fails if a count is 2^63 or more.
    pub fn pack(latencies: &Latencies) -> Result<Self, PackedError> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(latencies, &mut bytes)?;
        Ok(Self(bytes))
    }

    /// The histogram again, with the bounds that all latencies have.
    pub fn unpack(&self) -> Result<Latencies, PackedError> {
        let read: Latencies = Deserializer::new().deserialize(&mut self.0.as_slice())?;
        let mut latencies = empty_latencies();
        latencies.add(&read).map_err(|_| PackedError::OutOfRange)?;
        Ok(latencies)
    }

    /// The text that run files and `.hlog` files hold.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(&self.0)
    }

    /// Takes the text of a run file; whether it is a histogram shows when it is unpacked.
    pub fn from_base64(text: &str) -> Result<Self, PackedError> {
        Ok(Self(STANDARD.decode(text)?))
    }
}
