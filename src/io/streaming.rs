//! Copies of much at once, past the CPU's caches (streaming stores, decision 0026).
//!
//! A usual store reads the cache line that it changes first, and what a large copy leaves in the caches pushes out what is needed
//! next. Where a large batch goes to, the device takes it from, not the CPU.

/// From how many bytes on a copy goes past the caches: about what is written to its segment and not to the journal, for which the
/// CPU would have to read it again.
const STREAMED_BYTES_MIN: usize = 32 << 10;

/// Copies `bytes` to `target`; whoever is told of that afterwards sees them, on any thread.
///
/// # Safety
///
/// As many bytes at `target` may be written, nobody else reads or writes them meanwhile, and `bytes` are not among them.
pub unsafe fn copy(bytes: &[u8], target: *mut u8) {
    if bytes.len() < STREAMED_BYTES_MIN {
        // SAFETY: what the caller promises.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
    } else {
        // SAFETY: what the caller promises.
        unsafe { stream(bytes, target) };
    }
}

/// As [`copy`]. Every x86-64 has these stores.
#[cfg(target_arch = "x86_64")]
unsafe fn stream(bytes: &[u8], target: *mut u8) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_sfence, _mm_stream_si128};

    const LINE: usize = 64;
    const PIECE: usize = size_of::<__m128i>();
    let head = target.align_offset(LINE).min(bytes.len());
    let (begin, rest) = bytes.split_at(head);
    let lines = rest.chunks_exact(LINE);
    let end = lines.remainder();
    // SAFETY: the parts of `bytes` go to the same places behind `target`, where the caller lets as many be written. Behind the
    // head a line is aligned, as these stores want it, and has four pieces.
    unsafe {
        std::ptr::copy_nonoverlapping(begin.as_ptr(), target, head);
        let mut to = target.add(head);
        for line in lines {
            for piece in 0..LINE / PIECE {
                let loaded = _mm_loadu_si128(line.as_ptr().add(piece * PIECE).cast());
                _mm_stream_si128(to.add(piece * PIECE).cast(), loaded);
            }
            to = to.add(LINE);
        }
        std::ptr::copy_nonoverlapping(end.as_ptr(), to, end.len());
        // They are not ordered with other stores before.
        _mm_sfence();
    }
}

/// As [`copy`], where nothing was measured.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn stream(bytes: &[u8], target: *mut u8) {
    // SAFETY: what the caller promises.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At every place of a line that it may begin and end at, and nothing beside it.
    #[test]
    fn all_bytes_arrive_and_no_others_change() {
        let source: Vec<u8> = (0..STREAMED_BYTES_MIN + 200).map(|number| (number % 251) as u8).collect();
        for from in 0..66 {
            for length in
                [0, 1, 63, STREAMED_BYTES_MIN - 1, STREAMED_BYTES_MIN, STREAMED_BYTES_MIN + 37 + from]
            {
                let bytes = &source[from % 7..][..length];
                let mut target = vec![255; length + 200];
                // SAFETY: the target has room for so many bytes at this place, and is another allocation.
                unsafe { copy(bytes, target.as_mut_ptr().add(from)) };
                assert_eq!(&target[from..from + length], bytes, "from {from}, {length} bytes");
                let beside = target[..from].iter().chain(&target[from + length..]);
                assert!(beside.copied().all(|byte| byte == 255), "from {from}, {length} bytes");
            }
        }
    }
}
