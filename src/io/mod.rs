//! Aligned memory, direct files, the order of their I/O, and the clock, with their simulated twins.
//!
//! Key invariant: nothing here blocks a shard, and a write that was answered with success is on the device. What the
//! bytes mean is left to `storage`.

mod admission;
mod classes;
mod clock;
mod disk;
mod file;
mod foreign;
mod kernel;
mod memory;
mod pages;
mod remover;
mod scheduler;
mod simulated;
mod streaming;

pub use classes::{
    BACKGROUND_WRITE_BYTES, IoCap, IoCaps, IoClass, IoCounts, IoLimits, QUEUE_PLACES, QUEUE_PLACES_MORE,
};
pub use clock::Clock;
pub use disk::{Disk, DiskLimits, FileFacts, Inspected};
pub use file::{Access, File, WriteBuffer};
pub use foreign::{Foreign, Home, StableBytes};
pub use memory::{AppendBuffer, BLOCK_BYTES, POOLED_BYTES_LARGE, POOLED_BYTES_SMALL, align_down, align_up};
pub use pages::{keep as keep_free_chunks, trim as trim_free_chunks};
pub use simulated::{Failure, Simulated};
