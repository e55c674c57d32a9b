//! `corelog group delete-offsets`.
//!
//! Key invariant: topics are dealt with in order of their names, up to the first that is refused. A share group forgets a
//! topic as a whole.

use serde_json::json;

use super::scope::{self, TopicScope, topic_scope};
use crate::cli::client::groups::{self, GroupType, committed, share};
use crate::cli::connect::Connect;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::model::PartitionIndex;

/// Arguments of `corelog group delete-offsets`.
#[derive(Debug, clap::Args)]
pub struct DeleteOffsets {
    /// The group.
    group: String,
    /// A topic, or some partitions of it as TOPIC:0,1,2; may be repeated.
    #[arg(long, short, required = true, value_name = "TOPIC", value_parser = topic_scope)]
    topic: Vec<TopicScope>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

impl DeleteOffsets {
    pub async fn run(self) -> Result<(), Failure> {
        let cluster = self.connect.cluster().await?;
        let group = groups::describe(&cluster, &self.group).await?;
        let mut deleted = Vec::new();
        for (topic, partitions) in scope::resolve(&cluster, &self.topic).await? {
            let is_whole = partitions.len() == topic.partitions.len();
            let partitions: Vec<PartitionIndex> = partitions.into_iter().collect();
            match group.kind {
                GroupType::Share if !is_whole => {
                    let words = "a share group forgets a topic as a whole; leave the partitions out";
                    return Err(Failure::Usage(words.to_owned()));
                }
                GroupType::Share => share::delete(&cluster, &self.group, &topic.name).await?,
                _ => committed::delete(&cluster, &self.group, &topic.name, &partitions).await?,
            }
            let indexes: Vec<i32> = partitions.iter().map(|partition| partition.get()).collect();
            if !self.json {
                let count = output::counted(indexes.len() as u64, "partition");
                output::print(&format!(
                    "Group {} has no offsets in {count} of {} now.\n",
                    self.group, topic.name
                ))?;
            }
            deleted.push(json!({ "group": self.group, "topic": topic.name, "partitions": indexes }));
        }
        if self.json { output::print_json(&deleted.into()) } else { Ok(()) }
    }
}
