//! `corelog consume --group`: reading as a member of a group.
//!
//! Key invariant: an offset is committed only once everything before it was written to standard output, so records are
//! printed at least once, and never twice unless a member dies or is given up. Where nothing is committed, reading starts
//! where the arguments say. While standard output is blocked nothing goes on, heartbeats neither: a member whose reader
//! pauses for longer than the session timeout loses its place, and joins again.

use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use super::{Consume, Printed, Start, ended_by_signal};
use crate::cli::client::groups::committed;
use crate::cli::client::member::{Heartbeats, Member};
use crate::cli::client::offsets::{self, Offsets, Place};
use crate::cli::client::reader::{Fetched, Plan, Reader};
use crate::cli::client::{ClientError, Cluster, PartitionFacts, TopicFacts};
use crate::cli::failure::Failure;
use crate::model::PartitionIndex;
use crate::protocol::ErrorCode;

/// How often offsets are committed; Kafka's default too.
const COMMIT_INTERVAL: Duration = Duration::from_secs(5);
/// So many commits apart the leader looks whether the topic has grown.
const COMMITS_PER_LOOK: u32 = 6;

/// What is being read between two rebalances.
struct Reading {
    reader: Reader,
    heartbeats: Heartbeats,
    /// Offsets before which everything was printed.
    printed: Offsets,
    committed: Offsets,
    partitions: usize,
}

/// Why reading stops for now.
enum Pause {
    Ended,
    Rebalance,
}

/// What a member waits for.
enum Event {
    Fetched(Option<Vec<Fetched>>),
    CommitDue,
    Pause(Pause),
}

impl Consume {
    /// Reads as a member of `group` until there is enough, and leaves the group.
    pub(super) async fn consume_in_group(
        &self,
        cluster: Rc<Cluster>,
        (group, topic): (&str, TopicFacts),
        printed: &mut Printed,
    ) -> Result<(), Failure> {
        let mut member = Member::new(Rc::clone(&cluster), group, &topic.name);
        let ended = self.read_as_member(&cluster, &mut member, (group, &topic), printed).await;
        // If this fails, the coordinator notices by itself after the session timeout.
        let _ = member.leave().await;
        ended
    }

    async fn read_as_member(
        &self,
        cluster: &Rc<Cluster>,
        member: &mut Member,
        (group, topic): (&str, &TopicFacts),
        printed: &mut Printed,
    ) -> Result<(), Failure> {
        let ends = match self.range.until_end {
            true => Some(offsets::of_partitions(cluster, topic, |_| true, Place::Latest).await?),
            false => None,
        };
        let mut signal = std::pin::pin!(ended_by_signal());
        loop {
            let partitions = tokio::select! {
                joined = member.join() => joined?,
                () = &mut signal => return Ok(()),
            };
            self.tell_share(group, &topic.name, &partitions);
            let heartbeats = member.heartbeats();
            let topic = cluster.topic(&topic.name, false).await?;
            let plan = self.plan_in_group(cluster, (group, &topic), &partitions, ends.as_ref()).await?;
            let reader = Reader::new(Rc::clone(cluster), topic, &plan);
            let mut reading = Reading {
                reader,
                heartbeats,
                printed: plan.from,
                committed: Offsets::new(),
                partitions: partitions.len(),
            };
            let paused = self.read_share(member, &mut reading, signal.as_mut(), printed).await;
            let committed = reading.commit(member).await;
            match paused? {
                Pause::Ended => return committed,
                // What could not be committed will be read again, by whoever gets it.
                Pause::Rebalance => {}
            }
        }
    }

    fn tell_share(&self, group: &str, topic: &str, partitions: &[PartitionIndex]) {
        if self.quiet {
            return;
        }
        let listed: Vec<String> = partitions.iter().map(ToString::to_string).collect();
        match listed.len() {
            0 => eprintln!("Group {group}: no partition of {topic} is left for this member."),
            1 => eprintln!("Group {group}: reading partition {} of {topic}.", listed[0]),
            _ => eprintln!("Group {group}: reading partitions {} of {topic}.", listed.join(", ")),
        }
    }

