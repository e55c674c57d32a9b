//! The threads of a server: one executor on each CPU; the first accepts connections and deals them out evenly.
//!
//! Key invariant: a connection lives and dies on one executor. Each executor listens to a socket pair: a byte says that
//! connections wait in its inbox, the end says that the server stops. Few connections would be spread unevenly by
//! `SO_REUSEPORT`, and the figures with them; dealing does not.

use std::cell::RefCell;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures_lite::AsyncReadExt;
use glommio::net::{AcceptedTcpStream, TcpListener};
use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement, Task};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::CeilingError;
use super::connection::{self, End};
use super::shared::Shared;
use crate::client::Pipe;
use crate::host;

/// Connections that the system may hold until they are accepted.
const BACKLOG: i32 = 4_096;
/// Connections on their way to an executor; more at once are closed.
const DEALT_MAX: usize = 4_096;
/// Bytes of the buffer through which an executor's connections receive.
const SCRATCH_BYTES: usize = 256 * 1024;
/// How long a client may take nothing of its answers before it is given up.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);
/// How long to wait after an accept that failed for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound socket that listens.
pub(super) struct Listener {
    pub address: SocketAddr,
    socket: OwnedFd,
}

/// Listens on every address.
pub(super) fn listen(addresses: &[SocketAddr]) -> Result<Vec<Listener>, CeilingError> {
    let bind = |address: &SocketAddr| -> io::Result<Listener> {
        let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
        let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        rustix::net::bind(&socket, address)?;
        if address.ip().is_loopback() && sockopt::tcp_congestion(&socket)?.starts_with("bbr") {
            // BBR paces with timers, also where nothing can be congested. A ceiling must not be lower than brokers that see to that.
            let _ = sockopt::set_tcp_congestion(&socket, "reno");
        }
        rustix::net::listen(&socket, BACKLOG)?;
        let bound = rustix::net::getsockname(&socket)?;
        let address =
            SocketAddr::try_from(bound).map_err(|_| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
        Ok(Listener { address, socket })
    };
    let told = |address: &SocketAddr, error: io::Error| CeilingError::Listen {
        address: *address,
        reason: error.to_string(),
    };
    addresses.iter().map(|address| bind(address).map_err(|error| told(address, error))).collect()
}

/// Running executors; they end when this is dropped.
#[derive(Debug)]
pub(super) struct Executors {
    /// The ends whose closing stops the executors.
    stops: Vec<UnixStream>,
    threads: Vec<ExecutorJoinHandle<()>>,
}

impl Executors {
    /// Starts an executor on each of `cpus`, or one anywhere.
    pub(super) fn start(
        shared: &Arc<Shared>,
        cpus: &[usize],
        listeners: Vec<Listener>,
    ) -> Result<Self, CeilingError> {
        let places: Vec<Option<usize>> =
            if cpus.is_empty() { vec![None] } else { cpus.iter().copied().map(Some).collect() };
        let loads: Arc<[AtomicUsize]> = places.iter().map(|_| AtomicUsize::new(0)).collect();
        let (mut desks, mut inboxes) = (vec![], vec![]);
        let mut executors = Self { stops: vec![], threads: vec![] };
        for place in &places {
            let failed =
                |error: io::Error| CeilingError::Executor { place: *place, reason: error.to_string() };
            let (outside, inside) = UnixStream::pair().map_err(failed)?;
            let (sender, receiver) = mpsc::sync_channel(DEALT_MAX);
            desks.push(Desk { sender, bell: outside.try_clone().map_err(failed)? });
            inboxes.push((inside, receiver));
            executors.stops.push(outside);
        }
        let mut dealing = Some((listeners, desks));
        for (number, (place, (bell, inbox))) in places.iter().zip(inboxes).enumerate() {
            let worker = Worker { shared: Arc::clone(shared), loads: Arc::clone(&loads), number };
            let dealing = dealing.take();
            let placement = place.map_or(Placement::Unbound, Placement::Fixed);
            let thread = LocalExecutorBuilder::new(placement)
                .name(&format!("ceiling-{number}"))
                .spawn(move || {
                    host::schedule(host::Scheduling::Batch);
                    worker.run(bell, inbox, dealing)
                })
                .map_err(|error| CeilingError::Executor { place: *place, reason: error.to_string() })?;
            executors.threads.push(thread);
        }
        Ok(executors)
    }
}

impl Drop for Executors {
    fn drop(&mut self) {
        for stop in self.stops.drain(..) {
            // Ends the pair even while the dealer holds a copy. An executor that is gone needs no telling.
            let _ = stop.shutdown(std::net::Shutdown::Both);
        }
        for thread in self.threads.drain(..) {
            // A panic there was printed when it happened.
            let _ = thread.join();
        }
    }
}

/// What passes from the dealer to an executor: the connection and the broker that it reached.
type Dealt = (AcceptedTcpStream, i32);

/// Where the dealer leaves connections for an executor.
struct Desk {
    sender: mpsc::SyncSender<Dealt>,
    bell: UnixStream,
}

/// One executor's part.
struct Worker {
    shared: Arc<Shared>,
    /// Open connections of each executor.
    loads: Arc<[AtomicUsize]>,
    number: usize,
}

impl Worker {
    async fn run(
        self,
        bell: UnixStream,
        inbox: mpsc::Receiver<Dealt>,
        dealing: Option<(Vec<Listener>, Vec<Desk>)>,
    ) {
        let worker = Rc::new(self);
        let mut acceptors = vec![];
        if let Some((listeners, desks)) = dealing {
            let desks = Rc::new(desks);
            for (listener, broker) in listeners.into_iter().zip(0..) {
                let accept = Rc::clone(&worker).accept(listener, broker, Rc::clone(&desks));
                acceptors.push(glommio::spawn_local(accept));
            }
        }
        let scratch = Rc::new(RefCell::new(vec![0; SCRATCH_BYTES]));
        let mut open: Vec<(Weak<Pipe>, Task<()>)> = vec![];
        // SAFETY: the descriptor is that of a stream socket, and nothing else owns it.
        let mut bell = unsafe { glommio::net::UnixStream::from_raw_fd(bell.into_raw_fd()) };
        let mut rings = [0; 64];
        while let Ok(1..) = bell.read(&mut rings).await {
            open.retain(|(pipe, _)| pipe.strong_count() > 0);
            while let Ok((stream, broker)) = inbox.try_recv() {
                open.push(Rc::clone(&worker).begin(stream, broker, &scratch));
            }
        }
        for task in acceptors.into_iter().chain(open.into_iter().map(|(_, task)| task)) {
            task.cancel().await;
        }
    }

    /// Accepts connections and gives each to the executor that has the fewest.
    async fn accept(self: Rc<Self>, listener: Listener, broker: i32, desks: Rc<Vec<Desk>>) {
        // SAFETY: the descriptor is that of a listening socket, and nothing else owns it.
        let listener = unsafe { TcpListener::from_raw_fd(listener.socket.into_raw_fd()) };
        loop {
            let Ok(stream) = listener.shared_accept().await else {
                glommio::timer::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let load = |number: &usize| self.loads[*number].load(Ordering::Relaxed);
            let to = (0..desks.len()).min_by_key(load).unwrap_or(0);
            self.loads[to].fetch_add(1, Ordering::Relaxed);
            // An executor that is gone takes no more connections: the server is stopping.
            if desks[to].sender.try_send((stream, broker)).is_ok() {
                let _ = (&desks[to].bell).write(&[1]);
            }
        }
    }

    fn begin(
        self: Rc<Self>,
        stream: AcceptedTcpStream,
        broker: i32,
        scratch: &Rc<RefCell<Vec<u8>>>,
    ) -> (Weak<Pipe>, Task<()>) {
        let stream = stream.bind_to_executor();
        // Answers must not wait to be filled up with later ones. A client that is gone shows when it is read from.
        let _ = stream.set_nodelay(true);
        let peer = stream.peer_addr().map_or_else(|_| "a client".to_owned(), |peer| peer.to_string());
        let pipe = Rc::new(Pipe::accepted(&peer, SEND_TIMEOUT, stream));
        let scratch = Rc::clone(scratch);
        let seen = Rc::downgrade(&pipe);
        let task = glommio::spawn_local(async move {
            match connection::serve(&self.shared, broker, &pipe, &scratch).await {
                Ok(()) | Err(End::Fault) => {}
                Err(end) => self.shared.complain(format!("{peer}: {end}")),
            }
            self.loads[self.number].fetch_sub(1, Ordering::Relaxed);
        });
        (seen, task)
    }
}
