//! Tests of the planners: exact commands and exact refusals.

use super::*;
use crate::config::{Change, Operation};
use crate::metadata::{ClusterId, LogId, PARTITIONS_MAX, Settings, TopicImage};
use crate::model::{BrokerId, PartitionIndex, ProducerId, TopicId};
use std::collections::BTreeMap;
use std::sync::Arc;

const NODE: BrokerId = BrokerId(1);

fn uuid(n: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(n)
}

fn apply(image: &mut Image, commands: &[Command]) {
    for command in commands {
        let id = LogId { term: 1, index: image.applied().index + 1 };
        image.apply(id, command).expect("what was planned applies");
    }
}

/// An image of a cluster with brokers 1 to `brokers`.
fn cluster(brokers: i32) -> Image {
    let mut image = Image::default();
    apply(&mut image, &[Command::InitCluster { cluster_id: ClusterId(uuid(9)), features: BTreeMap::new() }]);
    for broker in 1..=brokers {
        plan(&mut image, StartBroker { broker: BrokerId(broker), endpoints: Vec::new(), rack: None })
            .unwrap();
    }
    image
}

/// Plans and applies, with ids that count from 100.
fn plan<M: Mutation>(image: &mut Image, mutation: M) -> Result<M::Outcome, Refusal> {
    let planned = only_plan(image, mutation, true)?;
    apply(image, &planned.commands);
    Ok(planned.outcome)
}

fn only_plan<M: Mutation>(
    image: &Image,
    mutation: M,
    deletion: bool,
) -> Result<Planned<M::Outcome>, Refusal> {
    let mut id = 100 + u128::from(image.applied().index) * 100;
    let mut new_id = || {
        id += 1;
        uuid(id)
    };
    let mut settings = BrokerSettings::default();
    settings.topics.delete_enabled = deletion;
    settings.topics.partitions = 2;
    mutation.plan(image, &mut PlanInputs { settings: &settings, new_id: &mut new_id })
}

fn topic(name: &str, partitions: i32, replication_factor: i16) -> NewTopic {
    NewTopic { partitions, replication_factor, ..NewTopic::with_defaults(name) }
}

fn create(image: &mut Image, topics: Vec<NewTopic>) -> Vec<PlannedTopic> {
    plan(image, CreateTopics { topics, validate_only: false }).expect("the request is planned")
}

/// Plans one topic and returns why it is refused.
fn refused(image: &Image, topic: NewTopic) -> (Reason, String) {
    let request = CreateTopics { topics: vec![topic], validate_only: false };
    let planned = only_plan(image, request, true).expect("the request is planned");
    assert_eq!(planned.commands, [], "a refusal has no effect");
    let refusal =
        planned.outcome.into_iter().next().and_then(|(_, result)| result.err()).expect("it is refused");
    (refusal.reason, refusal.message.unwrap_or_default())
}

fn shape(topic: &TopicImage) -> (usize, i16) {
    (topic.partitions.len(), topic.replication_factor())
}

#[test]
fn topics_are_created_with_what_was_asked_or_the_defaults() {
    let mut image = cluster(1);
    let mut with_config = topic("c", 1, 1);
    with_config.configs = vec![("retention.ms".to_owned(), Some("5".to_owned()))];
    let created = create(&mut image, vec![topic("a", 3, 1), topic("b", -1, -1), with_config]);
    for (name, result) in &created {
        let topic = result.as_ref().expect("it is created");
        assert_eq!(image.topic(name), Some(topic), "the answer is what the image holds");
    }
    assert_eq!(shape(image.topic("a").unwrap()), (3, 1));
    assert_eq!(shape(image.topic("b").unwrap()), (2, 1));
    assert_eq!(image.config(&ConfigResource::Topic("c".to_owned()))["retention.ms"], "5");
}

