//! The metadata log and its snapshots on disk: one embedded database, `<data>/metadata/metadata.redb`.
//!
//! ```text
//! table  key          value
//! log    index (u64)  {"term": …, "command": …}
//! state  "vote"       {"term": …, "node": …}        the newest term that this node led
//! state  "committed"  {"term": …, "index": …}       the last command of the log
//! state  "snapshot"   the image after some command; the log holds all commands after it
//! ```
//!
//! Every value is a CRC-32C (four bytes, big endian) and the JSON that it covers.
//!
//! Key invariant: `append` returns after its commands are on the device; snapshot, truncation and commands change in one
//! transaction. The log is contiguous from the snapshot on. A store that contradicts itself is an error, never repaired
//! by guessing. After a failed `append` the store must be opened anew.

use redb::{Builder, Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::metadata::{Command, Image, LogId};
use crate::model::BrokerId;
use crate::record::crc32c;

/// Commands in the log before they are folded into a snapshot.
pub const SNAPSHOT_COMMANDS_MAX: u64 = 1_000;
/// Memory that the database may use as its cache; the image itself is held by the controller.
const CACHE_BYTES_MAX: usize = 8 << 20;
const CHECKSUM_BYTES: usize = 4;

const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");
const STATE: TableDefinition<&str, &[u8]> = TableDefinition::new("state");
const VOTE: &str = "vote";
const COMMITTED: &str = "committed";
const SNAPSHOT: &str = "snapshot";

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot use the metadata store {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error(
        "the metadata store {path} is damaged: {detail}. Restore {path} from a backup; topics cannot be read without it"
    )]
    Damaged { path: PathBuf, detail: String },
    #[error("the metadata store {path} could not be written: {detail}")]
    Write { path: PathBuf, detail: String },
}

/// The open store.
pub struct Store {
    path: PathBuf,
    database: Database,
    term: u64,
    committed: LogId,
    /// The last command that the snapshot holds.
    snapshot: LogId,
}

/// A command as the log holds it; its index is the key.
#[derive(Serialize, Deserialize)]
struct Entry {
    term: u64,
    command: Command,
}

#[derive(Default, Serialize, Deserialize)]
struct Vote {
    term: u64,
    node: BrokerId,
}

impl Store {
    /// Opens the store in `directory`, creating both where absent, and begins a new term as `node`.
    /// Returns the image after the last durable command.
    pub fn open(directory: &Path, node: BrokerId) -> Result<(Self, Image), StoreError> {
        let path = directory.join("metadata.redb");
        let io = |source| StoreError::Io { path: path.clone(), source };
        std::fs::create_dir_all(directory).map_err(io)?;
        let opened = without_panic(|| Self::open_file(&path, node))
            .unwrap_or_else(|| Err(damaged(&path, "its pages contradict each other")))?;
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(io)?;
        Ok(opened)
    }

    fn open_file(path: &Path, node: BrokerId) -> Result<(Self, Image), StoreError> {
        let database =
            Builder::new().set_cache_size(CACHE_BYTES_MAX).create(path).map_err(|error| match error {
                redb::DatabaseError::Storage(redb::StorageError::Io(source))
                    if source.kind() != std::io::ErrorKind::InvalidData =>
                {
                    StoreError::Io { path: path.to_owned(), source }
                }
                other => damaged(path, other),
            })?;
        Self::over(database, path, node)
    }

    /// The store over an open database; `path` is what messages name.
    pub(super) fn over(
        mut database: Database,
        path: &Path,
        node: BrokerId,
    ) -> Result<(Self, Image), StoreError> {
        // Metadata is small, so all of it is verified at each start; what the database can repair of its own
        // bookkeeping, it has; the commands and the snapshot are checked again as they are read.
        database.check_integrity().map_err(|error| damaged(path, error))?;
        let mut store =
            Self { path: path.to_owned(), database, term: 0, committed: LogId::ZERO, snapshot: LogId::ZERO };
        store.begin_term(node)?;
        let image = store.load()?;
        Ok((store, image))
    }

    /// The term that commands are written in.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// The last durable command.
    pub fn committed(&self) -> LogId {
        self.committed
    }

    /// Makes `commands` durable; `image` is the image after them. On an error nothing can be said of what the store
    /// holds, and it must not be used again.
    pub fn append(&mut self, commands: &[(LogId, Command)], image: &Image) -> Result<(), StoreError> {
        let Some((last, _)) = commands.last() else { return Ok(()) };
        let write =
            |error: redb::Error| StoreError::Write { path: self.path.clone(), detail: error.to_string() };
        debug_assert!(commands[0].0.index == self.committed.index + 1, "the log has no gaps");
        debug_assert!(image.applied() == *last, "the image is the one after the commands");
        let fold = last.index - self.snapshot.index >= SNAPSHOT_COMMANDS_MAX;
        self.write(commands, *last, fold.then_some(image)).map_err(write)?;
        self.committed = *last;
        if fold {
            self.snapshot = *last;
        }
        Ok(())
    }

