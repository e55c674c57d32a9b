//! CPU time: of this process thread by thread, and of another process as a whole.
//!
//! Key invariant: times only grow, so the difference of two readings is what was used between them. A thread that ended
//! between two readings is missing in the second.

use super::{HostError, read};

/// What the kernel counts in `/proc/PID/stat`: `USER_HZ`, a fixed part of its interface on all current architectures.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU time of a process or thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// On a CPU, user and system time together.
    pub ran_ns: u64,
    /// Ready to run, but waiting for a CPU.
    pub waited_ns: u64,
}

/// A thread of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadTime {
    pub id: u32,
    /// At most 15 bytes, as the kernel keeps it.
    pub name: String,
    pub time: CpuTime,
}

/// The times of all threads of this process, from `/proc/self/task/*/schedstat`.
pub fn own_threads() -> Result<Vec<ThreadTime>, HostError> {
    const TASKS: &str = "/proc/self/task";
    let unreadable =
        |error: std::io::Error| HostError::Unreadable { path: TASKS.to_owned(), reason: error.to_string() };
    let mut threads = vec![];
    for entry in std::fs::read_dir(TASKS).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // A thread may end while the directory is read.
        let Ok(name) = read(&format!("{TASKS}/{id}/comm")) else { continue };
        let Ok(schedstat) = read(&format!("{TASKS}/{id}/schedstat")) else { continue };
        let time = parse_schedstat(&schedstat)
            .ok_or_else(|| HostError::Unexpected { path: format!("{TASKS}/{id}/schedstat") })?;
        threads.push(ThreadTime { id, name: name.trim_end().to_owned(), time });
    }
    Ok(threads)
}

/// CPU seconds that a process has used with all its threads, those that ended included, from `/proc/PID/stat`; to a
/// hundredth of a second.
pub fn process_cpu_s(pid: u32) -> Result<f64, HostError> {
    let path = format!("/proc/{pid}/stat");
    let ticks = parse_stat(&read(&path)?).ok_or(HostError::Unexpected { path })?;
    Ok(ticks as f64 / TICKS_PER_SECOND)
}

/// Time on a CPU, time waiting for one (both in nanoseconds), and how often it ran.
fn parse_schedstat(text: &str) -> Option<CpuTime> {
    let mut fields = text.split_ascii_whitespace();
    let ran_ns = fields.next()?.parse().ok()?;
    let waited_ns = fields.next()?.parse().ok()?;
    Some(CpuTime { ran_ns, waited_ns })
}

/// User and system time in clock ticks: fields 14 and 15; the second field, a name in brackets, may hold anything.
fn parse_stat(text: &str) -> Option<u64> {
    const FIELDS_BETWEEN: usize = 11;
    let (_, after_name) = text.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(FIELDS_BETWEEN);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_brackets_and_spaces_do_not_confuse() {
        let text = "42 (a) b) (c) S 1 42 42 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 1 0 9 9 9";
        assert_eq!(parse_stat(text), Some(200));
        assert_eq!(parse_stat("42 (a) S 1"), None);
        let time = parse_schedstat("123 45 6\n").unwrap();
        assert_eq!((time.ran_ns, time.waited_ns), (123, 45));
        assert_eq!(parse_schedstat("123"), None);
    }

    /// What the thread has to have worked, by the kernel's count: on a busy host no time of the clock's tells how much it did.
    const WORK_NS: u64 = 30_000_000;

    fn busy(threads: &[ThreadTime]) -> CpuTime {
        threads.iter().find(|thread| thread.name == "busy-thread").unwrap().time
    }

    #[test]
    fn work_shows_in_the_times() {
        let thread = std::thread::Builder::new().name("busy-thread".to_owned());
        let (done, finish) = std::sync::mpsc::channel::<()>();
        let (worked, has_worked) = std::sync::mpsc::channel();
        let thread = thread.spawn(move || {
            let started = std::time::Instant::now();
            let mut sum = 0_u64;
            while busy(&own_threads().unwrap()).ran_ns < WORK_NS && started.elapsed().as_secs() < 60 {
                (0..100_000_u64).for_each(|number| sum = std::hint::black_box(sum.wrapping_add(number)));
            }
            worked.send(sum).unwrap();
            finish.recv().unwrap_err();
        });
        let thread = thread.unwrap();
        has_worked.recv().unwrap();
        let time = busy(&own_threads().unwrap());
        assert!(time.ran_ns >= WORK_NS, "{time:?}");
        assert!(process_cpu_s(std::process::id()).unwrap() > 0.0);
        drop(done);
        thread.join().unwrap();
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(matches!(process_cpu_s(u32::MAX), Err(HostError::Unreadable { .. })));
    }
}
