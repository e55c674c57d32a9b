//! `corelog group list`.
//!
//! Key invariant: groups come sorted by name. Filters are applied here, so that they work with every broker.

use serde_json::json;

use crate::cli::client::groups::{self, GroupType, ListedGroup};
use crate::cli::connect::Connect;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Table};

/// The states of Kafka's groups of all types.
const STATES: [&str; 8] = [
    "Assigning",
    "CompletingRebalance",
    "Dead",
    "Empty",
    "NotReady",
    "PreparingRebalance",
    "Reconciling",
    "Stable",
];

/// Arguments of `corelog group list`.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Show only groups in these states, such as stable,empty.
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = state)]
    state: Vec<&'static str>,
    /// Show only groups of these types: classic, consumer, share, streams.
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', value_parser = kind)]
    kind: Vec<GroupType>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

impl List {
    pub async fn run(self) -> Result<(), Failure> {
        let cluster = self.connect.cluster().await?;
        let all = groups::list(&cluster).await?;
        let none_at_all = all.is_empty();
        let shown: Vec<&ListedGroup> = all.iter().filter(|group| self.wants(group)).collect();
        if self.json {
            let listed = shown.iter().map(|group| {
                json!({
                    "group": group.group, "type": group.kind.map(GroupType::name),
                    "protocol": group.protocol, "state": group.state,
                })
            });
            return output::print_json(&listed.collect());
        }
        if shown.is_empty() {
            let words = match none_at_all {
                true => "There are no groups yet. `corelog consume TOPIC --group NAME` makes one.",
                false => "There is no such group.",
            };
            eprintln!("{words}");
            return Ok(());
        }
        let mut table = Table::new(&["GROUP", "TYPE", "PROTOCOL", "STATE"]);
        for group in shown {
            table.row(vec![
                group.group.clone(),
                group.kind.map_or("unknown", GroupType::name).to_owned(),
                or_dash(&group.protocol),
                or_dash(&group.state),
            ]);
        }
        table.print()
    }

    fn wants(&self, group: &ListedGroup) -> bool {
        (self.state.is_empty() || self.state.contains(&group.state.as_str()))
            && (self.kind.is_empty() || group.kind.is_some_and(|kind| self.kind.contains(&kind)))
    }
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

/// A state by its name, in any case, with or without hyphens.
fn state(text: &str) -> Result<&'static str, String> {
    let plain = text.trim().replace(['-', '_'], "");
    let found = STATES.into_iter().find(|state| state.eq_ignore_ascii_case(&plain));
    found.ok_or_else(|| format!("states are {}", STATES.join(", ")))
}

fn kind(text: &str) -> Result<GroupType, String> {
    GroupType::of_name(text.trim())
        .ok_or_else(|| format!("types are {}", GroupType::ALL.map(GroupType::name).join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_types_are_known_in_any_case() {
        assert_eq!(state("stable"), Ok("Stable"));
        assert_eq!(state(" preparing-rebalance"), Ok("PreparingRebalance"));
        assert!(state("asleep").is_err_and(|words| words.contains("Stable")));
        assert_eq!(kind("Share"), Ok(GroupType::Share));
        assert!(kind("cosumer").is_err_and(|words| words.contains("consumer")));
    }
}
