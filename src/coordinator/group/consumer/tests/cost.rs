//! What heartbeats and rebalances cost. Measured by hand: `cargo test --release --lib cost -- --ignored --nocapture`.

use super::*;

const MEMBERS: usize = 1_000;
const ROUNDS: usize = 200;

/// One heartbeat without the copy that other tests keep.
fn raw(world: &mut World, request: &HeartbeatRequest, records: &mut usize) -> HeartbeatAnswer {
    let turn = Turn { now: world.now, image: &world.image, settings: &world.settings };
    let mut actions = Actions::default();
    let answer = world.groups.consumer_heartbeat(&turn, &GroupId::from("g"), request, &mut actions).unwrap();
    *records += actions.records.len();
    answer
}

/// All members send heartbeats, giving up at once what they are to, until the group is stable; how many heartbeats that took.
fn settle(world: &mut World, epochs: &mut [i32], records: &mut usize) -> usize {
    let mut beats = 0;
    while world.group().state() != ConsumerGroupState::Stable {
        for (n, epoch) in epochs.iter_mut().enumerate() {
            let mut request = beat(&format!("member-{n:04}"), *epoch);
            let mut answer = raw(world, &request, records);
            if let Some(assignment) = answer.assignment.take() {
                request = HeartbeatRequest {
                    owned: Some(assignment),
                    member_epoch: answer.member_epoch,
                    ..request
                };
                answer = raw(world, &request, records);
            }
            *epoch = answer.member_epoch;
            beats += 2;
        }
    }
    beats
}

#[test]
#[ignore = "prints timings; no pass or fail"]
#[allow(clippy::print_stdout)]
fn the_cost_of_heartbeats_and_rebalances() {
    let mut world = World::new(&[("a", MEMBERS)]);
    let (mut epochs, mut records) = (vec![0; MEMBERS], 0);
    let begin = std::time::Instant::now();
    for (n, epoch) in epochs.iter_mut().enumerate() {
        *epoch = raw(&mut world, &join(&format!("member-{n:04}"), &["a"]), &mut records).member_epoch;
    }
    println!("{MEMBERS} joins: {:?} each, {records} records", begin.elapsed() / MEMBERS as u32);
    let (begin, mut records) = (std::time::Instant::now(), 0);
    let beats = settle(&mut world, &mut epochs, &mut records);
    println!("until stable: {beats} heartbeats, {:?} in all, {records} records", begin.elapsed());
    let requests: Vec<_> =
        epochs.iter().enumerate().map(|(n, epoch)| beat(&format!("member-{n:04}"), *epoch)).collect();
    let begin = std::time::Instant::now();
    for _ in 0..ROUNDS {
        world.now = TimestampMs(world.now.0 + 5);
        for request in &requests {
            raw(&mut world, request, &mut records);
        }
    }
    println!("a steady heartbeat: {:?}", begin.elapsed() / (ROUNDS * MEMBERS) as u32);
    let (begin, mut records) = (std::time::Instant::now(), 0);
    raw(&mut world, &beat("member-0500", -1), &mut records);
    epochs.remove(500);
    let left = begin.elapsed();
    epochs[0] = raw(&mut world, &beat("member-0000", epochs[0]), &mut records).member_epoch;
    println!("one leaves: {left:?}; the heartbeat that assigns anew: {:?}", begin.elapsed() - left);
    let begin = std::time::Instant::now();
    world.grow("a", MEMBERS);
    raw(&mut world, &beat("member-0000", epochs[0]), &mut records);
    println!("{MEMBERS} more partitions: the heartbeat that assigns anew: {:?}", begin.elapsed());
}
