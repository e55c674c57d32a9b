//! The options of the commands that drive a broker, and how they change a workload.
//!
//! Key invariant: every option that shapes the load is a field of the workload, so that the run's file has it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::Failure;
use crate::client::{ClientOptions, Security};
use crate::host::Scheduling;
use crate::workload::{self, Workload};

/// Options of `produce`, `consume`, `end-to-end` and `mixed`.
#[derive(Clone, Debug, Args)]
pub struct LoadOptions {
    #[command(flatten)]
    pub target: TargetOptions,
    #[command(flatten)]
    pub shape: ShapeOptions,
    #[command(flatten)]
    pub output: OutputOptions,
    /// CPUs to drive from, such as 0,2-3; one thread on each [default: all that this process may use]
    #[arg(long, value_name = "LIST")]
    pub cpus: Option<String>,
    /// How the kernel runs those threads (sched(7)): batch does not take the CPU from a broker on the same host at each answer,
    /// normal does, as most clients
    #[arg(long, value_enum, default_value_t)]
    pub scheduling: Scheduling,
    /// Put a stamp into every record and report what is lost, duplicated, reordered or corrupted (records of 32 B at least)
    #[arg(long)]
    pub verify: bool,
    /// Find the highest rate whose 99th percentile stays below this many milliseconds
    #[arg(long, value_name = "P99_MS", conflicts_with = "rate")]
    pub find_max: Option<f64>,
    /// Make the run this many times, so that a comparison can tell differences from noise
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub runs: u32,
}

/// Where the brokers are.
#[derive(Clone, Debug, Args)]
pub struct TargetOptions {
    /// Brokers to ask first, HOST:PORT[,HOST:PORT...]
    #[arg(
        long,
        short,
        value_name = "LIST",
        default_value = "127.0.0.1:9092",
        env = "CORELOG_BENCH_BOOTSTRAP",
        value_delimiter = ','
    )]
    pub bootstrap_server: Vec<String>,
    /// Log in as this user (SASL/PLAIN, unencrypted); the password comes from --password-file or CORELOG_BENCH_PASSWORD
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// A file whose first line is the password
    #[arg(long, value_name = "FILE", requires = "user")]
    pub password_file: Option<PathBuf>,
    /// The longest wait for an answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    pub timeout: f64,
    /// How long to look for a broker that went away during the run, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    pub retry_for: f64,
}

/// What the load is. An option overrides the workload's field.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Load")]
pub struct ShapeOptions {
    /// A named workload (see `corelog-bench workloads`) or a TOML file
    #[arg(long, short, value_name = "NAME|FILE")]
    pub workload: Option<String>,
    /// Repeat the run of this file: its workload is the starting point
    #[arg(long, value_name = "RUN.json", conflicts_with = "workload")]
    pub replay: Option<PathBuf>,
    /// Any field of the workload, such as consumer.fan-out=4
    #[arg(long, value_name = "FIELD=VALUE")]
    pub set: Vec<String>,
    /// [topic.name]
    #[arg(long, value_name = "NAME")]
    pub topic: Option<String>,
    /// [topic.partitions]
    #[arg(long, value_name = "N")]
    pub partitions: Option<i32>,
    /// Create the topic before the run and remove it after it [topic.create, topic.remove]
    #[arg(long)]
    pub create: bool,
    #[command(flatten)]
    pub records: RecordOptions,
    #[command(flatten)]
    pub pace: PaceOptions,
}

/// What records look like.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Records")]
pub struct RecordOptions {
    /// Bytes of a value: a number, uniform:MIN:MAX or log-normal:MEDIAN:SIGMA:MAX [records.size]
    #[arg(long, value_name = "BYTES")]
    pub record_size: Option<String>,
    /// none, uniform:COUNT, zipf:COUNT[:EXPONENT] or sequential:COUNT [records.keys]
    #[arg(long, value_name = "KEYS")]
    pub keys: Option<String>,
    /// Share of the values that a codec can save, 0 to 1 [records.values]
    #[arg(long, value_name = "SHARE", conflicts_with = "lines")]
    pub compressibility: Option<f64>,
    /// Send the lines of this text [records.values]
    #[arg(long, value_name = "FILE")]
    pub lines: Option<PathBuf>,
    /// none, gzip, snappy, lz4 or zstd [records.codec]
    #[arg(long, value_name = "CODEC")]
    pub codec: Option<String>,
    /// Bytes of a batch before compression, at least one record [records.batch-bytes]
    #[arg(long, value_name = "BYTES")]
    pub batch_bytes: Option<u32>,
    /// fresh (made when sent) or ready (made before the run) [records.encoding]
    #[arg(long, value_name = "fresh|ready")]
    pub encoding: Option<String>,
}