#[test]
fn validation_alone_creates_nothing_but_answers() {
    let mut image = cluster(1);
    let request = CreateTopics { topics: vec![topic("a", 3, 1)], validate_only: true };
    let answer = plan(&mut image, request).unwrap();
    assert_eq!(shape(answer[0].1.as_ref().unwrap()), (3, 1));
    assert_eq!(image.topic_count(), 0);
}

#[test]
fn refusals_of_new_topics_use_kafkas_words() {
    let mut image = cluster(1);
    create(&mut image, vec![topic("has.dot", 1, 1)]);
    let with_null = NewTopic {
        configs: vec![("x".to_owned(), None), ("y".to_owned(), None)],
        ..NewTopic::with_defaults("a")
    };
    let with_bad =
        NewTopic { configs: vec![("bad".to_owned(), Some("1".to_owned()))], ..NewTopic::with_defaults("a") };
    let cases = [
        (topic("has.dot", 1, 1), Reason::TopicAlreadyExists, "Topic 'has.dot' already exists."),
        (
            topic("has_dot", 1, 1),
            Reason::InvalidTopic,
            "Topic 'has_dot' collides with existing topic: has.dot",
        ),
        (topic("", 1, 1), Reason::InvalidTopic, "Topic name is invalid: the empty string is not allowed"),
        (
            topic("__consumer_offsets", 1, 1),
            Reason::InvalidTopic,
            "Topic '__consumer_offsets' is internal: it is created with the coordinator that it belongs to.",
        ),
        (
            topic("__cluster_metadata", 1, 1),
            Reason::InvalidRequest,
            "Creation of internal topic __cluster_metadata is prohibited.",
        ),
        (
            topic("a", 0, 1),
            Reason::InvalidPartitions,
            "Number of partitions was set to an invalid non-positive value.",
        ),
        (
            topic("a", 1, 0),
            Reason::InvalidReplicationFactor,
            "Replication factor must be larger than 0, or -1 to use the default value.",
        ),
        (
            topic("a", 1, 3),
            Reason::InvalidReplicationFactor,
            "Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached because \
             only 1 broker(s) are registered.",
        ),
        (with_null, Reason::InvalidConfig, "Null value not supported for topic configs: x,y"),
        (with_bad, Reason::InvalidConfig, "Unknown topic config name: bad"),
    ];
    for (topic, reason, message) in cases {
        assert_eq!(refused(&image, topic), (reason, message.to_owned()));
    }
}

fn assigned(assignments: &[(i32, &[i32])]) -> NewTopic {
    let assignment = |(partition, brokers): &(i32, &[i32])| {
        (PartitionIndex(*partition), brokers.iter().copied().map(BrokerId).collect())
    };
    NewTopic { assignments: assignments.iter().map(assignment).collect(), ..NewTopic::with_defaults("a") }
}

#[test]
fn assignments_of_clients_are_kept() {
    let mut image = cluster(3);
    create(&mut image, vec![assigned(&[(1, &[2, 3]), (0, &[3, 1])])]);
    let partitions = &image.topic("a").unwrap().partitions;
    assert_eq!(partitions[0].replicas, [BrokerId(3), BrokerId(1)]);
    assert_eq!((partitions[1].leader, partitions.len()), (BrokerId(2), 2));
}

#[test]
fn wrong_assignments_are_refused() {
    let image = cluster(2);
    let bad = |assignments: &[(i32, &[i32])]| refused(&image, assigned(assignments));
    let wrong = |message: &str| (Reason::InvalidReplicaAssignment, message.to_owned());
    assert_eq!(
        bad(&[(0, &[1]), (0, &[1])]),
        wrong("Found multiple manual partition assignments for partition 0")
    );
    assert_eq!(bad(&[(1, &[1])]), wrong("partitions should be a consecutive 0-based integer sequence"));
    assert_eq!(bad(&[(0, &[])]), wrong("The manual partition assignment includes an empty replica list."));
    assert_eq!(
        bad(&[(0, &[7])]),
        wrong("The manual partition assignment includes broker 7, but no such broker is registered.")
    );
    assert_eq!(
        bad(&[(0, &[1, 1])]),
        wrong("The manual partition assignment includes the broker 1 more than once.")
    );
    assert_eq!(
        bad(&[(0, &[1]), (1, &[1, 2])]),
        wrong(
            "The manual partition assignment includes a partition with 2 replica(s), but this is not consistent with \
             previous partitions, which have 1 replica(s)."
        )
    );
    let both = NewTopic { partitions: 1, ..assigned(&[(0, &[1])]) };
    assert_eq!(refused(&image, both).0, Reason::InvalidRequest);
    let both = NewTopic { replication_factor: 1, ..assigned(&[(0, &[1])]) };
    assert_eq!(refused(&image, both).0, Reason::InvalidRequest);
}

