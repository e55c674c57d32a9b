//! Closed loops on many connections, driven by one thread.
//!
//! Key invariant: one request is in flight on each connection, and every answer is the one that was checked first, byte for byte.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use rustix::event::epoll;

use super::{Connection, GIVE_UP_AFTER};

/// What is done to a request before it is sent again.
type Change = Box<dyn FnMut(&mut Vec<u8>) + Send>;

/// One connection of a closed loop: the same request again and again, but for the bytes that `change` writes into it.
pub struct Looped {
    connection: Connection,
    request: Vec<u8>,
    pub change: Change,
    /// What the first answer was, which said that all is well. So do all that are equal to it.
    well: Vec<u8>,
    received: Vec<u8>,
    began: Instant,
}

impl Looped {
    /// Sends a first request and has `check` look at the answer.
    pub fn new(mut connection: Connection, request: Vec<u8>, check: impl Fn(Bytes) -> Option<()>) -> Self {
        let began = Instant::now();
        let well = loop {
            assert!(began.elapsed() < GIVE_UP_AFTER, "the coordinator does not come");
            let answer = connection.exchange(&request);
            match check(Bytes::copy_from_slice(&answer)) {
                Some(()) => break answer,
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        let well = [&(well.len() as u32).to_be_bytes(), &well[..]].concat();
        connection.0.set_nonblocking(true).unwrap();
        Self { connection, request, change: Box::new(|_| {}), well, received: vec![], began }
    }

    fn send(&mut self) {
        (self.change)(&mut self.request);
        self.began = Instant::now();
        // There is room in the socket: nothing else is in flight.
        self.connection.0.write_all(&self.request).unwrap();
    }

    /// Receives; true if the answer is whole.
    fn receive(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match self.connection.0.read(&mut buffer) {
            Ok(0) => panic!("the broker closed a connection"),
            Ok(count) => self.received.extend(&buffer[..count]),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
        let whole = self.received.len() >= self.well.len();
        if whole {
            assert_eq!(self.received, self.well, "not the answer that the first one was");
            self.received.clear();
        }
        whole
    }
}

/// A closed loop on each connection, all driven by one thread, so that the client takes as little as it can of CPUs that it shares
/// with the broker; prints the rate and how long each call took.
pub fn loops(numbers: std::ops::Range<usize>, seconds: u64, make: impl Fn(usize) -> Looped + Sync) {
    let connections = numbers.len();
    // All at once: to become the member of a new group takes the initial rebalance delay.
    let mut looped: Vec<Looped> = std::thread::scope(|scope| {
        let make = &make;
        let made: Vec<_> = numbers.map(|number| scope.spawn(move || make(number))).collect();
        made.into_iter().map(|made| made.join().unwrap()).collect()
    });
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
    for (number, each) in looped.iter().enumerate() {
        let number = epoll::EventData::new_u64(number as u64);
        epoll::add(&poll, &each.connection.0, number, epoll::EventFlags::IN).unwrap();
    }
    let mut waits = Histogram::<u64>::new(3).unwrap();
    let mut events = Vec::with_capacity(connections);
    let began = Instant::now();
    looped.iter_mut().for_each(Looped::send);
    while began.elapsed() < Duration::from_secs(seconds) {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None).unwrap();
        for event in &events {
            let each = &mut looped[event.data.u64() as usize];
            if each.receive() {
                waits.record(each.began.elapsed().as_nanos() as u64).unwrap();
                each.send();
            }
        }
    }
    let elapsed = began.elapsed().as_secs_f64();
    let us = |quantile| waits.value_at_quantile(quantile) as f64 / 1e3;
    println!(
        "connections={connections} per_second={:.0} count={} p50_us={:.0} p99_us={:.0}",
        waits.len() as f64 / elapsed,
        waits.len(),
        us(0.5),
        us(0.99)
    );
}
