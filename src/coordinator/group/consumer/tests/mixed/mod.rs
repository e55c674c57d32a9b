//! Members of both protocols in one group, in arbitrary orders of events: groups that are upgraded and downgraded while members
//! come, go, lose answers, commit, and while the log is read again.
//!
//! What must hold: of the members that the group would hear no two work on the same partition; the committed offsets are what
//! was accepted, and never go back; and when everybody follows the protocol for a while, all partitions are with somebody.

mod classic;
mod modern;
mod settle;

use super::*;
use crate::config::MigrationPolicy;
use crate::coordinator::group::classic::{ClassicGroup, JoinedMember, Leaving};
use crate::coordinator::group::offsets::{Commit, CommitPartition, CommitTopic, TopicRef};
use crate::model::{LeaderEpoch, Offset};
use proptest::prelude::*;

const CLIENTS: usize = 5;
/// The last two are static members.
const STATIC_FROM: usize = 3;
const TOPICS: [&str; 3] = ["a", "ab", "b"];
const POLICIES: [MigrationPolicy; 4] = [
    MigrationPolicy::Disabled,
    MigrationPolicy::Upgrade,
    MigrationPolicy::Downgrade,
    MigrationPolicy::Bidirectional,
];

type At = (TopicId, PartitionIndex);

/// A client as it sees itself.
#[derive(Clone, Debug, Default)]
struct Client {
    /// How often it began anew.
    life: u32,
    is_classic: bool,
    /// Of the classic protocol empty until it was told one.
    id: String,
    /// It has an epoch, or a generation.
    joined: bool,
    epoch: i32,
    subscription: usize,
    works_on: Assignment,
    /// How far it has come with what it works on.
    positions: BTreeMap<At, i64>,
    old: classic::Talk,
    new: modern::Talk,
}

#[derive(Clone, Debug)]
enum Op {
    /// It joins with this protocol; with the other one than before it has begun anew.
    Join {
        client: usize,
        is_classic: bool,
        subscription: usize,
    },
    /// It does what its protocol has it do next; an answer may be lost.
    Next {
        client: usize,
        lost: bool,
    },
    /// A member of the new protocol gives up what it is to, and begins with what is new.
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
    /// It works on one of its partitions and commits; with an epoch that may not be its own.
    Commit {
        client: usize,
        which: usize,
        epoch_off: i32,
    },
    /// What a client sent in an earlier life arrives late.
    CommitLate {
        which: usize,
    },
    Pass {
        ms: i64,
    },
    Grow {
        topic: usize,
    },
    Policy {
        which: usize,
    },
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let client = || 0..CLIENTS;
    prop_oneof![
        6 => (client(), any::<bool>(), 0_usize..4)
            .prop_map(|(client, is_classic, subscription)| Op::Join { client, is_classic, subscription }),
        24 => (client(), prop::bool::weighted(0.15)).prop_map(|(client, lost)| Op::Next { client, lost }),
        6 => client().prop_map(|client| Op::Act { client }),
        2 => (client(), 0_usize..4).prop_map(|(client, subscription)| Op::Subscribe { client, subscription }),
        2 => client().prop_map(|client| Op::Leave { client }),
        1 => client().prop_map(|client| Op::LeaveForNow { client }),
        1 => client().prop_map(|client| Op::Crash { client }),
        8 => (client(), 0_usize..6, prop_oneof![6 => Just(0), 1 => Just(-1), 1 => Just(1)])
            .prop_map(|(client, which, epoch_off)| Op::Commit { client, which, epoch_off }),
        2 => (0_usize..8).prop_map(|which| Op::CommitLate { which }),
        5 => prop_oneof![2 => 1_i64..4_000, 1 => 1_i64..30_000].prop_map(|ms| Op::Pass { ms }),
        1 => (0..TOPICS.len()).prop_map(|topic| Op::Grow { topic }),
        1 => (0..POLICIES.len()).prop_map(|which| Op::Policy { which }),
        1 => Just(Op::Restart),
    ]
}

/// What a client may still have under way from an earlier life.
#[derive(Clone, Debug)]
struct Late {
    id: String,
    instance_id: Option<String>,
    epoch: i32,
    version: i16,
}

struct Play {
    world: World,
    clients: Vec<Client>,
    /// How clients of the classic protocol rebalance: they keep what they have, or give up everything before they join.
    cooperative: bool,
    tickets: u64,
    committed: BTreeMap<At, i64>,
    late: Vec<Late>,
    grew: bool,
}

impl Play {
    fn new(cooperative: bool) -> Self {
        Self {
            world: World::new(&[("a", 3), ("ab", 2), ("b", 1)]),
            clients: vec![Client::default(); CLIENTS],
            cooperative,
            tickets: 0,
            committed: BTreeMap::new(),
            late: vec![],
            grew: false,
        }
    }

    fn instance(client: usize) -> Option<String> {
        (client >= STATIC_FROM).then(|| format!("i{client}"))
    }

