//! From settings to a broker that serves, and back.
//!
//! Key invariants: the order is data directory, port, metadata, shards, banner; a failure at any step leaves nothing
//! running. The thread that calls [`serve`] becomes the control thread.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use glommio::ExecutorJoinHandle;

use super::executor::{self, Links, Listening, Plan};
use super::{ServeError, cpus, memory, signals};
use crate::cluster::{
    Controller, ControllerHandle, ControllerParts, ImageSink, Published, Store, Superblock, SuperblockFacts,
};
use crate::config::{BrokerSettings, Endpoint};
use crate::metadata::plan::{InitCluster, StartBroker};
use crate::metadata::{ClusterId, Endpoint as PublicEndpoint, Image};
use crate::metrics::ShardMetrics;
use crate::network::Loads;
use crate::protocol::api_versions::METADATA_VERSION;
use crate::shard::{ShardInbox, inbox, mesh};

/// How long the shards may take to listen.
const START_WAIT_MAX: Duration = Duration::from_secs(120);
/// How long the shards may take to close their logs when the broker stops.
const STOP_WAIT_MAX: Duration = Duration::from_millis(4_500);

/// The shards of a broker that runs.
pub struct Running {
    inboxes: Vec<ShardInbox>,
    threads: Vec<ExecutorJoinHandle<()>>,
}

/// A broker whose shards listen, before its control loop.
pub struct Started {
    pub running: Running,
    pub controller: Controller,
    pub handle: ControllerHandle,
    pub metrics: Vec<Arc<ShardMetrics>>,
    pub address: SocketAddr,
    pub cpus: Vec<usize>,
    /// Holds the lock of the data directory.
    pub superblock: Superblock,
    pub took: Duration,
}

/// A shard as the controller sees it.
struct ShardSink(ShardInbox);

impl ImageSink for ShardSink {
    fn publish(&self, image: Arc<Image>) -> Published {
        let inbox = self.0.clone();
        Box::pin(async move { inbox.publish(image).await.await.is_ok() })
    }
}

/// Runs a broker until a signal ends it.
pub fn serve(settings: BrokerSettings) -> Result<(), ServeError> {
    abort_on_panic();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| ServeError::Io { path: "the control thread".into(), source })?;
    let settings = Arc::new(settings);
    let started = runtime.block_on(start(settings.clone()))?;
    super::banner::print(&settings, &started);
    runtime.block_on(control(started))
}

/// Serves the control plane until a signal comes, then stops the shards.
async fn control(started: Started) -> Result<(), ServeError> {
    let Started { mut running, controller, handle, superblock, .. } = started;
    let (stop, stopped) = oneshot::channel::<()>();
    let sinks: Vec<Box<dyn ImageSink>> = running
        .inboxes
        .iter()
        .map(|inbox| Box::new(ShardSink(inbox.clone())) as Box<dyn ImageSink>)
        .collect();
    let controlling = controller.run(sinks, async move { drop(stopped.await) });
    let ending = async {
        let signal = signals::termination().await;
        tracing::info!("{signal}: stopping");
        let clean = running.stop().await;
        drop(stop);
        clean
    };
    let ((), clean) = tokio::join!(controlling, ending);
    drop((handle, superblock));
    if clean { Ok(()) } else { Err(ServeError::ShardLost) }
}

impl Running {
    /// Stops every shard; true if all of them closed their logs.
    async fn stop(&mut self) -> bool {
        let mut acknowledged = vec![];
        for inbox in &self.inboxes {
            acknowledged.push(inbox.stop().await);
        }
        let all = async {
            let mut clean = true;
            for shard in acknowledged {
                clean &= shard.await.is_ok();
            }
            clean
        };
        let clean = tokio::time::timeout(STOP_WAIT_MAX, all).await.unwrap_or(false);
        if clean {
            for thread in self.threads.drain(..) {
                // The shard has reported; what its thread returns adds nothing.
                drop(thread.join());
            }
        }
        clean
    }
}

/// Opens the data directory and the metadata, and starts the shards. Returns when every shard listens.
pub async fn start(settings: Arc<BrokerSettings>) -> Result<Started, ServeError> {
    let began = Instant::now();
    let superblock = open_data_directory(&settings)?;
    let address = free_address(&settings.listeners.listen)?;
    let (controller, handle) = open_metadata(&settings, &superblock, address)?;
    let cpus = cpus::allowed();
    let shards = settings.shards.unwrap_or(u16::try_from(cpus.len()).unwrap_or(u16::MAX));
    let cpus = cpus::assign(&cpus, shards);
    let metrics: Vec<Arc<ShardMetrics>> = cpus.iter().map(|_| Arc::default()).collect();
    let (running, ready) = start_shards(&settings, &handle, address, &cpus, &metrics)?;
    let image = handle.image();
    let mut acknowledged = vec![];
    for inbox in &running.inboxes {
        acknowledged.push(inbox.publish(image.clone()).await);
    }
    let cpus = wait_until_listening(&ready, cpus.len())?;
    for shard in acknowledged {
        shard.await.map_err(|_| ServeError::ShardLost)?;
    }
    let took = began.elapsed();
    Ok(Started { running, controller, handle, metrics, address, cpus, superblock, took })
}

