//! From settings to a broker that serves, and back.
//!
//! Key invariants: the order is data directory, port, metadata, shards, banner; a failure at any step leaves nothing
//! running. The thread that calls [`serve`] waits for the signal that ends it.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use glommio::ExecutorJoinHandle;

use super::device::{self, DeviceLimits};
use super::executor::{self, Links, Listening, Plan};
use super::gate::Gate;
use super::{ServeError, cpus, memory, signals};
use crate::cluster::{self, Boot, BootError, Booted, ControllerHandle, Superblock};
use crate::config::{BrokerSettings, Endpoint};
use crate::control::{AdminFacts, ControlParts, ControlThread, Phase, PhaseCell};
use crate::metadata::{Endpoint as PublicEndpoint, Image, Presentation};
use crate::metrics::ShardMetrics;
use crate::model::ShardId;
use crate::network::{self, Loads};
use crate::protocol::api_versions::FEATURES;
use crate::shard::{ShardInbox, inbox, mesh};
use crate::storage::{self, Recovered, Takeover};

/// How long a taken port is tried again: after a crash the kernel closes the old listener only when it has torn down the
/// rings of the process, a moment after the process itself is gone.
const PORT_WAIT_MAX: Duration = Duration::from_secs(1);
const PORT_RETRY_PERIOD: Duration = Duration::from_millis(20);
/// How long the shards may take to listen.
const START_WAIT_MAX: Duration = Duration::from_secs(120);
/// How long the shards may take to close their logs when the broker stops.
const STOP_WAIT_MAX: Duration = Duration::from_millis(4_500);

/// A broker that serves.
pub struct Running {
    inboxes: Vec<ShardInbox>,
    threads: Vec<ExecutorJoinHandle<()>>,
    control: ControlThread,
    phase: PhaseCell,
    /// Holds the lock of the data directory.
    _superblock: Superblock,
}

/// What is told of a broker when it is ready.
pub struct Started {
    pub image: Arc<Image>,
    pub address: SocketAddr,
    pub admin: SocketAddr,
    /// Of each shard, if it stays on one.
    pub cpus: Vec<Option<usize>>,
    /// By what the I/O of the shards is bounded.
    pub device: String,
    pub took: Duration,
}

/// Runs a broker until a signal ends it.
pub fn serve(settings: BrokerSettings) -> Result<(), ServeError> {
    abort_on_panic();
    let signals = signals::catch().map_err(|source| ServeError::Io { path: "signals".into(), source })?;
    let settings = Arc::new(settings);
    let (running, started) = start(&settings)?;
    super::banner::print(&settings, &started);
    let signal = signals.wait();
    tracing::info!("{signal}: stopping");
    running.stop()
}

/// Opens the data directory and the metadata, starts control thread and shards. Returns when every shard listens.
pub fn start(settings: &Arc<BrokerSettings>) -> Result<(Running, Started), ServeError> {
    let began = Instant::now();
    let address = free_address(&settings.listeners.listen)?;
    let (listener, admin) = crate::control::bind(&settings.listeners.admin)?;
    let shards = settings.shards.count.unwrap_or_else(cpus::shards_by_default);
    let presentation = presentation(settings, address, shards)?;
    let public = public_endpoint(settings, address);
    let settings = &Arc::new(settings.with_advertised(&public.host, public.port));
    let features = FEATURES.iter().map(|feature| (feature.name.to_owned(), feature.level)).collect();
    let endpoints = vec![public];
    let Booted { mut superblock, controller, handle } =
        cluster::open(Boot { settings: settings.clone(), endpoints, features })?;
    let image = handle.image();
    let recovered = Arc::new(recover_journals(settings)?);
    remove_strays(settings, &image)?;
    let cpus = cpus::pins(shards, settings.shards.pinned);
    let device = device::load(&settings.data_dir, shards);
    let metrics: Vec<Arc<ShardMetrics>> = cpus.iter().map(|_| Arc::default()).collect();
    let phase = PhaseCell::default();
    let facts = AdminFacts {
        version: env!("CARGO_PKG_VERSION"),
        node: settings.node.id,
        phase: phase.clone(),
        shards: metrics.clone(),
    };
    let Shards { inboxes, threads, ready } = start_shards(ShardsPlan {
        settings,
        controller: &handle,
        address,
        presentation,
        cpus: &cpus,
        metrics: &metrics,
        recovered,
        device: device.limits,
    })?;
    for inbox in &inboxes {
        // Before the controller runs: a shard must not see a newer image first. Partitions serve as they become ready;
        // the broker listens before the last of them is recovered.
        drop(block_on(inbox.publish(image.clone())));
    }
    let parts = ControlParts { listener, controller, handle: handle.clone(), shards: inboxes.clone(), facts };
    let control = ControlThread::start(parts)?;
    let cpus = wait_until_listening(&ready, cpus.len())?;
    superblock.stamp(uuid::Uuid::new_v4()).map_err(BootError::from)?;
    phase.set(Phase::Ready);
    let running = Running { inboxes, threads, control, phase, _superblock: superblock };
    Ok((running, Started { image, address, admin, cpus, device: device.told, took: began.elapsed() }))
}

