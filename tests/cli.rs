//! The command line as people use it: the real binary as broker and as client.
//!
//! Key invariant: every broker listens on ports that the system chose, keeps its data in a directory of its own, and is
//! ended by its process id. What clients of other makers see is left to `tests/clients`.

#[path = "cli/broker.rs"]
mod broker;
#[path = "cli/group.rs"]
mod group;
#[path = "cli/tune.rs"]
mod tune;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use broker::{Broker, Ran, corelog, run};
use serde_json::{Value, json};

#[test]
fn topics_are_created_listed_described_altered_and_deleted() {
    let broker = Broker::start();
    let created =
        broker.run(&["topic", "create", "orders", "--partitions", "3", "-c", "retention.ms=86400000"]);
    assert_eq!(
        (created.code, created.out.as_str()),
        (0, "Created topic orders with 3 partitions.\n"),
        "{created:?}"
    );

    let again = broker.run(&["topic", "create", "orders"]);
    assert_eq!(again.code, 5, "{again:?}");
    assert!(again.err.contains("TOPIC_ALREADY_EXISTS") && again.err.contains("--if-not-exists"), "{again:?}");
    assert_eq!(broker.run(&["topic", "create", "orders", "--if-not-exists"]).code, 0);

    let listed = broker.json(&["topic", "list", "--json"]);
    assert_eq!((&listed[0]["topic"], &listed[0]["partitions"]), (&json!("orders"), &json!(3)));

    let described = broker.json(&["topic", "describe", "orders", "--json"]);
    assert_eq!(described[0]["settings"], json!({ "retention.ms": "86400000" }));
    assert_eq!(described[0]["partitions"][2]["end_offset"], json!(0));

    let altered = broker.run(&[
        "topic",
        "alter",
        "orders",
        "--partitions",
        "5",
        "--config",
        "max.message.bytes=2000000",
        "--delete-config",
        "retention.ms",
    ]);
    assert_eq!(altered.code, 0, "{altered:?}");
    let described = broker.json(&["topic", "describe", "orders", "--json"]);
    assert_eq!(described[0]["settings"], json!({ "max.message.bytes": "2000000" }));
    assert_eq!(described[0]["partitions"].as_array().map(Vec::len), Some(5));

    assert_eq!(broker.run(&["topic", "delete", "orders"]).code, 0);
    assert_eq!(broker.run(&["topic", "describe", "orders"]).code, 4);
    assert_eq!(broker.run(&["topic", "delete", "orders"]).code, 4);
    assert_eq!(broker.run(&["topic", "delete", "orders", "--if-exists"]).code, 0);
}

#[test]
fn refusals_are_told_with_their_reason() {
    let broker = Broker::start();
    let replicas = broker.run(&["topic", "create", "t", "--replication-factor", "3"]);
    assert_eq!(replicas.code, 5, "{replicas:?}");
    assert!(replicas.err.contains("INVALID_REPLICATION_FACTOR"), "{replicas:?}");
    let setting = broker.run(&["topic", "create", "t", "--config", "retention.mss=1"]);
    assert_eq!(setting.code, 5, "{setting:?}");
    assert!(setting.err.contains("retention.mss") && setting.err.contains("INVALID_CONFIG"), "{setting:?}");
    let unknown = broker.run(&["consume", "absent", "--from-beginning"]);
    assert_eq!(unknown.code, 4, "{unknown:?}");
    assert!(unknown.err.contains("absent") && unknown.err.contains("corelog topic list"), "{unknown:?}");
    broker.must(&["topic", "create", "one", "--partitions", "1"]);
    let beyond = broker.run(&["consume", "one", "--partition", "0", "--offset", "7"]);
    assert_eq!(beyond.code, 4, "{beyond:?}");
    assert!(beyond.err.contains("offset 7 is not there; the partition holds 0 to 0"), "{beyond:?}");
    assert_eq!(broker.run(&["consume", "one", "--partition", "3"]).code, 4);
}

#[test]
fn a_file_comes_back_as_it_was_with_every_codec() {
    let broker = Broker::start();
    let text = broker::some_text(20_000);
    let file = broker.directory().join("text");
    std::fs::write(&file, &text).expect("the test's directory is writable");
    let file = file.to_str().expect("the path is text");
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        broker.must(&["topic", "create", codec, "--partitions", "1"]);
        let summary = broker.json(&["produce", codec, "--file", file, "--compression", codec, "--json"]);
        assert_eq!(summary["records"], json!(20_000), "{codec}");
        let read = broker.run(&["consume", codec, "--from-beginning", "--until-end"]);
        assert!(read.code == 0 && read.out == text, "{codec}: {} bytes, {}", read.out.len(), read.err);
    }
    let some = broker.run(&["consume", "zstd", "--partition", "0", "--offset", "12345", "--count", "2"]);
    let expected: Vec<&str> = text.lines().skip(12_345).take(2).collect();
    assert_eq!(some.out.lines().collect::<Vec<_>>(), expected);
    assert!(some.err.contains("2 records read"), "{some:?}");
}

