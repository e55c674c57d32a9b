//! Tests of the share coordinator's states.

use proptest::prelude::*;

use super::*;
use crate::coordinator::GroupId;
use crate::model::{PartitionIndex, TopicId};

const UPDATES_MAX: u32 = 3;
const NOW: TimestampMs = TimestampMs(7);

fn key(partition: i32) -> SharePartitionKey {
    SharePartitionKey {
        group: GroupId::from("queue"),
        topic_id: TopicId(uuid::Uuid::from_u128(1)),
        partition: PartitionIndex(partition),
    }
}

fn batch(first: i64, last: i64, state: DeliveryState, deliveries: i16) -> StateBatch {
    StateBatch { first: Offset(first), last: Offset(last), state, deliveries }
}

fn write(state_epoch: i32, leader_epoch: i32, start: i64, batches: Vec<StateBatch>) -> Write {
    Write { state_epoch, leader_epoch, start: Offset(start), done_records: batches.len() as i64, batches }
}

/// States with the records that were appended.
#[derive(Default)]
struct World {
    states: ShareStates,
    log: Vec<ShareRecord>,
}

impl World {
    fn event<A>(&mut self, event: impl FnOnce(&mut ShareStates, &mut ShareActions) -> A) -> A {
        let mut actions = ShareActions::default();
        let answer = event(&mut self.states, &mut actions);
        self.log.extend(actions.records);
        answer
    }

    fn initialize(&mut self, partition: i32, epoch: i32, start: i64) -> Result<(), GroupError> {
        self.event(|states, actions| states.initialize(&key(partition), (epoch, Offset(start)), NOW, actions))
    }

    fn write(&mut self, partition: i32, write: &Write) -> Result<(), GroupError> {
        self.event(|states, actions| states.write(&key(partition), write, (NOW, UPDATES_MAX), actions))
    }

    fn read(&mut self, partition: i32, leader_epoch: i32) -> Result<Read, GroupError> {
        self.event(|states, actions| states.read(&key(partition), LeaderEpoch(leader_epoch), actions))
    }

    /// What a start finds, the records taken through their bytes.
    fn replayed(&self) -> ShareStates {
        let mut states = ShareStates::default();
        for record in &self.log {
            let (key, value) = record.encode().unwrap();
            states.replay(ShareRecord::decode(&key, value.as_deref()).unwrap().unwrap());
        }
        states
    }
}

/// A state without what only times the writes.
fn kept(states: &ShareStates) -> Vec<(SharePartitionKey, State)> {
    let kept = |state: &State| State { created_at: NOW, written_at: NOW, ..state.clone() };
    states.states.iter().map(|(key, state)| (key.clone(), kept(state))).collect()
}

#[test]
fn a_state_is_initialized_written_and_read() {
    let mut world = World::default();
    assert_eq!(world.read(0, 1).unwrap(), Read { state_epoch: 0, start: Offset::NONE, batches: vec![] });
    let early = write(1, 1, 5, vec![]);
    assert!(matches!(world.write(0, &early), Err(GroupError::InvalidRequest(_))), "not initialized");
    world.initialize(0, 2, -1).unwrap();
    assert_eq!(world.read(0, 1).unwrap().start, Offset::NONE);
    let released = batch(6, 8, DeliveryState::Available, 1);
    world.write(0, &write(2, 1, 5, vec![released])).unwrap();
    let read = world.read(0, 1).unwrap();
    assert_eq!((read.state_epoch, read.start, read.batches), (2, Offset(5), vec![released]));
    let accepted = batch(6, 6, DeliveryState::Acknowledged, 2);
    world.write(0, &write(2, 1, 5, vec![accepted])).unwrap();
    assert_eq!(world.read(0, 1).unwrap().batches, [accepted, batch(7, 8, DeliveryState::Available, 1)]);
    let summary = world.states.summary(&key(0)).unwrap();
    assert_eq!((summary.start, summary.done_records, summary.leader_epoch), (Offset(5), 1, LeaderEpoch(1)));
    assert_eq!(world.states.summary(&key(1)), None);
}

#[test]
fn older_epochs_are_fenced() {
    let mut world = World::default();
    world.initialize(0, 2, 10).unwrap();
    world.read(0, 5).unwrap();
    assert_eq!(world.read(0, 4), Err(GroupError::FencedLeaderEpoch));
    assert_eq!(world.write(0, &write(2, 4, 10, vec![])), Err(GroupError::FencedLeaderEpoch));
    world.initialize(0, 3, 4).unwrap();
    assert_eq!(world.write(0, &write(2, 5, 10, vec![])), Err(GroupError::FencedStateEpoch));
    assert_eq!(world.initialize(0, 2, -1), Err(GroupError::FencedStateEpoch));
    assert_eq!(world.read(0, 5).unwrap().start, Offset(4), "set anew");
    world.event(|states, actions| states.delete(&key(0), actions));
    world.initialize(0, 2, -1).unwrap();
    assert_eq!(world.write(0, &write(3, 5, 10, vec![])), Err(GroupError::FencedStateEpoch), "it is gone");
}

