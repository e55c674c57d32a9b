//! A heartbeat: who the member is, what it says anew, and the steps that follow.
//!
//! Key invariant: everything that can be refused is refused before anything changes. A heartbeat that says nothing new of a
//! member that has what it is to have costs no more than finding it and renewing its session.

use super::ConsumerGroup;
use super::alarms::Alarm;
use super::member::{Current, JOIN_EPOCH, nobody};
use super::pattern::Pattern;
use super::request::{HeartbeatAnswer, HeartbeatRequest};
use super::validate::check_epoch;
use crate::coordinator::group::Turn;
use crate::coordinator::records::GroupRecord;
use crate::coordinator::records::consumer::{
    GroupValue, MemberState, MemberValue, RegexValue, TargetMemberValue, TopicPartitions,
};
use crate::coordinator::{Actions, GroupError, MemberId};
use crate::model::TimestampMs;

/// The least time between two evaluations of a group's patterns, however often topics change.
pub(super) const REGEX_REFRESH_MS_MIN: i64 = 10_000;

/// A member as a request finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    New,
    Known,
    /// It takes the place of a static member.
    Of(MemberId),
}

/// What of a member's subscription a request changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub names: bool,
    pub pattern: bool,
}

impl Change {
    pub fn any(self) -> bool {
        self.names || self.pattern
    }
}

impl ConsumerGroup {
    /// A member joins, or says that it is there. A new group is in epoch 0 before.
    pub(super) fn heartbeat(
        &mut self,
        turn: &Turn<'_>,
        request: &HeartbeatRequest,
        actions: &mut Actions,
    ) -> Result<HeartbeatAnswer, GroupError> {
        self.check_room(turn.settings.consumer.members_max, &request.member_id)?;
        let id = match request.member_id.as_str() {
            "" => request.fresh.to_string().into(),
            id => self.members.get_key_value(id).map_or_else(|| id.into(), |(id, _)| id.clone()),
        };
        let place = self.place(&id, request)?;
        if let Some(pattern) = request.subscribed_regex.as_deref().filter(|pattern| !pattern.is_empty())
            && !self.subscriptions.has_pattern(pattern)
        {
            Pattern::new(pattern)?;
        }
        let holder = if let Place::Of(owner) = &place { owner } else { &id };
        let news = match self.members.get(holder) {
            Some(member) if request.is_old_news(&member.value) => None,
            member => Some(request.applied_to(&member.map_or_else(nobody, |member| member.value.clone()))),
        };
        if let Some(value) = &news {
            self.check_space(holder.as_str(), value)?;
        }
        if let Place::Of(owner) = &place {
            self.replace(owner, &id, actions);
        }
        let change =
            news.map_or_else(Change::default, |value| self.update(&id, value, place == Place::New, actions));
        let owned = request.owned.as_deref();
        let reassigned = self.settle(turn, &id, change, owned, actions);
        self.renew_session(turn, &id);
        self.checked();
        let current = &self.members[&id].current;
        let told = request.member_epoch == JOIN_EPOCH || request.is_full() || reassigned;
        Ok(HeartbeatAnswer {
            member_epoch: current.epoch,
            heartbeat_interval_ms: self.heartbeat_ms(turn),
            assignment: told.then(|| current.assigned.to_list()),
            member_id: id,
        })
    }

    /// Whether the member may be heard, and as whom.
    fn place(&self, id: &MemberId, request: &HeartbeatRequest) -> Result<Place, GroupError> {
        let joins = request.member_epoch == JOIN_EPOCH;
        let owner = match &request.instance_id {
            None if !joins => Some(self.known(id.as_str())?),
            None => None,
            Some(instance) if joins => {
                let owner = self.statics.get(instance.as_str()).cloned();
                if let Some(owner) = owner {
                    self.check_released(instance, id.as_str(), &owner)?;
                    return Ok(Place::Of(owner));
                }
                None
            }
            Some(instance) => Some(self.known_static(instance, id.as_str())?),
        };
        let Some(member) = self.members.get(owner.as_ref().unwrap_or(id)) else { return Ok(Place::New) };
        check_epoch(member, request.member_epoch, request.owned.as_deref())?;
        let nothing_owned = request.owned.as_ref().is_some_and(Vec::is_empty);
        if member.current.state == MemberState::Unknown && !nothing_owned {
            let text = "The consumer group member is in a unknown state. The member must abandon all its \
                        partitions and rejoin.";
            return Err(GroupError::FencedMemberEpoch(text.to_owned()));
        }
        Ok(Place::Known)
    }

    /// A static member comes back under another id, and has what it had before.
    pub(super) fn replace(&mut self, owner: &MemberId, id: &MemberId, actions: &mut Actions) {
        let Some(member) = self.members.get(owner.as_str()).cloned() else { return };
        let target = self.targets.get(owner.as_str()).cloned().unwrap_or_default();
        self.emit_tombstones(owner, actions);
        self.cancel_alarms(owner);
        let current = Current { epoch: JOIN_EPOCH, previous_epoch: JOIN_EPOCH, ..member.current };
        let target = TargetMemberValue { partitions: target.to_list() };
        let (group, id) = (self.id.clone(), id.clone());
        let records = [
            GroupRecord::ConsumerMember(group.clone(), id.clone(), Some(member.value)),
            GroupRecord::ConsumerTargetMember(group.clone(), id.clone(), Some(target)),
            GroupRecord::ConsumerCurrent(group, id, Some(current.to_value())),
        ];
        for record in records {
            self.emit(record, actions);
        }
    }

