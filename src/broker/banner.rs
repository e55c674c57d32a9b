//! What a broker says when it is ready.

use std::io::Write;
use std::time::Duration;

use super::boot::Started;
use crate::config::BrokerSettings;

/// Prints version, data directory, shards and their CPUs, listeners and cluster id.
pub fn print(settings: &BrokerSettings, started: &Started) {
    let image = &started.image;
    let directory = settings.data_dir.canonicalize().unwrap_or_else(|_| settings.data_dir.clone());
    let advertised = image.brokers().next().and_then(|broker| broker.endpoints.first().cloned());
    let advertised = advertised.map(|end| format!("{}:{}", end.host, end.port)).unwrap_or_default();
    let rows = [
        ("data", directory.display().to_string()),
        ("shards", shards(&started.cpus)),
        ("device", started.device.clone()),
        ("kafka", format!("{} (advertised as {advertised})", started.address)),
        ("admin", format!("http://{}/health, /metrics", started.admin)),
        ("cluster", format!("{}, node {}", image.cluster_id(), settings.node.id)),
        ("topics", format!("{}, {} partitions", image.topic_count(), image.partition_count())),
    ];
    let mut out = std::io::stdout().lock();
    let ready = milliseconds(started.took);
    // Nobody may be reading; the broker serves all the same.
    drop(writeln!(out, "corelog {} is ready after {ready}", env!("CARGO_PKG_VERSION")));
    for (name, value) in rows {
        drop(writeln!(out, "  {name:<8} {value}"));
    }
    drop(out.flush());
}

/// How many there are, or which CPU each stays on.
fn shards(cpus: &[Option<usize>]) -> String {
    let pinned =
        cpus.iter().enumerate().filter_map(|(shard, cpu)| Some(format!("{shard} on CPU {}", (*cpu)?)));
    let pinned: Vec<String> = pinned.collect();
    if pinned.is_empty() { cpus.len().to_string() } else { pinned.join(", ") }
}

fn milliseconds(took: Duration) -> String {
    format!("{} ms", took.as_millis())
}
