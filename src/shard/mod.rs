//! One core: its partitions, its mailbox and the router to the other shards.

mod router;
mod signal;

pub use router::{Credit, Mesh, Router, ShardGone, mesh};
pub use signal::Signal;
