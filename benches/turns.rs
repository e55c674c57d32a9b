//! How long a thread that sleeps and works in turn waits for its CPU, beside one that always runs there.
//!
//! `cargo bench --bench turns`: with the scheduler's turns as they are and with those that a shard asks for (`broker/turns`), in
//! alternation, at two shares of the CPU that both threads are pinned to. Prints what is waited beyond the sleep. About 15 s.
#![allow(clippy::print_stdout)] // A benchmark's answer is what it prints.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use corelog::broker::ask_for_short_turns;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

const ROUNDS: usize = 3;
const WAKE_UPS: usize = 1_500;
const SLEEP: Duration = Duration::from_micros(500);
/// Work after each sleep: well below half of the CPU, which is the thread's share, and above it.
const WORK: [Duration; 2] = [Duration::from_micros(300), Duration::from_micros(600)];

fn main() {
    println!("| work after each {} us of sleep | turns | p50, us | p90 | p99 | p99.9 |", SLEEP.as_micros());
    println!("| --- | --- | --- | --- | --- | --- |");
    for work in WORK {
        for _ in 0..ROUNDS {
            for short in [false, true] {
                let waited = measure(work, short);
                let at = |share: f64| waited[(waited.len() as f64 * share) as usize].as_micros();
                println!(
                    "| {} us | {} | {} | {} | {} | {} |",
                    work.as_micros(),
                    if short { "short" } else { "as they are" },
                    at(0.5),
                    at(0.9),
                    at(0.99),
                    at(0.999)
                );
            }
        }
    }
}

/// What a thread waits for its CPU after each sleep, ascending.
fn measure(work: Duration, short: bool) -> Vec<Duration> {
    let done = Arc::new(AtomicBool::new(false));
    let runner = {
        let done = done.clone();
        thread::spawn(move || {
            pin();
            while !done.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        })
    };
    let sleeper = thread::spawn(move || {
        pin();
        if short {
            ask_for_short_turns().expect("the kernel allows it");
        }
        let mut waited: Vec<Duration> = (0..WAKE_UPS)
            .map(|_| {
                let begun = Instant::now();
                thread::sleep(SLEEP);
                let woken = Instant::now();
                while woken.elapsed() < work {}
                woken.duration_since(begun).saturating_sub(SLEEP)
            })
            .collect();
        waited.sort();
        waited
    });
    let waited = sleeper.join().expect("the sleeper ends");
    done.store(true, Ordering::Relaxed);
    runner.join().expect("the runner ends");
    waited
}

/// Stays on the first CPU that the process may use.
fn pin() {
    let allowed = sched_getaffinity(None).expect("the kernel tells");
    let first = (0..CpuSet::MAX_CPU).find(|cpu| allowed.is_set(*cpu)).expect("one is allowed");
    let mut one = CpuSet::new();
    one.set(first);
    sched_setaffinity(None, &one).expect("it is allowed");
}
