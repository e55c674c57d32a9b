//! What a shard does for its partitions in the background: rolls, retention, compaction, forgetting of idle producers.
//!
//! Key invariant: one partition at a time, with a yield between them, so that maintenance never holds up requests.

use std::rc::Rc;
use std::time::Duration;

use super::Shard;
use crate::partition::Partition;

/// How often segments are looked at for their age, memory that came home is taken back, and memory that nobody wants is given back.
const TICK: Duration = Duration::from_secs(1);
/// How long what was appended may be in the journal only. Busy shards checkpoint more often, by bytes.
const CHECKPOINT_PERIOD: Duration = Duration::from_secs(30);

impl Shard {
    /// Maintains the partitions until the task is dropped.
    pub async fn maintain(self: Rc<Self>) {
        let _compaction = self.begin_compaction();
        let mut since_retention_ms = 0;
        let mut since_expiry_ms = 0;
        let mut since_checkpoint = Duration::ZERO;
        loop {
            glommio::timer::sleep(TICK).await;
            self.store().disk().home().drain();
            self.store().disk().look_at_free_space();
            crate::io::trim_free_chunks();
            let settings = self.settings();
            since_retention_ms += TICK.as_millis() as i64;
            since_expiry_ms += TICK.as_millis() as i64;
            let retention = since_retention_ms >= settings.topics.retention_check_ms as i64;
            let expiry = since_expiry_ms >= settings.producers.expiration_check_ms;
            for partition in self.table().ready() {
                self.maintain_one(&partition, retention, expiry).await;
                glommio::yield_if_needed().await;
            }
            since_checkpoint += TICK;
            if since_checkpoint >= CHECKPOINT_PERIOD {
                since_checkpoint = Duration::ZERO;
                if let Err(error) = self.store().checkpoint_if_due().await {
                    tracing::error!("the checkpoint failed; the journal keeps what it has: {error}");
                }
            }
            if retention {
                since_retention_ms = 0;
            }
            if expiry {
                since_expiry_ms = 0;
            }
            self.gauge();
        }
    }

    async fn maintain_one(&self, partition: &Rc<Partition>, retention: bool, expiry: bool) {
        let now = self.now();
        partition.log().roll_if_due(now);
        partition.log().age_spares();
        if retention && let Err(error) = partition.log().apply_retention(now).await {
            tracing::warn!("retention of partition {:?} failed: {error}", partition.id());
        }
        if expiry {
            partition.expire_producers(now, self.settings().producers.expiration_ms);
        }
    }

    fn gauge(&self) {
        let logs = &self.metrics().logs;
        logs.partitions.set(self.table().len() as u64);
        logs.offline.set(self.table().offline() as u64);
        logs.cache_bytes.set(self.store().cache().used_bytes());
        let (counts, journal) = (self.store().counts(), &self.metrics().journal);
        journal.groups.set(counts.groups);
        journal.bytes.set(counts.group_bytes);
        journal.bypasses.set(counts.bypasses);
        journal.bypassed_bytes.set(counts.bypassed_bytes);
        journal.checkpoints.set(counts.checkpoints);
        journal.room_waits.set(counts.room_waits);
        journal.writes.copy_from(self.store().journal_writes());
        let ready = self.table().ready();
        logs.poisoned.set(ready.iter().filter(|partition| partition.log().is_poisoned()).count() as u64);
        logs.producers.set(ready.iter().map(|partition| partition.producer_count() as u64).sum());
    }
}
