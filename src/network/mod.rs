//! Listener, connections and the response queue.
//!
//! Key invariant: a client can hold no more of the broker than the bounds named here, whatever it sends or leaves unread.
//! What requests mean is left to `handlers`.

mod congestion;
mod connection;
mod frames;
mod listener;
mod loads;
mod response_queue;
mod send;
mod sends;

pub use listener::{Network, bind, bind_own, probe};
pub use loads::Loads;
