//! Holds connections that do nothing, and tells what they cost the broker.
//!
//! Key invariant: every connection was agreed upon as a client's would be before anything is measured, and answered a request after
//! it: none was counted that the broker had closed. The broker must be a process of this host, whose figures may be read.

use std::time::{Duration, Instant};

use glommio::LocalExecutorBuilder;
use glommio::timer::sleep;
use kafka_protocol::messages::MetadataRequest;

use super::DriveError;
use crate::client::{ClientOptions, Connection};
use crate::host;

/// Connections that may be held: what one address has ports for.
pub const IDLE_CONNECTIONS_MAX: u32 = 25_000;
/// CPU time is read to a hundredth of a second, so that less would say nothing.
pub const HOLD_MIN: Duration = Duration::from_millis(100);

/// What is to be held, and for how long.
#[derive(Clone, Debug)]
pub struct IdlePlan {
    pub options: ClientOptions,
    /// None measures the broker alone.
    pub connections: u32,
    /// After the last connection was opened, before anything is counted.
    pub settle: Duration,
    /// Counted.
    pub hold: Duration,
}

/// What it cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IdleCost {
    /// Time to open all connections, agreements included.
    pub opened_in: Duration,
    /// Before the first connection, in KiB.
    pub resident_before_kib: u64,
    /// With all of them, at the end.
    pub resident_kib: u64,
    /// CPU time of the broker while they were held, and how long that was.
    pub cpu_s: f64,
    pub held: Duration,
}

impl IdleCost {
    /// CPU time as a share of one core.
    pub fn cpu_share(&self) -> f64 {
        self.cpu_s / self.held.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// KiB of resident memory that each connection took; none without connections.
    pub fn connection_kib(&self, connections: u32) -> Option<f64> {
        let grown = self.resident_kib as f64 - self.resident_before_kib as f64;
        (connections > 0).then(|| grown / f64::from(connections))
    }
}

/// Opens the connections, holds them, measures, asks each something, and closes them. `address` is the broker's, `host:port`.
pub fn hold(address: &str, plan: &IdlePlan) -> Result<IdleCost, DriveError> {
    let executor =
        LocalExecutorBuilder::default().make().map_err(|error| DriveError::Thread(error.to_string()))?;
    executor.run(measure(address, plan))
}

async fn measure(address: &str, plan: &IdlePlan) -> Result<IdleCost, DriveError> {
    let unread = |error: host::HostError| DriveError::Unmeasured(error.to_string());
    // What a broker sets up for its first connection ever is not a connection's cost.
    drop(Connection::open(address, &plan.options).await?);
    let pid = host::listening_process(address).ok_or_else(|| {
        let why = format!("no process of this host that may be looked into listens on {address}");
        DriveError::Unmeasured(why)
    })?;
    let before = host::process_memory(pid).map_err(unread)?;
    let began = Instant::now();
    let mut connections = Vec::new();
    for _ in 0..plan.connections {
        connections.push(Connection::open(address, &plan.options).await?);
    }
    let opened_in = began.elapsed();
    sleep(plan.settle).await;
    let from_s = host::process_cpu_s(pid).map_err(unread)?;
    let held = Instant::now();
    sleep(plan.hold).await;
    let (cpu_s, held) = (host::process_cpu_s(pid).map_err(unread)? - from_s, held.elapsed());
    let after = host::process_memory(pid).map_err(unread)?;
    for connection in &mut connections {
        connection.call(&MetadataRequest::default().with_topics(Some(vec![]))).await?;
    }
    let (resident_before_kib, resident_kib) = (before.resident_kib, after.resident_kib);
    Ok(IdleCost { opened_in, resident_before_kib, resident_kib, cpu_s, held })
}
