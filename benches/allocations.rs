//! Counts what one small Produce request allocates, from the parsed frame to its encoded answer, journal included.
//!
//! `cargo bench --bench allocations --features foreign-allocator`: two shards in this process, `IN_FLIGHT` requests at a time
//! as a pipelining producer sends them, each with one record of 1 KB. A case with the log alone tells what of it the storage engine takes. Data goes to a
//! directory under `target/` and is removed.
//!
//! Key invariant: allocations of all threads count, and nothing but the measured requests runs meanwhile; making the
//! requests' own bytes, which a connection does, counts as one allocation of each.
#![allow(clippy::print_stdout)] // A benchmark's answer is what it prints.

use std::alloc::{GlobalAlloc, Layout};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use corelog::broker::UnreservedAllocator;
use corelog::cluster::{self, Boot, Booted, ControllerHandle};
use corelog::config::BrokerSettings;
use corelog::handlers::{self, Client, Entrance, Outcome, Server};
use corelog::io::{Disk, DiskLimits};
use corelog::metadata::{Command, Image, LogId, Presentation};
use corelog::model::{Offset, PartitionIndex, ShardId, TimestampMs, TopicId, TopicPartition, owner_shard};
use corelog::protocol::{encode_request, parse_header};
use corelog::record::builder::{BatchBuilder, NewRecord};
use corelog::record::{BatchHeader, Codec};
use corelog::shard::{Mesh, Router, Shard, ShardParts, mesh};
use corelog::storage::{JournalStart, Recovered, Store, StoreLimits};
use glommio::{LocalExecutorBuilder, Placement};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest, TopicName};
use kafka_protocol::protocol::StrBytes;

const SHARDS: u16 = 2;
const IN_FLIGHT: usize = 16;
/// Rounds of `IN_FLIGHT` requests that are not counted, and that are.
const ROUNDS_WARM: usize = 100;
const ROUNDS: usize = 500;
const VALUE_BYTES: usize = 1_000;
const TOPIC: &str = "allocations";
const TOPIC_ID: TopicId = TopicId(uuid::Uuid::from_u128(0x7e57));
const PARTITIONS: i32 = 8;

/// The broker's allocator, counting.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static ALLOCATED_BYTES: AtomicU64 = AtomicU64::new(0);

fn count(bytes: usize) {
    ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    ALLOCATED_BYTES.fetch_add(bytes as u64, Ordering::Relaxed);
}

