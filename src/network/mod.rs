//! Listener, connections and the response queue.
