//! Tests of the superblock: one owner, one node, one format.

use super::*;

fn fresh() -> SuperblockFacts {
    SuperblockFacts::fresh(ClusterId(uuid::Uuid::from_u128(7)), BrokerId(1), uuid::Uuid::from_u128(1))
}

fn other() -> SuperblockFacts {
    SuperblockFacts::fresh(ClusterId(uuid::Uuid::from_u128(8)), BrokerId(1), uuid::Uuid::from_u128(2))
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory can be made")
}

#[test]
fn facts_outlive_the_process() {
    let directory = directory();
    let data = directory.path().join("new/data");
    let mut superblock = Superblock::open(&data, fresh()).expect("a new directory is taken");
    assert_eq!(superblock.facts(), &fresh());
    superblock.stamp(uuid::Uuid::from_u128(5)).expect("it can be stamped");
    drop(superblock);
    let superblock = Superblock::open(&data, other()).expect("it opens again");
    let incarnation = uuid::Uuid::from_u128(5);
    assert_eq!(superblock.facts(), &SuperblockFacts { incarnation, ..fresh() });
    assert_eq!(superblock.directory(), data);
}

#[test]
fn a_second_opener_is_told_who_has_it() {
    let directory = directory();
    let first = Superblock::open(directory.path(), fresh()).expect("it opens");
    let error = Superblock::open(directory.path(), fresh()).expect_err("it is in use");
    let pid = std::process::id();
    assert!(matches!(error, SuperblockError::InUse { owner: Some(owner), .. } if owner == pid), "{error:?}");
    assert!(error.to_string().contains(&format!("in use by process {pid}")), "{error}");
    drop(first);
    Superblock::open(directory.path(), fresh()).expect("the lock is gone with its owner");
}

#[test]
fn directories_of_others_are_refused() {
    let directory = directory();
    drop(Superblock::open(directory.path(), fresh()).expect("it opens"));
    let node = SuperblockFacts { node_id: BrokerId(2), ..fresh() };
    let error = Superblock::open(directory.path(), node).expect_err("it is another node's");
    assert!(error.to_string().contains("set node.id=1"), "{error}");
    let path = directory.path().join("corelog.superblock");
    let text = std::fs::read_to_string(&path).unwrap();
    for (from, to, newer) in [
        ("\"format_version\": 1", "\"format_version\": 2", true),
        ("\"features\": []", "\"features\": [\"holograms\"]", true),
        ("{", "", false),
        ("cluster_id", "colour", false),
    ] {
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let error = Superblock::open(directory.path(), fresh()).expect_err("it cannot be read");
        let as_expected = match error {
            SuperblockError::Newer { .. } => newer,
            SuperblockError::Damaged { .. } => !newer,
            _ => false,
        };
        assert!(as_expected, "{from}: {error}");
    }
}

#[test]
fn foreign_directories_are_not_taken_over() {
    let directory = directory();
    std::fs::write(directory.path().join("meta.properties"), "version=1").unwrap();
    let error = Superblock::open(directory.path(), fresh()).expect_err("it is Kafka's");
    assert!(matches!(error, SuperblockError::Foreign { found: "meta.properties", .. }), "{error:?}");
}
