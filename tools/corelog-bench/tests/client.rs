//! The client against the server that stores nothing, over real sockets: negotiation in old and new versions, topics,
//! log-in, the hot path, and every way in which it may fail.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use corelog::record::BatchHeader;
use corelog_bench::ceiling::{Ceiling, CeilingError, CeilingOptions, END_OFFSET, Faults, Offered, Stall};
use corelog_bench::client::{
    CLIENT_ID, ClientError, ClientOptions, Cluster, Connection, FetchAnswer, FetchFrom, FetchTerms,
    FetchedPartition, Frame, OffsetAt, Pipe, ProduceAnswer, ProduceTemplate, ProduceTerms, Security,
    TopicFacts,
};
use corelog_bench::workload::TopicPlan;
use glommio::{LocalExecutorBuilder, Placement};
use kafka_protocol::messages::{ApiKey, FetchRequest, MetadataRequest, ProduceRequest};

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn quiet() -> CeilingOptions {
    CeilingOptions::on(any_port())
}

fn options(addresses: &[SocketAddr]) -> ClientOptions {
    ClientOptions {
        bootstrap: addresses.iter().map(SocketAddr::to_string).collect(),
        security: Security::Plaintext,
        timeout: Duration::from_secs(10),
    }
}

/// Runs `test` on an executor of its own against a server.
fn against<T: 'static + Send, F: Future<Output = T> + 'static>(
    server: CeilingOptions,
    test: impl FnOnce(ClientOptions) -> F + Send + 'static,
) -> T {
    let ceiling = Ceiling::start(server).unwrap();
    let options = options(ceiling.addresses());
    on_executor(move || test(options))
}

fn on_executor<T: 'static + Send, F: Future<Output = T> + 'static>(
    test: impl FnOnce() -> F + Send + 'static,
) -> T {
    LocalExecutorBuilder::new(Placement::Unbound).spawn(test).unwrap().join().unwrap()
}

fn plan(name: &str, topics: u32, partitions: i32) -> TopicPlan {
    let settings = BTreeMap::from([("retention.ms".to_owned(), "60000".to_owned())]);
    TopicPlan { name: name.to_owned(), topics, partitions, settings, ..TopicPlan::default() }
}

fn template(pipe: &Pipe, topic: &TopicFacts, partition: i32, acks: i16) -> (ProduceTemplate, i16) {
    let version = pipe.version::<ProduceRequest>().unwrap();
    let terms = ProduceTerms { version, client_id: CLIENT_ID, acks, timeout_ms: 1_000 };
    (ProduceTemplate::new(&terms, topic, partition), version)
}

/// Sends one batch and returns what comes back.
async fn produce_once(
    pipe: &Pipe,
    topic: &TopicFacts,
    partition: i32,
    batch: Bytes,
) -> Result<ProduceAnswer, ClientError> {
    let (template, version) = template(pipe, topic, partition, 1);
    pipe.queue_with(|out| template.head(out, 77, batch.len()));
    pipe.queue_slice(batch);
    pipe.queue(template.tail());
    pipe.drain().await?;
    let mut answer = None;
    pipe.receive(&mut |frame| answer = Some(ProduceAnswer::parse(&frame, version))).await?;
    Ok(answer.unwrap().unwrap())
}

async fn fetch_once(pipe: &Pipe, terms: &FetchTerms<'_>, wanted: &[FetchFrom<'_>]) -> Vec<FetchedPartition> {
    pipe.queue_with(|out| terms.request(out, 5, wanted));
    pipe.drain().await.unwrap();
    let mut frame = None;
    pipe.receive(&mut |received| frame = Some(received.to_bytes())).await.unwrap();
    let answer = FetchAnswer::parse(frame.unwrap(), terms.version).unwrap();
    assert_eq!((answer.correlation, answer.error), (5, 0));
    answer.map(Result::unwrap).collect()
}

fn fetch_terms(version: i16) -> FetchTerms<'static> {
    FetchTerms {
        version,
        client_id: CLIENT_ID,
        max_wait_ms: 1,
        min_bytes: 1,
        max_bytes: 8 << 20,
        partition_max_bytes: 1 << 20,
    }
}

