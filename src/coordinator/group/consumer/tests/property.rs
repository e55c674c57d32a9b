//! Arbitrary members, lost answers, restarts, changing topics and clocks.
//!
//! What must hold: a partition that a member works on is its own in the group's eyes; what is read back is what was; and when
//! everybody follows the protocol, all partitions are worked on by one member each.

use super::*;
use proptest::prelude::*;

const CLIENTS: usize = 5;
const TOPICS: [&str; 3] = ["a", "ab", "b"];

/// A client as it sees itself.
#[derive(Clone, Debug, Default)]
struct Client {
    /// How often it began anew: each time it has another id, unless it joins again after it was fenced.
    life: u32,
    joined: bool,
    epoch: i32,
    subscription: usize,
    /// What it works on.
    works_on: Assignment,
    /// What it was told to work on, and has not got round to yet.
    told: Option<Assignment>,
    /// It does not know whether its last words were heard, so that it says everything again.
    unsure: bool,
}

impl Client {
    /// What it says that it has: what it was told counts, since it may begin with it at any time. One that left it out could
    /// begin with what the group took for given up, should the answer be lost.
    fn claims(&self) -> Assignment {
        self.works_on.iter().chain(self.told.iter().flat_map(Assignment::iter)).collect()
    }
}

#[derive(Clone, Debug)]
enum Op {
    Join {
        client: usize,
        subscription: usize,
    },
    Beat {
        client: usize,
        lost: bool,
    },
    /// It gives up what it is to, and begins with what is new.
    Act {
        client: usize,
    },
    Subscribe {
        client: usize,
        subscription: usize,
    },
    Leave {
        client: usize,
    },
    LeaveForNow {
        client: usize,
    },
    Crash {
        client: usize,
    },
    Pass {
        ms: i64,
    },
    Grow {
        topic: usize,
    },
    Recreate {
        topic: usize,
    },
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let client = 0..CLIENTS;
    prop_oneof![
        4 => (client.clone(), 0_usize..4).prop_map(|(client, subscription)| Op::Join { client, subscription }),
        12 => (client.clone(), prop::bool::weighted(0.2)).prop_map(|(client, lost)| Op::Beat { client, lost }),
        6 => client.clone().prop_map(|client| Op::Act { client }),
        2 => (client.clone(), 0_usize..4).prop_map(|(client, subscription)| Op::Subscribe { client, subscription }),
        1 => client.clone().prop_map(|client| Op::Leave { client }),
        1 => client.clone().prop_map(|client| Op::LeaveForNow { client }),
        1 => client.prop_map(|client| Op::Crash { client }),
        3 => (1_i64..40_000).prop_map(|ms| Op::Pass { ms }),
        1 => (0..TOPICS.len()).prop_map(|topic| Op::Grow { topic }),
        1 => (0..TOPICS.len()).prop_map(|topic| Op::Recreate { topic }),
        1 => Just(Op::Restart),
    ]
}

struct Play {
    world: World,
    clients: Vec<Client>,
}

impl Play {
    fn new() -> Self {
        let world = World::new(&[("a", 3), ("ab", 2), ("b", 1)]);
        Self { world, clients: vec![Client::default(); CLIENTS] }
    }

    fn id(&self, client: usize) -> String {
        format!("c{client}-{}", self.clients[client].life)
    }

    /// Clients 3 and 4 are static.
    fn request(&self, client: usize, epoch: i32) -> HeartbeatRequest {
        let instance_id = (client >= 3).then(|| format!("i{client}"));
        let assignor = ["uniform", "range"][client % 2].to_owned();
        HeartbeatRequest { instance_id, server_assignor: Some(assignor), ..beat(&self.id(client), epoch) }
    }

    /// Names or a pattern; the first client has always the same names, so that there is a subscriber for each topic.
    fn subscribed(request: HeartbeatRequest, subscription: usize) -> HeartbeatRequest {
        let names = |names: &[&str]| Some(names.iter().map(|&name| name.to_owned()).collect());
        let (subscribed_topics, pattern) = match subscription {
            0 => (names(&TOPICS), ""),
            1 => (names(&["a"]), ""),
            2 => (names(&["b"]), "a.*"),
            _ => (names(&[]), "a"),
        };
        HeartbeatRequest { subscribed_topics, subscribed_regex: Some(pattern.to_owned()), ..request }
    }

