//! Names: of a partition's directory, of its segments and of their companions.
//!
//! Key invariant: only names that this file makes are read back; everything else in a directory is left alone. Names in
//! Kafka's form hold content in Kafka's form; our own sidecars use suffixes that Kafka does not know.

use std::path::{Path, PathBuf};

use super::journal::Place;
use crate::model::{Offset, PartitionIndex, TopicId};

/// Record batches, exactly as on the wire.
pub(super) const LOG_SUFFIX: &str = ".log";
/// Our sparse index of a closed segment.
pub(super) const INDEX_SUFFIX: &str = ".cindex";
/// Producer state at exactly the offset in the name.
pub(super) const PRODUCERS_SUFFIX: &str = ".producers";
/// A file that is about to be deleted, as Kafka names it.
pub(super) const DELETED_SUFFIX: &str = ".deleted";
/// A file that was being replaced when the broker stopped.
pub(super) const TEMPORARY_SUFFIX: &str = ".tmp";
/// A directory that is about to be deleted, as Kafka names it.
const DELETED_DIRECTORY_SUFFIX: &str = "-delete";

pub(super) const METADATA_FILE: &str = "partition.metadata";
pub(super) const EPOCHS_FILE: &str = "leader-epoch-checkpoint";

/// Digits of an offset in a file name: enough for `i64::MAX`.
const OFFSET_DIGITS: usize = 20;

/// Which partition a log belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPlace {
    pub topic: String,
    pub topic_id: TopicId,
    pub partition: PartitionIndex,
}

impl LogPlace {
    /// The partition's directory below the data directory: `<topic>-<partition>`.
    pub fn directory(&self, data: &Path) -> PathBuf {
        data.join(format!("{}-{}", self.topic, self.partition))
    }

    /// The name of the directory on its way out: `<topic>-<partition>.<32 hex digits>-delete`. A topic name that would
    /// make the name longer than a file system takes is cut, as Kafka does.
    pub fn deleted_directory(&self, data: &Path, unique: u128) -> PathBuf {
        const NAME_BYTES_MAX: usize = 255;
        let tail = format!("-{}.{unique:032x}{DELETED_DIRECTORY_SUFFIX}", self.partition);
        let mut keep = self.topic.len().min(NAME_BYTES_MAX - tail.len());
        while !self.topic.is_char_boundary(keep) {
            keep -= 1;
        }
        data.join(format!("{}{tail}", &self.topic[..keep]))
    }

    /// The partition as the journal names it.
    pub(super) fn in_journal(&self) -> Place {
        Place { topic: self.topic_id.0, partition: self.partition.0 }
    }

    /// The content of `partition.metadata`, in Kafka's format.
    pub(super) fn metadata(&self) -> String {
        format!("version: 0\ntopic_id: {}", self.topic_id)
    }
}

/// Whether a directory of this name was on its way out when the broker stopped.
pub(super) fn is_deleted_directory(name: &str) -> bool {
    let Some((_, tail)) = name.rsplit_once('.') else { return false };
    tail.strip_suffix(DELETED_DIRECTORY_SUFFIX)
        .is_some_and(|unique| unique.len() == 32 && unique.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The topic id that a `partition.metadata` names, in Kafka's text form.
pub(super) fn topic_id_of(metadata: &str) -> Option<&str> {
    let mut lines = metadata.lines();
    if lines.next()?.trim() != "version: 0" {
        return None;
    }
    lines.next()?.strip_prefix("topic_id:").map(str::trim)
}

/// `directory/<20-digit offset><suffix>`.
pub(super) fn file_of(directory: &Path, base: Offset, suffix: &str) -> PathBuf {
    directory.join(format!("{:0width$}{suffix}", base.0, width = OFFSET_DIGITS))
}

/// The name that a file has until it is removed, as Kafka names it.
pub(super) fn deleted_file(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(DELETED_SUFFIX);
    PathBuf::from(name)
}

/// The offset in a name of this suffix, if it is one of ours.
pub(super) fn offset_of(name: &str, suffix: &str) -> Option<Offset> {
    let digits = name.strip_suffix(suffix)?;
    if digits.len() != OFFSET_DIGITS || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(Offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(topic: &str) -> LogPlace {
        LogPlace {
            topic: topic.into(),
            topic_id: TopicId(uuid::Uuid::from_u128(1)),
            partition: PartitionIndex(7),
        }
    }

    #[test]
    fn names_are_kafkas() {
        let data = Path::new("/data");
        assert_eq!(place("a.b").directory(data), Path::new("/data/a.b-7"));
        assert_eq!(file_of(data, Offset(42), LOG_SUFFIX), Path::new("/data/00000000000000000042.log"));
        assert_eq!(place("t").metadata(), "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(topic_id_of(&place("t").metadata()), Some("AAAAAAAAAAAAAAAAAAAAAQ"));
        assert_eq!(topic_id_of("version: 1\ntopic_id: x"), None);
    }

    #[test]
    fn only_own_names_are_read_back() {
        assert_eq!(offset_of("00000000000000000042.log", LOG_SUFFIX), Some(Offset(42)));
        assert_eq!(offset_of("42.log", LOG_SUFFIX), None);
        assert_eq!(offset_of("+0000000000000000042.log", LOG_SUFFIX), None);
        assert_eq!(offset_of("99999999999999999999.log", LOG_SUFFIX), None);
        assert_eq!(offset_of("00000000000000000042.index", LOG_SUFFIX), None);
    }

    #[test]
    fn deleted_directories_are_told_from_topics() {
        let name = |topic: &str| {
            let path = place(topic).deleted_directory(Path::new("/d"), 0xabc);
            path.file_name().and_then(|n| n.to_str()).expect("a name").to_owned()
        };
        assert_eq!(name("t"), "t-7.00000000000000000000000000000abc-delete");
        assert!(is_deleted_directory(&name("t")));
        assert!(name(&"x".repeat(249)).len() <= 255);
        assert!(!is_deleted_directory("topic-delete"));
        assert!(!is_deleted_directory("a.b-delete"));
        assert!(!is_deleted_directory("t-0"));
    }
}
