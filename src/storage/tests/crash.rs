//! Random lives of a few logs on a simulated disk, each ended by a crash or a close, each followed by all invariants. Every life
//! has as many shards as it happens to have, with a journal each, and bounds of its own; checkpoints come at any time, and devices
//! fail or are full now and then.
//!
//! `CORELOG_SEED=<n> cargo test crash` replays one seed; `CORELOG_SEEDS=<n>` runs more of them than usual.

mod known;
mod life;

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use futures_lite::future::yield_now;

use self::life::Life;
use super::invariants;
use crate::io::{Failure, Simulated};
use crate::model::{PartitionIndex, TopicId};
use crate::storage::testing::{open_at, place, recovered, run, settings, shard_within};
use crate::storage::{JournalLimits, JournalStart, LogPlace, LogSettings, Store, Takeover};

pub(super) use self::known::Known;

/// Seeds of an ordinary run.
const SEEDS: u64 = 2_000;
/// How often each log is opened again.
const LIVES_MAX: u64 = 4;
/// Things done between two crashes.
const STEPS_MAX: u64 = 90;
/// Partitions.
const TENANTS_MAX: u64 = 4;
/// Shards of a start; the next one may have more or fewer.
const SHARDS_MAX: u64 = 3;

fn small(device: &Simulated) -> LogSettings {
    let retention_bytes = if device.choose(2) == 0 { 30_000 } else { -1 };
    LogSettings { segment_bytes: 20_000, segment_ms: 1 << 40, retention_bytes, ..settings() }
}

/// A partition through all lives of a seed.
struct Tenant {
    place: LogPlace,
    known: Rc<Known>,
}

impl Tenant {
    fn new(partition: i32) -> Self {
        let place = LogPlace { partition: PartitionIndex(partition), ..place() };
        Self { place, known: Rc::new(Known::default()) }
    }

    /// The topic was deleted and created again under its name: nothing that was known counts.
    fn begin_anew(&mut self) {
        let id = self.place.topic_id.0.as_u128() + 1_000;
        self.place.topic_id = TopicId(uuid::Uuid::from_u128(id));
        let serials = self.known.serials.get();
        self.known = Rc::new(Known::default());
        // A record of the deleted topic is never taken for one of this.
        self.known.serials.set(serials);
    }
}

/// Bounds of one start's journals. A group with the largest entry fits into the first file.
fn limits(device: &Simulated) -> JournalLimits {
    let choose = |values: [u64; 3]| values[device.choose(3) as usize];
    let first_file_bytes = choose([36 << 10, 64 << 10, 64 << 10]);
    JournalLimits {
        first_file_bytes,
        bytes_max: choose([first_file_bytes, 2 * first_file_bytes, 256 << 10]),
        group_bytes_max: choose([1, 8 << 10, 16 << 10]) as usize,
        bypass_bytes: choose([1, 4 << 10, 12 << 10]),
        behind_bytes_max: choose([0, 6 << 10, 1 << 20]),
        bypassed_bytes_max: choose([20 << 10, 100 << 10, 256 << 10]),
    }
}

/// Which files a fault hits.
type Hits = Box<dyn Fn(&Path) -> bool>;

/// What fails in a life, if anything does; a full disk has room again some time later.
fn fail(device: &Rc<Simulated>) {
    let ends_with = |suffix: &'static str| move |path: &Path| path.to_string_lossy().ends_with(suffix);
    let (hits, failure): (Hits, Failure) = match device.choose(40) {
        0..4 => return device.fail_writes_after(device.choose(20)),
        4..7 => (Box::new(ends_with(".log")), Failure::StorageFull),
        7 => (Box::new(move |path| !ends_with(".journal")(path)), Failure::StorageFull),
        8 => (Box::new(ends_with("-0001.journal")), Failure::StorageFull),
        9 | 10 => (Box::new(ends_with(".manifest")), Failure::StorageFull),
        11 => (Box::new(ends_with(".manifest")), Failure::Device),
        12 => (Box::new(|path| path.starts_with("/simulated/orders-1")), Failure::Device),
        13 => (Box::new(ends_with(".journal")), Failure::Device),
        14 => (Box::new(ends_with(".producers")), Failure::Device),
        15 => (Box::new(ends_with(".cindex")), Failure::StorageFull),
        _ => return,
    };
    let device = device.clone();
    glommio::spawn_local(async move {
        for _ in 0..device.choose(300) {
            yield_now().await;
        }
        device.fail_writes_to(hits, failure);
        for _ in 0..device.choose(600) {
            yield_now().await;
        }
        device.heal();
    })
    .detach();
}

/// One start of the broker: its shards, as many as there happen to be, and their logs.
struct Start {
    stores: Vec<Rc<Store>>,
    logs: RefCell<Vec<Life>>,
}