    fn write(
        &self,
        commands: &[(LogId, Command)],
        last: LogId,
        snapshot: Option<&Image>,
    ) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut log = transaction.open_table(LOG)?;
            let mut state = transaction.open_table(STATE)?;
            state.insert(COMMITTED, &*framed(&last))?;
            if let Some(image) = snapshot {
                state.insert(SNAPSHOT, &*framed(image))?;
                log.retain(|_, _| false)?;
            } else {
                for (id, command) in commands {
                    let entry = Entry { term: id.term, command: command.clone() };
                    log.insert(id.index, &*framed(&entry))?;
                }
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Leads in the next term, so that commands of this start can be told from those of the last.
    fn begin_term(&mut self, node: BrokerId) -> Result<(), StoreError> {
        let stored: Option<Vote> = self.state(VOTE)?;
        self.term = stored.unwrap_or_default().term + 1;
        let vote = Vote { term: self.term, node };
        let result = (|| -> Result<(), redb::Error> {
            let transaction = self.database.begin_write()?;
            transaction.open_table(STATE)?.insert(VOTE, &*framed(&vote))?;
            transaction.open_table(LOG)?;
            transaction.commit()?;
            Ok(())
        })();
        result.map_err(|error| StoreError::Write { path: self.path.clone(), detail: error.to_string() })
    }

    /// The image after the last command: the snapshot and the log's commands applied to it.
    fn load(&mut self) -> Result<Image, StoreError> {
        let mut image: Image = self.state(SNAPSHOT)?.unwrap_or_default();
        self.snapshot = image.applied();
        self.committed = self.state(COMMITTED)?.unwrap_or_default();
        let fail = |error: redb::Error| damaged(&self.path, error);
        let transaction = self.database.begin_read().map_err(|error| fail(error.into()))?;
        let log = transaction.open_table(LOG).map_err(|error| fail(error.into()))?;
        for entry in log.iter().map_err(|error| fail(error.into()))? {
            let (index, value) = entry.map_err(|error| fail(error.into()))?;
            let index = index.value();
            let Entry { term, command } = unframed(value.value())
                .map_err(|fault| damaged(&self.path, format!("command {index}: {fault}")))?;
            if index != image.applied().index + 1 {
                let fault = format!("command {} is missing", image.applied().index + 1);
                return Err(damaged(&self.path, fault));
            }
            image.apply(LogId { term, index }, &command).map_err(|error| damaged(&self.path, error))?;
        }
        if image.applied() != self.committed {
            let fault = format!("it ends at {}, but {} was written", image.applied(), self.committed);
            return Err(damaged(&self.path, fault));
        }
        Ok(image)
    }

    /// The value of `key` in the state table; `None` where it was never written.
    fn state<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StoreError> {
        let fail = |error: redb::Error| damaged(&self.path, error);
        let transaction = self.database.begin_read().map_err(|error| fail(error.into()))?;
        let state = match transaction.open_table(STATE) {
            Ok(state) => state,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(fail(error.into())),
        };
        let Some(value) = state.get(key).map_err(|error| fail(error.into()))? else { return Ok(None) };
        unframed(value.value()).map(Some).map_err(|fault| damaged(&self.path, format!("{key}: {fault}")))
    }
}

/// What `open` returns, or `None` if it panicked, which the database does on some damages of its pages. The process's
/// panic hook, which may end the process, is set aside meanwhile: this runs at the start, before there are other threads.
fn without_panic<T>(open: impl FnOnce() -> T) -> Option<T> {
    /// Two threads that set the hook aside at once would lose it.
    static HOOK: Mutex<()> = Mutex::new(());
    let _alone = HOOK.lock().unwrap_or_else(PoisonError::into_inner);
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let opened = catch_unwind(AssertUnwindSafe(open));
    set_hook(hook);
    opened.ok()
}

fn damaged(path: &Path, detail: impl ToString) -> StoreError {
    StoreError::Damaged { path: path.to_owned(), detail: detail.to_string() }
}

/// The JSON of `value` behind its checksum.
fn framed<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = vec![0; CHECKSUM_BYTES];
    serde_json::to_writer(&mut bytes, value)
        .expect("metadata has only string keys and always serialises to memory");
    let checksum = crc32c(&bytes[CHECKSUM_BYTES..]);
    bytes[..CHECKSUM_BYTES].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

/// The value behind its checksum, or what is wrong with the bytes.
fn unframed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let Some((checksum, json)) = bytes.split_first_chunk::<CHECKSUM_BYTES>() else {
        return Err("it is shorter than a checksum".to_owned());
    };
    if crc32c(json) != u32::from_be_bytes(*checksum) {
        return Err("its checksum does not match".to_owned());
    }
    serde_json::from_slice(json).map_err(|error| error.to_string())
}

#[cfg(test)]
pub(super) mod simulated;
#[cfg(test)]
mod tests;
