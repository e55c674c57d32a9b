//! `corelog produce`: lines to records.
//!
//! Key invariant: a line's bytes are the record's value as they are; only the line feed is cut off. What is reported as
//! delivered was acknowledged. Batching and retries are left to `client::producer`.

mod lines;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use serde_json::json;

use super::client::producer::{Acks, Producer, ProducerOptions, now};
use super::connect::{Connect, block_on, name_and_value};
use super::failure::Failure;
use super::output;
use crate::record::Codec;
use crate::record::builder::NewRecord;
use lines::{Chunk, Lines, Parts, Separators};

/// Arguments of `corelog produce`.
#[derive(Debug, clap::Args)]
pub struct Produce {
    /// The topic.
    #[arg(value_name = "TOPIC", required_unless_present = "topic_flag")]
    topic: Option<String>,
    /// The topic, as Kafka's tools name it.
    #[arg(long = "topic", value_name = "TOPIC", conflicts_with = "topic")]
    topic_flag: Option<String>,
    /// Read this file instead of standard input.
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    delivery: Delivery,
    /// Print what was delivered as JSON.
    #[arg(long)]
    json: bool,
    /// Say nothing unless something fails.
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    connect: Connect,
}

/// How a line becomes a record.
#[derive(Debug, clap::Args)]
struct Format {
    /// Lines hold a key, this, and the value. \t stands for a tab.
    #[arg(long, value_name = "TEXT", value_parser = separator)]
    key_separator: Option<String>,
    /// Lines begin with headers, such as `name:value,name:value`, and a tab.
    #[arg(long)]
    parse_headers: bool,
    /// A header for every record; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    header: Vec<(String, String)>,
    /// A value that is this text becomes null, which deletes its key in a compacted topic.
    #[arg(long, value_name = "TEXT")]
    null_marker: Option<String>,
}

/// How records travel.
#[derive(Debug, clap::Args)]
struct Delivery {
    /// Send all records to this partition.
    #[arg(long, value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// Compress batches: none, gzip, snappy, lz4 or zstd.
    #[arg(long, value_name = "CODEC", default_value = "none", value_parser = codec)]
    compression: Codec,
    /// Who must have a record durably: all (in-sync replicas), 1 (the leader) or 0 (nobody).
    #[arg(long, default_value = "all", value_parser = acks)]
    acks: Acks,
    /// Milliseconds that a batch waits for more records.
    #[arg(long, value_name = "MS", default_value_t = 5)]
    linger_ms: u64,
    /// Milliseconds that the delivery of a batch may take, retries included.
    #[arg(long, value_name = "MS", default_value_t = 120_000)]
    delivery_timeout_ms: u64,
}

/// What a run did.
struct Tally {
    input_bytes: u64,
    started: Instant,
    bar: ProgressBar,
}

impl Produce {
    pub fn run(self) -> Result<(), Failure> {
        block_on(self.produce())
    }

    async fn produce(self) -> Result<(), Failure> {
        let name = self.topic.clone().or_else(|| self.topic_flag.clone()).unwrap_or_default();
        // Opened first: a file that is not there should not create a topic.
        let (mut lines, size) = Lines::open(self.file.as_deref())?;
        let cluster = self.connect.cluster().await?;
        let topic = cluster.topic(&name, true).await?;
        let options = ProducerOptions {
            acks: self.delivery.acks,
            codec: self.delivery.compression,
            linger: Duration::from_millis(self.delivery.linger_ms),
            delivery_timeout: Duration::from_millis(self.delivery.delivery_timeout_ms),
        };
        let mut producer = Producer::open(cluster, topic, options).await?;
        let hidden = self.quiet || self.is_interactive();
        let bar = if hidden { ProgressBar::hidden() } else { output::progress(size) };
        if self.is_interactive() && !self.quiet {
            eprintln!("One record per line; Ctrl-D ends.");
        }
        let mut tally = Tally { input_bytes: 0, started: Instant::now(), bar };
        let fed = self.feed(&mut lines, &mut producer, &mut tally).await;
        let flushed = producer.flush().await;
        tally.bar.finish_and_clear();
        let delivered = producer.delivered().records;
        match (fed, flushed) {
            (Err(Failure::Client(cause)), _) | (Ok(()), Err(cause)) if delivered > 0 => {
                Err(Failure::Undelivered { delivered, cause })
            }
            (Err(failure), _) => Err(failure),
            (Ok(()), Err(cause)) => Err(cause.into()),
            (Ok(()), Ok(_)) => self.report(&name, &producer, &tally),
        }
    }

