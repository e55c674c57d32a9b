//! Random lives of a few logs on a simulated disk, each ended by a crash or a close, each followed by all invariants. Every life
//! has as many shards as it happens to have, with a journal each; checkpoints come at any time.
//!
//! `CORELOG_SEED=<n> cargo test crash` replays one seed; `CORELOG_SEEDS=<n>` runs more of them than usual.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use super::invariants::{self, Written};
use crate::io::Simulated;
use crate::model::{LeaderEpoch, Offset, PartitionIndex, TimestampMs, TopicId};
use crate::record::BatchHeader;
use crate::storage::testing::{Opened, batch, open_at, place, recovered, run, settings, simulated_shard};
use crate::storage::{JournalStart, LogPlace, LogSettings, ReadLimit, StorageError, Store, Takeover};

/// Seeds of an ordinary run.
const SEEDS: u64 = 400;
/// How often each log is opened again.
const LIVES_MAX: u64 = 5;
/// Things done between two crashes.
const STEPS_MAX: u64 = 120;
/// Partitions.
const TENANTS_MAX: u64 = 4;
/// Shards of a start; the next one may have more or fewer.
const SHARDS_MAX: u64 = 3;

/// What the test knows of the log, because it asked for it or was told.
#[derive(Default)]
pub(super) struct Known {
    /// All batches appended, less those that a crash or truncation took, oldest first.
    pub batches: RefCell<Vec<Written>>,
    /// Everything below was called durable.
    pub acknowledged: Cell<i64>,
    /// Acknowledged base offsets and the serial that stands there.
    pub pinned: RefCell<BTreeMap<i64, i64>>,
    pub start_confirmed: Cell<i64>,
    pub start_asked: Cell<i64>,
    /// A cut below the log start leaves nothing, also no producers.
    pub producers_forgotten: Cell<bool>,
    /// The log was cut, maybe below the snapshot that let older segments go: what they told of producers is lost, as in Kafka.
    pub cut: Cell<bool>,
    /// Retention ran in this life: it may take whatever is durable by then.
    retaining: Cell<bool>,
    /// Tasks under way that change or report what is known.
    busy: Cell<u32>,
    serials: Cell<i64>,
}

impl Known {
    fn begin(&self) {
        self.busy.set(self.busy.get() + 1);
    }

    fn end(&self) {
        self.busy.set(self.busy.get() - 1);
    }

    fn acknowledge(&self, end: i64) {
        self.acknowledged.set(self.acknowledged.get().max(end));
        let mut pinned = self.pinned.borrow_mut();
        for batch in self.batches.borrow().iter().rev().filter(|batch| batch.next <= end) {
            if pinned.insert(batch.base, batch.serial) == Some(batch.serial) {
                break;
            }
        }
    }

    /// What lies at or above `end` is given up on purpose.
    fn give_up(&self, end: i64) {
        self.acknowledged.set(self.acknowledged.get().min(end));
        self.pinned.borrow_mut().retain(|base, _| *base < end);
    }

    /// What was not acknowledged may be gone: the log's end says how much of it is.
    fn settle(&self, opened: &Opened) {
        let end = opened.log.log_end_offset().0;
        self.batches.borrow_mut().retain(|batch| batch.next <= end);
        self.acknowledge(end);
        self.start_confirmed.set(opened.log.log_start_offset().0);
        if self.producers_forgotten.replace(false) {
            let start = opened.log.log_start_offset().0;
            if start == end && opened.replayed.snapshot.is_none() {
                self.batches.borrow_mut().clear();
            }
        }
    }
}

struct Life {
    device: Rc<Simulated>,
    known: Rc<Known>,
    opened: Rc<Opened>,
}

