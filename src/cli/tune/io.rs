//! `corelog tune io`: measures the data device and writes the profile that the broker reads when it starts.
//!
//! Key invariant: what it writes is only the profile; the measurement's file has no name and is gone with the process.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::date;
use crate::broker::device::{self, Amount, DeviceProfile};
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::cli::serve::SettingSources;

/// Arguments of `corelog tune io`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It takes about a minute: 17 cases in three rounds, of which the best counts. Each goes over the file at most once, so \
31 times its size is written at most. No broker may run on the directory, and the host should be quiet. The profile is \
io-profile.toml in the data directory: a broker that starts there bounds its journal and its I/O by it; remove the file for \
the default limits."
)]
pub struct Io {
    #[command(flatten)]
    sources: SettingSources,
    /// Size of the file that is measured with, in MiB, 16 to 65536.
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(16..=65_536))]
    size_mib: u32,
    /// How long each case is measured in each round at most, in milliseconds, 10 to 60000.
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(10..=60_000))]
    case_ms: u32,
    /// Print what was measured and write no profile.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Io {
    pub fn run(self) -> Result<(), Failure> {
        let settings = self.sources.load(self.sources.flags())?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let amount = Amount {
            file_bytes: u64::from(self.size_mib) << 20,
            case_time: Duration::from_millis(u64::from(self.case_ms)),
        };
        let tell = |what: &str| eprintln!("measuring: {what}");
        let profile = device::measure(&settings.data_dir, amount, date::utc(now.as_secs()), tell)
            .map_err(|error| Failure::Failed(error.to_string()))?;
        let shards = settings.shards.count.unwrap_or_else(crate::broker::shards_by_default);
        let path = if self.dry_run {
            None
        } else {
            let written = device::write(&settings.data_dir, &profile);
            let failed = |source| Failure::Local { place: settings.data_dir.display().to_string(), source };
            Some(written.map_err(failed)?)
        };
        self.print(&profile, shards, path)
    }

    fn print(&self, profile: &DeviceProfile, shards: u16, path: Option<PathBuf>) -> Result<(), Failure> {
        let limits = device::limits(profile, shards);
        if self.json {
            let profile =
                serde_json::to_value(profile).map_err(|error| Failure::Failed(error.to_string()))?;
            return output::print_json(
                &json!({ "profile": profile, "limits": limits.to_string(), "file": path }),
            );
        }
        let mut text = format!("{}\n", profile.device.told());
        let latencies = [("durable write, 4 KiB", profile.durable_write), ("fdatasync", profile.fdatasync)];
        for (name, latency) in latencies {
            text.push_str(&format!("  {name:38}  p50 {} us, p99 {} us\n", latency.p50_us, latency.p99_us));
        }
        let sequential = [("durable write", &profile.sequential_write), ("read", &profile.sequential_read)];
        for (name, cases) in sequential {
            for case in cases {
                let name = format!("{name}, {} KiB, {} in flight", case.size_bytes >> 10, case.depth);
                text.push_str(&format!("  {name:38}  {}/s\n", output::bytes(case.bytes_per_second)));
            }
        }
        for case in &profile.random_read {
            let name = format!("random read, 4 KiB, {} in flight", case.depth);
            let rate = output::grouped(case.operations_per_second);
            text.push_str(&format!("  {name:38}  {rate} operations/s\n"));
        }
        text.push_str(&format!("limits of each of {shards} shards: {limits}\n"));
        match path {
            Some(path) => text.push_str(&format!("written to {}\n", path.display())),
            None => text.push_str("no profile was written\n"),
        }
        output::print(&text)
    }
}
