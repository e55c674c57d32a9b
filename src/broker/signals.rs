//! Signals that end the broker.

use std::io;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// The signals that end the broker, caught from now on.
pub struct Caught(Signals);

/// Catches SIGTERM and SIGINT, which then no longer end the process by themselves.
pub fn catch() -> io::Result<Caught> {
    Signals::new([SIGTERM, SIGINT]).map(Caught)
}

impl Caught {
    /// Waits for the first signal and returns its name.
    pub fn wait(mut self) -> &'static str {
        match self.0.forever().next() {
            Some(SIGINT) => "SIGINT",
            _ => "SIGTERM",
        }
    }
}