#[test]
fn keys_choose_partitions_and_keep_their_order() {
    let broker = Broker::start();
    broker.must(&["topic", "create", "keyed", "--partitions", "4"]);
    let lines: String = (0..2000).map(|n| format!("key-{}=value {n}\n", n % 7)).collect();
    let sent = broker.run_with(&["produce", "keyed", "--key-separator", "="], lines.as_bytes());
    assert_eq!(sent.code, 0, "{sent:?}");
    let read = broker.must(&["consume", "keyed", "--from-beginning", "--until-end", "--json"]);
    let records: Vec<Value> = read.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(records.len(), 2000);
    for key in 0..7 {
        let key = json!(format!("key-{key}"));
        let of_key: Vec<&Value> = records.iter().filter(|record| record["key"] == key).collect();
        assert!(of_key.iter().all(|record| record["partition"] == of_key[0]["partition"]), "{key}");
        let number = |record: &Value| record["value"].as_str().and_then(|v| v[6..].parse::<u32>().ok());
        assert!(of_key.is_sorted_by_key(|record| number(record)), "{key}");
    }
    let unkeyed = broker.run_with(&["produce", "keyed", "--key-separator", "="], b"a=b\nno key\n");
    assert_eq!(unkeyed.code, 2, "{unkeyed:?}");
    assert!(unkeyed.err.contains("line 2"), "{unkeyed:?}");
}

#[test]
fn headers_and_nulls_come_back() {
    let broker = Broker::start();
    broker.must(&["topic", "create", "h", "--partitions", "1"]);
    let arguments = [
        "produce",
        "h",
        "--parse-headers",
        "--key-separator",
        "\\t",
        "--header",
        "x=y",
        "--null-marker",
        "NULL",
    ];
    let sent = broker.run_with(&arguments, b"a:1\tk\tv\n\tk\tNULL\n");
    assert_eq!(sent.code, 0, "{sent:?}");
    let read = broker.must(&[
        "consume",
        "h",
        "--from-beginning",
        "--until-end",
        "--headers",
        "--keys",
        "--key-separator",
        "|",
    ]);
    assert_eq!(read, "x:y,a:1|k|v\nx:y|k|null\n");
}

