//! The storage engine through the real binary: crashes, a full disk, damaged files, many partitions.
//!
//! Key invariant: every test has data, ports and processes of its own and leaves none of them behind. What a raw request
//! is answered when nothing goes wrong is left to `tests/broker.rs`, crashes of a simulated disk to the storage room.

#![allow(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

#[path = "storage/admin.rs"]
mod admin;
#[path = "storage/chance.rs"]
mod chance;
#[path = "storage/consumer.rs"]
mod consumer;
#[path = "storage/damage.rs"]
mod damage;
#[path = "storage/full_disk.rs"]
mod full_disk;
#[path = "storage/kill.rs"]
mod kill;
#[path = "storage/ledger.rs"]
mod ledger;
#[path = "storage/loop_mount.rs"]
mod loop_mount;
#[path = "storage/many.rs"]
mod many;
#[path = "storage/producer.rs"]
mod producer;
#[path = "storage/reborn.rs"]
mod reborn;
#[allow(dead_code, reason = "shared with tests/broker.rs, which uses the rest")]
#[path = "broker/requests.rs"]
mod requests;
#[path = "storage/server.rs"]
mod server;
#[path = "storage/values.rs"]
mod values;

#[allow(dead_code, reason = "shared with tests/broker.rs, which uses the rest")]
mod support;
