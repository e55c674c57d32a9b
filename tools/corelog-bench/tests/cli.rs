//! The program as it is called: what it prints, writes and returns. With a real broker where one was built beside it.

#![allow(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use corelog_bench::ceiling::{Ceiling, CeilingOptions, Faults};
use corelog_bench::result::RunRecord;

const BENCH: &str = env!("CARGO_BIN_EXE_corelog-bench");
const START_MAX: Duration = Duration::from_secs(20);

fn bench(words: &[&str]) -> Output {
    Command::new(BENCH).args(words).output().unwrap()
}

/// The exit code and the error output.
fn ended(output: &Output) -> (i32, String) {
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn ceiling(login: Option<(&str, &str)>, faults: Faults) -> (Ceiling, String) {
    let mut options = CeilingOptions::on("127.0.0.1:0".parse().unwrap());
    options.partitions = None;
    options.login = login.map(|(user, password)| (user.to_owned(), password.to_owned()));
    options.faults = faults;
    let server = Ceiling::start(options).unwrap();
    let address = server.addresses()[0].to_string();
    (server, address)
}

const SHORT: [&str; 6] = ["--quiet", "--duration", "0.5", "--warm-up", "0.1", "--create"];

fn read_record(path: &Path) -> RunRecord {
    RunRecord::from_json(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn a_run_writes_its_files_and_can_be_repeated_from_them() {
    let (_server, address) = ceiling(None, Faults::default());
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("deep/run");
    let out_text = out.to_str().unwrap();
    let words = ["produce", "-b", &address, "--record-size", "333", "--label", "side", "--out", out_text];
    let output = bench(&[&words[..], &SHORT].concat());
    assert_eq!(ended(&output), (0, String::new()));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("produced") && text.contains("p99.9") && text.contains("run.json"), "{text}");
    let record = read_record(&out.with_extension("json"));
    assert!(record.verdict.complete && record.measured.counts.produced_records > 0);
    assert_eq!(record.label.as_deref(), Some("side"));
    assert!(folder.path().join("deep/run.produce.hgrm").is_file());

    let json = out.with_extension("json");
    let replayed =
        bench(&["produce", "-b", &address, "--replay", json.to_str().unwrap(), "--quiet", "--json"]);
    assert_eq!(ended(&replayed), (0, String::new()));
    let again = RunRecord::from_json(&String::from_utf8(replayed.stdout).unwrap()).unwrap();
    assert_eq!(again.workload, record.workload);

    let page = folder.path().join("page.html");
    let both = [&format!("a={}", json.display()), &format!("b={}", json.display())];
    let compared = bench(&["compare", both[0], both[1], "--html", page.to_str().unwrap()]);
    assert_eq!(ended(&compared), (0, String::new()));
    assert!(String::from_utf8(compared.stdout).unwrap().contains("p99"));
    assert!(std::fs::read_to_string(&page).unwrap().contains("percentiles"));

    let merged = folder.path().join("merged");
    let json = json.to_str().unwrap();
    let merging = bench(&["merge", json, json, "--out", merged.to_str().unwrap()]);
    assert_eq!(ended(&merging), (0, String::new()));
    let merged = read_record(&merged.with_extension("json"));
    let twice = 2 * record.measured.counts.produced_records;
    assert_eq!(merged.measured.counts.produced_records, twice);
}

#[test]
fn each_failure_has_its_sentence_and_its_code() {
    let (_server, address) = ceiling(Some(("ann", "right")), Faults::default());
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = free.local_addr().unwrap().to_string();
    drop(free);
    let (_open, open) = ceiling(None, Faults::default());
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "wrong\n").unwrap();
    let login = ["--user", "ann", "--password-file", password.to_str().unwrap()];
    let unwritable = folder.path().join("password/run");
    let cases: [(&[&str], i32, &str); 9] = [
        (&["-b", &nobody], 3, "no broker can be reached"),
        (&["-b", &open, "--topic", "absent"], 4, "the topic absent does not exist"),
        (&[&["-b", &address][..], &login].concat(), 5, "refused the authentication"),
        (&["-b", &open, "--workload", "log-lined"], 2, "log-lines"),
        (&["-b", &open, "--set", "producer.rat=1"], 2, "did you mean rate?"),
        (&["-b", &open, "--connections", "0"], 2, "producer.connections"),
        (&["-b", &open, "--cpus", "99999"], 2, "--cpus"),
        (&["-b", &open, "--out", unwritable.to_str().unwrap()], 7, "password"),
        (&["-b", &open, "--replay", password.to_str().unwrap()], 7, "not the file of a run"),
    ];
    for (words, code, sentence) in cases {
        let (found, text) = ended(&bench(&[&["produce", "--quiet", "--timeout", "5"], words].concat()));
        assert_eq!(found, code, "{words:?}: {text}");
        assert!(text.contains(sentence) && text.lines().count() == 1, "{words:?}: {text}");
        assert!(!text.contains("wrong"), "no password is told: {text}");
    }
}

#[test]
fn a_rate_that_cannot_be_reached_is_told() {
    let (_server, address) = ceiling(None, Faults::default());
    // One request in flight on one connection, one record in each: far from ten million records per second.
    let slow = ["--rate", "1e7", "--connections", "1", "--in-flight", "1", "--batch-bytes", "1"];
    let words = [&["produce", "-b", &address][..], &SHORT, &slow].concat();
    let (code, text) = ended(&bench(&words));
    assert_eq!(code, 6, "{text}");
    assert!(text.contains("the rate was not reached"), "{text}");
    assert_eq!(ended(&bench(&[&words[..], &["--accept-missed-rate"]].concat())), (0, String::new()));
}

#[test]
fn a_full_disk_is_told_and_leaves_no_half_file() {
    let full = Path::new("/dev/full");
    if !full.exists() {
        skipped("there is no /dev/full here");
        return;
    }
    let (_server, address) = ceiling(None, Faults::default());
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let words = ["produce", "-b", &address, "--out", out.to_str().unwrap(), "--json"];
    let output = Command::new(BENCH)
        .args([&words[..], &SHORT].concat())
        .stdout(std::fs::File::options().write(true).open(full).unwrap())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let (code, text) = ended(&output);
    assert_eq!(code, 7, "{text}");
    assert!(text.lines().count() == 1, "{text}");
}

#[test]
fn an_interrupt_writes_what_was_measured() {
    let (_server, address) = ceiling(None, Faults::default());
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let words = ["produce", "-b", &address, "--create", "--quiet", "--warm-up", "0.1", "--duration", "60"];
    let child = Command::new(BENCH)
        .args([&words[..], &["--out", out.to_str().unwrap()]].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(1_500));
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(ended(&output), (130, "corelog-bench: interrupted\n".to_owned()));
    let record = read_record(&out.with_extension("json"));
    assert!(!record.verdict.complete && record.measured.counts.produced_records > 0);
}

/// Said past the harness, which keeps what passing tests print.
fn skipped(why: &str) {
    let line = format!("SKIPPED  {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

fn interrupt(child: &Child) {
    let id = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
}

/// A real broker, if one was built beside the tool.
struct Broker {
    child: Child,
    binary: PathBuf,
    data: PathBuf,
    address: String,
}

impl Broker {
    fn start(data: &Path) -> Option<Self> {
        let binary = Path::new(BENCH).with_file_name("corelog");
        if !binary.is_file() {
            skipped(&format!("{} was not built: cargo build --workspace", binary.display()));
            return None;
        }
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let child = Self::spawn(&binary, data, &address);
        Some(Self { child, binary, data: data.to_owned(), address })
    }

    fn spawn(binary: &Path, data: &Path, address: &str) -> Child {
        let words = ["serve", "--listen", address, "--admin", "127.0.0.1:0", "--data-dir"];
        let mut child = Command::new(binary)
            .args(words)
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut banner = BufReader::new(child.stdout.take().unwrap());
        let deadline = Instant::now() + START_MAX;
        let mut line = String::new();
        while banner.read_line(&mut line).unwrap() > 0
            && !line.contains("is ready")
            && Instant::now() < deadline
        {}
        assert!(TcpStream::connect(address).is_ok(), "{line}");
        child
    }

    fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = Self::spawn(&self.binary, &self.data, &self.address);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_check_finds_nothing_wrong_with_a_broker_that_is_killed_in_the_middle() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut broker) = Broker::start(&folder.path().join("data")) else { return };
    let address = broker.address.clone();
    let words = [
        "produce",
        "-b",
        &address,
        "--create",
        "--partitions",
        "4",
        "--connections",
        "4",
        "--rate",
        "5000",
        "--verify",
        "--idempotent",
        "--duration",
        "4",
        "--warm-up",
        "0.5",
        "--quiet",
        "--json",
        "--record-size",
        "200",
        "--accept-missed-rate",
    ];
    let child =
        Command::new(BENCH).args(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(2_500));
    broker.kill_and_restart();
    let output = child.wait_with_output().unwrap();
    assert_eq!(ended(&output), (0, String::new()), "{}", String::from_utf8_lossy(&output.stdout));
    let record = RunRecord::from_json(&String::from_utf8(output.stdout).unwrap()).unwrap();
    let findings = record.verdict.findings.unwrap();
    assert!(findings.is_clean() && findings.records > 15_000, "{findings:?}");
    assert!(record.measured.counts.reconnects >= 4, "{:?}", record.measured.counts);
}

#[test]
fn a_real_broker_is_driven_end_to_end_and_read_from_the_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let Some(broker) = Broker::start(&folder.path().join("data")) else { return };
    let target = ["-b", &broker.address, "--quiet", "--json", "--accept-missed-rate", "--warm-up", "0.2"];
    let record = |words: &[&str]| {
        let output = bench(&[words, &target].concat());
        assert_eq!(ended(&output), (0, String::new()), "{words:?}");
        RunRecord::from_json(&String::from_utf8(output.stdout).unwrap()).unwrap()
    };
    let end_to_end =
        record(&["end-to-end", "--create", "--rate", "2000", "--duration", "1", "--keys", "zipf:100"]);
    // Around the beginning of the counted time a record may be counted on one side and not on the other.
    let counts = &end_to_end.measured.counts;
    let more = counts.fetched_records as i64 - counts.produced_records as i64;
    assert!((-200..200).contains(&more) && counts.fetched_records > 1_500, "{counts:?}");
    // Fewer partitions than a reader has connections: each is still read once.
    let few = ["end-to-end", "--create", "--partitions", "1", "--rate", "1000", "--duration", "1"];
    let few = record(&few).measured.counts;
    assert!(few.fetched_records < few.produced_records + 200, "{few:?}");
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let checked = record(&[
            "produce",
            "--create",
            "--verify",
            "--codec",
            codec,
            "--duration",
            "0.5",
            "--rate",
            "2000",
        ]);
        assert!(checked.verdict.findings.unwrap().is_clean(), "{codec}");
    }
    // Without removal afterwards, to be read.
    let kept = ["--set", "topic.create=true", "--topic", "kept"];
    let sent = record(&[&["produce", "--records", "20000", "--duration", "0"][..], &kept].concat());
    let read = record(&[
        "consume",
        "--topic",
        "kept",
        "--start",
        "beginning",
        "--duration",
        "20",
        "--set",
        "length.warm-up-s=0",
    ]);
    let sent = sent.measured.counts.produced_records;
    assert!(read.measured.counts.fetched_records >= sent);
    // Three times what is there, at least, in an unknown time.
    let bound = (3 * sent).to_string();
    let again =
        record(&["consume", "--topic", "kept", "--start", "loop", "--records", &bound, "--duration", "60"]);
    assert!(again.measured.counts.fetched_records >= 3 * sent, "{:?}", again.measured.counts);
}

