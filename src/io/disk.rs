//! The data directory's device as one shard sees it.
//!
//! Key invariant: no call here blocks the shard: what io_uring cannot do runs on glommio's blocking thread. Direct writes
//! in flight are bounded, and free space is known within a second, so that a full disk is an answer and not an accident.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use glommio::io::{DmaFile, OpenOptions};
use glommio::sync::{Semaphore, StaticPermit};

use super::file::{Access, File, WriteBuffer};
use super::foreign::Home;
use super::memory::BLOCK_BYTES;
use crate::model::TimestampMs;

/// How old the figure for free space may be while bytes are written.
const FREE_SPACE_AGE_MAX: Duration = Duration::from_secs(1);
/// How many bytes this shard may admit before it looks at the free space again.
const ADMITTED_BYTES_MAX: u64 = 64 << 20;
/// A non-empty file that every executor reads first; see [`Disk::open`].
const PROBE_FILE: &str = "direct-io.probe";

/// Bounds of a shard's disk.
#[derive(Clone, Copy, Debug)]
pub struct DiskLimits {
    /// Direct writes in flight; one glommio ring holds 128 operations and reads need their share.
    pub writes_in_flight_max: u64,
    /// Free bytes below which appends are refused.
    pub reserve_bytes: u64,
}

impl Default for DiskLimits {
    fn default() -> Self {
        Self { writes_in_flight_max: 64, reserve_bytes: 128 << 20 }
    }
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFacts {
    pub name: String,
    pub size_bytes: u64,
    /// When the content last changed.
    pub modified: TimestampMs,
    pub is_directory: bool,
}

/// One shard's access to the data directory.
pub struct Disk {
    directory: PathBuf,
    limits: DiskLimits,
    home: Home,
    writes: Rc<Semaphore>,
    free_bytes: Cell<u64>,
    admitted_bytes: Cell<u64>,
    free_known_at: Cell<Instant>,
    refreshing: Cell<bool>,
}

impl Disk {
    /// Opens the data directory for the current executor.
    ///
    /// glommio decides once per thread and device whether reads are polled, by reading from the first file it opens; an
    /// empty file would decide wrongly for ever. So the first one is a small file kept for that.
    pub async fn open(directory: &Path, limits: DiskLimits) -> io::Result<Rc<Self>> {
        let wanted = directory.to_path_buf();
        let directory = blocking(move || {
            std::fs::create_dir_all(&wanted)?;
            let directory = wanted.canonicalize()?;
            prepare_probe(&directory.join(PROBE_FILE))?;
            Ok(directory)
        })
        .await?;
        let probe = DmaFile::open(directory.join(PROBE_FILE)).await.map_err(io::Error::from)?;
        probe.close().await.map_err(io::Error::from)?;
        let disk = Rc::new(Self {
            directory,
            limits,
            home: Home::new(),
            writes: Rc::new(Semaphore::new(limits.writes_in_flight_max.max(1))),
            free_bytes: Cell::new(0),
            admitted_bytes: Cell::new(0),
            free_known_at: Cell::new(Instant::now()),
            refreshing: Cell::new(false),
        });
        disk.refresh_free_space().await?;
        Ok(disk)
    }

    /// The data directory, absolute.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where this shard's read memory returns to.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Opens a file. The caller sees to it that nobody removes or renames it meanwhile: glommio looks at the path again
    /// after opening it, and panics if it is gone.
    pub async fn open_file(self: &Rc<Self>, path: &Path, access: Access) -> io::Result<Rc<File>> {
        let file = match access {
            Access::Read => DmaFile::open(path).await,
            Access::Durable => {
                let mut options = OpenOptions::new();
                options.read(true).write(true).create(true).mode(0o644).custom_flags(libc::O_DSYNC);
                options.dma_open(path).await
            }
        };
        Ok(Rc::new(File::new(self.clone(), file.map_err(io::Error::from)?)))
    }

    /// Memory for a write of `bytes`, which are whole blocks; the caller fills all of it.
    pub fn write_buffer(&self, bytes: usize) -> WriteBuffer {
        debug_assert!((bytes as u64).is_multiple_of(BLOCK_BYTES));
        WriteBuffer(glommio::allocate_dma_buffer(bytes))
    }

    /// Waits for a place among the writes in flight.
    pub(super) async fn admit_write(&self) -> io::Result<StaticPermit> {
        self.writes.acquire_static_permit(1).await.map_err(io::Error::from)
    }

    /// Takes `bytes` from the free space that is known; false if that would go into the reserve.
    pub fn admit_bytes(self: &Rc<Self>, bytes: u64) -> bool {
        let admitted = self.admitted_bytes.get() + bytes;
        let enough = self.free_bytes.get() >= admitted + self.limits.reserve_bytes;
        let stale = self.free_known_at.get().elapsed() >= FREE_SPACE_AGE_MAX;
        if (stale || !enough || admitted >= ADMITTED_BYTES_MAX) && !self.refreshing.replace(true) {
            let disk = self.clone();
            glommio::spawn_local(async move {
                if let Err(error) = disk.refresh_free_space().await {
                    tracing::warn!(%error, "cannot tell the free space of the data directory");
                }
                disk.refreshing.set(false);
            })
            .detach();
        }
        if enough {
            self.admitted_bytes.set(admitted);
        }
        enough
    }

