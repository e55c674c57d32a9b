//! Why a broker does not start. Each text says what to do about it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::cluster::BootError;
use crate::config::ConfigError;
use crate::control::AdminError;
use crate::storage::ReplayError;

/// A start that failed.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("this host cannot run the broker:\n{0}")]
    Host(String),
    #[error(transparent)]
    DataDirectory(#[from] BootError),
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error("{address} is taken by another process; stop that one or choose another address with --listen")]
    PortTaken { address: String },
    #[error(
        "{address} is to be a shard's own port (corelog.advertise=per-shard) and is taken; choose others with \
         corelog.shard.port.first"
    )]
    ShardPortTaken { address: SocketAddr },
    #[error(transparent)]
    Settings(#[from] ConfigError),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: String, source: io::Error },
    #[error("cannot use {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Journal(#[from] ReplayError),
    #[error("a shard does not start: {0}")]
    Shard(String),
    #[error("a shard stopped unexpectedly; see the log")]
    ShardLost,
    #[error("some logs were not closed in time; the next start recovers them")]
    Unclean,
}
