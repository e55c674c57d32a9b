//! Listener, connections and the response queue.

mod frames;
