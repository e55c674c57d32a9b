//! The receive side of a connection: one buffer into which the socket is read, and the frames found in it.
//!
//! Key invariants: bytes are received where they stay; a frame is handed out as a slice of that memory. Memory of which
//! slices are still alive is never written again: another buffer takes its place. In the steady state nothing is
//! allocated and nothing is copied but the beginning of a frame that did not arrive whole.

use std::ops::{Deref, Range};
use std::sync::Arc;

use bytes::Bytes;

use super::wire::Malformed;

/// Bytes of a connection's buffer until a larger frame comes.
const BUFFER_BYTES: usize = 64 * 1024;
/// The largest frame accepted: a fetch of many partitions with batches at Kafka's largest.
pub(super) const FRAME_BYTES_MAX: usize = 512 << 20;
/// Bytes of the size in front of a frame.
const SIZE_BYTES: usize = 4;
/// A beginning of up to this size is moved to the front of the buffer before more is received.
const MOVED_BYTES_MAX: usize = 4 * 1024;
/// With at least this much of a frame missing, not more than the frame is received, so that nothing has to be moved.
const ALONE_BYTES_MIN: usize = 32 * 1024;
/// Buffers kept aside while slices of them are alive.
const SPARE_BUFFERS_MAX: usize = 4;

/// A whole frame without its size field.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    memory: &'a Arc<Vec<u8>>,
    start: usize,
    end: usize,
}

impl Frame<'_> {
    /// The frame's bytes, to be kept; not copied. The connection receives into other memory as long as they live.
    pub fn to_bytes(&self) -> Bytes {
        Bytes::from_owner(Shared(Arc::clone(self.memory))).slice(self.start..self.end)
    }
}

impl Deref for Frame<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }
}

/// What [`Bytes`] holds on to.
struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The buffer of one connection. `start..filled` was received and not yet handed out.
#[derive(Debug)]
pub(super) struct Incoming {
    memory: Arc<Vec<u8>>,
    start: usize,
    filled: usize,
    spare: Vec<Arc<Vec<u8>>>,
}

impl Incoming {
    pub(super) fn new() -> Self {
        Self { memory: Arc::new(vec![0; BUFFER_BYTES]), start: 0, filled: 0, spare: vec![] }
    }

    /// Where the next bytes are to be received; never empty. Call [`Self::received`] after.
    pub(super) fn room(&mut self) -> &mut [u8] {
        let missing = self.prepare();
        let end = if missing >= ALONE_BYTES_MIN { self.filled + missing } else { self.memory.len() };
        let memory = Arc::get_mut(&mut self.memory).expect("prepare leaves memory that nobody shares");
        &mut memory[self.filled..end]
    }

    /// `count` bytes were received into what [`Self::room`] returned.
    pub(super) fn received(&mut self, count: usize) {
        self.filled += count;
        debug_assert!(self.filled <= self.memory.len());
    }

