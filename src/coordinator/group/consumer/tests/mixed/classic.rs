//! Clients of the classic protocol (JoinGroup, SyncGroup) in groups of both: cooperative ones, which give up what they lose when
//! they hear of it and join once more, and eager ones, which give everything up before they join.

use super::*;
use crate::coordinator::group::classic::{JoinRequest, Joined, SyncRequest, Synced};
use bytes::Bytes;
use kafka_protocol::messages::consumer_protocol_subscription::TopicPartition;
use kafka_protocol::messages::{ConsumerProtocolSubscription, TopicName};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

/// The version of subscriptions that says of which generation the owned partitions are.
const VERSION: i16 = 2;

/// What such a client does next, if it does not wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Next {
    #[default]
    Join,
    Sync,
    Beat,
}

/// What such a client has heard and said.
#[derive(Clone, Debug, Default)]
pub(super) struct Talk {
    pub next: Next,
    /// Its request that waits.
    pub waits: Option<Ticket>,
    /// Whom it assigns partitions to, if it leads.
    leads: Option<Vec<JoinedMember>>,
    /// The partitions that it assigned, all of them, by topic.
    seen: Option<Vec<usize>>,
}

impl Play {
    pub(super) fn classic_next(&mut self, client: usize, lost: bool) {
        let talk = &self.clients[client].old;
        if talk.waits.is_some() {
            return;
        }
        match talk.next {
            Next::Join => self.classic_join(client, lost),
            Next::Sync => self.classic_sync(client, lost),
            Next::Beat if talk.seen.as_ref().is_some_and(|seen| *seen != self.partitions()) => {
                self.classic_join(client, lost);
            }
            Next::Beat => self.classic_beat(client),
        }
    }

    /// How many partitions each topic has.
    fn partitions(&self) -> Vec<usize> {
        TOPICS.iter().map(|name| self.world.image.topic(name).unwrap().partitions.len()).collect()
    }

