//! Which workloads can be driven: the range of every field, and which fields go together.
//!
//! Key invariant: what passed can be driven without a further check of its numbers. Whether the broker takes it (topics
//! that exist, sizes that it refuses) is left to `drive`.

use std::fmt::Display;

use super::error::WorkloadError;
use super::{Encoding, KeyPlan, LengthPlan, SizePlan, StartAt, ValuePlan, Workload};

/// What a run does with a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Produce,
    Consume,
    /// Records carry stamps, so that the time from their intended sending to their arrival can be told.
    EndToEnd,
    /// Producers and consumers at once, each timed for itself.
    Mixed,
}

/// Bytes of the stamp at the start of a value, for `verify` and for end-to-end latency.
pub const STAMPED_VALUE_BYTES_MIN: u32 = 28;
/// Bytes of a record's value.
pub const VALUE_BYTES_MAX: u32 = 16 << 20;
/// Bytes of a batch's records before compression.
pub const BATCH_BYTES_MAX: u32 = 16 << 20;
/// Producers, or the connections of all readers.
pub const CONNECTIONS_MAX: u32 = 20_000;
/// Requests of one connection that may be under way.
pub const IN_FLIGHT_MAX: u32 = 10_000;
/// Brokers remember the last five batches of a producer (KIP-98); with more under way they could not tell duplicates.
pub const IDEMPOTENT_IN_FLIGHT_MAX: u32 = 5;
/// Partitions of all topics together.
pub const PARTITIONS_MAX: i32 = 100_000;
pub const KEYS_MAX: u32 = 10_000_000;
/// Above it nearly every record has the same key.
pub const ZIPF_EXPONENT_MAX: f64 = 10.0;
pub const SIGMA_MAX: f64 = 5.0;
/// Records per second; beyond any host, so that a slip of the finger is noticed.
pub const RATE_MAX: f64 = 1e9;
pub const LINGER_MS_MAX: f64 = 60_000.0;
pub const WARM_UP_S_MAX: f64 = 86_400.0;
/// Thirty days.
pub const DURATION_S_MAX: f64 = 2_592_000.0;
/// Readers that each read every partition.
pub const FAN_OUT_MAX: u32 = 1_000;
/// Fetches wait no longer than this.
pub const MAX_WAIT_MS_MAX: i32 = 60_000;
/// TOML has no greater whole numbers.
pub const SEED_MAX: u64 = i64::MAX as u64;
/// Kafka's longest name of a topic.
const TOPIC_NAME_BYTES_MAX: usize = 249;

type Checked = Result<(), WorkloadError>;

impl Workload {
    /// Whether a run of this kind can be driven. Fails with [`WorkloadError::Unfit`] at the first field that cannot stand.
    pub fn check(&self, kind: Kind) -> Checked {
        within("seed", self.seed, 0, SEED_MAX)?;
        self.check_topic()?;
        self.check_records()?;
        self.check_producer()?;
        self.check_consumer()?;
        self.check_length(kind)?;
        if kind == Kind::EndToEnd {
            self.check_stamped()?;
        }
        Ok(())
    }

    /// Whether records can carry stamps, as end-to-end runs and verification need.
    pub fn check_stamped(&self) -> Checked {
        if self.records.encoding == Encoding::Ready {
            return unfit("records.encoding", "ready", "fresh, for records to carry stamps of their own");
        }
        if matches!(self.records.values, ValuePlan::Lines { .. }) {
            return Ok(());
        }
        let (field, least) = match self.records.size {
            SizePlan::Fixed(size) => ("records.size.fixed", size),
            SizePlan::Uniform { min, .. } => ("records.size.uniform.min", min),
            // Its small values are made as long as a stamp.
            SizePlan::LogNormal { median, .. } => ("records.size.log-normal.median", median),
        };
        if least < STAMPED_VALUE_BYTES_MIN {
            let may_be = format!("{STAMPED_VALUE_BYTES_MIN} or more, for a value to hold a stamp");
            return unfit(field, &least.to_string(), &may_be);
        }
        Ok(())
    }

    /// Whether what is read can be checked for losses and duplicates.
    pub fn check_verified(&self) -> Checked {
        if self.consumer.start == StartAt::Loop {
            return unfit("consumer.start", "loop", "tail or beginning, for nothing to be read twice");
        }
        Ok(())
    }