impl Running {
    /// Stops every shard, then the control thread. An error means that some log was not closed in time.
    fn stop(self) -> Result<(), ServeError> {
        self.phase.set(Phase::Stopping);
        let stopping: Vec<_> = self.inboxes.iter().map(|inbox| block_on(inbox.stop())).collect();
        let (done, waited) = channel();
        // Waits beside this thread, so that a shard that hangs cannot keep the broker from ending.
        std::thread::spawn(move || {
            let clean = stopping.into_iter().map(block_on).filter(Result::is_err).count() == 0;
            let _ = done.send(clean);
        });
        let clean = waited.recv_timeout(STOP_WAIT_MAX).unwrap_or(false);
        if !clean {
            return Err(ServeError::Unclean);
        }
        for thread in self.threads {
            // The shard has reported; what its thread returns adds nothing.
            drop(thread.join());
        }
        self.control.stop();
        Ok(())
    }
}

/// Puts the directories of deleted topics out of the way; the shards remove them.
fn remove_strays(settings: &BrokerSettings, image: &Image) -> Result<(), ServeError> {
    let exists =
        |topic: &str, partition| image.topic(topic).is_some_and(|topic| topic.partition(partition).is_some());
    let failed = |source| ServeError::Io { path: settings.data_dir.clone(), source };
    storage::set_aside_strays(&settings.data_dir, exists).map_err(failed)?;
    Ok(())
}

/// Reads the journals of earlier starts. What cannot be read is named; the partitions it may concern stay offline.
fn recover_journals(settings: &BrokerSettings) -> Result<Recovered, ServeError> {
    let failed = |source| ServeError::Io { path: settings.data_dir.clone(), source };
    let files = storage::load_journals(&settings.data_dir).map_err(failed)?;
    let recovered = storage::plan_replay(files)?;
    for damage in recovered.damages() {
        tracing::error!("{damage}");
    }
    Ok(recovered)
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
    match free(address) {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Err(ServeError::PortTaken { address: text })
        }
        found => found.map_err(failed),
    }
}

/// The address, once nobody listens on it, with the port that the system chose if it named none.
fn free(address: SocketAddr) -> std::io::Result<SocketAddr> {
    let deadline = Instant::now() + PORT_WAIT_MAX;
    loop {
        match network::probe(address) {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                std::thread::sleep(PORT_RETRY_PERIOD);
            }
            found => return found,
        }
    }
}

/// As what clients are to see the broker, which listens on `address`. Ports of shards are found free like its own.
fn presentation(
    settings: &BrokerSettings,
    address: SocketAddr,
    shards: u16,
) -> Result<Presentation, ServeError> {
    let node = settings.node.id;
    let Some(ports) = settings.listeners.shard_ports(address.port(), shards)? else {
        return Ok(Presentation::whole(node));
    };
    for shard in 0..shards {
        let address = SocketAddr::new(address.ip(), ports.port(ShardId(shard)));
        free(address).map_err(|source| match source.kind() {
            std::io::ErrorKind::AddrInUse => ServeError::ShardPortTaken { address },
            _ => ServeError::Listen { address: address.to_string(), source },
        })?;
    }
    Ok(Presentation::per_shard(node, ports))
}

/// The shards while they start.
struct Shards {
    inboxes: Vec<ShardInbox>,
    threads: Vec<ExecutorJoinHandle<()>>,
    ready: Ready,
}

type Ready = Receiver<Result<Listening, String>>;

/// What the shards are started with.
struct ShardsPlan<'a> {
    settings: &'a Arc<BrokerSettings>,
    controller: &'a ControllerHandle,
    address: SocketAddr,
    presentation: Presentation,
    cpus: &'a [Option<usize>],
    metrics: &'a [Arc<ShardMetrics>],
    recovered: Arc<Recovered>,
    device: DeviceLimits,
}

fn start_shards(plan: ShardsPlan<'_>) -> Result<Shards, ServeError> {
    let ShardsPlan { settings, controller, address, presentation, cpus, metrics, recovered, device } = plan;
    let shards = cpus.len() as u16;
    let takeover = Arc::new(Takeover::new(&recovered, shards));
    let gate = Arc::new(Gate::new(shards));
    let memory = memory::per_shard(memory::usable_bytes(), shards, settings);
    let loads = Loads::new(shards);
    let (ready_sender, ready) = channel();
    let mut meshes = if shards > 1 { mesh(shards) } else { vec![] };
    let (mut inboxes, mut threads) = (vec![], vec![]);
    for cpu in cpus {
        let (inbox, notices) = inbox();
        let plan = Plan {
            shards,
            cpu: *cpu,
            address,
            presentation,
            settings: settings.clone(),
            memory,
            metrics: metrics.to_vec(),
            loads: loads.clone(),
            recovered: recovered.clone(),
            takeover: takeover.clone(),
            device,
            gate: gate.clone(),
        };
        let links = Links {
            mesh: meshes.pop(),
            notices,
            controller: controller.clone(),
            ready: ready_sender.clone(),
        };
        let thread = executor::start(plan, links).map_err(ServeError::Shard)?;
        inboxes.push(inbox);
        threads.push(thread);
    }
    Ok(Shards { inboxes, threads, ready })
}

/// Waits for every shard; returns the CPU of each that stays on one, by its number.
fn wait_until_listening(ready: &Ready, shards: usize) -> Result<Vec<Option<usize>>, ServeError> {
    let deadline = Instant::now() + START_WAIT_MAX;
    let mut cpus = vec![None; shards];
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
