//! `kill -9` under load, again and again on the same data: nothing that anybody was told is lost.
//!
//! Each round: everything is read and held against what clients were told; then producers, consumers and administrators
//! work at once until the broker is killed or stopped at a random moment; then it starts again, often with another number
//! of shards, now and then killed once more while it starts. `CORELOG_SEED=<n>` repeats the choices,
//! `CORELOG_ROUNDS=<n>` makes more rounds.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kafka_protocol::messages::DeleteRecordsRequest;

use crate::admin::{self, NONE};
use crate::chance::Chance;
use crate::consumer::follow;
use crate::ledger::{Partition, Told, check_numbers};
use crate::producer::{Ending, Habit, Producer};
use crate::reborn::Reborn;
use crate::server::Server;
use crate::support::Connection;

const ROUNDS: u64 = 8;
const TOPIC: &str = "main";
const PARTITIONS: usize = 6;
const CONSUMERS: u64 = 2;
/// How long clients work before the broker goes, in ms.
const WORK_MS: std::ops::Range<u64> = 150..900;
const STOP_PERCENT: u64 = 25;
const KILL_WHILE_STARTING_PERCENT: u64 = 30;
/// Small segments, whose files go soon after they were deleted.
const SETTINGS: [&str; 2] = ["log.segment.bytes=1048576", "log.segment.delete.delay.ms=50"];

/// A request to delete records, and what was answered.
struct Deleted {
    partition: usize,
    asked: i64,
    answered: Option<i64>,
}

/// All that outlives the broker.
struct Play {
    chance: Chance,
    server: Server,
    partitions: Vec<Partition>,
    producers: Vec<Producer>,
    reborn: Reborn,
}

fn producers(connection: &mut Connection, chance: &mut Chance) -> Vec<Producer> {
    let habit = |writer, idempotent, acks, large_percent, rest_ms| {
        let rest = Duration::from_millis(rest_ms);
        Habit { writer, idempotent, acks, large_percent, rest }
    };
    let habits = [
        habit(1, true, -1, 0, 0),
        habit(2, true, -1, 30, 15),
        habit(3, false, 1, 0, 0),
        habit(4, false, 1, 60, 20),
        habit(5, false, -1, 10, 5),
    ];
    habits.map(|habit| Producer::new(connection, habit, PARTITIONS, chance.branch())).into()
}

impl Play {
    fn begin() -> Self {
        let mut chance = Chance::of_this_run();
        let server = Server::new(&SETTINGS).started();
        let mut connection = server.connect();
        admin::create(&mut connection, TOPIC, PARTITIONS as i32, &[]);
        let producers = producers(&mut connection, &mut chance);
        let reborn = Reborn::new(chance.branch());
        let partitions = vec![Partition::default(); PARTITIONS];
        Self { chance, server, partitions, producers, reborn }
    }

    /// Everything that clients were told is there, and nothing twice. Returns how many records the topic holds.
    fn verify(&mut self) -> usize {
        let mut connection = self.server.connect();
        let mut records = 0;
        for (index, partition) in self.partitions.iter_mut().enumerate() {
            let found = partition.verify(&mut connection, TOPIC, index as i32);
            let whole = partition.start() == 0;
            for producer in &self.producers {
                let cuts = (!producer.habit.idempotent).then_some(&producer.cuts[index]);
                check_numbers(&found, producer.habit.writer, whole, cuts);
            }
            records += found.len();
        }
        self.reborn.verify(&mut connection);
        records
    }

