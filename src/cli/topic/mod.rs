//! `corelog topic`: one file per action.
//!
//! Key invariant: each action prints a line or a table for people, or with `--json` one JSON value for programs.

mod alter;
mod create;
mod delete;
mod describe;
mod list;

use clap::Subcommand;

use super::connect::block_on;
use super::failure::Failure;

/// Arguments of `corelog topic`.
#[derive(Debug, clap::Args)]
pub struct Topic {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a topic.
    Create(create::Create),
    /// List the topics.
    List(list::List),
    /// Show a topic's partitions, offsets and settings.
    Describe(describe::Describe),
    /// Delete topics with all their records.
    Delete(delete::Delete),
    /// Change a topic's settings or raise its number of partitions.
    Alter(alter::Alter),
}

impl Topic {
    pub fn run(self) -> Result<(), Failure> {
        block_on(async {
            match self.action {
                Action::Create(action) => action.run().await,
                Action::List(action) => action.run().await,
                Action::Describe(action) => action.run().await,
                Action::Delete(action) => action.run().await,
                Action::Alter(action) => action.run().await,
            }
        })
    }
}