    /// The next whole frame.
    pub(super) fn next(&mut self) -> Result<Option<Frame<'_>>, Malformed> {
        let Some(Range { start, end }) = self.whole()? else { return Ok(None) };
        self.start = end;
        Ok(Some(Frame { memory: &self.memory, start, end }))
    }

    fn whole(&self) -> Result<Option<Range<usize>>, Malformed> {
        let Some(size) = self.size()? else { return Ok(None) };
        let start = self.start + SIZE_BYTES;
        Ok((self.filled - start >= size).then_some(start..start + size))
    }

    /// The size of the frame at `start`, once it is known.
    fn size(&self) -> Result<Option<usize>, Malformed> {
        let Some(size) = self.memory[self.start..self.filled].first_chunk::<SIZE_BYTES>() else {
            return Ok(None);
        };
        // An alert record of TLS 1.0 to 1.3: the listener did not understand an unencrypted request.
        if size.starts_with(&[0x15, 3]) {
            return Err(Malformed("an alert of TLS; this listener wants encrypted connections"));
        }
        let size = usize::try_from(i32::from_be_bytes(*size));
        let size = size.map_err(|_| Malformed("a frame has a negative size; is it a Kafka broker?"))?;
        if size > FRAME_BYTES_MAX {
            return Err(Malformed("a frame is larger than 512 MiB; is it a Kafka broker?"));
        }
        Ok(Some(size))
    }

    /// Makes room for the frame under way in memory that nobody shares; returns how many bytes of it are missing.
    fn prepare(&mut self) -> usize {
        // A wrong size was reported when the frame was looked for; here it counts as unknown.
        let needed = SIZE_BYTES + self.size().ok().flatten().unwrap_or(0);
        let held = self.filled - self.start;
        let missing = needed.saturating_sub(held).max(1);
        if Arc::get_mut(&mut self.memory).is_none() || needed.max(held + 1) > self.memory.len() {
            self.change_memory(needed.max(held + 1));
        } else if held <= MOVED_BYTES_MAX || self.filled + missing > self.memory.len() {
            self.move_to_front();
        }
        missing
    }

    fn move_to_front(&mut self) {
        if self.start == 0 {
            return;
        }
        let range = self.start..self.filled;
        if !range.is_empty()
            && let Some(memory) = Arc::get_mut(&mut self.memory)
        {
            memory.copy_within(range, 0);
        }
        self.filled -= self.start;
        self.start = 0;
    }

    /// Goes on in another buffer that holds at least `needed` bytes.
    fn change_memory(&mut self, needed: usize) {
        let free = |memory: &Arc<Vec<u8>>| Arc::strong_count(memory) == 1 && memory.len() >= needed;
        let found = self.spare.iter().position(free).map(|place| self.spare.swap_remove(place));
        // Rounded up, so that frames of about the same size find room; untouched pages cost nothing.
        let wanted = needed.next_power_of_two().max(self.memory.len());
        let mut next = found.unwrap_or_else(|| Arc::new(vec![0; wanted]));
        let held = self.start..self.filled;
        let memory = Arc::get_mut(&mut next).expect("a new or unshared buffer has one owner");
        memory[..held.len()].copy_from_slice(&self.memory[held.clone()]);
        let old = std::mem::replace(&mut self.memory, next);
        if Arc::strong_count(&old) > 1 {
            if self.spare.len() == SPARE_BUFFERS_MAX {
                self.spare.remove(0);
            }
            self.spare.push(old);
        }
        self.filled = held.len();
        self.start = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(payload: &[u8]) -> Vec<u8> {
        [&(payload.len() as u32).to_be_bytes()[..], payload].concat()
    }

    /// Receives up to `count` bytes of `input`; returns how many.
    fn feed(incoming: &mut Incoming, input: &[u8], count: usize) -> usize {
        let room = incoming.room();
        let count = count.min(room.len()).min(input.len());
        room[..count].copy_from_slice(&input[..count]);
        incoming.received(count);
        count
    }

    #[test]
    fn wrong_sizes_are_told() {
        for (size, words) in [(-1_i32, "negative"), (i32::MAX, "larger"), (0x1503_0300, "TLS")] {
            let mut incoming = Incoming::new();
            feed(&mut incoming, &size.to_be_bytes(), 4);
            let told = incoming.next().expect_err("the size is wrong").to_string();
            assert!(told.contains(words), "{told}");
            assert!(!incoming.room().is_empty());
        }
    }

    #[test]
    fn small_frames_are_received_into_the_same_memory_again() {
        let mut incoming = Incoming::new();
        let memory = incoming.room().as_ptr();
        for _ in 0..10_000 {
            feed(&mut incoming, &framed(&[1; 60]), 64);
            assert!(incoming.next().expect("the size is right").is_some());
        }
        assert_eq!(incoming.room().as_ptr(), memory);
    }

    #[test]
    fn memory_of_kept_frames_is_used_again_once_they_are_gone() {
        let mut incoming = Incoming::new();
        let mut seen = std::collections::BTreeSet::new();
        let mut kept = None;
        for turn in 0..100_u8 {
            let stream = framed(&vec![turn; 300_000]);
            let mut at = 0;
            while at < stream.len() {
                at += feed(&mut incoming, &stream[at..], 100_000);
            }
            let frame = incoming.next().expect("the size is right").expect("the frame is whole");
            seen.insert(frame.as_ptr() as usize);
            // The previous frame lives until here, while the next was received.
            kept = Some(frame.to_bytes());
        }
        assert_eq!(kept.map(|frame| frame[0]), Some(99));
        assert!(seen.len() <= 4, "{} buffers", seen.len());
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_they_are_cut(
            sizes in prop::collection::vec(prop_oneof![0..200_usize, 3_000..90_000_usize, 100_000..300_000_usize], 1..8),
            cuts in prop::collection::vec(1..200_000_usize, 1..20),
            keep in prop::collection::vec(any::<bool>(), 8),
        ) {
            let payloads: Vec<Vec<u8>> =
                sizes.iter().enumerate().map(|(n, size)| (0..*size).map(|at| (at * 7 + n) as u8).collect()).collect();
            let stream: Vec<u8> = payloads.iter().flat_map(|payload| framed(payload)).collect();
            let mut incoming = Incoming::new();
            let (mut at, mut turn, mut seen, mut kept) = (0, 0, 0, vec![]);
            while at < stream.len() {
                at += feed(&mut incoming, &stream[at..], cuts[turn % cuts.len()]);
                turn += 1;
                while let Some(frame) = incoming.next().expect("sizes are right") {
                    prop_assert_eq!(&frame[..], &payloads[seen][..]);
                    if keep[seen] {
                        kept.push((seen, frame.to_bytes()));
                    }
                    seen += 1;
                }
            }
            prop_assert_eq!(seen, payloads.len());
            prop_assert!(kept.iter().all(|(number, frame)| frame == &payloads[*number]));
        }
    }
}