#[test]
fn one_refused_topic_does_not_keep_others_from_being_created() {
    let mut image = cluster(1);
    let topics =
        vec![topic("twice", 1, 1), topic("bad/name", 1, 1), topic("good", 1, 1), topic("twice", 2, 1)];
    let created = create(&mut image, topics);
    let told: Vec<(&str, Option<Reason>)> = created
        .iter()
        .map(|(name, result)| (name.as_str(), result.as_ref().err().map(|refusal| refusal.reason)))
        .collect();
    assert_eq!(
        told,
        [("bad/name", Some(Reason::InvalidTopic)), ("good", None), ("twice", Some(Reason::InvalidRequest))]
    );
    assert_eq!(image.topic_count(), 1);
}

#[test]
fn too_many_partitions_refuse_the_whole_request() {
    let image = cluster(1);
    for topics in [vec![topic("a", 10_001, 1)], vec![topic("a", 9_999, 1), topic("b", -1, 1)]] {
        let refusal = only_plan(&image, CreateTopics { topics, validate_only: false }, true).unwrap_err();
        assert_eq!(refusal.reason, Reason::PolicyViolation);
    }
    let request =
        CreateTopics { topics: vec![topic("a", 9_998, 1), topic("b", -1, 1)], validate_only: false };
    assert_eq!(only_plan(&image, request, true).unwrap().commands.len(), 2);
}

#[test]
fn the_cluster_holds_no_more_than_its_bound() {
    let mut image = cluster(1);
    for n in 0..PARTITIONS_MAX / 10_000 {
        create(&mut image, vec![topic(&format!("t{n}"), 10_000, 1)]);
    }
    assert_eq!(image.partition_count(), PARTITIONS_MAX);
    assert_eq!(refused(&image, topic("one-more", 1, 1)).0, Reason::PolicyViolation);
    let more = CreatePartitions {
        topics: vec![MorePartitions { name: "t0".to_owned(), count: 10_001, assignments: None }],
        validate_only: false,
    };
    let planned = only_plan(&image, more, true).unwrap();
    assert_eq!(planned.outcome[0].1.as_ref().unwrap_err().reason, Reason::PolicyViolation);
}

#[test]
fn replicas_spread_over_brokers() {
    let mut image = cluster(3);
    create(&mut image, vec![topic("a", 6, 2)]);
    let topic = Arc::clone(image.topic("a").unwrap());
    for broker in 1..=3 {
        let leads = topic.partitions.iter().filter(|partition| partition.leader == BrokerId(broker)).count();
        assert_eq!(leads, 2);
    }
    assert!(topic.partitions.iter().all(|partition| partition.replicas[0] != partition.replicas[1]));
}

#[test]
fn topics_are_deleted_by_name_or_id() {
    let mut image = cluster(1);
    create(&mut image, vec![topic("a", 1, 1), topic("b", 1, 1), topic("c", 1, 1)]);
    let id = |image: &Image, name: &str| image.topic(name).unwrap().id;
    let (a, b) = (id(&image, "a"), id(&image, "b"));
    let request = DeleteTopics { topics: vec![TopicName::named("a"), TopicName::with_id(b)] };
    let answer = plan(&mut image, request).unwrap();
    let named = |name: &str, id| TopicName { name: Some(name.to_owned()), id };
    assert_eq!(answer, [(named("a", a), Ok(())), (named("b", b), Ok(()))]);
    assert_eq!(image.topics().map(|topic| topic.name.as_str()).collect::<Vec<_>>(), ["c"]);
}

