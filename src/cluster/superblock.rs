//! The superblock of a data directory: whose it is, in which format, and the lock that keeps it to one process.
//!
//! `corelog.superblock` is a small JSON file, replaced whole (written beside, flushed, renamed). `corelog.lock` is what
//! is locked, since a file that is replaced cannot carry a lock; it holds the process id of its owner for messages.
//!
//! Key invariant: whoever holds a [`Superblock`] is the only process that uses the directory. A directory of a newer
//! format, of an unknown feature or of another node is refused before anything in it is touched.

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::metadata::ClusterId;
use crate::model::BrokerId;

/// The format of data directories that this program writes.
pub const FORMAT_VERSION: u32 = 1;
/// Bytes of a journal block: writes of the journal are whole blocks.
pub const JOURNAL_BLOCK_BYTES: u32 = 4_096;
/// Bytes of the largest superblock or lock file that is read.
const FILE_BYTES_MAX: u64 = 64 << 10;
const SUPERBLOCK_FILE: &str = "corelog.superblock";
const LOCK_FILE: &str = "corelog.lock";

/// What a data directory says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuperblockFacts {
    pub format_version: u32,
    /// Names of formats beyond the version that the directory uses; an unknown one is refused.
    #[serde(default)]
    pub features: Vec<String>,
    pub cluster_id: ClusterId,
    pub node_id: BrokerId,
    pub journal_block_bytes: u32,
    /// Changes with every start, once recovery is done.
    pub incarnation: uuid::Uuid,
}

impl SuperblockFacts {
    /// The facts of a new data directory.
    pub fn fresh(cluster_id: ClusterId, node_id: BrokerId, incarnation: uuid::Uuid) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            features: Vec::new(),
            cluster_id,
            node_id,
            journal_block_bytes: JOURNAL_BLOCK_BYTES,
            incarnation,
        }
    }
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SuperblockError {
    #[error("cannot use the data directory {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error(
        "the data directory {path} is in use by {}; one directory serves one broker: stop it or choose another \
         directory",
        owner.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    InUse { path: PathBuf, owner: Option<u32> },
    #[error("{path} is damaged ({detail}); restore the file from a backup")]
    Damaged { path: PathBuf, detail: String },
    #[error("the data directory {path} was written by a newer Corelog ({what}); this version cannot read it")]
    Newer { path: PathBuf, what: String },
    #[error(
        "the data directory {path} belongs to node {stored}, but this broker is node {wanted}; set node.id={stored} or \
         choose another directory"
    )]
    OtherNode { path: PathBuf, stored: BrokerId, wanted: BrokerId },
    #[error(
        "the directory {path} holds {found} but no {SUPERBLOCK_FILE}: it is not a Corelog data directory, or it is \
         damaged; choose another directory"
    )]
    Foreign { path: PathBuf, found: &'static str },
}

/// A data directory that this process owns.
#[derive(Debug)]
pub struct Superblock {
    directory: PathBuf,
    facts: SuperblockFacts,
    /// Locked until this is dropped.
    _lock: File,
}

impl Superblock {
    /// Locks `directory`, creating it where absent, and reads its facts; a new directory gets `fresh`.
    pub fn open(directory: &Path, fresh: SuperblockFacts) -> Result<Self, SuperblockError> {
        let io = |source| SuperblockError::Io { path: directory.to_owned(), source };
        fs::create_dir_all(directory).map_err(io)?;
        let lock = lock(directory)?;
        let path = directory.join(SUPERBLOCK_FILE);
        let stored = read_bounded(&path).map_err(io)?;
        let facts = match stored {
            Some(text) => check(directory, &path, &text, fresh.node_id)?,
            None => {
                refuse_foreign(directory)?;
                write(directory, &fresh).map_err(io)?;
                fresh
            }
        };
        Ok(Self { directory: directory.to_owned(), facts, _lock: lock })
    }

    /// What the directory says of itself.
    pub fn facts(&self) -> &SuperblockFacts {
        &self.facts
    }

    /// The data directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Durably gives the directory a new incarnation; the last step of recovery.
    pub fn stamp(&mut self, incarnation: uuid::Uuid) -> Result<(), SuperblockError> {
        let facts = SuperblockFacts { incarnation, ..self.facts.clone() };
        write(&self.directory, &facts)
            .map_err(|source| SuperblockError::Io { path: self.directory.clone(), source })?;
        self.facts = facts;
        Ok(())
    }
}

/// Takes the directory's lock, held until the file is dropped, and leaves this process's id in it. The directory is there.
pub fn lock(directory: &Path) -> Result<File, SuperblockError> {
    let io = |source| SuperblockError::Io { path: directory.to_owned(), source };
    let path = directory.join(LOCK_FILE);
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let owner = read_bounded(&path).ok().flatten().and_then(|text| text.trim().parse().ok());
            return Err(SuperblockError::InUse { path: directory.to_owned(), owner });
        }
        Err(error) => return Err(io(error.into())),
    }
    file.set_len(0).map_err(io)?;
    file.rewind().map_err(io)?;
    writeln!(file, "{}", std::process::id()).map_err(io)?;
    Ok(file)
}

fn check(
    directory: &Path,
    path: &Path,
    text: &str,
    node_id: BrokerId,
) -> Result<SuperblockFacts, SuperblockError> {
    #[derive(Deserialize)]
    struct Version {
        format_version: u32,
    }
    let damaged = |error: serde_json::Error| SuperblockError::Damaged {
        path: path.to_owned(),
        detail: error.to_string(),
    };
    let newer = |what| SuperblockError::Newer { path: directory.to_owned(), what };
    // The version first: a newer format may have other fields.
    let Version { format_version } = serde_json::from_str(text).map_err(damaged)?;
    if format_version > FORMAT_VERSION {
        return Err(newer(format!("format {format_version}, this one knows {FORMAT_VERSION}")));
    }
    let facts: SuperblockFacts = serde_json::from_str(text).map_err(damaged)?;
    if let Some(feature) = facts.features.first() {
        return Err(newer(format!("feature '{feature}'")));
    }
    if facts.node_id != node_id {
        return Err(SuperblockError::OtherNode {
            path: directory.to_owned(),
            stored: facts.node_id,
            wanted: node_id,
        });
    }
    Ok(facts)
}

/// A directory without a superblock must not look like data of anyone.
fn refuse_foreign(directory: &Path) -> Result<(), SuperblockError> {
    for found in ["metadata", "meta.properties", "__cluster_metadata-0"] {
        if directory.join(found).exists() {
            return Err(SuperblockError::Foreign { path: directory.to_owned(), found });
        }
    }
    Ok(())
}

/// The text of a small file, or `None` where it does not exist.
fn read_bounded(path: &Path) -> std::io::Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    // Damage is told where the text is understood.
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Replaces the superblock durably.
fn write(directory: &Path, facts: &SuperblockFacts) -> std::io::Result<()> {
    let beside = directory.join("corelog.superblock.new");
    let mut file = File::create(&beside)?;
    let mut json = serde_json::to_vec_pretty(facts)?;
    json.push(b'\n');
    file.write_all(&json)?;
    file.sync_all()?;
    fs::rename(&beside, directory.join(SUPERBLOCK_FILE))?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests;
