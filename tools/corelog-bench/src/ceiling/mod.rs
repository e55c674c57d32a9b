//! A server that answers Kafka requests at once and stores nothing: what the load generator itself costs is measured
//! against it, and its faults let tests see stalls, lost connections and moving leaders.
//!
//! Key invariant: every byte of a request is received, and every answer is well formed, but nothing is kept: a fetch gets
//! one hot batch again and again, at whatever offset it asks for. It plays as many brokers as it listens on addresses.

mod answers;
mod connection;
mod control;
mod executors;
mod faults;
mod fetch;
mod heads;
mod hot;
mod intake;
mod offered;
mod shared;

use std::net::SocketAddr;
use std::sync::Arc;

pub use faults::{Faults, Stall};
pub use offered::Offered;

use executors::Executors;
use shared::Shared;

/// The offset that partitions claim to have reached, whatever was sent.
pub const END_OFFSET: i64 = 1 << 40;

/// What the server is to be.
#[derive(Clone, Debug)]
pub struct CeilingOptions {
    /// One address for each broker that is played; broker ids count from 0. Port 0 leaves the port to the system.
    pub listen: Vec<SocketAddr>,
    /// One executor on each of these CPUs; without any, one executor anywhere.
    pub cpus: Vec<usize>,
    /// Partitions of topics that nobody created; `None`: such topics do not exist.
    pub partitions: Option<i32>,
    /// User and password that SASL/PLAIN demands.
    pub login: Option<(String, String)>,
    pub offered: Offered,
    /// Size of the hot batch that every fetched partition gets.
    pub batch_bytes: usize,
    pub faults: Faults,
}

impl CeilingOptions {
    /// A single broker without faults, on one executor.
    pub fn on(address: SocketAddr) -> Self {
        Self {
            listen: vec![address],
            cpus: vec![],
            partitions: Some(16),
            login: None,
            offered: Offered::newest(),
            batch_bytes: 1 << 20,
            faults: Faults::default(),
        }
    }
}

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum CeilingError {
    #[error("cannot listen on {address}: {reason}")]
    Listen { address: SocketAddr, reason: String },
    #[error("no address to listen on was given")]
    NoAddress,
    #[error("leaders can only move between two brokers or more: give more addresses")]
    OneBroker,
    /// Often too little locked memory, or no such CPU.
    #[error("cannot start an executor{}: {reason}", place.map_or_else(String::new, |cpu| format!(" on CPU {cpu}")))]
    Executor { place: Option<usize>, reason: String },
}

/// A running server; stops when it is dropped.
#[derive(Debug)]
pub struct Ceiling {
    shared: Arc<Shared>,
    _executors: Executors,
}

impl Ceiling {
    /// Starts the server on threads of its own; once this returns, connections are accepted.
    pub fn start(options: CeilingOptions) -> Result<Self, CeilingError> {
        if options.listen.is_empty() {
            return Err(CeilingError::NoAddress);
        }
        if options.faults.move_leaders_after.is_some() && options.listen.len() < 2 {
            return Err(CeilingError::OneBroker);
        }
        let cpus = options.cpus.clone();
        let listeners = executors::listen(&options.listen)?;
        let addresses = listeners.iter().map(|listener| listener.address).collect();
        let shared = Arc::new(Shared::new(options, addresses));
        let executors = Executors::start(&shared, &cpus, listeners)?;
        Ok(Self { shared, _executors: executors })
    }

    /// Where it listens, broker by broker.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.shared.addresses()
    }

    /// The first reasons for which connections were closed on clients, such as requests that could not be read.
    pub fn complaints(&self) -> Vec<String> {
        self.shared.complaints()
    }

    /// Produce requests seen so far; counted only with faults.
    pub fn produce_requests(&self) -> u64 {
        self.shared.produce_requests()
    }
}

/// Serves until `stop` is done.
pub fn serve(options: CeilingOptions, stop: impl Future<Output = ()>) -> Result<(), CeilingError> {
    let ceiling = Ceiling::start(options)?;
    futures_lite::future::block_on(stop);
    drop(ceiling);
    Ok(())
}
