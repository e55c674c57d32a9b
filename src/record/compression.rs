//! The four codecs, as Kafka's clients write and read them.
//!
//! gzip is RFC 1952 (several members are one stream); snappy is Xerial's framing of raw blocks, or one raw block; lz4
//! is the frame format with independent blocks, the only kind that Kafka's Java clients read; zstd is RFC 8878.
//!
//! Key invariant: decompression is a stream with bounded memory whatever the data claims, and stops at
//! [`decompressed_bytes_max`]. What the bytes mean is left to `walk`.

use super::{BatchError, Codec};
use std::io::{self, Read, Write};

/// A compressed batch may always grow to this many bytes.
const DECOMPRESSED_BYTES_FLOOR: u64 = 256 << 20;
/// And to this multiple of its size, for brokers that accept very large batches.
const DECOMPRESSED_RATIO: u64 = 16;

/// How many bytes the records of a batch of `batch_bytes` may have; more is refused as a decompression bomb. Kafka has
/// no such limit; records that clients can hold in memory stay far below it.
pub(super) fn decompressed_bytes_max(batch_bytes: usize) -> u64 {
    DECOMPRESSED_BYTES_FLOOR.max((batch_bytes as u64).saturating_mul(DECOMPRESSED_RATIO))
}

/// Snappy cannot expand a block by more (a copy of three bytes yields at most 64).
const SNAPPY_RATIO_MAX: usize = 22;
/// Bytes that each Xerial block holds before compression, as in Kafka's Java clients.
const SNAPPY_BLOCK_BYTES: usize = 32 * 1024;
const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// Magic, version and lowest compatible version (both 1).
const XERIAL_HEADER_BYTES: usize = 16;
const LZ4_FRAME_MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
const LZ4_INDEPENDENT_BLOCKS: u8 = 0b0010_0000;

impl Codec {
    /// Every codec.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec that `compression.type` calls `name`; `uncompressed` is the topic setting's word for none.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "none" | "uncompressed" => Some(Self::None),
            "gzip" => Some(Self::Gzip),
            "snappy" => Some(Self::Snappy),
            "lz4" => Some(Self::Lz4),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The name that producers configure.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The number in a batch's attributes.
    pub const fn id(self) -> i16 {
        self as i16
    }
}

/// Appends `bytes` to `out`, compressed.
pub(super) fn compress(codec: Codec, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    match codec {
        Codec::None => out.extend_from_slice(bytes),
        Codec::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::default());
            encoder.write_all(bytes)?;
            encoder.finish()?;
        }
        Codec::Snappy => compress_snappy(bytes, out)?,
        Codec::Lz4 => {
            let info = lz4_flex::frame::FrameInfo::new()
                .block_size(lz4_flex::frame::BlockSize::Max64KB)
                .block_mode(lz4_flex::frame::BlockMode::Independent);
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, out);
            encoder.write_all(bytes)?;
            encoder.finish()?;
        }
        Codec::Zstd => {
            let mut encoder = zstd::Encoder::new(out, zstd::DEFAULT_COMPRESSION_LEVEL)?;
            encoder.write_all(bytes)?;
            encoder.finish()?;
        }
    }
    Ok(())
}

fn compress_snappy(bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    out.extend_from_slice(&XERIAL_MAGIC);
    out.extend_from_slice(&1_i32.to_be_bytes());
    out.extend_from_slice(&1_i32.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for block in bytes.chunks(SNAPPY_BLOCK_BYTES) {
        let compressed = encoder.compress_vec(block)?;
        out.extend_from_slice(&(compressed.len() as i32).to_be_bytes());
        out.extend_from_slice(&compressed);
    }
    Ok(())
}

/// Reads what `compressed` holds.
pub(super) fn decompress(codec: Codec, compressed: &[u8]) -> Result<Box<dyn Read + '_>, BatchError> {
    Ok(match codec {
        Codec::None => Box::new(compressed),
        Codec::Gzip => Box::new(flate2::read::MultiGzDecoder::new(compressed)),
        Codec::Snappy => Box::new(SnappyReader::new(compressed)),
        Codec::Lz4 => {
            let kafka_reads_it = compressed.starts_with(&LZ4_FRAME_MAGIC)
                && compressed.get(4).is_some_and(|flags| flags & LZ4_INDEPENDENT_BLOCKS != 0);
            if !kafka_reads_it {
                return Err(BatchError::Compression("not an lz4 frame of independent blocks".to_owned()));
            }
            Box::new(lz4_flex::frame::FrameDecoder::new(compressed))
        }
        Codec::Zstd => {
            let decoder = zstd::Decoder::with_buffer(compressed);
            Box::new(decoder.map_err(|error| BatchError::Compression(error.to_string()))?)
        }
    })
}

/// Everything that `compressed` holds, up to the bound.
pub(super) fn decompress_all(codec: Codec, compressed: &[u8]) -> Result<Vec<u8>, BatchError> {
    let max = decompressed_bytes_max(compressed.len());
    let mut bytes = Vec::new();
    decompress(codec, compressed)?
        .take(max + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| BatchError::Compression(error.to_string()))?;
    if bytes.len() as u64 > max { Err(too_large(max)) } else { Ok(bytes) }
}

/// The refusal of a bomb.
pub(super) fn too_large(max: u64) -> BatchError {
    BatchError::Compression(format!("the records expand to more than {max} bytes"))
}

/// Reads snappy block by block.
struct SnappyReader<'a> {
    rest: &'a [u8],
    framed: bool,
    block: Vec<u8>,
    position: usize,
}

