//! `corelog group describe`.
//!
//! Key invariant: the columns are those of `kafka-consumer-groups.sh` and `kafka-share-groups.sh`, at the same places; `-`
//! stands for what is not known. JSON has everything, whichever table was asked for.

use serde_json::{Value, json};

use super::standing::{Row, Standing};
use crate::cli::client::groups::{self, GroupType, MemberFacts};
use crate::cli::client::member::wire::TopicPartitions;
use crate::cli::connect::Connect;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Table};

/// Arguments of `corelog group describe`.
#[derive(Debug, clap::Args)]
pub struct Describe {
    /// The groups; all of them if none is given.
    #[arg(value_name = "GROUP")]
    groups: Vec<String>,
    #[command(flatten)]
    view: View,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

/// What to show.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct View {
    /// Show the offsets and lag of each partition, and who reads it: the default.
    #[arg(long)]
    offsets: bool,
    /// Show the members and what they read.
    #[arg(long)]
    members: bool,
    /// Show the coordinator, who assigns, the state and the number of members.
    #[arg(long)]
    state: bool,
}

impl Describe {
    pub async fn run(self) -> Result<(), Failure> {
        let cluster = self.connect.cluster().await?;
        let mut names = self.groups.clone();
        if names.is_empty() {
            let listed = groups::list(&cluster).await?;
            // A streams group cannot be described here; one that is named says so by an error.
            let known = listed.into_iter().filter(|group| group.kind != Some(GroupType::Streams));
            names.extend(known.map(|group| group.group));
        }
        let mut described = Vec::new();
        for name in &names {
            let facts = groups::describe(&cluster, name).await?;
            described.push(Standing::of(&cluster, facts).await?);
        }
        if self.json {
            return output::print_json(&described.iter().map(as_json).collect());
        }
        if self.view.state {
            return states(&described).print();
        }
        let text = if self.view.members { members } else { offsets };
        let texts: Vec<String> = described.iter().map(text).collect();
        output::print(&texts.join("\n"))
    }
}

/// `Group orders: consumer, Stable, 2 members, lag 1,234.`
fn heading(standing: &Standing) -> String {
    let facts = &standing.facts;
    let members = match facts.members.len() {
        0 => "no active members".to_owned(),
        count => output::counted(count as u64, "member"),
    };
    let lag = standing.lag().map_or_else(|| "-".to_owned(), output::grouped);
    format!("Group {}: {}, {}, {members}, lag {lag}.", facts.group, facts.kind, facts.state)
}

fn below(heading: String, table: &Table) -> String {
    format!("{heading}\n{}\n", table.lines().join("\n"))
}

fn offsets(standing: &Standing) -> String {
    let heading = heading(standing);
    if standing.rows.is_empty() {
        return format!("{heading}\nIt has committed no offsets.\n");
    }
    let group = &standing.facts.group;
    let position =
        |row: &Row| vec![group.clone(), row.topic.clone(), row.partition.to_string(), shown(row.offset)];
    if standing.facts.kind == GroupType::Share {
        let mut table = Table::new(&["GROUP", "TOPIC", "PARTITION", "START-OFFSET", "LAG"]);
        for row in &standing.rows {
            table.row([position(row), vec![shown(row.lag)]].concat());
        }
        return below(heading, &table);
    }
    let mut table = Table::new(&[
        "GROUP",
        "TOPIC",
        "PARTITION",
        "CURRENT-OFFSET",
        "LOG-END-OFFSET",
        "LAG",
        "CONSUMER-ID",
        "HOST",
        "CLIENT-ID",
    ]);
    for row in &standing.rows {
        let member = row.member.and_then(|at| standing.facts.members.get(at));
        let of_member =
            |part: fn(&MemberFacts) -> &String| member.map_or("-".to_owned(), |m| part(m).clone());
        let reader = vec![of_member(|m| &m.id), of_member(|m| &m.host), of_member(|m| &m.client_id)];
        table.row([position(row), vec![shown(row.end), shown(row.lag)], reader].concat());
    }
    below(heading, &table)
}

