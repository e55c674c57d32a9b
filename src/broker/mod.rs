//! Wiring: boot, CPU placement, shutdown.
//!
//! Key invariants: nothing is answered before the metadata and the broker's own start are durable; a data directory
//! serves one broker; when `serve` returns without an error, everything acknowledged is on the device and the logs are
//! closed.

mod allocator;
mod banner;
mod boot;
pub mod checks;
mod cpus;
pub mod device;
mod error;
mod executor;
mod gate;
pub mod host;
mod memory;
mod signals;
mod turns;

pub use allocator::{UnreservedAllocator, use_small_pages};
pub use boot::serve;
pub use cpus::shards_by_default;
pub use error::ServeError;
pub use turns::ask_for_short_turns;