/// How fast, and how long.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Pace")]
pub struct PaceOptions {
    /// Connections of producers, each a producer [producer.connections]
    #[arg(long, value_name = "N")]
    pub connections: Option<u32>,
    /// Requests in flight on each [producer.in-flight]
    #[arg(long, value_name = "N")]
    pub in_flight: Option<u32>,
    /// 0, 1 or all [producer.acks]
    #[arg(long, value_name = "ACKS")]
    pub acks: Option<String>,
    /// How long a record waits for others, in milliseconds [producer.linger-ms]
    #[arg(long, value_name = "MS")]
    pub linger_ms: Option<f64>,
    /// Records per second over all connections; 0 sends as fast as answers come [producer.rate]
    #[arg(long, value_name = "RECORDS_PER_S")]
    pub rate: Option<f64>,
    /// Idempotent producers (KIP-98): retries do not duplicate [producer.idempotent]
    #[arg(long)]
    pub idempotent: bool,
    /// tail, beginning, or loop (from the beginning again and again until the time is over) [consumer.start]
    #[arg(long, value_name = "tail|beginning|loop")]
    pub start: Option<String>,
    /// Seconds that count [length.duration-s]
    #[arg(long, value_name = "SECONDS")]
    pub duration: Option<f64>,
    /// Seconds before, which do not [length.warm-up-s]
    #[arg(long, value_name = "SECONDS")]
    pub warm_up: Option<f64>,
    /// End after this many records [length.records]
    #[arg(long, value_name = "N")]
    pub records: Option<u64>,
    /// End after about this many bytes of keys and values, such as 500MB or 10GB [length.bytes]
    #[arg(long, value_name = "BYTES", value_parser = volume)]
    pub volume: Option<u64>,
}

/// What is shown and kept.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputOptions {
    /// Write the run's files with this prefix: .json (the whole run), .hgrm and .hlog (HdrHistogram)
    #[arg(long, short, value_name = "FOLDER/NAME")]
    pub out: Option<PathBuf>,
    /// The broker's data directory, if it is on this host: its device and filesystem go into the run's file
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The file of a run of the same load against `corelog-bench ceiling`: throughput is then also told as a share of it
    #[arg(long, value_name = "RUN.json")]
    pub ceiling: Option<PathBuf>,
    /// The name of the side in comparisons
    #[arg(long, value_name = "TEXT")]
    pub label: Option<String>,
    /// Print the run's JSON instead of the table
    #[arg(long)]
    pub json: bool,
    /// No live line
    #[arg(long, short)]
    pub quiet: bool,
    /// Succeed although the rate was not reached
    #[arg(long)]
    pub accept_missed_rate: bool,
}

impl TargetOptions {
    /// How the brokers are reached.
    pub fn client(&self) -> Result<ClientOptions, Failure> {
        Ok(ClientOptions {
            bootstrap: self.bootstrap_server.clone(),
            security: self.security()?,
            timeout: seconds("--timeout", self.timeout)?,
        })
    }

    fn security(&self) -> Result<Security, Failure> {
        let Some(user) = self.user.clone() else { return Ok(Security::Plaintext) };
        let password = match &self.password_file {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| Failure::File { path: path.clone(), reason: error.to_string() })?;
                text.lines().next().unwrap_or_default().to_owned()
            }
            None => std::env::var("CORELOG_BENCH_PASSWORD").map_err(|_| {
                Failure::Usage("--user needs --password-file or CORELOG_BENCH_PASSWORD".to_owned())
            })?,
        };
        Ok(Security::SaslPlain { user, password })
    }
}

/// A time span of an option.
pub fn seconds(option: &str, value: f64) -> Result<Duration, Failure> {
    Duration::try_from_secs_f64(value)
        .ok()
        .filter(|span| !span.is_zero() && span.as_secs() < 1_000_000)
        .ok_or_else(|| Failure::Usage(format!("{option} is {value}; it must be a number of seconds above 0")))
}

impl ShapeOptions {
    /// The workload with the options laid over it.
    pub fn workload(&self) -> Result<Workload, Failure> {
        let mut workload = self.base()?;
        for (field, value) in self.overrides() {
            set(&mut workload, &format!("{field}={value}"))?;
        }
        for setting in &self.set {
            set(&mut workload, setting)?;
        }
        Ok(workload)
    }

