//! A small filesystem of a test's own: an image below `target/`, mounted through a loop device. Needs root.
//!
//! Key invariant: dropping it unmounts and deletes it, also when the test fails. What a test that was killed left behind is
//! removed by the next one.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const NAME_PREFIX: &str = "small-disk-";
const IMAGE: &str = "image";
const MOUNTED: &str = "mounted";

/// A mounted ext4.
pub struct LoopMount {
    directory: PathBuf,
}

impl LoopMount {
    /// One of this size, for the test of this name; why not, if this machine cannot.
    pub fn new(test: &str, bytes: u64) -> Result<Self, String> {
        let below = Path::new(env!("CARGO_TARGET_TMPDIR"));
        remove_abandoned(below);
        let directory = below.join(format!("{NAME_PREFIX}{}-{test}", std::process::id()));
        let text = |error: std::io::Error| error.to_string();
        fs::create_dir_all(directory.join(MOUNTED)).map_err(text)?;
        // From here on dropping it removes the directory.
        let mount = Self { directory };
        let image = mount.directory.join(IMAGE);
        fs::File::create(&image).and_then(|file| file.set_len(bytes)).map_err(text)?;
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-b", "4096", "-m", "0"]).arg(&image))?;
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(mount.path()))?;
        Ok(mount)
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.directory.join(MOUNTED)
    }

    /// Bytes that an ordinary program may still write.
    pub fn free_bytes(&self) -> u64 {
        let facts = rustix::fs::statvfs(self.path()).unwrap();
        facts.f_bavail * facts.f_frsize
    }
}

impl Drop for LoopMount {
    fn drop(&mut self) {
        remove(&self.directory);
    }
}

fn remove(directory: &Path) {
    // It may not be mounted. The loop device goes with the mount.
    let _ = Command::new("umount").arg("-q").arg(directory.join(MOUNTED)).output();
    let _ = fs::remove_file(directory.join(IMAGE));
    // Fails, and nothing is lost, while something is mounted below.
    let _ = fs::remove_dir(directory.join(MOUNTED)).and_then(|()| fs::remove_dir(directory));
}

fn remove_abandoned(below: &Path) {
    for entry in fs::read_dir(below).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(NAME_PREFIX)?.split('-').next());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            remove(&entry.path());
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// Says that a test does not run, past the capture of what tests print.
pub fn skipped(test: &str, reason: &str) {
    // Nobody may be reading.
    let _ = writeln!(std::io::stderr(), "SKIPPED  {test}: {reason}");
}