    fn check_topic(&self) -> Checked {
        let topic = &self.topic;
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let number_bytes = if topic.topics > 1 { topic.topics.to_string().len() + 1 } else { 0 };
        let long = topic.name.len() + number_bytes > TOPIC_NAME_BYTES_MAX;
        if topic.name.is_empty() || topic.name.chars().all(|c| c == '.') && topic.name.len() < 3 || long {
            let may_be =
                format!("1 to {TOPIC_NAME_BYTES_MAX} letters, digits, dots, underscores and hyphens");
            return unfit("topic.name", &format!("{:?}", topic.name), &may_be);
        }
        if !topic.name.bytes().all(legal) {
            let may_be = "letters, digits, dots, underscores and hyphens";
            return unfit("topic.name", &format!("{:?}", topic.name), may_be);
        }
        within("topic.partitions", topic.partitions, 1, PARTITIONS_MAX)?;
        // Fewer partitions of a topic leave room for more topics.
        within("topic.topics", i64::from(topic.topics), 1, i64::from(PARTITIONS_MAX / topic.partitions))?;
        if topic.replication_factor != -1 && topic.replication_factor < 1 {
            let may_be = "1 or more, or -1 for the broker's own";
            return unfit("topic.replication-factor", &topic.replication_factor.to_string(), may_be);
        }
        Ok(())
    }

    fn check_records(&self) -> Checked {
        let records = &self.records;
        match records.size {
            SizePlan::Fixed(size) => within("records.size.fixed", size, 0, VALUE_BYTES_MAX)?,
            SizePlan::Uniform { min, max } => {
                within("records.size.uniform.max", max, 0, VALUE_BYTES_MAX)?;
                within("records.size.uniform.min", min, 0, max)?;
            }
            SizePlan::LogNormal { median, sigma, max } => {
                within("records.size.log-normal.max", max, 1, VALUE_BYTES_MAX)?;
                within("records.size.log-normal.median", median, 1, max)?;
                within("records.size.log-normal.sigma", sigma, 0.0, SIGMA_MAX)?;
            }
        }
        match records.keys {
            KeyPlan::None => {}
            KeyPlan::Uniform { count } => within("records.keys.uniform.count", count, 1, KEYS_MAX)?,
            KeyPlan::Zipf { count, exponent } => {
                within("records.keys.zipf.count", count, 1, KEYS_MAX)?;
                within("records.keys.zipf.exponent", exponent, 0.0, ZIPF_EXPONENT_MAX)?;
            }
            KeyPlan::Sequential { count } => within("records.keys.sequential.count", count, 1, KEYS_MAX)?,
        }
        match &records.values {
            ValuePlan::Random { compressibility } => {
                within("records.values.random.compressibility", *compressibility, 0.0, 1.0)?;
            }
            ValuePlan::Lines { file } if file.as_os_str().is_empty() => {
                return unfit("records.values.lines.file", "empty", "the path of a text");
            }
            ValuePlan::Lines { .. } | ValuePlan::Json { .. } => {}
        }
        within("records.batch-bytes", records.batch_bytes, 1, BATCH_BYTES_MAX)?;
        if records.encoding == Encoding::Ready && matches!(records.keys, KeyPlan::Sequential { .. }) {
            let may_be = "fresh with sequential keys: ready-made batches repeat the keys that they hold";
            return unfit("records.encoding", "ready", may_be);
        }
        Ok(())
    }

    fn check_producer(&self) -> Checked {
        let producer = &self.producer;
        within("producer.connections", producer.connections, 1, CONNECTIONS_MAX)?;
        within("producer.in-flight", producer.in_flight, 1, IN_FLIGHT_MAX)?;
        if ![-1, 0, 1].contains(&producer.acks) {
            return unfit("producer.acks", &producer.acks.to_string(), "0, 1 or -1 (all)");
        }
        within("producer.linger-ms", producer.linger_ms, 0.0, LINGER_MS_MAX)?;
        within("producer.rate", producer.rate, 0.0, RATE_MAX)?;
        if producer.idempotent && producer.acks != -1 {
            let may_be = "-1 (all) with idempotent producers";
            return unfit("producer.acks", &producer.acks.to_string(), may_be);
        }
        if producer.idempotent && producer.in_flight > IDEMPOTENT_IN_FLIGHT_MAX {
            let may_be = format!("1 to {IDEMPOTENT_IN_FLIGHT_MAX} with idempotent producers");
            return unfit("producer.in-flight", &producer.in_flight.to_string(), &may_be);
        }
        Ok(())
    }

