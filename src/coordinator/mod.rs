//! Coordinators: state machines of groups and of the state of share partitions. Events and time in; records and answers out.
//!
//! Key invariant: nothing here waits, sends or writes. What a change leaves in memory is what replaying its records gives
//! (except for what a restart may forget: sessions, requests that wait). The shard's coordinator runtime appends the records
//! of an event within one batch and lets answers go when they are durable. Kafka's error codes are assigned in `handlers`.

mod actions;
mod error;
mod hosted;
mod ids;
mod partition_of;
mod timers;

pub mod group;
pub mod records;
pub mod share;

pub use actions::{Actions, Ticket};
pub use error::GroupError;
pub use hosted::{Carried, GroupAnswer, Hosted, RawRecord};
pub use ids::{GroupId, InstanceId, MemberId};
pub use partition_of::partition_of;
pub use timers::Timers;
