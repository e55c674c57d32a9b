//! A thread of the process that removes files which nobody needs any more.
//!
//! Removing hundreds of megabytes takes tens of milliseconds on a file system that tells its device what is free (`discard`), the
//! device does little else meanwhile, and a topic has hundreds of such files. On a shard's blocking thread all that a log does with
//! its files would wait for them; one right after the other they would hold up the writes.
//!
//! Key invariant: what waits here has a name that nothing else asks for, so nobody waits for it to go; what is left when the
//! process ends is removed at the next start.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use rustix::thread::{sched_getaffinity, sched_setaffinity};

use super::kernel;

/// What of a file goes at once. With `discard` a virtual disk was busy with this for 8 ms.
const STEP_BYTES: u64 = 32 << 20;
/// After each step the thread rests this many times as long as that took, unless space is needed.
const REST_FACTOR: u32 = 3;

/// A file, or a directory and all in it.
struct Discarded {
    path: PathBuf,
    hurry: bool,
}

/// Holds as many as there are files that wait to be removed, so that is its bound.
static QUEUE: OnceLock<Sender<Discarded>> = OnceLock::new();

/// Removes a file, or a directory and all in it, some time later, and at once after what waits already if there is a hurry.
pub(super) fn discard(path: &Path, hurry: bool) {
    let queue = QUEUE.get_or_init(|| {
        let (sender, receiver) = channel();
        let thread = std::thread::Builder::new().name("remover".to_owned());
        if let Err(error) = thread.spawn(move || run(&receiver)) {
            tracing::warn!(%error, "no thread to remove files: they stay until the next start");
        }
        sender
    });
    // Without the thread there is nobody to take it.
    let _ = queue.send(Discarded { path: path.to_path_buf(), hurry });
}

fn run(queue: &Receiver<Discarded>) {
    leave_the_shards_cpu();
    for discarded in queue {
        match discarded.remove() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let path = discarded.path.display();
                tracing::warn!(%path, %error, "cannot remove what was deleted; the next start tries again");
            }
            _ => {}
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

impl Discarded {
    fn remove(&self) -> io::Result<()> {
        if !std::fs::symlink_metadata(&self.path)?.is_dir() {
            return self.remove_one(&self.path);
        }
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                self.remove_one(&entry.path())?;
            }
        }
        std::fs::remove_dir_all(&self.path)
    }

    fn remove_one(&self, path: &Path) -> io::Result<()> {
        let size_bytes = std::fs::symlink_metadata(path)?.len();
        if !self.hurry && size_bytes > STEP_BYTES {
            self.shorten(path, size_bytes)?;
        }
        self.rest_after(|| std::fs::remove_file(path))
    }

    /// Takes a file's bytes step by step, from its end, unless a reader is still at it.
    fn shorten(&self, path: &Path, size_bytes: u64) -> io::Result<()> {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(path)?;
        if !kernel::is_lone(&file) {
            return Ok(());
        }
        let steps = size_bytes / STEP_BYTES;
        (1..=steps).rev().try_for_each(|step| self.rest_after(|| file.set_len(step * STEP_BYTES)))
    }

    fn rest_after(&self, remove: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let begun = Instant::now();
        remove()?;
        if !self.hurry {
            std::thread::sleep(begun.elapsed() * REST_FACTOR);
        }
        Ok(())
    }
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
            Discarded { path: path.clone(), hurry: false }.shorten(&path, 3 * STEP_BYTES + 1).unwrap();
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
        for (name, hurry) in [("never", true), ("gone", false), ("file", true)] {
            let removed = Discarded { path: at(name), hurry }.remove();
            assert_eq!(removed.is_ok(), name != "never", "{removed:?}");
        }
        let left: Vec<_> = std::fs::read_dir(data.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["kept"]);
    }
}
