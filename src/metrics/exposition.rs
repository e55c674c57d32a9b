//! The metrics of all shards in Prometheus' text format (version 0.0.4).
//!
//! Key invariant: every family appears once, with its help and type, before its samples; names end in their unit, and
//! in `_total` for what only grows. Durations are in seconds.

use std::fmt::Write;

use super::groups::LagRow;
use super::histogram::HistogramSnapshot;
use super::shard::{ShardMetrics, Stage};

/// The media type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the exposition tells besides the counters.
pub struct Facts<'a> {
    pub version: &'a str,
    pub cluster_id: &'a str,
    pub node_id: i32,
    pub topics: usize,
    pub partitions: usize,
    /// Whether the broker serves clients.
    pub ready: bool,
}

/// The names of APIs and errors, which stand in rooms above this one.
pub struct Names {
    pub api: fn(i16) -> String,
    pub error: fn(i16) -> String,
}

/// The whole text; the shards are numbered as they stand in `shards`.
pub fn render(shards: &[&ShardMetrics], facts: &Facts<'_>, names: &Names) -> String {
    let mut text = Text(String::with_capacity(16 << 10));
    text.facts(facts);
    text.traffic(shards, names);
    for family in FAMILIES {
        text.family(family.name, family.help, family.kind);
        for (shard, metrics) in shards.iter().enumerate() {
            text.sample(family.name, &[("shard", &shard.to_string())], (family.value)(metrics));
        }
    }
    text.groups(shards);
    text.journal_writes(shards);
    text.stages(shards);
    text.0
}

/// A family with one sample for each committed offset.
struct LagFamily {
    name: &'static str,
    help: &'static str,
    value: fn(&LagRow) -> i64,
}

const LAGS: [LagFamily; 2] = [
    LagFamily {
        name: "corelog_group_committed_offset",
        help: "Committed offsets, some seconds old.",
        value: |row| row.committed,
    },
    LagFamily {
        name: "corelog_group_lag_records",
        help: "Records behind the committed offset, some seconds old.",
        value: |row| row.lag,
    },
];

/// A family with one sample per shard.
struct Family {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    value: fn(&ShardMetrics) -> u64,
}

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

