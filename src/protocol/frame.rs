//! Splits the bytes of a connection into frames: a size (`i32`, bytes that follow) and that many bytes.
//!
//! Key invariant: a frame is a slice of the bytes as they were received, never a copy, and a size above the bound is
//! refused before anything is reserved for it. Reading the socket is left to `network`.

use bytes::{Buf, Bytes, BytesMut};

/// Bytes of the size field in front of each frame.
pub const SIZE_PREFIX_BYTES: usize = 4;

/// A size that ends the connection: what follows cannot be told apart any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("the frame has a negative size: {0}")]
    Negative(i32),
    #[error("the frame has {size} bytes, more than the {max} bytes allowed (socket.request.max.bytes)")]
    TooLarge { size: u32, max: u32 },
}

/// Takes complete frames off the front of a receive buffer.
#[derive(Clone, Copy, Debug)]
pub struct FrameSplitter {
    frame_bytes_max: u32,
}

impl FrameSplitter {
    /// Accepts frames of up to `frame_bytes_max` bytes, the size field not counted (`socket.request.max.bytes`).
    pub const fn new(frame_bytes_max: u32) -> Self {
        Self { frame_bytes_max }
    }

    /// The next frame without its size field, or `None` until more bytes have come.
    pub fn split(&self, received: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
        let Some(size) = self.next_size(received)? else { return Ok(None) };
        if received.len() < SIZE_PREFIX_BYTES + size {
            return Ok(None);
        }
        received.advance(SIZE_PREFIX_BYTES);
        Ok(Some(received.split_to(size).freeze()))
    }

    /// How many bytes are missing until `received` holds a whole frame: 0 if it does. While the size itself has not
    /// arrived, what is missing of it.
    pub fn missing(&self, received: &[u8]) -> Result<usize, FrameError> {
        Ok(match self.next_size(received)? {
            Some(size) => (SIZE_PREFIX_BYTES + size).saturating_sub(received.len()),
            None => SIZE_PREFIX_BYTES - received.len(),
        })
    }

    fn next_size(&self, received: &[u8]) -> Result<Option<usize>, FrameError> {
        let Some(prefix) = received.first_chunk::<SIZE_PREFIX_BYTES>() else { return Ok(None) };
        let size = i32::from_be_bytes(*prefix);
        let unsigned = u32::try_from(size).map_err(|_| FrameError::Negative(size))?;
        if unsigned > self.frame_bytes_max {
            return Err(FrameError::TooLarge { size: unsigned, max: self.frame_bytes_max });
        }
        Ok(Some(unsigned as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_out_of_range_are_refused_at_once() {
        let splitter = FrameSplitter::new(100);
        let mut negative = BytesMut::from(&(-1_i32).to_be_bytes()[..]);
        assert_eq!(splitter.split(&mut negative), Err(FrameError::Negative(-1)));
        let mut large = BytesMut::from(&101_i32.to_be_bytes()[..]);
        assert_eq!(splitter.split(&mut large), Err(FrameError::TooLarge { size: 101, max: 100 }));
        let mut whole = BytesMut::from(&100_i32.to_be_bytes()[..]);
        assert_eq!(splitter.missing(&whole), Ok(100));
        whole.resize(104, 7);
        assert_eq!(splitter.split(&mut whole).map(|frame| frame.map(|f| f.len())), Ok(Some(100)));
        assert!(whole.is_empty());
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..10),
            cut in 1_usize..9,
        ) {
            let stream: Vec<u8> = frames
                .iter()
                .flat_map(|frame| (frame.len() as i32).to_be_bytes().into_iter().chain(frame.iter().copied()))
                .collect();
            let splitter = FrameSplitter::new(50);
            let mut received = BytesMut::new();
            let mut seen = Vec::new();
            for piece in stream.chunks(cut) {
                received.extend_from_slice(piece);
                let missing = splitter.missing(&received).expect("sizes are in range");
                let mut took = false;
                while let Some(frame) = splitter.split(&mut received).expect("sizes are in range") {
                    seen.push(frame.to_vec());
                    took = true;
                }
                prop_assert_eq!(took, missing == 0);
            }
            prop_assert_eq!(seen, frames);
        }
    }
}