    /// Clients work until the broker goes. Returns how many records they were told of.
    fn work(&mut self, ending: Ending) -> usize {
        let time = Duration::from_millis(self.chance.between(WORK_MS.start, WORK_MS.end));
        let starts: Vec<Vec<i64>> = (0..CONSUMERS).map(|_| self.positions()).collect();
        let deletions = self.deletions(time);
        let (address, done) = (self.server.address(), AtomicBool::new(false));
        let (server, producers, reborn) = (&mut self.server, &mut self.producers, &mut self.reborn);
        let (told, deleted) = std::thread::scope(|scope| {
            let done = &done;
            let produced = producers.iter_mut();
            let mut told: Vec<_> = produced
                .map(|producer| scope.spawn(|| producer.work(address, TOPIC, ending, done)))
                .collect();
            let seen = starts.into_iter();
            told.extend(seen.map(|from| scope.spawn(|| follow(address, TOPIC, from, done))));
            let deleted = scope.spawn(|| delete_now_and_then(address, ending, deletions));
            scope.spawn(|| reborn.work(address, ending, done));
            std::thread::sleep(time);
            match ending {
                Ending::Kill => server.kill(),
                Ending::Stop => server.stop(),
            }
            done.store(true, Ordering::Relaxed);
            let told: Vec<Told> = told.into_iter().flat_map(|client| client.join().unwrap()).collect();
            (told, deleted.join().unwrap())
        });
        for (partition, offset, tag) in &told {
            self.partitions[*partition as usize].tell(*offset, *tag);
        }
        for Deleted { partition, asked, answered } in deleted {
            self.partitions[partition].deleted(asked, answered);
        }
        told.len()
    }

    /// Where a consumer begins in each partition.
    fn positions(&mut self) -> Vec<i64> {
        let chance = &mut self.chance;
        let within = |partition: &Partition| {
            let (start, end) = (partition.start(), partition.end());
            if chance.percent(50) { end } else { chance.between(start as u64, end as u64 + 1) as i64 }
        };
        self.partitions.iter().map(within).collect()
    }

    /// Deletions of records at random moments.
    fn deletions(&mut self, time: Duration) -> Vec<(Duration, usize, i64)> {
        let count = self.chance.between(0, 4);
        let chance = &mut self.chance;
        let mut deletions = Vec::new();
        for _ in 0..count {
            let after = Duration::from_millis(chance.between(0, time.as_millis() as u64 + 1));
            let index = chance.between(0, PARTITIONS as u64) as usize;
            let partition = &self.partitions[index];
            let before = chance.between(partition.start() as u64, partition.end() as u64 + 1) as i64;
            deletions.push((after, index, before));
        }
        deletions.sort_unstable();
        deletions
    }

    fn start_again(&mut self) {
        self.server.shards = self.chance.between(1, 4) as u16;
        while self.chance.percent(KILL_WHILE_STARTING_PERCENT) {
            let after = Duration::from_millis(self.chance.between(5, 250));
            self.server.start_and_kill(after);
        }
        self.server.start();
    }
}

/// Deletes records at the planned moments, until the broker is gone.
fn delete_now_and_then(
    address: SocketAddr,
    ending: Ending,
    planned: Vec<(Duration, usize, i64)>,
) -> Vec<Deleted> {
    let began = std::time::Instant::now();
    let mut deleted = Vec::new();
    let Ok(mut connection) = Connection::try_to(address) else { return deleted };
    for (after, partition, asked) in planned {
        std::thread::sleep(after.saturating_sub(began.elapsed()));
        deleted.push(Deleted { partition, asked, answered: None });
        let request = admin::truncation(TOPIC, partition as i32, asked);
        if connection.try_send(&request, 2).is_err() {
            break;
        }
        let Some((_, response)) = connection.try_receive::<DeleteRecordsRequest>(2) else { break };
        let answer = &response.topics[0].partitions[0];
        assert!(answer.error_code == NONE || ending == Ending::Stop, "error {}", answer.error_code);
        if answer.error_code == NONE
            && let Some(last) = deleted.last_mut()
        {
            last.answered = Some(answer.low_watermark);
        }
    }
    deleted
}

#[test]
fn what_clients_were_told_survives_kill_9_again_and_again() {
    let rounds = std::env::var("CORELOG_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let mut play = Play::begin();
    let mut told = 0;
    for round in 0..rounds.unwrap_or(ROUNDS) {
        let found = play.verify();
        let ending = if play.chance.percent(STOP_PERCENT) { Ending::Stop } else { Ending::Kill };
        told += play.work(ending);
        eprintln!("round {round}: {found} records, then {told} told in all, {ending:?}");
        play.start_again();
    }
    let found = play.verify();
    assert!(found > 0 && told > 0 && play.reborn.lives > 0, "the clients did work");
}
