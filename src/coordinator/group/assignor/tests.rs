//! Tests of the assignors: cases told in full, and what must hold for whatever members there are.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn topic(n: u128, partitions: u32) -> Topic {
    Topic { id: TopicId(uuid::Uuid::from_u128(n)), partitions }
}

/// An owned spec, from which a borrowed one is made.
#[derive(Clone, Debug, Default)]
struct Case {
    topics: Vec<Topic>,
    subscriptions: Vec<Vec<usize>>,
    members: Vec<(MemberId, Option<InstanceId>, usize, Option<Assignment>)>,
}

impl Case {
    fn new(topics: &[u32], subscriptions: &[&[usize]]) -> Self {
        Self {
            topics: topics.iter().zip(1..).map(|(partitions, n)| topic(n, *partitions)).collect(),
            subscriptions: subscriptions.iter().map(|topics| topics.to_vec()).collect(),
            members: vec![],
        }
    }

    fn member(mut self, id: &str, subscription: usize) -> Self {
        self.members.push((id.into(), None, subscription, None));
        self
    }

    fn spec(&self) -> Spec<'_> {
        Spec {
            topics: self.topics.clone(),
            subscriptions: self.subscriptions.clone(),
            members: self
                .members
                .iter()
                .map(|(id, instance, subscription, target)| MemberSpec {
                    id,
                    instance_id: instance.as_ref(),
                    subscription: *subscription,
                    target: target.as_ref(),
                })
                .collect(),
        }
    }

    /// Assigns, and has the result as the new targets.
    fn assign(&mut self, assignor: Assignor) -> Vec<Assignment> {
        let assignments = assignor.assign(&self.spec());
        for (member, target) in self.members.iter_mut().zip(&assignments) {
            member.3 = Some(target.clone());
        }
        assignments
    }
}

/// `1:0,1` for partitions 0 and 1 of the first topic.
fn told(assignment: &Assignment) -> String {
    let topics = assignment.topics().map(|(id, partitions)| {
        let list: Vec<String> = partitions.iter().map(ToString::to_string).collect();
        format!("{}:{}", id.0.as_u128(), list.join(","))
    });
    topics.collect::<Vec<_>>().join(" ")
}

fn all_told(assignments: &[Assignment]) -> Vec<String> {
    assignments.iter().map(told).collect()
}

#[test]
fn range_divides_topics_alike() {
    let mut case = Case::new(&[5, 5, 2], &[&[0, 1, 2]]).member("a", 0).member("b", 0);
    assert_eq!(all_told(&case.assign(Assignor::Range)), ["1:0,1,2 2:0,1,2 3:0", "1:3,4 2:3,4 3:1"]);
    let mut many = Case::new(&[1], &[&[0]]).member("a", 0).member("b", 0);
    assert_eq!(all_told(&many.assign(Assignor::Range)), ["1:0", ""]);
}

#[test]
fn range_counts_only_subscribers() {
    let mut case = Case::new(&[3, 3], &[&[0, 1], &[1]]).member("a", 0).member("b", 1);
    assert_eq!(all_told(&case.assign(Assignor::Range)), ["1:0,1,2 2:0,1", "2:2"]);
}

#[test]
fn static_members_come_first_in_the_order_of_their_instances() {
    let mut case = Case::new(&[3], &[&[0]]).member("a", 0).member("b", 0).member("c", 0);
    case.members[2].1 = Some("i1".into());
    case.members[1].1 = Some("i2".into());
    assert_eq!(all_told(&case.assign(Assignor::Range)), ["1:2", "1:1", "1:0"]);
}

#[test]
fn uniform_spreads_and_moves_only_what_is_too_much() {
    let mut case = Case::new(&[4, 3], &[&[0, 1]]).member("a", 0);
    assert_eq!(all_told(&case.assign(Assignor::Uniform)), ["1:0,1,2,3 2:0,1,2"]);
    case = case.member("b", 0);
    assert_eq!(all_told(&case.assign(Assignor::Uniform)), ["1:0,1,2,3", "2:0,1,2"]);
    // The third gets from both, and what they keep is theirs as it was.
    case = case.member("c", 0);
    assert_eq!(all_told(&case.assign(Assignor::Uniform)), ["1:0,1,2", "2:0,1", "1:3 2:2"]);
    // A member leaves: only its partitions move.
    case.members.remove(0);
    assert_eq!(all_told(&case.assign(Assignor::Uniform)), ["1:0,1 2:0,1", "1:2,3 2:2"]);
}

#[test]
fn uniform_lets_those_with_more_keep_the_extra_one() {
    let mut case = Case::new(&[3], &[&[0]]).member("a", 0).member("b", 0);
    let target = |partitions: &[i32]| {
        Some(partitions.iter().map(|at| (topic(1, 3).id, PartitionIndex(*at))).collect::<Assignment>())
    };
    case.members[0].3 = target(&[0]);
    case.members[1].3 = target(&[1, 2]);
    assert_eq!(all_told(&case.assign(Assignor::Uniform)), ["1:0", "1:1,2"]);
}

