//! Sockets that other shards accepted and handed over to this one.
//!
//! Key invariant: a socket handed over is served or closed here, never lost.

use std::cell::RefCell;
use std::collections::VecDeque;

use glommio::net::AcceptedTcpStream;

use super::Signal;

/// Sockets that wait to be served by this shard. Their number is bounded by `max.connections`.
#[derive(Default)]
pub struct Adoptions {
    waiting: RefCell<VecDeque<AcceptedTcpStream>>,
    filled: Signal,
}

impl Adoptions {
    /// Hands a socket over.
    pub fn hand_over(&self, stream: AcceptedTcpStream) {
        self.waiting.borrow_mut().push_back(stream);
        self.filled.raise();
    }

    /// The next socket; waits for one.
    pub async fn next(&self) -> AcceptedTcpStream {
        loop {
            let next = self.waiting.borrow_mut().pop_front();
            if let Some(stream) = next {
                return stream;
            }
            self.filled.wait().await;
        }
    }
}