#[test]
fn initializing_twice_takes_nothing_back() {
    let mut world = World::default();
    world.initialize(0, 1, -1).unwrap();
    world.write(0, &write(1, 0, 7, vec![])).unwrap();
    world.initialize(0, 1, -1).unwrap();
    assert_eq!(world.read(0, 0).unwrap().start, Offset(7));
}

#[test]
fn a_start_that_is_set_fences_whoever_read_before_it() {
    let mut world = World::default();
    world.initialize(0, 2, 4).unwrap();
    assert_eq!(world.states.summary(&key(0)).unwrap().done_records, -1, "its leader has not told yet");
    let done = batch(6, 6, DeliveryState::Acknowledged, 1);
    world.write(0, &write(2, 0, 5, vec![done])).unwrap();
    assert_eq!(world.states.summary(&key(0)).unwrap().done_records, 1);
    // The group is as it was, and so is its epoch.
    world.initialize(0, 2, 4).unwrap();
    let read = world.read(0, 0).unwrap();
    assert_eq!((read.state_epoch, read.start, read.batches), (3, Offset(4), vec![]));
    assert_eq!(world.states.summary(&key(0)).unwrap().done_records, -1);
    assert_eq!(world.write(0, &write(2, 0, 9, vec![])), Err(GroupError::FencedStateEpoch));
    world.write(0, &write(3, 0, 9, vec![])).unwrap();
    world.initialize(0, 1, 0).unwrap();
    assert_eq!(world.read(0, 0).unwrap().state_epoch, 4, "even if the group is another one by now");
}

#[test]
fn a_snapshot_follows_after_so_many_updates() {
    let mut world = World::default();
    world.initialize(0, 1, 0).unwrap();
    for start in 1..=8 {
        world.write(0, &write(1, 0, start, vec![])).unwrap();
    }
    let snapshots: Vec<usize> =
        (0..world.log.len()).filter(|at| matches!(world.log[*at], ShareRecord::Snapshot(..))).collect();
    assert_eq!(snapshots, [0, 4, 8], "every fourth write");
    world.event(|states, actions| states.delete(&key(0), actions));
    world.event(|states, actions| states.delete(&key(0), actions));
    assert!(matches!(world.log.last(), Some(ShareRecord::Snapshot(_, None))));
    assert_eq!(world.log.len(), 10);
    assert!(world.replayed().is_empty());
}

#[test]
fn written_anew_the_states_need_nothing_that_was_written_before() {
    let mut world = World::default();
    for partition in 0..5 {
        world.initialize(partition, 1, 0).unwrap();
        world.write(partition, &write(1, 0, 3, vec![batch(4, 5, DeliveryState::Available, 1)])).unwrap();
    }
    world.log.clear();
    let mut after = Bound::Unbounded;
    while let Some(last) = world.event(|states, actions| states.snapshot(after.clone(), 2, actions)) {
        after = Bound::Excluded(last);
    }
    world.write(2, &write(1, 0, 6, vec![])).unwrap();
    assert_eq!(kept(&world.replayed()), kept(&world.states));
    assert_eq!(world.states.len(), 5);
}

#[test]
fn states_of_deleted_topics_go() {
    let mut world = World::default();
    world.initialize(0, 1, 0).unwrap();
    let image = Image::default();
    world.event(|states, actions| states.on_metadata(&image, actions));
    assert!(world.states.is_empty());
    assert!(world.replayed().is_empty());
}

#[derive(Clone, Debug)]
enum Event {
    Initialize(i32, i32, i64),
    Read(i32, i32),
    Write(i32, Write),
    Delete(i32),
}

fn events() -> impl Strategy<Value = Event> {
    let state = prop::sample::select(vec![
        DeliveryState::Available,
        DeliveryState::Acknowledged,
        DeliveryState::Archived,
    ]);
    let batches = prop::collection::vec(
        (0i64..30, 0i64..9, state, 1i16..4)
            .prop_map(|(first, more, state, deliveries)| batch(first, first + more, state, deliveries)),
        0..4,
    );
    prop_oneof![
        1 => (0..2i32, 1..4i32, -1i64..20).prop_map(|(partition, epoch, start)| Event::Initialize(partition, epoch, start)),
        1 => (0..2i32, 0..3i32).prop_map(|(partition, epoch)| Event::Read(partition, epoch)),
        6 => (0..2i32, 1..5i32, 0..3i32, -1i64..20, batches).prop_map(|(partition, state, leader, start, batches)| {
            Event::Write(partition, write(state, leader, start, batches))
        }),
        1 => (0..2i32).prop_map(Event::Delete),
    ]
}

proptest! {
    #[test]
    fn the_log_gives_the_states_again(events in prop::collection::vec(events(), 1..60)) {
        let mut world = World::default();
        for event in events {
            let before = kept(&world.states);
            let refused = match event {
                Event::Initialize(partition, epoch, start) => world.initialize(partition, epoch, start).is_err(),
                Event::Read(partition, epoch) => world.read(partition, epoch).is_err(),
                Event::Write(partition, write) => world.write(partition, &write).is_err(),
                Event::Delete(partition) => {
                    world.event(|states, actions| states.delete(&key(partition), actions));
                    false
                }
            };
            if refused {
                prop_assert_eq!(kept(&world.states), before, "a refused request changes nothing");
            }
            prop_assert_eq!(kept(&world.replayed()), kept(&world.states));
        }
    }
}
