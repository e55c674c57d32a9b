//! The real binary under raw requests: what clients rely on and no unit can show.

#![allow(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

#[path = "broker/admin.rs"]
mod admin;
#[path = "broker/compaction.rs"]
mod compaction;
#[path = "broker/data.rs"]
mod data;
#[path = "broker/deletion.rs"]
mod deletion;
#[path = "broker/direct.rs"]
mod direct;
#[path = "broker/groups.rs"]
mod groups;
#[path = "broker/life.rs"]
mod life;
#[path = "broker/moving.rs"]
mod moving;
#[path = "broker/offsets.rs"]
mod offsets;
#[path = "broker/requests.rs"]
mod requests;
#[path = "broker/share.rs"]
mod share;
#[path = "broker/slow.rs"]
mod slow;
#[path = "broker/waiting.rs"]
mod waiting;

mod support;
