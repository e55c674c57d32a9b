//! One shard's life: its executor, from the first file it opens to its last log closed.
//!
//! Key invariants: glommio's direct-I/O probe is the first thing that happens on an executor (see `io::Disk::open`); the
//! listener opens when the shard acts by its first image; when a shard has stopped, everything that it acknowledged
//! is on the device and its logs need no scan at the next start.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use futures_channel::oneshot;
use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement, Task};

use super::device::DeviceLimits;
use super::gate::Gate;
use super::{memory, turns};
use crate::cluster::ControllerHandle;
use crate::config::BrokerSettings;
use crate::handlers::{Entrance, Server};
use crate::io::{Disk, DiskLimits};
use crate::metadata::Presentation;
use crate::metrics::ShardMetrics;
use crate::model::ShardId;
use crate::network::{self, Loads, Network};
use crate::shard::{Mesh, Notice, Notices, Router, Shard, ShardParts};
use crate::storage::{self, JournalStart, Recovered, Store, StoreLimits, Takeover};

/// How long connections may finish their answers when the broker stops.
const DRAIN_WAIT: Duration = Duration::from_millis(200);

/// How long logs are written to their segments when the broker stops. After that they are left to the journal, so that a
/// stop with thousands of partitions ends in time.
const CLOSE_WAIT: Duration = Duration::from_millis(2_500);

/// What a shard is started with; it travels to the shard's thread.
pub struct Plan {
    pub shards: u16,
    /// The CPU that the shard stays on; else it runs where the kernel finds room.
    pub cpu: Option<usize>,
    pub address: SocketAddr,
    pub presentation: Presentation,
    pub settings: Arc<BrokerSettings>,
    pub memory: Memory,
    /// Of every shard, by its number.
    pub metrics: Vec<Arc<ShardMetrics>>,
    pub loads: Arc<Loads>,
    /// What earlier starts left in the journals.
    pub recovered: Arc<Recovered>,
    pub takeover: Arc<Takeover>,
    /// Bounds of journal and direct I/O.
    pub device: DeviceLimits,
    /// No shard listens before all know the topics.
    pub gate: Arc<Gate>,
}

/// The memory of one shard, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pub cache_bytes: u64,
    pub request_bytes: u64,
}

/// The ends of the channels that a shard holds.
pub struct Links {
    pub mesh: Option<Mesh<Shard>>,
    pub notices: Notices,
    pub controller: ControllerHandle,
    /// Told once: the shard listens, or why it does not.
    pub ready: Sender<Result<Listening, String>>,
}

/// A shard that listens.
#[derive(Clone, Copy, Debug)]
pub struct Listening {
    pub shard: ShardId,
    /// The CPU that the shard stays on; else it runs where the kernel finds room.
    pub cpu: Option<usize>,
}

/// Starts the thread of one shard.
pub fn start(plan: Plan, links: Links) -> Result<ExecutorJoinHandle<()>, String> {
    LocalExecutorBuilder::new(plan.cpu.map_or(Placement::Unbound, Placement::Fixed))
        .name("shard")
        .spawn(move || async move {
            let ready = links.ready.clone();
            if let Err(reason) = run(plan, links).await {
                // The boot waits for this; after a start that succeeded nobody does.
                drop(ready.send(Err(reason)));
            }
        })
        .map_err(|error| error.to_string())
}