    fn base(&self) -> Result<Workload, Failure> {
        if let Some(path) = &self.replay {
            return Ok(super::files::read_run(path)?.workload);
        }
        let Some(name) = &self.workload else {
            return Ok(Workload { name: "custom".to_owned(), seed: 1, ..Workload::default() });
        };
        let path = PathBuf::from(name);
        if !path.is_file() {
            return workload::named(name).map_err(|error| Failure::Usage(error.to_string()));
        }
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Failure::File { path: path.clone(), reason: error.to_string() })?;
        Workload::from_toml(&text).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))
    }

    /// Fields and values, as `--set` takes them.
    fn overrides(&self) -> Vec<(&'static str, String)> {
        let mut all = vec![];
        let mut add = |field, value: Option<String>| all.extend(value.map(|value| (field, value)));
        add("topic.name", self.topic.as_deref().map(quoted));
        add("topic.partitions", self.partitions.map(|n| n.to_string()));
        add("topic.create", self.create.then(|| "true".to_owned()));
        add("topic.remove", self.create.then(|| "true".to_owned()));
        let records = &self.records;
        add("records.size", records.record_size.as_deref().map(size));
        add("records.keys", records.keys.as_deref().map(keys));
        add(
            "records.values",
            records.compressibility.map(|share| format!("{{ random = {{ compressibility = {share:?} }} }}")),
        );
        let lines =
            |path: &PathBuf| format!("{{ lines = {{ file = {} }} }}", quoted(&path.to_string_lossy()));
        add("records.values", records.lines.as_ref().map(lines));
        add("records.codec", records.codec.as_deref().map(quoted));
        add("records.batch-bytes", records.batch_bytes.map(|n| n.to_string()));
        add("records.encoding", records.encoding.as_deref().map(quoted));
        let pace = &self.pace;
        add("producer.connections", pace.connections.map(|n| n.to_string()));
        add("producer.in-flight", pace.in_flight.map(|n| n.to_string()));
        add(
            "producer.acks",
            pace.acks.as_deref().map(|acks| if acks == "all" { "-1".to_owned() } else { acks.to_owned() }),
        );
        add("producer.linger-ms", pace.linger_ms.map(|ms| format!("{ms:?}")));
        add("producer.rate", pace.rate.map(|rate| format!("{rate:?}")));
        add("producer.idempotent", pace.idempotent.then(|| "true".to_owned()));
        add("consumer.start", pace.start.as_deref().map(quoted));
        add("length.duration-s", pace.duration.map(|s| format!("{s:?}")));
        add("length.warm-up-s", pace.warm_up.map(|s| format!("{s:?}")));
        add("length.records", pace.records.map(|n| n.to_string()));
        add("length.bytes", pace.volume.map(|n| n.to_string()));
        all
    }
}

fn set(workload: &mut Workload, setting: &str) -> Result<(), Failure> {
    workload::set(workload, setting).map_err(|error| Failure::Usage(error.to_string()))
}

/// A TOML string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// `zipf:1000:1.1` as the workload's field has it; what is not of that form is left to the field's own error.
fn keys(text: &str) -> String {
    let mut parts = text.split(':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(kind @ ("uniform" | "sequential")), Some(count), None) => {
            format!("{{ {kind} = {{ count = {count} }} }}")
        }
        (Some("zipf"), Some(count), exponent) => {
            format!("{{ zipf = {{ count = {count}, exponent = {} }} }}", exponent.unwrap_or("1.0"))
        }
        _ => quoted(text),
    }
}

/// `uniform:100:2000` as the workload's field has it.
fn size(text: &str) -> String {
    let parts: Vec<&str> = text.split(':').collect();
    match parts[..] {
        ["uniform", min, max] => format!("{{ uniform = {{ min = {min}, max = {max} }} }}"),
        ["log-normal", median, sigma, max] => {
            format!("{{ log-normal = {{ median = {median}, sigma = {sigma}, max = {max} }} }}")
        }
        [bytes] => format!("{{ fixed = {bytes} }}"),
        _ => quoted(text),
    }
}

/// `10GB` in bytes; units are of 1,000.
fn volume(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 1_u64,
        "K" | "KB" => 1_000,
        "M" | "MB" => 1_000_000,
        "G" | "GB" => 1_000_000_000,
        "T" | "TB" => 1_000_000_000_000,
        unit => return Err(format!("{unit} is no unit; B, KB, MB, GB and TB are")),
    };
    let number: f64 = digits.parse().map_err(|_| "a number, with KB, MB, GB or TB behind it".to_owned())?;
    if number > 0.0 && number.is_finite() {
        Ok((number * unit as f64) as u64)
    } else {
        Err("more than 0".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_as_fields() {
        assert_eq!(keys("none"), "\"none\"");
        assert_eq!(keys("uniform:10"), "{ uniform = { count = 10 } }");
        assert_eq!(keys("zipf:10"), "{ zipf = { count = 10, exponent = 1.0 } }");
        assert_eq!(keys("zipf:10:1.2"), "{ zipf = { count = 10, exponent = 1.2 } }");
    }

    #[test]
    fn sizes_and_volumes_are_written_as_fields() {
        assert_eq!(size("100"), "{ fixed = 100 }");
        assert_eq!(size("uniform:1:9"), "{ uniform = { min = 1, max = 9 } }");
        assert_eq!(
            size("log-normal:500:0.5:4000"),
            "{ log-normal = { median = 500, sigma = 0.5, max = 4000 } }"
        );
        assert_eq!([volume("10"), volume("1.5GB"), volume("2k")], [Ok(10), Ok(1_500_000_000), Ok(2_000)]);
        for wrong in ["", "GB", "-1", "0", "1XB", "1e999"] {
            assert!(volume(wrong).is_err(), "{wrong}");
        }
    }
}
