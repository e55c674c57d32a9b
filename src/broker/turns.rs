//! How soon a thread gets its CPU back when something else runs there.
//!
//! A shard shares its CPU with whatever else the host runs: clients, agents, the kernel's own threads. Linux's scheduler (EEVDF) lets
//! who runs finish a turn, of milliseconds where the tick is slow, before a thread that wakes up is let in; but a thread that asks for
//! shorter turns than that is let in at once, as long as it has not had more than its share (Linux 6.12, sched_setattr(2)). It gets no
//! more of the CPU than before, only sooner: what a shard wants, which works for microseconds and waits.
//!
//! Key invariant: the thread's policy and priority stay as the operator set them.

use std::io;
use std::mem::size_of;

/// The shortest turn that Linux takes, in nanoseconds.
const TURN_NS: u64 = 100_000;

/// Asks for short turns for the thread that calls this, and those that it starts later. Does nothing where the kernel knows no turns, or
/// the thread is not of the normal or batch policy.
///
/// # Errors
///
/// What the kernel says, of which a sandbox may be the reason.
pub fn ask_for_short_turns() -> io::Result<()> {
    let now = attributes()?;
    let is_fair =
        [libc::SCHED_OTHER, libc::SCHED_BATCH].map(|policy| policy as u32).contains(&now.sched_policy);
    // A kernel that knows turns says how long this thread's are.
    if !is_fair || now.sched_runtime == 0 {
        return Ok(());
    }
    let wanted = libc::sched_attr { sched_runtime: TURN_NS, ..now };
    // SAFETY: the pointer is to a whole sched_attr, which says its size; the kernel only reads it.
    let done = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wanted, 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What the scheduler knows of the calling thread.
fn attributes() -> io::Result<libc::sched_attr> {
    let size = size_of::<libc::sched_attr>() as u32;
    let mut attributes = libc::sched_attr {
        size,
        sched_policy: 0,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the pointer is to `size` writable bytes, of which the kernel fills in at most as many.
    let done = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
    if done == 0 { Ok(attributes) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_short_where_the_kernel_knows_them_and_all_else_stays() {
        let work = || {
            // SAFETY: nice(2) takes no pointers; it lowers this thread's priority.
            unsafe { libc::nice(3) };
            let before = attributes().expect("the kernel tells");
            ask_for_short_turns().expect("nothing forbids it here");
            let after = attributes().expect("the kernel tells");
            let expected = if before.sched_runtime == 0 { 0 } else { TURN_NS };
            assert_eq!(after.sched_runtime, expected);
            assert_eq!(
                (after.sched_policy, after.sched_nice, after.sched_flags),
                (before.sched_policy, before.sched_nice, before.sched_flags)
            );
            assert_eq!(before.sched_nice, 3);
        };
        std::thread::spawn(work).join().expect("the thread ends");
    }
}