fn open_data_directory(settings: &BrokerSettings) -> Result<Superblock, ServeError> {
    let cluster_id = match &settings.node.cluster_id {
        Some(text) => text.parse().map_err(|_| ServeError::ClusterId(text.clone()))?,
        None => ClusterId(uuid::Uuid::new_v4()),
    };
    let fresh = SuperblockFacts::fresh(cluster_id, settings.node.id, uuid::Uuid::new_v4());
    Ok(Superblock::open(&settings.data_dir, fresh)?)
}

fn open_metadata(
    settings: &Arc<BrokerSettings>,
    superblock: &Superblock,
    address: SocketAddr,
) -> Result<(Controller, ControllerHandle), ServeError> {
    let (store, image) = Store::open(&superblock.directory().join("metadata"), settings.node.id)?;
    let parts = ControllerParts {
        store,
        image,
        settings: settings.clone(),
        new_id: Box::new(uuid::Uuid::new_v4),
    };
    let (mut controller, handle) = Controller::new(parts);
    let features = [(METADATA_VERSION.name.to_owned(), METADATA_VERSION.level)].into();
    let cluster = InitCluster { cluster_id: superblock.facts().cluster_id, features };
    controller.submit_at_start(cluster)??;
    let endpoint = public_endpoint(settings, address);
    let start = StartBroker {
        broker: settings.node.id,
        endpoints: vec![endpoint],
        rack: settings.node.rack.clone(),
    };
    controller.submit_at_start(start)??;
    Ok((controller, handle))
}

/// What clients are told to connect to: as configured, else the address that the broker listens on.
fn public_endpoint(settings: &BrokerSettings, address: SocketAddr) -> PublicEndpoint {
    let listen = &settings.listeners.listen;
    let (host, port) = match &settings.listeners.advertise {
        Some(advertised) if advertised.port == 0 => (advertised.host.clone(), address.port()),
        Some(advertised) => (advertised.host.clone(), advertised.port),
        None if listen.is_any_address() => (address.ip().to_string(), address.port()),
        None => (listen.host.clone(), address.port()),
    };
    PublicEndpoint { listener: "PLAINTEXT".into(), host, port }
}

/// The address to listen on, which nobody else listens on. Shards share the port (`SO_REUSEPORT`), so a second broker
/// would share it too without a word; binding once without that option finds the port taken.
fn free_address(listen: &Endpoint) -> Result<SocketAddr, ServeError> {
    let text = listen.to_string();
    let host = if listen.host.is_empty() { "0.0.0.0" } else { &listen.host };
    let failed = |source| ServeError::Listen { address: text.clone(), source };
    let resolved = (host, listen.port).to_socket_addrs().map_err(failed)?.next();
    let address = resolved.ok_or_else(|| failed(std::io::ErrorKind::AddrNotAvailable.into()))?;
    match std::net::TcpListener::bind(address) {
        Ok(probe) => probe.local_addr().map_err(failed),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Err(ServeError::PortTaken { address: text })
        }
        Err(error) => Err(failed(error)),
    }
}

type Ready = Receiver<Result<Listening, String>>;

fn start_shards(
    settings: &Arc<BrokerSettings>,
    controller: &ControllerHandle,
    address: SocketAddr,
    cpus: &[usize],
    metrics: &[Arc<ShardMetrics>],
) -> Result<(Running, Ready), ServeError> {
    let shards = cpus.len() as u16;
    let memory = memory::per_shard(memory::usable_bytes(), shards, settings);
    let loads = Loads::new(shards);
    let (ready_sender, ready) = channel();
    let mut meshes = if shards > 1 { mesh(shards) } else { vec![] };
    let mut running = Running { inboxes: vec![], threads: vec![] };
    for cpu in cpus {
        let (inbox, notices) = inbox();
        let plan = Plan {
            shards,
            cpu: *cpu,
            address,
            data_dir: settings.data_dir.clone(),
            settings: settings.clone(),
            memory,
            metrics: metrics.to_vec(),
            loads: loads.clone(),
        };
        let links =
            Links { mesh: meshes.pop(), notices, controller: controller.clone(), ready: ready_sender.clone() };
        let thread = executor::start(plan, links).map_err(ServeError::Shard)?;
        running.inboxes.push(inbox);
        running.threads.push(thread);
    }
    Ok((running, ready))
}

/// Waits for every shard; returns the CPU of each, by its number.
fn wait_until_listening(ready: &Ready, shards: usize) -> Result<Vec<usize>, ServeError> {
    let deadline = Instant::now() + START_WAIT_MAX;
    let mut cpus = vec![0; shards];
    for _ in 0..shards {
        match ready.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Ok(listening)) => cpus[listening.shard.index()] = listening.cpu,
            Ok(Err(reason)) => return Err(ServeError::Shard(reason)),
            Err(_) => return Err(ServeError::ShardLost),
        }
    }
    Ok(cpus)
}

/// A shard that panicked holds partitions that nobody else can serve, so the whole broker ends at once: what it
/// acknowledged is on the device, and a supervisor starts it anew.
fn abort_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
}