const FAMILIES: &[Family] = &[
    counter("corelog_received_bytes_total", "Bytes received from clients.", |m| {
        m.traffic.received_bytes.get()
    }),
    counter("corelog_sent_bytes_total", "Bytes sent to clients.", |m| m.traffic.sent_bytes.get()),
    counter(
        "corelog_refused_frames_total",
        "Frames refused as malformed, oversized or of an unknown API.",
        |m| m.traffic.refused_frames.get(),
    ),
    counter("corelog_routed_requests_total", "Requests that another shard served in part.", |m| {
        m.traffic.routed.get()
    }),
    counter("corelog_connections_accepted_total", "Connections accepted.", |m| m.connections.accepted.get()),
    counter("corelog_connections_closed_total", "Connections closed.", |m| m.connections.closed.get()),
    counter(
        "corelog_connections_rejected_total",
        "Connections closed at once because a bound was reached.",
        |m| m.connections.rejected.get(),
    ),
    counter("corelog_connections_handed_over_total", "Connections handed to another shard.", |m| {
        m.connections.handed_over.get()
    }),
    counter(
        "corelog_connections_moved_total",
        "Connections that moved to the shard where all of their requests are served.",
        |m| m.connections.moved.get(),
    ),
    gauge("corelog_connections_open", "Connections that are open.", |m| m.connections.open.get()),
    gauge("corelog_partitions", "Partitions owned.", |m| m.logs.partitions.get()),
    gauge("corelog_partitions_offline", "Partitions that could not be opened; the log says why.", |m| {
        m.logs.offline.get()
    }),
    gauge("corelog_logs_poisoned", "Logs that take no appends since a write or flush failed.", |m| {
        m.logs.poisoned.get()
    }),
    counter("corelog_appended_records_total", "Records appended.", |m| m.logs.appended_records.get()),
    counter("corelog_appended_bytes_total", "Bytes of record batches appended.", |m| {
        m.logs.appended_bytes.get()
    }),
    counter("corelog_fetched_bytes_total", "Bytes of record batches read for fetches.", |m| {
        m.logs.fetched_bytes.get()
    }),
    counter(
        "corelog_journal_groups_total",
        "Durable writes of the journal; each answers all appends in it.",
        |m| m.journal.groups.get(),
    ),
    counter("corelog_journal_bytes_total", "Bytes written to the journal, padding included.", |m| {
        m.journal.bytes.get()
    }),
    counter("corelog_bypasses_total", "Durable writes of bulk straight to a segment.", |m| {
        m.journal.bypasses.get()
    }),
    counter("corelog_bypassed_bytes_total", "Bytes written straight to segments.", |m| {
        m.journal.bypassed_bytes.get()
    }),
    counter("corelog_checkpoints_total", "Checkpoints of the journal.", |m| m.journal.checkpoints.get()),
    counter("corelog_journal_room_waits_total", "Writes of the journal that waited for room.", |m| {
        m.journal.room_waits.get()
    }),
    counter("corelog_cache_hits_total", "Reads that the batch cache answered.", |m| m.logs.cache_hits.get()),
    counter("corelog_cache_misses_total", "Reads that went to the device.", |m| m.logs.cache_misses.get()),
    gauge("corelog_cache_bytes", "Bytes that the batch cache holds.", |m| m.logs.cache_bytes.get()),
    gauge("corelog_waiting_fetches", "Fetches that wait for records.", |m| m.logs.waiting_fetches.get()),
    gauge("corelog_producers", "Producer ids that partitions remember.", |m| m.logs.producers.get()),
    counter("corelog_compaction_runs_total", "Rounds of compaction.", |m| m.compaction.runs.get()),
    counter("corelog_compaction_read_bytes_total", "Bytes that compaction read.", |m| {
        m.compaction.read_bytes.get()
    }),
    counter("corelog_compaction_written_bytes_total", "Bytes that compaction wrote.", |m| {
        m.compaction.written_bytes.get()
    }),
    counter("corelog_compaction_removed_records_total", "Records that compaction removed.", |m| {
        m.compaction.removed_records.get()
    }),
    gauge("corelog_compaction_dirty_percent_max", "Share of dirty bytes of the dirtiest log.", |m| {
        m.compaction.dirty_ratio_max_percent.get()
    }),
    gauge("corelog_compaction_map_used_percent", "Use of the memory for keys in the last round.", |m| {
        m.compaction.map_used_percent.get()
    }),
    gauge("corelog_compaction_uncleanable_logs", "Logs whose compaction failed and rests.", |m| {
        m.compaction.uncleanable.get()
    }),
];

const fn counter(name: &'static str, help: &'static str, value: fn(&ShardMetrics) -> u64) -> Family {
    Family { name, help, kind: Kind::Counter, value }
}

const fn gauge(name: &'static str, help: &'static str, value: fn(&ShardMetrics) -> u64) -> Family {
    Family { name, help, kind: Kind::Gauge, value }
}

/// The text as it grows.
struct Text(String);

impl Text {
    fn facts(&mut self, facts: &Facts<'_>) {
        self.family("corelog_build_info", "The broker's version; always 1.", Kind::Gauge);
        let node = facts.node_id.to_string();
        let labels = [("version", facts.version), ("cluster_id", facts.cluster_id), ("node_id", &node)];
        self.sample("corelog_build_info", &labels, 1);
        self.family(
            "corelog_ready",
            "Whether the broker serves clients (1) or starts or stops (0).",
            Kind::Gauge,
        );
        self.sample("corelog_ready", &[], u64::from(facts.ready));
        self.family("corelog_cluster_topics", "Topics of the cluster.", Kind::Gauge);
        self.sample("corelog_cluster_topics", &[], facts.topics as u64);
        self.family("corelog_cluster_partitions", "Partitions of the cluster.", Kind::Gauge);
        self.sample("corelog_cluster_partitions", &[], facts.partitions as u64);
    }