    fn send(&mut self, client: usize, request: HeartbeatRequest, lost: bool) {
        let sent_all = request.owned.is_some();
        let (answer, _) = self.world.heartbeat(request);
        let state = &mut self.clients[client];
        if lost {
            state.unsure = true;
            return;
        }
        match answer {
            Ok(answer) => {
                state.joined = true;
                state.epoch = answer.member_epoch;
                state.unsure &= !sent_all;
                if let Some(assignment) = answer.assignment {
                    state.told = Some(Assignment::from_list(&assignment));
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
            ) => *state = Client { life: state.life, ..Client::default() },
            Err(error) => panic!("client {client}: {error}"),
        }
    }

    fn join(&mut self, client: usize, subscription: usize, lost: bool) {
        let life = self.clients[client].life;
        self.clients[client] = Client { life, subscription, ..Client::default() };
        let request =
            HeartbeatRequest { rebalance_timeout_ms: 30_000, owned: Some(vec![]), ..self.request(client, 0) };
        self.send(client, Self::subscribed(request, subscription), lost);
    }

    fn beat(&mut self, client: usize, lost: bool) {
        let state = &self.clients[client];
        if state.joined {
            let mut request = self.request(client, state.epoch);
            // Clients tell what they have when it changed; told here always, unless nothing is under way.
            let (unsure, subscription) = (state.unsure, state.subscription);
            if unsure || state.told.is_none() {
                request.owned = Some(state.claims().to_list());
            }
            if unsure {
                request.rebalance_timeout_ms = 30_000;
                request = Self::subscribed(request, subscription);
            }
            self.send(client, request, lost);
        }
    }

    fn act(&mut self, client: usize) {
        if let Some(told) = self.clients[client].told.take() {
            self.clients[client].works_on = told;
        }
    }

    fn crash(&mut self, client: usize) {
        self.clients[client] = Client { life: self.clients[client].life + 1, ..Client::default() };
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Join { client, subscription } => self.join(client, subscription, false),
            Op::Beat { client, lost } => self.beat(client, lost),
            Op::Act { client } => self.act(client),
            Op::Subscribe { client, subscription } => {
                let state = &mut self.clients[client];
                if state.joined {
                    state.subscription = subscription;
                    let epoch = state.epoch;
                    let request = self.request(client, epoch);
                    self.send(client, Self::subscribed(request, subscription), false);
                }
            }
            Op::Leave { client } => self.leave(client, -1),
            Op::LeaveForNow { client } if client >= 3 => self.leave(client, -2),
            Op::LeaveForNow { .. } => {}
            Op::Crash { client } => self.crash(client),
            Op::Pass { ms } => drop(self.world.pass(ms)),
            Op::Grow { topic } if self.world.image.topic(TOPICS[topic]).unwrap().partitions.len() < 6 => {
                self.world.grow(TOPICS[topic], 1);
            }
            Op::Grow { .. } => {}
            Op::Recreate { topic } => {
                self.world.drop_topic(TOPICS[topic]);
                self.world.create(TOPICS[topic], 2);
            }
            Op::Restart => self.world.restart(),
        }
        self.check();
    }

    fn leave(&mut self, client: usize, epoch: i32) {
        if self.clients[client].joined {
            let request = self.request(client, epoch);
            self.send(client, request, false);
            self.crash(client);
        }
    }

    /// What a member works on is its own in the group's eyes, unless it was removed and has not heard of it.
    fn check(&self) {
        let Some(Kind::Consumer(group)) = self.world.groups.get("g").map(|group| &group.kind) else { return };
        for (client, state) in self.clients.iter().enumerate().filter(|(_, state)| state.joined) {
            let id = self.id(client);
            let Some(member) = group.members.get(id.as_str()) else { continue };
            for at in state.works_on.iter() {
                // One that joined anew under its old id, and whose answer was lost, is not heard in its old epoch.
                let owner = group.owners.get(&at).map(MemberId::as_str);
                assert_eq!(owner, Some(id.as_str()), "{id} works on {at:?}: {:?}", member.current);
            }
        }
    }

    /// Everybody follows the protocol for a while: whoever crashed is found out, whoever is there gets its share.
    fn settle(&mut self) {
        for client in 0..CLIENTS {
            if !self.clients[client].joined {
                self.join(client, 0, false);
            }
        }
        for _ in 0..40 {
            for client in 0..CLIENTS {
                self.act(client);
                if self.clients[client].joined {
                    self.beat(client, false);
                } else {
                    self.join(client, 0, false);
                }
                self.check();
            }
            self.world.pass(5_000);
            self.check();
        }
        let group = self.world.group();
        assert_eq!(group.state(), ConsumerGroupState::Stable, "{group:?}");
        let mut expected = Assignment::default();
        for name in group.subscriptions.topics() {
            let Some(topic) = self.world.image.topic(name) else { continue };
            (0..topic.partitions.len()).for_each(|at| expected.insert(topic.id, PartitionIndex(at as i32)));
        }
        let mut all = Assignment::default();
        for (client, state) in self.clients.iter().enumerate() {
            assert!(state.joined, "client {client}");
            assert_eq!(Some(&state.works_on), group.targets.get(self.id(client).as_str()));
            for at in state.works_on.iter() {
                assert!(!all.contains(at.0, at.1), "{at:?} twice");
                all.insert(at.0, at.1);
            }
        }
        assert_eq!(all, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn members_never_share_a_partition_and_never_wait_for_ever(ops in prop::collection::vec(op(), 0..60)) {
        let mut play = Play::new();
        for op in ops {
            play.step(op);
        }
        play.settle();
        play.world.restart();
        play.settle();
    }
}