impl Start {
    async fn begin(device: &Rc<Simulated>, tenants: &[Tenant]) -> Self {
        let recovered = recovered(device);
        let suspect = recovered.damages().iter().find(|damage| damage.is_suspect());
        assert!(suspect.is_none(), "a crash damages nothing: {suspect:?}");
        let shards = 1 + device.choose(SHARDS_MAX) as u16;
        let takeover = Rc::new(Takeover::new(&recovered, shards));
        let mut stores = vec![];
        let limits = limits(device);
        for shard in 0..shards {
            let start =
                JournalStart { shard, journal: device.choose(u64::MAX), recovered: recovered.clone() };
            let cache = 8_000 + device.choose(200_000);
            stores.push(shard_within(device, (cache, limits), start).await.expect("a journal"));
        }
        let mut logs = vec![];
        for (at, tenant) in tenants.iter().enumerate() {
            let store = &stores[at % stores.len()];
            let opened = open_at(store, tenant.place.clone(), small(device)).await;
            let opened = Rc::new(opened.expect("whatever a crash left opens"));
            if std::env::var("CORELOG_SEED").is_ok() {
                let replay = recovered.replay_of(tenant.place.in_journal());
                let entries =
                    replay.entries.iter().map(|e| (e.kind, e.offset.0, e.end.0)).collect::<Vec<_>>();
                println!("{at}: {:?} {entries:?} gave {:?}", replay.record, opened.replayed);
            }
            invariants::check(&tenant.known, &opened).await;
            tenant.known.settle(&opened);
            tenant.known.retaining.set(false);
            logs.push(Life { device: device.clone(), known: tenant.known.clone(), opened });
        }
        for store in &stores {
            let (store, takeover) = (store.clone(), takeover.clone());
            // May meet the crash, as everything may.
            glommio::spawn_local(async move { drop(takeover.complete(&store, 0).await) }).detach();
        }
        Self { stores, logs: RefCell::new(logs) }
    }

    async fn step(&mut self, device: &Rc<Simulated>, tenants: &mut [Tenant]) {
        let at = device.choose(tenants.len() as u64) as usize;
        match device.choose(60) {
            0 | 1 => {
                let store = self.stores[device.choose(self.stores.len() as u64) as usize].clone();
                glommio::spawn_local(async move { drop(store.checkpoint().await) }).detach();
            }
            2 => self.create_again(at, device, &mut tenants[at]).await,
            3..6 => {
                // In one turn: one group has all of them.
                for life in self.logs.get_mut() {
                    for _ in 0..device.choose(3) {
                        life.append();
                    }
                }
            }
            _ => self.logs.get_mut()[at].step().await,
        }
    }

    async fn create_again(&mut self, at: usize, device: &Rc<Simulated>, tenant: &mut Tenant) {
        // The metadata says so first.
        tenant.begin_anew();
        let logs = self.logs.get_mut();
        let store = logs[at].opened.log.store().clone();
        if logs[at].opened.log.remove().await.is_err() {
            return;
        }
        if let Ok(opened) = open_at(&store, tenant.place.clone(), small(device)).await {
            let opened = Rc::new(opened);
            logs[at] = Life { device: device.clone(), known: tenant.known.clone(), opened };
        }
    }

    async fn close(&self) {
        // Each is let go once it is closed, as the broker does.
        while let Some(life) = { self.logs.borrow_mut().pop() } {
            if life.opened.log.close().await.is_ok() {
                life.known.acknowledge(life.opened.log.log_end_offset().0);
            }
        }
        for store in &self.stores {
            drop(store.close().await);
        }
    }
}

async fn one_seed(seed: u64) {
    let mut device = Simulated::new(seed);
    let mut tenants: Vec<Tenant> = (0..1 + device.choose(TENANTS_MAX) as i32).map(Tenant::new).collect();
    let loud = std::env::var("CORELOG_SEED").is_ok();
    for _ in 0..=device.choose(LIVES_MAX) {
        let mut start = Start::begin(&device, &tenants).await;
        fail(&device);
        for _ in 0..device.choose(STEPS_MAX) {
            start.step(&device, &mut tenants).await;
            if loud {
                start.print();
            }
        }
        if device.choose(4) == 0 {
            let start = Rc::new(start);
            let closing = start.clone();
            let closing = glommio::spawn_local(async move { closing.close().await });
            if device.choose(2) == 0 {
                closing.await;
            }
        }
        device = device.crash();
        if loud {
            println!("crash: {:?}", device.files());
        }
        // Tasks of the life before meet the power cut and end.
        for _ in 0..20 {
            yield_now().await;
        }
    }
}

impl Start {
    fn print(&self) {
        for life in self.logs.borrow().iter() {
            let log = &life.opened.log;
            println!(
                "{} start {} durable {} end {} acknowledged {} {:?}",
                log.place().partition,
                log.log_start_offset(),
                log.durable_end_offset(),
                log.log_end_offset(),
                life.known.acknowledged.get(),
                log.segments()
            );
        }
    }
}

#[test]
fn no_crash_breaks_an_invariant() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seeds = match number("CORELOG_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("CORELOG_SEEDS").unwrap_or(SEEDS),
    };
    run(async {
        for seed in seeds {
            // Says which seed it was, should this one fail.
            println!("CORELOG_SEED={seed}");
            one_seed(seed).await;
        }
    });
}
