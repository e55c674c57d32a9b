//! The members of a group: who they are, who leads, what they all support, who is awaited.
//!
//! Key invariant: the counts agree with the members: how many support a protocol, how many wait for the join to complete, how
//! many bytes they brought. The
//! leader is a member; an instance id has one member. Whoever is removed is handed back, so that its waiting requests are answered.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use indexmap::IndexMap;

use super::member::{Member, protocols_bytes};
use crate::coordinator::{InstanceId, MemberId, Ticket};

/// The members.
#[derive(Debug, Default)]
pub(super) struct Roster {
    members: IndexMap<MemberId, Member>,
    statics: HashMap<InstanceId, MemberId>,
    leader: Option<MemberId>,
    /// How many members support each protocol.
    supported: HashMap<String, usize>,
    /// How many members wait for the join to complete.
    joining: usize,
    /// Bytes that members brought, and of the ids that were given out.
    brought_bytes: usize,
    /// Ids that were given out and have not joined yet (KIP-394).
    pending_join: BTreeSet<MemberId>,
    /// Members of this generation that have not asked for their assignment yet.
    pub(super) pending_sync: BTreeSet<MemberId>,
}

impl Roster {
    pub(super) fn members(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.members.values()
    }

    pub(super) fn member(&self, id: &str) -> Option<&Member> {
        self.members.get(id)
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.members.contains_key(id)
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn ids(&self) -> Vec<MemberId> {
        self.members.keys().cloned().collect()
    }

    pub(super) fn leader(&self) -> Option<&MemberId> {
        self.leader.as_ref()
    }

    pub(super) fn is_leader(&self, id: &str) -> bool {
        self.leader.as_ref().is_some_and(|leader| leader.as_str() == id)
    }

    pub(super) fn static_member(&self, instance_id: &str) -> Option<&MemberId> {
        self.statics.get(instance_id)
    }

    /// How many members wait for the join to complete.
    pub(super) fn joining(&self) -> usize {
        self.joining
    }

    /// Whether nobody is awaited any more before the next generation.
    pub(super) fn all_joined(&self) -> bool {
        self.joining == self.members.len() && self.pending_join.is_empty()
    }

    /// The longest rebalance timeout of the members.
    pub(super) fn rebalance_timeout_ms(&self) -> i32 {
        self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0).max(0)
    }