    /// Lets an event happen, and clients hear what they waited for.
    fn event<A>(&mut self, event: impl FnOnce(&mut Groups, &Turn<'_>, &mut Actions) -> A) -> A {
        let (answer, actions) = self.world.event(event);
        self.hear(actions);
        answer
    }

    /// The client is gone without a word; its next life knows nothing.
    fn crash(&mut self, client: usize) {
        self.forget_epoch(client);
        let state = &mut self.clients[client];
        *state = Client { life: state.life + 1, is_classic: state.is_classic, ..Client::default() };
    }

    /// It is not heard any more in this epoch; what it sent before may come late.
    fn forget_epoch(&mut self, client: usize) {
        let state = &mut self.clients[client];
        if std::mem::take(&mut state.joined) {
            self.late.push(Late {
                id: state.id.clone(),
                instance_id: Self::instance(client),
                epoch: state.epoch,
                version: if state.is_classic { 8 } else { 9 },
            });
        }
    }

    /// From now on the client works on exactly these; with what is new it begins where the group has committed.
    fn work_on(&mut self, client: usize, assignment: Assignment) {
        let positions = &mut self.clients[client].positions;
        positions.retain(|at, _| assignment.contains(at.0, at.1));
        for at in assignment.iter() {
            positions.entry(at).or_insert_with(|| self.committed.get(&at).copied().unwrap_or(0));
        }
        self.clients[client].works_on = assignment;
    }

    /// It commits how far it has come with these; whether that was taken.
    fn commit_own(&mut self, client: usize, partitions: &[At]) -> bool {
        let state = &self.clients[client];
        let offsets = partitions.iter().map(|at| (*at, state.positions[at])).collect();
        let version = if state.is_classic { 8 } else { 9 };
        let from =
            Late { id: state.id.clone(), instance_id: Self::instance(client), epoch: state.epoch, version };
        self.commit(&from, offsets)
    }

    fn commit(&mut self, from: &Late, offsets: Vec<(At, i64)>) -> bool {
        if offsets.is_empty() {
            return false;
        }
        let topics = offsets.iter().map(|((topic, partition), offset)| CommitTopic {
            topic: TopicRef::Name(self.world.image.topic_by_id(*topic).unwrap().name.clone()),
            partitions: vec![CommitPartition {
                partition: *partition,
                offset: Offset(*offset),
                leader_epoch: LeaderEpoch::UNKNOWN,
                metadata: None,
            }],
        });
        let commit = Commit {
            member_id: from.id.clone(),
            instance_id: from.instance_id.clone(),
            generation: from.epoch,
            version: from.version,
            retention_ms: None,
            topics: topics.collect(),
        };
        let answers = self.event(|groups, turn, actions| groups.commit(&"g".into(), commit, turn, actions));
        let taken = answers.iter().flatten().all(Result::is_ok);
        assert!(taken || answers.iter().flatten().all(Result::is_err), "all or none: {answers:?}");
        for (at, offset) in offsets.into_iter().filter(|_| taken) {
            let before = self.committed.insert(at, offset).unwrap_or(0);
            assert!(before <= offset, "{from:?} moved {at:?} back from {before} to {offset}");
        }
        taken
    }

    /// The epoch in which the group would hear a member.
    fn epoch_of(&self, id: &str) -> Option<i32> {
        match self.world.groups.get("g").map(|group| &group.kind)? {
            Kind::Consumer(group) => Some(group.members.get(id)?.current.epoch),
            Kind::Classic(group) => group.member(id).map(|_| group.generation()),
            Kind::Simple | Kind::Share(_) => None,
        }
    }

    fn on_commit(&mut self, client: usize, which: usize, epoch_off: i32) {
        let state = &mut self.clients[client];
        let works_on: Vec<At> = state.works_on.iter().collect();
        if !state.joined || works_on.is_empty() {
            return;
        }
        let at = works_on[which % works_on.len()];
        if epoch_off == 0 {
            *state.positions.get_mut(&at).unwrap() += 1;
            self.commit_own(client, &[at]);
            return;
        }
        let (id, epoch, is_classic) = (state.id.clone(), state.epoch + epoch_off, state.is_classic);
        if epoch >= 0 && self.epoch_of(&id) != Some(epoch) {
            let version = if is_classic { 8 } else { 9 };
            let from = Late { id, instance_id: Self::instance(client), epoch, version };
            assert!(!self.commit(&from, vec![(at, 0)]), "{from:?} is not its epoch");
        }
    }

    fn on_commit_late(&mut self, which: usize) {
        if self.late.is_empty() {
            return;
        }
        let from = self.late[which % self.late.len()].clone();
        if self.epoch_of(&from.id) != Some(from.epoch) {
            let at = (self.world.topic_id("a"), PartitionIndex(0));
            assert!(!self.commit(&from, vec![(at, 0)]), "{from:?} is gone");
        }
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Join { client, is_classic, subscription } => {
                if self.clients[client].is_classic != is_classic {
                    self.crash(client);
                    self.clients[client].is_classic = is_classic;
                }
                self.clients[client].subscription = subscription;
                self.join(client, false);
            }
            Op::Next { client, lost } => self.next(client, lost),
            Op::Act { client } => self.act(client),
            Op::Subscribe { client, subscription } => {
                self.clients[client].subscription = subscription;
                self.subscribe(client);
            }
            Op::Leave { client } => self.leave(client),
            Op::LeaveForNow { client } => self.leave_for_now(client),
            Op::Crash { client } => self.crash(client),
            Op::Commit { client, which, epoch_off } => self.on_commit(client, which, epoch_off),
            Op::CommitLate { which } => self.on_commit_late(which),
            Op::Pass { ms } => self.pass(ms),
            Op::Grow { topic } if self.world.image.topic(TOPICS[topic]).unwrap().partitions.len() < 6 => {
                self.grew = true;
                self.world.grow(TOPICS[topic], 1);
            }
            Op::Grow { .. } => {}
            Op::Policy { which } => self.world.settings.consumer.migration = POLICIES[which],
            Op::Restart => self.restart(),
        }
        self.check();
    }

