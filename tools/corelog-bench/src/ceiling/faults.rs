//! What the server does wrong on purpose.
//!
//! Key invariant: without faults nothing of this costs anything. Times count from the first Produce or Fetch request.

use std::time::Duration;

/// The faults of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Answers are held back once for a while.
    pub stall: Option<Stall>,
    /// Every nth Produce request is answered with this error code.
    pub error_every: Option<(u64, i16)>,
    /// On every nth Produce request the connection is closed instead of answering.
    pub close_every: Option<u64>,
    /// After this time the next broker leads each partition, and the old one answers NOT_LEADER_OR_FOLLOWER.
    pub move_leaders_after: Option<Duration>,
}

/// A time without answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    pub after: Duration,
    pub length: Duration,
}

impl Faults {
    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// How long an answer that is ready `since_first` after the first request must wait.
    pub(super) fn held_back(&self, since_first: Duration) -> Option<Duration> {
        let stall = self.stall.filter(|stall| since_first >= stall.after)?;
        (stall.after + stall.length).checked_sub(since_first).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_holds_back_until_its_end() {
        let stall = Stall { after: Duration::from_secs(2), length: Duration::from_secs(1) };
        let faults = Faults { stall: Some(stall), ..Faults::default() };
        let held = |ms| faults.held_back(Duration::from_millis(ms)).map(|left| left.as_millis());
        assert_eq!(
            [held(1_999), held(2_000), held(2_900), held(3_000)],
            [None, Some(1_000), Some(100), None]
        );
        assert_eq!(Faults::default().held_back(Duration::from_secs(2)), None);
    }
}
