//! Where the bytes of values come from.
//!
//! All values are made before the run, so that taking one costs a copy. Random ones are cut out of one block, one after
//! another, so that a batch holds no byte twice; at the block's end cutting goes on at a random place near its start.
//! JSON values are a pool of up to [`POOL_VALUES_MAX`], taken in turn like the lines of a text; each producer starts at a
//! place of its own.
//!
//! Key invariant: a body lies within the text it was cut from. Stamps stand before bodies and are not part of them.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};

use super::sizes::Sizes;
use super::{STAMP_BYTES, SupplyError, json};
use crate::workload::{JsonShape, RecordPlan, VALUE_BYTES_MAX, ValuePlan};

/// Bytes of a text whose lines are values.
pub const LINES_BYTES_MAX: usize = 1 << 30;
/// JSON values that are made before a run, and their bytes.
pub(super) const POOL_VALUES_MAX: usize = 4096;
const POOL_BYTES_MAX: usize = 64 << 20;
/// Random bytes to cut values out of: enough for two batches, and for two of the longest values.
const BLOCK_BYTES_MIN: usize = 4 << 20;
/// Within so many bytes of random values the share that compresses is exact: few, so that batches of small values have it
/// too, and many against what a codec writes between the parts.
const PERIOD_BYTES: usize = 256;
/// Lies between the pieces of a text.
const SEPARATOR: u8 = b'\n';

/// Where a value's bytes lie, its stamp not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Body {
    start: usize,
    pub(super) bytes: usize,
}

/// The bytes of all values.
#[derive(Debug)]
pub(super) enum Values {
    Block {
        text: Vec<u8>,
        sizes: Sizes,
        stamp_bytes: u32,
    },
    /// Each ends before a separator.
    Pieces {
        text: Vec<u8>,
        ends: Vec<u32>,
    },
}

impl Values {
    pub(super) fn new(
        plan: &RecordPlan,
        seed: u64,
        stamped: bool,
        lines: Option<Vec<u8>>,
    ) -> Result<Self, SupplyError> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let stamp_bytes = if stamped { STAMP_BYTES as u32 } else { 0 };
        match &plan.values {
            ValuePlan::Lines { .. } => lines_of(lines.ok_or(SupplyError::NoText)?, stamp_bytes),
            ValuePlan::Json { shape } => {
                let sizes = Sizes::new(plan.size, stamped)?;
                Ok(pool(*shape, &sizes, stamp_bytes, &mut rng))
            }
            ValuePlan::Random { compressibility } => {
                let sizes = Sizes::new(plan.size, stamped)?;
                let longest = 2 * (sizes.max() as usize).max(plan.batch_bytes as usize);
                let text = block(longest.max(BLOCK_BYTES_MIN), *compressibility, &mut rng);
                Ok(Self::Block { text, sizes, stamp_bytes })
            }
        }
    }

    /// Where a producer begins.
    pub(super) fn start(&self, rng: &mut Xoshiro256PlusPlus) -> usize {
        match self {
            Self::Block { text, .. } => rng.random_range(0..text.len() / 2),
            Self::Pieces { ends, .. } => rng.random_range(0..ends.len()),
        }
    }

    /// The next body; `position` is moved past it.
    pub(super) fn next(&self, position: &mut usize, rng: &mut Xoshiro256PlusPlus) -> Body {
        match self {
            Self::Block { text, sizes, stamp_bytes } => {
                let bytes = (sizes.draw(rng) - stamp_bytes) as usize;
                if *position + bytes > text.len() {
                    *position = rng.random_range(0..text.len() / 4);
                }
                let body = Body { start: *position, bytes };
                *position += bytes;
                body
            }
            Self::Pieces { ends, .. } => {
                let at = *position;
                *position = if at + 1 < ends.len() { at + 1 } else { 0 };
                let start = if at == 0 { 0 } else { ends[at - 1] as usize + 1 };
                Body { start, bytes: ends[at] as usize - start }
            }
        }
    }

    pub(super) fn bytes(&self, body: Body) -> &[u8] {
        match self {
            Self::Block { text, .. } | Self::Pieces { text, .. } => {
                &text[body.start..body.start + body.bytes]
            }
        }
    }

    /// Mean bytes of a body.
    pub(super) fn mean_bytes(&self, seed: u64) -> f64 {
        match self {
            Self::Block { sizes, stamp_bytes, .. } => {
                sizes.mean(&mut Xoshiro256PlusPlus::seed_from_u64(seed)) - f64::from(*stamp_bytes)
            }
            Self::Pieces { text, ends } => {
                let separators = usize::from(text.len() > ends[ends.len() - 1] as usize) + ends.len() - 1;
                (text.len() - separators) as f64 / ends.len() as f64
            }
        }
    }
}

