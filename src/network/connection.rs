//! One client connection: reads requests, begins them in order, sends the answers in order.
//!
//! Key invariants: requests are pipelined, the next is read and begun while earlier ones wait for their flush; the two
//! halves run in one task, so when the client goes away everything that its requests waited for is dropped at once.
//! What is in hand is bounded by the response queue and the shard's memory budget.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_lite::{AsyncRead, AsyncWrite};
use glommio::net::TcpStream;

use super::frames::{FrameAssembler, FrameError};
use super::loads::Loads;
use super::response_queue::{Owed, ResponseQueue};
use super::send;
use super::sends::{GATHERED_BYTES_MAX, Outgoing, Sends};
use crate::handlers::{self, Begun, Client, Server};
use crate::io::Clock;
use crate::model::{ShardId, TimestampMs};
use crate::protocol::{HeaderError, parse_header};
use crate::shard::{Arriving, Exhausted};

/// Answers that are ready together are sent together up to about this size.
const COALESCED_BYTES_MAX: usize = 256 * 1024;
/// A half-received request above this size counts against the shard's memory budget.
const UNCOUNTED_BYTES_MAX: usize = 64 * 1024;

/// How long a client may take nothing of what it is sent, if others wait for memory. Shorter than they wait.
const UNREAD_MAX: Duration = Duration::from_secs(10);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum End {
    #[error("the client closed the connection")]
    Closed,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error(transparent)]
    Memory(#[from] Exhausted),
    #[error("{0}")]
    Request(String),
    #[error("the client has not read its answers for {} s, while others wait for the memory of its requests", UNREAD_MAX.as_secs())]
    Unread,
    #[error("it goes on at shard {}", .0.0)]
    Moves(ShardId),
}

impl End {
    /// Whether the client sent something that is no request.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Frame(_) | Self::Header(_))
    }

    /// Whether an operator should hear of it.
    pub fn is_remarkable(&self) -> bool {
        !matches!(self, Self::Closed | Self::Io(_) | Self::Moves(_))
    }
}

/// A connection that this shard serves.
pub struct Connection {
    server: Rc<Server>,
    client: Rc<Client>,
    stream: RefCell<TcpStream>,
    queue: ResponseQueue,
    sends: Rc<Sends>,
    outgoing: Rc<Outgoing>,
    /// When bytes last moved in either direction.
    active: Cell<TimestampMs>,
}

impl Connection {
    /// Takes over an accepted socket; its small answers go through `sends`.
    pub fn new(server: Rc<Server>, stream: TcpStream, client: Client, sends: Rc<Sends>) -> Rc<Self> {
        let active = Cell::new(Clock::of_last_tick());
        Rc::new(Self {
            server,
            client: Rc::new(client),
            stream: RefCell::new(stream),
            queue: ResponseQueue::default(),
            sends,
            outgoing: Rc::default(),
            active,
        })
    }

    /// Who is at the other end.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// When bytes last moved.
    pub fn last_active(&self) -> TimestampMs {
        self.active.get()
    }

    /// Makes [`Self::serve`] end soon, as if the client had closed.
    pub fn shut_down(&self) {
        // A socket that is closed already needs no shutting down.
        let _ = rustix::net::shutdown(self.descriptor(), rustix::net::Shutdown::Both);
    }

    /// A further descriptor of the socket, for the shard that the connection moves to.
    pub fn socket(&self) -> io::Result<OwnedFd> {
        Ok(rustix::io::fcntl_dupfd_cloexec(self.descriptor(), 0)?)
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        let socket = self.stream.borrow().as_raw_fd();
        // SAFETY: a connection keeps its stream, and the descriptor with it, as long as it lives.
        unsafe { BorrowedFd::borrow_raw(socket) }
    }

    /// Serves the connection until it ends, or has nothing under way and should be at a shard that takes more.
    pub async fn serve(&self, scratch: &RefCell<Vec<u8>>, loads: &Loads) -> End {
        let receive = async { self.receive(scratch, loads).await.unwrap_or_else(|end| end) };
        let send = async { self.send().await.unwrap_or_else(|end| end) };
        let end = futures_lite::future::or(receive, send).await;
        if !matches!(end, End::Moves(_)) {
            handlers::on_disconnect(&self.server, &self.client);
        }
        end
    }

    async fn receive(&self, scratch: &RefCell<Vec<u8>>, loads: &Loads) -> Result<End, End> {
        let limit = self.server.shard().settings().network.request_bytes_max;
        let mut frames = FrameAssembler::new(limit);
        // Memory of a large request that is still arriving.
        let mut held = Arriving::default();
        loop {
            let coming = frames.coming_bytes();
            if coming > held.bytes() + UNCOUNTED_BYTES_MAX {
                self.server.shard().budget().take_arriving(&mut held, coming).await?;
            }
            let count = self.fill(&mut frames, scratch).await?;
            if count == 0 {
                return Ok(End::Closed);
            }
            self.active.set(Clock::of_last_tick());
            self.server.shard().metrics().traffic.received_bytes.add(count as u64);
            while let Some(frame) = frames.next() {
                // It counts as arriving until it counts as a whole one.
                self.begin(frame).await?;
                if frames.held_bytes() == 0 {
                    held = Arriving::default();
                }
            }
            if !frames.is_mid_frame()
                && let Some(to) = self.better_place(loads)
            {
                self.queue.drained().await;
                return Ok(End::Moves(to));
            }
        }
    }

