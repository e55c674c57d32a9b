//! Everything that can go wrong in a log.
//!
//! Key invariant: errors are cloneable, since one failure answers many waiters. Which Kafka error code they become is
//! decided in `handlers`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::Offset;
use crate::record::BatchError;

/// Why a log refused or failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StorageError {
    /// The operating system refused.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: Arc<io::Error>,
    },
    /// Stored bytes are not what was written; the partition stays offline and nothing is deleted.
    #[error("{} is damaged at byte {position}: {reason}", path.display())]
    Corrupt { path: PathBuf, position: u64, reason: String },
    /// The journal is damaged, and acknowledged records may be missing; the partition stays offline and nothing is deleted.
    #[error("{0}")]
    Suspect(Arc<str>),
    /// A write or flush failed earlier: nothing more is accepted, reads go on.
    #[error("the log takes no more writes: {0}")]
    Poisoned(Arc<str>),
    /// Free space is below the reserve; goes away by itself.
    #[error("the data directory is full")]
    DiskFull,
    /// An offset below the log start or above the end that may be read.
    #[error("offset {offset} is not within {start} to {end}")]
    OutOfRange { offset: Offset, start: Offset, end: Offset },
    /// The bytes to append are not one whole batch.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// Offsets or the segment's size would overflow.
    #[error("the batch does not fit into the log: {0}")]
    TooLarge(&'static str),
    /// The log was closed or removed.
    #[error("the log is closed")]
    Closed,
}

impl StorageError {
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { doing, path, source: Arc::new(source) }
    }

    /// Whether the file system had no room: that may go away by itself.
    pub(super) fn is_storage_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull)
    }

    pub(super) fn corrupt(path: &Path, position: u64, reason: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_path_buf(), position, reason: reason.into() }
    }
}