    /// Free bytes of the file system, as last seen.
    pub fn free_bytes(&self) -> u64 {
        self.free_bytes.get().saturating_sub(self.admitted_bytes.get())
    }

    async fn refresh_free_space(&self) -> io::Result<()> {
        let directory = self.directory.clone();
        let facts = blocking(move || rustix::fs::statvfs(&directory).map_err(io::Error::from)).await?;
        self.free_bytes.set(facts.f_bavail.saturating_mul(facts.f_frsize));
        self.admitted_bytes.set(0);
        self.free_known_at.set(Instant::now());
        Ok(())
    }

    /// Lists a directory; `None` if there is none.
    pub async fn list(&self, path: &Path) -> io::Result<Option<Vec<FileFacts>>> {
        let path = path.to_path_buf();
        blocking(move || absent_as_none(list_blocking(&path))).await
    }

    /// Creates a directory and makes its name durable.
    pub async fn create_directory(&self, path: &Path) -> io::Result<()> {
        let path = path.to_path_buf();
        blocking(move || {
            std::fs::create_dir_all(&path)?;
            sync_parent(&path)
        })
        .await
    }

    /// Makes the names in a directory durable.
    pub async fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let path = path.to_path_buf();
        blocking(move || std::fs::File::open(&path)?.sync_all()).await
    }

    /// Renames within the data directory, durably.
    pub async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (from.to_path_buf(), to.to_path_buf());
        blocking(move || {
            std::fs::rename(&from, &to)?;
            sync_parent(&to)
        })
        .await
    }

    /// Removes a file, if it is there. The name's going is durable only after [`Self::sync_directory`].
    pub async fn remove_file(&self, path: &Path) -> io::Result<()> {
        let path = path.to_path_buf();
        blocking(move || absent_as_none(std::fs::remove_file(&path)).map(|_| ())).await
    }

    /// Removes a directory and all in it, if it is there.
    pub async fn remove_directory(&self, path: &Path) -> io::Result<()> {
        let path = path.to_path_buf();
        blocking(move || absent_as_none(std::fs::remove_dir_all(&path)).map(|_| ())).await
    }

    /// Replaces a small file as a whole: after a crash it is the old one or the new one.
    pub async fn replace_file(&self, path: &Path, content: Vec<u8>) -> io::Result<()> {
        let path = path.to_path_buf();
        blocking(move || {
            let temporary = with_suffix(&path, ".tmp");
            let mut file = std::fs::File::create(&temporary)?;
            file.write_all(&content)?;
            file.sync_all()?;
            drop(file);
            std::fs::rename(&temporary, &path)?;
            sync_parent(&path)
        })
        .await
    }

    /// The first `bytes_max` bytes of a small file; `None` if there is none.
    pub async fn read_small(&self, path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
        let path = path.to_path_buf();
        blocking(move || {
            absent_as_none(std::fs::File::open(&path).and_then(|file| {
                let mut content = Vec::new();
                file.take(bytes_max).read_to_end(&mut content)?;
                Ok(content)
            }))
        })
        .await
    }

    /// Waits; a simulated disk only yields.
    pub async fn sleep(&self, duration: Duration) {
        glommio::timer::sleep(duration).await;
    }
}

/// Runs `work` on the blocking thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    glommio::executor().spawn_blocking(work).await
}

/// Writes the probe file unless it is there. It is never truncated: another shard may be reading it.
fn prepare_probe(path: &Path) -> io::Result<()> {
    let bytes = 2 * BLOCK_BYTES;
    if std::fs::metadata(path).is_ok_and(|facts| facts.len() >= bytes) {
        return Ok(());
    }
    let mut file = std::fs::OpenOptions::new().create(true).write(true).truncate(false).open(path)?;
    file.write_all(&vec![b'\n'; bytes as usize])?;
    file.sync_all()
}

fn list_blocking(path: &Path) -> io::Result<Vec<FileFacts>> {
    let mut facts = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        // A name that is not UTF-8 is none of ours.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let Some(metadata) = absent_as_none(entry.metadata())? else { continue };
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let modified = TimestampMs(i64::try_from(modified.as_millis()).unwrap_or(i64::MAX));
        let (size_bytes, is_directory) = (metadata.len(), metadata.is_dir());
        facts.push(FileFacts { name, size_bytes, modified, is_directory });
    }
    Ok(facts)
}

fn absent_as_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().expect("a path below the data directory has a parent");
    std::fs::File::open(parent)?.sync_all()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
