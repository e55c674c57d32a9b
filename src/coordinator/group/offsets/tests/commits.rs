//! Commit, fetch and delete.

use super::*;

#[test]
fn what_is_committed_is_fetched_as_it_was() {
    let mut bench = Bench::new();
    let mut commit = simple(&[("b", 1, 7)]);
    commit.topics[0].partitions[0].metadata = Some("né".into());
    assert_eq!(bench.commit("g", commit), [[Ok(())]]);
    bench.put("g", "a", 0, 5);
    let fetch = FetchOffsets { member_id: None, member_epoch: -1, topics: None };
    let all = bench.event(|groups, turn, _| groups.fetch("g", &fetch, turn)).unwrap();
    assert_eq!(all.iter().map(|topic| &*topic.name).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(all[1].id, TopicId(uuid::Uuid::from_u128(2)));
    let found = &all[1].partitions[0];
    assert_eq!((found.offset, found.leader_epoch), (Offset(7), LeaderEpoch(4)));
    assert_eq!(found.metadata.as_deref(), Some("né"));
    assert_eq!(all[0].partitions[0].metadata, None);
    let GroupRecord::OffsetCommit(_, Some(value)) = &bench.log[0] else { panic!("an offset is written") };
    assert_eq!((value.committed_at, value.expires_at), (TimestampMs(1_000), None));
    bench.check();
}

#[test]
fn what_is_not_there_answers_no_offset_and_no_error() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.fetch("nobody", Some(&[("a", 0), ("nope", 3)])),
        [("a".into(), 0, -1), ("nope".into(), 3, -1)]
    );
    assert_eq!(bench.fetch("nobody", None), []);
    bench.put("g", "a", 0, 5);
    let some = bench.fetch("g", Some(&[("a", 1), ("a", 0)]));
    assert_eq!(some, [("a".into(), 1, -1), ("a".into(), 0, 5)], "in the order of the request");
    assert_eq!(bench.log.len(), 1, "reading writes nothing");
}

#[test]
fn topics_are_named_by_id_too() {
    let mut bench = Bench::new();
    let mut commit = simple(&[("", 1, 7), ("", 1, 8)]);
    commit.topics[0].topic = TopicRef::Id(TopicId(uuid::Uuid::from_u128(1)));
    commit.topics[1].topic = TopicRef::Id(TopicId(uuid::Uuid::from_u128(77)));
    let answer = bench.commit("g", commit);
    assert_eq!(answer, [[Ok(())], [Err(GroupError::UnknownTopicId)]]);
    assert_eq!(bench.fetch("g", None), [("a".into(), 1, 7)]);
    let topics = [1, 77].map(|id| FetchTopic {
        topic: TopicRef::Id(TopicId(uuid::Uuid::from_u128(id))),
        partitions: vec![PartitionIndex(1)],
    });
    let fetch = FetchOffsets { member_id: None, member_epoch: -1, topics: Some(topics.to_vec()) };
    let found = bench.event(|groups, turn, _| groups.fetch("g", &fetch, turn)).unwrap();
    assert_eq!((&*found[0].name, found[0].partitions[0].offset), ("a", Offset(7)));
    assert_eq!(found[1].partitions[0].error, Some(GroupError::UnknownTopicId));
    assert_eq!(found[1].partitions[0].offset, Offset::NONE);
}

#[test]
fn each_partition_is_judged_by_itself() {
    let mut bench = Bench::new();
    bench.settings.offsets.metadata_bytes_max = 4;
    let mut commit =
        simple(&[("a", 0, 1), ("a", 3, 1), ("nope", 0, 1), ("b", 0, 1), ("b", 1, 1), ("a", -1, 1)]);
    // Kafka counts UTF-16 units: four here, of eight bytes; then five.
    commit.topics[0].partitions[0].metadata = Some("éééé".into());
    commit.topics[3].partitions[0].metadata = Some("12345".into());
    let unknown = || [Err(GroupError::UnknownTopicOrPartition)];
    let answer = bench.commit("g", commit);
    let large = [Err(GroupError::OffsetMetadataTooLarge)];
    assert_eq!(answer, [[Ok(())], unknown(), unknown(), large, [Ok(())], unknown()]);
    assert_eq!(bench.fetch("g", None), [("a".into(), 0, 1), ("b".into(), 1, 1)]);
    bench.check();
}