fn members(standing: &Standing) -> String {
    let heading = heading(standing);
    if standing.facts.members.is_empty() {
        return format!("{heading}\n");
    }
    let mut table = Table::new(&[
        "GROUP",
        "CONSUMER-ID",
        "HOST",
        "CLIENT-ID",
        "#PARTITIONS",
        "CURRENT-EPOCH",
        "CURRENT-ASSIGNMENT",
        "TARGET-ASSIGNMENT",
    ]);
    for member in &standing.facts.members {
        table.row(vec![
            standing.facts.group.clone(),
            member.id.clone(),
            member.host.clone(),
            member.client_id.clone(),
            member.assigned.values().map(Vec::len).sum::<usize>().to_string(),
            shown(member.epoch),
            listed(&member.assigned),
            member.target.as_ref().map_or("-".to_owned(), listed),
        ]);
    }
    below(heading, &table)
}

fn states(described: &[Standing]) -> Table {
    let mut table =
        Table::new(&["GROUP", "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE", "#MEMBERS", "TYPE"]);
    for Standing { facts, .. } in described {
        let assignor = if facts.assignor.is_empty() { "-" } else { &facts.assignor };
        table.row(vec![
            facts.group.clone(),
            format!("{} ({})", facts.coordinator.address(), facts.coordinator.id),
            assignor.to_owned(),
            facts.state.clone(),
            facts.members.len().to_string(),
            facts.kind.to_string(),
        ]);
    }
    table
}

fn as_json(standing: &Standing) -> Value {
    let facts = &standing.facts;
    let members = facts.members.iter().map(|member| {
        json!({
            "member": member.id, "instance": member.instance, "client_id": member.client_id,
            "host": member.host, "epoch": member.epoch, "assigned": member.assigned, "target": member.target,
        })
    });
    let name = if facts.kind == GroupType::Share { "start_offset" } else { "committed_offset" };
    let partitions = standing.rows.iter().map(|row| {
        let member = row.member.and_then(|at| facts.members.get(at));
        json!({
            "topic": row.topic, "partition": row.partition.get(), name: row.offset.map(|offset| offset.get()),
            "end_offset": row.end.map(|end| end.get()), "lag": row.lag,
            "member": member.map(|member| &member.id),
        })
    });
    let coordinator = &facts.coordinator;
    json!({
        "group": facts.group, "type": facts.kind.name(), "state": facts.state, "assignor": facts.assignor,
        "group_epoch": facts.epochs.map(|epochs| epochs.0), "assignment_epoch": facts.epochs.map(|epochs| epochs.1),
        "coordinator": { "id": coordinator.id, "host": coordinator.host, "port": coordinator.port },
        "lag": standing.lag(), "members": members.collect::<Value>(), "partitions": partitions.collect::<Value>(),
    })
}

/// `orders:0,1 payments:2`, or `-`.
fn listed(assigned: &TopicPartitions) -> String {
    let topics =
        assigned.iter().filter(|(_, partitions)| !partitions.is_empty()).map(|(topic, partitions)| {
            let mut sorted = partitions.clone();
            sorted.sort_unstable();
            let indexes: Vec<String> = sorted.iter().map(ToString::to_string).collect();
            format!("{topic}:{}", indexes.join(","))
        });
    let text = topics.collect::<Vec<_>>().join(" ");
    if text.is_empty() { "-".to_owned() } else { text }
}

fn shown(number: Option<impl ToString>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_read_well() {
        let assigned = |topics: &[(&str, &[i32])]| -> TopicPartitions {
            topics.iter().map(|(topic, partitions)| ((*topic).to_owned(), partitions.to_vec())).collect()
        };
        assert_eq!(listed(&assigned(&[("b", &[2]), ("a", &[1, 0]), ("c", &[])])), "a:0,1 b:2");
        assert_eq!(listed(&assigned(&[])), "-");
    }
}
