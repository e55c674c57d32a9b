//! Host tuning: what a host is set to, what a profile wants of it, and the way there and back.
//!
//! ```text
//! profile (data) ─┐
//!                 ├─► plan: verdicts with changes ─► apply: writes them, with an undo file ─► undo
//! facts (look) ───┘
//! ```
//!
//! Key invariants: `profile` and `plan` do no I/O, so what would be done to a host can be tested without one. All reading
//! and writing goes through a [`Tree`], below `/sys` and `/proc` only; every change is in the undo file before it is made.
//! What the command line says of it is left to `cli::tune`.

mod apply;
mod cpulist;
mod error;
mod facts;
mod interrupts;
mod mount;
mod plan;
mod profile;
mod tree;
mod undo;

pub use apply::{Outcome, Step, apply, revert};
pub use error::TuneError;
pub use facts::{Facts, Place, Reading, look};
pub use mount::{Mount, disks_below};
pub use plan::{Change, Standing, Verdict, plan};
pub use profile::{DEDICATED, PROFILE_BYTES_MAX, Profile, Setting, Source, Wanted, Weight, built_in};
pub use tree::Tree;
pub use undo::UndoFile;