/// Everything that a run does, once.
async fn whole_round(options: ClientOptions) {
    let mut cluster = Cluster::connect(&options).await.unwrap();
    let plan = plan("round", 2, 3);
    cluster.create_topics(&plan).await.unwrap();
    let refused = cluster.create_topics(&plan).await.unwrap_err().to_string();
    assert!(refused.contains("round-0") && refused.contains("exists already"), "{refused}");
    let overlapping = cluster.create_topics(&self::plan("round", 3, 3)).await;
    assert!(overlapping.is_err());
    let undone = cluster.locate(&["round-2".to_owned()]).await.unwrap_err();
    assert_eq!(undone, ClientError::UnknownTopic { topic: "round-2".to_owned() });
    let topics = cluster.locate(&["round-1".to_owned(), "round-0".to_owned()]).await.unwrap();
    assert_eq!(topics[0].name, "round-1");
    assert_eq!(
        topics[0].partitions.iter().map(|p| (p.index, p.leader)).collect::<Vec<_>>(),
        [(0, 0), (1, 0), (2, 0)]
    );
    let earliest = cluster.offsets("round-1", &[2, 0], OffsetAt::Earliest).await.unwrap();
    let latest = cluster.offsets("round-1", &[2, 0], OffsetAt::Latest).await.unwrap();
    assert_eq!((earliest, latest), (vec![0, 0], vec![END_OFFSET; 2]));
    let first = cluster.init_producer().await.unwrap();
    assert_ne!(first, cluster.init_producer().await.unwrap());

    let leader = cluster.broker(topics[0].partitions[2].leader).unwrap().address();
    let pipe = Connection::open(&leader, &options).await.unwrap().into_pipe();
    for size in [1_000, 100_000, 3_000_000] {
        let answer = produce_once(&pipe, &topics[0], 2, Bytes::from(vec![1; size])).await.unwrap();
        assert_eq!(answer, ProduceAnswer { correlation: 77, partition: 2, error: 0, base_offset: 0 });
    }
    let terms = fetch_terms(pipe.version::<FetchRequest>().unwrap());
    let wanted: Vec<FetchFrom<'_>> = topics
        .iter()
        .flat_map(|topic| (0..2).map(move |partition| FetchFrom { topic, partition, offset: END_OFFSET + 3 }))
        .collect();
    let partitions = fetch_once(&pipe, &terms, &wanted).await;
    assert_eq!(partitions.len(), 4);
    for (fetched, wanted) in partitions.iter().zip(&wanted) {
        assert!(
            fetched.topic.is(wanted.topic) && fetched.partition == wanted.partition && fetched.error == 0
        );
        let batch = BatchHeader::parse_whole(&fetched.records).unwrap();
        batch.check_crc(&fetched.records).unwrap();
        assert_eq!((batch.base_offset.0, batch.next_offset().0), (END_OFFSET + 3, fetched.high_watermark));
    }
    cluster.remove_topics(&plan).await.unwrap();
    cluster.remove_topics(&plan).await.unwrap();
    let gone = cluster.locate(&["round-1".to_owned()]).await.unwrap_err();
    assert_eq!(gone, ClientError::UnknownTopic { topic: "round-1".to_owned() });
}

#[test]
fn a_whole_round_with_the_newest_and_the_oldest_brokers() {
    let of_2_8 = Offered::newest()
        .at_most(ApiKey::Produce, 9)
        .at_most(ApiKey::Fetch, 12)
        .at_most(ApiKey::ApiVersions, 3);
    for offered in [Offered::newest(), of_2_8, Offered::kafka_1_0()] {
        against(CeilingOptions { offered, partitions: None, ..quiet() }, whole_round);
    }
}

#[test]
fn every_version_of_produce_and_fetch_works() {
    for step in 0..15 {
        let offered =
            Offered::newest().at_most(ApiKey::Produce, 3 + step.min(10)).at_most(ApiKey::Fetch, 4 + step);
        against(CeilingOptions { offered, batch_bytes: 2_000, ..quiet() }, move |options| async move {
            let mut cluster = Cluster::connect(&options).await.unwrap();
            let topic = cluster.locate(&["t".to_owned()]).await.unwrap().remove(0);
            let pipe = Connection::open(&options.bootstrap[0], &options).await.unwrap().into_pipe();
            assert_eq!(pipe.version::<ProduceRequest>().unwrap(), 3 + step.min(10));
            assert_eq!(pipe.version_at_most::<ProduceRequest>(5).unwrap(), 5.min(3 + step));
            assert_eq!(produce_once(&pipe, &topic, 1, Bytes::from_static(b"batch")).await.unwrap().error, 0);
            let version = pipe.version::<FetchRequest>().unwrap();
            let wanted = FetchFrom { topic: &topic, partition: 1, offset: 0 };
            let fetched = fetch_once(&pipe, &fetch_terms(version), &[wanted]).await;
            assert!(fetched[0].topic.is(&topic) && !fetched[0].records.is_empty());
        });
    }
}

