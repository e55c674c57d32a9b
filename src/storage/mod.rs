//! The log: how records become durable, where they lie, and how they are found again.
//!
//! `append` takes a batch into memory (`batch_cache`); `commit` makes those of all logs durable with one write of the `journal`, or
//! `flush` writes bulk straight to its segment; `checkpoint` brings what is in the journal to the segments. `read`, `lookup` and
//! `index` find records, `retention`, `remove` and `compaction` take them away, `recovery` and `takeover` go on after a stop or a
//! crash. `store` is what the logs of a shard share, `log` one partition's state.
//!
//! Key invariant: what a log called durable is on the device and is found again after any crash, at the same offsets; what
//! follows it is cut off. The rules of producers and of visibility are left to `partition`.

mod append;
mod batch_cache;
mod checkpoint;
mod chunk;
mod commit;
mod compaction;
mod epochs;
mod error;
mod finish;
mod flush;
mod gather;
mod index;
pub mod journal;
mod log;
mod lookup;
mod place;
mod read;
mod read_ahead;
mod recent;
mod recovery;
mod refill;
mod remove;
mod retention;
mod scan;
mod segment;
mod sidecar;
mod spares;
mod store;
mod strays;
mod takeover;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod walk;

pub use batch_cache::BatchCache;
pub use compaction::{
    CompactionLimits, CompactionReport, CompactionRound, CompactionSettings, Dirtiness, LastBatch,
};
pub use epochs::{EpochCache, EpochStart};
pub use error::StorageError;
pub use journal::{JournalFiles, Recovered, ReplayError, load as load_journals, plan as plan_replay};
pub use log::{Appended, Log, LogObserver, LogSettings, SegmentFacts};
pub use lookup::FoundRecord;
pub use place::LogPlace;
pub use read::TryRead;
pub use recovery::Replay;
pub use remove::{remove_leftovers, remove_unopened};
pub use store::{JournalLimits, JournalStart, Store, StoreCounts, StoreLimits};
pub use strays::set_aside_strays;
pub use takeover::Takeover;
pub use walk::{ReadLimit, Slices};