    async fn plan_in_group(
        &self,
        cluster: &Cluster,
        (group, topic): (&str, &TopicFacts),
        partitions: &[PartitionIndex],
        ends: Option<&Offsets>,
    ) -> Result<Plan, Failure> {
        let mut committed = committed::fetch(cluster, group, true).await?;
        let mut from = committed.remove(&topic.name).unwrap_or_default();
        from.retain(|partition, _| partitions.contains(partition));
        let place = match self.range.start() {
            Start::Latest => Place::Latest,
            _ => Place::Earliest,
        };
        let fresh =
            |facts: &PartitionFacts| partitions.contains(&facts.index) && !from.contains_key(&facts.index);
        let starts = offsets::of_partitions(cluster, topic, fresh, place).await?;
        from.extend(starts);
        let until = ends.map(|ends| {
            // Partitions that came later have no end to read to, and nothing is read back to an end.
            let end = |(partition, from): (&PartitionIndex, &_)| {
                (*partition, ends.get(partition).copied().unwrap_or(*from).max(*from))
            };
            from.iter().map(end).collect()
        });
        Ok(Plan { from, until })
    }

    /// Prints what comes until something else must be done.
    async fn read_share(
        &self,
        member: &mut Member,
        reading: &mut Reading,
        mut signal: Pin<&mut impl Future<Output = ()>>,
        printed: &mut Printed,
    ) -> Result<Pause, Failure> {
        let mut ticks = tokio::time::interval_at(Instant::now() + COMMIT_INTERVAL, COMMIT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let idle = self.range.idle_ms.map(Duration::from_millis);
        let mut last_came = Instant::now();
        let mut commits = 0;
        while !printed.is_enough() {
            let reads = reading.partitions > 0 || self.range.until_end;
            let event = tokio::select! {
                ended = reading.heartbeats.ended() => {
                    member.lose_place(&ended)?;
                    Event::Pause(Pause::Rebalance)
                }
                fetched = reading.reader.next(), if reads => Event::Fetched(fetched?),
                _ = ticks.tick() => Event::CommitDue,
                () = tokio::time::sleep_until(last_came + idle.unwrap_or_default()), if idle.is_some() => {
                    Event::Pause(Pause::Ended)
                }
                () = &mut signal => Event::Pause(Pause::Ended),
            };
            match event {
                Event::Pause(pause) => return Ok(pause),
                Event::Fetched(None) => break,
                Event::Fetched(Some(fetched)) => {
                    last_came = Instant::now();
                    self.print_share(reading, fetched, printed)?;
                }
                Event::CommitDue => {
                    reading.commit_or_wait(member).await?;
                    commits += 1;
                    if commits % COMMITS_PER_LOOK == 0 && member.must_share_out_anew().await {
                        return Ok(Pause::Rebalance);
                    }
                }
            }
        }
        Ok(Pause::Ended)
    }

    /// Prints and moves on what was printed, up to the record that was one too many.
    fn print_share(
        &self,
        reading: &mut Reading,
        fetched: Vec<Fetched>,
        printed: &mut Printed,
    ) -> Result<(), Failure> {
        let reached = reading.reader.positions();
        let mut passed = Offsets::new();
        for part in fetched {
            let partition = part.partition();
            printed.last = None;
            self.print_part(&reading.reader, part, printed)?;
            let position = match printed.last {
                Some(last) if printed.is_enough() => Some(last.plus(1)),
                _ => reached.get(&partition).copied(),
            };
            passed.extend(position.map(|position| (partition, position)));
            if printed.is_enough() {
                break;
            }
        }
        printed.flush()?;
        reading.printed.extend(passed);
        Ok(())
    }
}

impl Reading {
    /// Commits what was printed, unless that was done.
    async fn commit(&mut self, member: &Member) -> Result<(), Failure> {
        if self.printed != self.committed {
            member.commit(&self.printed).await?;
            self.committed = self.printed.clone();
        }
        Ok(())
    }

    /// As [`Self::commit`], but what may pass is tried again with the next commit; heartbeats tell what does not.
    async fn commit_or_wait(&mut self, member: &Member) -> Result<(), Failure> {
        match self.commit(member).await {
            Err(Failure::Client(error)) if may_pass(&error) => Ok(()),
            other => other,
        }
    }
}

fn may_pass(error: &ClientError) -> bool {
    use ErrorCode::{IllegalGeneration, RebalanceInProgress, UnknownMemberId};
    let lost = [RebalanceInProgress, IllegalGeneration, UnknownMemberId];
    error.is_retriable() || error.code().is_some_and(|code| lost.contains(&code))
}
