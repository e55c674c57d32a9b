//! The join phase: when it begins, how long it waits, what its end brings; and members that are gone.
//!
//! Key invariant: while a rebalance is prepared there is a deadline for its end; while one is completed there is a deadline for
//! the leader's assignment. So a group never waits for ever.

use bytes::Bytes;

use super::{ClassicGroup, Due, InitialDelay, JoinedMember, POSTPONE_MS_MIN, State, Turn, unknown_member};
use crate::coordinator::{Actions, GroupError, MemberId};

impl ClassicGroup {
    /// A member came or changed: a rebalance begins, or the one that is being prepared may be complete.
    pub(super) fn rebalance_or_complete(&mut self, turn: &Turn<'_>, actions: &mut Actions) {
        match self.state {
            State::PreparingRebalance => self.complete_join_if_all_and_not_initial(turn, actions),
            State::Empty | State::CompletingRebalance | State::Stable => {
                self.prepare_rebalance(turn, actions)
            }
        }
    }

    /// Begins a join phase.
    pub(super) fn prepare_rebalance(&mut self, turn: &Turn<'_>, actions: &mut Actions) {
        if self.state == State::CompletingRebalance {
            self.refuse_assignments(turn, &GroupError::RebalanceInProgress, actions);
        }
        self.roster.pending_sync.clear();
        self.timers.cancel(&Due::Sync);
        let was_empty = self.state == State::Empty;
        self.transition(turn, State::PreparingRebalance);
        if was_empty {
            let delay_ms = turn.settings.classic.initial_rebalance_delay_ms;
            let remaining_ms = self.roster.rebalance_timeout_ms().saturating_sub(delay_ms).max(0);
            self.initial = Some(InitialDelay { delay_ms, remaining_ms, member_came: false });
            self.set_timer(turn, Due::Join, delay_ms);
        } else if self.roster.all_joined() {
            self.complete_join(turn, actions);
        } else {
            self.set_timer(turn, Due::Join, self.roster.rebalance_timeout_ms());
        }
    }

    /// Ends the join phase if nobody is awaited any more, unless more members are hoped for in a group that was empty.
    pub(super) fn complete_join_if_all_and_not_initial(&mut self, turn: &Turn<'_>, actions: &mut Actions) {
        if self.initial.is_none() {
            self.complete_join_if_all(turn, actions);
        }
    }

    /// Ends the join phase if nobody is awaited any more.
    pub(super) fn complete_join_if_all(&mut self, turn: &Turn<'_>, actions: &mut Actions) {
        if self.state == State::PreparingRebalance && self.roster.all_joined() {
            self.complete_join(turn, actions);
        }
    }

    pub(super) fn on_join_timeout(&mut self, turn: &Turn<'_>, actions: &mut Actions) {
        if self.state != State::PreparingRebalance {
            return;
        }
        if let Some(initial) = self.initial
            && initial.member_came
            && initial.remaining_ms > 0
        {
            let delay_ms = turn.settings.classic.initial_rebalance_delay_ms.min(initial.remaining_ms);
            let remaining_ms = (initial.remaining_ms - initial.delay_ms).max(0);
            self.initial = Some(InitialDelay { delay_ms, remaining_ms, member_came: false });
            self.set_timer(turn, Due::Join, delay_ms);
        } else {
            self.complete_join(turn, actions);
        }
    }

    /// Ends the join phase with those that have joined. Static members that have not keep their place.
    pub(super) fn complete_join(&mut self, turn: &Turn<'_>, actions: &mut Actions) {
        self.timers.cancel(&Due::Join);
        let is_late = |id: &MemberId| {
            self.member(id.as_str())
                .is_some_and(|member| member.joining.is_none() && member.instance_id.is_none())
        };
        let late: Vec<_> = self.roster.ids().into_iter().filter(is_late).collect();
        for id in late {
            self.remove_member(id.as_str(), actions);
        }
        if !self.roster.is_empty() && !self.roster.elect_joined_leader() {
            // Only static members, of which none has joined: their sessions decide.
            let timeout_ms = self.roster.rebalance_timeout_ms().max(POSTPONE_MS_MIN);
            self.set_timer(turn, Due::Join, timeout_ms);
            return;
        }
        self.initial = None;
        self.generation = self.generation.checked_add(1).unwrap_or(0);
        self.protocol = self.roster.select_protocol();
        self.read_topics();
        self.roster.pending_sync.clear();
        if self.roster.is_empty() {
            self.transition(turn, State::Empty);
            actions.records.push(self.to_record());
        } else {
            self.transition(turn, State::CompletingRebalance);
            self.announce_generation(turn, actions);
        }
    }

