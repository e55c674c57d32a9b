//! The arguments that every client command has, and the runtime it runs on.
//!
//! Key invariant: a client command uses one thread. What it asks the cluster is left to the command.

use std::rc::Rc;
use std::time::Duration;

use super::client::{Cluster, ClusterOptions};
use super::failure::Failure;

/// How to reach a cluster.
#[derive(Clone, Debug, clap::Args)]
pub struct Connect {
    /// Brokers to find the cluster through, several separated by commas.
    #[arg(
        long,
        short = 'b',
        env = "CORELOG_BOOTSTRAP_SERVER",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:9092"
    )]
    bootstrap_server: String,
    /// Milliseconds to wait for a connection or an answer.
    #[arg(long, value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    timeout_ms: u64,
}

impl Connect {
    /// Connects.
    pub async fn cluster(&self) -> Result<Rc<Cluster>, Failure> {
        let timeout = Duration::from_millis(self.timeout_ms);
        let options = ClusterOptions { bootstrap: self.bootstrap_server.clone(), timeout };
        Ok(Cluster::connect(&options).await?)
    }
}

/// Runs a client command to its end on this thread.
pub fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("the runtime cannot start: {error}")))?;
    let done = tokio::task::LocalSet::new().block_on(&runtime, command);
    // A thread that waits for a terminal's input would never end.
    runtime.shutdown_background();
    done
}

/// Reads `NAME=VALUE`.
pub fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(format!("{text:?} is not of the form NAME=VALUE")),
    }
}