#[test]
fn uniform_with_different_subscriptions_balances_what_it_can() {
    let mut case = Case::new(&[3, 3], &[&[0], &[0, 1]]).member("a", 0).member("b", 1);
    assert_eq!(all_told(&case.assign(Assignor::Uniform)), ["1:0,1,2", "2:0,1,2"]);
    // Somebody who may have both topics takes one of each, where most is.
    case = case.member("c", 1);
    let loads: Vec<usize> = case.assign(Assignor::Uniform).iter().map(Assignment::len).collect();
    assert_eq!(loads, [2, 2, 2]);
}

#[test]
fn a_previous_target_that_lies_is_survived() {
    for assignor in [Assignor::Uniform, Assignor::Range] {
        let mut case = Case::new(&[2, 1], &[&[0], &[1]]).member("a", 0).member("b", 0).member("c", 1);
        let lie: Assignment = [(1, 0), (1, 7), (1, -1), (2, 0), (9, 0)]
            .into_iter()
            .map(|(n, at)| (topic(n, 0).id, PartitionIndex(at)))
            .collect();
        for member in &mut case.members {
            member.3 = Some(lie.clone());
        }
        assert_eq!(all_told(&case.assign(assignor)), ["1:0", "1:1", "2:0"]);
    }
}

fn case() -> impl Strategy<Value = Case> {
    let topics = prop::collection::vec(1_u32..7, 1..5);
    (topics, 1_usize..4).prop_flat_map(|(topics, subscriptions)| {
        let subscription = prop::collection::btree_set(0..topics.len(), 0..=topics.len());
        let subscriptions = prop::collection::vec(subscription, subscriptions);
        let members = prop::collection::vec((0_usize..3, any::<bool>()), 1..9);
        (Just(topics), subscriptions, members).prop_map(|(topics, subscriptions, members)| {
            let mut case = Case::new(&topics, &[]);
            for set in subscriptions {
                let list: Vec<usize> = set.into_iter().collect();
                if !case.subscriptions.contains(&list) {
                    case.subscriptions.push(list);
                }
            }
            for (n, (subscription, is_static)) in members.into_iter().enumerate() {
                let instance = is_static.then(|| InstanceId::from(format!("i{n}")));
                let subscription = subscription % case.subscriptions.len();
                case.members.push((format!("m{n}").into(), instance, subscription, None));
            }
            case
        })
    })
}

/// Who has each partition.
fn owners(case: &Case, assignments: &[Assignment]) -> BTreeMap<(TopicId, PartitionIndex), usize> {
    let mut owners = BTreeMap::new();
    for (member, assignment) in assignments.iter().enumerate() {
        for (topic, at) in assignment.iter() {
            let of = &case.subscriptions[case.members[member].2];
            assert!(of.iter().any(|of| case.topics[*of].id == topic), "given to a subscriber only");
            assert!(owners.insert((topic, at), member).is_none(), "given once");
        }
    }
    owners
}

/// How many partitions have a subscriber at all.
fn assignable(case: &Case) -> usize {
    let subscribed = |topic: usize| case.members.iter().any(|of| case.subscriptions[of.2].contains(&topic));
    (0..case.topics.len()).filter(|at| subscribed(*at)).map(|at| case.topics[at].partitions as usize).sum()
}

proptest! {
    #[test]
    fn every_partition_has_one_subscriber(mut case in case(), range: bool) {
        let assignor = if range { Assignor::Range } else { Assignor::Uniform };
        let assignments = case.assign(assignor);
        prop_assert_eq!(owners(&case, &assignments).len(), assignable(&case));
    }

    #[test]
    fn uniform_is_balanced_and_stable(mut case in case()) {
        let first = case.assign(Assignor::Uniform);
        prop_assert_eq!(&case.assign(Assignor::Uniform), &first, "nothing moves without a cause");
        if case.subscriptions.len() == 1 {
            let loads = first.iter().map(Assignment::len);
            prop_assert!(loads.clone().max().unwrap_or(0) <= loads.min().unwrap_or(0) + 1);
        }
    }

    #[test]
    fn a_member_that_leaves_moves_only_what_it_had(mut case in case(), gone: prop::sample::Index) {
        case.subscriptions.truncate(1);
        case.members.iter_mut().for_each(|member| member.2 = 0);
        case.topics.truncate(case.subscriptions[0].len());
        case.subscriptions[0] = (0..case.topics.len()).collect();
        let before = case.assign(Assignor::Uniform);
        let before = owners(&case, &before);
        let gone = gone.index(case.members.len());
        let names: Vec<MemberId> = case.members.iter().map(|member| member.0.clone()).collect();
        case.members.remove(gone);
        let after = case.assign(Assignor::Uniform);
        for (partition, now) in owners(&case, &after) {
            let was = before[&partition];
            prop_assert!(was == gone || names[was] == case.members[now].0, "{partition:?} moved");
        }
    }

    #[test]
    fn a_member_that_joins_moves_only_its_share(mut case in case()) {
        case.subscriptions.truncate(1);
        case.members.iter_mut().for_each(|member| member.2 = 0);
        case.topics.truncate(case.subscriptions[0].len());
        case.subscriptions[0] = (0..case.topics.len()).collect();
        let before = case.assign(Assignor::Uniform);
        let before = owners(&case, &before);
        let joined = case.members.len();
        case.members.push(("a new one".into(), None, 0, None));
        let after = case.assign(Assignor::Uniform);
        for (partition, now) in owners(&case, &after) {
            prop_assert!(now == joined || now == before[&partition], "{partition:?} moved between the old ones");
        }
    }
}