#[test]
fn refusals_of_deletions_use_kafkas_words() {
    let mut image = cluster(1);
    create(&mut image, vec![topic("a", 1, 1)]);
    let id = image.topic("a").unwrap().id;
    let unknown = TopicId(uuid(4));
    let refusals = |topics: Vec<TopicName>| -> Vec<(Reason, String)> {
        let planned = only_plan(&image, DeleteTopics { topics }, true).unwrap();
        assert_eq!(planned.commands, []);
        let refusals = planned.outcome.into_iter().map(|(_, result)| result.unwrap_err());
        refusals.map(|refusal| (refusal.reason, refusal.message.unwrap_or_default())).collect()
    };
    let said = |reason, message: &str| vec![(reason, message.to_owned())];
    assert_eq!(
        refusals(vec![TopicName::named("nope")]),
        said(Reason::UnknownTopicOrPartition, "This server does not host this topic-partition.")
    );
    assert_eq!(
        refusals(vec![TopicName::with_id(unknown)]),
        said(Reason::UnknownTopicId, "This server does not host this topic ID.")
    );
    assert_eq!(
        refusals(vec![TopicName::default()]),
        said(Reason::InvalidRequest, "Neither topic name nor id were specified.")
    );
    assert_eq!(
        refusals(vec![TopicName { name: Some("a".to_owned()), id }]),
        said(Reason::InvalidRequest, "You may not specify both topic name and topic id.")
    );
    let twice = said(Reason::InvalidRequest, "Duplicate topic name.");
    assert_eq!(refusals(vec![TopicName::named("a"), TopicName::named("a")]), twice);
    let twice = said(Reason::InvalidRequest, "Duplicate topic id.");
    assert_eq!(refusals(vec![TopicName::with_id(id), TopicName::with_id(id)]), twice);
    let both =
        said(Reason::InvalidRequest, "The provided topic name maps to an ID that was already supplied.");
    assert_eq!(refusals(vec![TopicName::with_id(id), TopicName::named("a")]), both);
    let disabled =
        only_plan(&image, DeleteTopics { topics: vec![TopicName::named("a")] }, false).unwrap_err();
    assert_eq!(disabled.reason, Reason::TopicDeletionDisabled);
}

#[test]
fn partitions_are_added_or_refused_in_kafkas_words() {
    let mut image = cluster(1);
    create(&mut image, vec![topic("a", 2, 1)]);
    let more = |name: &str, count, assignments: Option<Vec<Vec<i32>>>| {
        let brokers = |brokers: Vec<i32>| brokers.into_iter().map(BrokerId).collect();
        let assignments = assignments.map(|lists| lists.into_iter().map(brokers).collect());
        MorePartitions { name: name.to_owned(), count, assignments }
    };
    let refused = |image: &Image, topics: Vec<MorePartitions>| {
        let planned = only_plan(image, CreatePartitions { topics, validate_only: false }, true).unwrap();
        assert_eq!(planned.commands, []);
        let refusal = planned.outcome.into_iter().next().unwrap().1.unwrap_err();
        (refusal.reason, refusal.message)
    };
    let said = |reason, message: &str| (reason, Some(message.to_owned()));
    assert_eq!(refused(&image, vec![more("nope", 3, None)]), (Reason::UnknownTopicOrPartition, None));
    assert_eq!(
        refused(&image, vec![more("a", 2, None)]),
        said(Reason::InvalidPartitions, "Topic already has 2 partition(s).")
    );
    assert_eq!(
        refused(&image, vec![more("a", -1, None)]),
        said(
            Reason::InvalidPartitions,
            "The topic a currently has 2 partition(s); -1 would not be an increase."
        )
    );
    assert_eq!(
        refused(&image, vec![more("a", 4, Some(vec![vec![1]]))]),
        said(
            Reason::InvalidReplicaAssignment,
            "Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified."
        )
    );
    assert_eq!(refused(&image, vec![more("a", 3, Some(vec![vec![5]]))]).0, Reason::InvalidReplicaAssignment);
    assert_eq!(
        refused(&image, vec![more("a", 3, None), more("a", 4, None)]),
        said(Reason::InvalidRequest, "Duplicate topic name.")
    );
    let huge = CreatePartitions { topics: vec![more("a", i32::MAX, None)], validate_only: false };
    assert!(only_plan(&image, huge, true).is_ok_and(|planned| planned.outcome[0].1.is_err()));
    let request = CreatePartitions { topics: vec![more("a", 5, None)], validate_only: true };
    assert_eq!(only_plan(&image, request, true).unwrap().commands, []);
    let request = CreatePartitions { topics: vec![more("a", 3, Some(vec![vec![1]]))], validate_only: false };
    assert_eq!(plan(&mut image, request), Ok(vec![("a".to_owned(), Ok(()))]));
    assert_eq!(image.topic("a").unwrap().partitions.len(), 3);
}