#[test]
fn requests_in_flight_are_answered_in_order_whatever_their_size() {
    const REQUESTS: i32 = 400;
    against(quiet(), |options| async move {
        let mut cluster = Cluster::connect(&options).await.unwrap();
        let topic = cluster.locate(&["t".to_owned()]).await.unwrap().remove(0);
        let pipe = Rc::new(Connection::open(&options.bootstrap[0], &options).await.unwrap().into_pipe());
        let (template, version) = template(&pipe, &topic, 0, -1);
        for correlation in 0..REQUESTS {
            let batch = Bytes::from(vec![7; [10, 1_000, 5_000, 120_000][correlation as usize % 4]]);
            pipe.queue_with(|out| template.head(out, correlation, batch.len()));
            pipe.queue_slice(batch);
            pipe.queue(template.tail());
        }
        assert!(pipe.queued_bytes() > 10_000_000);
        // The socket rarely takes that much at once; what is left is drained.
        pipe.flush().unwrap();
        let draining = glommio::spawn_local({
            let pipe = pipe.clone();
            async move { pipe.drain().await }
        });
        let seen = RefCell::new(vec![]);
        while seen.borrow().len() < REQUESTS as usize {
            let mut each = |frame: Frame<'_>| {
                seen.borrow_mut().push(ProduceAnswer::parse(&frame, version).unwrap().correlation)
            };
            pipe.receive(&mut each).await.unwrap();
        }
        draining.await.unwrap();
        assert_eq!(pipe.queued_bytes(), 0);
        assert!(seen.borrow().iter().copied().eq(0..REQUESTS));
    });
}

#[test]
fn acks_0_has_no_answer() {
    against(quiet(), |options| async move {
        let mut cluster = Cluster::connect(&options).await.unwrap();
        let topic = cluster.locate(&["t".to_owned()]).await.unwrap().remove(0);
        let pipe = Connection::open(&options.bootstrap[0], &options).await.unwrap().into_pipe();
        let (template, _) = template(&pipe, &topic, 0, 0);
        pipe.queue_with(|out| template.head(out, 1, 3));
        pipe.queue(b"abc");
        pipe.queue(template.tail());
        // The answer that comes is that of the second request.
        assert_eq!(produce_once(&pipe, &topic, 0, Bytes::from_static(b"abc")).await.unwrap().correlation, 77);
    });
}

#[test]
fn sasl_lets_in_who_knows_the_password() {
    let login = Some(("ann".to_owned(), "secret".to_owned()));
    let plain =
        |password: &str| Security::SaslPlain { user: "ann".to_owned(), password: password.to_owned() };
    for offered in [Offered::newest(), Offered::kafka_1_0()] {
        let security = plain("secret");
        against(CeilingOptions { login: login.clone(), offered, partitions: None, ..quiet() }, |options| {
            whole_round(ClientOptions { security, ..options })
        });
    }
    let (wrong, right) = (plain("wrong"), plain("secret"));
    against(CeilingOptions { login, ..quiet() }, |options| async move {
        let refused =
            Cluster::connect(&ClientOptions { security: wrong, ..options.clone() }).await.unwrap_err();
        assert!(matches!(refused, ClientError::Authentication { .. }), "{refused}");
        assert!(refused.to_string().contains("Invalid username or password"), "{refused}");
        let unasked = Cluster::connect(&options).await.unwrap_err();
        assert!(unasked.to_string().contains("give user and password"), "{unasked}");
    });
    against(quiet(), |options| async move {
        let needless = Cluster::connect(&ClientOptions { security: right, ..options }).await.unwrap_err();
        assert!(needless.to_string().contains("does not use SASL"), "{needless}");
    });
}

#[test]
fn nobody_there_is_told_and_another_bootstrap_address_is_tried() {
    let free = TcpListener::bind(any_port()).unwrap();
    let nobody = free.local_addr().unwrap().to_string();
    drop(free);
    against(quiet(), |options| async move {
        let alone = ClientOptions { bootstrap: vec![nobody.clone()], ..options.clone() };
        let error = Cluster::connect(&alone).await.unwrap_err();
        assert!(matches!(&error, ClientError::Unreachable { address, .. } if *address == nobody), "{error}");
        assert!(error.to_string().contains("connection refused"), "{error}");
        for wrong in ["nowhere", "host:port", ":1"] {
            let error =
                Cluster::connect(&ClientOptions { bootstrap: vec![wrong.to_owned()], ..options.clone() })
                    .await;
            assert!(error.unwrap_err().to_string().contains("HOST:PORT"));
        }
        let bootstrap = vec![nobody, options.bootstrap[0].clone()];
        assert_eq!(
            Cluster::connect(&ClientOptions { bootstrap, ..options }).await.unwrap().brokers().len(),
            1
        );
    });
}

