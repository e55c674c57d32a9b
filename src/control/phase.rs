//! How far the broker is between its start and its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Where a broker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    Starting,
    /// Clients are served.
    Ready,
    Stopping,
}

impl Phase {
    /// The word that `GET /health` answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
        }
    }
}

/// The phase as threads share it.
#[derive(Clone, Debug, Default)]
pub struct PhaseCell(Arc<AtomicU8>);

impl PhaseCell {
    /// Where the broker stands now.
    pub fn get(&self) -> Phase {
        match self.0.load(Ordering::Relaxed) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            _ => Phase::Stopping,
        }
    }

    /// Moves on to `phase`.
    pub fn set(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_read_as_it_was_set() {
        let cell = PhaseCell::default();
        assert_eq!(cell.get(), Phase::Starting);
        for phase in [Phase::Ready, Phase::Stopping, Phase::Starting] {
            cell.clone().set(phase);
            assert_eq!((cell.get(), cell.get().name()), (phase, phase.name()));
        }
    }
}
