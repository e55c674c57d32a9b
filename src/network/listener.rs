//! Accepts connections on every shard, evens them out between shards, and closes idle ones.
//!
//! Key invariants: each shard listens on the same port (`SO_REUSEPORT`), which the boot has found free. The kernel
//! spreads few connections unevenly, so an accepted one goes to the shard that has the fewest; the counts are the only
//! thing here that shards share. Whom a shard accepts on a port of its own (shard-direct listeners) it keeps: the client
//! chose it. A connection whose requests are all served by another shard goes on there, when nothing is under way on it. Connections
//! beyond the limit are closed at once.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use glommio::net::{AcceptedTcpStream, TcpListener, TcpStream};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use slab::Slab;

use super::congestion::Congestion;
use super::connection::{Connection, End};
use super::loads::Loads;
use super::sends::Sends;
use crate::handlers::{Client, Entrance, Server};
use crate::model::ShardId;
use crate::shard::{Adoption, Shard};

/// Bytes of the buffer through which a shard's connections receive.
const SCRATCH_BYTES: usize = 128 * 1024;
/// How often idle connections are looked for.
const IDLE_CHECK_PERIOD: Duration = Duration::from_secs(5);
/// How long to wait after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A shard's listener on `address`. Every shard has one on the same port (`SO_REUSEPORT`); `SO_REUSEADDR`, which
/// accepted sockets inherit, lets a broker start while connections of the last one are still winding down.
pub fn bind(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = stream_socket(address)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    listening(socket, address, backlog)
}

/// A listener that no other shares `address` with.
pub fn bind_own(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    listening(stream_socket(address)?, address, backlog)
}

fn listening(socket: OwnedFd, address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    rustix::net::bind(&socket, &address)?;
    Congestion::of_system().prepare_listener(&socket);
    rustix::net::listen(&socket, i32::try_from(backlog).unwrap_or(i32::MAX))?;
    // SAFETY: the descriptor is that of a listening socket, and nothing else owns it.
    Ok(unsafe { TcpListener::from_raw_fd(socket.into_raw_fd()) })
}

/// Finds out whether anybody listens on `address`; returns it with the port that the system chose if it named none.
///
/// The socket is bound without `SO_REUSEPORT`, so that a listener of another broker is in its way, and never listens:
/// a client that connected to it would leave a connection behind that is in the way of the shards.
pub fn probe(address: SocketAddr) -> io::Result<SocketAddr> {
    let socket = stream_socket(address)?;
    rustix::net::bind(&socket, &address)?;
    let bound = rustix::net::getsockname(&socket)?;
    SocketAddr::try_from(bound).map_err(|_| io::ErrorKind::AddrNotAvailable.into())
}

fn stream_socket(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    Ok(socket)
}

/// The connections of one shard.
pub struct Network {
    server: Rc<Server>,
    loads: Arc<Loads>,
    congestion: Congestion,
    connections: RefCell<Slab<Rc<Connection>>>,
    scratch: RefCell<Vec<u8>>,
    sends: Rc<Sends>,
}

impl Network {
    /// A shard's network, before it listens.
    pub fn new(server: Rc<Server>, loads: Arc<Loads>) -> Rc<Self> {
        let scratch = RefCell::new(vec![0; SCRATCH_BYTES]);
        let congestion = Congestion::of_system();
        let sends = Rc::new(Sends::new());
        Rc::new(Self { server, loads, congestion, connections: RefCell::default(), scratch, sends })
    }