#[test]
fn a_peer_that_is_silent_or_no_broker_ends_in_an_error() {
    use std::io::Write;
    let silent = TcpListener::bind(any_port()).unwrap();
    let web = TcpListener::bind(any_port()).unwrap();
    let (silent_at, web_at) = (silent.local_addr().unwrap(), web.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = web.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        // Held until the client has read.
        let _ = std::io::Read::read(&mut stream, &mut [0; 1_000]);
        let _ = std::io::Read::read(&mut stream, &mut [0; 1_000]);
    });
    on_executor(move || async move {
        let limited = ClientOptions { timeout: Duration::from_millis(100), ..options(&[silent_at]) };
        let started = Instant::now();
        let error = Connection::open(&limited.bootstrap[0], &limited).await.unwrap_err();
        assert!(matches!(error, ClientError::TimedOut { within_ms: 100, .. }), "{error}");
        assert!(started.elapsed() >= Duration::from_millis(100));
        let error = Connection::open(&web_at.to_string(), &options(&[web_at])).await.unwrap_err();
        assert!(error.to_string().contains("is it a Kafka broker?"), "{error}");
    });
    server.join().unwrap();
}

#[test]
fn a_socket_that_takes_nothing_ends_in_a_timeout() {
    let offered = Offered::newest();
    let stall = Some(Stall { after: Duration::ZERO, length: Duration::from_secs(2) });
    let faults = Faults { stall, ..Faults::default() };
    against(CeilingOptions { offered, faults, ..quiet() }, |options| async move {
        let limited = ClientOptions { timeout: Duration::from_millis(300), ..options };
        let mut cluster = Cluster::connect(&limited).await.unwrap();
        let topic = cluster.locate(&["t".to_owned()]).await.unwrap().remove(0);
        let pipe = Connection::open(&limited.bootstrap[0], &limited).await.unwrap().into_pipe();
        let (template, _) = template(&pipe, &topic, 0, 1);
        let batch = Bytes::from(vec![0; 64 << 20]);
        for _ in 0..2 {
            pipe.queue_with(|out| template.head(out, 1, batch.len()));
            pipe.queue_slice(batch.clone());
            pipe.queue(template.tail());
            pipe.queue_with(|out| template.head(out, 1, 1));
            pipe.queue(&[0]);
            pipe.queue(template.tail());
        }
        let error = pipe.drain().await.unwrap_err();
        assert!(matches!(error, ClientError::TimedOut { .. }), "{error}");
    });
}

#[test]
fn closing_wakes_who_receives() {
    against(quiet(), |options| async move {
        let pipe = Rc::new(Connection::open(&options.bootstrap[0], &options).await.unwrap().into_pipe());
        let receiving = glommio::spawn_local({
            let pipe = pipe.clone();
            async move { pipe.receive(&mut |_| ()).await }
        });
        glommio::timer::sleep(Duration::from_millis(10)).await;
        pipe.close();
        assert!(matches!(receiving.await, Err(ClientError::Closed { .. })));
    });
}

#[test]
fn the_cluster_outlives_its_connections_and_one_of_its_brokers() {
    let first = Ceiling::start(CeilingOptions { listen: vec![any_port(); 2], ..quiet() }).unwrap();
    let addresses = first.addresses().to_vec();
    // A second server at other addresses stands for the brokers that are left.
    let second = Ceiling::start(quiet()).unwrap();
    let mut all = addresses.clone();
    all.extend(second.addresses());
    on_executor(move || async move {
        let mut cluster = Cluster::connect(&options(&all)).await.unwrap();
        assert_eq!(cluster.brokers().len(), 2);
        cluster.locate(&["t".to_owned()]).await.unwrap();
        drop(first);
        cluster.locate(&["t".to_owned()]).await.unwrap();
        assert_eq!(cluster.brokers().len(), 1);
    });
    drop(second);
}

