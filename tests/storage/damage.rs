//! Damage by hand on a stopped broker's files: nothing valid is thrown away, and it hurts its own partition alone.
//!
//! Key invariant: what a partition still answers is what was written; what it cannot answer is an error, and the log names
//! the file.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use corelog::record::BatchHeader;

use crate::admin::{self, KAFKA_STORAGE_ERROR, LATEST, NONE, is_passing};
use crate::chance::mixed;
use crate::consumer::{fetch_all, fetch_one};
use crate::ledger::Partition;
use crate::requests::{PRODUCE, produce, produced};
use crate::server::{Server, batches_end, wait_for};
use crate::support::Connection;
use crate::values::{self, Shape, Tag, batch, stamped};

const TOPIC: &str = "hurt";
/// The partition that is damaged, and one beside it.
const HURT: i32 = 0;
const DIRECTORY: &str = "hurt-0";
const WELL: i32 = 1;
/// Batches of each partition: with segments of 1 MiB they fill four and begin a fifth.
const BATCHES: u64 = 22;
/// Timestamps of the batches lie this far apart.
const STEP_MS: i64 = 1_000;
const FIRST_MS: i64 = 1_700_000_000_000;

/// A segment is finished so long after its index is there, and the other partition's as well.
const SETTLED_AFTER: Duration = Duration::from_millis(300);

/// The idempotent producer of all batches.
const PRODUCER: i64 = 4_711;

/// How the broker ended before the damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Stopped,
    Killed,
}

/// A broker with two filled partitions.
struct Case {
    server: Server,
    partitions: [Partition; 2],
}

fn first_of(batch: u64) -> Tag {
    Tag::new(1, batch * u64::from(Shape::LARGE.records))
}

impl Case {
    /// Fills the partitions and ends the broker.
    fn new(end: End) -> Self {
        let mut server = Server::new(&["log.segment.bytes=1048576"]).started();
        let mut connection = server.connect();
        admin::create(&mut connection, TOPIC, 2, &[("retention.ms", "-1")]);
        let mut partitions = [Partition::default(), Partition::default()];
        for n in 0..BATCHES {
            if n == BATCHES - 1 {
                // While a segment is finished the journal takes what comes: the last batch is to be in its segment only.
                wait_for("the segments are finished", || {
                    (server.files(DIRECTORY, ".cindex").len() >= 4).then_some(())
                });
                std::thread::sleep(SETTLED_AFTER);
            }
            for (index, partition) in partitions.iter_mut().enumerate() {
                let bytes = stamped(first_of(n), Shape::LARGE, Some(PRODUCER), FIRST_MS + n as i64 * STEP_MS);
                let answer = connection.ask(&produce(TOPIC, index as i32, bytes, -1), PRODUCE);
                let answer = produced(&answer);
                assert_eq!(answer.error_code, NONE, "{:?}", answer.error_message);
                tell(partition, answer.base_offset, first_of(n));
            }
        }
        match end {
            End::Stopped => server.stop(),
            End::Killed => server.kill(),
        }
        assert!(server.segments(DIRECTORY).len() >= 4, "{:?}", server.segments(DIRECTORY));
        Self { server, partitions }
    }

    fn start(&mut self) -> Connection {
        self.server.start();
        self.server.connect()
    }

    /// Both partitions hold all that was acknowledged, answer by time, know their producers, and take more.
    fn all_is_well(&mut self, connection: &mut Connection) {
        for index in [HURT, WELL] {
            self.is_well(connection, index);
        }
    }

    fn is_well(&mut self, connection: &mut Connection, index: i32) {
        let partition = &mut self.partitions[index as usize];
        let end = partition.end();
        partition.verify(connection, TOPIC, index);
        assert_eq!(partition.end(), end, "no more than what was acknowledged");
        for n in [0, BATCHES / 2, BATCHES - 1] {
            let at = FIRST_MS + n as i64 * STEP_MS;
            let found = admin::offset_at(connection, TOPIC, index, at);
            assert_eq!(found, (NONE, first_of(n).number() as i64), "the offset for a time");
        }
        let again = batch(first_of(BATCHES - 1), Shape::LARGE, Some(PRODUCER));
        let answer = connection.ask(&produce(TOPIC, index, again, -1), PRODUCE);
        let found = (produced(&answer).error_code, produced(&answer).base_offset);
        assert_eq!(found, (NONE, first_of(BATCHES - 1).number() as i64), "a repeated batch");
        self.takes_more(connection, index);
    }