#[test]
fn settings_change_by_their_difference() {
    let mut image = cluster(1);
    create(&mut image, vec![topic("a", 1, 1)]);
    let resource = ConfigResource::Topic("a".to_owned());
    let change = |change| AlterConfigs { resources: vec![(resource.clone(), change)], validate_only: false };
    let operation = |name: &str, operation, value: &str| Change {
        name: name.to_owned(),
        operation,
        value: Some(value.to_owned()),
    };
    let set = ConfigChange::Incremental(vec![
        operation("retention.ms", Operation::Set, "1"),
        operation("retention.bytes", Operation::Set, "2"),
    ]);
    plan(&mut image, change(set.clone())).unwrap();
    assert_eq!(only_plan(&image, change(set), true).unwrap().commands, [], "nothing changes");
    let replace = ConfigChange::Replace(Settings::from([("retention.bytes".to_owned(), "3".to_owned())]));
    let planned = only_plan(&image, change(replace), true).unwrap();
    let settings = BTreeMap::from([
        ("retention.ms".to_owned(), None),
        ("retention.bytes".to_owned(), Some("3".to_owned())),
    ]);
    assert_eq!(planned.commands, [Command::SetConfigs { resource: resource.clone(), settings }]);
    let bad = change(ConfigChange::Incremental(vec![operation("bad", Operation::Set, "1")]));
    let planned = only_plan(&image, bad, true).unwrap();
    assert_eq!((planned.outcome[0].1.is_err(), planned.commands.len()), (true, 0));
    let long =
        change(ConfigChange::Replace(Settings::from([("retention.bytes".to_owned(), "3".repeat(40_000))])));
    assert!(only_plan(&image, long, true).unwrap().outcome[0].1.is_err());
    let unknown = AlterConfigs {
        resources: vec![(ConfigResource::Topic("b".to_owned()), ConfigChange::Replace(Settings::new()))],
        validate_only: false,
    };
    let refusal = only_plan(&image, unknown, true).unwrap().outcome.remove(0).1.unwrap_err();
    assert_eq!(refusal.reason, Reason::UnknownTopicOrPartition);
}

#[test]
fn producer_ids_come_in_blocks_that_never_repeat() {
    let mut image = cluster(1);
    for block in 0..3 {
        let given = plan(&mut image, AllocateProducerIds { broker: NODE }).unwrap();
        assert_eq!(given, ProducerIdBlock { first: ProducerId(block * 1000), len: 1000 });
    }
    let stranger = plan(&mut image, AllocateProducerIds { broker: BrokerId(9) }).unwrap_err();
    assert_eq!(stranger.reason, Reason::BrokerIdNotRegistered);
}

