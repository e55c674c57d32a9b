//! Which partition a key goes to, as Kafka's own clients choose it (`org.apache.kafka.common.utils.Utils.murmur2`).
//!
//! Key invariant: the same key goes to the same partition as from a Java producer, so both can write one topic.

/// The seed of Kafka's murmur2.
const SEED: u32 = 0x9747_b28c;
const MIX: u32 = 0x5bd1_e995;
const SHIFT: u32 = 24;

/// The partition of a record with a key, among `partitions` (at least 1).
pub fn partition_of_key(key: &[u8], partitions: u32) -> u32 {
    // The sign bit is cut off, not negated.
    (murmur2(key) & 0x7fff_ffff) % partitions.max(1)
}

/// Austin Appleby's MurmurHash2, 32 bits, as Kafka seeds it.
fn murmur2(data: &[u8]) -> u32 {
    let mut hash = SEED ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(MIX);
        k ^= k >> SHIFT;
        hash = hash.wrapping_mul(MIX) ^ k.wrapping_mul(MIX);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (at, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(MIX);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MIX);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_agree_with_kafka() {
        // The vectors of Kafka's own test of its hash.
        let vectors: [(&[u8], i32); 6] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
        ];
        for (key, hash) in vectors {
            assert_eq!(murmur2(key) as i32, hash, "{key:?}");
        }
    }

    #[test]
    fn a_negative_hash_loses_its_sign_bit() {
        // Kafka: toPositive(-973932308) = 1173551340.
        assert_eq!(partition_of_key(b"21", 1_000_000), 551_340);
        assert_eq!(partition_of_key(b"abc", 1_000_000), 470_107);
    }
}
