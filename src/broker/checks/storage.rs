//! The data directory: its filesystem, direct I/O, block size, free space.
//!
//! Key invariant: a directory that does not exist yet is judged by the nearest one above it that does. Trying direct
//! I/O is left to `probe`.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfs, statfs, statvfs};

use super::{Finding, probe};

/// Free bytes below which a broker soon stops taking records. It starts with less: only through it can records be deleted.
const FREE_BYTES_ADVISED: u64 = 1 << 30;
/// The alignment that everything is written with.
const BLOCK_BYTES: u64 = 4096;

/// Checks the data directory.
pub(super) fn check(data_dir: &Path) -> Vec<Finding> {
    let place = match nearest_existing(data_dir) {
        Ok(place) => place,
        Err(error) => {
            let found = format!("{}: {error}", data_dir.display());
            return vec![Finding::fail("data directory", found, "Choose another with --data-dir.")];
        }
    };
    let probed = probe::write_and_read(&place);
    let mut findings = vec![directory(data_dir, &place), filesystem(&place), direct_io(&probed)];
    findings.extend(probed.ok().map(|device| block_size(device, &place)));
    findings.push(free_space(&place));
    findings
}

fn nearest_existing(data_dir: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(data_dir)?;
    let mut place = absolute.as_path();
    loop {
        match place.metadata() {
            Ok(facts) if facts.is_dir() => return Ok(place.to_path_buf()),
            Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                place = place.parent().ok_or(error)?;
            }
            Err(error) => return Err(error),
        }
    }
}

fn directory(data_dir: &Path, place: &Path) -> Finding {
    const NAME: &str = "data directory";
    let found = match std::path::absolute(data_dir).is_ok_and(|absolute| absolute == place) {
        true => data_dir.display().to_string(),
        false => format!("{}, which will be created in {}", data_dir.display(), place.display()),
    };
    use rustix::fs::{Access, access};
    match access(place, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Finding::ok(NAME, found),
        Err(error) => Finding::fail(
            NAME,
            format!("{found}: it cannot be written: {}", io::Error::from(error)),
            format!("chown or chmod {}, or choose another with --data-dir.", place.display()),
        ),
    }
}

/// What is known of a filesystem by its magic number.
fn filesystem(place: &Path) -> Finding {
    const NAME: &str = "filesystem";
    let kind = match statfs(place) {
        Ok(facts) => facts.f_type as u64 & 0xffff_ffff,
        Err(error) => {
            let found = format!("unknown: {}", io::Error::from(error));
            return Finding::warn(NAME, found, "ext4 and xfs are known to work well.");
        }
    };
    judge_filesystem(NAME, kind)
}

fn judge_filesystem(name: &'static str, kind: u64) -> Finding {
    const ADVICE: &str = "Put the data directory on ext4 or xfs: --data-dir.";
    match kind {
        0xef53 => Finding::ok(name, "ext4"),
        0x5846_5342 => Finding::ok(name, "xfs"),
        0x0102_1994 => Finding::warn(
            name,
            "tmpfs: records are in memory and gone after a restart of the machine",
            ADVICE,
        ),
        0x794c_7630 => Finding::warn(
            name,
            "overlay: a container's own layer, slow and gone with the container",
            "Mount a volume and give its path: docker run -v corelog:/data … --data-dir /data.",
        ),
        0x9123_683e => Finding::warn(
            name,
            "btrfs: every overwrite is copied elsewhere, which costs speed and space",
            "chattr +C on the empty data directory, or better ext4 or xfs.",
        ),
        0x2fc1_2fc1 => Finding::warn(name, "zfs: direct I/O may go through its own cache", ADVICE),
        0x6969 | 0xff53_4d42 | 0xfe53_4d42 | 0x517b | 0x6573_5546 => Finding::warn(
            name,
            format!("a network or user-space filesystem ({kind:#x}); its flushes may be none"),
            ADVICE,
        ),
        _ => Finding::warn(name, format!("of the kind {kind:#x}, with which there is no experience"), ADVICE),
    }
}

