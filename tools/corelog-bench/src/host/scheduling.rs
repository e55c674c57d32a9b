//! How the kernel is asked to run the threads of this tool.

use std::num::NonZeroU64;

/// How the kernel runs a client's threads, after sched(7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Scheduling {
    /// What arrives does not take the CPU from whoever runs on it, such as a broker on the same host: measured there, Kafka takes
    /// 10 to 20% more requests when the client does not interrupt it at each answer. On a CPU of its own nothing changes.
    #[default]
    Batch,
    /// As the kernel runs most programs.
    Normal,
}

/// Asks for exact timers and the scheduling policy for the calling thread. Both are kindnesses, so a refusal is no error.
pub fn schedule(scheduling: Scheduling) {
    // Timers as exact as the kernel can: its default slack of 50 us would be in every latency.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1)).ok();
    if scheduling == Scheduling::Batch {
        let batch = libc::sched_param { sched_priority: 0 };
        // SAFETY: 0 is this thread, and the parameters live as long as the call.
        unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &batch) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_has_the_policy_that_was_asked_for() {
        for (scheduling, expected) in
            [(Scheduling::Batch, libc::SCHED_BATCH), (Scheduling::Normal, libc::SCHED_OTHER)]
        {
            let policy = std::thread::spawn(move || {
                schedule(scheduling);
                // SAFETY: 0 is this thread.
                unsafe { libc::sched_getscheduler(0) }
            });
            assert_eq!(policy.join().expect("the thread does not panic"), expected);
        }
    }
}