    /// Accepts connections until the task is dropped.
    pub async fn listen(self: Rc<Self>, listener: TcpListener, entrance: Entrance) {
        let shard = self.server.shard().clone();
        loop {
            match listener.shared_accept().await {
                Ok(stream) => self.place(&shard, stream, entrance),
                Err(error) => {
                    tracing::warn!("shard {}: cannot accept a connection: {error}", shard.id());
                    glommio::timer::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn place(self: &Rc<Self>, shard: &Rc<Shard>, stream: AcceptedTcpStream, entrance: Entrance) {
        let limit = shard.settings().network.connections_max as usize;
        if self.loads.total() >= limit {
            shard.metrics().connections.rejected.increment();
            tracing::warn!("a connection is refused: max.connections ({limit}) are open");
            drop(stream.bind_to_executor());
            return;
        }
        let to = match entrance {
            Entrance::Broker => self.loads.place(shard.id()),
            Entrance::Shard => {
                self.loads.stay(shard.id());
                shard.id()
            }
        };
        if to == shard.id() {
            self.serve(stream, entrance);
        } else {
            shard.metrics().connections.handed_over.increment();
            let accepted = Adoption::Accepted(stream);
            shard.router().note(to, move |shard| shard.adoptions().hand_over(accepted));
        }
    }

    /// Sends connections' small answers, until the task is dropped.
    pub async fn send(self: Rc<Self>) {
        self.sends.run().await;
    }

    /// Takes connections that other shards hand over, until the task is dropped.
    pub async fn adopt(self: Rc<Self>) {
        loop {
            match self.server.shard().adoptions().next().await {
                Adoption::Accepted(stream) => self.serve(stream, Entrance::Broker),
                Adoption::Moved { socket, moves } => {
                    // SAFETY: the descriptor is that of a connected socket, and nothing else owns it.
                    let stream = unsafe { TcpStream::from_raw_fd(socket.into_raw_fd()) };
                    if !self.begin(stream, |peer| Client::moved(peer, Entrance::Broker, moves)) {
                        self.server.shard().metrics().connections.closed.increment();
                    }
                }
            }
        }
    }

    fn serve(self: &Rc<Self>, stream: AcceptedTcpStream, entrance: Entrance) {
        if self.begin(stream.bind_to_executor(), |peer| Client::new(peer, entrance)) {
            self.server.shard().metrics().connections.accepted.increment();
        }
    }

    /// Begins to serve a connection; false if the client has gone away meanwhile.
    fn begin(self: &Rc<Self>, stream: TcpStream, client: impl FnOnce(SocketAddr) -> Client) -> bool {
        let shard = self.server.shard();
        match prepare(&stream, &self.congestion) {
            Ok(peer) => {
                let connection =
                    Connection::new(self.server.clone(), stream, client(peer), self.sends.clone());
                let key = self.connections.borrow_mut().insert(connection.clone());
                shard.metrics().connections.open.add(1);
                glommio::spawn_local(self.clone().run(connection, key)).detach();
                true
            }
            Err(_) => {
                self.loads.leave(shard.id());
                false
            }
        }
    }

    async fn run(self: Rc<Self>, connection: Rc<Connection>, key: usize) {
        let end = connection.serve(&self.scratch, &self.loads).await;
        if end.is_refusal() {
            self.server.shard().metrics().traffic.refused_frames.increment();
        }
        if end.is_remarkable() {
            tracing::warn!("connection of {} is closed: {end}", connection.client().peer());
        } else {
            tracing::debug!("connection of {} ended: {end}", connection.client().peer());
        }
        self.connections.borrow_mut().remove(key);
        let shard = self.server.shard();
        shard.metrics().connections.open.subtract(1);
        if let End::Moves(to) = end
            && let Ok(socket) = connection.socket()
        {
            self.hand_over(to, socket, connection.client().affinity().moves());
        } else {
            shard.metrics().connections.closed.increment();
            self.loads.leave(shard.id());
        }
    }

    /// Has another shard go on with a connection that has nothing under way.
    fn hand_over(&self, to: ShardId, socket: OwnedFd, moves: u32) {
        let shard = self.server.shard();
        self.loads.transfer(shard.id(), to);
        shard.metrics().connections.moved.increment();
        let moved = Adoption::Moved { socket, moves: moves + 1 };
        shard.router().note(to, move |shard| shard.adoptions().hand_over(moved));
    }

    /// Closes connections that were idle for `connections.max.idle.ms`, until the task is dropped.
    pub async fn close_idle(self: Rc<Self>) {
        loop {
            glommio::timer::sleep(IDLE_CHECK_PERIOD).await;
            let Some(idle_ms) = self.server.shard().settings().network.connection_idle_ms_max else {
                continue;
            };
            let now = self.server.shard().now();
            for (_, connection) in self.connections.borrow().iter() {
                if now.since(connection.last_active()) > idle_ms as i64 {
                    tracing::info!("connection of {} was idle and is closed", connection.client().peer());
                    connection.shut_down();
                }
            }
        }
    }

    /// Ends every connection.
    pub fn shut_down(&self) {
        for (_, connection) in self.connections.borrow().iter() {
            connection.shut_down();
        }
    }
}

/// Answers must not wait to be filled up with later ones.
fn prepare(stream: &TcpStream, congestion: &Congestion) -> Result<SocketAddr, glommio::GlommioError<()>> {
    stream.set_nodelay(true)?;
    let peer = stream.peer_addr()?;
    congestion.prepare(borrowed(stream), peer);
    Ok(peer)
}

/// The descriptor of a stream, for as long as the stream is borrowed.
fn borrowed(stream: &TcpStream) -> BorrowedFd<'_> {
    // SAFETY: the descriptor belongs to `stream`, which the result borrows, so it stays open as long as the result lives.
    unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) }
}
