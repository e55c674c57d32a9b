//! Walking whole batches in memory.
//!
//! Key invariant: a cut begins at the batch that holds the offset sought and ends at a batch's end; it never reaches the
//! end offset that readers may see, nor the byte limit, unless the first batch alone exceeds it and one is wanted anyway.

use std::ops::Range;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::model::Offset;
use crate::record::BatchHeader;

/// How far a read may go.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimit {
    /// Only batches whose records all lie below this are returned.
    pub end: Offset,
    /// Bytes of all batches together.
    pub bytes_max: u32,
    /// Return the first batch even if it alone is larger than `bytes_max` (KIP-74).
    pub at_least_one: bool,
}

/// Whole batches in offset order.
#[derive(Clone, Debug, Default)]
pub struct Slices {
    pub bytes: SmallVec<[Bytes; 4]>,
    /// The offset after the last batch; the offset asked for if there is none.
    pub next_offset: Offset,
}

impl Slices {
    pub(super) fn empty(at: Offset) -> Self {
        Self { bytes: SmallVec::new(), next_offset: at }
    }

    /// Bytes of all batches.
    pub fn len(&self) -> usize {
        self.bytes.iter().map(Bytes::len).sum()
    }

    /// Whether there is no batch.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// A range of whole batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub range: Range<usize>,
    pub next_offset: Offset,
}

/// What a walk over a window of bytes came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Walk {
    /// Batches to return.
    Found(Cut),
    /// The batch sought starts at `at` and has `size` bytes, of which the window lacks some.
    Partial { at: usize, size: usize },
    /// The limit allows nothing.
    Nothing,
    /// The window ends, at a batch's end, before the offset sought.
    Beyond,
    /// These bytes are no batch.
    Damaged { at: usize },
}

/// Finds the batch that holds `from` in `window`, which starts at a batch, and takes whole batches from there.
pub(super) fn cut(window: &[u8], from: Offset, limit: ReadLimit) -> Walk {
    let mut at = 0;
    loop {
        if at == window.len() {
            return Walk::Beyond;
        }
        let Some(header) = header_at(window, at) else { return short_or_damaged(window, at) };
        if header.next_offset() > from {
            break;
        }
        at += header.size_bytes as usize;
        if at > window.len() {
            return Walk::Partial { at, size: crate::record::HEADER_BYTES };
        }
    }
    take(window, at, from, limit)
}

/// Takes whole batches from `start`, where the batch that holds `from` begins.
fn take(window: &[u8], start: usize, from: Offset, limit: ReadLimit) -> Walk {
    let mut at = start;
    let mut next_offset = from;
    while let Some(header) = header_at(window, at) {
        let size = header.size_bytes as usize;
        let first = at == start;
        if header.next_offset() > limit.end {
            break;
        }
        if at + size - start > limit.bytes_max as usize && !(first && limit.at_least_one) {
            break;
        }
        if at + size > window.len() {
            if first {
                return Walk::Partial { at, size };
            }
            break;
        }
        at += size;
        next_offset = header.next_offset();
    }
    if at == start { Walk::Nothing } else { Walk::Found(Cut { range: start..at, next_offset }) }
}

fn header_at(window: &[u8], at: usize) -> Option<BatchHeader> {
    BatchHeader::parse(window.get(at..)?).ok()
}

fn short_or_damaged(window: &[u8], at: usize) -> Walk {
    if window.len() - at < crate::record::HEADER_BYTES {
        Walk::Partial { at, size: crate::record::HEADER_BYTES }
    } else {
        Walk::Damaged { at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::testing::batch_at;

    fn three() -> Vec<u8> {
        [batch_at(10, 3, 40), batch_at(13, 1, 40), batch_at(14, 6, 40)].concat()
    }

    fn limit(end: i64, bytes_max: usize, at_least_one: bool) -> ReadLimit {
        ReadLimit { end: Offset(end), bytes_max: bytes_max as u32, at_least_one }
    }

    #[test]
    fn the_first_batch_holds_the_offset() {
        let window = three();
        let one = window.len() / 3;
        let found = |from, limit| match cut(&window, Offset(from), limit) {
            Walk::Found(cut) => (cut.range, cut.next_offset.0),
            other => panic!("{other:?}"),
        };
        assert_eq!(found(12, limit(100, 9999, false)), (0..window.len(), 20));
        assert_eq!(found(13, limit(100, 9999, false)), (one..window.len(), 20));
        assert_eq!(found(13, limit(14, 9999, false)), (one..2 * one, 14));
        assert_eq!(found(10, limit(100, 2 * one, false)), (0..2 * one, 14));
        assert_eq!(found(10, limit(100, 1, true)), (0..one, 13));
    }

    #[test]
    fn a_limit_may_allow_nothing() {
        let window = three();
        assert_eq!(cut(&window, Offset(10), limit(100, 1, false)), Walk::Nothing);
        assert_eq!(cut(&window, Offset(10), limit(12, 999, true)), Walk::Nothing, "records beyond the end");
        assert_eq!(cut(&window, Offset(20), limit(100, 999, true)), Walk::Beyond);
    }

    #[test]
    fn a_window_may_be_short_or_damaged() {
        let window = three();
        let one = window.len() / 3;
        let short = &window[..one + 70];
        assert_eq!(cut(short, Offset(13), limit(100, 9999, true)), Walk::Partial { at: one, size: one });
        assert_eq!(cut(&window[..20], Offset(13), limit(100, 999, true)), Walk::Partial { at: 0, size: 61 });
        assert_eq!(cut(&[0; 100], Offset(1), limit(100, 999, true)), Walk::Damaged { at: 0 });
    }
}