impl<'a> SnappyReader<'a> {
    fn new(compressed: &'a [u8]) -> Self {
        let framed = compressed.len() >= XERIAL_HEADER_BYTES && compressed.starts_with(&XERIAL_MAGIC);
        let rest = if framed { &compressed[XERIAL_HEADER_BYTES..] } else { compressed };
        Self { rest, framed, block: Vec::new(), position: 0 }
    }

    /// The next compressed block; an empty one is the end.
    fn next_block(&mut self) -> io::Result<&'a [u8]> {
        if !self.framed {
            return Ok(std::mem::take(&mut self.rest));
        }
        // Streams may be concatenated: then a header stands where a length would.
        while self.rest.len() >= XERIAL_HEADER_BYTES && self.rest.starts_with(&XERIAL_MAGIC) {
            self.rest = &self.rest[XERIAL_HEADER_BYTES..];
        }
        if self.rest.is_empty() {
            return Ok(&[]);
        }
        let invalid = || io::Error::new(io::ErrorKind::InvalidData, "a snappy block is cut short");
        let (length, rest) = self.rest.split_first_chunk::<4>().ok_or_else(invalid)?;
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| invalid())?;
        let block = rest.get(..length).ok_or_else(invalid)?;
        self.rest = &rest[length..];
        Ok(block)
    }
}

impl Read for SnappyReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.position == self.block.len() {
            let compressed = self.next_block()?;
            if compressed.is_empty() && self.rest.is_empty() {
                return Ok(0);
            }
            let size = snap::raw::decompress_len(compressed)?;
            // The claim is checked before memory is reserved for it.
            if size > compressed.len().saturating_mul(SNAPPY_RATIO_MAX) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a snappy block claims too much"));
            }
            self.block.clear();
            self.block.resize(size, 0);
            let written = snap::raw::Decoder::new().decompress(compressed, &mut self.block)?;
            self.block.truncate(written);
            self.position = 0;
        }
        let taken = out.len().min(self.block.len() - self.position);
        out[..taken].copy_from_slice(&self.block[self.position..self.position + taken]);
        self.position += taken;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn roundtrip(codec: Codec, bytes: &[u8]) -> Vec<u8> {
        let mut compressed = Vec::new();
        compress(codec, bytes, &mut compressed).expect("memory takes all bytes");
        decompress_all(codec, &compressed).expect("it was compressed just now")
    }

    #[test]
    fn large_data_comes_back() {
        let bytes: Vec<u8> = (0..300_000_u32).flat_map(|n| (n / 7).to_be_bytes()).collect();
        for codec in Codec::ALL {
            assert_eq!(roundtrip(codec, &bytes), bytes, "{codec:?}");
            assert!(roundtrip(codec, &[]).is_empty(), "{codec:?}");
            assert_eq!(Codec::from_name(codec.name()), Some(codec));
        }
    }

    #[test]
    fn snappy_reads_raw_blocks_and_concatenated_streams() {
        let raw = snap::raw::Encoder::new().compress_vec(b"hello hello hello").expect("short");
        assert_eq!(decompress_all(Codec::Snappy, &raw).expect("raw block"), b"hello hello hello");
        let mut twice = Vec::new();
        compress(Codec::Snappy, b"one ", &mut twice).expect("short");
        compress(Codec::Snappy, b"two", &mut twice).expect("short");
        assert_eq!(decompress_all(Codec::Snappy, &twice).expect("two streams"), b"one two");
        assert_eq!(twice[..16], [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1]);
    }

    #[test]
    fn snappy_claims_are_checked_before_memory_is_reserved() {
        let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
        assert!(decompress_all(Codec::Snappy, &claim).is_err());
        let best: Vec<u8> = vec![0; 1 << 20];
        assert_eq!(roundtrip(Codec::Snappy, &best), best);
    }

    #[test]
    fn lz4_with_linked_blocks_is_refused_as_kafkas_clients_refuse_it() {
        let info = lz4_flex::frame::FrameInfo::new().block_mode(lz4_flex::frame::BlockMode::Linked);
        let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(&[1; 1000]).expect("memory");
        let compressed = encoder.finish().expect("memory");
        assert!(matches!(decompress_all(Codec::Lz4, &compressed), Err(BatchError::Compression(_))));
    }

    #[test]
    fn bombs_are_refused() {
        let mut bomb = Vec::new();
        let zeros = vec![0; 1 << 20];
        let mut encoder = zstd::Encoder::new(&mut bomb, 1).expect("level 1 exists");
        for _ in 0..300 {
            encoder.write_all(&zeros).expect("memory");
        }
        encoder.finish().expect("memory");
        assert!(bomb.len() < 1 << 20);
        let refused = decompress_all(Codec::Zstd, &bomb).expect_err("300 MiB are over the bound");
        assert_eq!(refused, too_large(DECOMPRESSED_BYTES_FLOOR));
    }

    proptest! {
        #[test]
        fn random_bytes_come_back(bytes in prop::collection::vec(any::<u8>(), 0..5000)) {
            for codec in Codec::ALL {
                prop_assert_eq!(&roundtrip(codec, &bytes), &bytes);
            }
        }

        #[test]
        fn garbage_never_panics(
            mut bytes in prop::collection::vec(any::<u8>(), 0..300),
            codec in prop::sample::select(Codec::ALL.to_vec()),
            framed in any::<bool>(),
        ) {
            if framed {
                let mut start = Vec::new();
                compress(codec, b"some bytes", &mut start).expect("short");
                start.truncate(start.len() * 2 / 3);
                start.append(&mut bytes);
                bytes = start;
            }
            let _ = decompress_all(codec, &bytes);
        }
    }
}