    fn traffic(&mut self, shards: &[&ShardMetrics], names: &Names) {
        let shards =
            || shards.iter().enumerate().map(|(shard, metrics)| (shard.to_string(), &metrics.traffic));
        self.family("corelog_requests_total", "Requests by API.", Kind::Counter);
        for (shard, traffic) in shards() {
            for (key, count) in traffic.requests() {
                self.sample(
                    "corelog_requests_total",
                    &[("shard", &shard), ("api", &(names.api)(key))],
                    count,
                );
            }
        }
        self.family(
            "corelog_errors_total",
            "Errors that clients were answered with, by name.",
            Kind::Counter,
        );
        for (shard, traffic) in shards() {
            for (code, count) in traffic.errors() {
                self.sample(
                    "corelog_errors_total",
                    &[("shard", &shard), ("error", &(names.error)(code))],
                    count,
                );
            }
        }
    }

    fn groups(&mut self, shards: &[&ShardMetrics]) {
        let tables: Vec<_> = shards.iter().map(|metrics| metrics.groups.table()).collect();
        self.family("corelog_groups", "Groups by state.", Kind::Gauge);
        for (shard, table) in tables.iter().enumerate() {
            for (state, count) in &table.states {
                self.sample("corelog_groups", &[("shard", &shard.to_string()), ("state", state)], *count);
            }
        }
        for LagFamily { name, help, value } in LAGS {
            self.family(name, help, Kind::Gauge);
            for row in tables.iter().flat_map(|table| &table.lags) {
                let partition = row.partition.to_string();
                let labels = [("group", &*row.group), ("topic", &*row.topic), ("partition", &partition)];
                self.sample(name, &labels, u64::try_from(value(row)).unwrap_or(0));
            }
        }
        const LEFT_OUT: &str = "corelog_group_offsets_left_out";
        self.family(
            LEFT_OUT,
            "Committed offsets whose lag is not told, since there are too many.",
            Kind::Gauge,
        );
        for (shard, table) in tables.iter().enumerate() {
            self.sample(LEFT_OUT, &[("shard", &shard.to_string())], table.left_out);
        }
    }

    fn journal_writes(&mut self, shards: &[&ShardMetrics]) {
        const NAME: &str = "corelog_journal_write_duration_seconds";
        self.family(
            NAME,
            "How long each durable write of the journal took, wake-up included.",
            Kind::Histogram,
        );
        for (shard, metrics) in shards.iter().enumerate() {
            self.histogram(NAME, &[("shard", &shard.to_string())], &metrics.journal.writes.snapshot());
        }
    }

