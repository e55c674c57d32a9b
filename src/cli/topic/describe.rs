//! `corelog topic describe`.
//!
//! Key invariant: offsets are as of now, so a partition's record count is the most that a reader could get; compaction
//! and transactions leave gaps.

use serde_json::json;

use crate::cli::client::admin::{self, TopicSetting};
use crate::cli::client::offsets::{self, Offsets, Place};
use crate::cli::client::{Cluster, PartitionFacts, TopicFacts};
use crate::cli::connect::Connect;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Table};

/// Arguments of `corelog topic describe`.
#[derive(Debug, clap::Args)]
pub struct Describe {
    /// The topics; all of them if none is given.
    names: Vec<String>,
    /// Show every setting with its value, not only those set on the topic.
    #[arg(long)]
    all_settings: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

/// A topic with all there is to say about it.
struct Description {
    topic: TopicFacts,
    start: Offsets,
    end: Offsets,
    settings: Vec<TopicSetting>,
}

impl Describe {
    pub async fn run(self) -> Result<(), Failure> {
        let cluster = self.connect.cluster().await?;
        let mut topics = Vec::new();
        for name in &self.names {
            topics.push(cluster.topic(name, false).await?);
        }
        if self.names.is_empty() {
            topics = cluster.all_topics().await?;
        }
        let mut described = Vec::new();
        for topic in topics {
            described.push(self.describe(&cluster, topic).await?);
        }
        if self.json {
            return output::print_json(&described.iter().map(Description::json).collect());
        }
        let texts: Vec<String> = described.iter().map(Description::text).collect();
        output::print(&texts.join("\n"))
    }

    async fn describe(&self, cluster: &Cluster, topic: TopicFacts) -> Result<Description, Failure> {
        let led = |partition: &PartitionFacts| partition.leader.is_some();
        let start = offsets::of_partitions(cluster, &topic, led, Place::Earliest).await?;
        let end = offsets::of_partitions(cluster, &topic, led, Place::Latest).await?;
        let mut settings = admin::settings_of(cluster, &topic.name).await?;
        settings.retain(|setting| self.all_settings || setting.is_override);
        Ok(Description { topic, start, end, settings })
    }
}

impl Description {
    fn bounds(&self, partition: &PartitionFacts) -> Option<(i64, i64)> {
        let start = self.start.get(&partition.index)?;
        let end = self.end.get(&partition.index)?;
        Some((start.get(), end.get()))
    }

    fn text(&self) -> String {
        let topic = &self.topic;
        let kind = if topic.internal { ", internal" } else { "" };
        let mut text = format!("Topic {} (id {}{kind})\n", topic.name, topic.id);
        for setting in &self.settings {
            text.push_str(&format!(
                "  {} = {}\n",
                setting.name,
                setting.value.as_deref().unwrap_or("(hidden)")
            ));
        }
        let mut table =
            Table::new(&["PARTITION", "LEADER", "EPOCH", "REPLICAS", "IN SYNC", "START", "END", "RECORDS"]);
        for partition in &topic.partitions {
            let bounds = self.bounds(partition);
            let shown = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
            table.row(vec![
                partition.index.to_string(),
                partition.leader.map_or_else(|| "none".to_owned(), |leader| leader.to_string()),
                partition.leader_epoch.to_string(),
                listed(&partition.replicas),
                listed(&partition.in_sync),
                shown(bounds.map(|(start, _)| start)),
                shown(bounds.map(|(_, end)| end)),
                shown(bounds.map(|(start, end)| end - start)),
            ]);
        }
        for line in table.lines() {
            text.push_str(&format!("  {line}\n"));
        }
        text
    }

    fn json(&self) -> serde_json::Value {
        let partitions = self.topic.partitions.iter().map(|partition| {
            let bounds = self.bounds(partition);
            json!({
                "partition": partition.index.get(), "leader": partition.leader,
                "leader_epoch": partition.leader_epoch, "replicas": partition.replicas,
                "in_sync": partition.in_sync,
                "start_offset": bounds.map(|(start, _)| start), "end_offset": bounds.map(|(_, end)| end),
            })
        });
        let settings = self.settings.iter().map(|setting| (setting.name.clone(), json!(setting.value)));
        json!({
            "topic": self.topic.name, "id": self.topic.id.to_string(), "internal": self.topic.internal,
            "partitions": partitions.collect::<Vec<_>>(),
            "settings": settings.collect::<serde_json::Map<_, _>>(),
        })
    }
}

fn listed(brokers: &[i32]) -> String {
    brokers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
