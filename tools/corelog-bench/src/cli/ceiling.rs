//! `ceiling`: a server that answers at once and stores nothing.

use std::net::ToSocketAddrs;

use clap::Args;

use super::load::cpus;
use super::{Failure, print};
use crate::ceiling;

#[derive(Clone, Debug, Args)]
pub struct CeilingOptions {
    /// Where to listen, HOST:PORT
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092")]
    pub listen: String,
    /// CPUs to serve from [default: all that this process may use]
    #[arg(long, value_name = "LIST")]
    pub cpus: Option<String>,
    /// Partitions of the topics that are asked for
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub partitions: i32,
}

/// Serves until it is interrupted.
pub fn run(options: CeilingOptions) -> Result<(), Failure> {
    let address = options
        .listen
        .to_socket_addrs()
        .ok()
        .and_then(|mut addresses| addresses.next())
        .ok_or_else(|| Failure::Usage(format!("--listen {}: HOST:PORT", options.listen)))?;
    if options.partitions < 1 {
        return Err(Failure::Usage(format!("--partitions {}: at least 1", options.partitions)));
    }
    let wanted = ceiling::CeilingOptions {
        cpus: cpus(options.cpus.as_deref())?,
        partitions: Some(options.partitions),
        ..ceiling::CeilingOptions::on(address)
    };
    let signals = [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM];
    let mut signals = signal_hook::iterator::Signals::new(signals)
        .map_err(|error| Failure::Other(format!("signals cannot be handled: {error}")))?;
    let server = ceiling::Ceiling::start(wanted).map_err(|error| Failure::Other(error.to_string()))?;
    print(&format!("answering at once and storing nothing on {} (Ctrl-C ends it)", server.addresses()[0]))?;
    signals.forever().next();
    Ok(())
}