#[test]
fn connections_that_do_nothing_are_held_and_their_cost_is_told() {
    let (_server, address) = ceiling(None, Faults::default());
    let short = ["--settle", "0", "--duration", "0.2"];
    let held = bench(&[&["idle", "-b", &address, "--connections", "40"][..], &short].concat());
    assert_eq!(ended(&held), (0, String::new()));
    let text = String::from_utf8(held.stdout).unwrap();
    let names: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["connections", "opened_s", "cpu_percent", "rss_mb", "connection_kb"], "{text}");
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse().unwrap()
    };
    assert!(value("connections") == 40.0 && value("rss_mb") > 1.0, "{text}");
    let wrong = bench(&["idle", "-b", &address, "--duration", "0.01"]);
    assert_eq!(ended(&wrong).0, 2, "nothing can be told of so short a time");
}

#[test]
fn results_of_scenarios_become_one_table() {
    let (_server, address) = ceiling(None, Faults::default());
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let list = path("list");
    std::fs::write(&list, "one | g | produce | records_s>=0.01*kafka | words | |\n").unwrap();
    for side in ["kafka", "corelog"] {
        let out = path(&format!("one.{side}-1"));
        assert_eq!(ended(&bench(&[&["produce", "-b", &address, "--out", &out][..], &SHORT].concat())).0, 0);
    }
    std::fs::write(path("one.corelog-1.facts"), "peak_mb 5\n").unwrap();
    std::fs::write(path("other.kafka-1.facts"), "no scenario of the list").unwrap();
    let (table, picture) = (path("table.md"), path("ratios.svg"));
    let words = ["side-by-side", &path(""), "--scenarios", &list, "--markdown", &table, "--plot", &picture];
    let made = bench(&words);
    assert_eq!(ended(&made), (0, String::new()));
    let text = std::fs::read_to_string(&table).unwrap();
    assert_eq!(String::from_utf8(made.stdout).unwrap().trim_end(), text.trim_end());
    assert!(text.contains("`one`: words | Kafka") && text.contains("1 of 1 bars"), "{text}");
    assert!(std::fs::read_to_string(&picture).unwrap().contains("one · records_s"));

    std::fs::write(path("one.corelog-2.facts"), "peak_mb\n").unwrap();
    let (code, sentence) = ended(&bench(&words));
    assert!(code == 7 && sentence.contains("one.corelog-2.facts: line 1"), "{sentence}");
}

#[test]
fn the_last_of_an_option_counts_and_settings_add_up() {
    let (_server, address) = ceiling(None, Faults::default());
    let words = ["produce", "-b", &address, "--json", "--connections", "3", "--connections", "2"];
    let set = ["--set", "producer.in-flight=1", "--set", "topic.partitions=5"];
    let output = bench(&[&words[..], &SHORT, &set].concat());
    assert_eq!(ended(&output), (0, String::new()));
    let record = RunRecord::from_json(&String::from_utf8(output.stdout).unwrap()).unwrap();
    let producer = &record.workload.producer;
    assert_eq!((producer.connections, producer.in_flight, record.workload.topic.partitions), (2, 1, 5));
}