fn direct_io(probed: &io::Result<u64>) -> Finding {
    const NAME: &str = "direct i/o";
    match probed {
        Ok(_) => Finding::ok(NAME, "works: a block was written durably and read back"),
        Err(error) => {
            let remedy = match error.raw_os_error() {
                Some(libc::EINVAL | libc::EOPNOTSUPP) => {
                    "Choose a filesystem with direct I/O, ext4 or xfs: --data-dir."
                }
                Some(libc::EACCES | libc::EPERM | libc::EROFS) => {
                    "Choose a directory that can be written: --data-dir."
                }
                Some(libc::ENOSPC | libc::EDQUOT) => "Free some space, or choose another device: --data-dir.",
                _ => "The device or its filesystem fails: see dmesg, or choose another with --data-dir.",
            };
            Finding::fail(NAME, format!("a block cannot be written and read back: {error}"), remedy)
        }
    }
}

/// What the device and the filesystem write in, against what the broker writes in.
fn block_size(device: u64, place: &Path) -> Finding {
    let filesystem = statvfs(place).map_or(BLOCK_BYTES, |facts| facts.f_bsize);
    judge_blocks("block size", device, filesystem)
}

fn judge_blocks(name: &'static str, device: u64, filesystem: u64) -> Finding {
    let found = format!(
        "direct I/O in {device} bytes, filesystem {filesystem}; the broker writes blocks of {BLOCK_BYTES}"
    );
    if device > BLOCK_BYTES {
        return Finding::fail(name, found, "Put the data directory on another device: --data-dir.");
    }
    if filesystem < BLOCK_BYTES {
        let remedy =
            "It works, with more work for the filesystem: mkfs with blocks of 4096 bytes is advised.";
        return Finding::warn(name, found, remedy);
    }
    Finding::ok(name, found)
}

fn free_space(place: &Path) -> Finding {
    const NAME: &str = "free space";
    match statvfs(place) {
        Ok(facts) => judge_space(NAME, &facts),
        Err(error) => {
            Finding::warn(NAME, format!("unknown: {}", io::Error::from(error)), "Check it with df.")
        }
    }
}

fn judge_space(name: &'static str, facts: &StatVfs) -> Finding {
    let free = facts.f_bavail.saturating_mul(facts.f_frsize);
    let found = format!("{:.1} GiB", free as f64 / (1_u64 << 30) as f64);
    let remedy = "Free some space, shorten retention (log.retention.ms, log.retention.bytes), or choose another device.";
    if free < FREE_BYTES_ADVISED {
        return Finding::warn(name, found, remedy);
    }
    Finding::ok(name, found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::checks::Status;

    #[test]
    fn a_directory_to_come_is_judged_by_the_one_above() {
        let above = tempfile::tempdir().expect("a temporary directory");
        let place = nearest_existing(&above.path().join("a/b")).expect("it is below one that exists");
        assert_eq!(place, above.path());
        let file = above.path().join("file");
        std::fs::write(&file, "x").expect("writable");
        let finding = &check(&file)[0];
        assert_eq!(finding.status, Status::Fail, "{finding}");
    }

    #[test]
    fn blocks_larger_than_ours_fail_and_smaller_ones_of_the_filesystem_warn() {
        assert_eq!(judge_blocks("b", 512, 4096).status, Status::Ok);
        assert_eq!(judge_blocks("b", 8192, 8192).status, Status::Fail);
        assert_eq!(judge_blocks("b", 512, 1024).status, Status::Warn);
    }

    #[test]
    fn memory_and_layers_are_remarked_on() {
        assert_eq!(judge_filesystem("f", 0xef53).status, Status::Ok);
        for kind in [0x0102_1994, 0x794c_7630, 0x9123_683e, 0x2fc1_2fc1, 0x6969, 1] {
            assert_eq!(judge_filesystem("f", kind).status, Status::Warn);
        }
    }
}