    /// Adds a member, whose id is not in use; it leads if nobody does.
    pub(super) fn insert(&mut self, member: Member) {
        self.remove_pending(member.id.as_str());
        self.brought_bytes += member.brought_bytes();
        self.count(&member.protocols, true);
        self.joining += usize::from(member.joining.is_some());
        if let Some(instance_id) = &member.instance_id {
            self.statics.insert(instance_id.clone(), member.id.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(member.id.clone());
        }
        self.members.insert(member.id.clone(), member);
    }

    /// Takes a member out; if it led, the one that came first leads.
    pub(super) fn remove(&mut self, id: &str) -> Option<Member> {
        let member = self.members.shift_remove(id)?;
        self.brought_bytes -= member.brought_bytes();
        self.count(&member.protocols, false);
        self.joining -= usize::from(member.joining.is_some());
        if let Some(instance_id) = &member.instance_id {
            self.statics.remove(instance_id);
        }
        self.pending_sync.remove(id);
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        Some(member)
    }

    /// Gives a static member a new id, in its old place, and hands back what it was: the new one waits for nothing.
    pub(super) fn rename(&mut self, id: &str, new_id: MemberId) -> Option<Member> {
        let index = self.members.get_index_of(id)?;
        let old = self.members.shift_remove(id)?;
        self.joining -= usize::from(old.joining.is_some());
        if self.pending_sync.remove(id) {
            self.pending_sync.insert(new_id.clone());
        }
        if self.is_leader(id) {
            self.leader = Some(new_id.clone());
        }
        if let Some(instance_id) = &old.instance_id {
            self.statics.insert(instance_id.clone(), new_id.clone());
        }
        let new = Member { id: new_id.clone(), joining: None, syncing: None, is_new: false, ..old.clone() };
        self.brought_bytes = self.brought_bytes + new.brought_bytes() - old.brought_bytes();
        self.members.shift_insert(index, new_id, new);
        Some(old)
    }

    /// Takes over what a member now supports.
    pub(super) fn set_protocols(&mut self, id: &str, protocols: Vec<(String, Bytes)>) {
        if let Some(member) = self.members.get_mut(id) {
            let before = std::mem::replace(&mut member.protocols, protocols.clone());
            self.brought_bytes = self.brought_bytes + protocols_bytes(&protocols) - protocols_bytes(&before);
            self.count(&before, false);
            self.count(&protocols, true);
        }
    }

    pub(super) fn set_timeouts(&mut self, id: &str, rebalance_ms: i32, session_ms: i32) {
        if let Some(member) = self.members.get_mut(id) {
            member.rebalance_timeout_ms = rebalance_ms;
            member.session_timeout_ms = session_ms;
        }
    }

    /// Lets a member wait for the join to complete, or wait no longer; hands back the request that waited until now.
    pub(super) fn set_joining(&mut self, id: &str, ticket: Option<Ticket>) -> Option<Ticket> {
        let member = self.members.get_mut(id)?;
        let before = std::mem::replace(&mut member.joining, ticket);
        self.joining = self.joining + usize::from(ticket.is_some()) - usize::from(before.is_some());
        before
    }

    /// The same for the wait for an assignment.
    pub(super) fn set_syncing(&mut self, id: &str, ticket: Option<Ticket>) -> Option<Ticket> {
        let member = self.members.get_mut(id)?;
        std::mem::replace(&mut member.syncing, ticket)
    }

    pub(super) fn set_assignment(&mut self, id: &str, assignment: Bytes) {
        if let Some(member) = self.members.get_mut(id) {
            member.assignment = assignment;
        }
    }

    /// A member that was told a generation is new no longer.
    pub(super) fn set_known(&mut self, id: &str) {
        if let Some(member) = self.members.get_mut(id) {
            member.is_new = false;
        }
    }

    pub(super) fn set_leader(&mut self, id: Option<MemberId>) {
        self.leader = id;
    }

    /// Bytes that members brought, and of the ids that were given out.
    pub(super) fn brought_bytes(&self) -> usize {
        self.brought_bytes
    }

    /// What this member brought, or the one of this instance id.
    pub(super) fn brought_by(&self, id: &str, instance_id: Option<&str>) -> Option<usize> {
        let of_instance = instance_id.and_then(|instance| self.statics.get(instance));
        let member = self.members.get(of_instance.map_or(id, MemberId::as_str));
        member.map(Member::brought_bytes)
    }

    pub(super) fn pending_count(&self) -> usize {
        self.pending_join.len()
    }

    pub(super) fn is_pending(&self, id: &str) -> bool {
        self.pending_join.contains(id)
    }

    pub(super) fn add_pending(&mut self, id: MemberId) {
        let bytes = id.as_str().len();
        if self.pending_join.insert(id) {
            self.brought_bytes += bytes;
        }
    }

    pub(super) fn remove_pending(&mut self, id: &str) -> bool {
        let was_pending = self.pending_join.remove(id);
        if was_pending {
            self.brought_bytes -= id.len();
        }
        was_pending
    }

    pub(super) fn pending(&self) -> impl Iterator<Item = &MemberId> {
        self.pending_join.iter()
    }

    /// Sees to it that the leader is one that has joined. False if nobody has.
    pub(super) fn elect_joined_leader(&mut self) -> bool {
        let joined = |member: &Member| member.joining.is_some();
        let leads = self.leader.as_ref().and_then(|id| self.members.get(id.as_str())).is_some_and(joined);
        if leads {
            return true;
        }
        let Some(next) = self.members.values().find(|member| joined(member)).map(|member| member.id.clone())
        else {
            return false;
        };
        self.leader = Some(next);
        true
    }

    /// Whether all members support one of these.
    pub(super) fn supports_any(&self, protocols: &[(String, Bytes)]) -> bool {
        protocols.iter().any(|(name, _)| self.supported.get(name).copied().unwrap_or(0) == self.members.len())
    }

    /// What the members agree on: each votes for what it prefers of that which all support; of those with equal votes, the first
    /// in the order of names.
    pub(super) fn select_protocol(&self) -> Option<String> {
        let supported_by_all =
            |name: &str| self.supported.get(name).copied().unwrap_or(0) == self.members.len();
        let mut votes: HashMap<&str, usize> = HashMap::new();
        for member in self.members.values() {
            let vote = member.protocols.iter().find(|(name, _)| supported_by_all(name));
            if let Some((name, _)) = vote {
                *votes.entry(name).or_default() += 1;
            }
        }
        let best = votes.into_iter().max_by(|(a, x), (b, y)| x.cmp(y).then_with(|| b.cmp(a)));
        best.map(|(name, _)| name.to_owned())
    }

    fn count(&mut self, protocols: &[(String, Bytes)], up: bool) {
        for (name, _) in protocols {
            if up {
                *self.supported.entry(name.clone()).or_default() += 1;
            } else if let Some(count) = self.supported.get_mut(name.as_str()) {
                *count -= 1;
                if *count == 0 {
                    self.supported.remove(name.as_str());
                }
            }
        }
    }

    /// Panics if the counts do not agree with the members.
    pub(super) fn check_invariants(&self) {
        let joining = self.members.values().filter(|member| member.joining.is_some()).count();
        assert_eq!(joining, self.joining, "members that wait for the join are counted");
        let ids = self.pending_join.iter().map(|id| id.as_str().len());
        let brought = self.members.values().map(Member::brought_bytes).chain(ids).sum::<usize>();
        assert_eq!(brought, self.brought_bytes, "what members brought is counted");
        let mut supported: HashMap<String, usize> = HashMap::new();
        for (name, _) in self.members.values().flat_map(|member| &member.protocols) {
            *supported.entry(name.clone()).or_default() += 1;
        }
        assert_eq!(supported, self.supported, "protocols are counted");
        assert_eq!(self.leader.is_some(), !self.members.is_empty(), "a group with members has a leader");
        if let Some(leader) = &self.leader {
            assert!(self.members.contains_key(leader), "the leader is a member");
        }
        let with_instance = self.members.values().filter(|member| member.instance_id.is_some()).count();
        assert_eq!(with_instance, self.statics.len(), "each static member is known by its instance id");
        for (instance_id, id) in &self.statics {
            let member = &self.members[id];
            assert_eq!(member.instance_id.as_ref(), Some(instance_id));
        }
        assert!(
            self.pending_join.iter().all(|id| !self.members.contains_key(id)),
            "who has joined is not awaited"
        );
        assert!(self.pending_sync.iter().all(|id| self.members.contains_key(id)), "only members sync");
        for (id, member) in &self.members {
            assert_eq!(id, &member.id);
            assert!(member.joining.is_none() || member.syncing.is_none(), "a member waits for one thing");
        }
    }
}
