//! `corelog topic delete`.
//!
//! Key invariant: topics are deleted in the order given, up to the first that cannot be.

use serde_json::json;

use crate::cli::client::admin;
use crate::cli::connect::Connect;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::protocol::ErrorCode;

/// Arguments of `corelog topic delete`.
#[derive(Debug, clap::Args)]
pub struct Delete {
    /// The topics.
    #[arg(required = true)]
    names: Vec<String>,
    /// Accept topics that do not exist.
    #[arg(long)]
    if_exists: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Delete {
    pub async fn run(self) -> Result<(), Failure> {
        let cluster = self.connect.cluster().await?;
        let mut deleted = Vec::new();
        for name in &self.names {
            let done = match admin::delete_topic(&cluster, name).await {
                Err(error) if self.if_exists && error.code() == Some(ErrorCode::UnknownTopicOrPartition) => {
                    false
                }
                other => other.map(|()| true)?,
            };
            if !self.json {
                let words = if done { "Deleted topic" } else { "There is no topic" };
                output::print(&format!("{words} {name}.\n"))?;
            }
            deleted.push(json!({ "topic": name, "deleted": done }));
        }
        if self.json { output::print_json(&deleted.into()) } else { Ok(()) }
    }
}