#[test]
fn the_cluster_is_initialised_once() {
    let mut image = Image::default();
    let init = |n| InitCluster { cluster_id: ClusterId(uuid(n)), features: BTreeMap::new() };
    assert_eq!(plan(&mut image, init(1)), Ok(ClusterId(uuid(1))));
    assert_eq!(plan(&mut image, init(2)), Ok(ClusterId(uuid(1))));
    assert_eq!(image.applied().index, 1);
}

#[test]
fn feature_levels_stay_within_what_is_supported() {
    let mut image = cluster(1);
    let change = |name: &str, level, upgrade| UpdateFeatures {
        broker: NODE,
        changes: vec![FeatureChange { name: name.to_owned(), level, upgrade }],
        supported: vec![SupportedFeature {
            name: "metadata.version".to_owned(),
            min: 7,
            max: 29,
            downgrade_min: 28,
        }],
        validate_only: false,
    };
    plan(&mut image, change("metadata.version", 29, Upgrade::Upgrade)).unwrap();
    let cases = [
        ("metadata.version", 30, Upgrade::Upgrade, "Local controller 1 only supports versions 7-29"),
        ("metadata.version", -1, Upgrade::Upgrade, "A feature version cannot be less than 0."),
        (
            "metadata.version",
            28,
            Upgrade::Upgrade,
            "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe \
             downgrade.",
        ),
        ("metadata.version", 29, Upgrade::Unknown, "The controller does not support the given upgrade type."),
        ("un.heard", 1, Upgrade::Upgrade, "Local controller 1 does not support this feature."),
        ("un.heard", 0, Upgrade::Upgrade, "Feature un.heard not found."),
    ];
    for (name, level, upgrade, why) in cases {
        let refusal = only_plan(&image, change(name, level, upgrade), true).unwrap_err();
        let message = format!(
            "The update failed for all features since the following feature had an error: Invalid update version \
             {level} for feature {name}. {why}"
        );
        assert_eq!(refusal, Refusal::new(Reason::InvalidUpdateVersion, message));
    }
    let low = only_plan(&image, change("metadata.version", 20, Upgrade::SafeDowngrade), true).unwrap_err();
    assert!(low.to_string().contains("Unsupported metadata.version downgrade from 29 to 20."), "{low}");
    plan(&mut image, change("metadata.version", 28, Upgrade::SafeDowngrade)).unwrap();
    assert_eq!(image.cluster().features["metadata.version"], 28);
    let newer = only_plan(&image, change("metadata.version", 29, Upgrade::SafeDowngrade), true).unwrap_err();
    assert!(newer.to_string().ends_with("Can't downgrade to a newer version."), "{newer}");
}

#[test]
fn replicas_stay_where_they_are() {
    let mut image = cluster(2);
    create(&mut image, vec![assigned(&[(0, &[1])])]);
    let check = |topic, partition, replicas: Option<&[i32]>| {
        let replicas = replicas.map(|ids| ids.iter().copied().map(BrokerId).collect::<Vec<_>>());
        check_reassignment(&image, topic, PartitionIndex(partition), replicas.as_deref())
    };
    assert_eq!(check("a", 0, Some(&[1])), Ok(()));
    assert_eq!(check("a", 0, None), Err(Reason::NoReassignmentInProgress.into()));
    let told = |replicas: Option<&[i32]>| check("a", 0, replicas).unwrap_err().reason;
    assert_eq!(told(Some(&[2])), Reason::InvalidReplicaAssignment);
    assert_eq!(told(Some(&[7])), Reason::InvalidReplicaAssignment);
    assert_eq!(told(Some(&[])), Reason::InvalidReplicaAssignment);
    let unknown = |message: &str| Err(Refusal::new(Reason::UnknownTopicOrPartition, message));
    assert_eq!(check("a", 9, Some(&[1])), unknown("Unable to find partition a:9."));
    assert_eq!(check("b", 0, Some(&[1])), unknown("Unable to find a topic named b."));
}
