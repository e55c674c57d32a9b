//! Puts request frames together from what a socket delivers.
//!
//! A frame is a 4-byte big-endian size and that many bytes. Small frames are cut out of the shard's shared receive
//! buffer with one copy; the rest of a large one is received straight into its own memory.
//!
//! Key invariant: memory follows the bytes that really arrived, at most doubling them, never the size that a peer
//! announces. An announced size that is negative or above the limit is an error before a byte of it is kept.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Bytes of the size that precedes every frame.
const SIZE_BYTES: usize = 4;
/// A frame with at least this much missing is received into its own memory instead of the shared buffer.
const DIRECT_BYTES_MIN: usize = 16 * 1024;
/// The least room that is made for a large frame at once.
const GROWTH_BYTES_MIN: usize = 256 * 1024;

/// What a peer sent as a frame's size is not acceptable; the connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("the request size {0} is negative")]
    Negative(i32),
    #[error("the request size {size} is larger than socket.request.max.bytes ({limit})")]
    TooLarge { size: u32, limit: u32 },
}

/// Assembles the frames of one connection.
#[derive(Debug)]
pub struct FrameAssembler {
    limit: u32,
    /// The size field while it is incomplete.
    size: [u8; SIZE_BYTES],
    size_filled: usize,
    /// The frame that is arriving, once its size is known.
    partial: Option<Partial>,
    complete: VecDeque<Bytes>,
}

#[derive(Debug)]
struct Partial {
    size: usize,
    filled: usize,
    /// Grows with what arrives; `filled` of its bytes are the frame's.
    bytes: BytesMut,
}

impl FrameAssembler {
    /// Accepts frames of at most `limit` bytes (`socket.request.max.bytes`).
    pub fn new(limit: u32) -> Self {
        Self { limit, size: [0; SIZE_BYTES], size_filled: 0, partial: None, complete: VecDeque::new() }
    }

    /// The next complete frame, without its size.
    pub fn next(&mut self) -> Option<Bytes> {
        self.complete.pop_front()
    }

    /// Bytes of memory that the frame under way occupies.
    pub fn held_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.bytes.len())
    }

    /// Bytes of memory that the frame under way will occupy once more of it is received directly.
    pub fn coming_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| {
            let grows = partial.is_direct() && partial.room() == 0;
            if grows { partial.grown(0) } else { partial.bytes.len() }
        })
    }

    /// Whether bytes of an unfinished frame are here.
    pub fn is_mid_frame(&self) -> bool {
        self.size_filled > 0 || self.partial.is_some()
    }

    /// Where the next bytes should be received directly, if a large frame is under way. Call [`Self::received`] after.
    pub fn direct(&mut self) -> Option<&mut [u8]> {
        let partial = self.partial.as_mut()?;
        if !partial.is_direct() {
            return None;
        }
        partial.grow(0);
        Some(&mut partial.bytes[partial.filled..])
    }

    /// `count` bytes were received into what [`Self::direct`] returned.
    pub fn received(&mut self, count: usize) {
        if let Some(partial) = self.partial.as_mut() {
            partial.filled += count;
        }
        self.finish();
    }

    /// Takes bytes that were received elsewhere.
    pub fn feed(&mut self, mut input: &[u8]) -> Result<(), FrameError> {
        while !input.is_empty() {
            match self.partial.as_mut() {
                Some(partial) => {
                    let taken = input.len().min(partial.size - partial.filled);
                    partial.grow(taken);
                    partial.bytes[partial.filled..partial.filled + taken].copy_from_slice(&input[..taken]);
                    partial.filled += taken;
                    input = &input[taken..];
                    self.finish();
                }
                None => input = self.begin(input)?,
            }
        }
        Ok(())
    }

    /// Reads a frame's size; a frame that is all there is cut out at once.
    fn begin<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], FrameError> {
        let taken = input.len().min(SIZE_BYTES - self.size_filled);
        self.size[self.size_filled..self.size_filled + taken].copy_from_slice(&input[..taken]);
        self.size_filled += taken;
        let rest = &input[taken..];
        if self.size_filled < SIZE_BYTES {
            return Ok(rest);
        }
        self.size_filled = 0;
        let size = i32::from_be_bytes(self.size);
        let announced = u32::try_from(size).map_err(|_| FrameError::Negative(size))?;
        if announced > self.limit {
            return Err(FrameError::TooLarge { size: announced, limit: self.limit });
        }
        let size = announced as usize;
        if let Some(frame) = rest.get(..size) {
            self.complete.push_back(Bytes::copy_from_slice(frame));
            return Ok(&rest[size..]);
        }
        self.partial = Some(Partial { size, filled: 0, bytes: BytesMut::new() });
        Ok(rest)
    }

    fn finish(&mut self) {
        if let Some(partial) = self.partial.take_if(|partial| partial.filled == partial.size) {
            let mut bytes = partial.bytes;
            bytes.truncate(partial.size);
            self.complete.push_back(bytes.freeze());
        }
    }
}

