//! The identities of the metadata log: positions in it, and the cluster's own id.
//!
//! Key invariant: a cluster id prints as Kafka prints it and reads back to the same 128 bits.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

use crate::model::TopicId;

/// The position of a command in the metadata log: the term it was written in, then its index from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogId {
    pub term: u64,
    pub index: u64,
}

impl LogId {
    /// The position before the first command.
    pub const ZERO: Self = Self { term: 0, index: 0 };

    /// The position after this one in the same term.
    #[must_use]
    pub const fn next(self) -> Self {
        Self { term: self.term, index: self.index + 1 }
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term, self.index)
    }
}

/// The id of a cluster, chosen once: 128 bits, written as 22 characters of URL-safe base64 as Kafka writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub uuid::Uuid);

/// Why a text is no cluster id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a cluster id: 22 characters of URL-safe base64 that hold 128 bits are needed")]
pub struct ClusterIdError(pub String);

/// Characters of a cluster id.
const ID_CHARS: usize = 22;

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        TopicId(self.0).fmt(f)
    }
}

impl FromStr for ClusterId {
    type Err = ClusterIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ClusterIdError(text.to_owned());
        if text.len() != ID_CHARS {
            return Err(refuse());
        }
        let mut bits: u128 = 0;
        for (place, byte) in text.bytes().enumerate() {
            let six = six_bits(byte).ok_or_else(refuse)?;
            // The last character carries two bits and four of padding, which are zero.
            if place + 1 < ID_CHARS {
                bits = (bits << 6) | u128::from(six);
            } else if six & 0xf == 0 {
                bits = (bits << 2) | u128::from(six >> 4);
            } else {
                return Err(refuse());
            }
        }
        Ok(Self(uuid::Uuid::from_u128(bits)))
    }
}

/// The six bits that a character of the URL-safe alphabet stands for.
const fn six_bits(character: u8) -> Option<u8> {
    match character {
        b'A'..=b'Z' => Some(character - b'A'),
        b'a'..=b'z' => Some(character - b'a' + 26),
        b'0'..=b'9' => Some(character - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

impl Serialize for ClusterId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ClusterId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_ids_read_back_as_written() {
        for bits in [0, 1, u128::MAX, 0x0123_4567_89ab_cdef_0fed_cba9_8765_4321] {
            let id = ClusterId(uuid::Uuid::from_u128(bits));
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        assert_eq!(ClusterId(uuid::Uuid::from_u128(1)).to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
    }

    #[test]
    fn other_texts_are_no_cluster_id() {
        for text in [
            "",
            "AAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAB",
            "AAAAAAAAAAAAAAAAAAAA+Q",
            "AAAAAAAAAAAAAAAAAAAAAQQ",
        ] {
            assert_eq!(text.parse::<ClusterId>(), Err(ClusterIdError(text.to_owned())));
        }
    }

    #[test]
    fn log_ids_order_by_term_first() {
        assert!(LogId { term: 2, index: 1 } > LogId { term: 1, index: 9 });
        assert_eq!(LogId { term: 2, index: 1 }.next(), LogId { term: 2, index: 2 });
    }
}
