//! Tests of classic groups: requests to a map of groups, at times that the test sets, and exactly what comes of each.

mod bounds;
mod commits;
mod joins;
mod life;
mod property;
mod records;
mod statics;
mod syncs;

use bytes::Bytes;

use super::{ClassicGroup, JoinRequest, Joined, Leaving, State, SyncRequest, Synced};
use crate::config::{BrokerSettings, GroupSettings};
use crate::coordinator::group::{Group, Groups, Kind, Turn};
use crate::coordinator::records::GroupRecord;
use crate::coordinator::{Actions, GroupError, GroupId, InstanceId, MemberId, Ticket};
use crate::metadata::Image;
use crate::model::TimestampMs;

const SESSION_MS: i32 = 10_000;
const REBALANCE_MS: i32 = 60_000;
const DELAY_MS: i64 = 3_000;

/// Groups under a clock of the test's own.
pub(super) struct Bench {
    pub groups: Groups,
    pub now: i64,
    pub settings: GroupSettings,
    image: Image,
    tickets: u64,
    fresh: u128,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self {
            groups: Groups::default(),
            now: 1_000,
            settings: GroupSettings::of(&BrokerSettings::default()),
            image: Image::default(),
            tickets: 0,
            fresh: 0,
        }
    }

    pub(super) fn event<A>(
        &mut self,
        event: impl FnOnce(&mut Groups, &Turn<'_>, &mut Actions) -> A,
    ) -> (A, Actions) {
        let turn = Turn { now: TimestampMs(self.now), image: &self.image, settings: &self.settings };
        let mut actions = Actions::default();
        let answer = event(&mut self.groups, &turn, &mut actions);
        (answer, actions)
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    pub(super) fn join(&mut self, mut request: JoinRequest) -> (Ticket, Actions) {
        self.fresh += 1;
        request.fresh = uuid::Uuid::from_u128(self.fresh);
        let ticket = self.ticket();
        let ((), actions) =
            self.event(|groups, turn, actions| groups.join(turn, &id(), request, ticket, actions));
        (ticket, actions)
    }

    pub(super) fn sync(&mut self, request: SyncRequest) -> (Ticket, Actions) {
        let ticket = self.ticket();
        let ((), actions) =
            self.event(|groups, turn, actions| groups.sync(turn, &id(), request, ticket, actions));
        (ticket, actions)
    }

    pub(super) fn heartbeat(&mut self, member: &str, generation: i32) -> Result<(), GroupError> {
        self.event(|groups, turn, _| groups.heartbeat(turn, &id(), member, None, generation)).0
    }

    pub(super) fn leave(&mut self, leaving: Vec<Leaving>) -> (Vec<Result<(), GroupError>>, Actions) {
        let (left, actions) = self.event(|groups, turn, actions| groups.leave(turn, &id(), leaving, actions));
        (left.unwrap().into_iter().map(|left| left.outcome).collect(), actions)
    }

    /// Lets time pass, deadline by deadline.
    pub(super) fn pass(&mut self, ms: i64) -> Actions {
        let end = self.now + ms;
        let mut all = Actions::default();
        while let Some(actions) = self.next_until(end) {
            all.records.extend(actions.records);
            all.joined.extend(actions.joined);
            all.synced.extend(actions.synced);
        }
        all
    }

    /// Lets time pass until the next deadline, and what is due happen; until `end` if there is none before.
    pub(super) fn next_until(&mut self, end: i64) -> Option<Actions> {
        let Some(TimestampMs(at)) = self.groups.next_deadline().filter(|at| at.0 <= end) else {
            self.now = end;
            return None;
        };
        self.now = at.max(self.now);
        Some(self.event(|groups, turn, actions| groups.on_time(turn, actions)).1)
    }

    pub(super) fn group(&self) -> &ClassicGroup {
        match self.groups.get("g").map(Group::kind) {
            Some(Kind::Classic(group)) => group,
            other => panic!("no classic group: {other:?}"),
        }
    }

    pub(super) fn state(&self) -> State {
        self.group().state()
    }

    /// A stable group of members without instance ids, in their first generation; their ids, the leader's first.
    pub(super) fn stable(&mut self, size: usize) -> Vec<MemberId> {
        for _ in 0..size {
            self.join(dynamic(""));
        }
        self.settle()
    }

    /// Ends the initial join phase and brings an assignment; the ids of the members, the leader's first.
    pub(super) fn settle(&mut self) -> Vec<MemberId> {
        let ids = self.complete();
        self.sync_all(&ids);
        assert_eq!(self.state(), State::Stable);
        ids
    }

    /// Ends the join phase; the ids of the members, the leader's first.
    pub(super) fn complete(&mut self) -> Vec<MemberId> {
        let mut joined = vec![];
        while joined.is_empty() {
            joined = self.pass(500).joined;
        }
        let leader = joined[0].1.as_ref().unwrap().leader.clone();
        let mut ids: Vec<_> = joined.into_iter().map(|(_, joined)| joined.unwrap().member_id).collect();
        ids.sort_by_key(|id| *id != leader);
        ids
    }

    /// All members sync, the leader, which is first, last.
    pub(super) fn sync_all(&mut self, ids: &[MemberId]) {
        let generation = self.group().generation();
        for id in ids[1..].iter().chain([&ids[0]]) {
            let given = ids.iter().map(|id| (id.clone(), assigned(id))).collect();
            let assignments = if *id == ids[0] { given } else { vec![] };
            self.sync(sync(id, generation, assignments));
        }
    }
}

pub(super) fn id() -> GroupId {
    GroupId::from("g")
}

/// What the leader of these tests assigns to a member.
pub(super) fn assigned(id: &MemberId) -> Bytes {
    Bytes::from(format!("partitions of {id}"))
}

/// A subscription to one topic.
pub(super) fn subscribed(topic: &str) -> Bytes {
    let length = u8::try_from(topic.len()).unwrap();
    Bytes::from([&[0, 0, 0, 0, 0, 1, 0, length], topic.as_bytes()].concat())
}

/// A JoinGroup of version 0 to 3.
pub(super) fn dynamic(member_id: &str) -> JoinRequest {
    JoinRequest {
        member_id: member_id.to_owned(),
        instance_id: None,
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout_ms: SESSION_MS,
        rebalance_timeout_ms: REBALANCE_MS,
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), subscribed("t"))],
        reason: None,
        requires_known_member: false,
        supports_skipping_assignment: false,
        fresh: uuid::Uuid::nil(),
    }
}

