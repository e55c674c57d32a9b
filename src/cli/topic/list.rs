//! `corelog topic list`.
//!
//! Key invariant: topics come sorted by name.

use serde_json::json;

use crate::cli::connect::Connect;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Table};

/// Arguments of `corelog topic list`.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Leave out the topics that brokers keep for themselves.
    #[arg(long)]
    exclude_internal: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

impl List {
    pub async fn run(self) -> Result<(), Failure> {
        let cluster = self.connect.cluster().await?;
        let mut topics = cluster.all_topics().await?;
        topics.retain(|topic| !(self.exclude_internal && topic.internal));
        let replicas =
            |topic: &crate::cli::client::TopicFacts| topic.partitions.first().map_or(0, |p| p.replicas.len());
        if self.json {
            let listed = topics.iter().map(|topic| {
                json!({
                    "topic": topic.name, "id": topic.id.to_string(), "internal": topic.internal,
                    "partitions": topic.partitions.len(), "replication_factor": replicas(topic),
                })
            });
            return output::print_json(&listed.collect());
        }
        if topics.is_empty() {
            eprintln!("There are no topics yet. `corelog topic create NAME` makes one.");
            return Ok(());
        }
        let mut table = Table::new(&["TOPIC", "PARTITIONS", "REPLICAS", "ID"]);
        for topic in &topics {
            table.row(vec![
                topic.name.clone(),
                topic.partitions.len().to_string(),
                replicas(topic).to_string(),
                topic.id.to_string(),
            ]);
        }
        table.print()
    }
}
