//! `corelog group reset-offsets`.
//!
//! Key invariant: nothing changes without --execute, and a group with members is never moved. Where a partition would
//! stand is decided in [`Goal::place`], from plain numbers.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::scope::{self, Meant, TopicScope, topic_scope};
use super::standing;
use super::time;
use crate::cli::client::groups::{self, ByPartition, GroupFacts, GroupType, committed, share};
use crate::cli::client::offsets::{self, Offsets, Place};
use crate::cli::client::{ClientError, Cluster, PartitionFacts};
use crate::cli::connect::Connect;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Table};
use crate::model::{Offset, PartitionIndex, TimestampMs};
use crate::protocol::ErrorCode;

/// Arguments of `corelog group reset-offsets`.
#[derive(Debug, clap::Args)]
pub struct ResetOffsets {
    /// The group; it must have no members. One that does not exist comes into being.
    group: String,
    #[command(flatten)]
    scope: Scope,
    #[command(flatten)]
    target: Target,
    /// Do it. Without, only what would be done is shown.
    #[arg(long)]
    execute: bool,
    /// Only show what would be done: the default.
    #[arg(long, conflicts_with = "execute")]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

/// Which partitions to move.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Scope {
    /// A topic, or some partitions of it as TOPIC:0,1,2; may be repeated.
    #[arg(long, short, value_name = "TOPIC", value_parser = topic_scope)]
    topic: Vec<TopicScope>,
    /// Every partition that the group has an offset of.
    #[arg(long)]
    all_topics: bool,
}

/// Where to; exactly one of them.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// To the first record that is left.
    #[arg(long)]
    to_earliest: bool,
    /// To the end.
    #[arg(long)]
    to_latest: bool,
    /// To this offset.
    #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
    to_offset: Option<i64>,
    /// By so many records from where the group stands, forwards or (negative) backwards.
    #[arg(long, value_name = "RECORDS", allow_hyphen_values = true)]
    shift_by: Option<i64>,
    /// To the first record that is not older than this: 2026-03-01T12:00:00.000, in UTC unless it has an offset.
    #[arg(long, value_name = "TIME", value_parser = time::point)]
    to_datetime: Option<TimestampMs>,
    /// To the first record that is not older than this before now: PnDTnHnMnS, such as P7D or PT1H30M.
    #[arg(long, value_name = "SPAN", value_parser = time::span)]
    by_duration: Option<Duration>,
    /// To where the group stands; to the end where it has no offset.
    #[arg(long)]
    to_current: bool,
}

/// Where to, as one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    Earliest,
    Latest,
    At(i64),
    Shift(i64),
    Time(TimestampMs),
    Current,
}

/// What is known of a partition.
#[derive(Clone, Copy, Debug)]
struct Known {
    committed: Option<Offset>,
    start: Offset,
    end: Offset,
    /// The first record of the point in time, if that is the goal and there is one.
    timed: Option<Offset>,
}

/// How the offset that was asked for had to give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caution {
    BeforeStart(i64),
    BeyondEnd(i64),
    NothingSoLate,
}

/// A partition and where it would stand.
struct Move {
    topic: String,
    partition: PartitionIndex,
    known: Known,
    to: Offset,
}

impl Target {
    fn goal(&self) -> Goal {
        let before_now = |span: Duration| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let ms = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
            // A timestamp below 0 would ask for something else; before 1970 there were no records.
            TimestampMs(ms(now).saturating_sub(ms(span)).max(0))
        };
        match self {
            Self { to_offset: Some(offset), .. } => Goal::At(*offset),
            Self { shift_by: Some(records), .. } => Goal::Shift(*records),
            Self { to_datetime: Some(time), .. } => Goal::Time(TimestampMs(time.get().max(0))),
            Self { by_duration: Some(span), .. } => Goal::Time(before_now(*span)),
            Self { to_earliest: true, .. } => Goal::Earliest,
            Self { to_latest: true, .. } => Goal::Latest,
            _ => Goal::Current,
        }
    }
}