    /// Tells all members their generation; from now on they are to ask for their assignments.
    fn announce_generation(&mut self, turn: &Turn<'_>, actions: &mut Actions) {
        for id in self.roster.ids() {
            if let Some(ticket) = self.roster.set_joining(id.as_str(), None) {
                actions.joined.push((ticket, Ok(self.joined(&id))));
            }
            self.renew_session(turn, &id);
            self.roster.set_known(id.as_str());
            self.roster.pending_sync.insert(id);
        }
        self.set_timer(turn, Due::Sync, self.roster.rebalance_timeout_ms());
    }

    /// The members as their leader sees them.
    pub(super) fn joined_members(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let seen = self.members().map(|member| JoinedMember {
            id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            metadata: member.metadata(protocol).cloned().unwrap_or_default(),
        });
        seen.collect()
    }

    /// There will be no assignment in this generation: all that wait for one hear why.
    pub(super) fn refuse_assignments(&mut self, turn: &Turn<'_>, error: &GroupError, actions: &mut Actions) {
        for id in self.roster.ids() {
            self.roster.set_assignment(id.as_str(), Bytes::new());
            if let Some(ticket) = self.roster.set_syncing(id.as_str(), None) {
                actions.synced.push((ticket, Err(error.clone())));
                self.renew_session(turn, &id);
            }
        }
    }

    /// Members that joined this generation have not asked for their assignment in time.
    pub(super) fn on_sync_timeout(&mut self, turn: &Turn<'_>, actions: &mut Actions) {
        let awaits_sync = matches!(self.state, State::CompletingRebalance | State::Stable);
        if !awaits_sync || self.roster.pending_sync.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.roster.pending_sync) {
            self.remove_member(id.as_str(), actions);
        }
        self.prepare_rebalance(turn, actions);
    }

    /// A member has not been heard of within its session timeout, or one that was given an id has not used it.
    pub(super) fn on_session_timeout(&mut self, turn: &Turn<'_>, id: &MemberId, actions: &mut Actions) {
        if self.roster.remove_pending(id.as_str()) {
            self.complete_join_if_all(turn, actions);
            return;
        }
        let is_alive = |member: &super::Member| member.is_alive_by_waiting();
        if self.member(id.as_str()).is_none_or(is_alive) {
            return;
        }
        self.remove_member(id.as_str(), actions);
        match self.state {
            State::Stable | State::CompletingRebalance => self.prepare_rebalance(turn, actions),
            State::PreparingRebalance => self.complete_join_if_all(turn, actions),
            State::Empty => {}
        }
    }

    /// Takes a member out; what it waited for is answered.
    pub(super) fn remove_member(&mut self, id: &str, actions: &mut Actions) {
        let Some(member) = self.roster.remove(id) else { return };
        let gone = || unknown_member(id, &self.id);
        actions.joined.extend(member.joining.map(|ticket| (ticket, Err(gone()))));
        actions.synced.extend(member.syncing.map(|ticket| (ticket, Err(gone()))));
        self.timers.cancel(&Due::Session(member.id));
    }

    /// Takes back an id that was given out and not used. Whether it was such.
    pub(super) fn remove_pending(&mut self, id: &str) -> bool {
        let was_pending = self.roster.remove_pending(id);
        if was_pending {
            self.timers.cancel(&Due::Session(MemberId::from(id)));
        }
        was_pending
    }
}