    fn takes_more(&mut self, connection: &mut Connection, index: i32) {
        let partition = &mut self.partitions[index as usize];
        let end = partition.end();
        let tag = Tag::new(2, end as u64);
        let answer = connection.ask(&produce(TOPIC, index, batch(tag, Shape::SINGLE, None), -1), PRODUCE);
        assert_eq!((produced(&answer).error_code, produced(&answer).base_offset), (NONE, end));
        partition.tell(end, tag);
        partition.verify(connection, TOPIC, index);
    }

    /// The damaged partition answers with an error that says so; the other one serves.
    fn only_the_other_serves(&mut self, connection: &mut Connection) {
        let code = wait_for("the damage is found", || {
            let code = fetch_one(connection, TOPIC, HURT, 0).error_code;
            (!is_passing(code)).then_some(code)
        });
        assert_eq!(code, KAFKA_STORAGE_ERROR);
        let record = batch(Tag::new(2, 0), Shape::SINGLE, None);
        let answer = connection.ask(&produce(TOPIC, HURT, record, -1), PRODUCE);
        assert_eq!(produced(&answer).error_code, KAFKA_STORAGE_ERROR);
        assert_eq!(admin::offset_at(connection, TOPIC, HURT, LATEST).0, KAFKA_STORAGE_ERROR);
        self.is_well(connection, WELL);
    }

    /// What the broker said since it was started last, about this file.
    fn names(&self, path: &Path) -> bool {
        self.server.log().contains(path.to_str().unwrap())
    }
}

fn tell(partition: &mut Partition, base: i64, first: Tag) {
    for n in 0..u64::from(Shape::LARGE.records) {
        partition.tell(base + n as i64, Tag::new(first.writer(), first.number() + n));
    }
}

/// All files of the damaged partition with their sizes.
fn listing(server: &Server) -> Vec<(PathBuf, u64)> {
    let files = server.files(DIRECTORY, "").into_iter();
    files.map(|path| (path.clone(), fs::metadata(path).unwrap().len())).collect()
}

fn append(path: &Path, bytes: &[u8]) {
    // A segment that was in use has reserved blocks behind its batches; there a torn write would lie.
    let end = batches_end(path).0;
    let whole = fs::read(path).unwrap();
    let mut file = OpenOptions::new().write(true).truncate(true).open(path).unwrap();
    file.write_all(&[&whole[..end as usize], bytes].concat()).unwrap();
}

fn noise(bytes: usize) -> Vec<u8> {
    (0..bytes.div_ceil(8) as u64).flat_map(|n| mixed(n + 1).to_le_bytes()).take(bytes).collect()
}

