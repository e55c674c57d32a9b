//! A full disk on a small filesystem: appends are refused, everything else goes on, and it ends by itself.
//!
//! Key invariant: nothing that was acknowledged is lost, whoever filled the disk and whatever the broker was doing.

use std::fs;

use kafka_protocol::messages::produce_response::PartitionProduceResponse;

use crate::admin::{self, KAFKA_STORAGE_ERROR, NONE, is_passing};
use crate::ledger::Partition;
use crate::loop_mount::{LoopMount, skipped};
use crate::requests::{PRODUCE, produce, produced};
use crate::server::{Server, wait_for};
use crate::support::Connection;
use crate::values::{Shape, Tag, batch};

/// The broker keeps a reserve of 128 MiB, which it has no setting for: this is that, ext4's own, and some to fill.
const DISK_BYTES: u64 = 272 << 20;
/// Enough for a few small files, and less than the broker's reserve.
const SCARCE_BYTES: u64 = 16 << 20;
/// A topic of twelve batches has more than two segments. Files of deleted ones go at once, and retention looks often.
const SETTINGS: [&str; 4] = [
    "log.segment.bytes=4194304",
    "log.segment.delete.delay.ms=0",
    "log.retention.check.interval.ms=500",
    "log.cleaner.backoff.ms=500",
];

/// A topic of one partition and what is acknowledged of it.
struct Topic {
    name: &'static str,
    known: Partition,
    next: u64,
}

impl Topic {
    fn create(connection: &mut Connection, name: &'static str) -> Self {
        admin::create(connection, name, 1, &[]);
        Self { name, known: Partition::default(), next: 0 }
    }

    fn produce(&mut self, connection: &mut Connection, shape: Shape) -> PartitionProduceResponse {
        let first = Tag::new(1, self.next);
        let request = produce(self.name, 0, batch(first, shape, None), -1);
        let answer = produced(&connection.ask(&request, PRODUCE)).clone();
        if answer.error_code == NONE {
            for n in 0..u64::from(shape.records) {
                self.known.tell(answer.base_offset + n as i64, Tag::new(1, self.next + n));
            }
            self.next += u64::from(shape.records);
        }
        answer
    }

    /// Produces until it is refused. Returns how many batches were not.
    fn fill(&mut self, connection: &mut Connection) -> u64 {
        for accepted in 0..DISK_BYTES / 800_000 {
            let answer = self.produce(connection, Shape::HUGE);
            if answer.error_code != NONE {
                let message = answer.error_message.unwrap_or_default();
                assert_eq!(answer.error_code, KAFKA_STORAGE_ERROR, "{message}");
                assert!(message.contains("full"), "the message says why: {message}");
                return accepted;
            }
        }
        panic!("the disk is never full");
    }

    /// Asks until it is accepted again.
    fn fill_again(&mut self, connection: &mut Connection) {
        wait_for("there is space again", || {
            let answer = self.produce(connection, Shape::HUGE);
            let code = answer.error_code;
            assert!(code == NONE || code == KAFKA_STORAGE_ERROR || is_passing(code), "error {code}");
            (code == NONE).then_some(())
        });
        self.fill(connection);
    }

    fn delete_all(&mut self, connection: &mut Connection) {
        let end = self.known.end();
        let (code, start) = admin::delete_records(connection, self.name, 0, end);
        assert_eq!((code, start), (NONE, end));
        self.known.deleted(end, Some(start));
    }

    fn verify(&mut self, connection: &mut Connection) {
        self.known.verify(connection, self.name, 0);
    }
}

/// The broker looks at the free space once a second.
const LOOKED_AT: std::time::Duration = std::time::Duration::from_millis(2_500);

/// Waits until a partition's first segment is off the disk. How much is free does not tell: what other partitions have in the
/// journal goes to their segments meanwhile. Segments after the first may stay, where a crash took their producer snapshots.
fn wait_until_freed(disk: &LoopMount, topic: &str, what: &str) {
    let directory = disk.path().join("data").join(format!("{topic}-0"));
    wait_for(what, || {
        let names = fs::read_dir(&directory).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let is_first =
            |name: std::ffi::OsString| name.to_string_lossy().starts_with("00000000000000000000.log");
        (!names.into_iter().any(is_first)).then_some(())
    });
}

fn disk(test: &str) -> Option<LoopMount> {
    LoopMount::new(test, DISK_BYTES).map_err(|reason| skipped(test, &reason)).ok()
}

