//! A broker process that is killed, stopped and started again on the same data and address, and whose log is kept.
//!
//! Key invariant: a process is ended by its own id at the latest when its server is dropped, and what it wrote goes with it
//! unless the directory is the caller's. A test that fails shows the end of the broker's log.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use corelog::record::BatchHeader;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{Connection, free_address, serve_with_shards};

/// How long a broker may take to stop, and whatever else is waited for.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// What is shown of the log of a test that failed.
const SHOWN_BYTES_MAX: usize = 8_000;
/// Files end on these, and names in Kafka's form begin with twenty digits.
const SEGMENT_SUFFIX: &str = ".log";

/// A broker, running or not.
pub struct Server {
    child: Option<Child>,
    address: SocketAddr,
    admin: SocketAddr,
    data: PathBuf,
    /// Holds the log, and the data unless they were given a place.
    home: TempDir,
    settings: Vec<String>,
    pub shards: u16,
    /// Files that the process may have open; `None` leaves it as it is.
    pub open_files_max: Option<u32>,
}

impl Server {
    /// A new data directory with these settings; not started yet.
    pub fn new(settings: &[&str]) -> Self {
        let home = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let data = home.path().join("data");
        let (address, admin) = (free_address(), free_address());
        let settings = settings.iter().map(ToString::to_string).collect();
        Self { child: None, address, admin, data, home, settings, shards: 2, open_files_max: None }
    }

    /// The same on data that lie elsewhere.
    pub fn on(data: PathBuf, settings: &[&str]) -> Self {
        let mut server = Self::new(settings);
        server.data = data;
        server
    }

    /// Started.
    pub fn started(mut self) -> Self {
        self.start();
        self
    }

    /// Starts it and waits until it is ready.
    pub fn start(&mut self) {
        self.spawn();
        let mut banner = String::new();
        let output = self.child.as_mut().and_then(|child| child.stdout.as_mut()).unwrap();
        BufReader::new(output).read_line(&mut banner).unwrap();
        assert!(banner.contains("is ready"), "the broker did not start: {banner:?}");
    }

    /// Starts it and kills it again after `after`, ready or not.
    pub fn start_and_kill(&mut self, after: Duration) {
        self.spawn();
        std::thread::sleep(after);
        self.kill();
    }

    fn spawn(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let serve = serve_with_shards(&self.data, (self.address, self.admin), self.shards);
        let mut command = match self.open_files_max {
            None => serve,
            Some(bound) => {
                let mut bounded = Command::new("sh");
                bounded.args(["-c", &format!("ulimit -n {bound} && exec \"$0\" \"$@\"")]);
                bounded.arg(serve.get_program()).args(serve.get_args());
                bounded
            }
        };
        let log = OpenOptions::new().create(true).append(true).open(self.log_path()).unwrap();
        // What this test is told through the environment is no setting of a broker.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CORELOG_") {
                command.env_remove(name);
            }
        }
        command.args(self.settings.iter().flat_map(|setting| ["--set", setting]));
        command.stdout(Stdio::piped()).stderr(log).env("CORELOG_LOG", "info");
        self.child = Some(command.spawn().unwrap());
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Ends it with SIGTERM, and insists that it ends well.
    pub fn stop(&mut self) {
        let mut child = self.child.take().expect("it runs");
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        let ended = wait_for("the end after SIGTERM", || child.try_wait().unwrap());
        assert!(ended.success(), "the broker ended with {ended}");
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn connect(&self) -> Connection {
        Connection::to(self.address)
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    fn log_path(&self) -> PathBuf {
        self.home.path().join("broker.log")
    }

    /// All that it and its predecessors on this data said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The segments of a partition, the active one last.
    pub fn segments(&self, partition: &str) -> Vec<PathBuf> {
        self.files(partition, SEGMENT_SUFFIX)
    }

    /// The files of a partition with this suffix, by name.
    pub fn files(&self, partition: &str, suffix: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.data.join(partition)).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut paths: Vec<PathBuf> = paths.filter(|path| path.to_str().unwrap().ends_with(suffix)).collect();
        paths.sort();
        paths
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let from = log.floor_char_boundary(log.len().saturating_sub(SHOWN_BYTES_MAX));
            eprintln!("the broker's log ends with\n{}", &log[from..]);
        }
    }
}

/// Where the batches of a segment end: bytes that were reserved follow in one that was in use.
pub fn batches_end(segment: &Path) -> (u64, Vec<u64>) {
    let bytes = std::fs::read(segment).unwrap();
    let (mut position, mut starts) = (0, Vec::new());
    while let Ok(header) = BatchHeader::parse_whole(&bytes[position..]) {
        starts.push(position as u64);
        position += header.size_bytes as usize;
    }
    (position as u64, starts)
}

/// Asks until there is an answer.
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "still not so: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
