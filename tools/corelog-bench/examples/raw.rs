//! Measures the bare client against the bare server: produce requests of one batch each (or fetches) in a closed loop,
//! nothing recorded but counts. What this reaches is the most that a run of the load generator can.
//!
//! raw BATCH_BYTES CONNECTIONS IN_FLIGHT SECONDS CLIENT_CPU SERVER_CPU|HOST:PORT
//!
//! CPUs are numbers, or `any`. Batches of 0 bytes mean fetches.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use corelog_bench::ceiling::{Ceiling, CeilingOptions};
use corelog_bench::client::{
    CLIENT_ID, ClientOptions, Cluster, Connection, FetchAnswer, FetchFrom, FetchTerms, Pipe, ProduceAnswer,
    ProduceTemplate, ProduceTerms, Security, TopicFacts,
};
use corelog_bench::host::own_threads;
use glommio::{LocalExecutorBuilder, Placement};
use kafka_protocol::messages::{FetchRequest, ProduceRequest};

#[derive(Clone, Copy)]
struct Load {
    batch_bytes: usize,
    connections: usize,
    in_flight: usize,
    seconds: u64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize| arguments[place].parse().unwrap();
    let load = Load {
        batch_bytes: number(0),
        connections: number(1),
        in_flight: number(2),
        seconds: number(3) as u64,
    };
    let client_cpu: Option<usize> = arguments[4].parse().ok();
    let ceiling = (!arguments[5].contains(':')).then(|| {
        let mut options = CeilingOptions::on("127.0.0.1:0".parse().unwrap());
        options.cpus.extend(arguments[5].parse::<usize>().ok());
        Ceiling::start(options).unwrap()
    });
    let address = ceiling.as_ref().map_or(arguments[5].clone(), |ceiling| ceiling.addresses()[0].to_string());
    let placement = client_cpu.map_or(Placement::Unbound, Placement::Fixed);
    let executor = LocalExecutorBuilder::new(placement).name("raw-client");
    executor.spawn(move || drive(load, address)).unwrap().join().unwrap();
}

async fn drive(load: Load, address: String) {
    let security = Security::Plaintext;
    let options =
        ClientOptions { bootstrap: vec![address.clone()], security, timeout: Duration::from_secs(5) };
    let mut cluster = Cluster::connect(&options).await.unwrap();
    let topic = cluster.locate(&["raw".to_owned()]).await.unwrap().remove(0);
    let (requests, bytes, stop) =
        (Rc::new(Cell::new(0_u64)), Rc::new(Cell::new(0_u64)), Rc::new(Cell::new(false)));
    let mut tasks = vec![];
    for number in 0..load.connections {
        let pipe = Connection::open(&address, &options).await.unwrap().into_pipe();
        let (topic, requests, bytes, stop) = (topic.clone(), requests.clone(), bytes.clone(), stop.clone());
        tasks.push(glommio::spawn_local(async move {
            let partition = (number % topic.partitions.len()) as i32;
            if load.batch_bytes == 0 {
                fetch(&pipe, load, (&topic, partition), (&requests, &bytes, &stop)).await;
            } else {
                produce(&pipe, load, (&topic, partition), (&requests, &bytes, &stop)).await;
            }
        }));
    }
    let before = own_threads().unwrap();
    let (started, counted) = (Instant::now(), requests.get());
    glommio::timer::sleep(Duration::from_secs(load.seconds)).await;
    let (seconds, counted) = (started.elapsed().as_secs_f64(), (requests.get() - counted) as f64);
    println!("{:.0} requests/s, {:.3} GB/s", counted / seconds, bytes.get() as f64 / seconds / 1e9);
    for thread in own_threads().unwrap() {
        if let Some(then) = before.iter().find(|then| then.id == thread.id) {
            let ran_ns = (thread.time.ran_ns - then.time.ran_ns) as f64;
            let waited_ns = (thread.time.waited_ns - then.time.waited_ns) as f64;
            if ran_ns > 1e6 {
                let (share, wait) = (ran_ns / seconds / 1e7, waited_ns / seconds / 1e7);
                println!(
                    "{}: {share:.0}% of a CPU, {wait:.0}% waiting for it, {:.2} us per request",
                    thread.name,
                    ran_ns / counted / 1e3
                );
            }
        }
    }
    stop.set(true);
    for task in tasks {
        task.await;
    }
}

type Counters<'a> = (&'a Cell<u64>, &'a Cell<u64>, &'a Cell<bool>);

async fn produce(
    pipe: &Pipe,
    load: Load,
    (topic, partition): (&TopicFacts, i32),
    (requests, bytes, stop): Counters<'_>,
) {
    let version = pipe.version::<ProduceRequest>().unwrap();
    let terms = ProduceTerms { version, client_id: CLIENT_ID, acks: -1, timeout_ms: 30_000 };
    let template = ProduceTemplate::new(&terms, topic, partition);
    let batch = Bytes::from(vec![0xab; load.batch_bytes]);
    let send = |correlation| {
        pipe.queue_with(|out| template.head(out, correlation, batch.len()));
        pipe.queue_slice(batch.clone());
        pipe.queue(template.tail());
    };
    (0..load.in_flight as i32).for_each(send);
    while !stop.get() {
        if !pipe.flush().unwrap() {
            pipe.drain().await.unwrap();
        }
        let mut each = |frame: corelog_bench::client::Frame<'_>| {
            let answer = ProduceAnswer::parse(&frame, version).unwrap();
            assert_eq!(answer.error, 0);
            requests.set(requests.get() + 1);
            bytes.set(bytes.get() + load.batch_bytes as u64);
            send(answer.correlation);
        };
        pipe.receive(&mut each).await.unwrap();
    }
}

async fn fetch(
    pipe: &Pipe,
    load: Load,
    (topic, partition): (&TopicFacts, i32),
    (requests, bytes, stop): Counters<'_>,
) {
    let version = pipe.version::<FetchRequest>().unwrap();
    let terms = FetchTerms {
        version,
        client_id: CLIENT_ID,
        max_wait_ms: 500,
        min_bytes: 1,
        max_bytes: 50 << 20,
        partition_max_bytes: 1 << 20,
    };
    let send = |correlation| {
        let from = FetchFrom { topic, partition, offset: 0 };
        pipe.queue_with(|out| terms.request(out, correlation, &[from]));
    };
    (0..load.in_flight as i32).for_each(send);
    while !stop.get() {
        if !pipe.flush().unwrap() {
            pipe.drain().await.unwrap();
        }
        let mut each = |frame: corelog_bench::client::Frame<'_>| {
            let answer = FetchAnswer::parse(frame.to_bytes(), version).unwrap();
            let correlation = answer.correlation;
            for partition in answer {
                bytes.set(bytes.get() + partition.unwrap().records.len() as u64);
            }
            requests.set(requests.get() + 1);
            send(correlation);
        };
        pipe.receive(&mut each).await.unwrap();
    }
}
