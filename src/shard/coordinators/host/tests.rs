//! Events of one turn share a batch, and its fate; on a simulated disk.

use std::sync::Arc;

use super::*;
use crate::config::{BrokerSettings, TopicOverrides, TopicSettings};
use crate::coordinator::Actions;
use crate::coordinator::group::Groups;
use crate::coordinator::records::GroupRecord;
use crate::coordinator::records::offsets::{OffsetKey, OffsetValue};
use crate::io::Simulated;
use crate::metrics::ShardMetrics;
use crate::model::{LeaderEpoch, PartitionIndex, ShardId, TopicId};
use crate::partition::ReadRequest;
use crate::record::BatchHeader;
use crate::shard::ShardParts;
use crate::storage::LogPlace;
use crate::storage::testing::{run, simulated_store};

const EVENTS: usize = 20;

/// A coordinator partition on a disk that can be told to fail.
struct Fixture {
    device: Rc<Simulated>,
    shard: Rc<Shard>,
    host: Rc<Host<Groups>>,
}

async fn fixture() -> Fixture {
    let device = Simulated::new(1);
    let store = simulated_store(&device, 1 << 20).await;
    let settings = Arc::new(BrokerSettings::default());
    let metrics = Arc::new(ShardMetrics::default());
    let topic = Rc::new(TopicSettings::effective(&TopicOverrides::default(), &settings));
    let place = LogPlace { topic: "offsets".into(), topic_id: TopicId::ZERO, partition: PartitionIndex(0) };
    let partition = Partition::open(&store, place, LeaderEpoch(0), topic, metrics.clone()).await.unwrap();
    let parts =
        ShardParts { id: ShardId(0), shards: 1, settings, request_bytes_max: 1 << 20, metrics, store };
    let shard = Shard::new(parts);
    Fixture { device, shard, host: Host::new(partition, Groups::default()) }
}

/// What a commit of `metadata` for `group` would leave.
fn record(group: usize, metadata: &str) -> GroupRecord {
    let key =
        OffsetKey { group: format!("g{group}").into(), topic: "t".into(), partition: PartitionIndex(0) };
    let value = OffsetValue {
        offset: Offset(7),
        leader_epoch: LeaderEpoch::UNKNOWN,
        metadata: metadata.into(),
        committed_at: TimestampMs(1),
        expires_at: None,
        topic_id: TopicId::ZERO,
    };
    GroupRecord::OffsetCommit(key, Some(value))
}

impl Fixture {
    /// Runs an event that leaves two records.
    fn event(&self, group: usize, metadata: &str) -> Result<Due, GroupError> {
        let event = |_: &mut Groups, _: &Turn<'_>, actions: &mut Actions| {
            actions.records.extend([record(group, metadata), record(group, "")]);
        };
        self.host.run(&self.shard, event).map(|((), due)| due)
    }

    fn look(&self) -> Due {
        self.host.look(&self.shard, |_, _| ()).1
    }

    fn end(&self) -> Offset {
        self.host.partition().log().log_end_offset()
    }

    /// How many records each batch has that can be read.
    async fn batches(&self) -> Vec<i32> {
        let request = ReadRequest {
            offset: Offset::ZERO,
            bytes_max: 1 << 20,
            at_least_one: true,
            current_epoch: LeaderEpoch::UNKNOWN,
            last_fetched_epoch: LeaderEpoch::UNKNOWN,
        };
        let bytes = self.host.partition().read(request).await.unwrap().slices.bytes.concat();
        let mut at = 0;
        let next = || {
            let header = BatchHeader::parse_whole(bytes.get(at..).filter(|rest| !rest.is_empty())?).unwrap();
            header.check_crc(&bytes[at..]).unwrap();
            at += header.size_bytes as usize;
            Some(header.record_count)
        };
        std::iter::from_fn(next).collect()
    }
}

