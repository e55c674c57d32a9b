//! A broker of the real binary for one test, and the binary as its client.
//!
//! Key invariant: dropping a `Broker` ends its process, by its id, and removes its directory.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long the broker may take to be ready or to end.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The binary that cargo built for this test.
pub fn corelog() -> &'static str {
    env!("CARGO_BIN_EXE_corelog")
}

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    /// -1 if a signal ended it.
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// A running broker.
pub struct Broker {
    process: Child,
    address: String,
    directory: tempfile::TempDir,
}

impl Broker {
    /// Starts one with two shards and waits until it is ready.
    pub fn start() -> Self {
        // Below target/, which is on a disk: a machine's /tmp may be memory, which has no direct I/O.
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("target/ is writable");
        let (process, address) = launch(directory.path(), "127.0.0.1:0");
        Self { process, address, directory }
    }

    /// Starts it again on the same data and address.
    pub fn start_again(&mut self) {
        (self.process, self.address) = launch(self.directory.path(), &self.address);
    }

    /// `host:port` for clients.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A directory of the test's own, which also holds the data.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The broker's data directory.
    pub fn data_dir(&self) -> String {
        self.directory.path().join("data").display().to_string()
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        self.process.kill().expect("it is running");
        self.process.wait().expect("it was started here");
    }

    /// Asks it to end and answers its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        signal(&self.process, Signal::TERM);
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            if let Some(status) = self.process.try_wait().expect("it was started here") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the broker does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until partition 0 of a topic holds records.
    pub fn wait_for_records(&self, topic: &str) {
        let deadline = Instant::now() + WAIT_MAX;
        while self.json(&["topic", "describe", topic, "--json"])[0]["partitions"][0]["end_offset"] == 0 {
            assert!(Instant::now() < deadline, "no records come to {topic}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs a client command against it.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, b"")
    }

    /// As [`Self::run`], with this as standard input.
    pub fn run_with(&self, arguments: &[&str], input: &[u8]) -> Ran {
        run_with(&[arguments, &["-b", &self.address]].concat(), input)
    }

    /// Runs a client command that must succeed; answers its output.
    pub fn must(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {ran:?}");
        ran.out
    }

    /// As [`Self::must`], for output that is one JSON value.
    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.must(arguments)).expect("the output is JSON")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs the binary to its end.
pub fn run(arguments: &[&str]) -> Ran {
    run_with(arguments, b"")
}

fn run_with(arguments: &[&str], input: &[u8]) -> Ran {
    let mut command = Command::new(corelog());
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = without_settings(&mut command).spawn().expect("the binary was built for this test");
    let mut stdin = process.stdin.take().expect("it is piped");
    let input = input.to_vec();
    // Beside this thread, which reads: neither side may wait for the other.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = process.wait_with_output().expect("it ends");
    writer.join().expect("writing does not panic");
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Takes away what the environment of whoever runs the tests would set.
fn without_settings(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CORELOG_") {
            command.env_remove(name);
        }
    }
    command
}

fn launch(directory: &Path, listen: &str) -> (Child, String) {
    let log = std::fs::File::create(directory.join("log")).expect("the test's directory is writable");
    let mut command = Command::new(corelog());
    command.args(["serve", "--listen", listen, "--admin", "127.0.0.1:0", "--shards", "2", "--data-dir"]);
    command.arg(directory.join("data")).stdout(Stdio::piped()).stderr(log);
    let mut process = without_settings(&mut command).spawn().expect("the binary was built for this test");
    let address = announced_address(&mut process);
    let address = address.unwrap_or_else(|| {
        let log = std::fs::read_to_string(directory.join("log")).unwrap_or_default();
        panic!("the broker ended before it was ready: {log}");
    });
    (process, address)
}

/// The address in the broker's banner; `None` if it ended without one.
fn announced_address(process: &mut Child) -> Option<String> {
    let mut banner = BufReader::new(process.stdout.take().expect("it is piped"));
    let mut line = String::new();
    while banner.read_line(&mut line).expect("the banner is readable") > 0 {
        if let Some(facts) = line.trim().strip_prefix("kafka ") {
            let address = facts.split_whitespace().next().map(str::to_owned);
            // Keeps reading, so that the broker can go on writing.
            std::thread::spawn(move || std::io::copy(&mut banner, &mut std::io::sink()));
            return address;
        }
        line.clear();
    }
    process.wait().expect("it was started here");
    None
}

/// Sends a signal to a process by its id.
pub fn signal(process: &Child, signal: Signal) {
    let id = i32::try_from(process.id()).expect("process ids are small");
    kill_process(Pid::from_raw(id).expect("it is not 0"), signal).expect("it is running");
}

/// So many lines of varied text, some of them empty.
pub fn some_text(lines: u32) -> String {
    (0..lines)
        .map(|n| {
            if n % 11 == 0 {
                "\n".to_owned()
            } else {
                format!("{n}: {}\n", "lörem ipsum ".repeat(n as usize % 9))
            }
        })
        .collect()
}