#[test]
fn damaged_indexes_are_made_again() {
    let mut case = Case::new(End::Stopped);
    let indexes = case.server.files(DIRECTORY, ".cindex");
    assert!(indexes.len() >= 3, "{indexes:?}");
    let mut bytes = fs::read(&indexes[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&indexes[0], bytes).unwrap();
    let half = fs::metadata(&indexes[1]).unwrap().len() / 2;
    OpenOptions::new().write(true).open(&indexes[1]).unwrap().set_len(half).unwrap();
    fs::write(&indexes[2], noise(500)).unwrap();
    let mut connection = case.start();
    case.all_is_well(&mut connection);
}

#[test]
fn missing_indexes_are_made_again() {
    for end in [End::Stopped, End::Killed] {
        let mut case = Case::new(end);
        for path in case.server.files(DIRECTORY, ".cindex") {
            fs::remove_file(path).unwrap();
        }
        let mut connection = case.start();
        case.all_is_well(&mut connection);
    }
}

#[test]
fn garbage_after_the_last_batch_is_cut_off() {
    for end in [End::Stopped, End::Killed] {
        let mut case = Case::new(end);
        let last = case.server.segments(DIRECTORY).pop().unwrap();
        append(&last, &noise(10_000));
        let mut connection = case.start();
        case.all_is_well(&mut connection);
        assert!(case.names(&last), "the log names the file that was cut");
    }
}

#[test]
fn an_old_batch_after_the_last_one_is_cut_off() {
    let mut case = Case::new(End::Killed);
    let segments = case.server.segments(DIRECTORY);
    let (first, last) = (&segments[0], segments.last().unwrap());
    let second_batch = batches_end(first).1[1] as usize;
    append(last, &fs::read(first).unwrap()[..second_batch]);
    let mut connection = case.start();
    case.all_is_well(&mut connection);
    assert!(case.names(last), "the log names the file that was cut");
}

#[test]
fn a_batch_that_was_cut_short_takes_nothing_else_with_it() {
    let mut case = Case::new(End::Killed);
    let last = case.server.segments(DIRECTORY).pop().unwrap();
    let (position, _) = batches_end(&last);
    OpenOptions::new().write(true).open(&last).unwrap().set_len(position - 100).unwrap();
    let mut connection = case.start();
    let end = case.partitions[HURT as usize].end() - i64::from(Shape::LARGE.records);
    let (start, found) = admin::bounds(&mut connection, TOPIC, HURT);
    assert_eq!((start, found), (0, end), "only the batch that is not whole is gone");
    let read = fetch_all(&mut connection, TOPIC, HURT, (start, end));
    let expected = (0..end).map(|offset| (offset, Tag::new(1, offset as u64)));
    assert!(read.into_iter().eq(expected), "what is left is as it was");
    assert!(case.names(&last), "the log names the file that was cut");
    case.is_well(&mut connection, WELL);
}

#[test]
fn a_segment_shorter_than_its_manifest_says_takes_its_partition_offline_until_it_is_whole() {
    let mut case = Case::new(End::Stopped);
    let last = case.server.segments(DIRECTORY).pop().unwrap();
    let whole = fs::read(&last).unwrap();
    fs::write(&last, &whole[..whole.len() - 100]).unwrap();
    let mut connection = case.start();
    case.only_the_other_serves(&mut connection);
    assert!(case.names(&last), "the log names the file that is too short");
    case.server.kill();
    assert_eq!(fs::read(&last).unwrap().len(), whole.len() - 100, "nothing of it is cut");
    fs::write(&last, &whole).unwrap();
    case.start();
    let mut connection = case.server.connect();
    case.is_well(&mut connection, HURT);
}

#[test]
fn a_missing_segment_takes_its_partition_offline_until_it_is_back() {
    for end in [End::Stopped, End::Killed] {
        let mut case = Case::new(end);
        let missing = case.server.segments(DIRECTORY).remove(1);
        let aside = case.server.data().join("aside");
        fs::rename(&missing, &aside).unwrap();
        let before = listing(&case.server);
        let mut connection = case.start();
        case.only_the_other_serves(&mut connection);
        let around = case.server.segments(DIRECTORY).remove(0);
        assert!(case.names(&around), "the log names the file after which something is missing");
        case.server.kill();
        assert_eq!(listing(&case.server), before, "nothing is deleted or changed");
        fs::rename(&aside, &missing).unwrap();
        case.start();
        let mut connection = case.server.connect();
        case.is_well(&mut connection, HURT);
    }
}

#[test]
fn a_damaged_partition_metadata_takes_its_partition_offline_until_it_is_mended() {
    for content in [&b"version: 0\ntopic_"[..], b"", &noise(40)] {
        let mut case = Case::new(End::Stopped);
        let path = case.server.data().join(DIRECTORY).join("partition.metadata");
        let whole = fs::read(&path).unwrap();
        fs::write(&path, content).unwrap();
        let before = listing(&case.server);
        let mut connection = case.start();
        case.only_the_other_serves(&mut connection);
        assert!(case.names(&path), "the log names the file");
        case.server.stop();
        assert_eq!(listing(&case.server), before, "nothing is deleted or changed");
        fs::write(&path, whole).unwrap();
        let mut connection = case.start();
        case.is_well(&mut connection, HURT);
    }
}

#[test]
fn a_missing_partition_metadata_is_written_again() {
    let mut case = Case::new(End::Stopped);
    let path = case.server.data().join(DIRECTORY).join("partition.metadata");
    let whole = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let mut connection = case.start();
    case.all_is_well(&mut connection);
    assert_eq!(fs::read(&path).unwrap(), whole);
}

#[test]
fn a_topic_with_a_damaged_partition_can_be_deleted_and_created_again() {
    let mut case = Case::new(End::Stopped);
    fs::write(case.server.data().join(DIRECTORY).join("partition.metadata"), b"").unwrap();
    let mut connection = case.start();
    case.only_the_other_serves(&mut connection);
    admin::delete(&mut connection, TOPIC);
    admin::create(&mut connection, TOPIC, 2, &[]);
    let mut fresh = [Partition::default(), Partition::default()];
    for (index, partition) in fresh.iter_mut().enumerate() {
        let found = partition.verify(&mut connection, TOPIC, index as i32);
        assert!(found.is_empty(), "a new topic is empty");
    }
}

#[test]
fn other_damaged_sidecars_lose_neither_records_nor_producers() {
    for end in [End::Stopped, End::Killed] {
        let mut case = Case::new(end);
        let mut paths = case.server.files(DIRECTORY, ".producers");
        paths.extend(case.server.files(DIRECTORY, ".cindex"));
        paths.extend(case.server.files(DIRECTORY, "checkpoint"));
        assert!(paths.len() >= 6, "{paths:?}");
        for path in paths {
            fs::write(path, noise(60)).unwrap();
        }
        let mut connection = case.start();
        case.all_is_well(&mut connection);
    }
}

#[test]
fn a_flipped_byte_in_an_old_segment_hides_what_it_hit_and_nothing_else() {
    let mut case = Case::new(End::Stopped);
    let second = case.server.segments(DIRECTORY).remove(1);
    let hit = batches_end(&second).1[1] as usize + 1_000;
    let mut bytes = fs::read(&second).unwrap();
    bytes[hit] ^= 1;
    fs::write(&second, bytes).unwrap();
    let per_batch = i64::from(Shape::LARGE.records);
    let first: i64 = second.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let (damaged, after) = (first + per_batch, first + 2 * per_batch);
    let mut connection = case.start();
    let end = case.partitions[HURT as usize].end();
    assert_eq!(admin::bounds(&mut connection, TOPIC, HURT), (0, end));
    // As from Kafka, which does not look at checksums when it reads: it is an error, or the client sees that it is damaged.
    let answer = fetch_one(&mut connection, TOPIC, HURT, damaged);
    if answer.error_code == NONE {
        let records = answer.records.unwrap_or_default();
        let header = BatchHeader::parse_whole(&records).unwrap();
        assert_eq!(header.base_offset.0, damaged);
        assert!(header.check_crc(&records[..header.size_bytes as usize]).is_err());
    }
    for (from, to) in [(0, damaged), (after, end)] {
        let mut at = from;
        while at < to {
            let answer = fetch_one(&mut connection, TOPIC, HURT, at);
            assert_eq!(answer.error_code, NONE, "at {at}");
            let records = answer.records.unwrap_or_default();
            let whole = BatchHeader::parse_whole(&records).unwrap().size_bytes as usize;
            let expected = (at..at + per_batch).map(|offset| (offset, Tag::new(1, offset as u64)));
            assert!(values::read(&records.slice(..whole), at).into_iter().eq(expected), "at {at}");
            at += per_batch;
        }
    }
    case.is_well(&mut connection, WELL);
}

#[test]
fn a_missing_first_or_last_segment_is_noticed() {
    for last in [false, true] {
        let mut case = Case::new(End::Stopped);
        let mut segments = case.server.segments(DIRECTORY);
        let missing = if last { segments.pop().unwrap() } else { segments.remove(0) };
        fs::remove_file(&missing).unwrap();
        let mut connection = case.start();
        case.only_the_other_serves(&mut connection);
    }
}
