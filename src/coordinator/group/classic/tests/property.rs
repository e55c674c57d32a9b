//! Any order of events, of several members and a clock: clients that follow the protocol, that die, and that send what they like.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// What may happen; the number names one of the clients.
#[derive(Clone, Debug)]
enum Step {
    /// It sends a JoinGroup, whatever it waits for.
    Join {
        client: usize,
        protocols: usize,
        version: i16,
    },
    /// It forgets its id: it starts anew.
    Restart {
        client: usize,
    },
    Sync {
        client: usize,
        generation_off: i32,
        as_leader: bool,
    },
    Heartbeat {
        client: usize,
    },
    Leave {
        client: usize,
        by_instance: bool,
    },
    Commit {
        client: usize,
    },
    Pass {
        ms: i64,
    },
    /// The shard is lost and reads its log again.
    Reload {
        members_max: u32,
    },
}

const CLIENTS: usize = 5;
/// The first clients have instance ids, two of them the same.
const INSTANCES: [Option<&str>; CLIENTS] = [Some("i"), Some("i"), Some("j"), None, None];
const PROTOCOLS: [&[&str]; 4] = [&["a", "b"], &["b"], &["b", "c"], &[]];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let client = 0..CLIENTS;
    let step = prop_oneof![
        6 => (client.clone(), 0..PROTOCOLS.len(), prop_oneof![Just(0), Just(4), Just(9)])
            .prop_map(|(client, protocols, version)| Step::Join { client, protocols, version }),
        1 => client.clone().prop_map(|client| Step::Restart { client }),
        6 => (client.clone(), prop_oneof![4 => Just(0), 1 => Just(-1)], any::<bool>())
            .prop_map(|(client, generation_off, as_leader)| Step::Sync { client, generation_off, as_leader }),
        3 => client.clone().prop_map(|client| Step::Heartbeat { client }),
        2 => (client.clone(), any::<bool>()).prop_map(|(client, by_instance)| Step::Leave { client, by_instance }),
        1 => client.prop_map(|client| Step::Commit { client }),
        4 => prop_oneof![Just(1), Just(DELAY_MS), Just(9_999), Just(70_000), 0..400_000i64]
            .prop_map(|ms| Step::Pass { ms }),
        1 => (2..6u32).prop_map(|members_max| Step::Reload { members_max }),
    ];
    prop::collection::vec(step, 1..60)
}

#[derive(Clone, Debug, Default)]
struct Client {
    member_id: String,
    generation: i32,
    leads: bool,
    /// Its last answer asked it to join again, or it never joined.
    must_join: bool,
    /// Its request that waits.
    waits: Option<Ticket>,
}

/// The clients, and what the log has.
struct World {
    bench: Bench,
    clients: Vec<Client>,
    /// Who sent a request that waits.
    waiting: BTreeMap<Ticket, usize>,
    answered: BTreeSet<Ticket>,
    record: Option<GroupRecord>,
    /// Who was told to lead each generation: the member ids that it was told of.
    led: BTreeMap<i32, BTreeSet<MemberId>>,
    /// What members were given, by generation.
    given: BTreeMap<(i32, MemberId), Bytes>,
    loads: i32,
}

impl World {
    fn new() -> Self {
        let clients = vec![Client { must_join: true, ..Client::default() }; CLIENTS];
        Self {
            bench: Bench::new(),
            clients,
            waiting: BTreeMap::new(),
            answered: BTreeSet::new(),
            record: None,
            led: BTreeMap::new(),
            given: BTreeMap::new(),
            loads: 0,
        }
    }

    fn join(&mut self, client: usize, protocols: usize, version: i16) {
        let mut request = with_protocols(dynamic(&self.clients[client].member_id), PROTOCOLS[protocols]);
        request.instance_id = INSTANCES[client].map(InstanceId::from);
        request.requires_known_member = version >= 4;
        request.supports_skipping_assignment = version >= 9;
        let (ticket, actions) = self.bench.join(request);
        self.waiting.insert(ticket, client);
        self.clients[client].waits = Some(ticket);
        self.take(actions);
    }

