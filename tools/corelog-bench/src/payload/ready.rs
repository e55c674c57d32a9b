//! Batches that are made before a run and sent again and again, so that the client costs next to nothing.
//!
//! Key invariant: the pool is bounded by [`READY_BYTES_MAX`] and holds a batch for every partition that has keys. Batches
//! without keys fit every partition, so one class of them serves all; with keys each partition is a class, and every topic
//! shares it.

use std::ops::Range;

use super::encode::Encoder;
use super::supply::{Order, Supply};
use super::{Batch, SupplyError};

/// Bytes of all ready-made batches.
pub const READY_BYTES_MAX: u64 = 64 << 20;
/// Ready-made batches of one class.
pub const READY_BATCHES_MAX: usize = 64;
/// The maker of the pool draws as a producer of this number; producers have numbers of 32 bits.
const DRAW_NUMBER: u64 = 1 << 32;

/// The pool.
#[derive(Debug)]
pub(super) struct ReadyBatches {
    batches: Vec<Batch>,
    /// Of each class, among `batches`; empty for a partition without keys.
    classes: Vec<Range<usize>>,
}

impl ReadyBatches {
    pub(super) fn make(supply: &Supply, records: u32, timestamp_ms: i64) -> Result<Self, SupplyError> {
        let partitions: Vec<u32> = match &supply.keys {
            None => vec![0],
            Some(keys) => {
                (0..supply.partitions()).filter(|partition| keys.weight(*partition) > 0.0).collect()
            }
        };
        let mut draw = supply.draw(DRAW_NUMBER);
        let mut spare = Vec::new();
        let mut rows: Vec<Vec<Batch>> = vec![Vec::new(); partitions.len()];
        let mut bytes_all = 0;
        // Round by round, so that the bound cuts all classes alike.
        'rounds: for round in 0..READY_BATCHES_MAX {
            for (partition, row) in partitions.iter().zip(&mut rows) {
                let order = Order { partition: *partition, records, turn: 0, stamps: None };
                let mut encoder = Encoder::begin(supply.buffer(records, &mut spare));
                supply.fill(&mut encoder, &mut draw, &order, true)?;
                let batch = supply.finish(encoder, timestamp_ms, None, &mut spare)?;
                let bytes = batch.bytes.len() as u64;
                if bytes_all + bytes > READY_BYTES_MAX && round == 0 {
                    let bytes = bytes * partitions.len() as u64;
                    return Err(SupplyError::ReadyTooLarge { partitions: partitions.len(), bytes });
                }
                if bytes_all + bytes > READY_BYTES_MAX {
                    break 'rounds;
                }
                bytes_all += bytes;
                row.push(batch);
            }
        }
        let mut ready = Self { batches: Vec::new(), classes: vec![0..0; supply.partitions() as usize] };
        for (partition, row) in partitions.iter().zip(rows) {
            let from = ready.batches.len();
            ready.batches.extend(row);
            ready.classes[*partition as usize] = from..ready.batches.len();
        }
        if supply.keys.is_none() {
            ready.classes.truncate(1);
        }
        Ok(ready)
    }

    /// The batch of a partition whose turn it is; `turn` counts up. `None` if no key belongs to it.
    pub(super) fn batch(&self, partition: u32, turn: usize) -> Option<&Batch> {
        let class =
            if self.classes.len() == 1 { &self.classes[0] } else { &self.classes[partition as usize] };
        let batches = &self.batches[class.clone()];
        (!batches.is_empty()).then(|| &batches[turn % batches.len()])
    }
}