    /// The shard that the connection should move to, if that takes one more.
    fn better_place(&self, loads: &Loads) -> Option<ShardId> {
        self.client.affinity().better_than(self.server.shard().id()).filter(|to| loads.takes_more(*to))
    }

    /// Receives once, into the request under way or expected if it is large, else through the shard's shared buffer.
    async fn fill(&self, frames: &mut FrameAssembler, scratch: &RefCell<Vec<u8>>) -> Result<usize, End> {
        let mut fed = Ok(());
        let count = poll_fn(|cx| {
            let mut stream = self.stream.borrow_mut();
            if let Some(room) = frames.room() {
                let polled = stream.poll_recv(cx, room);
                match polled {
                    // SAFETY: so many bytes of the room were received just now.
                    Poll::Ready(Ok(count)) => fed = unsafe { frames.received(count) },
                    _ => frames.give_up(),
                }
                return polled;
            }
            let mut scratch = scratch.borrow_mut();
            let polled = Pin::new(&mut *stream).poll_read(cx, &mut scratch);
            if let Poll::Ready(Ok(count)) = polled {
                fed = frames.feed(&scratch[..count]);
            }
            polled
        })
        .await?;
        fed?;
        Ok(count)
    }

    /// Begins one request and queues its answer.
    async fn begin(&self, mut frame: Bytes) -> Result<(), End> {
        self.queue.ready_for_more().await;
        let grant = self.server.shard().budget().take(frame.len()).await?;
        let header = match parse_header(&mut frame) {
            Ok(header) => header,
            Err(error) => {
                let answer = handlers::answer_unsupported(&error).ok_or(error)?;
                self.queue.push(Owed { begun: Begun::ready(answer), barrier: false, _grant: grant });
                return Ok(());
            }
        };
        let barrier = handlers::is_barrier(header.api);
        let begun = handlers::begin(&self.server, &self.client, header, frame).await;
        self.queue.push(Owed { begun, barrier, _grant: grant });
        Ok(())
    }

    async fn send(&self) -> Result<End, End> {
        let mut carried = None;
        loop {
            let mut owed = match carried.take() {
                Some(owed) => owed,
                None => self.queue.next().await,
            };
            let outcome = owed.begun.outcome().await;
            let mut batch = send::Batch::default();
            let mut left = vec![];
            let mut end = batch.add(outcome);
            left.push(owed);
            // Whatever is ready too goes out with the same system call.
            while end.is_none() && batch.bytes() < COALESCED_BYTES_MAX {
                let Some(mut next) = self.queue.try_next() else { break };
                match next.begun.outcome_now().await {
                    Some(outcome) => {
                        end = batch.add(outcome);
                        left.push(next);
                    }
                    None => {
                        carried = Some(next);
                        break;
                    }
                }
            }
            self.write(batch).await?;
            for owed in left {
                self.queue.answered(owed.barrier);
            }
            if let Some(reason) = end {
                return Ok(End::Request(reason));
            }
        }
    }

    /// Sends some of `bytes` when the client takes more. One that takes nothing while requests of its own hold memory that
    /// others wait for is given up.
    async fn write_when_ready(&self, bytes: &[u8]) -> Result<usize, End> {
        loop {
            let write = poll_fn(|cx| {
                let mut stream = self.stream.borrow_mut();
                Pin::new(&mut *stream).poll_write(cx, bytes)
            });
            let written = async { Ok(write.await) };
            match glommio::timer::timeout(UNREAD_MAX, written).await {
                Ok(written) => return Ok(written?),
                Err(_) if self.server.shard().budget().is_short() => return Err(End::Unread),
                Err::<_, glommio::GlommioError<()>>(_) => {}
            }
        }
    }

    /// Sends all of `batch`, with vectored sends straight from the slices.
    async fn write(&self, mut batch: send::Batch) -> Result<(), End> {
        while !batch.is_empty() {
            let sent;
            if batch.bytes() > GATHERED_BYTES_MAX {
                sent = batch.send(self.descriptor());
            } else {
                (batch, sent) = self.sends.send(self.descriptor(), &self.outgoing, batch).await;
            }
            let sent = match sent {
                Ok(sent) => sent,
                Err(rustix::io::Errno::INTR) => continue,
                Err(rustix::io::Errno::AGAIN) => self.write_when_ready(&batch.front()).await?,
                Err(error) => return Err(End::Io(error.into())),
            };
            self.server.shard().metrics().traffic.sent_bytes.add(sent as u64);
            batch.advance(sent);
            self.active.set(Clock::of_last_tick());
            if sent >= send::TURN_BYTES_MAX {
                // A large answer takes turns with everybody else's.
                futures_lite::future::yield_now().await;
            }
        }
        Ok(())
    }
}