    fn sync(&mut self, client: usize, generation_off: i32, as_leader: bool) {
        let own = self.clients[client].clone();
        let generation = own.generation + generation_off;
        let member_id = MemberId::from(own.member_id.as_str());
        let known = self.led.get(&generation).cloned().unwrap_or_default();
        let assign =
            |id: MemberId| (id.clone(), Bytes::from(format!("{id} in {generation} of {}", self.loads)));
        let assignments = if as_leader { known.into_iter().map(assign).collect() } else { vec![] };
        let mut request = sync(&member_id, generation, assignments);
        request.instance_id = INSTANCES[client].map(InstanceId::from);
        let is_present = generation == self.generation();
        let (ticket, actions) = self.bench.sync(request);
        let accepted = actions.synced.iter().any(|(answered, result)| *answered == ticket && result.is_ok());
        assert!(is_present || !accepted, "a member of another generation was heard");
        self.waiting.insert(ticket, client);
        self.clients[client].waits = Some(ticket);
        self.take(actions);
    }

    fn generation(&self) -> i32 {
        match self.bench.groups.get("g").map(Group::kind) {
            Some(Kind::Classic(group)) => group.generation(),
            _ => 0,
        }
    }

    fn heartbeat(&mut self, client: usize) {
        let own = self.clients[client].clone();
        let generation = self.generation();
        let answer = self
            .bench
            .event(|groups, turn, _| {
                groups.heartbeat(turn, &id(), &own.member_id, INSTANCES[client], own.generation)
            })
            .0;
        if answer.is_ok() {
            assert_eq!(own.generation, generation, "a member of another generation was heard");
        }
        self.hear(client, &answer.map(|()| None));
    }

    fn leave(&mut self, client: usize, by_instance: bool) {
        let own = &self.clients[client];
        let member_id = if by_instance { String::new() } else { own.member_id.clone() };
        let instance_id = INSTANCES[client].map(str::to_owned);
        let (_, actions) = self.bench.leave(vec![Leaving { member_id, instance_id, reason: None }]);
        self.take(actions);
    }

    fn commit(&mut self, client: usize) {
        let own = self.clients[client].clone();
        let Some(Kind::Classic(group)) = self.bench.groups.get("g").map(Group::kind) else { return };
        let answer = group.validate_commit(&own.member_id, INSTANCES[client], own.generation, false);
        if answer.is_ok() {
            assert_eq!(own.generation, group.generation(), "a member of another generation committed");
        }
    }

    /// The shard's memory is lost with all requests that wait; the log is read again.
    fn reload(&mut self, members_max: u32) {
        self.bench.settings.classic.members_max = members_max;
        self.bench.groups = Groups::default();
        self.loads += 1;
        self.led.clear();
        self.given.clear();
        self.waiting.clear();
        for client in &mut self.clients {
            client.waits = None;
            client.must_join = true;
        }
        let Some(GroupRecord::ClassicGroup(_, value)) = self.record.clone() else { return };
        let Some(mut group) = ClassicGroup::replay(id(), value) else { return };
        let ((), actions) = self.bench.event(|groups, turn, actions| {
            group.on_loaded(turn, actions);
            groups.change(&id(), |slot| slot.kind = Kind::Classic(Box::new(group)));
        });
        self.take(actions);
    }

    /// Tells the clients what came of an event, and checks it.
    fn take(&mut self, actions: Actions) {
        for (ticket, answer) in actions.joined {
            let client = self.answer(ticket);
            if let Ok(joined) = &answer {
                self.check_joined(joined);
            }
            self.hear(client, &answer.map(Some));
        }
        for (ticket, answer) in actions.synced {
            let client = self.answer(ticket);
            if let Ok(synced) = &answer {
                let own = &self.clients[client];
                let key = (self.generation(), MemberId::from(own.member_id.as_str()));
                let before = self.given.entry(key).or_insert_with(|| synced.assignment.clone());
                assert_eq!(*before, synced.assignment, "two assignments in one generation");
            }
            self.hear(client, &answer.map(|_| None));
        }
        if let Some(record) = actions.records.last() {
            self.record = Some(record.clone());
        }
        self.check();
    }

    fn answer(&mut self, ticket: Ticket) -> usize {
        assert!(self.answered.insert(ticket), "{ticket:?} is answered twice");
        self.waiting.remove(&ticket).expect("only what waits is answered")
    }

    fn check_joined(&mut self, joined: &Joined) {
        assert_eq!(joined.generation, self.generation(), "only the present generation is told");
        if !joined.members.is_empty() {
            assert_eq!(joined.leader, joined.member_id, "the leader alone is told of the members");
            let ids: BTreeSet<_> = joined.members.iter().map(|member| member.id.clone()).collect();
            assert!(ids.contains(&joined.leader));
            self.led.insert(joined.generation, ids);
        }
    }