impl Goal {
    /// Where a partition goes, and why not where was asked. `None` if that depends on an offset that is not there.
    fn place(self, known: &Known) -> Option<(Offset, Option<Caution>)> {
        let (start, end) = (known.start, known.end);
        let within = |offset: i64| match Offset(offset) {
            wanted if wanted < start => (start, Some(Caution::BeforeStart(offset))),
            wanted if wanted > end => (end, Some(Caution::BeyondEnd(offset))),
            wanted => (wanted, None),
        };
        Some(match self {
            Self::Earliest => (start, None),
            Self::Latest => (end, None),
            Self::At(offset) => within(offset),
            Self::Shift(records) => within(known.committed?.get().saturating_add(records)),
            Self::Time(_) => known.timed.map_or((end, Some(Caution::NothingSoLate)), |offset| (offset, None)),
            Self::Current => (known.committed.unwrap_or(end), None),
        })
    }
}

impl Caution {
    fn tell(self, topic: &str, partition: PartitionIndex, to: Offset) {
        let place = format!("partition {partition} of {topic}");
        match self {
            Self::BeforeStart(offset) => {
                eprintln!("corelog: offset {offset} lies before the start of {place}; {to} is taken instead");
            }
            Self::BeyondEnd(offset) => {
                eprintln!("corelog: offset {offset} lies beyond the end of {place}; {to} is taken instead");
            }
            Self::NothingSoLate => {
                eprintln!(
                    "corelog: {place} has no record of that time or later; its end, {to}, is taken instead"
                );
            }
        }
    }
}

impl ResetOffsets {
    pub async fn run(self) -> Result<(), Failure> {
        let cluster = self.connect.cluster().await?;
        let group = self.inactive_group(&cluster).await?;
        let current = match &group {
            Some(facts) => standing::offsets_of(&cluster, facts).await?,
            None => ByPartition::new(),
        };
        let meant = match self.scope.all_topics {
            true => all_of(&cluster, &current).await?,
            false => scope::resolve(&cluster, &self.scope.topic).await?,
        };
        let goal = self.target.goal();
        let mut moves = Vec::new();
        for (topic, partitions) in &meant {
            let committed = current.get(&topic.name);
            for (partition, known) in known_of(&cluster, (topic, partitions), committed, goal).await? {
                let place =
                    goal.place(&known).ok_or_else(|| no_offset(&self.group, &topic.name, partition))?;
                if let Some(caution) = place.1 {
                    caution.tell(&topic.name, partition, place.0);
                }
                moves.push(Move { topic: topic.name.clone(), partition, known, to: place.0 });
            }
        }
        if self.execute && !moves.is_empty() {
            self.execute(&cluster, group.as_ref(), &moves).await?;
        }
        self.show(&moves)
    }

    /// The group, if it exists. Refuses one with members, in Kafka's words.
    async fn inactive_group(&self, cluster: &Cluster) -> Result<Option<GroupFacts>, Failure> {
        let facts = match groups::describe(cluster, &self.group).await {
            Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => return Ok(None),
            other => other?,
        };
        if facts.is_inactive() {
            return Ok(Some(facts));
        }
        let message = format!(
            "Assignments can only be reset if the group '{}' is inactive, but the current state is {}.",
            self.group, facts.state
        );
        let subject = format!("group {}", self.group);
        Err(ClientError::refused(subject, ErrorCode::NonEmptyGroup.code(), Some(message)).into())
    }

    async fn execute(
        &self,
        cluster: &Cluster,
        group: Option<&GroupFacts>,
        moves: &[Move],
    ) -> Result<(), Failure> {
        let mut offsets = ByPartition::new();
        for Move { topic, partition, to, .. } in moves {
            let of_topic: &mut BTreeMap<_, _> = offsets.entry(topic.clone()).or_default();
            of_topic.insert(*partition, *to);
        }
        match group {
            Some(facts) if facts.kind == GroupType::Share => {
                share::alter(cluster, &self.group, &offsets).await?
            }
            _ => committed::alter(cluster, &self.group, &offsets).await?,
        }
        Ok(())
    }

    fn show(&self, moves: &[Move]) -> Result<(), Failure> {
        if self.json {
            let moves = moves.iter().map(|m| {
                json!({
                    "group": self.group, "topic": m.topic, "partition": m.partition.get(),
                    "new_offset": m.to.get(), "old_offset": m.known.committed.map(|offset| offset.get()),
                    "lag": m.known.end.since(m.to).max(0), "executed": self.execute,
                })
            });
            return output::print_json(&moves.collect());
        }
        if moves.is_empty() {
            eprintln!("Group {} has no offsets that could be moved.", self.group);
            return Ok(());
        }
        let mut table = Table::new(&["GROUP", "TOPIC", "PARTITION", "NEW-OFFSET", "OLD-OFFSET", "NEW-LAG"]);
        for m in moves {
            table.row(vec![
                self.group.clone(),
                m.topic.clone(),
                m.partition.to_string(),
                m.to.to_string(),
                m.known.committed.map_or("-".to_owned(), |offset| offset.to_string()),
                m.known.end.since(m.to).max(0).to_string(),
            ]);
        }
        table.print()?;
        if !self.execute {
            eprintln!("Nothing was changed; --execute does it.");
        }
        Ok(())
    }
}

