//! Tests of the image and of how commands apply to it.

use super::*;
use crate::model::{BrokerId, LeaderEpoch, PartitionIndex, ProducerId, TopicId};
use proptest::prelude::*;
use std::collections::BTreeMap;

const NODE: BrokerId = BrokerId(1);

fn uuid(n: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(n)
}

fn at(index: u64) -> LogId {
    LogId { term: 1, index }
}

fn init() -> Command {
    let features = BTreeMap::from([("metadata.version".to_owned(), 29)]);
    Command::InitCluster { cluster_id: ClusterId(uuid(9)), features }
}

fn start(broker: BrokerId) -> Command {
    let endpoints =
        vec![Endpoint { listener: "PLAINTEXT".to_owned(), host: "127.0.0.1".to_owned(), port: 9092 }];
    Command::StartBroker { broker, incarnation: uuid(5), endpoints, rack: None }
}

fn create(id: u128, name: &str, partitions: usize) -> Command {
    Command::CreateTopic {
        id: TopicId(uuid(id)),
        name: name.to_owned(),
        overrides: Settings::from([("retention.ms".to_owned(), "1000".to_owned())]),
        replicas: vec![vec![NODE]; partitions],
    }
}

/// An image after `commands`, which stand at 1.1, 1.2 and so on.
fn image_after(commands: &[Command]) -> Image {
    let mut image = Image::default();
    for (command, index) in commands.iter().zip(1..) {
        image.apply(at(index), command).expect("the command fits");
    }
    image
}

#[test]
fn a_cluster_starts_with_its_id_and_broker() {
    let image = image_after(&[init(), start(NODE)]);
    assert_eq!(image.applied(), at(2));
    assert_eq!(image.cluster_id(), ClusterId(uuid(9)));
    assert_eq!(image.cluster().features["metadata.version"], 29);
    assert_eq!(image.cluster().features_epoch, 1);
    assert_eq!(image.controller(), Some(NODE));
    assert_eq!(image.broker(NODE).map(|broker| broker.epoch), Some(2));
}

#[test]
fn topics_are_found_by_name_and_id() {
    let image = image_after(&[init(), start(NODE), create(2, "b", 3), create(1, "a.x", 1)]);
    let names: Vec<&str> = image.topics().map(|topic| topic.name.as_str()).collect();
    assert_eq!(names, ["a.x", "b"]);
    assert_eq!(image.topics_from("b").count(), 1);
    assert_eq!((image.topic_count(), image.partition_count()), (2, 4));
    let topic = image.topic("b").expect("b exists");
    assert_eq!(image.topic_by_id(topic.id), Some(topic));
    assert_eq!(topic.partition(PartitionIndex(3)), None);
    assert_eq!(topic.partition(PartitionIndex(-1)), None);
    let partition = topic.partition(PartitionIndex(2)).expect("b has three partitions");
    assert_eq!((partition.leader, partition.leader_epoch), (NODE, LeaderEpoch(0)));
    assert_eq!((topic.replication_factor(), topic.is_internal()), (1, false));
}

#[test]
fn a_start_gives_every_partition_the_next_epoch() {
    let mut image = image_after(&[init(), start(NODE), create(1, "a", 2)]);
    let before = image.clone();
    image.apply(at(4), &start(NODE)).expect("a broker may start again");
    let epochs = |image: &Image| -> Vec<i32> {
        image.topic("a").unwrap().partitions.iter().map(|partition| partition.leader_epoch.get()).collect()
    };
    assert_eq!((epochs(&before), epochs(&image)), (vec![0, 0], vec![1, 1]));
    image.apply(at(5), &start(BrokerId(2))).expect("another broker may start");
    assert_eq!(epochs(&image), [1, 1], "it leads nothing");
}

#[test]
fn partitions_are_added_at_the_end() {
    let mut image = image_after(&[init(), start(NODE), create(1, "a", 2)]);
    let id = TopicId(uuid(1));
    let more =
        |first| Command::CreatePartitions { id, first: PartitionIndex(first), replicas: vec![vec![NODE]; 2] };
    assert!(image.apply(at(4), &more(1)).is_err(), "partition 1 exists");
    assert!(image.apply(at(4), &more(3)).is_err(), "partition 2 would be missing");
    image.apply(at(4), &more(2)).expect("they follow");
    assert_eq!((image.partition_count(), image.topic("a").unwrap().partitions.len()), (4, 4));
}