#[test]
fn faults_show_as_errors_lost_connections_and_stalls() {
    let stall = Stall { after: Duration::from_millis(0), length: Duration::from_millis(300) };
    against(
        CeilingOptions { faults: Faults { stall: Some(stall), ..Faults::default() }, ..quiet() },
        |options| async move {
            let (pipe, topic) = opened(&options).await;
            let started = Instant::now();
            produce_once(&pipe, &topic, 0, Bytes::from_static(b"x")).await.unwrap();
            assert!(started.elapsed() >= Duration::from_millis(290), "{:?}", started.elapsed());
        },
    );
    let faults = Faults { error_every: Some((3, 7)), close_every: Some(5), ..Faults::default() };
    against(CeilingOptions { faults, ..quiet() }, |options| async move {
        let (pipe, topic) = opened(&options).await;
        let mut seen = vec![];
        for _ in 0..4 {
            seen.push(produce_once(&pipe, &topic, 0, Bytes::from_static(b"x")).await.unwrap().error);
        }
        assert_eq!(seen, [0, 0, 7, 0]);
        let lost = produce_once(&pipe, &topic, 0, Bytes::from_static(b"x")).await.unwrap_err();
        assert!(
            matches!(lost, ClientError::Closed { .. }) && lost.is_disconnect() && lost.is_retriable(),
            "{lost}"
        );
        let (pipe, topic) = opened(&options).await;
        assert_eq!(produce_once(&pipe, &topic, 0, Bytes::from_static(b"x")).await.unwrap().error, 7);
    });
}

async fn opened(options: &ClientOptions) -> (Pipe, TopicFacts) {
    let mut cluster = Cluster::connect(options).await.unwrap();
    let topic = cluster.locate(&["t".to_owned()]).await.unwrap().remove(0);
    (Connection::open(&options.bootstrap[0], options).await.unwrap().into_pipe(), topic)
}

#[test]
fn leaders_move_to_the_next_broker() {
    const NOT_LEADER: i16 = 6;
    let faults = Faults { move_leaders_after: Some(Duration::from_millis(200)), ..Faults::default() };
    let alone = Ceiling::start(CeilingOptions { faults, ..quiet() });
    assert!(matches!(alone, Err(CeilingError::OneBroker)));
    against(CeilingOptions { listen: vec![any_port(); 2], faults, ..quiet() }, |options| async move {
        let mut cluster = Cluster::connect(&options).await.unwrap();
        let names = ["t".to_owned()];
        let topic = cluster.locate(&names).await.unwrap().remove(0);
        assert_eq!((topic.partitions[0].leader, topic.partitions[1].leader), (0, 1));
        let pipe =
            Connection::open(&cluster.broker(0).unwrap().address(), &options).await.unwrap().into_pipe();
        assert_eq!(produce_once(&pipe, &topic, 1, Bytes::from_static(b"x")).await.unwrap().error, NOT_LEADER);
        let started = Instant::now();
        while produce_once(&pipe, &topic, 0, Bytes::from_static(b"x")).await.unwrap().error == 0 {
            assert!(started.elapsed() < Duration::from_secs(10), "the leader never moves");
            glommio::timer::sleep(Duration::from_millis(20)).await;
        }
        let moved = cluster.locate(&names).await.unwrap().remove(0);
        assert_eq!((moved.partitions[0].leader, moved.partitions[0].leader_epoch), (1, 1));
        assert_eq!(cluster.offsets("t", &[0, 1], OffsetAt::Earliest).await.unwrap(), [0, 0]);
    });
}

#[test]
fn connections_are_dealt_evenly_and_a_taken_port_is_told() {
    let cpus: Vec<usize> = rustix::thread::sched_getaffinity(None)
        .map(|set| (0..1_024).filter(|cpu| set.is_set(*cpu)).take(2).collect())
        .unwrap();
    let ceiling = Ceiling::start(CeilingOptions { cpus, ..quiet() }).unwrap();
    let taken = Ceiling::start(CeilingOptions::on(ceiling.addresses()[0])).unwrap_err();
    assert!(matches!(taken, CeilingError::Listen { .. }), "{taken}");
    let options = options(ceiling.addresses());
    on_executor(move || async move {
        let mut open = vec![];
        for _ in 0..20 {
            open.push(opened(&options).await);
        }
        for (pipe, topic) in &open {
            assert_eq!(produce_once(pipe, topic, 0, Bytes::from_static(b"x")).await.unwrap().error, 0);
        }
    });
    assert_eq!(ceiling.complaints(), [""; 0]);
}

#[test]
fn garbage_closes_one_connection_and_is_told() {
    use std::io::{Read, Write};
    let ceiling = Ceiling::start(quiet()).unwrap();
    let mut stream = std::net::TcpStream::connect(ceiling.addresses()[0]).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    // A reset counts as closed: the server did not read everything.
    assert_eq!(stream.read(&mut [0; 10]).unwrap_or(0), 0);
    let options = options(ceiling.addresses());
    on_executor(move || async move {
        let mut connection = Connection::open(&options.bootstrap[0], &options).await.unwrap();
        let request = MetadataRequest::default().with_topics(Some(vec![]));
        assert_eq!(connection.call(&request).await.unwrap().brokers.len(), 1);
    });
    assert_eq!(ceiling.complaints().len(), 1, "{:?}", ceiling.complaints());
}