#[test]
fn consume_follows_and_ends_cleanly_on_ctrl_c() {
    let broker = Broker::start();
    broker.must(&["topic", "create", "live", "--partitions", "2"]);
    let mut command = Command::new(corelog());
    command.args(["consume", "live", "--from-beginning", "-b", broker.address()]);
    let mut reader = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built for this test");
    let mut lines = BufReader::new(reader.stdout.take().expect("it is piped")).lines();
    for round in 0..3 {
        let sent = broker.run_with(&["produce", "live"], format!("round {round}\n").as_bytes());
        assert_eq!(sent.code, 0, "{sent:?}");
        let line = lines.next().expect("it follows the topic").expect("it is readable");
        assert_eq!(line, format!("round {round}"));
    }
    broker::signal(&reader, rustix::process::Signal::INT);
    let ended = reader.wait_with_output().expect("it ends");
    assert_eq!(ended.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("3 records read"), "{ended:?}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let broker = Broker::start();
    let text = broker::some_text(50_000);
    let sent = broker.run_with(&["produce", "piped"], text.as_bytes());
    assert_eq!(sent.code, 0, "{sent:?}");
    let mut command = Command::new(corelog());
    command.args(["consume", "piped", "--from-beginning", "--quiet", "-b", broker.address()]);
    let mut reader = command.stdout(Stdio::piped()).spawn().expect("the binary was built for this test");
    let mut first = String::new();
    BufReader::new(reader.stdout.take().expect("it is piped")).read_line(&mut first).expect("it is readable");
    assert!(text.contains(&first));
    assert_eq!(reader.wait().expect("it ends").code(), Some(0));
}

#[test]
fn acknowledged_records_survive_kill_9() {
    let mut broker = Broker::start();
    broker.must(&["topic", "create", "kept", "--partitions", "1"]);
    let text = broker::some_text(5_000);
    let sent = broker.run_with(&["produce", "kept"], text.as_bytes());
    assert_eq!(sent.code, 0, "{sent:?}");
    broker.kill();
    broker.start_again();
    assert_eq!(broker.must(&["consume", "kept", "--from-beginning", "--until-end"]), text);
    let stopped = broker.stop();
    assert_eq!(stopped, Some(0), "SIGTERM ends the broker cleanly");
}

#[test]
fn producing_goes_on_when_the_broker_comes_back() {
    const ROUNDS: u32 = 3;
    let mut broker = Broker::start();
    broker.must(&["topic", "create", "once", "--partitions", "1"]);
    let mut command = Command::new(corelog());
    command.args(["produce", "once", "-b", broker.address()]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut producer = command.spawn().expect("the binary was built for this test");
    let mut input = producer.stdin.take().expect("it is piped");
    let text = broker::some_text(3_000);
    input.write_all(text.as_bytes()).expect("it reads");
    // A producer that never reached the broker ends at once, which is another test.
    broker.wait_for_records("once");
    for _ in 0..ROUNDS {
        // Some of it is in flight when the broker dies, some comes while nobody is there. If the producer has given up,
        // its exit code says so.
        let _ = input.write_all(text.as_bytes());
        broker.kill();
        let _ = input.write_all(text.as_bytes());
        broker.start_again();
    }
    drop(input);
    let ended = producer.wait_with_output().expect("it ends");
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    let read = broker.must(&["consume", "once", "--from-beginning", "--until-end"]);
    let times = ROUNDS as usize * 2 + 1;
    assert_eq!(read.len(), text.len() * times, "nothing is lost or there twice");
    assert!(read == text.repeat(times), "everything is in order");
}

#[test]
fn serve_refuses_what_it_cannot_do() {
    let broker = Broker::start();
    let elsewhere = broker.directory().join("elsewhere");
    let elsewhere = elsewhere.to_str().expect("the path is text");
    let free = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let data = broker.data_dir();

    let twice = run(&[&["serve", "--data-dir", &data][..], &free[..]].concat());
    assert_ne!(twice.code, 0, "{twice:?}");
    assert!(twice.err.contains(&data), "{twice:?}");

    let taken =
        run(&["serve", "--data-dir", elsewhere, "--admin", "127.0.0.1:0", "--listen", broker.address()]);
    assert_ne!(taken.code, 0, "{taken:?}");
    assert!(taken.err.contains(broker.address()), "{taken:?}");

    let misspelt = run(&["serve", "--data-dir", elsewhere, "--set", "num.partition=3"]);
    assert_eq!(misspelt.code, 2, "{misspelt:?}");
    assert!(misspelt.err.contains("num.partitions"), "{misspelt:?}");
}

#[test]
fn a_broker_that_is_not_there_is_said_so() {
    // Bound but not listening: nobody else can take the port, and nobody answers on it.
    let address = rustix::net::SocketAddrV4::new(rustix::net::Ipv4Addr::LOCALHOST, 0);
    use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
    let held = socket(AddressFamily::INET, SocketType::STREAM, None).expect("sockets are allowed");
    bind(&held, &address).expect("a free port is there");
    let bound = std::net::SocketAddr::try_from(getsockname(&held).expect("it is bound")).expect("it is IPv4");
    let absent = run(&["topic", "list", "-b", &bound.to_string()]);
    assert_eq!(absent.code, 3, "{absent:?}");
    assert!(absent.err.contains(&bound.to_string()) && absent.err.contains("corelog serve"), "{absent:?}");
    assert_eq!(run(&["topic", "list", "-b", "nowhere"]).code, 2);
    assert_eq!(run(&["topic", "list", "--no-such-flag"]).code, 2);
}

#[test]
fn doctor_says_what_it_found() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().to_str().expect("the path is text");
    let ran = run(&["doctor", "--json", "--data-dir", path]);
    let findings: Vec<Value> = serde_json::from_str(&ran.out).expect("it prints JSON");
    let failed = findings.iter().any(|finding| finding["status"] == json!("fail"));
    assert_eq!(ran.code, i32::from(failed), "{ran:?}");
    for name in [
        "kernel",
        "io_uring",
        "locked memory",
        "open files",
        "filesystem",
        "direct i/o",
        "block size",
        "cpu affinity",
    ] {
        assert!(
            findings.iter().any(|finding| finding["name"] == json!(name)),
            "{name} is missing: {}",
            ran.out
        );
    }
    assert!(findings.iter().all(|finding| finding["remedy"].is_null() == (finding["status"] == json!("ok"))));
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let Ran { code, out, .. } = run(&["completions", shell]);
        assert!(code == 0 && out.contains("consume") && out.contains("bootstrap-server"), "{shell}");
    }
    let version = run(&["--version"]);
    assert_eq!(version.out, format!("corelog {}\n", env!("CARGO_PKG_VERSION")));
    std::io::stdout().flush().expect("the test's output is open");
}