    fn stages(&mut self, shards: &[&ShardMetrics]) {
        const NAME: &str = "corelog_stage_duration_seconds";
        self.family(
            NAME,
            "How long each stage of a fetch took, and of one in seven produces.",
            Kind::Histogram,
        );
        for (shard, metrics) in shards.iter().enumerate() {
            for stage in Stage::ALL {
                let (api, name) = stage.labels();
                let shard = shard.to_string();
                let labels = [("shard", shard.as_str()), ("api", api), ("stage", name)];
                self.histogram(NAME, &labels, &metrics.stages.histogram(stage).snapshot());
            }
        }
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], snapshot: &HistogramSnapshot) {
        // Beyond half a minute only the count matters.
        const BOUND_US_MAX: u64 = 1 << 25;
        let bucket = format!("{name}_bucket");
        for (bound_us, below) in snapshot.cumulative().take_while(|(bound_us, _)| *bound_us <= BOUND_US_MAX) {
            let bound = (bound_us as f64 / 1e6).to_string();
            self.sample(&bucket, &[labels, &[("le", &bound)]].concat(), below);
        }
        self.sample(&bucket, &[labels, &[("le", "+Inf")]].concat(), snapshot.count);
        self.value(&format!("{name}_sum"), labels, snapshot.sum_us as f64 / 1e6);
        self.sample(&format!("{name}_count"), labels, snapshot.count);
    }

    fn family(&mut self, name: &str, help: &str, kind: Kind) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.value(name, labels, value);
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let mut written = String::new();
        for (label, value) in labels {
            let separator = if written.is_empty() { '{' } else { ',' };
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            written.push(separator);
            written.push_str(label);
            written.push_str("=\"");
            written.push_str(&value);
            written.push('"');
        }
        if !written.is_empty() {
            written.push('}');
        }
        self.line(format_args!("{name}{written} {value}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("writing to a string cannot fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn rendered(shards: &[&ShardMetrics]) -> String {
        let facts =
            Facts { version: "1.2.3", cluster_id: "a\"b", node_id: 7, topics: 2, partitions: 5, ready: true };
        let names = Names { api: |key| format!("Api{key}"), error: |code| format!("Error{code}") };
        render(shards, &facts, &names)
    }

    #[test]
    fn counters_carry_their_shard() {
        let (one, two) = (ShardMetrics::default(), ShardMetrics::default());
        one.traffic.request(3);
        one.traffic.error(42);
        two.traffic.received_bytes.add(100);
        two.connections.open.set(9);
        let text = rendered(&[&one, &two]);
        for line in [
            "corelog_build_info{version=\"1.2.3\",cluster_id=\"a\\\"b\",node_id=\"7\"} 1",
            "corelog_ready 1",
            "corelog_cluster_partitions 5",
            "corelog_requests_total{shard=\"0\",api=\"Api3\"} 1",
            "corelog_errors_total{shard=\"0\",error=\"Error42\"} 1",
            "corelog_received_bytes_total{shard=\"0\"} 0",
            "corelog_received_bytes_total{shard=\"1\"} 100",
            "corelog_connections_open{shard=\"1\"} 9",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn histograms_are_cumulative_and_in_seconds() {
        let shard = ShardMetrics::default();
        shard.stages.record(Stage::ProduceFlush, Duration::from_micros(20));
        shard.stages.record(Stage::ProduceFlush, Duration::from_secs(100));
        let text = rendered(&[&shard]);
        let labels = "shard=\"0\",api=\"produce\",stage=\"flush\"";
        for line in [
            format!("corelog_stage_duration_seconds_bucket{{{labels},le=\"0.000016\"}} 0"),
            format!("corelog_stage_duration_seconds_bucket{{{labels},le=\"0.000032\"}} 1"),
            format!("corelog_stage_duration_seconds_bucket{{{labels},le=\"33.554432\"}} 1"),
            format!("corelog_stage_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 2"),
            format!("corelog_stage_duration_seconds_sum{{{labels}}} 100.00002"),
            format!("corelog_stage_duration_seconds_count{{{labels}}} 2"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn the_journal_tells_how_long_its_writes_take() {
        let shard = ShardMetrics::default();
        shard.journal.writes.record(Duration::from_micros(100));
        let text = rendered(&[&shard]);
        for line in [
            "corelog_journal_write_duration_seconds_bucket{shard=\"0\",le=\"0.000064\"} 0",
            "corelog_journal_write_duration_seconds_bucket{shard=\"0\",le=\"0.000128\"} 1",
            "corelog_journal_write_duration_seconds_count{shard=\"0\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn every_family_is_declared_once_before_its_samples() {
        let shard = ShardMetrics::default();
        shard.traffic.request(0);
        shard.traffic.error(1);
        let text = rendered(&[&shard, &shard]);
        let mut declared = std::collections::BTreeSet::new();
        let mut current = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                current = rest.split(' ').next().unwrap();
                assert!(declared.insert(current), "{current} is declared twice");
            } else if !line.starts_with('#') {
                assert!(
                    line.starts_with(current) && !current.is_empty(),
                    "{line} does not belong to {current}"
                );
                assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
            }
        }
        assert!(declared.len() > 20);
    }
}