impl Life {
    fn append(&self) {
        let serial = self.known.serials.get() + 1;
        self.known.serials.set(serial);
        let payload = match self.device.choose(10) {
            0 => self.device.choose(40_000),
            1..4 => self.device.choose(6_000),
            _ => self.device.choose(300),
        };
        let records = 1 + self.device.choose(4) as i32;
        let base = self.opened.log.log_end_offset().0;
        let bytes = batch(base, records, payload as usize, serial);
        let epoch = LeaderEpoch((serial / 50) as i32);
        match self.opened.log.append(&bytes, epoch, TimestampMs(serial)) {
            Ok(appended) => {
                assert_eq!(appended.base_offset.0, base);
                let next = base + i64::from(records);
                self.known.batches.borrow_mut().push(Written { base, next, serial });
                if self.known.retaining.get() {
                    self.known.start_asked.set(self.known.start_asked.get().max(next));
                }
                self.opened.observed.batches.set(self.opened.observed.batches.get() + 1);
            }
            Err(StorageError::Poisoned(_)) => assert!(self.opened.observed.poisoned.get()),
            // Deleted, and not created again before the power went.
            Err(StorageError::Closed) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Waits for durability, as a produce request does; a failure is an answer too.
    fn wait_in_background(&self) {
        let (known, opened) = (self.known.clone(), self.opened.clone());
        let end = opened.log.log_end_offset();
        known.begin();
        glommio::spawn_local(async move {
            if opened.log.wait_durable(end).await.is_ok() {
                known.acknowledge(end.0);
            }
            known.end();
        })
        .detach();
    }

    fn delete_records_in_background(&self) {
        let (known, opened) = (self.known.clone(), self.opened.clone());
        let (start, end) = (opened.log.log_start_offset().0, opened.log.durable_end_offset().0);
        let target = start + self.device.choose((end - start + 1) as u64) as i64;
        known.start_asked.set(known.start_asked.get().max(target));
        known.begin();
        glommio::spawn_local(async move {
            if opened.log.advance_log_start(Offset(target)).await.is_ok() {
                known.start_confirmed.set(known.start_confirmed.get().max(target));
            }
            known.end();
        })
        .detach();
    }

    fn retain_in_background(&self) {
        let (known, opened) = (self.known.clone(), self.opened.clone());
        known.retaining.set(true);
        known.start_asked.set(opened.log.log_end_offset().0.max(known.start_asked.get()));
        known.begin();
        glommio::spawn_local(async move {
            if opened.log.apply_retention(TimestampMs(0)).await.is_ok() {
                known.start_confirmed.set(opened.log.log_start_offset().0);
            }
            known.end();
        })
        .detach();
    }

    /// Cuts the log's end; nothing else may go on meanwhile.
    async fn truncate(&self) {
        // Whoever was answered has taken note before anything is given up.
        let settled = self.opened.log.wait_durable(self.opened.log.log_end_offset()).await;
        while self.known.busy.get() > 0 {
            futures_lite::future::yield_now().await;
        }
        if settled.is_err() {
            return;
        }
        let (start, end) = (self.opened.log.log_start_offset().0, self.opened.log.log_end_offset().0);
        let target = start + self.device.choose((end - start + 1) as u64) as i64;
        let cut =
            self.known.batches.borrow().iter().rev().find(|b| b.base <= target).map_or(start, |b| b.base);
        if target == end {
            return;
        }
        self.known.give_up(cut);
        self.known.cut.set(true);
        if cut < start {
            self.known.producers_forgotten.set(true);
        }
        if let Ok(end) = self.opened.log.truncate_to(Offset(target)).await {
            self.known.batches.borrow_mut().retain(|batch| batch.next <= end.0);
            if cut < start {
                self.known.batches.borrow_mut().clear();
            }
            let left = self.known.batches.borrow().len() as u64;
            self.opened.observed.batches.set(left);
            self.opened.observed.durable.set(end.0);
            self.opened.log.producers_rebuilt();
        }
    }

    /// Reads in the middle of everything; the records may be deleted meanwhile.
    async fn read(&self) {
        let log = &self.opened.log;
        let (start, end) = (log.log_start_offset().0, log.durable_end_offset().0);
        let from = start + self.device.choose((end - start + 1) as u64) as i64;
        let limit = ReadLimit { end: Offset(end), bytes_max: 5_000, at_least_one: true };
        match log.read(Offset(from), limit).await {
            Ok(slices) if slices.is_empty() => assert_eq!(from, end),
            Ok(slices) => {
                let header = BatchHeader::parse_whole(&slices.bytes[0]).expect("a whole batch");
                header.check_crc(&slices.bytes[0]).expect("an intact batch");
                assert!(header.base_offset.0 <= from && from < header.next_offset().0);
            }
            Err(StorageError::OutOfRange { .. }) => assert!(from < log.log_start_offset().0),
            Err(error) => panic!("{error}"),
        }
    }

    async fn step(&self) {
        match self.device.choose(100) {
            0..55 => self.append(),
            55..75 => self.wait_in_background(),
            75..90 => {
                for _ in 0..self.device.choose(30) {
                    futures_lite::future::yield_now().await;
                }
            }
            90..93 => self.delete_records_in_background(),
            93..95 => self.retain_in_background(),
            95 => {
                self.opened.log.roll_if_due(TimestampMs(i64::MAX));
            }
            96 => self.truncate().await,
            97 => self.read().await,
            _ => {
                let log = &self.opened.log;
                log.start_epoch(LeaderEpoch((self.known.serials.get() / 50) as i32));
            }
        }
    }
}

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

/// One start of the broker: its shards, as many as there happen to be, and their logs.
struct Start {
    stores: Vec<Rc<Store>>,
    logs: Vec<Life>,
}

impl Start {
    async fn begin(device: &Rc<Simulated>, tenants: &[Tenant]) -> Self {
        let recovered = recovered(device);
        let suspect = recovered.damages().iter().find(|damage| damage.is_suspect());
        assert!(suspect.is_none(), "a crash damages nothing: {suspect:?}");
        let shards = 1 + device.choose(SHARDS_MAX) as u16;
        let takeover = Rc::new(Takeover::new(&recovered, shards));
        let mut stores = vec![];
        for shard in 0..shards {
            let start =
                JournalStart { shard, journal: device.choose(u64::MAX), recovered: recovered.clone() };
            let cache = 8_000 + device.choose(200_000);
            stores.push(simulated_shard(device, cache, start).await.expect("a journal"));
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
        Self { stores, logs }
    }

    async fn step(&mut self, device: &Rc<Simulated>, tenants: &mut [Tenant]) {
        let at = device.choose(tenants.len() as u64) as usize;
        match device.choose(60) {
            0 | 1 => {
                let store = self.stores[device.choose(self.stores.len() as u64) as usize].clone();
                glommio::spawn_local(async move { drop(store.checkpoint().await) }).detach();
            }
            2 => self.create_again(at, device, &mut tenants[at]).await,
            _ => self.logs[at].step().await,
        }
    }

    async fn create_again(&mut self, at: usize, device: &Rc<Simulated>, tenant: &mut Tenant) {
        // The metadata says so first.
        tenant.begin_anew();
        let store = self.logs[at].opened.log.store().clone();
        if self.logs[at].opened.log.remove().await.is_err() {
            return;
        }
        if let Ok(opened) = open_at(&store, tenant.place.clone(), small(device)).await {
            let opened = Rc::new(opened);
            self.logs[at] = Life { device: device.clone(), known: tenant.known.clone(), opened };
        }
    }

    async fn close(&self) {
        for life in &self.logs {
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
        if device.choose(8) == 0 {
            device.fail_writes_after(device.choose(20));
        }
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
            futures_lite::future::yield_now().await;
        }
    }
}

impl Start {
    fn print(&self) {
        for life in &self.logs {
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
