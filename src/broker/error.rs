//! Why a broker does not start. Each text says what to do about it.

use std::io;
use std::path::PathBuf;

use crate::cluster::{StoreError, SuperblockError};
use crate::metadata::Refusal;

/// A start that failed.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("this host cannot run the broker:\n{0}")]
    Host(String),
    #[error(transparent)]
    DataDirectory(#[from] SuperblockError),
    #[error(transparent)]
    Metadata(#[from] StoreError),
    #[error("the metadata refused the broker's start: {0}")]
    Refused(#[from] Refusal),
    #[error("{address} is taken by another process; stop that one or choose another address with --listen")]
    PortTaken { address: String },
    #[error("cannot listen on {address}: {source}")]
    Listen { address: String, source: io::Error },
    #[error("cannot use {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("a shard does not start: {0}")]
    Shard(String),
    #[error("the admin listener does not start: {0}")]
    Admin(String),
    #[error("corelog.cluster.id {0:?} is not a cluster id: 22 characters of URL-safe base64")]
    ClusterId(String),
    #[error("a shard stopped unexpectedly; see the log")]
    ShardLost,
}