    fn check_consumer(&self) -> Checked {
        let consumer = &self.consumer;
        within("consumer.fan-out", consumer.fan_out, 1, FAN_OUT_MAX)?;
        within("consumer.connections", consumer.connections, 1, CONNECTIONS_MAX / consumer.fan_out)?;
        within("consumer.max-wait-ms", consumer.max_wait_ms, 0, MAX_WAIT_MS_MAX)?;
        within("consumer.max-bytes", consumer.max_bytes, 1, i32::MAX)?;
        within("consumer.min-bytes", consumer.min_bytes, 0, consumer.max_bytes)?;
        within("consumer.partition-max-bytes", consumer.partition_max_bytes, 1, i32::MAX)
    }

    fn check_length(&self, kind: Kind) -> Checked {
        within("length.warm-up-s", self.length.warm_up_s, 0.0, WARM_UP_S_MAX)?;
        within("length.duration-s", self.length.duration_s.unwrap_or(0.0), 0.0, DURATION_S_MAX)?;
        let ends_at_log_end = kind == Kind::Consume && self.consumer.start == StartAt::Beginning;
        if !ends_at_log_end && !self.length.is_bounded() {
            let may_be = "set, or length.records or length.bytes, so that the run ends";
            return unfit("length.duration-s", "not set", may_be);
        }
        Ok(())
    }
}

impl LengthPlan {
    /// The plan with zeros taken as what they mean: not set.
    pub fn bounds(&self) -> Self {
        Self {
            warm_up_s: self.warm_up_s,
            duration_s: self.duration_s.filter(|duration_s| *duration_s > 0.0),
            records: self.records.filter(|records| *records > 0),
            bytes: self.bytes.filter(|bytes| *bytes > 0),
        }
    }

    fn is_bounded(&self) -> bool {
        let bounds = self.bounds();
        bounds.duration_s.is_some() || bounds.records.is_some() || bounds.bytes.is_some()
    }
}

/// A number that is none is in no range.
fn within<T: PartialOrd + Display>(field: &'static str, is: T, min: T, max: T) -> Checked {
    if is >= min && is <= max {
        return Ok(());
    }
    unfit(field, &is.to_string(), &format!("{min} to {max}"))
}

