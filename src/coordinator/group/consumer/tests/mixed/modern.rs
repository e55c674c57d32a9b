//! Clients of the new protocol (ConsumerGroupHeartbeat) in groups of both.

use super::*;

/// What such a client has heard and said.
#[derive(Clone, Debug, Default)]
pub(super) struct Talk {
    /// What it was told to work on, and has not got round to yet.
    told: Option<Assignment>,
    /// It does not know whether its last words were heard, so that it says everything again.
    unsure: bool,
}

impl Talk {
    pub(super) fn is_done(&self) -> bool {
        self.told.is_none() && !self.unsure
    }
}

impl Play {
    fn request(&self, client: usize, epoch: i32) -> HeartbeatRequest {
        let assignor = ["uniform", "range"][client % 2].to_owned();
        HeartbeatRequest {
            instance_id: Self::instance(client),
            server_assignor: Some(assignor),
            ..beat(&self.clients[client].id, epoch)
        }
    }

    /// With the names or the pattern of the client's subscription.
    fn with_subscription(&self, client: usize, request: HeartbeatRequest) -> HeartbeatRequest {
        let names = |names: &[&str]| Some(names.iter().map(|&name| name.to_owned()).collect());
        let (subscribed_topics, pattern) = match self.clients[client].subscription {
            0 => (names(&TOPICS), ""),
            1 => (names(&["a"]), ""),
            2 => (names(&["b"]), "a.*"),
            _ => (names(&[]), "ab"),
        };
        HeartbeatRequest { subscribed_topics, subscribed_regex: Some(pattern.to_owned()), ..request }
    }

    pub(super) fn modern_join(&mut self, client: usize, lost: bool) {
        self.forget_epoch(client);
        let Client { life, subscription, .. } = self.clients[client];
        let id = format!("c{client}-{life}");
        self.clients[client] = Client { life, subscription, id, ..Client::default() };
        let request =
            HeartbeatRequest { rebalance_timeout_ms: 20_000, owned: Some(vec![]), ..self.request(client, 0) };
        self.send(client, self.with_subscription(client, request), lost);
    }

    pub(super) fn modern_beat(&mut self, client: usize, lost: bool) {
        let state = &self.clients[client];
        let mut request = self.request(client, state.epoch);
        if state.new.unsure || state.new.told.is_none() {
            // What it was told counts, since it may begin with it at any time.
            let told = state.new.told.iter().flat_map(Assignment::iter);
            let claims: Assignment = state.works_on.iter().chain(told).collect();
            request.owned = Some(claims.to_list());
        }
        if state.new.unsure {
            request.rebalance_timeout_ms = 20_000;
            request = self.with_subscription(client, request);
        }
        self.send(client, request, lost);
    }

    pub(super) fn modern_subscribe(&mut self, client: usize) {
        if self.clients[client].joined {
            let request = self.request(client, self.clients[client].epoch);
            self.send(client, self.with_subscription(client, request), false);
        }
    }

    pub(super) fn modern_leave(&mut self, client: usize, epoch: i32) {
        if self.clients[client].joined {
            self.send(client, self.request(client, epoch), true);
        }
    }

    /// It commits what it gives up, as far as it is heard.
    pub(super) fn act(&mut self, client: usize) {
        let Some(told) = self.clients[client].new.told.take() else { return };
        let gone = |at: &At| !told.contains(at.0, at.1);
        let gives_up: Vec<At> = self.clients[client].works_on.iter().filter(gone).collect();
        self.commit_own(client, &gives_up);
        self.work_on(client, told);
    }

    fn send(&mut self, client: usize, request: HeartbeatRequest, lost: bool) {
        let sent_all = request.owned.is_some();
        let answer = self
            .event(|groups, turn, actions| groups.consumer_heartbeat(turn, &"g".into(), &request, actions));
        let state = &mut self.clients[client];
        if lost {
            state.new.unsure = true;
            return;
        }
        match answer {
            Ok(answer) => {
                state.joined = true;
                state.epoch = answer.member_epoch;
                state.new.unsure &= !sent_all;
                if let Some(assignment) = answer.assignment {
                    state.new.told = Some(Assignment::from_list(&assignment));
                }
            }
            Err(GroupError::UnreleasedInstanceId(_)) if !state.joined => {}
            // It gives everything up, and may join again.
            Err(
                GroupError::FencedMemberEpoch(_)
                | GroupError::UnknownMemberId(_)
                | GroupError::GroupIdNotFound(_)
                | GroupError::FencedInstanceId(_)
                | GroupError::UnreleasedInstanceId(_),
            ) => {
                self.forget_epoch(client);
                let Client { life, subscription, .. } = self.clients[client];
                self.clients[client] = Client { life, subscription, ..Client::default() };
            }
            Err(error) => panic!("client {client}: {error}"),
        }
    }
}
