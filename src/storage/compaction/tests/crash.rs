//! Random lives of a compacted log on a simulated disk: producers with and without transactions, all codecs, tombstones,
//! DeleteRecords, rounds with memory for few keys, readers, failing writes; each life ends in a crash or a close, and each
//! state is checked against the model.
//!
//! `CORELOG_SEED=<n> cargo test compaction` replays one seed; `CORELOG_SEEDS=<n>` runs more of them than usual.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::model::{Began, Model, Role};
use super::*;
use crate::storage::testing::{run, simulated_store};

/// Seeds of an ordinary run.
const SEEDS: u64 = 150;
/// How often each log is opened again.
const LIVES_MAX: u64 = 5;
/// Things done to a log between two crashes.
const STEPS_MAX: u64 = 120;
/// Keys that records have.
const KEYS: u64 = 12;

#[derive(Default)]
struct World {
    model: RefCell<Model>,
    now: Cell<i64>,
    serials: Cell<u64>,
    /// Next sequence number of each producer; odd ones are transactional.
    sequences: RefCell<BTreeMap<i64, i32>>,
    open: RefCell<Vec<i64>>,
    /// Everything below was called durable.
    durable: Cell<i64>,
    compacting: Cell<bool>,
    deleting: Cell<u32>,
    /// DeleteRecords was asked for: producers may be gone with their segments.
    deleted: Cell<bool>,
}

struct Life {
    device: Rc<Simulated>,
    world: Rc<World>,
    log: Rc<Compacted>,
}

impl Life {
    fn append(&self) {
        let (device, world) = (&self.device, &self.world);
        let codec = Codec::ALL[device.choose(5) as usize];
        let producer = device.choose(6) as i64;
        let mut builder = BatchBuilder::new(codec);
        let mut role = Role::Plain;
        let count = 1 + device.choose(5) as i32;
        let sequence = world.sequences.borrow().get(&producer).copied().unwrap_or(0);
        if producer > 0 {
            builder = builder.producer(ProducerId(producer), ProducerEpoch(0), Sequence(sequence));
        }
        if producer % 2 == 1 {
            builder = builder.transactional();
            role = Role::InTransaction;
        }
        let records: Vec<(String, Option<String>)> = (0..count)
            .map(|_| {
                world.serials.set(world.serials.get() + 1);
                let value = format!("{}{}", world.serials.get(), "v".repeat(device.choose(60) as usize));
                (format!("key {}", device.choose(KEYS)), (device.choose(5) > 0).then_some(value))
            })
            .collect();
        let records: Vec<_> = records.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
        let bytes = batch(builder, &records, world.now.get());
        if self.take(role, &bytes) {
            if producer > 0 {
                world.sequences.borrow_mut().insert(producer, sequence + count);
            }
            if role == Role::InTransaction && !world.open.borrow().contains(&producer) {
                world.open.borrow_mut().push(producer);
            }
        }
    }

    fn end_transaction(&self) {
        let open = self.world.open.borrow().len() as u64;
        if open == 0 {
            return;
        }
        let producer = self.world.open.borrow_mut().remove(self.device.choose(open) as usize);
        let commit = self.device.choose(2) == 0;
        self.take(Role::Marker { commit }, &marker(producer, commit, self.world.now.get()));
    }

