//! Directories of partitions that no longer exist: their topic's deletion was durable in the metadata when the broker
//! stopped, but the directory had its old name still.
//!
//! Key invariant: only a directory that looks like a partition's, content included, is touched, and it is renamed before
//! anything opens a log. Directories of other topics of the same name are found by [`super::Log::open`].

use std::io;
use std::path::Path;

use super::place::{LogPlace, METADATA_FILE};
use crate::model::{PartitionIndex, TopicId};

/// Puts every partition directory that `exists` does not know on its way out; returns how many. To be called before the
/// shards start: it blocks.
pub fn set_aside_strays(data: &Path, exists: impl Fn(&str, PartitionIndex) -> bool) -> io::Result<usize> {
    let mut strays = 0;
    for entry in std::fs::read_dir(data)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some((topic, partition)) = name.to_str().and_then(partition_of) else { continue };
        if exists(topic, partition) || !entry.path().join(METADATA_FILE).is_file() {
            continue;
        }
        let place = LogPlace { topic: topic.to_owned(), topic_id: TopicId::ZERO, partition };
        let target = place.deleted_directory(data, uuid::Uuid::new_v4().as_u128());
        tracing::info!(directory = %entry.path().display(), "the topic of this directory was deleted; it is removed");
        std::fs::rename(entry.path(), target)?;
        strays += 1;
    }
    if strays > 0 {
        std::fs::File::open(data)?.sync_all()?;
    }
    Ok(strays)
}

/// Topic and partition in a directory's name.
fn partition_of(name: &str) -> Option<(&str, PartitionIndex)> {
    let (topic, partition) = name.rsplit_once('-')?;
    let digits = !partition.is_empty() && partition.bytes().all(|byte| byte.is_ascii_digit());
    Some((topic, PartitionIndex(partition.parse().ok().filter(|_| digits)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_partitions_that_do_not_exist_are_set_aside() {
        let data = tempfile::tempdir().unwrap();
        for (directory, has_metadata) in
            [("a-b-0", true), ("a-b-7", true), ("gone-0", true), ("other-3", false), ("metadata", true)]
        {
            std::fs::create_dir(data.path().join(directory)).unwrap();
            if has_metadata {
                std::fs::write(data.path().join(directory).join(METADATA_FILE), "").unwrap();
            }
        }
        let exists = |topic: &str, partition: PartitionIndex| topic == "a-b" && partition.0 < 3;
        assert_eq!(set_aside_strays(data.path(), exists).unwrap(), 2);
        let mut left: Vec<String> = std::fs::read_dir(data.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.ends_with("-delete"))
            .collect();
        left.sort();
        assert_eq!(left, ["a-b-0", "metadata", "other-3"]);
    }
}
