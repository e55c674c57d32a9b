//! `corelog group delete`.
//!
//! Key invariant: groups are deleted in the order given, up to the first that cannot be.

use serde_json::json;

use crate::cli::client::groups;
use crate::cli::connect::Connect;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::protocol::ErrorCode;

/// Arguments of `corelog group delete`.
#[derive(Debug, clap::Args)]
pub struct Delete {
    /// The groups; they must have no members.
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
    /// Accept groups that do not exist.
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
        for group in &self.groups {
            let done = match groups::delete(&cluster, group).await {
                Err(error) if self.if_exists && error.code() == Some(ErrorCode::GroupIdNotFound) => false,
                other => other.map(|()| true)?,
            };
            if !self.json {
                let words = if done { "Deleted group" } else { "There is no group" };
                output::print(&format!("{words} {group}.\n"))?;
            }
            deleted.push(json!({ "group": group, "deleted": done }));
        }
        if self.json { output::print_json(&deleted.into()) } else { Ok(()) }
    }
}
