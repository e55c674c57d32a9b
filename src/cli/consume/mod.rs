//! `corelog consume`: records to lines.
//!
//! Key invariant: a record's value is printed as its bytes are, followed by a line feed. Ctrl-C and a reader that goes
//! away end it without an error. Fetching is left to `client::reader`, reading as a member of a group to `group`.

mod format;
mod group;

use std::io::{BufWriter, StdoutLock, Write};

use super::client::offsets::{self, Offsets, Place};
use super::client::reader::{Fetched, Plan, Reader, each_record};
use super::client::{Cluster, TopicFacts};
use super::connect::{Connect, block_on};
use super::failure::Failure;
use super::output;
use crate::model::Offset;
use format::Format;

/// Bytes of output that are written at once.
const OUTPUT_BYTES: usize = 256 << 10;

/// Arguments of `corelog consume`.
#[derive(Debug, clap::Args)]
pub struct Consume {
    /// The topic.
    #[arg(value_name = "TOPIC", required_unless_present = "topic_flag")]
    topic: Option<String>,
    /// The topic, as Kafka's tools name it.
    #[arg(long = "topic", value_name = "TOPIC", conflicts_with = "topic")]
    topic_flag: Option<String>,
    /// Read as a member of this group: its members share the partitions, and go on where the group stands.
    #[arg(long, short, value_name = "GROUP", conflicts_with = "partition")]
    group: Option<String>,
    #[command(flatten)]
    range: Range,
    #[command(flatten)]
    format: Format,
    /// Say nothing unless something fails.
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    connect: Connect,
}

/// Which records to read.
#[derive(Debug, clap::Args)]
struct Range {
    /// Start at the first record there is, instead of at the end. A group starts there only where it has no offset yet.
    #[arg(long, conflicts_with = "offset")]
    from_beginning: bool,
    /// Start here: a number (with --partition), `earliest` or `latest`.
    #[arg(long, value_name = "OFFSET", value_parser = start)]
    offset: Option<Start>,
    /// Read only this partition.
    #[arg(long, short, value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// End after so many records.
    #[arg(long, short = 'n', visible_alias = "max-messages", value_name = "RECORDS")]
    count: Option<u64>,
    /// End at what is the end now, instead of following the topic.
    #[arg(long)]
    until_end: bool,
    /// End when no record came for so many milliseconds.
    #[arg(long, value_name = "MS")]
    idle_ms: Option<u64>,
}

/// Where reading starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Earliest,
    Latest,
    At(i64),
}

impl Range {
    fn start(&self) -> Start {
        match self.offset {
            Some(start) => start,
            None if self.from_beginning => Start::Earliest,
            None => Start::Latest,
        }
    }
}

/// Where printing stands.
struct Printed {
    out: BufWriter<StdoutLock<'static>>,
    records: u64,
    most: Option<u64>,
    /// The last record's offset.
    last: Option<Offset>,
}

impl Printed {
    fn is_enough(&self) -> bool {
        self.most.is_some_and(|most| self.records >= most)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(Failure::output)
    }
}

impl Consume {
    pub fn run(self) -> Result<(), Failure> {
        if matches!(self.range.offset, Some(Start::At(_))) && self.range.partition.is_none() {
            let words = match self.group {
                Some(_) => "a group is moved to an offset by `corelog group reset-offsets`, not by --offset",
                None => "--offset with a number needs --partition",
            };
            return Err(Failure::Usage(words.to_owned()));
        }
        block_on(self.consume())
    }

    async fn consume(self) -> Result<(), Failure> {
        let name = self.topic.clone().or_else(|| self.topic_flag.clone()).unwrap_or_default();
        let cluster = self.connect.cluster().await?;
        let topic = cluster.topic(&name, false).await?;
        let out = BufWriter::with_capacity(OUTPUT_BYTES, std::io::stdout().lock());
        let mut printed = Printed { out, records: 0, most: self.range.count, last: None };
        let ended = match &self.group {
            Some(group) => self.consume_in_group(cluster, (group, topic), &mut printed).await,
            None => {
                let plan = self.plan(&cluster, &topic).await?;
                self.print(&mut Reader::new(cluster, topic, &plan), &mut printed).await
            }
        };
        let flushed = printed.flush();
        if !self.quiet {
            eprintln!("{} read.", output::counted(printed.records, "record"));
        }
        ended.and(flushed)
    }

    async fn plan(&self, cluster: &Cluster, topic: &TopicFacts) -> Result<Plan, Failure> {
        let only = self.range.partition;
        if let Some(index) = only {
            offsets::partition_of(topic, index)?;
        }
        let wanted = |partition: &super::client::PartitionFacts| {
            only.is_none_or(|index| partition.index.get() == index)
        };
        let start = self.range.start();
        let place = if start == Start::Latest { Place::Latest } else { Place::Earliest };
        let mut from: Offsets = offsets::of_partitions(cluster, topic, wanted, place).await?;
        if let Start::At(offset) = start {
            from.values_mut().for_each(|position| *position = Offset(offset));
        }
        let until = match self.range.until_end {
            true => Some(offsets::of_partitions(cluster, topic, wanted, Place::Latest).await?),
            false => None,
        };
        Ok(Plan { from, until })
    }

    async fn print(&self, reader: &mut Reader, printed: &mut Printed) -> Result<(), Failure> {
        let mut ended = std::pin::pin!(ended_by_signal());
        let idle = self.range.idle_ms.map(std::time::Duration::from_millis);
        while !printed.is_enough() {
            let fetched = tokio::select! {
                fetched = reader.next() => fetched?,
                () = tokio::time::sleep(idle.unwrap_or_default()), if idle.is_some() => return Ok(()),
                () = &mut ended => return Ok(()),
            };
            let Some(fetched) = fetched else { return Ok(()) };
            for part in fetched {
                self.print_part(reader, part, printed)?;
            }
            printed.flush()?;
        }
        Ok(())
    }

    fn print_part(&self, reader: &Reader, part: Fetched, printed: &mut Printed) -> Result<(), Failure> {
        match part {
            Fetched::Batches { partition, from, batches } => {
                let visited = each_record(&batches, from, |header, record| {
                    if printed.is_enough() || reader.is_beyond_end(partition, record.offset) {
                        return Ok(false);
                    }
                    self.format.write(&mut printed.out, reader.topic_name(), partition, (header, &record))?;
                    printed.records += 1;
                    printed.last = Some(record.offset);
                    Ok(true)
                });
                visited?.map_err(Failure::output)?;
            }
            Fetched::Gone { partition, from, until } => {
                eprintln!(
                    "corelog: partition {partition}: the records from offset {from} on are gone; going on at {until}"
                );
            }
        }
        Ok(())
    }
}

/// Waits for Ctrl-C, or for being asked to end.
async fn ended_by_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminated) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
}

fn start(text: &str) -> Result<Start, String> {
    match text {
        "earliest" | "beginning" => Ok(Start::Earliest),
        "latest" | "end" => Ok(Start::Latest),
        _ => match text.parse::<i64>() {
            Ok(offset) if offset >= 0 => Ok(Start::At(offset)),
            _ => Err("it is earliest, latest or a number from 0".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_names_or_numbers() {
        assert_eq!(start("earliest"), Ok(Start::Earliest));
        assert_eq!(start("17"), Ok(Start::At(17)));
        assert!(start("-3").is_err());
        assert!(start("soon").is_err());
    }
}
