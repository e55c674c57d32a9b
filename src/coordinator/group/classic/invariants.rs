//! What holds of a classic group after each event.
//!
//! Key invariant: a group that breaks one of these would be stuck, or would forget a request.

use super::{ClassicGroup, Due, State};

impl ClassicGroup {
    /// Runs [`Self::check_invariants`] in debug builds.
    pub(super) fn check_in_debug(&self) {
        if cfg!(debug_assertions) {
            self.check_invariants();
        }
    }

    /// Panics if the state contradicts itself.
    pub fn check_invariants(&self) {
        self.roster.check_invariants();
        let has = |due: &Due| self.timers.deadline(due).is_some();
        assert_eq!(has(&Due::Join), self.state == State::PreparingRebalance, "a join phase has an end");
        assert!(self.initial.is_none() || self.state == State::PreparingRebalance);
        assert_eq!(has(&Due::Sync), !self.roster.pending_sync.is_empty(), "who is to sync has a deadline");
        assert!(self.generation >= 0, "generations count up");
        for member in self.roster.members() {
            assert!(
                has(&Due::Session(member.id.clone())) || member.is_alive_by_waiting(),
                "a member can expire"
            );
            assert!(member.joining.is_none() || self.state == State::PreparingRebalance);
            assert!(member.syncing.is_none() || self.state == State::CompletingRebalance);
        }
        let mut sessions = self.roster.members().filter(|m| has(&Due::Session(m.id.clone()))).count();
        for id in self.roster.pending() {
            assert!(has(&Due::Session(id.clone())), "an id that was given out can expire");
            sessions += 1;
        }
        let others = usize::from(has(&Due::Join)) + usize::from(has(&Due::Sync));
        assert_eq!(self.timers.len(), sessions + others, "there are no deadlines of those that are gone");
        match self.state {
            State::Empty => assert!(self.roster.is_empty() && self.roster.pending_sync.is_empty()),
            State::PreparingRebalance => assert!(self.roster.pending_sync.is_empty()),
            State::CompletingRebalance => {
                let leader = self.leader().expect("a group with members has a leader");
                assert!(self.roster.pending_sync.contains(leader), "the leader's assignment is awaited");
                assert!(self.protocol.is_some());
            }
            State::Stable => assert!(!self.roster.is_empty() && self.protocol.is_some()),
        }
    }
}