async fn run(mut plan: Plan, links: Links) -> Result<(), String> {
    let Links { mesh, mut notices, controller, ready } = links;
    if let Err(error) = turns::ask_for_short_turns() {
        tracing::debug!(%error, "a shard waits for its CPU as long as any other thread");
    }
    let disk =
        Disk::open(&plan.settings.data_dir, DiskLimits { io: plan.device.io, ..DiskLimits::default() }).await;
    // Joining waits for every shard, so a shard that cannot go on joins first and reports after.
    let ends = match mesh {
        Some(mesh) => Some(mesh.join().await.map_err(|error| error.to_string())?),
        None => None,
    };
    // The mesh numbers its peers; nothing else may number the shards.
    let id = ShardId(ends.as_ref().map_or(0, |(senders, _)| senders.peer_id() as u16));
    let disk = disk.map_err(|error| format!("{}: {error}", plan.settings.data_dir.display()))?;
    let store = open_store(&mut plan, disk, id).await?;
    let shard = Shard::new(ShardParts {
        id,
        shards: plan.shards,
        settings: plan.settings.clone(),
        request_bytes_max: plan.memory.request_bytes,
        metrics: plan.metrics.get(id.index()).cloned().unwrap_or_default(),
        store,
    });
    if let Some(ends) = ends {
        Router::run(&shard, Shard::router, ends);
    }
    let server = Server::new(shard.clone(), controller, plan.presentation);
    let connections = Network::new(server.clone(), plan.loads.clone());
    // Not among the tasks that a stop ends: answers leave to the last.
    glommio::spawn_local(connections.clone().send()).detach();
    let mut tasks = vec![
        glommio::spawn_local(connections.clone().adopt()),
        glommio::spawn_local(connections.clone().close_idle()),
        glommio::spawn_local(shard.clone().maintain()),
        glommio::spawn_local(shard.clone().host_coordinators()),
        glommio::spawn_local(shard.clone().watch_groups()),
    ];
    if id == ShardId(0) {
        tasks.push(glommio::spawn_local(remove_leftovers(shard.clone())));
    }
    let mut listeners = vec![];
    while let Some(notice) = notices.next().await {
        match notice {
            Notice::Image { image, done } => {
                let opening = shard.follow(image).await;
                if listeners.is_empty() {
                    plan.gate.pass().await;
                    listeners = listen(&plan, id, &connections).map_err(|error| error.to_string())?;
                    drop(ready.send(Ok(Listening { shard: id, cpu: plan.cpu })));
                    glommio::spawn_local(take_over(shard.clone(), plan.takeover.clone(), opening, done))
                        .detach();
                    continue;
                }
                glommio::spawn_local(acknowledge(opening, done)).detach();
            }
            Notice::Stop { done } => {
                tasks.append(&mut listeners);
                stop(&server, &connections, tasks, done).await;
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Opens the shard's listeners: the one that it shares with the others and, if shards are nodes, its own.
fn listen(plan: &Plan, id: ShardId, network: &Rc<Network>) -> io::Result<Vec<Task<()>>> {
    let backlog = plan.settings.network.listen_backlog;
    let socket = network::bind(plan.address, backlog)?;
    let mut listeners = vec![glommio::spawn_local(network.clone().listen(socket, Entrance::Broker))];
    if let Some(ports) = plan.presentation.shard_ports() {
        let socket = network::bind_own(SocketAddr::new(plan.address.ip(), ports.port(id)), backlog)?;
        listeners.push(glommio::spawn_local(network.clone().listen(socket, Entrance::Shard)));
    }
    Ok(listeners)
}

/// Opens the shard's storage with a journal of its own.
async fn open_store(plan: &mut Plan, disk: Rc<Disk>, id: ShardId) -> Result<Rc<Store>, String> {
    let limits = StoreLimits {
        cache_bytes_max: plan.memory.cache_bytes,
        open_files_max: memory::open_files_per_shard(plan.shards),
        journal: memory::journal_limits(&plan.memory, plan.device.journal),
        ..StoreLimits::default()
    };
    let start = JournalStart {
        shard: id.0,
        journal: uuid::Uuid::new_v4().as_u64_pair().0,
        // Not kept beside the store: it lets go of it once every partition is open.
        recovered: std::mem::replace(&mut plan.recovered, Arc::new(Recovered::none())),
    };
    Store::open(disk, limits, start).await.map_err(|error| error.to_string())
}

/// Removes what earlier deletions left behind; it must not hold up the start.
async fn remove_leftovers(shard: Rc<Shard>) {
    match storage::remove_leftovers(shard.store().disk()).await {
        Ok(0) => {}
        Ok(removed) => tracing::info!("{removed} directories of deleted partitions are removed"),
        Err(error) => tracing::warn!("deleted partitions are not removed: {error}"),
    }
}

/// Tells that an image is in force once its partitions are open. The next image need not wait for that: at the start
/// there may be much to recover, and partitions serve as they become ready.
async fn acknowledge(opening: Vec<Task<()>>, done: oneshot::Sender<()>) {
    for task in opening {
        task.await;
    }
    // The controller may have stopped waiting.
    let _ = done.send(());
}

/// Once the partitions of the first image are open, puts what earlier starts left where this one looks for it.
async fn take_over(
    shard: Rc<Shard>,
    takeover: Arc<Takeover>,
    opening: Vec<Task<()>>,
    done: oneshot::Sender<()>,
) {
    acknowledge(opening, done).await;
    if let Err(error) = takeover.complete(shard.store(), shard.table().offline()).await {
        tracing::error!("what was recovered stays in the journals of earlier starts: {error}");
    }
}

/// Stops taking work, lets what is in hand finish, and closes every log.
async fn stop(server: &Rc<Server>, network: &Rc<Network>, tasks: Vec<Task<()>>, done: oneshot::Sender<()>) {
    server.stop();
    for task in tasks {
        task.cancel().await;
    }
    glommio::timer::sleep(DRAIN_WAIT).await;
    network.shut_down();
    let store = server.shard().store().clone();
    let hurrying = {
        let store = store.clone();
        glommio::spawn_local(async move {
            glommio::timer::sleep(CLOSE_WAIT).await;
            store.hurry();
        })
    };
    server.shard().table().close().await;
    hurrying.cancel().await;
    match store.close().await {
        Ok(0) => {}
        Ok(left) => {
            tracing::info!("{left} partitions were closed in a hurry; the next start replays the journal")
        }
        Err(error) => {
            tracing::error!("the last checkpoint failed; the next start replays the journal: {error}")
        }
    }
    server.shard().store().disk().quiesce().await;
    let _ = done.send(());
}
