//! What the load generator's host is and how it is doing: facts that go into a run's file, CPU time of threads and of a
//! broker's process; and how the kernel is asked to run the tool's threads.
//!
//! Key invariant: everything that is found out is read from `/proc` and `/sys` and may be missing; what is missing is `None`, never a
//! guess and never an error that ends a run. Judging the figures is left to `measure`.

mod broker;
mod cpu;
mod facts;
mod memory;
mod scheduling;

pub use broker::listening_process;
pub use cpu::{CpuTime, ThreadTime, own_threads, process_cpu_s};
pub use facts::{DataDirectory, Facts};
pub use memory::{MemoryUse, process_memory};
pub use scheduling::{Scheduling, schedule};

/// Why a fact about a process cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("{path} cannot be read: {reason}")]
    Unreadable { path: String, reason: String },
    #[error("{path} does not look as expected")]
    Unexpected { path: String },
}

/// Reads a small file of `/proc` or `/sys`.
fn read(path: &str) -> Result<String, HostError> {
    std::fs::read_to_string(path)
        .map_err(|error| HostError::Unreadable { path: path.to_owned(), reason: error.to_string() })
}