/// A JoinGroup of a static member.
pub(super) fn fixed(instance_id: &str, member_id: &str) -> JoinRequest {
    JoinRequest { instance_id: Some(InstanceId::from(instance_id)), ..dynamic(member_id) }
}

/// The same with other protocols, all with the same metadata.
pub(super) fn with_protocols(request: JoinRequest, names: &[&str]) -> JoinRequest {
    let protocols = names.iter().map(|name| ((*name).to_owned(), subscribed("t"))).collect();
    JoinRequest { protocols, ..request }
}

pub(super) fn sync(id: &MemberId, generation: i32, assignments: Vec<(MemberId, Bytes)>) -> SyncRequest {
    SyncRequest {
        member_id: id.as_str().to_owned(),
        instance_id: None,
        generation,
        protocol_type: None,
        protocol: None,
        assignments,
    }
}

pub(super) fn leaving(member_id: &str) -> Leaving {
    Leaving { member_id: member_id.to_owned(), instance_id: None, reason: None }
}

/// The kind of a refusal, without its text.
pub(super) fn kind<T>(answer: &Result<T, GroupError>) -> &'static str {
    match answer {
        Ok(_) => "ok",
        Err(GroupError::UnknownMemberId(_)) => "unknown member",
        Err(GroupError::MemberIdRequired(_)) => "id required",
        Err(GroupError::IllegalGeneration) => "illegal generation",
        Err(GroupError::RebalanceInProgress) => "rebalance",
        Err(GroupError::InconsistentGroupProtocol(_)) => "inconsistent",
        Err(GroupError::FencedInstanceId(_)) => "fenced",
        Err(GroupError::GroupMaxSizeReached(_)) => "full",
        Err(GroupError::GroupTooLarge(_)) => "too large",
        Err(GroupError::InvalidGroupId) => "invalid id",
        Err(GroupError::InvalidSessionTimeout) => "session",
        Err(GroupError::InvalidRequest(_)) => "too long",
        Err(_) => "another",
    }
}

/// The answers to JoinGroup requests: whose, and what kind.
pub(super) fn joins(actions: &Actions) -> Vec<(Ticket, &'static str)> {
    actions.joined.iter().map(|(ticket, answer)| (*ticket, kind(answer))).collect()
}

/// The same for SyncGroup requests.
pub(super) fn syncs(actions: &Actions) -> Vec<(Ticket, &'static str)> {
    actions.synced.iter().map(|(ticket, answer)| (*ticket, kind(answer))).collect()
}

/// The only answer to a JoinGroup.
pub(super) fn only_joined(actions: &Actions) -> Joined {
    assert_eq!(actions.joined.len(), 1, "{actions:?}");
    actions.joined[0].1.clone().unwrap()
}

/// The only answer to a SyncGroup.
pub(super) fn only_synced(actions: &Actions) -> Synced {
    assert_eq!(actions.synced.len(), 1, "{actions:?}");
    actions.synced[0].1.clone().unwrap()
}

/// The id that a new member was told to join with.
pub(super) fn given_id(actions: &Actions) -> MemberId {
    match &actions.joined[0].1 {
        Err(GroupError::MemberIdRequired(id)) => id.clone(),
        other => panic!("{other:?}"),
    }
}

/// The generations and member counts of the records.
pub(super) fn written(actions: &Actions) -> Vec<Option<(i32, usize)>> {
    let of = |record: &GroupRecord| match record {
        GroupRecord::ClassicGroup(_, value) => {
            value.as_ref().map(|value| (value.generation, value.members.len()))
        }
        other => panic!("{other:?}"),
    };
    actions.records.iter().map(of).collect()
}