#[test]
fn a_group_that_is_not_there_takes_commits_of_nobodys_members_only() {
    let mut bench = Bench::new();
    let refused = |bench: &mut Bench, version, topic: &str| {
        let commit = Commit { generation: 3, version, member_id: "m".to_owned(), ..simple(&[(topic, 0, 1)]) };
        bench.commit("g", commit)[0][0].clone().unwrap_err()
    };
    assert_eq!(refused(&mut bench, 9, "a"), GroupError::GroupIdNotFound("Group g not found.".to_owned()));
    assert_eq!(refused(&mut bench, 8, "a"), GroupError::IllegalGeneration);
    assert_eq!(refused(&mut bench, 9, "nope"), GroupError::UnknownTopicOrPartition, "looked at first");
    assert!(bench.groups.is_empty() && bench.log.is_empty());
    bench.put("g", "a", 0, 5);
    assert!(
        matches!(refused(&mut bench, 9, "a"), GroupError::UnknownMemberId(_)),
        "a simple group has no members"
    );
    assert_eq!(bench.fetch("g", None), [("a".into(), 0, 5)]);
}

#[test]
fn a_fenced_member_moves_nothing() {
    let mut bench = Bench::new();
    bench.put("g", "a", 0, 5);
    let member = bench.join("g", "consumer", "a");
    assert_eq!(bench.fetch("g", None), [("a".into(), 0, 5)], "a group that is joined keeps its offsets");
    let before = bench.log.len();
    let cases = [
        (member.as_str(), 7, GroupError::IllegalGeneration),
        (member.as_str(), 1, GroupError::RebalanceInProgress),
    ];
    for (member, generation, refusal) in cases {
        let commit =
            Commit { member_id: member.to_owned(), generation, ..simple(&[("a", 0, 9), ("nope", 0, 9)]) };
        let answer = bench.commit("g", commit);
        assert_eq!(answer, [[Err(refusal)], [Err(GroupError::UnknownTopicOrPartition)]]);
    }
    for generation in [-1, 1] {
        let commit = Commit { member_id: "stranger".to_owned(), generation, ..simple(&[("a", 0, 9)]) };
        assert!(matches!(bench.commit("g", commit)[0][0], Err(GroupError::UnknownMemberId(_))));
    }
    assert_eq!(bench.log.len(), before);
    assert_eq!(bench.fetch("g", None), [("a".into(), 0, 5)]);
}

#[test]
fn offsets_are_deleted_unless_someone_needs_them() {
    let mut bench = Bench::new();
    let delete = |bench: &mut Bench, group: &str, topic: &str| {
        let topics = vec![(topic.to_owned(), vec![PartitionIndex(0), PartitionIndex(0), PartitionIndex(8)])];
        bench.event(|groups, turn, actions| groups.delete_offsets(&group.into(), &topics, turn, actions))
    };
    assert!(matches!(delete(&mut bench, "g", "a"), Err(GroupError::GroupIdNotFound(_))));
    bench.put("g", "a", 0, 5);
    bench.put("g", "b", 0, 6);
    bench.join("g", "consumer", "a");
    let unknown = Err(GroupError::UnknownTopicOrPartition);
    let subscribed = || Err(GroupError::GroupSubscribedToTopic);
    assert_eq!(delete(&mut bench, "g", "a").unwrap(), [[subscribed(), subscribed(), unknown.clone()]]);
    let before = bench.log.len();
    assert_eq!(delete(&mut bench, "g", "b").unwrap(), [[Ok(()), Ok(()), unknown]]);
    assert_eq!(bench.log.len(), before + 1, "one tombstone, however often it is named");
    assert_eq!(bench.fetch("g", None), [("a".into(), 0, 5)]);
    bench.check();
    bench.put("w", "a", 0, 5);
    bench.join("w", "connect", "a");
    assert_eq!(delete(&mut bench, "w", "a"), Err(GroupError::NonEmptyGroup));
}

#[test]
fn commits_that_would_not_fit_into_a_batch_are_refused_whole() {
    let mut bench = Bench::new();
    let id = "g".repeat(30_000);
    let many: Vec<(&str, i32, i64)> = (0..40).map(|n| ("a", n % 3, 1)).collect();
    let answer = bench.commit(&id, simple(&many));
    assert!(answer.iter().flatten().all(|answer| *answer == Err(GroupError::InvalidCommitOffsetSize)));
    assert!(bench.groups.is_empty() && bench.log.is_empty());
    assert!(bench.commit(&id, simple(&many[..20])).iter().flatten().all(Result::is_ok));
}
