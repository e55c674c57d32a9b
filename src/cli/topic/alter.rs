//! `corelog topic alter`.
//!
//! Key invariant: settings change all or none; partitions are only ever added, and after the settings.

use serde_json::json;

use crate::cli::client::admin;
use crate::cli::connect::{Connect, name_and_value};
use crate::cli::failure::Failure;
use crate::cli::output;

/// Arguments of `corelog topic alter`.
#[derive(Debug, clap::Args)]
pub struct Alter {
    /// The topic.
    name: String,
    #[command(flatten)]
    change: Change,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

/// What to change; at least one of them.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Change {
    /// The new number of partitions; it can only grow, and keys then go to other partitions than before.
    #[arg(long, short, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// A setting to set, such as retention.ms=86400000; may be repeated.
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = name_and_value)]
    config: Vec<(String, String)>,
    /// A setting to return to the broker's default; may be repeated.
    #[arg(long, value_name = "NAME")]
    delete_config: Vec<String>,
}

impl Alter {
    pub async fn run(self) -> Result<(), Failure> {
        let cluster = self.connect.cluster().await?;
        let Change { partitions, config, delete_config } = &self.change;
        if !config.is_empty() || !delete_config.is_empty() {
            admin::alter_settings(&cluster, &self.name, config, delete_config).await?;
        }
        if let Some(count) = partitions {
            admin::create_partitions(&cluster, &self.name, *count).await?;
        }
        if self.json {
            return output::print_json(&json!({ "topic": self.name, "altered": true }));
        }
        output::print(&format!("Altered topic {}.\n", self.name))
    }
}
