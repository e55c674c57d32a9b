//! Where the next group goes: the files of a journal as a ring.
//!
//! Files are written one after another and used again once every group in them is in the segments. Sequences count groups,
//! not places: which file comes next does not matter to a replay.
//!
//! Key invariant: a group at or above the tail is never overwritten. Room is made only by moving the tail or by another
//! file; until then [`Ring::place`] has none to give.

/// Bytes at the front of a file that hold its header.
pub const FILE_HEADER_BYTES: u64 = 4096;

/// A place for one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The file's number, in the order in which files were added.
    pub file: usize,
    /// Bytes from the file's start.
    pub position: u64,
    pub sequence: u64,
}

#[derive(Clone, Copy, Debug)]
struct RingFile {
    bytes: u64,
    /// The last group that was placed in it.
    last: Option<u64>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    files: Vec<RingFile>,
    current: usize,
    /// Where the current file goes on.
    position: u64,
    /// Groups below are in the segments.
    tail: u64,
    next: u64,
    /// Bytes placed since the last checkpoint began.
    since_checkpoint: u64,
}

impl Ring {
    /// Takes in a new file of `bytes`, its header included.
    pub fn add_file(&mut self, bytes: u64) {
        if self.files.is_empty() {
            self.position = FILE_HEADER_BYTES;
        }
        self.files.push(RingFile { bytes, last: None });
    }

    /// Bytes of all files.
    pub fn capacity_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The sequence of the next group.
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    /// Whether half of the room has been used since the last checkpoint began.
    pub fn wants_checkpoint(&self) -> bool {
        self.since_checkpoint >= self.capacity_bytes() / 2
    }

    /// Whether an eighth of the room has been used since the last checkpoint began: if that still runs, it is late. The next one
    /// begins at half, and when all is used, writers wait.
    pub fn hastens_checkpoint(&self) -> bool {
        self.since_checkpoint >= self.capacity_bytes() / 8
    }

    /// A checkpoint begins that will cover every group placed so far; returns the first one that it does not cover.
    pub fn begin_checkpoint(&mut self) -> u64 {
        self.since_checkpoint = 0;
        self.next
    }

    /// A checkpoint is durable: groups below `tail` are not needed any more.
    pub fn move_tail(&mut self, tail: u64) {
        debug_assert!(
            self.tail <= tail && tail <= self.next,
            "the tail moves forward, up to what was placed"
        );
        self.tail = self.tail.max(tail);
    }

    /// Whether the current file has room for a group of `bytes`.
    pub fn fits(&self, bytes: u64) -> bool {
        self.files.get(self.current).is_some_and(|file| self.position + bytes <= file.bytes)
    }

    /// A place for a group of `bytes`; `None` if there is none before the tail moves or a file is added.
    pub fn place(&mut self, bytes: u64) -> Option<Slot> {
        if !self.fits(bytes) {
            let (file, _) = self.candidates().find(|(_, file)| {
                FILE_HEADER_BYTES + bytes <= file.bytes && file.last.is_none_or(|last| last < self.tail)
            })?;
            self.current = file;
            self.position = FILE_HEADER_BYTES;
            self.files[file].last = None;
        }
        let slot = Slot { file: self.current, position: self.position, sequence: self.next };
        self.files[self.current].last = Some(self.next);
        self.position += bytes;
        self.since_checkpoint += bytes;
        self.next += 1;
        self.check_invariants();
        Some(slot)
    }

    /// All files, beginning after the current one, which comes last.
    fn candidates(&self) -> impl Iterator<Item = (usize, RingFile)> + '_ {
        let count = self.files.len();
        (1..=count).map(move |step| (self.current + step) % count).map(|at| (at, self.files[at]))
    }

    fn check_invariants(&self) {
        debug_assert!(self.tail <= self.next);
        debug_assert!(self.position <= self.files[self.current].bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: u64 = 4096;

    fn slot(file: usize, block: u64, sequence: u64) -> Option<Slot> {
        Some(Slot { file, position: block * BLOCK, sequence })
    }

    #[test]
    fn groups_follow_each_other_and_then_wait_for_the_tail() {
        let mut ring = Ring::default();
        ring.add_file(4 * BLOCK);
        ring.add_file(3 * BLOCK);
        assert_eq!(ring.place(2 * BLOCK), slot(0, 1, 0));
        assert_eq!((ring.fits(BLOCK), ring.fits(2 * BLOCK)), (true, false));
        assert_eq!(ring.place(BLOCK), slot(0, 3, 1));
        assert_eq!(ring.place(2 * BLOCK), slot(1, 1, 2));
        assert_eq!(ring.place(BLOCK), None, "the first file is still needed");
        ring.move_tail(1);
        assert_eq!(ring.place(BLOCK), None, "its second group too");
        ring.move_tail(2);
        assert_eq!(ring.place(BLOCK), slot(0, 1, 3));
    }

    #[test]
    fn one_file_is_used_again_when_all_of_it_is_covered() {
        let mut ring = Ring::default();
        ring.add_file(3 * BLOCK);
        assert_eq!(ring.place(BLOCK), slot(0, 1, 0));
        assert!(ring.wants_checkpoint() == (BLOCK >= 3 * BLOCK / 2));
        assert_eq!(ring.place(BLOCK), slot(0, 2, 1));
        assert!(ring.wants_checkpoint() && ring.hastens_checkpoint());
        assert_eq!(ring.begin_checkpoint(), 2);
        assert!(!ring.wants_checkpoint());
        assert!(!ring.hastens_checkpoint());
        assert_eq!(ring.place(BLOCK), None);
        ring.move_tail(2);
        assert_eq!(ring.place(BLOCK), slot(0, 1, 2));
    }

    #[test]
    fn what_is_at_or_above_the_tail_is_never_overwritten() {
        for seed in 0..200_u64 {
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut choose = |bound: u64| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (random >> 33) % bound
            };
            let mut ring = Ring::default();
            ring.add_file(6 * BLOCK);
            let mut live: Vec<(u64, usize, u64, u64)> = vec![];
            for _ in 0..300 {
                match choose(10) {
                    0 => ring.add_file((3 + choose(6)) * BLOCK),
                    1..3 => {
                        let tail = ring.tail + choose(ring.next - ring.tail + 1);
                        ring.move_tail(tail);
                        live.retain(|(sequence, ..)| *sequence >= tail);
                    }
                    _ => {
                        let bytes = (1 + choose(3)) * BLOCK;
                        let Some(slot) = ring.place(bytes) else { continue };
                        let (from, to) = (slot.position, slot.position + bytes);
                        let hit = live.iter().any(|(_, f, a, b)| *f == slot.file && from < *b && *a < to);
                        assert!(!hit, "seed {seed}: {slot:?} overwrites a group that is needed");
                        live.push((slot.sequence, slot.file, from, to));
                    }
                }
            }
        }
    }
}
