//! The metadata quorum's driver and store: what a client asks for becomes a durable command, then an image on every
//! shard, then an answer. Alone, the broker is a quorum of one.
//!
//! Key invariant: a command is durable before it is applied, and applied on every shard before it is answered. What
//! commands mean is `metadata`'s; who listens for images is whoever implements [`ImageSink`].

mod boot;
mod controller;
mod handle;
mod sink;
mod store;
mod superblock;

pub use boot::{Boot, BootError, Booted, open};
pub use controller::{
    ACK_WAIT_MS_MAX, BATCH_REQUESTS_MAX, Controller, ControllerParts, ImageSink, Published,
};
pub use handle::{ControllerHandle, QUEUED_REQUESTS_MAX};
pub use store::{SNAPSHOT_COMMANDS_MAX, Store, StoreError};
pub use superblock::{Superblock, SuperblockError, SuperblockFacts, lock};
