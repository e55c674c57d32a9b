//! How the kernel is asked to run the threads of this tool.

use std::num::NonZeroU64;

/// Asks for exact timers and few wake-ups for the calling thread. Both are kindnesses, so a refusal is no error.
pub fn schedule_gently() {
    // Timers as exact as the kernel can: its default slack of 50 us would be in every latency.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1)).ok();
    // What arrives does not take the CPU from whoever runs on it, such as a broker on the same host: measured there, Kafka takes
    // 10 to 20% more requests when the client does not interrupt it at each answer. On a CPU of its own nothing changes.
    let batch = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 is this thread, and the parameters live as long as the call.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &batch) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_is_a_batch_thread_afterwards() {
        let policy = std::thread::spawn(|| {
            schedule_gently();
            // SAFETY: 0 is this thread.
            unsafe { libc::sched_getscheduler(0) }
        });
        assert_eq!(policy.join().expect("the thread does not panic"), libc::SCHED_BATCH);
    }
}