#[test]
fn a_deleted_topic_leaves_nothing() {
    let mut image = image_after(&[init(), start(NODE), create(1, "a", 2)]);
    image.apply(at(4), &Command::DeleteTopic { id: TopicId(uuid(1)) }).expect("it exists");
    assert_eq!((image.topic_count(), image.partition_count()), (0, 0));
    assert!(image.config(&ConfigResource::Topic("a".to_owned())).is_empty());
    image.apply(at(5), &create(2, "a", 1)).expect("the name is free again");
    assert_eq!(image.topic("a").map(|topic| topic.id), Some(TopicId(uuid(2))));
}

#[test]
fn settings_are_set_and_taken_away() {
    let mut image = image_after(&[init(), start(NODE), create(1, "a", 1)]);
    let set = |resource, value: Option<&str>| Command::SetConfigs {
        resource,
        settings: BTreeMap::from([("retention.ms".to_owned(), value.map(str::to_owned))]),
    };
    let topic = ConfigResource::Topic("a".to_owned());
    image.apply(at(4), &set(topic.clone(), Some("5"))).unwrap();
    assert_eq!(image.config(&topic)["retention.ms"], "5");
    image.apply(at(5), &set(topic.clone(), None)).unwrap();
    assert!(image.config(&topic).is_empty());
    image.apply(at(6), &set(ConfigResource::BrokerDefault, Some("7"))).unwrap();
    assert_eq!(image.config(&ConfigResource::BrokerDefault)["retention.ms"], "7");
    assert_eq!(image.configured().count(), 1);
    image.apply(at(7), &set(ConfigResource::BrokerDefault, None)).unwrap();
    assert_eq!(image.configured().count(), 0, "a resource without settings is forgotten");
    let unknown = ConfigResource::Topic("b".to_owned());
    assert!(image.apply(at(8), &set(unknown, Some("5"))).is_err());
}

#[test]
fn producer_ids_and_features_move_on() {
    let mut image = image_after(&[init(), start(NODE)]);
    let next = |next| Command::SetProducerIds { broker: NODE, next: ProducerId(next) };
    image.apply(at(3), &next(1000)).unwrap();
    assert_eq!(image.next_producer_id(), ProducerId(1000));
    assert!(image.apply(at(4), &next(1000)).is_err(), "no block is given away twice");
    let feature = |level| Command::SetFeature { name: "group.version".to_owned(), level };
    image.apply(at(4), &feature(1)).unwrap();
    assert_eq!((image.cluster().features["group.version"], image.cluster().features_epoch), (1, 4));
    image.apply(at(5), &feature(0)).unwrap();
    assert!(!image.cluster().features.contains_key("group.version"));
}

#[test]
fn a_command_that_does_not_fit_changes_nothing() {
    let image = image_after(&[init(), start(NODE), create(1, "a", 1)]);
    let misfits = [
        init(),
        create(1, "b", 1),
        create(2, "a", 1),
        create(2, "../b", 1),
        create(0, "b", 1),
        create(2, "b", 0),
        Command::DeleteTopic { id: TopicId(uuid(7)) },
        Command::CreateTopic {
            id: TopicId(uuid(2)),
            name: "b".to_owned(),
            overrides: Settings::new(),
            replicas: vec![vec![NODE, NODE]],
        },
        Command::CreateTopic {
            id: TopicId(uuid(2)),
            name: "b".to_owned(),
            overrides: Settings::new(),
            replicas: vec![vec![BrokerId(8)]],
        },
    ];
    for command in misfits {
        let mut changed = image.clone();
        assert!(changed.apply(at(4), &command).is_err(), "{command:?}");
        assert_eq!(changed, image, "{command:?}");
    }
    let mut changed = image.clone();
    assert!(changed.apply(at(3), &create(2, "b", 1)).is_err(), "the position is taken");
    assert_eq!(changed, image);
}

#[test]
fn an_image_that_contradicts_itself_is_not_read() {
    let image = image_after(&[init(), start(NODE), create(1, "a", 1)]);
    let json = serde_json::to_string(&image).unwrap();
    assert!(serde_json::from_str::<Image>(&json).is_ok());
    for (part, instead) in [
        ("\"leader\":1", "\"leader\":2"),
        ("\"replicas\":[1]", "\"replicas\":[1,1]"),
        ("\"name\":\"a\"", "\"name\":\"a/b\""),
    ] {
        let broken = json.replacen(part, instead, 1);
        assert_ne!(broken, json);
        assert!(serde_json::from_str::<Image>(&broken).is_err(), "{broken}");
    }
}

