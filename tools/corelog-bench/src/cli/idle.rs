//! `idle`: connections that do nothing, and what they cost the broker.

use std::time::Duration;

use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::options::{TargetOptions, seconds};
use super::{Failure, print};
use crate::drive::{self, HOLD_MIN, IDLE_CONNECTIONS_MAX, IdleCost, IdlePlan};

/// Longer than this nobody waits for connections that do nothing.
const SETTLE_S_MAX: f64 = 3_600.0;
/// Files that this program has open besides connections.
const FILES_BESIDES: u64 = 64;
/// Bytes in a KiB, per megabyte and per kilobyte of 1,000.
const KIB_PER_MB: f64 = 1e6 / 1_024.0;
const KIB_PER_KB: f64 = 1e3 / 1_024.0;

#[derive(Clone, Debug, Args)]
pub struct IdleOptions {
    #[command(flatten)]
    pub target: TargetOptions,
    /// Connections to open; 0 measures the broker alone
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(0..=i64::from(IDLE_CONNECTIONS_MAX)))]
    pub connections: u32,
    /// Seconds between the last connection and the counted time
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    pub settle: f64,
    /// Seconds that count
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    pub duration: f64,
}

/// Holds, measures, prints a line for each figure: its name and its value.
pub fn run(options: IdleOptions) -> Result<(), Failure> {
    let hold = seconds("--duration", options.duration)?;
    if hold < HOLD_MIN {
        return Err(Failure::Usage(format!(
            "--duration {}: at least {} s",
            options.duration,
            HOLD_MIN.as_secs_f64()
        )));
    }
    if !(0.0..=SETTLE_S_MAX).contains(&options.settle) {
        return Err(Failure::Usage(format!("--settle {}: 0 to {SETTLE_S_MAX} s", options.settle)));
    }
    allow_files(u64::from(options.connections) + FILES_BESIDES)?;
    let plan = IdlePlan {
        options: options.target.client()?,
        connections: options.connections,
        settle: Duration::from_secs_f64(options.settle),
        hold,
    };
    let address = plan.options.bootstrap.first().cloned().unwrap_or_default();
    let cost = drive::hold(&address, &plan)?;
    print(&lines(&cost, options.connections))
}

fn lines(cost: &IdleCost, connections: u32) -> String {
    let mut text = format!(
        "connections {connections}\nopened_s {:.3}\ncpu_percent {:.3}\nrss_mb {:.2}\n",
        cost.opened_in.as_secs_f64(),
        cost.cpu_share() * 100.0,
        cost.resident_kib as f64 / KIB_PER_MB,
    );
    if let Some(kib) = cost.connection_kib(connections) {
        text.push_str(&format!("connection_kb {:.2}\n", kib / KIB_PER_KB));
    }
    text
}

/// Raises the limit of open files as far as needed; fails if the host's limit is below.
fn allow_files(needed: u64) -> Result<(), Failure> {
    let limit = getrlimit(Resource::Nofile);
    let refused = |most: u64| {
        Failure::Usage(format!("{needed} open files are needed and {most} allowed: raise `ulimit -n`"))
    };
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if let Some(most) = limit.maximum.filter(|most| *most < needed) {
        return Err(refused(most));
    }
    let raised = Rlimit { current: Some(needed), maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).map_err(|_| refused(limit.current.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_told_a_line_each_in_decimal_units() {
        let cost = IdleCost {
            opened_in: Duration::from_millis(1_500),
            resident_before_kib: 10_000,
            resident_kib: 12_000,
            cpu_s: 0.02,
            held: Duration::from_secs(4),
        };
        let told = "connections 100\nopened_s 1.500\ncpu_percent 0.500\nrss_mb 12.29\nconnection_kb 20.48\n";
        assert_eq!(lines(&cost, 100), told);
        assert!(!lines(&cost, 0).contains("connection_kb"));
    }
}
