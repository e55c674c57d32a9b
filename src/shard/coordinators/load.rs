//! Reads a coordinator partition from its start to its end, record by record, into a fresh state machine.
//!
//! Key invariant: a state machine comes out only if every batch that the log had was durable, and was read.

use std::rc::Rc;

use bytes::Bytes;

use crate::coordinator::Hosted;
use crate::model::{LeaderEpoch, Offset};
use crate::partition::{Partition, PartitionError, ReadRequest};
use crate::record::{BatchError, BatchHeader, records};

/// Bytes read at once.
const READ_BYTES: usize = 1 << 20;

/// Why a partition was not loaded.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error(transparent)]
    Partition(#[from] PartitionError),
    #[error("at offset {at}: {error}")]
    Batch { at: Offset, error: BatchError },
}

/// The state that the records of `partition` come to.
pub(super) async fn load<S: Hosted>(partition: &Rc<Partition>) -> Result<S, LoadError> {
    let mut state = S::default();
    // A state machine that was given up may have left what is on its way: reads end where the log is durable.
    partition.durable(partition.log().log_end_offset()).await?;
    let mut at = partition.bounds().log_start;
    loop {
        let request = ReadRequest {
            offset: at,
            bytes_max: READ_BYTES,
            at_least_one: true,
            current_epoch: LeaderEpoch::UNKNOWN,
            last_fetched_epoch: LeaderEpoch::UNKNOWN,
        };
        let read = match partition.read(request).await {
            Ok(read) => read,
            // Compaction or DeleteRecords took what was about to be read.
            Err(PartitionError::OffsetOutOfRange { start, .. }) if start > at => {
                at = start;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if read.slices.is_empty() {
            return Ok(state);
        }
        for bytes in &read.slices.bytes {
            at = replay(&mut state, bytes, at)?;
            glommio::yield_if_needed().await;
        }
    }
}

/// Replays whole batches; returns where the next one begins.
fn replay<S: Hosted>(state: &mut S, bytes: &Bytes, from: Offset) -> Result<Offset, LoadError> {
    let mut next = from;
    let mut position = 0;
    while position < bytes.len() {
        let rest = bytes.slice(position..);
        let failed = |error| LoadError::Batch { at: next, error };
        let header = BatchHeader::parse(&rest).map_err(failed)?;
        let batch = rest.slice(..rest.len().min(header.size_bytes as usize));
        if !header.is_control() {
            for record in records(&batch).map_err(failed)? {
                let record = record.map_err(failed)?;
                if let Some(key) = record.key.filter(|_| record.offset >= from) {
                    state.replay(&key, record.value.as_deref());
                }
            }
        }
        position += batch.len();
        next = header.next_offset();
    }
    Ok(next)
}
