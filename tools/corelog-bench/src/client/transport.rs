//! What carries a connection's bytes: today a TCP socket; an encrypted one would be another variant here.
//!
//! Key invariant: nothing blocks; what the socket cannot take or give at once is waited for by polling. Frames and
//! queues are left to `pipe`.

use std::io::{self, IoSlice};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context as Waiting, Poll};
use std::time::{Duration, Instant};

use futures_lite::{AsyncRead, AsyncWrite};
use glommio::net::TcpStream;
use rustix::net::{SendAncillaryBuffer, SendFlags};

use super::ClientError;

/// A connection's way to its peer.
#[derive(Debug)]
pub(super) enum Transport {
    Plain(TcpStream),
}

impl Transport {
    /// Connects to `address` (`host:port`), trying each address that the name has.
    pub(super) async fn connect(address: &str, timeout: Duration) -> Result<Self, ClientError> {
        let unreachable = |reason: String| ClientError::Unreachable { address: address.to_owned(), reason };
        let deadline = Instant::now() + timeout;
        let places = resolve(address, timeout).await.map_err(unreachable)?;
        let mut reason = "the name has no address".to_owned();
        for place in places {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            match TcpStream::connect_timeout(place, left).await {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(|error| unreachable(error.to_string()))?;
                    return Ok(Self::Plain(stream));
                }
                Err(error) => reason = told(&error, timeout),
            }
        }
        Err(unreachable(reason))
    }

    /// Sends as much of `slices` as the socket takes without waiting.
    pub(super) fn send(&self, slices: &[IoSlice<'_>]) -> rustix::io::Result<usize> {
        let Self::Plain(stream) = self;
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        rustix::net::sendmsg(borrowed(stream), slices, &mut SendAncillaryBuffer::default(), flags)
    }

    /// Waits until the socket takes more, and sends of `bytes` what it takes.
    pub(super) fn poll_send(&mut self, waiting: &mut Waiting<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self::Plain(stream) = self;
        Pin::new(stream).poll_write(waiting, bytes)
    }

    /// Receives once; 0 at the end of the stream.
    pub(super) fn poll_receive(
        &mut self,
        waiting: &mut Waiting<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let Self::Plain(stream) = self;
        Pin::new(stream).poll_read(waiting, room)
    }

    /// Ends both directions; whoever waits to receive is woken.
    pub(super) fn shut_down(&self) {
        let Self::Plain(stream) = self;
        // A socket that is closed already needs no shutting down.
        let _ = rustix::net::shutdown(borrowed(stream), rustix::net::Shutdown::Both);
    }
}

/// The addresses of `host:port`. Names are looked up on a thread of their own, which may take long.
async fn resolve(address: &str, timeout: Duration) -> Result<Vec<SocketAddr>, String> {
    if let Ok(place) = address.parse::<SocketAddr>() {
        return Ok(vec![place]);
    }
    if !address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()) {
        return Err("an address has the form HOST:PORT".to_owned());
    }
    let name = address.to_owned();
    let found = glommio::executor().spawn_blocking(move || name.to_socket_addrs().map(Vec::from_iter));
    let found = glommio::timer::timeout(timeout, async { Ok(found.await) }).await;
    match found {
        Ok(found) => found.map_err(|error| format!("the name cannot be resolved: {error}")),
        Err(_) => Err(format!("the name was not resolved within {} ms", timeout.as_millis())),
    }
}

fn told(error: &glommio::GlommioError<()>, timeout: Duration) -> String {
    let kind = match error {
        glommio::GlommioError::IoError(error) => error.kind(),
        _ => io::ErrorKind::Other,
    };
    match kind {
        io::ErrorKind::ConnectionRefused => "connection refused; is a broker running there?".to_owned(),
        io::ErrorKind::TimedOut => format!("no answer within {} ms", timeout.as_millis()),
        _ => error.to_string(),
    }
}

/// The descriptor of a stream, for as long as the stream is borrowed.
fn borrowed(stream: &TcpStream) -> BorrowedFd<'_> {
    // SAFETY: the descriptor belongs to `stream`, which the result borrows, so it stays open as long as the result lives.
    unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) }
}
