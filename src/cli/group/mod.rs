//! `corelog group`: one file per action.
//!
//! Key invariant: each action prints lines or a table for people, or with `--json` one JSON value for programs. Tables have
//! the columns of Kafka's own tools, at the same places.

mod delete;
mod delete_offsets;
mod describe;
mod list;
mod reset_offsets;
mod scope;
mod standing;
mod time;

use clap::Subcommand;

use super::connect::block_on;
use super::failure::Failure;

/// Arguments of `corelog group`.
#[derive(Debug, clap::Args)]
pub struct Group {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the groups.
    List(list::List),
    /// Show where groups stand, who is in them, and how much they have to catch up with.
    Describe(describe::Describe),
    /// Delete groups with their offsets.
    Delete(delete::Delete),
    /// Delete what a group has committed of topics.
    DeleteOffsets(delete_offsets::DeleteOffsets),
    /// Move a group without members to other offsets; says what it would do unless --execute is given.
    ResetOffsets(reset_offsets::ResetOffsets),
}

impl Group {
    pub fn run(self) -> Result<(), Failure> {
        block_on(async {
            match self.action {
                Action::List(action) => action.run().await,
                Action::Describe(action) => action.run().await,
                Action::Delete(action) => action.run().await,
                Action::DeleteOffsets(action) => action.run().await,
                Action::ResetOffsets(action) => action.run().await,
            }
        })
    }
}
