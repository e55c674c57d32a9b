//! Where the bytes of a segment's write come from: the chunks themselves, as far as their memory allows.
//!
//! Direct I/O takes whole blocks of memory for whole blocks of the file. A chunk's bytes lie within blocks of memory as they lie
//! within those of the file, so all of its full blocks are written from where they are. The others are copied: the last one of a
//! write, which goes on growing; those that two chunks share; and all of what lies in short pieces.
//!
//! Key invariant: what is gathered is exactly the file's blocks, each byte from the part that has it, zeros after the last.

use bytes::Bytes;

use crate::io::{AppendBuffer, BLOCK_BYTES, align_down, align_up};

/// Fewer full blocks than this are cheaper to copy than to name to the device.
const RUN_BYTES_MIN: u64 = 16 << 10;
const ZEROS: [u8; BLOCK_BYTES as usize] = [0; BLOCK_BYTES as usize];

/// The blocks of file positions `from..to`, out of `parts` (position and bytes), which are in order, without a gap between
/// them, and hold all of it but for the end of the last block.
pub(super) fn blocks(parts: &[(u64, Bytes)], from: u64, to: u64) -> Vec<Bytes> {
    let mut gathered = Vec::new();
    let first = parts.partition_point(|part| end_of(part) <= from);
    let mut copied_to = from;
    for (at, bytes) in &parts[first..] {
        let run = run_of(*at, bytes, copied_to, to);
        if run.start >= run.end {
            continue;
        }
        if copied_to < run.start {
            gathered.push(copy(parts, copied_to, run.start));
        }
        gathered.push(bytes.slice((run.start - at) as usize..(run.end - at) as usize));
        copied_to = run.end;
    }
    if copied_to < to {
        gathered.push(copy(parts, copied_to, to));
    }
    gathered
}

/// The full blocks within `from..to` that can be written from a part's own memory; empty if they are few.
fn run_of(at: u64, bytes: &Bytes, from: u64, to: u64) -> std::ops::Range<u64> {
    let lies_alike = (bytes.as_ptr() as u64).wrapping_sub(at).is_multiple_of(BLOCK_BYTES);
    let start = align_up(at.max(from));
    let end = align_down((at + bytes.len() as u64).min(to));
    if lies_alike && end >= start + RUN_BYTES_MIN { start..end } else { start..start }
}

/// A copy of the blocks `from..to`.
fn copy(parts: &[(u64, Bytes)], from: u64, to: u64) -> Bytes {
    let mut buffer = AppendBuffer::new((to - from) as usize);
    let first = parts.partition_point(|part| end_of(part) <= from);
    for (at, bytes) in &parts[first..] {
        let next = from + buffer.len() as u64;
        let end = (at + bytes.len() as u64).min(to);
        if next >= end {
            break;
        }
        debug_assert!(*at <= next, "no gap lies between parts");
        buffer.append(&bytes[(next - at) as usize..(end - at) as usize], |_| {});
    }
    let missing = (to - from) as usize - buffer.len();
    debug_assert!(missing < ZEROS.len(), "only the last block has an end that nothing was appended to");
    buffer.append(&ZEROS[..missing], |_| {});
    buffer.slice(0..buffer.len())
}

fn end_of(part: &(u64, Bytes)) -> u64 {
    part.0 + part.1.len() as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A part at `at`, in memory as in the file if `alike`.
    fn part(at: u64, bytes: &[u8], alike: bool) -> (u64, Bytes) {
        let lead = if alike { at % BLOCK_BYTES } else { (at + 512) % BLOCK_BYTES };
        let mut buffer = AppendBuffer::with_lead(lead as usize, bytes.len());
        buffer.append(bytes, |_| {});
        (at, buffer.slice(0..bytes.len()))
    }

    fn parts(start: u64, sizes: &[(usize, bool)]) -> Vec<(u64, Bytes)> {
        let mut at = start;
        let mut parts = vec![];
        for (size, alike) in sizes {
            let bytes: Vec<u8> =
                (at..at + *size as u64).map(|position| ((position * 31) >> 3) as u8 | 1).collect();
            parts.push(part(at, &bytes, *alike));
            at += *size as u64;
        }
        parts
    }

    #[test]
    fn full_blocks_are_not_copied_and_all_others_are() {
        let parts = parts(10_000, &[(100_000, true), (50_000, true), (30_000, false)]);
        let gathered = blocks(&parts, 8192 + 4096, 180_224);
        let sizes: Vec<_> = gathered.iter().map(|bytes| bytes.len() as u64 / BLOCK_BYTES).collect();
        assert_eq!(sizes, [23, 1, 12, 5]);
        let lies_in =
            |at: usize, (_, part): &(u64, Bytes)| part.as_ptr_range().contains(&gathered[at].as_ptr());
        assert!(lies_in(0, &parts[0]) && lies_in(2, &parts[1]));
        assert!(!parts.iter().any(|part| lies_in(1, part) || lies_in(3, part)));
    }

    proptest! {
        #[test]
        fn what_is_gathered_is_the_files_blocks(
            start in 0..20_000u64,
            sizes in prop::collection::vec((1..60_000usize, any::<bool>()), 1..12),
            cut in any::<prop::sample::Index>(),
        ) {
            let parts = parts(start, &sizes);
            let end = end_of(parts.last().expect("there is one"));
            // A write begins at a block that is all there.
            let (first, last) = (align_up(start), align_up(end));
            prop_assume!(first < end);
            let between = first + cut.index(((last - first) / BLOCK_BYTES) as usize + 1) as u64 * BLOCK_BYTES;
            let mut file = vec![];
            for (from, to) in [(first, between), (between, last)] {
                for bytes in blocks(&parts, from, to) {
                    prop_assert!(!bytes.is_empty() && (bytes.len() as u64).is_multiple_of(BLOCK_BYTES));
                    prop_assert!((bytes.as_ptr() as u64).is_multiple_of(BLOCK_BYTES));
                    file.extend_from_slice(&bytes);
                }
            }
            let mut expected: Vec<u8> = parts.iter().flat_map(|(_, bytes)| bytes.to_vec()).collect();
            expected.drain(..(first - start) as usize);
            expected.resize((last - first) as usize, 0);
            prop_assert!(file == expected);
        }
    }
}