#[test]
fn events_of_one_turn_are_one_batch_and_are_told_of_when_it_is_durable() {
    run(async {
        let fixture = fixture().await;
        let mut waiting = vec![];
        for group in 0..EVENTS {
            let due = fixture.event(group, "").unwrap();
            assert!(matches!(due, Due::Batch(_)), "the records are on their way");
            waiting.push(glommio::spawn_local({
                let durable = fixture.host.durable(&fixture.shard, due);
                let partition = fixture.host.partition().clone();
                async move {
                    durable.await.unwrap();
                    partition.bounds().high_watermark
                }
            }));
        }
        assert_eq!(fixture.end(), Offset::ZERO, "nothing is appended within the turn");
        let read = fixture.look();
        fixture.host.durable(&fixture.shard, read).await.unwrap();
        let all = Offset(2 * EVENTS as i64);
        assert_eq!(fixture.host.partition().bounds().high_watermark, all, "a read waits for them, too");
        for told in waiting {
            assert_eq!(told.await, all);
        }
        assert_eq!(fixture.batches().await, [2 * EVENTS as i32]);
        assert!(matches!(fixture.look(), Due::Log(end) if end == all), "no batch is open any more");
        let due = fixture.event(0, "").unwrap();
        fixture.host.durable(&fixture.shard, due).await.unwrap();
        assert_eq!(fixture.batches().await, [2 * EVENTS as i32, 2], "the next turn has its own");
    });
}

#[test]
fn what_does_not_fit_is_in_the_next_batch_whole() {
    run(async {
        let fixture = fixture().await;
        let large = "x".repeat(30_000);
        let first = fixture.event(0, &large).unwrap();
        fixture.event(1, &large).unwrap();
        assert_eq!(fixture.end(), Offset::ZERO);
        let last = fixture.event(2, &large).unwrap();
        assert_eq!(fixture.end(), Offset(4), "two are appended, since the third does not fit");
        fixture.host.durable(&fixture.shard, last).await.unwrap();
        // Asked for after it settled.
        fixture.host.durable(&fixture.shard, first).await.unwrap();
        assert_eq!(fixture.batches().await, [4, 2]);
    });
}

#[test]
fn an_append_that_fails_fails_all_events_of_the_batch() {
    run(async {
        let fixture = fixture().await;
        let before = fixture.event(0, "").unwrap();
        fixture.host.durable(&fixture.shard, before).await.unwrap();
        fixture.device.set_free_bytes(0);
        fixture.shard.store().disk().look_at_free_space();
        while fixture.shard.store().disk().admit_bytes(1) {
            yield_now().await;
        }
        let dues: Vec<Due> = (0..EVENTS).map(|group| fixture.event(group, "").unwrap()).collect();
        let read = fixture.look();
        for due in dues.into_iter().chain([read]) {
            let told = fixture.host.durable(&fixture.shard, due).await;
            assert!(matches!(told, Err(GroupError::NotAvailable(_))), "{told:?}");
        }
        let refused = fixture.event(0, "");
        assert!(matches!(refused, Err(GroupError::NotCoordinator)), "the state machine is given up");
        assert!(matches!(fixture.look(), Due::Never), "nobody is told what it says");
        assert_eq!(fixture.batches().await, [2]);
    });
}

#[test]
fn a_state_machine_that_is_given_up_appends_nothing_more() {
    run(async {
        let fixture = fixture().await;
        let due = fixture.event(0, "").unwrap();
        // A name that is longer than a record can hold.
        let refused = fixture.event(1, &"x".repeat(40_000));
        assert!(matches!(refused, Err(GroupError::NotAvailable(_))));
        let told = fixture.host.durable(&fixture.shard, due).await;
        assert!(matches!(told, Err(GroupError::NotAvailable(_))), "{told:?}");
        for _ in 0..10 {
            yield_now().await;
        }
        assert_eq!(fixture.end(), Offset::ZERO);
    });
}

#[test]
fn a_write_that_fails_fails_all_who_wait_for_it() {
    run(async {
        let fixture = fixture().await;
        fixture.device.fail_writes_after(0);
        let dues: Vec<Due> = (0..EVENTS).map(|group| fixture.event(group, "").unwrap()).collect();
        yield_now().await;
        for due in dues {
            let told = fixture.host.durable(&fixture.shard, due).await;
            assert!(matches!(told, Err(GroupError::NotAvailable(_))), "{told:?}");
        }
        assert!(matches!(fixture.look(), Due::Never));
    });
}
