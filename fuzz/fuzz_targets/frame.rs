//! Splits a stream into frames; the first byte says in which pieces it arrives.
#![no_main]

use bytes::BytesMut;
use corelog::protocol::FrameSplitter;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((piece_bytes, stream)) = data.split_first() else { return };
    let splitter = FrameSplitter::new(1 << 16);
    let mut received = BytesMut::new();
    let mut seen = Vec::new();
    for piece in stream.chunks(usize::from(*piece_bytes).max(1)) {
        received.extend_from_slice(piece);
        loop {
            match splitter.split(&mut received) {
                Ok(Some(frame)) => {
                    seen.extend_from_slice(&(frame.len() as i32).to_be_bytes());
                    seen.extend_from_slice(&frame);
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
    seen.extend_from_slice(&received);
    assert_eq!(seen, stream);
});