    fn join(&mut self, client: usize, lost: bool) {
        if self.clients[client].is_classic {
            self.classic_join(client, lost);
        } else {
            self.modern_join(client, lost);
        }
    }

    fn next(&mut self, client: usize, lost: bool) {
        match self.clients[client].is_classic {
            true => self.classic_next(client, lost),
            false if self.clients[client].joined => self.modern_beat(client, lost),
            false => self.modern_join(client, lost),
        }
    }

    fn subscribe(&mut self, client: usize) {
        if self.clients[client].is_classic {
            self.clients[client].old.next = classic::Next::Join;
        } else {
            self.modern_subscribe(client);
        }
    }

    fn leave(&mut self, client: usize) {
        let all: Vec<At> = self.clients[client].works_on.iter().collect();
        if self.clients[client].joined {
            self.commit_own(client, &all);
        }
        if self.clients[client].is_classic {
            let member_id = self.clients[client].id.clone();
            let leaving = Leaving { member_id, instance_id: Self::instance(client), reason: None };
            let _ =
                self.event(|groups, turn, actions| groups.leave(turn, &"g".into(), vec![leaving], actions));
        } else {
            self.modern_leave(client, -1);
        }
        self.crash(client);
    }

    fn leave_for_now(&mut self, client: usize) {
        if client >= STATIC_FROM && !self.clients[client].is_classic {
            self.modern_leave(client, -2);
            self.crash(client);
        }
    }

    /// Lets time pass, deadline by deadline.
    fn pass(&mut self, ms: i64) {
        let end = self.world.now.0 + ms;
        for _ in 0..1_000 {
            let Some(at) = self.world.groups.next_deadline().filter(|at| at.0 <= end) else {
                self.world.now = TimestampMs(end);
                return;
            };
            self.world.now = at.max(self.world.now);
            self.event(|groups, turn, actions| groups.on_time(turn, actions));
        }
        panic!("deadlines that do not pass: {:?}", self.world.groups.get("g"));
    }

    /// The shard's memory is lost with all requests that wait; the log is read again.
    fn restart(&mut self) {
        for client in &mut self.clients {
            if client.old.waits.take().is_some() {
                client.old.next = classic::Next::Join;
            }
        }
        self.world.restart();
    }

    /// Whether the group takes the client for a member that is on its latest word.
    fn is_heard(&self, client: usize) -> bool {
        let state = &self.clients[client];
        let epoch = self.epoch_of(&state.id);
        // One of the new protocol has what it worked on also in the epoch that it has not heard of yet.
        state.joined && epoch.is_some() && (!state.is_classic || epoch == Some(state.epoch))
    }

    fn check(&self) {
        let kind = self.world.groups.get("g").map(|group| &group.kind);
        let mut taken: BTreeMap<At, usize> = BTreeMap::new();
        for client in (0..CLIENTS).filter(|client| self.is_heard(*client)) {
            let state = &self.clients[client];
            for at in state.works_on.iter() {
                let rival = taken.insert(at, client);
                assert_eq!(rival, None, "{at:?} is also with client {client}: {:?} {kind:?}", self.clients);
                if let Some(Kind::Consumer(group)) = kind {
                    let owner = group.owners.get(&at).map(MemberId::as_str);
                    assert_eq!(owner, Some(&*state.id), "{at:?}: {:?}", group.members[&*state.id].current);
                }
            }
        }
        for ((topic, partition), offset) in &self.committed {
            let name = &self.world.image.topic_by_id(*topic).unwrap().name;
            let group = self.world.groups.get("g").expect("a group with offsets stays");
            let held = group.offsets().get(name, *partition).map(|held| held.offset.0);
            assert_eq!(held, Some(*offset), "{name}-{partition}");
        }
    }
}

fn whatever_happens(cooperative: bool, ops: Vec<Op>) {
    let mut play = Play::new(cooperative);
    for op in ops {
        play.step(op);
    }
    play.settle();
    play.restart();
    play.settle();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn cooperative_members_beside_new_ones(ops in prop::collection::vec(op(), 0..100)) {
        whatever_happens(true, ops);
    }

    #[test]
    fn eager_members_beside_new_ones(ops in prop::collection::vec(op(), 0..100)) {
        whatever_happens(false, ops);
    }
}