    fn ticket(&mut self, client: usize, lost: bool) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.clients[client].old.waits = (!lost).then_some(ticket);
        ticket
    }

    pub(super) fn classic_join(&mut self, client: usize, lost: bool) {
        if !self.cooperative {
            let all: Vec<At> = self.clients[client].works_on.iter().collect();
            self.commit_own(client, &all);
            self.work_on(client, Assignment::default());
        }
        self.clients[client].old.next = Next::Join;
        self.world.chance += 1;
        let ticket = self.ticket(client, lost);
        let protocol = if self.cooperative { "cooperative-sticky" } else { "range" };
        let request = JoinRequest {
            member_id: self.clients[client].id.clone(),
            instance_id: Self::instance(client).map(Into::into),
            client_id: "old".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 20_000,
            protocol_type: "consumer".to_owned(),
            protocols: vec![(protocol.to_owned(), self.subscription(client))],
            reason: None,
            requires_known_member: client.is_multiple_of(2),
            supports_skipping_assignment: client.is_multiple_of(2),
            fresh: uuid::Uuid::from_u128(self.world.chance),
        };
        self.event(|groups, turn, actions| groups.join(turn, &"g".into(), request, ticket, actions));
    }

    fn subscription(&self, client: usize) -> Bytes {
        let text = |text: &str| StrBytes::from_string(text.to_owned());
        let state = &self.clients[client];
        let owned = state.works_on.topics().map(|(topic, partitions)| {
            TopicPartition::default()
                .with_topic(TopicName(text(&self.world.image.topic_by_id(topic).unwrap().name)))
                .with_partitions(partitions.iter().map(|at| at.get()).collect())
        });
        let message = ConsumerProtocolSubscription::default()
            .with_topics(names(state.subscription).iter().map(|name| text(name)).collect())
            .with_owned_partitions(owned.collect())
            .with_generation_id(if state.joined { state.epoch } else { -1 });
        let mut bytes = VERSION.to_be_bytes().to_vec();
        message.encode(&mut bytes, VERSION).unwrap();
        bytes.into()
    }

    fn classic_sync(&mut self, client: usize, lost: bool) {
        let leads = self.clients[client].old.leads.take();
        if leads.is_some() {
            self.clients[client].old.seen = Some(self.partitions());
        }
        let assignments = leads.map_or_else(Vec::new, |members| self.lead(&members));
        let ticket = self.ticket(client, lost);
        let request = SyncRequest {
            member_id: self.clients[client].id.clone(),
            instance_id: Self::instance(client).map(Into::into),
            generation: self.clients[client].epoch,
            protocol_type: None,
            protocol: None,
            assignments,
        };
        if lost {
            self.clients[client].old.next = Next::Join;
        }
        self.event(|groups, turn, actions| groups.sync(turn, &"g".into(), request, ticket, actions));
    }

    fn classic_beat(&mut self, client: usize) {
        let (id, instance, epoch) =
            (self.clients[client].id.clone(), Self::instance(client), self.clients[client].epoch);
        let answer = self
            .event(|groups, turn, _| groups.heartbeat(turn, &"g".into(), &id, instance.as_deref(), epoch));
        if let Err(error) = answer {
            self.hear_error(client, &error);
        }
    }

    /// Tells the clients what came of an event. Who gave up on a request does not hear of it.
    pub(super) fn hear(&mut self, actions: Actions) {
        for (ticket, answer) in actions.joined {
            let Some(client) = self.who_waits(ticket) else { continue };
            match answer {
                Ok(joined) => self.hear_joined(client, joined),
                Err(error) => self.hear_error(client, &error),
            }
        }
        for (ticket, answer) in actions.synced {
            let Some(client) = self.who_waits(ticket) else { continue };
            match answer {
                Ok(synced) => self.hear_synced(client, &synced),
                Err(error) => self.hear_error(client, &error),
            }
        }
    }

    fn who_waits(&mut self, ticket: Ticket) -> Option<usize> {
        let client = self.clients.iter().position(|client| client.old.waits == Some(ticket))?;
        self.clients[client].old.waits = None;
        Some(client)
    }

    fn hear_joined(&mut self, client: usize, joined: Joined) {
        let state = &mut self.clients[client];
        let leads = joined.leader == joined.member_id && !joined.members.is_empty();
        state.id = joined.member_id.as_str().to_owned();
        (state.joined, state.epoch) = (true, joined.generation);
        state.old.next = Next::Sync;
        // One that leads and need not assign has not seen the topics, and so looks at them once more.
        state.old.seen = (leads && joined.skip_assignment).then(Vec::new);
        state.old.leads = (leads && !joined.skip_assignment).then_some(joined.members);
    }

    fn hear_synced(&mut self, client: usize, synced: &Synced) {
        let given = self.by_id(&synced.assignment);
        let gone = |at: &At| !given.contains(at.0, at.1);
        let gives_up: Vec<At> = self.clients[client].works_on.iter().filter(gone).collect();
        self.commit_own(client, &gives_up);
        self.work_on(client, given);
        self.clients[client].old.next = if gives_up.is_empty() { Next::Beat } else { Next::Join };
    }

    /// An assignment as the group gave it.
    pub(super) fn by_id(&self, bytes: &[u8]) -> Assignment {
        let named = embedded::assigned(bytes).unwrap().partitions;
        let partitions = named.iter().flat_map(|(name, partitions)| {
            let topic = self.world.image.topic(name).unwrap().id;
            partitions.iter().map(move |at| (topic, PartitionIndex(*at)))
        });
        partitions.collect()
    }

    fn hear_error(&mut self, client: usize, error: &GroupError) {
        self.clients[client].old.next = Next::Join;
        match error {
            GroupError::RebalanceInProgress | GroupError::InconsistentGroupProtocol(_) => {}
            GroupError::MemberIdRequired(id) => self.clients[client].id = id.as_str().to_owned(),
            GroupError::IllegalGeneration => {
                self.forget_epoch(client);
                self.work_on(client, Assignment::default());
            }
            GroupError::UnknownMemberId(_) | GroupError::FencedInstanceId(_) => {
                self.forget_epoch(client);
                self.work_on(client, Assignment::default());
                self.clients[client].id.clear();
            }
            error => panic!("client {client}: {error}"),
        }
    }

    /// Partitions in turn to all who are subscribed. Cooperative leaders leave out what is still with somebody else.
    fn lead(&self, members: &[JoinedMember]) -> Vec<(MemberId, Bytes)> {
        let said: Vec<ConsumerProtocolSubscription> = members.iter().map(read).collect();
        let last = said.iter().map(|said| said.generation_id).max().unwrap_or(-1);
        let owner = |name: &str, at: i32| {
            let owns = |said: &&ConsumerProtocolSubscription| {
                let mut owned = said.owned_partitions.iter();
                said.generation_id == last
                    && owned.any(|of| of.topic.0.as_str() == name && of.partitions.contains(&at))
            };
            said.iter().position(|said| owns(&said))
        };
        let mut given: Vec<BTreeMap<String, Vec<i32>>> = vec![BTreeMap::new(); members.len()];
        let mut turn = 0;
        for name in TOPICS {
            let subscribed = |at: &usize| said[*at].topics.iter().any(|topic| topic.as_str() == name);
            let candidates: Vec<usize> = (0..members.len()).filter(subscribed).collect();
            let partitions = self.world.image.topic(name).unwrap().partitions.len() as i32;
            for at in (0..partitions).filter(|_| !candidates.is_empty()) {
                turn += 1;
                let to = candidates[turn % candidates.len()];
                if !self.cooperative || owner(name, at).is_none_or(|owner| owner == to) {
                    given[to].entry(name.to_owned()).or_default().push(at);
                }
            }
        }
        let bytes = |given: BTreeMap<String, Vec<i32>>| {
            embedded::assignment(VERSION, &given.into_iter().collect::<Vec<_>>())
        };
        members.iter().map(|member| member.id.clone()).zip(given.into_iter().map(bytes)).collect()
    }
}

fn read(member: &JoinedMember) -> ConsumerProtocolSubscription {
    ConsumerProtocolSubscription::decode(&mut member.metadata.slice(2..), VERSION).unwrap()
}

/// The topics of a subscription.
pub(super) fn names(subscription: usize) -> &'static [&'static str] {
    match subscription {
        0 => &TOPICS,
        1 => &["a"],
        2 => &["a", "ab", "b"],
        _ => &["ab"],
    }
}
