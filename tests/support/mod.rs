//! Starts the real binary and speaks to it over raw connections.
//!
//! Key invariant: a broker is ended by its own process id when its guard is dropped, and its data goes with it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use corelog::protocol::{decode_response, encode_request};
use kafka_protocol::protocol::Request;
use tempfile::TempDir;

/// How long a broker may take to be ready or to stop.
const PATIENCE: Duration = Duration::from_secs(20);

/// A broker in a process of its own.
pub struct Broker {
    child: Child,
    pub address: SocketAddr,
    pub admin: SocketAddr,
    data: TempDir,
}

/// An address of this machine that nobody listens on.
pub fn free_address() -> SocketAddr {
    // Below the ports that the system gives to connections: one of those could take it before the broker does.
    const FIRST: u32 = 12_000;
    const PORTS: u32 = 16_000;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    loop {
        let turn = std::process::id().wrapping_mul(61).wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        let address = SocketAddr::from(([127, 0, 0, 1], (FIRST + turn % PORTS) as u16));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// The command that serves `data` on the two addresses with two shards.
pub fn serve_command(data: &Path, address: SocketAddr, admin: SocketAddr) -> Command {
    serve_with_shards(data, (address, admin), 2)
}

/// The command that serves `data` on an address for clients and one for operators.
pub fn serve_with_shards(data: &Path, addresses: (SocketAddr, SocketAddr), shards: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_corelog"));
    let (address, admin) = (addresses.0.to_string(), addresses.1.to_string());
    command.args(["serve", "--data-dir"]).arg(data);
    command.args(["--listen", &address, "--admin", &admin, "--shards", &shards.to_string()]);
    command.env("RUST_LOG", "warn").stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Broker {
    /// A broker on a new data directory, with settings.
    pub fn start(settings: &[&str]) -> Self {
        Self::start_in(TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap(), settings)
    }

    fn start_in(data: TempDir, settings: &[&str]) -> Self {
        let (address, admin) = (free_address(), free_address());
        let mut command = serve_command(data.path(), address, admin);
        command.args(settings.iter().flat_map(|setting| ["--set", setting]));
        command.stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let mut banner = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut banner).unwrap();
        assert!(banner.contains("is ready"), "the broker did not start: {banner:?}");
        Self { child, address, admin, data }
    }

    /// Ends the process at once, as a crash would, and starts another on the same data.
    pub fn crash_and_restart(mut self, settings: &[&str]) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let data = std::mem::replace(&mut self.data, TempDir::new().unwrap());
        Self::start_in(data, settings)
    }

    /// Stops the broker with SIGTERM; returns how long that took and whether it ended well.
    pub fn stop(&mut self) -> (Duration, bool) {
        let began = Instant::now();
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        while began.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (began.elapsed(), status.success());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the broker did not stop");
    }

    /// Starts anew on the data of a broker that was stopped.
    pub fn restart(mut self, settings: &[&str]) -> Self {
        let data = std::mem::replace(&mut self.data, TempDir::new().unwrap());
        Self::start_in(data, settings)
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// A new connection.
    pub fn connect(&self) -> Connection {
        Connection::to(self.address)
    }

    /// The sum of a metric over all shards.
    pub fn metric(&self, name: &str) -> f64 {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let rows = text.lines().filter(|line| line.starts_with(name));
        rows.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Waits until `condition` holds.
    pub fn wait_until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(self) {
            assert!(Instant::now() < deadline, "still not so: {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A raw connection.
pub struct Connection {
    stream: TcpStream,
    next: i32,
}

impl Connection {
    /// Connects to a broker.
    pub fn to(address: SocketAddr) -> Self {
        Self::try_to(address).unwrap()
    }

    /// Connects to a broker that may be gone.
    pub fn try_to(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, next: 0 })
    }

    /// From now on sending fails when the broker takes nothing for so long.
    pub fn give_up_sending_after(&mut self, wait: Duration) {
        self.stream.set_write_timeout(Some(wait)).unwrap();
    }

    /// Sends a request without waiting; returns its correlation id.
    pub fn send<Q: Request>(&mut self, request: &Q, version: i16) -> i32 {
        self.try_send(request, version).unwrap()
    }

    /// Sends a request to a broker that may be gone.
    pub fn try_send<Q: Request>(&mut self, request: &Q, version: i16) -> std::io::Result<i32> {
        self.next += 1;
        let frame = encode_request("test", self.next, version, request).unwrap();
        self.stream.write_all(&frame)?;
        Ok(self.next)
    }

    /// The next response and its correlation id.
    pub fn receive<Q: Request>(&mut self, version: i16) -> (i32, Q::Response) {
        self.try_receive::<Q>(version).expect("the broker closed the connection")
    }

    /// The next response and its correlation id, or `None` if the broker closed the connection.
    pub fn try_receive<Q: Request>(&mut self, version: i16) -> Option<(i32, Q::Response)> {
        let mut frame = self.receive_frame()?;
        Some(decode_response::<Q>(&mut frame, version).unwrap())
    }

    /// The next frame, or `None` if the broker closed the connection.
    pub fn receive_frame(&mut self) -> Option<Bytes> {
        let mut size = [0; 4];
        self.stream.read_exact(&mut size).ok()?;
        let mut frame = vec![0; u32::from_be_bytes(size) as usize];
        self.stream.read_exact(&mut frame).ok()?;
        Some(frame.into())
    }

    /// Sends a request and waits for its response.
    pub fn ask<Q: Request>(&mut self, request: &Q, version: i16) -> Q::Response {
        let sent = self.send(request, version);
        let (answered, response) = self.receive::<Q>(version);
        assert_eq!(sent, answered);
        response
    }
}
