//! Finds the requests in what a connection receives, keeping as little as possible.
//!
//! Key invariants: every request is handed out once, after its last byte came. What lies whole in the receive buffer is
//! handed out from there. Of a large Produce request that comes in pieces only the beginning is kept.

use super::heads;
use crate::client::Malformed;

/// Bytes of the size in front of a frame.
const SIZE_BYTES: usize = 4;
/// The largest request accepted.
const FRAME_BYTES_MAX: usize = 512 << 20;
/// What is kept of a frame, size field included, before it is looked at.
const BEGINNING_BYTES: usize = 1_024;

/// The requests of one connection.
#[derive(Debug, Default)]
pub(super) struct Intake {
    /// The beginning of the frame under way, from its size field on.
    held: Vec<u8>,
    /// Bytes of that frame that are still to come and not kept.
    passing: usize,
}

impl Intake {
    /// Takes what was received and calls `each` for every frame that is complete with it: the whole frame without its
    /// size field, or at least the head of a Produce request with one batch.
    pub(super) fn feed<E: From<Malformed>>(
        &mut self,
        mut input: &[u8],
        each: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while !input.is_empty() {
            if self.passing > 0 {
                let passed = self.passing.min(input.len());
                self.passing -= passed;
                input = &input[passed..];
                if self.passing == 0 {
                    self.complete(each)?;
                }
                continue;
            }
            if self.held.is_empty()
                && let Some(size) = size_of(input)?
                && let Some(frame) = input[SIZE_BYTES..].get(..size)
            {
                each(frame)?;
                input = &input[SIZE_BYTES + size..];
                continue;
            }
            input = self.hold(input)?;
            let Some(size) = size_of(&self.held)? else { continue };
            let whole = SIZE_BYTES + size;
            if self.held.len() == whole {
                self.complete(each)?;
            } else if self.held.len() == BEGINNING_BYTES && heads::is_enough(&self.held[SIZE_BYTES..], size) {
                self.passing = whole - self.held.len();
            }
        }
        Ok(())
    }

    fn complete<E>(&mut self, each: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let handled = each(&self.held[SIZE_BYTES..]);
        self.held.clear();
        handled
    }

    /// Keeps bytes up to the next point at which to look at them; returns what is left.
    fn hold<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], Malformed> {
        let upto = match size_of(&self.held)? {
            None => SIZE_BYTES,
            Some(size) if self.held.len() < BEGINNING_BYTES => (SIZE_BYTES + size).min(BEGINNING_BYTES),
            Some(size) => SIZE_BYTES + size,
        };
        let (kept, rest) = input.split_at((upto - self.held.len()).min(input.len()));
        self.held.extend_from_slice(kept);
        Ok(rest)
    }
}

/// The size of the frame that begins here, once it is known.
fn size_of(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let Some(size) = bytes.first_chunk::<SIZE_BYTES>() else { return Ok(None) };
    let size = usize::try_from(i32::from_be_bytes(*size)).ok().filter(|size| *size <= FRAME_BYTES_MAX);
    size.map(Some).ok_or(Malformed("a request's size is negative or above 512 MiB"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{ProduceTemplate, ProduceTerms, TopicFacts};
    use proptest::prelude::*;
    use uuid::Uuid;

    fn produce(size: usize) -> Vec<u8> {
        let terms = ProduceTerms { version: 9, client_id: "me", acks: 1, timeout_ms: 9 };
        let topic = TopicFacts { name: "orders".to_owned(), id: Uuid::nil(), partitions: vec![] };
        let template = ProduceTemplate::new(&terms, &topic, 0);
        let mut frame = vec![];
        template.head(&mut frame, 7, size);
        frame.resize(frame.len() + size, 0xab);
        frame.extend(template.tail());
        frame
    }

    fn other(size: usize) -> Vec<u8> {
        let mut frame = (size as i32).to_be_bytes().to_vec();
        frame.resize(4 + size, 3);
        frame
    }

    #[test]
    fn little_is_kept_of_a_large_request_in_pieces() {
        let mut intake = Intake::default();
        let frame = produce(1 << 20);
        let mut seen = 0;
        for piece in frame.chunks(50_000) {
            intake
                .feed::<Malformed>(piece, &mut |_| {
                    seen += 1;
                    Ok(())
                })
                .expect("it is well formed");
            assert!(intake.held.capacity() <= 2 * BEGINNING_BYTES);
        }
        assert_eq!(seen, 1);
    }

    proptest! {
        #[test]
        fn requests_are_found_however_they_are_cut(
            frames in prop::collection::vec((any::<bool>(), prop_oneof![0..40_usize, 900..1_100_usize, 5_000..200_000_usize]), 1..8),
            cuts in prop::collection::vec(prop_oneof![1..10_usize, 1_000..1_050_usize, 1..100_000_usize], 1..20),
        ) {
            let frames: Vec<Vec<u8>> = frames.into_iter().map(|(is_produce, size)| if is_produce { produce(size) } else { other(size) }).collect();
            let stream: Vec<u8> = frames.concat();
            let mut intake = Intake::default();
            let (mut at, mut turn, mut seen) = (0, 0, vec![]);
            while at < stream.len() {
                let end = stream.len().min(at + cuts[turn % cuts.len()]);
                turn += 1;
                intake.feed::<Malformed>(&stream[at..end], &mut |frame| { seen.push((frame.to_vec(), end)); Ok(()) }).expect("sizes are right");
                at = end;
            }
            prop_assert_eq!(seen.len(), frames.len());
            let mut ends = 0;
            for ((seen, at), sent) in seen.iter().zip(&frames) {
                ends += sent.len();
                prop_assert!(*at >= ends, "handed out before its last byte");
                prop_assert!(sent[4..].starts_with(seen));
                prop_assert!(seen.len() == sent.len() - 4 || heads::is_enough(seen, sent.len() - 4));
            }
        }

        #[test]
        fn garbage_is_an_error_at_most(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Intake::default().feed::<Malformed>(&bytes, &mut |_| Ok(()));
        }
    }
}
