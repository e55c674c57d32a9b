//! Connections that other shards handed over to this one.
//!
//! Key invariant: a socket handed over is served or closed here, never lost.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use glommio::net::AcceptedTcpStream;

use super::Signal;

/// A connection on its way to another shard.
pub enum Adoption {
    /// One that was just accepted.
    Accepted(AcceptedTcpStream),
    /// One that was served, up to a request's end, by a shard where it had nothing to do.
    Moved {
        socket: OwnedFd,
        /// How often it has moved, this time included.
        moves: u32,
    },
}

/// Connections that wait to be served by this shard. Their number is bounded by `max.connections`.
#[derive(Default)]
pub struct Adoptions {
    waiting: RefCell<VecDeque<Adoption>>,
    filled: Signal,
}

impl Adoptions {
    /// Hands a connection over.
    pub fn hand_over(&self, adoption: Adoption) {
        self.waiting.borrow_mut().push_back(adoption);
        self.filled.raise();
    }

    /// The next connection; waits for one.
    pub async fn next(&self) -> Adoption {
        loop {
            let next = self.waiting.borrow_mut().pop_front();
            if let Some(adoption) = next {
                return adoption;
            }
            self.filled.wait().await;
        }
    }
}