impl Partial {
    fn is_direct(&self) -> bool {
        self.size - self.filled >= DIRECT_BYTES_MIN
    }

    fn room(&self) -> usize {
        self.bytes.len() - self.filled
    }

    /// The bytes after room was made for `coming` more and some to receive into, within the frame's size.
    fn grown(&self, coming: usize) -> usize {
        (self.filled * 2).max(self.filled + coming).max(GROWTH_BYTES_MIN).min(self.size)
    }

    /// Makes room for at least `coming` more bytes.
    fn grow(&mut self, coming: usize) {
        if self.room() < coming.max(1) {
            self.bytes.resize(self.grown(coming), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(payload: &[u8]) -> Vec<u8> {
        let mut bytes = (payload.len() as u32).to_be_bytes().to_vec();
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn sizes_out_of_range_are_refused_before_anything_is_kept() {
        let mut assembler = FrameAssembler::new(100);
        assert_eq!(assembler.feed(&(-1i32).to_be_bytes()), Err(FrameError::Negative(-1)));
        let mut assembler = FrameAssembler::new(100);
        let expected = FrameError::TooLarge { size: 101, limit: 100 };
        assert_eq!(assembler.feed(&101i32.to_be_bytes()), Err(expected));
        assert_eq!(assembler.held_bytes(), 0);
    }

    #[test]
    fn memory_follows_what_arrived_not_what_was_announced() {
        let mut assembler = FrameAssembler::new(u32::MAX);
        assembler.feed(&(100 * 1024 * 1024i32).to_be_bytes()).unwrap();
        assert_eq!((assembler.held_bytes(), assembler.coming_bytes()), (0, GROWTH_BYTES_MIN));
        let room = assembler.direct().unwrap().len();
        assert_eq!(room, GROWTH_BYTES_MIN);
        assert_eq!(assembler.coming_bytes(), assembler.held_bytes());
        assembler.received(room);
        assert_eq!((assembler.held_bytes(), assembler.coming_bytes()), (room, 2 * room));
        assert_eq!(assembler.direct().unwrap().len(), GROWTH_BYTES_MIN);
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_they_are_cut(
            sizes in prop::collection::vec(prop_oneof![0..200usize, 60_000..90_000usize, 300_000..700_000usize], 1..5),
            cuts in prop::collection::vec(1..100_000usize, 1..20),
            direct in any::<bool>(),
        ) {
            let payloads: Vec<Vec<u8>> =
                sizes.iter().enumerate().map(|(n, size)| (0..*size).map(|at| (at * 7 + n) as u8).collect()).collect();
            let stream: Vec<u8> = payloads.iter().flat_map(|payload| frame(payload)).collect();
            let mut assembler = FrameAssembler::new(1 << 20);
            let (mut at, mut turn, mut out) = (0, 0, vec![]);
            while at < stream.len() {
                let cut = cuts[turn % cuts.len()].min(stream.len() - at);
                turn += 1;
                let taken = match assembler.direct().filter(|_| direct) {
                    Some(room) => {
                        let taken = cut.min(room.len());
                        room[..taken].copy_from_slice(&stream[at..at + taken]);
                        assembler.received(taken);
                        taken
                    }
                    None => {
                        assembler.feed(&stream[at..at + cut]).unwrap();
                        cut
                    }
                };
                at += taken;
                out.extend(std::iter::from_fn(|| assembler.next()));
            }
            prop_assert!(!assembler.is_mid_frame());
            prop_assert_eq!(out.len(), payloads.len());
            prop_assert!(out.iter().zip(&payloads).all(|(frame, payload)| frame == payload));
        }
    }
}