/// Every period begins with random bytes and ends with one byte repeated, which a codec shrinks to nearly nothing.
fn block(bytes: usize, compressibility: f64, rng: &mut Xoshiro256PlusPlus) -> Vec<u8> {
    let mut text = vec![0; bytes];
    rng.fill_bytes(&mut text);
    let random_bytes = ((1.0 - compressibility) * PERIOD_BYTES as f64).round() as usize;
    for period in text.chunks_mut(PERIOD_BYTES) {
        if let Some(repeated) = period.get_mut(random_bytes..) {
            repeated.fill(b'.');
        }
    }
    text
}

fn pool(shape: JsonShape, sizes: &Sizes, stamp_bytes: u32, rng: &mut Xoshiro256PlusPlus) -> Values {
    let (mut text, mut ends) = (Vec::new(), Vec::new());
    while ends.is_empty() || ends.len() < POOL_VALUES_MAX && text.len() < POOL_BYTES_MAX {
        let bytes = (sizes.draw(rng) - stamp_bytes) as usize;
        text.extend_from_slice(json::object(shape, bytes, rng).as_bytes());
        ends.push(text.len() as u32);
        text.push(SEPARATOR);
    }
    Values::Pieces { text, ends }
}

fn lines_of(text: Vec<u8>, stamp_bytes: u32) -> Result<Values, SupplyError> {
    if text.len() > LINES_BYTES_MAX {
        return Err(SupplyError::TextTooLong { bytes: text.len() });
    }
    if text.is_empty() {
        return Err(SupplyError::NoLines);
    }
    let separators = text.iter().enumerate().filter(|(_, byte)| **byte == SEPARATOR);
    let mut ends: Vec<u32> = separators.map(|(at, _)| at as u32).collect();
    if text.last() != Some(&SEPARATOR) {
        ends.push(text.len() as u32);
    }
    let max = VALUE_BYTES_MAX - stamp_bytes;
    let mut start = 0;
    for (at, end) in ends.iter().enumerate() {
        if end - start > max {
            return Err(SupplyError::LineTooLong { line: at + 1, bytes: (end - start) as usize, max });
        }
        start = end + 1;
    }
    Ok(Values::Pieces { text, ends })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::SizePlan;

    fn lines(text: &str) -> Result<Values, SupplyError> {
        let plan = RecordPlan { values: ValuePlan::Lines { file: "a".into() }, ..RecordPlan::default() };
        Values::new(&plan, 1, false, Some(text.as_bytes().to_vec()))
    }

    fn taken(values: &Values, count: usize) -> Vec<Vec<u8>> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut position = 0;
        let mut next = || values.bytes(values.next(&mut position, &mut rng)).to_vec();
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn lines_are_taken_in_turn() {
        for text in ["one\n\ntwo", "one\n\ntwo\n"] {
            let values = lines(text).expect("it has lines");
            assert_eq!(taken(&values, 5), [&b"one"[..], b"", b"two", b"one", b""]);
            assert_eq!(values.mean_bytes(0), 2.0);
        }
    }

    #[test]
    fn texts_that_cannot_be_values_are_refused() {
        assert_eq!(lines("").err(), Some(SupplyError::NoLines));
        let long = format!("a\n{}", "b".repeat(VALUE_BYTES_MAX as usize + 1));
        let expected =
            SupplyError::LineTooLong { line: 2, bytes: VALUE_BYTES_MAX as usize + 1, max: VALUE_BYTES_MAX };
        assert_eq!(lines(&long).err(), Some(expected));
        let plan = RecordPlan { values: ValuePlan::Lines { file: "a".into() }, ..RecordPlan::default() };
        assert_eq!(Values::new(&plan, 1, false, None).err(), Some(SupplyError::NoText));
    }

    #[test]
    fn cutting_goes_on_after_the_blocks_end() {
        let plan = RecordPlan { size: SizePlan::Fixed(1 << 20), ..RecordPlan::default() };
        let values = Values::new(&plan, 1, false, None).expect("it can be made");
        let bodies = taken(&values, 12);
        assert!(bodies.iter().all(|body| body.len() == 1 << 20));
        assert_ne!(bodies[0], bodies[1]);
    }
}