    fn take(&self, role: Role, bytes: &Bytes) -> bool {
        match self.log.append(bytes, self.world.now.get()) {
            Ok(base) => {
                self.world.model.borrow_mut().append(role, base, bytes);
                true
            }
            Err(StorageError::Poisoned(_)) => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// A round in the background; what it may change is known before it begins.
    fn compact(&self) {
        if self.world.compacting.replace(true) {
            return;
        }
        let (world, log) = (self.world.clone(), self.log.clone());
        let map_bytes = if self.device.choose(2) == 0 { 24 * self.device.choose(8) } else { 1 << 20 };
        glommio::spawn_local(async move {
            let now = world.now.get();
            let round = log.round(now, map_bytes);
            if let Ok(dirt) = log.log.dirtiness(TimestampMs(now), round.stable_end).await {
                world.model.borrow_mut().rounds.push(Began { now, limit: dirt.limit.0 });
                match log.log.compact(round).await {
                    Ok(_)
                    | Err(StorageError::Io { .. } | StorageError::Closed | StorageError::Poisoned(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            world.compacting.set(false);
        })
        .detach();
    }

    /// Retention of a log that is compacted and deleted.
    fn retain(&self) {
        let (world, log) = (self.world.clone(), self.log.clone());
        world.deleted.set(true);
        world.deleting.set(world.deleting.get() + 1);
        glommio::spawn_local(async move {
            // A failure is an answer too.
            let _ = log.log.apply_retention(TimestampMs(world.now.get())).await;
            world.deleting.set(world.deleting.get() - 1);
        })
        .detach();
    }

    fn delete_records(&self) {
        let (world, log) = (self.world.clone(), self.log.clone());
        let (start, end) = (log.log.log_start_offset().0, log.log.durable_end_offset().0);
        let target = start + self.device.choose((end - start) as u64 / 3 + 1) as i64;
        world.deleted.set(true);
        world.deleting.set(world.deleting.get() + 1);
        glommio::spawn_local(async move {
            // A failure is an answer too.
            let _ = log.log.advance_log_start(Offset(target)).await;
            world.deleting.set(world.deleting.get() - 1);
        })
        .detach();
    }

    /// Reads in the middle of everything: nothing that must be there is passed over.
    async fn read(&self) {
        let log = &self.log.log;
        let (start, end) = (log.log_start_offset().0, log.durable_end_offset().0);
        let from = start + self.device.choose((end - start + 1) as u64) as i64;
        let limit = ReadLimit { end: Offset(end), bytes_max: 900, at_least_one: true };
        match log.read(Offset(from), limit).await {
            Ok(slices) => {
                let mut found = Vec::new();
                slices.bytes.iter().for_each(|slice| split(slice, &mut found));
                let first = found.first().map_or(end, |(header, _)| header.base_offset.0);
                assert!(found.first().is_none_or(|(header, _)| header.next_offset().0 > from));
                let needed = self.world.model.borrow().unremovable(log.log_start_offset().0);
                let passed = needed.iter().find(|offset| **offset >= from && **offset < first);
                assert_eq!(passed, None, "read from {from} to {end}, got {first}");
            }
            Err(StorageError::OutOfRange { .. }) => assert!(from < log.log_start_offset().0),
            Err(error) => panic!("{error}"),
        }
    }

    async fn step(&self) {
        self.world.now.set(self.world.now.get() + self.device.choose(40) as i64);
        match self.device.choose(100) {
            0..50 => self.append(),
            50..58 => self.end_transaction(),
            58..75 => {
                for _ in 0..self.device.choose(60) {
                    futures_lite::future::yield_now().await;
                }
            }
            75..85 => self.compact(),
            85..88 => {
                self.log.log.roll_if_due(TimestampMs(i64::MAX));
            }
            88 => self.delete_records(),
            89 => self.world.now.set(self.world.now.get() + 500),
            90 if self.log.log.settings().delete => self.retain(),
            _ => self.read().await,
        }
        self.world.durable.set(self.log.log.durable_end_offset().0);
    }

    async fn check(&self) {
        let log = &self.log.log;
        let end = log.log_end_offset().0;
        assert!(end >= self.world.durable.get(), "the log ends at {end}");
        self.world.model.borrow_mut().cut(end);
        let cleaned_to = log.cleaned_to().await.expect("readable").0;
        let served = self.log.batches().await;
        {
            let model = self.world.model.borrow();
            model.check(&served, log.log_start_offset().0, cleaned_to);
            let restored = self.log.producers.last.borrow();
            // Those whose last segment was deleted may be gone with it.
            let deleted = self.world.deleted.get();
            assert!(
                deleted || *restored == model.producers(),
                "producers go on where they were: {restored:?}"
            );
        }
        for _ in 0..10 {
            self.read().await;
        }
    }

    /// What a crash took of producers and transactions is forgotten.
    fn settle(&self) {
        let model = self.world.model.borrow();
        let mut sequences = self.world.sequences.borrow_mut();
        *sequences = model.producers().iter().map(|(id, (_, last, _))| (*id, last + 1)).collect();
        let mut open: Vec<i64> = Vec::new();
        for batch in &model.batches {
            match batch.role {
                Role::InTransaction if !open.contains(&batch.producer) => open.push(batch.producer),
                Role::Marker { .. } => open.retain(|producer| *producer != batch.producer),
                _ => {}
            }
        }
        self.world.open.replace(open);
        self.world.compacting.set(false);
    }
}

fn choose_settings(device: &Simulated) -> LogSettings {
    let lag_min_ms = if device.choose(3) == 0 { 300 } else { 0 };
    let compaction = CompactionSettings { lag_min_ms, ..settings().compaction };
    let delete = device.choose(4) == 0;
    // Rolls when a step says so.
    LogSettings {
        segment_bytes: 1_000 + device.choose(3_000) as u32,
        segment_ms: 1 << 40,
        delete,
        retention_bytes: 9_000,
        compaction,
        ..settings()
    }
}

/// Sometimes the sidecars are lost too: what compaction left in the segments must do then.
fn lose_sidecars(device: &Rc<Simulated>) {
    let lost = [".producers", "clean-close.checkpoint", ".cindex"];
    let lost = if device.choose(2) == 0 { &lost[..] } else { &lost[..2] };
    for (path, _) in device.files() {
        if lost.iter().any(|suffix| path.to_string_lossy().ends_with(suffix)) {
            device.damage(&path, Vec::clear);
        }
    }
}

async fn one_seed(seed: u64) {
    let mut device = Simulated::new(seed);
    let world = Rc::new(World::default());
    world.model.borrow_mut().delete_retention_ms = settings().compaction.delete_retention_ms;
    world.now.set(10_000);
    let settings = choose_settings(&device);
    for _ in 0..=device.choose(LIVES_MAX) {
        let store = simulated_store(&device, 4_000 + device.choose(20_000)).await;
        let log = Rc::new(open(&store, settings).await.expect("whatever a crash left opens"));
        let life = Life { device: device.clone(), world: world.clone(), log };
        life.check().await;
        life.settle();
        if device.choose(8) == 0 {
            device.fail_writes_after(device.choose(20));
        }
        for _ in 0..device.choose(STEPS_MAX) {
            life.step().await;
        }
        if device.choose(3) == 0 {
            while world.compacting.get() || world.deleting.get() > 0 {
                futures_lite::future::yield_now().await;
            }
            let end = life.log.log.log_end_offset();
            if life.log.log.wait_durable(end).await.is_ok() {
                life.check().await;
            }
            // A poisoned log says so.
            let _ = life.log.log.close().await;
        }
        device = device.crash();
        // Tasks of the life before meet the power cut and end.
        while world.compacting.get() || world.deleting.get() > 0 {
            futures_lite::future::yield_now().await;
        }
        if device.choose(6) == 0 {
            lose_sidecars(&device);
        }
    }
}

#[test]
fn no_crash_or_round_loses_anything() {
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
