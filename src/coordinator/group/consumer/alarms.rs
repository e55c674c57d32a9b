//! Deadlines of members: sessions, revocations, and the steps of the classic protocol.
//!
//! Key invariant: a member without a live deadline is no member: each has a session, from joining or loading on.

use std::collections::BTreeSet;

use super::ConsumerGroup;
use super::member::Member;
use crate::coordinator::MemberId;
use crate::coordinator::group::Turn;
use crate::coordinator::records::consumer::MemberState;
use crate::metadata::ConfigResource;
use crate::model::TimestampMs;

/// What a member has to do in time, or else is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Alarm {
    /// Send a heartbeat.
    Session,
    /// Give up what it is to give up.
    Rebalance,
    /// Join again; of members on the classic protocol.
    Join,
    /// Ask for its assignment; of members on the classic protocol.
    Sync,
}

const ALARMS: [Alarm; 4] = [Alarm::Session, Alarm::Rebalance, Alarm::Join, Alarm::Sync];

impl ConsumerGroup {
    /// Sets a member's deadline for something, from now on.
    pub(super) fn set_alarm(&mut self, now: TimestampMs, member: &MemberId, alarm: Alarm, after_ms: i32) {
        let at = TimestampMs(now.get().saturating_add(i64::from(after_ms.max(0))));
        self.alarms.set((member.clone(), alarm), at);
    }

    pub(super) fn cancel_alarm(&mut self, member: &MemberId, alarm: Alarm) {
        self.alarms.cancel(&(member.clone(), alarm));
    }

    pub(super) fn cancel_alarms(&mut self, member: &MemberId) {
        for alarm in ALARMS {
            self.cancel_alarm(member, alarm);
        }
    }

    /// Gives a member its session anew.
    pub(super) fn renew_session(&mut self, turn: &Turn<'_>, member: &MemberId) {
        let classic = self.members.get(member).and_then(|member| member.value.classic.as_ref());
        let session_ms = classic.map_or_else(|| self.session_ms(turn), |classic| classic.session_timeout_ms);
        self.set_alarm(turn.now, member, Alarm::Session, session_ms);
    }

    /// Whoever is late by now, each once.
    pub(super) fn late(&mut self, now: TimestampMs) -> Vec<MemberId> {
        let mut late = BTreeSet::new();
        while let Some((member, _)) = self.alarms.pop_due(now) {
            if self.members.contains_key(&member) {
                late.insert(member);
            }
        }
        late.into_iter().collect()
    }

    /// What a member has to give up, it has to give up in time. Members on the classic protocol join and sync in time instead.
    pub(super) fn watch_revocation(&mut self, now: TimestampMs, id: &MemberId) {
        let Some(member) = self.members.get(id).filter(|member| !member.is_classic()) else { return };
        if is_revoking(member) {
            let timeout_ms = member.value.rebalance_timeout_ms;
            self.set_alarm(now, id, Alarm::Rebalance, timeout_ms);
        } else {
            self.cancel_alarm(id, Alarm::Rebalance);
        }
    }

    /// `consumer.session.timeout.ms` of the group, or the broker's.
    pub(super) fn session_ms(&self, turn: &Turn<'_>) -> i32 {
        self.setting(turn, "consumer.session.timeout.ms").unwrap_or(turn.settings.consumer.session_ms)
    }

    /// `consumer.heartbeat.interval.ms` of the group, or the broker's.
    pub(super) fn heartbeat_ms(&self, turn: &Turn<'_>) -> i32 {
        self.setting(turn, "consumer.heartbeat.interval.ms").unwrap_or(turn.settings.consumer.heartbeat_ms)
    }

    fn setting(&self, turn: &Turn<'_>, name: &str) -> Option<i32> {
        let own = turn.image.config(&ConfigResource::Group(self.id.as_str().to_owned()));
        // It was checked when it was set.
        own.get(name)?.trim().parse().ok()
    }
}

fn is_revoking(member: &Member) -> bool {
    member.current.state == MemberState::UnrevokedPartitions
}
