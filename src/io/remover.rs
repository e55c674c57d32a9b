//! A thread of the process that removes files which nobody needs any more.
//!
//! Removing hundreds of megabytes takes tens of milliseconds on a file system that tells its device what is free (`discard`), the
//! device does little else meanwhile, and a topic has hundreds of such files. On a shard's blocking thread all that a log does with
//! its files would wait for them.
//!
//! Key invariant: what waits here has a name of a deleted file or directory, so nobody waits for it to go; what is left when the
//! process ends is removed at the next start. If the name is another file's by then, that one goes as a whole or not at all.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, channel};

use rustix::thread::{sched_getaffinity, sched_setaffinity};

use super::kernel;

/// What of a file goes at once. With `discard` a virtual disk was busy with this for 8 ms, and whoever wrote waited for it. Smaller
/// steps, and rests between them, held writers up for several times as long and made them slower in all.
const STEP_BYTES: u64 = 32 << 20;

/// Of a file while it is removed, instead of `deleted`; the next start removes both.
const OWN_EXTENSION: &str = "removed.deleted";

/// Holds as many paths as there are files that wait to be removed, so that is its bound.
static QUEUE: OnceLock<Sender<PathBuf>> = OnceLock::new();

/// Removes a file, or a directory and all in it, some time later.
pub(super) fn discard(path: &Path) {
    let queue = QUEUE.get_or_init(|| {
        let (sender, receiver) = channel();
        let thread = std::thread::Builder::new().name("remover".to_owned());
        if let Err(error) = thread.spawn(move || run(&receiver)) {
            tracing::warn!(%error, "no thread to remove files: they stay until the next start");
        }
        sender
    });
    // Without the thread there is nobody to take it.
    let _ = queue.send(path.to_path_buf());
}

fn run(queue: &Receiver<PathBuf>) {
    leave_the_shards_cpu();
    for path in queue {
        if let Err(error) = remove(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            let path = path.display();
            tracing::warn!(%path, %error, "cannot remove what was deleted; the next start tries again");
        }
    }
}

/// The thread was begun by a shard, which may be pinned; it runs where the process may.
fn leave_the_shards_cpu() {
    let process = rustix::process::getpid();
    let moved = sched_getaffinity(Some(process)).and_then(|cpus| sched_setaffinity(None, &cpus));
    if let Err(error) = moved {
        tracing::debug!(%error, "files are removed on the CPU of a shard");
    }
}

fn remove(path: &Path) -> io::Result<()> {
    if !std::fs::symlink_metadata(path)?.is_dir() {
        // From here on nobody else has a name for it, so nobody begins to use it while it is shortened.
        let own = path.with_extension(OWN_EXTENSION);
        std::fs::rename(path, &own)?;
        return remove_one(&own);
    }
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            remove_one(&entry.path())?;
        }
    }
    std::fs::remove_dir_all(path)
}

fn remove_one(path: &Path) -> io::Result<()> {
    let size_bytes = std::fs::symlink_metadata(path)?.len();
    if size_bytes > STEP_BYTES {
        shorten(path, size_bytes)?;
    }
    std::fs::remove_file(path)
}

/// Takes a file's bytes step by step, from its end, unless a reader is still at it.
fn shorten(path: &Path, size_bytes: u64) -> io::Result<()> {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path)?;
    if !kernel::is_lone(&file) {
        return Ok(());
    }
    let steps = size_bytes / STEP_BYTES;
    (1..=steps).rev().try_for_each(|step| file.set_len(step * STEP_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_file_is_shortened_only_if_nobody_reads_it() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("large");
        for is_read in [true, false] {
            let file = std::fs::File::create(&path).unwrap();
            file.set_len(3 * STEP_BYTES + 1).unwrap();
            drop(file);
            let reader = is_read.then(|| std::fs::File::open(&path).unwrap());
            shorten(&path, 3 * STEP_BYTES + 1).unwrap();
            let size_bytes = std::fs::metadata(&path).unwrap().len();
            assert_eq!(size_bytes, if reader.is_some() { 3 * STEP_BYTES + 1 } else { STEP_BYTES });
        }
    }

    #[test]
    fn files_and_directories_go_and_nothing_beside_them() {
        let data = tempfile::tempdir().unwrap();
        let at = |name: &str| data.path().join(name);
        std::fs::create_dir_all(at("gone/below")).unwrap();
        for name in ["gone/a", "gone/below/b", "file", "kept"] {
            std::fs::write(at(name), "x").unwrap();
        }
        for name in ["never", "gone", "file"] {
            let removed = remove(&at(name));
            assert_eq!(removed.is_ok(), name != "never", "{removed:?}");
        }
        let left: Vec<_> = std::fs::read_dir(data.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["kept"]);
    }
}