// SAFETY: every call goes to the broker's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { UnreservedAllocator.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as above.
        unsafe { UnreservedAllocator.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: as above.
        unsafe { UnreservedAllocator.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { UnreservedAllocator.dealloc(old, layout) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

fn main() {
    // Without the option cargo only tests that benches start.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory under target");
    let mut settings = BrokerSettings::default();
    settings.data_dir = directory.path().to_path_buf();
    let settings = Arc::new(settings);
    let boot = Boot { settings: settings.clone(), endpoints: vec![], features: Default::default() };
    let Booted { superblock, controller, handle } = cluster::open(boot).expect("a new directory");
    let image = Arc::new(with_topic(&handle.image()));
    let done = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = mesh::<Shard>(SHARDS)
        .into_iter()
        .map(|mesh| {
            let (settings, handle, image) = (settings.clone(), handle.clone(), image.clone());
            let (path, done) = (directory.path().to_path_buf(), done.clone());
            LocalExecutorBuilder::new(Placement::Unbound)
                .spawn(move || async move {
                    let server = open(&path, settings, handle, mesh).await;
                    serve(&server, image, &done).await;
                })
                .expect("io_uring works here")
        })
        .collect();
    for thread in threads {
        thread.join().expect("no shard panics");
    }
    drop((superblock, controller));
}

/// The metadata with a topic in it, as if the controller had made it.
fn with_topic(image: &Image) -> Image {
    let mut image = image.clone();
    let broker = image.controller().expect("the broker has started");
    let create = Command::CreateTopic {
        id: TOPIC_ID,
        name: TOPIC.to_owned(),
        overrides: Default::default(),
        replicas: vec![vec![broker]; PARTITIONS as usize],
    };
    let applied = image.applied();
    image.apply(LogId { index: applied.index + 1, ..applied }, &create).expect("a new topic");
    image
}

async fn open(
    path: &Path,
    settings: Arc<BrokerSettings>,
    handle: ControllerHandle,
    mesh: Mesh<Shard>,
) -> Rc<Server> {
    let directory: PathBuf = path.to_path_buf();
    let disk = Disk::open(&directory, DiskLimits::default()).await.expect("a directory that can be used");
    let ends = mesh.join().await.expect("both shards join");
    let id = ShardId(ends.0.peer_id() as u16);
    let start = JournalStart { shard: id.0, journal: 1, recovered: Arc::new(Recovered::none()) };
    let limits = StoreLimits { cache_bytes_max: 64 << 20, ..StoreLimits::default() };
    let store = Store::open(disk, limits, start).await.expect("a journal");
    let presentation = Presentation::whole(settings.node.id);
    let parts = ShardParts {
        id,
        shards: SHARDS,
        settings,
        request_bytes_max: 64 << 20,
        metrics: Arc::default(),
        store,
    };
    let shard = Shard::new(parts);
    Router::run(&shard, Shard::router, ends);
    Server::new(shard, handle, presentation)
}

/// The life of one shard; the first one measures.
async fn serve(server: &Rc<Server>, image: Arc<Image>, done: &AtomicBool) {
    let shard = server.shard();
    for opening in shard.follow(image).await {
        opening.await;
    }
    // Both shards have their partitions before a request goes to either.
    glommio::timer::sleep(Duration::from_millis(200)).await;
    if shard.id() == ShardId(0) {
        measure(server).await;
        done.store(true, Ordering::Release);
    }
    while !done.load(Ordering::Acquire) {
        glommio::timer::sleep(Duration::from_millis(50)).await;
    }
    glommio::timer::sleep(Duration::from_millis(200)).await;
    shard.table().close().await;
    shard.store().close().await.expect("a manifest");
    shard.store().disk().quiesce().await;
}

async fn measure(server: &Rc<Server>) {
    let (here, there) = (partition_of(ShardId(0)), partition_of(ShardId(1)));
    println!("{:<34} {:>12} {:>12}", "per request of 1 x 1 KB", "allocations", "bytes");
    report("the log alone", async || append(server, here).await).await;
    for version in [7, 12, 13] {
        let frame = frame(version, here);
        let name = format!("version {version}, own shard");
        report(&name, async || produce(server, &frame).await).await;
    }
    let frame = frame(13, there);
    report("version 13, other shard", async || produce(server, &frame).await).await;
}

/// Prints what a round costs for each of its requests.
async fn report(name: &str, mut round: impl AsyncFnMut()) {
    for _ in 0..ROUNDS_WARM {
        round().await;
    }
    let before = (ALLOCATIONS.load(Ordering::Relaxed), ALLOCATED_BYTES.load(Ordering::Relaxed));
    for _ in 0..ROUNDS {
        round().await;
    }
    let after = (ALLOCATIONS.load(Ordering::Relaxed), ALLOCATED_BYTES.load(Ordering::Relaxed));
    let each = |sum: u64| sum as f64 / (ROUNDS * IN_FLIGHT) as f64;
    println!("{name:<34} {:>12.1} {:>12.0}", each(after.0 - before.0), each(after.1 - before.1));
}

/// `IN_FLIGHT` appends and the wait until they are durable, without a request.
async fn append(server: &Rc<Server>, id: TopicPartition) {
    let shard = server.shard();
    shard.store().room().await;
    let partition = shard.table().partition(id).expect("it is open");
    let batch = batch();
    let header = BatchHeader::parse_whole(&batch).expect("it was built just now");
    let mut ends = [Offset::ZERO; IN_FLIGHT];
    for end in &mut ends {
        *end = partition.append(&batch, &header, shard.now()).expect("accepted").durable_at;
    }
    for end in ends {
        partition.durable(end).await.expect("durable");
    }
}

/// `IN_FLIGHT` requests and their answers.
async fn produce(server: &Rc<Server>, frame: &Bytes) {
    let client = Rc::new(Client::new(SocketAddr::from(([127, 0, 0, 1], 1)), Entrance::Broker));
    let mut begun = Vec::with_capacity(IN_FLIGHT);
    for _ in 0..IN_FLIGHT {
        // As a connection cuts it out of what it received.
        let mut body = Bytes::copy_from_slice(frame);
        let header = parse_header(&mut body).expect("the version is served");
        begun.push(handlers::begin(server, &client, header, body).await);
    }
    for mut begun in begun {
        let outcome = begun.outcome().await;
        assert!(matches!(outcome, Outcome::Respond(_)), "{outcome:?}");
    }
}

fn batch() -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    let value = [b'v'; VALUE_BYTES];
    let timestamp = TimestampMs(1_000);
    builder.append(&NewRecord { timestamp, value: Some(&value), ..NewRecord::default() });
    builder.build(Offset::ZERO).expect("it has a record")
}

/// A request frame as it arrives, without its size.
fn frame(version: i16, to: TopicPartition) -> Bytes {
    let partition =
        PartitionProduceData::default().with_index(to.partition.get()).with_records(Some(batch()));
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_static_str(TOPIC)))
        .with_topic_id(to.topic_id.0)
        .with_partition_data(vec![partition]);
    let request =
        ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic]);
    encode_request("producer-1", 7, version, &request).expect("the version has the fields").slice(4..)
}

fn partition_of(shard: ShardId) -> TopicPartition {
    let owned =
        (0..PARTITIONS).map(PartitionIndex).find(|index| owner_shard(TOPIC_ID, *index, SHARDS) == shard);
    TopicPartition { topic_id: TOPIC_ID, partition: owned.expect("partitions spread over the shards") }
}
