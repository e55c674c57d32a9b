//! Tests of taking data directories into use.

use super::*;
use crate::model::BrokerId;
use std::path::Path;

fn boot(data_dir: &Path, node: i32, cluster_id: Option<&str>) -> Result<Booted, BootError> {
    let mut settings = BrokerSettings::default();
    settings.data_dir = data_dir.to_owned();
    settings.node.id = BrokerId(node);
    settings.node.cluster_id = cluster_id.map(str::to_owned);
    let endpoints =
        vec![Endpoint { listener: "PLAINTEXT".to_owned(), host: "127.0.0.1".to_owned(), port: 9092 }];
    open(Boot {
        settings: Arc::new(settings),
        endpoints,
        features: BTreeMap::from([("metadata.version".to_owned(), 29)]),
    })
}

const ID: &str = "MkU3OEVBNTcwNTJENDM2Qg";

#[test]
fn a_new_directory_becomes_a_cluster_and_stays_it() {
    let directory = tempfile::tempdir().unwrap();
    let first = boot(directory.path(), 1, None).expect("a new directory is taken");
    let id = first.superblock.facts().cluster_id;
    let image = first.handle.image();
    assert_eq!((image.cluster_id(), image.controller()), (id, Some(BrokerId(1))));
    assert_eq!(image.cluster().features["metadata.version"], 29);
    assert_eq!(image.broker(BrokerId(1)).map(|broker| broker.endpoints.len()), Some(1));
    assert!(matches!(
        boot(directory.path(), 1, None),
        Err(BootError::Superblock(SuperblockError::InUse { .. }))
    ));
    drop(first);
    let second = boot(directory.path(), 1, None).expect("it opens again");
    assert_eq!(second.handle.image().cluster_id(), id);
    let epoch = |image: &crate::metadata::Image| image.broker(BrokerId(1)).map(|broker| broker.epoch);
    assert!(epoch(&second.handle.image()) > epoch(&image), "a start has a later epoch");
}

#[test]
fn the_cluster_id_may_be_chosen_once() {
    let directory = tempfile::tempdir().unwrap();
    let wrong = boot(directory.path(), 1, Some("short")).err().expect("it is no id");
    assert!(wrong.to_string().contains("'short' is not a cluster id"), "{wrong}");
    let chosen = boot(directory.path(), 1, Some(ID)).expect("it is an id");
    assert_eq!(chosen.handle.image().cluster_id().to_string(), ID);
    drop(chosen);
    let other = boot(directory.path(), 1, Some("AAAAAAAAAAAAAAAAAAAAAQ")).err().expect("it is another's");
    assert!(matches!(other, BootError::OtherCluster { .. }), "{other}");
    boot(directory.path(), 1, None).expect("it need not be said again");
}

#[test]
fn metadata_of_another_cluster_is_not_taken() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    drop(boot(one.path(), 1, None).expect("a new directory is taken"));
    drop(boot(other.path(), 1, None).expect("a new directory is taken"));
    let store = "metadata/metadata.redb";
    std::fs::copy(one.path().join(store), other.path().join(store)).unwrap();
    let error = boot(other.path(), 1, None).err().expect("the two do not fit");
    assert!(matches!(error, BootError::Mixed { .. }), "{error}");
}