    fn hear(&mut self, client: usize, answer: &Result<Option<Joined>, GroupError>) {
        let own = &mut self.clients[client];
        own.waits = None;
        match answer {
            Ok(Some(joined)) => {
                own.member_id = joined.member_id.as_str().to_owned();
                own.generation = joined.generation;
                own.leads = joined.leader == joined.member_id && !joined.skip_assignment;
                own.must_join = false;
            }
            Ok(None) => {}
            Err(GroupError::MemberIdRequired(id)) => {
                own.member_id = id.as_str().to_owned();
                own.must_join = true;
            }
            Err(GroupError::RebalanceInProgress) => own.must_join = true,
            Err(_) => {
                own.member_id.clear();
                own.must_join = true;
            }
        }
    }

    /// What is in memory and what a restart would give; who waits.
    fn check(&self) {
        let Some(Kind::Classic(group)) = self.bench.groups.get("g").map(Group::kind) else {
            assert!(self.waiting.is_empty(), "no group, nobody waits");
            return;
        };
        group.check_invariants();
        let parked: BTreeSet<_> =
            group.members().flat_map(|m| m.joining.into_iter().chain(m.syncing)).collect();
        assert_eq!(parked, self.waiting.keys().copied().collect(), "each request that is not answered waits");
        let Some(GroupRecord::ClassicGroup(_, Some(value))) = &self.record else {
            panic!("a group is in the log")
        };
        let again = ClassicGroup::replay(id(), Some(value.clone())).unwrap();
        assert_eq!(Some(again.to_record()), self.record, "what is read back is what was written");
        match group.state() {
            State::Stable => assert_eq!(Some(group.to_record()), self.record, "the log has the generation"),
            State::Empty => assert!(value.members.is_empty(), "the log has no members"),
            State::PreparingRebalance | State::CompletingRebalance => {
                assert!(value.generation <= group.generation(), "the log is not ahead");
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Join { client, protocols, version } => self.join(client, protocols, version),
            Step::Restart { client } => self.clients[client].member_id.clear(),
            Step::Sync { client, generation_off, as_leader } => self.sync(client, generation_off, as_leader),
            Step::Heartbeat { client } => self.heartbeat(client),
            Step::Leave { client, by_instance } => self.leave(client, by_instance),
            Step::Commit { client } => self.commit(client),
            Step::Pass { ms } => self.pass(ms),
            Step::Reload { members_max } => self.reload(members_max),
        }
    }

    fn pass(&mut self, ms: i64) {
        let end = self.bench.now + ms;
        while let Some(actions) = self.bench.next_until(end) {
            self.take(actions);
        }
    }

    /// Clients that follow the protocol, once a second, until they have their assignments.
    fn live(&mut self, clients: &[usize], seconds: usize) {
        for _ in 0..seconds {
            for client in clients.iter().copied() {
                let own = self.clients[client].clone();
                if own.waits.is_some() {
                    continue;
                }
                if own.must_join {
                    self.join(client, 1, 9);
                    continue;
                }
                self.heartbeat(client);
                let own = &self.clients[client];
                let has = (own.generation, MemberId::from(own.member_id.as_str()));
                if !own.must_join && !self.given.contains_key(&has) {
                    let leads = own.leads;
                    self.sync(client, 0, leads);
                }
            }
            self.pass(1_000);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_no_request_is_forgotten_and_no_old_generation_heard(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        // Nobody sends anything any more: all who wait are answered and the group empties.
        for _ in 0..10 {
            world.pass(400_000);
        }
        prop_assert!(world.waiting.is_empty());
        if let Some(Kind::Classic(group)) = world.bench.groups.get("g").map(Group::kind) {
            prop_assert_eq!(group.state(), State::Empty);
            prop_assert!(group.is_empty_since().is_some());
            prop_assert_eq!(group.next_deadline(), None);
        }
    }

    #[test]
    fn members_that_follow_the_protocol_become_stable(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.bench.settings.classic.members_max = 10;
        // What the others left behind expires first: their protocols may not go with those of the living.
        world.pass(800_000);
        let living = [0, 2, 3, 4];
        world.live(&living, 200);
        let group = world.bench.group();
        prop_assert_eq!(group.state(), State::Stable);
        prop_assert_eq!(group.members().len(), living.len());
        for client in living {
            let own = &world.clients[client];
            prop_assert_eq!(own.generation, group.generation());
            let id = MemberId::from(own.member_id.as_str());
            prop_assert!(world.given.contains_key(&(own.generation, id)));
        }
    }
}