fn unfit(field: &'static str, is: &str, may_be: &str) -> Checked {
    Err(WorkloadError::Unfit { field, is: is.to_owned(), may_be: may_be.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::set;

    fn with(assignments: &[&str]) -> Workload {
        let mut workload = Workload::default();
        for assignment in assignments {
            set(&mut workload, assignment).unwrap_or_else(|error| panic!("{assignment}: {error}"));
        }
        workload
    }

    /// Assignments that pass, those that do not, and the field that is blamed.
    const EDGES: &[(&[&str], &[&str], &str)] = &[
        (&["seed=9223372036854775807"], &["topic.name="], "topic.name"),
        (&["topic.name=a.B_c-9"], &["topic.name=a b"], "topic.name"),
        (&["topic.name=..."], &["topic.name=.."], "topic.name"),
        (&["topic.partitions=100000"], &["topic.partitions=100001"], "topic.partitions"),
        (&["topic.partitions=1"], &["topic.partitions=0"], "topic.partitions"),
        (&["topic.topics=6250"], &["topic.topics=6251"], "topic.topics"),
        (&["topic.topics=1"], &["topic.topics=0"], "topic.topics"),
        (&["topic.replication-factor=3"], &["topic.replication-factor=0"], "topic.replication-factor"),
        (&["records.size.fixed=16777216"], &["records.size.fixed=16777217"], "records.size.fixed"),
        (
            &["records.size={ uniform = { min = 2, max = 2 } }"],
            &["records.size={ uniform = { min = 3, max = 2 } }"],
            "records.size.uniform.min",
        ),
        (
            &["records.size={ log-normal = { median = 9, sigma = 5, max = 9 } }"],
            &["records.size={ log-normal = { median = 9, sigma = nan, max = 9 } }"],
            "records.size.log-normal.sigma",
        ),
        (
            &["records.size={ log-normal = { median = 1, sigma = 0, max = 9 } }"],
            &["records.size={ log-normal = { median = 0, sigma = 0, max = 9 } }"],
            "records.size.log-normal.median",
        ),
        (
            &["records.keys.uniform.count=10000000"],
            &["records.keys.uniform.count=10000001"],
            "records.keys.uniform.count",
        ),
        (&["records.keys.uniform.count=1"], &["records.keys.uniform.count=0"], "records.keys.uniform.count"),
        (
            &["records.keys={ zipf = { count = 1, exponent = 0 } }"],
            &["records.keys={ zipf = { count = 1, exponent = -0.1 } }"],
            "records.keys.zipf.exponent",
        ),
        (
            &["records.keys.sequential.count=1"],
            &["records.keys.sequential.count=1", "records.encoding=ready"],
            "records.encoding",
        ),
        (
            &["records.values.random.compressibility=1"],
            &["records.values.random.compressibility=1.1"],
            "records.values.random.compressibility",
        ),
        (&["records.values.lines.file=a"], &["records.values.lines.file="], "records.values.lines.file"),
        (&["records.batch-bytes=1"], &["records.batch-bytes=0"], "records.batch-bytes"),
        (&["producer.connections=20000"], &["producer.connections=20001"], "producer.connections"),
        (&["producer.in-flight=10000"], &["producer.in-flight=0"], "producer.in-flight"),
        (&["producer.acks=0"], &["producer.acks=2"], "producer.acks"),
        (&["producer.linger-ms=0"], &["producer.linger-ms=inf"], "producer.linger-ms"),
        (&["producer.rate=0.5"], &["producer.rate=-1"], "producer.rate"),
        (&["producer.rate=1e9"], &["producer.rate=nan"], "producer.rate"),
        (
            &["producer.idempotent=true", "producer.in-flight=5"],
            &["producer.idempotent=true", "producer.in-flight=6"],
            "producer.in-flight",
        ),
        (
            &["producer.idempotent=true", "producer.acks=-1"],
            &["producer.idempotent=true", "producer.acks=1"],
            "producer.acks",
        ),
        (
            &["consumer.fan-out=1000", "consumer.connections=20"],
            &["consumer.fan-out=1000", "consumer.connections=21"],
            "consumer.connections",
        ),
        (&["consumer.max-wait-ms=0"], &["consumer.max-wait-ms=-1"], "consumer.max-wait-ms"),
        (
            &["consumer.min-bytes=9", "consumer.max-bytes=9"],
            &["consumer.min-bytes=10", "consumer.max-bytes=9"],
            "consumer.min-bytes",
        ),
        (
            &["consumer.partition-max-bytes=1"],
            &["consumer.partition-max-bytes=0"],
            "consumer.partition-max-bytes",
        ),
        (&["length.warm-up-s=0"], &["length.warm-up-s=-1"], "length.warm-up-s"),
        (&["length.duration-s=0.5"], &["length.duration-s=inf"], "length.duration-s"),
        (&["length.duration-s=0", "length.bytes=1"], &["length.duration-s=0"], "length.duration-s"),
    ];

    #[test]
    fn ranges_end_where_they_say_and_blame_their_field() {
        for (passes, fails, blamed) in EDGES {
            with(passes).check(Kind::Produce).unwrap_or_else(|error| panic!("{passes:?}: {error}"));
            match with(fails).check(Kind::Produce) {
                Err(WorkloadError::Unfit { field, is, may_be }) => {
                    assert_eq!(field, *blamed, "{fails:?}");
                    assert!(!is.is_empty() && !may_be.is_empty(), "{fails:?}");
                }
                other => panic!("{fails:?} gave {other:?}"),
            }
        }
    }

    #[test]
    fn the_sentence_names_field_value_and_range() {
        let error = with(&["producer.connections=0"]).check(Kind::Produce).expect_err("none").to_string();
        assert_eq!(error, "producer.connections is 0; it may be 1 to 20000");
    }

    #[test]
    fn end_to_end_needs_room_for_stamps() {
        for (assignment, fits) in [
            ("records.size.fixed=28", true),
            ("records.size.fixed=27", false),
            ("records.size={ uniform = { min = 27, max = 100 } }", false),
            ("records.size={ log-normal = { median = 28, sigma = 1, max = 100 } }", true),
            ("records.encoding=ready", false),
        ] {
            let workload = with(&[assignment]);
            assert_eq!(workload.check(Kind::EndToEnd).is_ok(), fits, "{assignment}");
            assert!(workload.check(Kind::Produce).is_ok(), "{assignment}");
        }
        let lines = with(&["records.size.fixed=1", "records.values.lines.file=a"]);
        assert!(lines.check(Kind::EndToEnd).is_ok(), "lines are longer by the stamp");
    }

    #[test]
    fn reading_from_the_beginning_ends_by_itself() {
        let workload = with(&["length.duration-s=0", "consumer.start=beginning"]);
        assert!(workload.check(Kind::Consume).is_ok());
        assert!(workload.check(Kind::Mixed).is_err());
        let endless = with(&["length.duration-s=0", "consumer.start=loop"]);
        assert!(endless.check(Kind::Consume).is_err(), "it never ends by itself");
        assert!(endless.check_verified().is_err() && workload.check_verified().is_ok());
    }
}