#[test]
fn a_full_disk_refuses_appends_until_there_is_space() {
    let Some(disk) = disk("a_full_disk_refuses_appends_until_there_is_space") else { return };
    let mut server = Server::on(disk.path().join("data"), &SETTINGS).started();
    let mut connection = server.connect();
    let mut topics = ["kept", "cut", "aged", "dropped"].map(|name| Topic::create(&mut connection, name));
    let [kept, cut, aged, dropped] = &mut topics;
    for topic in [&mut *kept, &mut *cut, &mut *aged, &mut *dropped] {
        for _ in 0..12 {
            assert_eq!(topic.produce(&mut connection, Shape::HUGE).error_code, NONE);
        }
    }
    // Each shard learns of the space that the others' journals took.
    std::thread::sleep(LOOKED_AT);
    assert!(kept.fill(&mut connection) > 0);
    let full_at = disk.free_bytes();
    assert!(full_at > 64 << 20, "the reserve is untouched: {full_at} bytes are free");
    cut.verify(&mut connection);

    cut.delete_all(&mut connection);
    wait_until_freed(&disk, "cut", "DeleteRecords gives space back");
    kept.fill_again(&mut connection);
    admin::delete(&mut connection, "dropped");
    wait_until_freed(&disk, "dropped", "deleting a topic gives space back");
    kept.fill_again(&mut connection);
    // What the retention takes is nobody's loss.
    admin::alter(&mut connection, "aged", "retention.bytes", "1");
    wait_until_freed(&disk, "aged", "retention gives space back");
    kept.fill_again(&mut connection);
    let (start, end) = admin::bounds(&mut connection, "aged", 0);
    assert!(0 < start && start <= end && end == aged.known.end(), "{start} to {end}");

    server.kill();
    server.start();
    let mut connection = server.connect();
    for topic in [&mut *kept, cut] {
        topic.verify(&mut connection);
    }
    // The start gave the journal of the one before back: there may be a little room.
    wait_for("it serves", || {
        (!is_passing(kept.produce(&mut connection, Shape::HUGE).error_code)).then_some(())
    });
    kept.fill(&mut connection);
    let (code, start) = admin::delete_records(&mut connection, "kept", 0, kept.known.end() / 2);
    kept.known.deleted(start, (code == NONE).then_some(start));
    kept.fill_again(&mut connection);
    server.stop();
    server.start();
    kept.verify(&mut server.connect());
}

/// Somebody else takes all the space there is but `left_bytes`, until it is given back.
fn with_ballast(disk: &LoopMount, left_bytes: u64, meanwhile: impl FnOnce()) {
    let path = disk.path().join("ballast");
    let ballast = fs::File::create(&path).unwrap();
    // What cannot be had in one piece is had in smaller ones.
    let (mut at, mut piece) = (0, 64_u64 << 20);
    while piece >= 4096 {
        let fits = disk.free_bytes() >= left_bytes + piece;
        let take = || rustix::fs::fallocate(&ballast, rustix::fs::FallocateFlags::empty(), at, piece).is_ok();
        if fits && take() {
            at += piece;
        } else {
            piece /= 2;
        }
    }
    let free = disk.free_bytes();
    assert!(free < left_bytes + (1 << 20), "{free} bytes are free still");
    meanwhile();
    drop(ballast);
    fs::remove_file(path).unwrap();
}

#[test]
fn a_disk_that_somebody_else_fills_loses_nothing_and_serves_again() {
    let test = "a_disk_that_somebody_else_fills_loses_nothing_and_serves_again";
    let Some(disk) = disk(test) else { return };
    let server = Server::on(disk.path().join("data"), &SETTINGS).started();
    let mut connection = server.connect();
    let mut topics = ["a", "b"].map(|name| Topic::create(&mut connection, name));
    for topic in &mut topics {
        assert_eq!(topic.produce(&mut connection, Shape::LARGE).error_code, NONE);
    }
    with_ballast(&disk, 0, || {
        let [topic, other] = &mut topics;
        // What is accepted by an older figure would wait for the space.
        std::thread::sleep(LOOKED_AT);
        wait_for("the broker sees that the disk is full", || {
            let answer = topic.produce(&mut connection, Shape::HUGE);
            let (code, message) = (answer.error_code, answer.error_message.unwrap_or_default());
            assert!(code == NONE || code == KAFKA_STORAGE_ERROR, "error {code}");
            message.contains("full").then_some(())
        });
        topic.verify(&mut connection);
        other.verify(&mut connection);
    });
    for topic in &mut topics {
        wait_for("it takes records again", || {
            (topic.produce(&mut connection, Shape::LARGE).error_code == NONE).then_some(())
        });
        topic.verify(&mut connection);
    }
}

#[test]
fn a_broker_starts_on_a_disk_with_little_space_and_can_make_some() {
    let test = "a_broker_starts_on_a_disk_with_little_space_and_can_make_some";
    let Some(disk) = disk(test) else { return };
    let mut server = Server::on(disk.path().join("data"), &SETTINGS).started();
    let mut connection = server.connect();
    let mut topics = ["kept", "cut"].map(|name| Topic::create(&mut connection, name));
    let [kept, cut] = &mut topics;
    for _ in 0..12 {
        assert_eq!(kept.produce(&mut connection, Shape::HUGE).error_code, NONE);
        assert_eq!(cut.produce(&mut connection, Shape::HUGE).error_code, NONE);
    }
    with_ballast(&disk, SCARCE_BYTES, || {
        server.kill();
        server.start();
        let mut connection = server.connect();
        kept.verify(&mut connection);
        cut.verify(&mut connection);
        cut.delete_all(&mut connection);
        wait_until_freed(&disk, "cut", "DeleteRecords gives space back");
    });
    let mut connection = server.connect();
    wait_for("it takes records again", || {
        (kept.produce(&mut connection, Shape::HUGE).error_code == NONE).then_some(())
    });
    kept.verify(&mut connection);
}
