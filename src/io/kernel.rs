//! Directory operations and small files on the real file system, off the shard's thread.
//!
//! Key invariant: what io_uring cannot do runs on glommio's blocking thread; a function that says durable has synced the
//! file, and the directory that names it.

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use super::disk::{FileFacts, Inspected};
use super::memory::BLOCK_BYTES;
use crate::model::TimestampMs;

/// Chooses the signal that tells of a lease; `asm-generic/fcntl.h`, and no constant of `libc`.
const F_SETSIG: libc::c_int = 10;

thread_local! {
    /// What this executor's blocking thread has to do, also for those who no longer wait.
    static UNDER_WAY: Arc<AtomicUsize> = Arc::default();
}

/// Counts for as long as it lives.
struct UnderWay(Arc<AtomicUsize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Runs `work` on the blocking thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    let count = UNDER_WAY.with(Arc::clone);
    count.fetch_add(1, Ordering::AcqRel);
    let counted = UnderWay(count);
    let work = move || {
        let result = work();
        drop(counted);
        result
    };
    glommio::executor().spawn_blocking(work).await
}

/// Whether the blocking thread has something to do.
pub(super) fn is_busy() -> bool {
    UNDER_WAY.with(|count| count.load(Ordering::Acquire) > 0)
}

/// Creates the data directory and the probe file in it; returns the directory's absolute path.
pub(super) async fn prepare(directory: &Path, probe: &'static str) -> io::Result<PathBuf> {
    let wanted = directory.to_path_buf();
    blocking(move || {
        std::fs::create_dir_all(&wanted)?;
        let directory = wanted.canonicalize()?;
        prepare_probe(&directory.join(probe))?;
        Ok(directory)
    })
    .await
}

/// Free bytes of the file system.
pub(super) async fn free_bytes(directory: &Path) -> io::Result<u64> {
    let directory = directory.to_path_buf();
    let facts = blocking(move || rustix::fs::statvfs(&directory).map_err(io::Error::from)).await?;
    Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
}

pub(super) async fn list(path: &Path) -> io::Result<Option<Vec<FileFacts>>> {
    let path = path.to_path_buf();
    blocking(move || absent_as_none(list_blocking(&path))).await
}

pub(super) async fn inspect(
    path: &Path,
    wanted: &'static [&'static str],
    bytes_max: u64,
) -> io::Result<Option<Inspected>> {
    let path = path.to_path_buf();
    blocking(move || {
        let Some(entries) = absent_as_none(list_blocking(&path))? else { return Ok(None) };
        let mut contents = Vec::with_capacity(wanted.len());
        for name in wanted {
            // Reading only what was listed spares a system call for each file that is not there.
            let listed = entries.iter().any(|entry| entry.name == *name);
            contents.push(if listed { read_blocking(&path.join(name), bytes_max)? } else { None });
        }
        Ok(Some(Inspected { entries, contents }))
    })
    .await
}

pub(super) async fn create_directory(path: &Path) -> io::Result<()> {
    let path = path.to_path_buf();
    blocking(move || {
        std::fs::create_dir_all(&path)?;
        sync_parent(&path)
    })
    .await
}

pub(super) async fn sync_directory(path: &Path) -> io::Result<()> {
    let path = path.to_path_buf();
    blocking(move || std::fs::File::open(&path)?.sync_all()).await
}

pub(super) async fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (from.to_path_buf(), to.to_path_buf());
    blocking(move || {
        std::fs::rename(&from, &to)?;
        sync_parent(&to)
    })
    .await
}

pub(super) async fn remove_file(path: &Path) -> io::Result<()> {
    let path = path.to_path_buf();
    blocking(move || absent_as_none(std::fs::remove_file(&path)).map(|_| ())).await
}

pub(super) async fn is_unshared(path: &Path) -> io::Result<bool> {
    let path = path.to_path_buf();
    blocking(move || {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(&path)?;
        Ok(is_lone(&file))
    })
    .await
}

/// Whether nobody else has the file open; false where the file system cannot tell.
///
/// The kernel grants a write lease only then. It is given back at once.
pub(super) fn is_lone(file: &std::fs::File) -> bool {
    // Whoever opens the file just now makes the kernel send a signal, which is to be one that does nothing.
    let calls =
        [(F_SETSIG, libc::SIGURG), (libc::F_SETLEASE, libc::F_WRLCK), (libc::F_SETLEASE, libc::F_UNLCK)];
    calls.into_iter().all(|(command, argument)| {
        // SAFETY: the descriptor is open as long as `file`, and these commands take an integer.
        unsafe { libc::fcntl(file.as_raw_fd(), command, argument) >= 0 }
    })
}

pub(super) async fn replace_file(path: &Path, temporary: PathBuf, content: Vec<u8>) -> io::Result<()> {
    let path = path.to_path_buf();
    blocking(move || {
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(&content)?;
        file.sync_all()?;
        drop(file);
        std::fs::rename(&temporary, &path)?;
        sync_parent(&path)
    })
    .await
}

pub(super) async fn read_small(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    let path = path.to_path_buf();
    blocking(move || read_blocking(&path, bytes_max)).await
}

pub(super) async fn put_file(path: &Path, content: Vec<u8>) -> io::Result<()> {
    let path = path.to_path_buf();
    blocking(move || std::fs::write(&path, content)).await
}

fn read_blocking(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    absent_as_none(std::fs::File::open(path).and_then(|file| {
        let mut content = Vec::new();
        file.take(bytes_max).read_to_end(&mut content)?;
        Ok(content)
    }))
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
