//! `corelog serve`: from flags, environment and file to a running broker.
//!
//! Key invariant: the machine is checked before anything is opened; what stands in the way is said in doctor's words.
//! Merging settings is left to `config`, running to `broker`.

use std::path::PathBuf;

use super::connect::name_and_value;
use super::failure::Failure;
use crate::broker::{self, checks};
use crate::config::{BrokerSettings, Flags, Sources};
use crate::handlers::loggers;

/// Where settings come from.
#[derive(Clone, Debug, clap::Args)]
pub struct SettingSources {
    /// A TOML file of settings.
    #[arg(long, env = "CORELOG_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where records and metadata are kept [default: ./data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Number of shards, each with a thread of its own [default: one per CPU that the process may use].
    #[arg(long, value_name = "N")]
    shards: Option<String>,
    /// A setting under Kafka's name, such as num.partitions=4; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    set: Vec<(String, String)>,
}

/// Arguments of `corelog serve`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Each setting may also stand in the environment, such as CORELOG_NUM_PARTITIONS=4. Flags win over \
--set, that over the environment, that over the file. CORELOG_LOG sets what is logged: error, warn, info, debug."
)]
pub struct Serve {
    #[command(flatten)]
    sources: SettingSources,
    /// Where clients connect [default: 127.0.0.1:9092].
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// The address that clients are told to connect to [default: the one listened on].
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// Where operators reach health and metrics over HTTP [default: 127.0.0.1:9644].
    #[arg(long, value_name = "HOST:PORT")]
    admin: Option<String>,
}

impl Serve {
    pub fn run(self) -> Result<(), Failure> {
        let mut flags = self.sources.flags();
        flags.listen = self.listen;
        flags.advertise = self.advertise;
        flags.admin = self.admin;
        let settings = self.sources.load(flags)?;
        start_logging()?;
        broker::use_small_pages();
        raise_open_files();
        let findings = checks::run(&settings);
        for finding in findings.iter().filter(|finding| finding.status == checks::Status::Warn) {
            tracing::warn!("{finding}");
        }
        if findings.iter().any(|finding| finding.status == checks::Status::Fail) {
            let failed = findings.iter().filter(|finding| finding.status == checks::Status::Fail);
            let texts: Vec<String> = failed.map(|finding| format!("  {finding}")).collect();
            return Err(Failure::Failed(format!(
                "this machine cannot run the broker yet:\n{}",
                texts.join("\n")
            )));
        }
        broker::serve(settings).map_err(|error| Failure::Failed(error.to_string()))
    }
}

impl SettingSources {
    /// The flags among them that are settings.
    pub fn flags(&self) -> Flags {
        Flags { data_dir: self.data_dir.clone(), shards: self.shards.clone(), ..Flags::default() }
    }

    /// Merges `flags` with the other sources.
    pub fn load(&self, flags: Flags) -> Result<BrokerSettings, Failure> {
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path)
                .map_err(|source| Failure::Local { place: path.display().to_string(), source })
        };
        let file = self.config.as_ref().map(read).transpose()?;
        // A variable that is no text cannot be a setting.
        let text = |value: std::ffi::OsString| value.into_string().ok();
        let environment: Vec<(String, String)> =
            std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect();
        let sources = Sources { flags, set: &self.set, environment: &environment, file: file.as_deref() };
        BrokerSettings::load(&sources).map_err(|error| Failure::Usage(error.to_string()))
    }
}

/// Takes as many open files as the process may have. What is not enough then, the checks say.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::debug!("the limit of open files cannot be raised: {error}");
    }
}

/// Logs to standard error from now on, at the levels of CORELOG_LOG; clients may change them (KIP-412).
fn start_logging() -> Result<(), Failure> {
    let directives = std::env::var("CORELOG_LOG").unwrap_or_else(|_| "info".to_owned());
    let filter = tracing_subscriber::EnvFilter::try_new(&directives)
        .map_err(|error| Failure::Usage(format!("CORELOG_LOG={directives}: {error}")))?;
    let logging = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let logging = logging.with_ansi(colours).with_filter_reloading();
    let filter = logging.reload_handle();
    logging.try_init().map_err(|error| Failure::Failed(error.to_string()))?;
    loggers::on_change(&directives, move |directives| {
        if let Err(error) = filter.reload(tracing_subscriber::EnvFilter::new(directives)) {
            tracing::error!("log levels cannot be changed: {error}");
        }
    });
    Ok(())
}
