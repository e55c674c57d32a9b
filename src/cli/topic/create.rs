//! `corelog topic create`.
//!
//! Key invariant: what is not given is left to the broker's defaults.

use serde_json::json;

use crate::cli::client::admin::{self, NewTopic};
use crate::cli::connect::{Connect, name_and_value};
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::protocol::ErrorCode;

/// Arguments of `corelog topic create`.
#[derive(Debug, clap::Args)]
pub struct Create {
    /// The topic's name: letters, digits, '.', '_' and '-', at most 249.
    name: String,
    /// Partitions; the broker's num.partitions if not given.
    #[arg(long, short, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// Replicas of each partition; the broker's default.replication.factor if not given.
    #[arg(long, short, value_parser = clap::value_parser!(i16).range(1..))]
    replication_factor: Option<i16>,
    /// A setting of the topic, such as retention.ms=86400000; may be repeated.
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = name_and_value)]
    config: Vec<(String, String)>,
    /// Accept a topic that exists already, as it is.
    #[arg(long)]
    if_not_exists: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Create {
    pub async fn run(self) -> Result<(), Failure> {
        let cluster = self.connect.cluster().await?;
        let topic = NewTopic {
            name: self.name,
            partitions: self.partitions,
            replication_factor: self.replication_factor,
            settings: self.config,
        };
        let created = match admin::create_topic(&cluster, &topic).await {
            Err(error) if self.if_not_exists && error.code() == Some(ErrorCode::TopicAlreadyExists) => None,
            other => Some(other?),
        };
        let name = &topic.name;
        if self.json {
            return output::print_json(&match created {
                Some(created) => json!({
                    "topic": name, "created": true, "id": created.id.to_string(),
                    "partitions": created.partitions, "replication_factor": created.replication_factor,
                }),
                None => json!({ "topic": name, "created": false }),
            });
        }
        output::print(&match created {
            Some(created) if created.partitions > 0 => format!(
                "Created topic {name} with {}.\n",
                output::counted(u64::from(created.partitions.unsigned_abs()), "partition")
            ),
            Some(_) => format!("Created topic {name}.\n"),
            None => format!("Topic {name} exists already.\n"),
        })
    }
}