/// Every partition with an offset; topics that are gone are left out, which is said.
async fn all_of(cluster: &Cluster, current: &ByPartition<Offset>) -> Result<Vec<Meant>, Failure> {
    let mut meant = Vec::new();
    for (name, offsets) in current {
        match cluster.topic(name, false).await {
            Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => {
                eprintln!("corelog: there is no topic {name} any more; its offsets are left as they are");
            }
            other => meant.push((other?, offsets.keys().copied().collect())),
        }
    }
    Ok(meant)
}

/// What is known of the partitions that are meant.
async fn known_of(
    cluster: &Cluster,
    (topic, partitions): (&crate::cli::client::TopicFacts, &std::collections::BTreeSet<PartitionIndex>),
    committed: Option<&Offsets>,
    goal: Goal,
) -> Result<BTreeMap<PartitionIndex, Known>, Failure> {
    let wanted = |facts: &PartitionFacts| partitions.contains(&facts.index);
    let starts = offsets::of_partitions(cluster, topic, wanted, Place::Earliest).await?;
    let ends = offsets::of_partitions(cluster, topic, wanted, Place::Latest).await?;
    let timed = match goal {
        Goal::Time(time) => offsets::of_partitions(cluster, topic, wanted, Place::At(time)).await?,
        _ => Offsets::new(),
    };
    let known = starts.into_iter().filter_map(|(partition, start)| {
        let known = Known {
            committed: committed.and_then(|offsets| offsets.get(&partition)).copied(),
            start,
            end: *ends.get(&partition)?,
            timed: timed.get(&partition).copied().filter(|offset| offset.get() >= 0),
        };
        Some((partition, known))
    });
    Ok(known.collect())
}

fn no_offset(group: &str, topic: &str, partition: PartitionIndex) -> Failure {
    Failure::Failed(format!(
        "group {group} has no offset of partition {partition} of topic {topic} to shift from; --to-earliest, --to-latest \
         and --to-offset need none"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(committed: Option<i64>, timed: Option<i64>) -> Known {
        Known {
            committed: committed.map(Offset),
            start: Offset(10),
            end: Offset(20),
            timed: timed.map(Offset),
        }
    }

    fn placed(goal: Goal, known: &Known) -> Option<(i64, Option<Caution>)> {
        goal.place(known).map(|(offset, caution)| (offset.get(), caution))
    }

    #[test]
    fn offsets_are_kept_within_the_log() {
        let at = |offset| placed(Goal::At(offset), &known(None, None));
        assert_eq!(at(9), Some((10, Some(Caution::BeforeStart(9)))));
        assert_eq!(at(10), Some((10, None)));
        assert_eq!(at(20), Some((20, None)));
        assert_eq!(at(21), Some((20, Some(Caution::BeyondEnd(21)))));
    }

    #[test]
    fn a_shift_starts_where_the_group_stands() {
        let shift = |records, committed| placed(Goal::Shift(records), &known(committed, None));
        assert_eq!(shift(-3, Some(15)), Some((12, None)));
        assert_eq!(shift(-30, Some(15)), Some((10, Some(Caution::BeforeStart(-15)))));
        assert_eq!(shift(i64::MAX, Some(15)), Some((20, Some(Caution::BeyondEnd(i64::MAX)))));
        assert_eq!(shift(1, None), None);
    }

    #[test]
    fn other_goals_need_no_caution_except_a_time_after_the_last_record() {
        assert_eq!(placed(Goal::Earliest, &known(Some(15), None)), Some((10, None)));
        assert_eq!(placed(Goal::Latest, &known(Some(15), None)), Some((20, None)));
        assert_eq!(placed(Goal::Current, &known(Some(15), None)), Some((15, None)));
        assert_eq!(placed(Goal::Current, &known(None, None)), Some((20, None)));
        let time = Goal::Time(TimestampMs(5));
        assert_eq!(placed(time, &known(None, Some(13))), Some((13, None)));
        assert_eq!(placed(time, &known(None, None)), Some((20, Some(Caution::NothingSoLate))));
    }
}
