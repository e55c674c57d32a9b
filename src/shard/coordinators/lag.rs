//! How far behind groups are, for monitors.
//!
//! Key invariant: committed offsets are looked at on the coordinator's shard, log ends on the shards that own the partitions:
//! one call to each, however many groups there are. Nobody waits for it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;

use crate::coordinator::group::Groups;
use crate::metrics::{GroupTable, LAG_ROWS_MAX, LagRow};
use crate::model::{Offset, PartitionIndex, ShardId, TopicPartition};
use crate::shard::Shard;

/// How old the lag may be that monitors see.
const PERIOD: Duration = Duration::from_secs(5);

/// A committed offset, before the log's end is known.
struct Committed {
    id: TopicPartition,
    row: LagRow,
}

impl Shard {
    /// Keeps the table of groups new until the task is dropped.
    pub async fn watch_groups(self: Rc<Self>) {
        loop {
            glommio::timer::sleep(PERIOD).await;
            let (mut table, committed) = self.committed();
            let ends = self.ends(&committed).await;
            table.lags = committed
                .into_iter()
                .filter_map(|Committed { id, row }| {
                    let lag = ends.get(&id)?.since(Offset(row.committed)).max(0);
                    Some(LagRow { lag, ..row })
                })
                .collect();
            self.metrics().groups.publish(table);
        }
    }

    /// What the groups of this shard have committed, up to the bound.
    fn committed(&self) -> (GroupTable, Vec<Committed>) {
        let (mut table, mut committed) = (GroupTable::default(), vec![]);
        for host in self.coordinators().groups.ready() {
            host.look(self, |groups, turn| {
                count_states(groups, &mut table);
                for (id, group) in groups.iter() {
                    let name: Arc<str> = id.as_str().into();
                    for (topic, partition, offset) in group.offsets().iter() {
                        if committed.len() >= LAG_ROWS_MAX {
                            table.left_out += 1;
                            continue;
                        }
                        let Some(known) = turn.image.topic(topic) else { continue };
                        let id = TopicPartition { topic_id: known.id, partition };
                        let PartitionIndex(partition) = partition;
                        let (group, topic) = (name.clone(), topic.clone());
                        let row = LagRow { group, topic, partition, committed: offset.offset.get(), lag: 0 };
                        committed.push(Committed { id, row });
                    }
                }
            });
        }
        (table, committed)
    }

    /// The high watermarks of the partitions that something was committed for.
    async fn ends(self: &Rc<Self>, committed: &[Committed]) -> HashMap<TopicPartition, Offset> {
        let mut by_owner: HashMap<ShardId, Vec<TopicPartition>> = HashMap::new();
        for Committed { id, .. } in committed {
            by_owner.entry(self.owner_of(*id)).or_default().push(*id);
        }
        let mut ends = HashMap::new();
        for (owner, mut partitions) in by_owner {
            partitions.sort_unstable();
            partitions.dedup();
            let asked = self.on(owner, move |shard| async move {
                let end = |id: TopicPartition| Some((id, shard.bounds(id)?.high_watermark));
                partitions.into_iter().filter_map(end).collect::<Vec<_>>()
            });
            // A shard that is gone has no partitions to be behind of.
            ends.extend(asked.await.unwrap_or_default());
        }
        ends
    }
}

fn count_states(groups: &Groups, table: &mut GroupTable) {
    for (_, group) in groups.iter() {
        let state = group.state_name();
        match table.states.iter_mut().find(|(name, _)| *name == state) {
            Some((_, count)) => *count += 1,
            None => table.states.push((state, 1)),
        }
    }
}
