//! CRC-32C, as batches carry it (KIP-98) and as this broker's own files do: Castagnoli's polynomial, also called CRC-32/ISCSI
//! (RFC 3720). At the speed of memory: a batch is checked once for each time it arrives or is read back.

use crc_fast::{CrcAlgorithm, Digest};

/// Of all of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// Of bytes that do not lie side by side.
pub struct Crc32c(Digest);

impl Default for Crc32c {
    fn default() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc32Iscsi))
    }
}

impl Crc32c {
    /// Goes on with `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Of all that came.
    pub fn finish(self) -> u32 {
        // The library has one type for checksums of every width.
        self.0.finalize() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bit by bit, as the polynomial is defined.
    fn defined(bytes: &[u8]) -> u32 {
        let mut crc = !0u32;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = (crc >> 1) ^ (0x82F6_3B78 & 0u32.wrapping_sub(crc & 1));
            }
        }
        !crc
    }

    #[test]
    fn the_check_value_of_the_catalogue() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(crc32c(b""), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_at_any_place_and_in_any_pieces(
            bytes in prop::collection::vec(any::<u8>(), 0..5_000),
            from in 0usize..70,
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        ) {
            let bytes = &bytes[from.min(bytes.len())..];
            let expected = defined(bytes);
            prop_assert_eq!(crc32c(bytes), expected);
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut pieces = Crc32c::default();
            cuts.windows(2).for_each(|cut| pieces.update(&bytes[cut[0]..cut[1]]));
            prop_assert_eq!(pieces.finish(), expected);
        }
    }
}