    /// Notes what a member said of itself.
    pub(super) fn update(
        &mut self,
        id: &MemberId,
        value: MemberValue,
        is_new: bool,
        actions: &mut Actions,
    ) -> Change {
        let before = self.members.get(id.as_str()).map_or_else(nobody, |member| member.value.clone());
        let change = Change {
            names: before.subscribed_topics != value.subscribed_topics,
            pattern: before.subscribed_regex != value.subscribed_regex,
        };
        if before.classic.is_some() && value.classic.is_none() {
            self.cancel_alarm(id, Alarm::Join);
            self.cancel_alarm(id, Alarm::Sync);
        }
        if is_new || before != value {
            self.emit(GroupRecord::ConsumerMember(self.id.clone(), id.clone(), Some(value)), actions);
        }
        change
    }

    /// What follows from a member's words: patterns are evaluated, the epoch goes up, a target is made, and the member takes a
    /// step. Whether that changed what it is assigned.
    pub(super) fn settle(
        &mut self,
        turn: &Turn<'_>,
        id: &MemberId,
        change: Change,
        owned: Option<&[TopicPartitions]>,
        actions: &mut Actions,
    ) -> bool {
        if change.pattern {
            self.drop_unused_patterns(actions);
        }
        let rematched = self.match_patterns(turn, actions);
        self.bump(turn, self.epoch == 0 || change.any() || rematched, actions);
        if self.epoch > self.target_epoch {
            self.assign(turn, actions);
        }
        self.reconcile(turn, id, change.any(), owned, actions)
    }

    /// Raises the epoch, if it must or the subscribed topics are others than they were.
    pub(super) fn bump(&mut self, turn: &Turn<'_>, must: bool, actions: &mut Actions) {
        let image = turn.image.applied();
        if !must && self.seen.hashed == Some(image) {
            return;
        }
        self.seen.hashed = Some(image);
        let metadata_hash = self.subscriptions.metadata_hash(turn.image);
        if must || metadata_hash != self.metadata_hash {
            let value = GroupValue { epoch: self.epoch.saturating_add(1), metadata_hash };
            self.emit(GroupRecord::ConsumerGroup(self.id.clone(), Some(value)), actions);
        }
    }

    /// Matches the patterns against the topics: new ones at once, all of them after topics changed and from time to time.
    /// Whether any matches other topics than before.
    fn match_patterns(&mut self, turn: &Turn<'_>, actions: &mut Actions) -> bool {
        if self.subscriptions.patterns().len() == 0 {
            return false;
        }
        let (image, now) = (turn.image.applied(), turn.now.get());
        let resolved = self.subscriptions.resolved();
        let (seen, last) = match self.seen.matched {
            Some((seen, at)) => (Some(seen), at.get()),
            None => (None, resolved.values().map(|value| value.at.get()).max().unwrap_or(i64::MIN)),
        };
        let refresh_ms = i64::from(turn.settings.consumer.regex_refresh_ms);
        let due = now > last.saturating_add(REGEX_REFRESH_MS_MIN)
            && (seen != Some(image) || now > last.saturating_add(refresh_ms));
        if !due && resolved.len() == self.subscriptions.patterns().len() {
            return false;
        }
        let patterns: Vec<String> = self
            .subscriptions
            .patterns()
            .filter(|pattern| due || !resolved.contains_key(*pattern))
            .map(str::to_owned)
            .collect();
        if due || seen.is_none() {
            self.seen.matched = Some((image, turn.now));
        }
        let mut changed = false;
        for pattern in patterns {
            changed |= self.match_pattern(turn, &pattern, actions);
        }
        changed
    }

    fn match_pattern(&mut self, turn: &Turn<'_>, text: &str, actions: &mut Actions) -> bool {
        let before = self.subscriptions.resolved().get(text);
        let topics: Vec<String> = match Pattern::new(text) {
            Ok(pattern) => {
                let names = turn.image.topics().map(|topic| topic.name.as_str());
                names.filter(|name| pattern.matches(name)).map(str::to_owned).collect()
            }
            // It was accepted by another broker, so it keeps what that one found.
            Err(_) => before.map_or_else(Vec::new, |before| before.topics.clone()),
        };
        let refresh_ms = i64::from(turn.settings.consumer.regex_refresh_ms);
        let old = |at: TimestampMs| turn.now.get() > at.get().saturating_add(refresh_ms);
        let changed = before.is_none_or(|before| before.topics != topics);
        if changed || before.is_some_and(|before| old(before.at)) {
            let version = i64::try_from(turn.image.applied().index).unwrap_or(i64::MAX);
            let value = RegexValue { topics, version, at: turn.now };
            let record = GroupRecord::ConsumerRegex(self.id.clone(), text.to_owned(), Some(value));
            self.emit(record, actions);
        }
        changed
    }
}
