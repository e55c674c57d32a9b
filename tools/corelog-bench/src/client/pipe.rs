//! The hot path: frames out and in over one connection, without a task of its own.
//!
//! Key invariants: what is queued leaves in order; every frame that was received is handed out exactly once, in order. One
//! wake-up costs one receive and, if the caller flushes once, one send. Matching answers to requests is left to the
//! caller. Do not wait in [`Pipe::drain`] alone: a broker that waits for its answers to be taken reads nothing.

use std::cell::RefCell;
use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use glommio::net::TcpStream;
use kafka_protocol::protocol::Request;
use rustix::io::Errno;

use super::error::api_name;
use super::incoming::Incoming;
use super::outgoing::Outgoing;
use super::transport::Transport;
use super::{ClientError, Frame, Malformed, Versions};

/// One connection, shared as `Rc<Pipe>`. One task may receive; any may queue and flush.
#[derive(Debug)]
pub struct Pipe {
    address: String,
    timeout: Duration,
    versions: Versions,
    transport: RefCell<Transport>,
    incoming: RefCell<Incoming>,
    outgoing: RefCell<Outgoing>,
}

impl Pipe {
    pub(super) fn new(address: &str, timeout: Duration, transport: Transport) -> Self {
        Self {
            address: address.to_owned(),
            timeout,
            versions: Versions::default(),
            transport: RefCell::new(transport),
            incoming: RefCell::new(Incoming::new()),
            outgoing: RefCell::default(),
        }
    }

    /// The serving end of a connection. `address` names the peer in errors.
    pub(crate) fn accepted(address: &str, timeout: Duration, stream: TcpStream) -> Self {
        Self::new(address, timeout, Transport::Plain(stream))
    }

    pub(super) fn set_versions(&mut self, versions: Versions) {
        self.versions = versions;
    }

    /// The broker's `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The newest version of `R` that both sides know.
    pub fn version<R: Request>(&self) -> Result<i16, ClientError> {
        self.version_at_most::<R>(i16::MAX)
    }

    /// As [`Self::version`], but not above `max`.
    pub fn version_at_most<R: Request>(&self, max: i16) -> Result<i16, ClientError> {
        self.versions.newest::<R>(max).ok_or_else(|| ClientError::NoCommonVersion {
            address: self.address.clone(),
            api: api_name(R::KEY),
        })
    }

    /// Adds bytes to be sent; they are copied.
    pub fn queue(&self, bytes: &[u8]) {
        self.outgoing.borrow_mut().push(bytes);
    }

    /// Lets `write` append what is to be sent, without another copy. `write` must not use this connection.
    pub fn queue_with(&self, write: impl FnOnce(&mut Vec<u8>)) {
        self.outgoing.borrow_mut().push_with(write);
    }

    /// Adds bytes to be sent from where they are; small ones are copied.
    pub fn queue_slice(&self, bytes: Bytes) {
        self.outgoing.borrow_mut().push_slice(bytes);
    }

    /// Bytes that wait to be sent.
    pub fn queued_bytes(&self) -> usize {
        self.outgoing.borrow().bytes()
    }

    /// Sends what the socket takes now; true if nothing is left.
    pub fn flush(&self) -> Result<bool, ClientError> {
        let mut outgoing = self.outgoing.borrow_mut();
        let transport = self.transport.borrow();
        while outgoing.bytes() > 0 {
            let sent = transport.send(&outgoing.slices());
            match sent {
                Ok(sent) => outgoing.advance(sent),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(self.closed(&error.into())),
            }
        }
        Ok(true)
    }

    /// Waits until the socket takes more, and flushes until nothing is left, at most for the connection's time limit.
    pub async fn drain(&self) -> Result<(), ClientError> {
        if self.flush()? {
            return Ok(());
        }
        self.within("take what was sent", self.drain_slowly()).await
    }

    async fn drain_slowly(&self) -> Result<(), ClientError> {
        loop {
            let sent = poll_fn(|waiting| {
                let outgoing = self.outgoing.borrow();
                // Another task may have flushed meanwhile.
                let slices = outgoing.slices();
                let Some(front) = slices.first() else { return std::task::Poll::Ready(Ok(0)) };
                self.transport.borrow_mut().poll_send(waiting, front)
            });
            let sent = sent.await.map_err(|error| self.closed(&error))?;
            self.outgoing.borrow_mut().advance(sent);
            if self.flush()? {
                return Ok(());
            }
        }
    }

    /// Waits for at least one whole frame, and calls `each` for every whole frame that was received with it. `each` may
    /// queue, flush and close, but not receive.
    pub async fn receive(&self, each: &mut dyn FnMut(Frame<'_>)) -> Result<(), ClientError> {
        loop {
            let count = poll_fn(|waiting| {
                let mut incoming = self.incoming.borrow_mut();
                self.transport.borrow_mut().poll_receive(waiting, incoming.room())
            });
            let count = count.await.map_err(|error| self.closed(&error))?;
            if count == 0 {
                return Err(ClientError::Closed { address: self.address.clone(), reason: String::new() });
            }
            let mut incoming = self.incoming.borrow_mut();
            incoming.received(count);
            let mut any = false;
            while let Some(frame) = incoming.next().map_err(|malformed| self.malformed(malformed))? {
                any = true;
                each(frame);
            }
            if any {
                return Ok(());
            }
        }
    }

    /// Receives once into `scratch`, which several connections share, instead of memory of this connection. Returns
    /// how many bytes came; 0 at the end of the stream.
    pub(crate) async fn receive_into(&self, scratch: &RefCell<Vec<u8>>) -> Result<usize, ClientError> {
        let received =
            poll_fn(|waiting| self.transport.borrow_mut().poll_receive(waiting, &mut scratch.borrow_mut()));
        received.await.map_err(|error| self.closed(&error))
    }

    /// Ends the connection; a task that receives gets [`ClientError::Closed`].
    pub fn close(&self) {
        self.transport.borrow().shut_down();
    }

    /// The error for bytes of this broker that cannot be understood.
    pub fn malformed(&self, Malformed(reason): Malformed) -> ClientError {
        ClientError::Malformed { address: self.address.clone(), reason: reason.to_owned() }
    }

    /// Awaits `done`, at most for the connection's time limit. `what` completes "the broker did not …".
    pub(super) async fn within<T>(
        &self,
        what: &str,
        done: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        match glommio::timer::timeout(self.timeout, async { Ok(done.await) }).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ClientError::TimedOut {
                address: self.address.clone(),
                what: what.to_owned(),
                within_ms: self.timeout.as_millis() as u64,
            }),
        }
    }

    fn closed(&self, error: &std::io::Error) -> ClientError {
        let reason = match error.kind() {
            std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe => String::new(),
            _ => format!(": {error}"),
        };
        ClientError::Closed { address: self.address.clone(), reason }
    }
}