    fn is_interactive(&self) -> bool {
        self.file.is_none() && std::io::stdin().is_terminal()
    }

    /// Appends every line. Ends early, without failing, at Ctrl-C.
    async fn feed(
        &self,
        lines: &mut Lines,
        producer: &mut Producer,
        tally: &mut Tally,
    ) -> Result<(), Failure> {
        let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
        loop {
            tokio::select! {
                chunk = lines.next(), if !producer.is_full() => {
                    let Some(chunk) = chunk? else { return Ok(()) };
                    self.append_all(&chunk, producer)?;
                    tally.input_bytes += chunk.bytes() as u64;
                    tally.bar.set_position(tally.input_bytes);
                    // The connection's tasks run when this one yields.
                    tokio::task::yield_now().await;
                }
                progressed = producer.progress() => progressed?,
                _ = &mut interrupted => return Ok(()),
            }
        }
    }

    fn append_all(&self, chunk: &Chunk, producer: &mut Producer) -> Result<(), Failure> {
        let separators = Separators {
            headers: self.format.parse_headers,
            key: self.format.key_separator.as_deref().map(str::as_bytes),
        };
        let fixed = self.format.header.iter().map(|(name, value)| (name.as_bytes(), Some(value.as_bytes())));
        let fixed: Vec<(&[u8], Option<&[u8]>)> = fixed.collect();
        let timestamp = now();
        for (number, line) in chunk.lines() {
            let Parts { headers, key, value } = separators.split(line).map_err(|reason| {
                Failure::Usage(format!("line {number}: {reason}; nothing from this line on was sent"))
            })?;
            let is_null = self.format.null_marker.as_ref().is_some_and(|marker| marker.as_bytes() == value);
            let own: Vec<_>;
            let headers = if headers.is_empty() {
                fixed.as_slice()
            } else {
                own = fixed.iter().copied().chain(headers).collect();
                own.as_slice()
            };
            let record = NewRecord { timestamp, key, value: (!is_null).then_some(value), headers };
            producer.append(&record, self.delivery.partition)?;
        }
        Ok(())
    }

    fn report(&self, topic: &str, producer: &Producer, tally: &Tally) -> Result<(), Failure> {
        let delivered = producer.delivered();
        let taken = tally.started.elapsed();
        if self.json {
            return output::print_json(&json!({
                "topic": topic, "records": delivered.records, "input_bytes": tally.input_bytes,
                "batch_bytes": delivered.batch_bytes, "batches": delivered.batches,
                "seconds": taken.as_secs_f64(),
            }));
        }
        if !self.quiet {
            let word = if self.delivery.acks == Acks::None { "Sent, unacknowledged:" } else { "Delivered" };
            eprintln!(
                "{word} {} ({}) to {topic} in {:.2} s, {}.",
                output::counted(delivered.records, "record"),
                output::bytes(tally.input_bytes),
                taken.as_secs_f64(),
                output::bytes_per_second(tally.input_bytes, taken)
            );
        }
        Ok(())
    }
}

fn acks(text: &str) -> Result<Acks, String> {
    match text {
        "0" => Ok(Acks::None),
        "1" => Ok(Acks::Leader),
        "all" | "-1" => Ok(Acks::All),
        _ => Err("it is all, 1 or 0".to_owned()),
    }
}

fn codec(text: &str) -> Result<Codec, String> {
    Codec::from_name(text).ok_or_else(|| "it is none, gzip, snappy, lz4 or zstd".to_owned())
}

fn separator(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("it must not be empty".to_owned());
    }
    Ok(text.replace("\\t", "\t"))
}
