//! The kernel and its io_uring: new enough, and allowed to this process.
//!
//! Key invariant: what is reported as allowed was tried: a ring is set up, and its operations are asked for.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use super::Finding;

/// The first kernel with everything that glommio and this broker use without gaps.
const KERNEL_MIN: (u32, u32) = (5, 8);
/// The first kernel whose io_uring is past its early faults.
const KERNEL_ADVISED: (u32, u32) = (5, 15);

/// The operations in use, with their numbers.
const OPERATIONS: [(u8, &str); 9] = [
    (1, "READV"),
    (3, "FSYNC"),
    (4, "READ_FIXED"),
    (6, "POLL_ADD"),
    (11, "TIMEOUT"),
    (13, "ACCEPT"),
    (18, "OPENAT"),
    (22, "READ"),
    (23, "WRITE"),
];

const NO_URING: &str =
    "A kernel with CONFIG_IO_URING is needed; most distributions' kernels from 5.8 on have it.";

/// The kernel's version.
pub(super) fn kernel() -> Finding {
    const NAME: &str = "kernel";
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let Some(version) = parse(&release) else {
        return Finding::warn(
            NAME,
            format!("{release}, which is no version number"),
            "Linux 5.15 or later is advised.",
        );
    };
    let found = format!("Linux {release}");
    if version < KERNEL_MIN {
        return Finding::fail(
            NAME,
            found,
            "Linux 5.8 or later is needed, 5.15 or later advised: upgrade the kernel.",
        );
    }
    if version < KERNEL_ADVISED {
        return Finding::warn(NAME, found, "It works; Linux 5.15 or later is advised.");
    }
    Finding::ok(NAME, found)
}

/// Major and minor number of a release such as `6.8.0-45-generic`.
fn parse(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Whether this process may use io_uring, with the operations that are needed.
pub(super) fn allowed() -> Finding {
    const NAME: &str = "io_uring";
    let ring = match set_up() {
        Ok(ring) => ring,
        Err(error) => return refused(NAME, &error, disabled_level()),
    };
    match missing_operations(&ring) {
        Ok(missing) if missing.is_empty() => Finding::ok(NAME, "allowed, with all operations in use"),
        Ok(missing) => Finding::fail(
            NAME,
            format!("the kernel's io_uring lacks {}", missing.join(", ")),
            "Upgrade the kernel to 5.15 or later.",
        ),
        Err(error) => Finding::warn(
            NAME,
            format!("allowed, but its operations cannot be asked for: {error}"),
            "If serving fails, upgrade the kernel to 5.15 or later.",
        ),
    }
}

/// `kernel.io_uring_disabled`: 0 everyone may, 1 only privileged processes and a group, 2 nobody.
fn disabled_level() -> Option<u8> {
    std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?.trim().parse().ok()
}

fn refused(name: &'static str, error: &io::Error, disabled: Option<u8>) -> Finding {
    let found = format!("it cannot be set up: {error}");
    match (error.raw_os_error(), disabled) {
        (Some(libc::ENOSYS), _) => Finding::fail(name, found, format!("{NO_URING} {CONTAINER}")),
        (Some(libc::EPERM), Some(level @ 1..)) => Finding::fail(
            name,
            format!("{found}; kernel.io_uring_disabled is {level}"),
            "On the host: sysctl -w kernel.io_uring_disabled=0, and the same line in /etc/sysctl.d/ to keep it.",
        ),
        (Some(libc::EPERM | libc::EACCES), _) => Finding::fail(name, found, CONTAINER),
        (Some(libc::ENOMEM), _) => Finding::fail(name, found, "Raise the locked memory: ulimit -l 8192."),
        (Some(libc::EMFILE | libc::ENFILE), _) => {
            Finding::fail(name, found, "Raise the open files: ulimit -n 65536.")
        }
        _ => Finding::fail(name, found, NO_URING),
    }
}

const CONTAINER: &str = "In a container its seccomp profile forbids it: docker run --security-opt seccomp=unconfined, \
or a profile that adds io_uring_setup, io_uring_enter and io_uring_register; in Kubernetes \
securityContext.seccompProfile.type: Unconfined, or Localhost with such a profile.";

/// A ring of the smallest size; closed when dropped.
fn set_up() -> io::Result<OwnedFd> {
    const ENTRIES: libc::c_uint = 1;
    // struct io_uring_params, which the kernel fills in: 120 bytes, all of which may be zero.
    let mut parameters = [0_u64; 15];
    // SAFETY: the pointer is to 120 writable, aligned bytes, as io_uring_setup(2) asks for.
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, ENTRIES, parameters.as_mut_ptr()) };
    let ring = i32::try_from(ring).map_err(io::Error::other)?;
    if ring < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just returned this descriptor to us, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(ring) })
}

/// Those of [`OPERATIONS`] that the ring does not know.
fn missing_operations(ring: &OwnedFd) -> io::Result<Vec<&'static str>> {
    use std::os::fd::AsRawFd;
    const REGISTER_PROBE: libc::c_uint = 8;
    const OPERATIONS_MAX: usize = 64;
    const SUPPORTED: u16 = 1;
    // struct io_uring_probe: 16 bytes (last operation, count, padding), then 8 per operation: number u8, padding u8,
    // flags u16, padding u32.
    let mut probe = [0_u64; 2 + OPERATIONS_MAX];
    let count = OPERATIONS_MAX as libc::c_uint;
    // SAFETY: the pointer is to writable memory for the header and `count` operations, as io_uring_register(2) asks for.
    let done = unsafe {
        libc::syscall(
            libc::SYS_io_uring_register,
            ring.as_raw_fd(),
            REGISTER_PROBE,
            probe.as_mut_ptr(),
            count,
        )
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    let is_supported = |operation: u8| {
        let entry = probe[2 + usize::from(operation)].to_ne_bytes();
        u16::from_ne_bytes([entry[2], entry[3]]) & SUPPORTED != 0
    };
    Ok(OPERATIONS.iter().filter(|(number, _)| !is_supported(*number)).map(|(_, name)| *name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::checks::Status;

    #[test]
    fn releases_are_read() {
        assert_eq!(parse("6.8.0-45-generic"), Some((6, 8)));
        assert_eq!(parse("5.15"), Some((5, 15)));
        assert_eq!(parse("unknown"), None);
        assert!(parse("5.4.0") < Some(KERNEL_MIN));
    }

    #[test]
    fn each_refusal_has_its_remedy() {
        let remedy = |code, level| {
            let finding = refused("io_uring", &io::Error::from_raw_os_error(code), level);
            assert_eq!(finding.status, Status::Fail);
            finding.remedy.expect("a failure has a remedy")
        };
        assert!(remedy(libc::EPERM, Some(2)).contains("kernel.io_uring_disabled=0"));
        assert!(remedy(libc::EPERM, Some(0)).contains("seccomp"));
        assert!(remedy(libc::EPERM, None).contains("seccomp"));
        assert!(remedy(libc::ENOSYS, None).contains("CONFIG_IO_URING"));
        assert!(remedy(libc::ENOMEM, None).contains("ulimit -l"));
    }
}
