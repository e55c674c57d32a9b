//! Random lives of groups against a model: offsets are what was last accepted, and the log gives them back.

use super::*;
use crate::coordinator::group::Kind;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Commit {
        group: usize,
        generation: i32,
        member: usize,
        partitions: Vec<(usize, i32, i64, usize)>,
        own: Option<i64>,
    },
    Join {
        group: usize,
        kind: usize,
    },
    DeleteOffsets {
        group: usize,
        topic: usize,
        partition: i32,
    },
    DeleteGroup {
        group: usize,
    },
    Pass {
        ms: i64,
    },
    Expire,
    Recreate {
        topic: usize,
    },
    Restart,
}

const GROUPS: [&str; 3] = ["g", "h", ""];
const TOPICS: [&str; 3] = ["a", "b", "nope"];
const METADATA: [&str; 3] = ["", "x", "a longer text"];

fn step() -> impl Strategy<Value = Step> {
    let partition = (0..3usize, -1..4i32, 0..100i64, 0..3usize);
    let own = proptest::option::of(0..3 * DAY_MS);
    prop_oneof![
        8 => (0..3usize, -1..3i32, 0..3usize, prop::collection::vec(partition, 1..4), own).prop_map(
            |(group, generation, member, partitions, own)| Step::Commit { group, generation, member, partitions, own }
        ),
        2 => (0..3usize, 0..2usize).prop_map(|(group, kind)| Step::Join { group, kind }),
        2 => (0..3usize, 0..3usize, 0..3i32)
            .prop_map(|(group, topic, partition)| Step::DeleteOffsets { group, topic, partition }),
        1 => (0..3usize).prop_map(|group| Step::DeleteGroup { group }),
        3 => prop_oneof![0..60_000i64, 0..3 * RETENTION_MS].prop_map(|ms| Step::Pass { ms }),
        2 => Just(Step::Expire),
        1 => (0..2usize).prop_map(|topic| Step::Recreate { topic }),
        1 => Just(Step::Restart),
    ]
}

type Model = BTreeMap<(String, String, i32), OffsetValue>;

/// What a commit was answered must be what became of the offsets: those that were taken are there, all others as before.
fn check_commit(before: Model, bench: &Bench, group: &str, commit: &Commit, answers: &Committed) {
    let mut expected = before;
    for (topic, answers) in commit.topics.iter().zip(answers) {
        let TopicRef::Name(name) = &topic.topic else { continue };
        for (partition, answer) in topic.partitions.iter().zip(answers) {
            if answer.is_err() {
                continue;
            }
            let value = OffsetValue {
                offset: partition.offset,
                leader_epoch: partition.leader_epoch,
                metadata: partition.metadata.clone().unwrap_or_default(),
                committed_at: TimestampMs(bench.now),
                expires_at: commit.retention_ms.map(|ms| TimestampMs(bench.now + ms)),
                topic_id: bench.image.topic(name).expect("an accepted topic exists").id,
            };
            expected.insert((group.to_owned(), name.clone(), partition.partition.0), value);
        }
    }
    assert_eq!(offsets_of(&bench.groups), expected);
}

fn run(bench: &mut Bench, step: Step, members: &mut BTreeMap<usize, String>, ids: &mut [u128; 2]) {
    match step {
        Step::Commit { group, generation, member, partitions, own } => {
            let parts: Vec<_> =
                partitions.iter().map(|(topic, n, at, _)| (TOPICS[*topic], *n, *at)).collect();
            let mut commit = Commit { generation, retention_ms: own, ..simple(&parts) };
            commit.member_id = match member {
                0 => String::new(),
                1 => "stranger".to_owned(),
                _ => members.get(&group).cloned().unwrap_or_default(),
            };
            for (topic, (.., metadata)) in commit.topics.iter_mut().zip(&partitions) {
                topic.partitions[0].metadata = Some(METADATA[*metadata].into());
            }
            let before = offsets_of(&bench.groups);
            let answers = bench.commit(GROUPS[group], commit.clone());
            check_commit(before, bench, GROUPS[group], &commit, &answers);
        }
        Step::Join { group, kind }
            if bench.groups.get(GROUPS[group]).is_none_or(|group| kinds::is_empty(group.kind())) =>
        {
            if !GROUPS[group].is_empty() {
                let member = bench.join(GROUPS[group], "consumer", ["a", "b"][kind]);
                members.insert(group, member);
            }
        }
        Step::Join { .. } => {}
        Step::DeleteOffsets { group, topic, partition } => {
            let topics = vec![(TOPICS[topic].to_owned(), vec![PartitionIndex(partition)])];
            let before = offsets_of(&bench.groups);
            let answer = bench.event(|groups, turn, actions| {
                groups.delete_offsets(&GROUPS[group].into(), &topics, turn, actions)
            });
            let mut expected = before;
            if answer.is_ok_and(|answer| answer[0][0].is_ok()) {
                expected.remove(&(GROUPS[group].to_owned(), TOPICS[topic].to_owned(), partition));
            }
            assert_eq!(offsets_of(&bench.groups), expected);
        }
        Step::DeleteGroup { group } => {
            let id = GroupId::from(GROUPS[group]);
            let gone = bench.event(|groups, _, actions| groups.delete_group(&id, actions));
            assert!(gone.is_err() || bench.groups.get(id.as_str()).is_none());
        }
        Step::Pass { ms } => {
            bench.now += ms;
            bench.event(|groups, turn, actions| groups.on_time(turn, actions));
        }
        Step::Expire => check_expiry(bench),
        Step::Recreate { topic } => {
            ids[topic] += 2;
            bench.image = image(&[(ids[0], "a", 3), (ids[1], "b", 2)]);
            bench.event(|groups, turn, actions| groups.on_topics_deleted(turn, actions));
            let id = TopicId(uuid::Uuid::from_u128(ids[topic]));
            let stale = |((_, name, _), value): (&(String, String, i32), &OffsetValue)| {
                name == TOPICS[topic] && value.topic_id != id
            };
            assert!(!offsets_of(&bench.groups).iter().any(stale));
        }
        Step::Restart => {
            bench.groups = bench.replayed();
            members.clear();
        }
    }
}

/// Nothing expires before its time.
fn check_expiry(bench: &mut Bench) {
    let before = offsets_of(&bench.groups);
    let emptied = |id: &str| match bench.groups.get(id).map(|group| group.kind()) {
        Some(Kind::Classic(group)) if group.protocol_type().is_some() => group.is_empty_since(),
        _ => None,
    };
    let since: BTreeMap<_, _> = GROUPS.map(|id| (id, emptied(id))).into();
    bench.expire();
    let after = offsets_of(&bench.groups);
    for (key, value) in &before {
        // Kafka counts from when the group became empty, even for what was committed after.
        let from = since[key.0.as_str()].unwrap_or(value.committed_at);
        let due = value.expires_at.map_or(from.0 + RETENTION_MS, |at| at.0);
        assert!(after.get(key) == Some(value) || due <= bench.now, "{key:?} expired early");
    }
    assert!(after.iter().all(|(key, value)| before.get(key) == Some(value)), "expiry commits nothing");
}

proptest! {
    #[test]
    fn committed_offsets_are_what_was_last_accepted(steps in prop::collection::vec(step(), 1..60)) {
        let (mut bench, mut members, mut ids) = (Bench::new(), BTreeMap::new(), [1, 2]);
        for step in steps {
            run(&mut bench, step, &mut members, &mut ids);
            bench.check();
        }
    }
}