#[test]
fn commands_tell_what_they_are_and_tolerate_new_fields() {
    let json = serde_json::to_string(&Command::SetFeature { name: "x".to_owned(), level: 2 }).unwrap();
    assert_eq!(json, r#"{"command":"set_feature","name":"x","level":2}"#);
    let newer = r#"{"command":"set_feature","name":"x","level":2,"reason":"because"}"#;
    assert_eq!(serde_json::from_str::<Command>(newer).unwrap(), serde_json::from_str(&json).unwrap());
    let older =
        r#"{"command":"start_broker","broker":1,"incarnation":"00000000-0000-0000-0000-000000000005"}"#;
    assert!(serde_json::from_str::<Command>(older).is_ok());
    assert!(serde_json::from_str::<Command>(r#"{"command":"unheard_of"}"#).is_err());
}

/// Commands that may or may not fit, over few names so that they meet each other.
fn any_command() -> impl Strategy<Value = Command> {
    let id = (1..6_u128).prop_map(|n| TopicId(uuid(n)));
    let setting = ("[ab]", proptest::option::of("[xyz]"));
    let resource = prop_oneof![
        "[a-d]".prop_map(ConfigResource::Topic),
        Just(ConfigResource::BrokerDefault),
        (0..3).prop_map(|broker| ConfigResource::Broker(BrokerId(broker))),
        "[gh]".prop_map(ConfigResource::Group),
    ];
    let replicas =
        || proptest::collection::vec(proptest::collection::vec((1..3).prop_map(BrokerId), 1..3), 1..4);
    prop_oneof![
        (1..3).prop_map(|broker| start(BrokerId(broker))),
        (id.clone(), "[a-d]", replicas()).prop_map(|(id, name, replicas)| Command::CreateTopic {
            id,
            name,
            overrides: Settings::new(),
            replicas
        }),
        id.clone().prop_map(|id| Command::DeleteTopic { id }),
        (id, 0..6, replicas()).prop_map(|(id, first, replicas)| Command::CreatePartitions {
            id,
            first: PartitionIndex(first),
            replicas
        }),
        (resource, setting).prop_map(|(resource, (name, value))| Command::SetConfigs {
            resource,
            settings: BTreeMap::from([(name, value)])
        }),
        (0..9_i64).prop_map(|n| Command::SetProducerIds { broker: NODE, next: ProducerId(n * 1000) }),
        ("[ab]", 0..3_i16).prop_map(|(name, level)| Command::SetFeature { name, level }),
    ]
}

/// The commands of `candidates` that fit one after the other, with their positions.
fn log_of(candidates: Vec<Command>) -> Vec<(LogId, Command)> {
    let mut image = Image::default();
    let mut log = Vec::new();
    for command in [init(), start(NODE)].into_iter().chain(candidates) {
        let id = at(log.len() as u64 + 1);
        if image.apply(id, &command).is_ok() {
            log.push((id, command));
        }
    }
    log
}

proptest! {
    /// A replay of the whole log, through JSON, gives what a snapshot and the commands after it give.
    #[test]
    fn snapshot_and_tail_equal_the_whole_log(
        candidates in proptest::collection::vec(any_command(), 0..60),
        cut in any::<prop::sample::Index>(),
    ) {
        let log = log_of(candidates);
        let replay = |image: &mut Image, part: &[(LogId, Command)]| {
            for (id, command) in part {
                let json = serde_json::to_string(command).unwrap();
                let read: Command = serde_json::from_str(&json).unwrap();
                prop_assert_eq!(&read, command);
                image.apply(*id, &read).unwrap();
                image.check_invariants();
            }
            Ok(())
        };
        let mut whole = Image::default();
        replay(&mut whole, &log)?;
        let cut = cut.index(log.len() + 1);
        let mut before = Image::default();
        replay(&mut before, &log[..cut])?;
        let snapshot = serde_json::to_string(&before).unwrap();
        let mut read: Image = serde_json::from_str(&snapshot).unwrap();
        prop_assert_eq!(&read, &before);
        replay(&mut read, &log[cut..])?;
        prop_assert_eq!(read, whole);
    }
}

#[test]
fn the_fuzz_seeds_are_what_they_are_named() {
    let seed = |name: &str| -> String {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/metadata").join(name);
        std::fs::read_to_string(path).expect("the seed is there")
    };
    let log: Vec<Command> = seed("a-topic-comes-grows-and-goes")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let image = image_after(&log);
    assert_eq!((image.applied(), image.topic_count()), (at(7), 0));
    let snapshot: Image = serde_json::from_str(&seed("snapshot")).unwrap();
    assert_eq!((snapshot.topic_count(), snapshot.partition_count()), (1, 1));
    assert_eq!(seed("cluster-id").parse::<ClusterId>().unwrap(), image.cluster_id());
}
