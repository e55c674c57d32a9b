//! The groups of one partition of `__consumer_offsets`: what kind each is, its members, its committed offsets.
//!
//! Key invariant: a group is of one kind at a time. An event of a group touches that group alone. Which partition a group
//! belongs to, and hosting it, is left to `shard`.

pub mod assignor;
pub mod classic;
pub mod consumer;
pub mod offsets;
pub mod share;

mod groups;
mod replay;
mod space;

pub use groups::{Group, Groups, Kind};
pub use space::{CONSUMER_GROUP_BYTES_MAX, MEMBER_FIXED_BYTES, MEMBERS_BYTES_MAX};

use crate::config::GroupSettings;
use crate::metadata::Image;
use crate::model::TimestampMs;

/// What every event comes with.
#[derive(Clone, Copy)]
pub struct Turn<'a> {
    pub now: TimestampMs,
    /// The topics as this shard knows them.
    pub image: &'a Image,
    pub settings: &'a GroupSettings,
}
