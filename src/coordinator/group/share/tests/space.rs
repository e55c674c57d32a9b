//! Members that subscribe to as much as they can: bounded with the members of all groups, and whoever is there goes on.

use super::*;
use crate::coordinator::group::MEMBERS_BYTES_MAX;

/// Long names that no topic has.
fn heavy(member: &str, epoch: i32) -> ShareHeartbeat {
    ShareHeartbeat {
        member_id: member.to_owned(),
        member_epoch: epoch,
        rack_id: None,
        client_id: String::new(),
        client_host: String::new(),
        subscribed_topics: Some((0..5_000).map(|at| format!("{member}{at:04}{}", "n".repeat(230))).collect()),
    }
}

impl World {
    fn beat(&mut self, group: &str, heartbeat: ShareHeartbeat) -> Result<ShareHeartbeatAnswer, GroupError> {
        let id = GroupId::from(group);
        let answer =
            self.event(|groups, turn, actions| groups.share_heartbeat(&id, heartbeat, turn, actions));
        let mut copy = Groups::default();
        self.log.iter().for_each(|record| copy.replay(record.clone()));
        assert_eq!(self.groups.member_bytes(), copy.member_bytes(), "read back as it was");
        answer
    }
}

#[test]
fn what_members_of_share_groups_bring_is_bounded() {
    let mut world = World::new();
    let is_full = |answer| matches!(answer, Err(GroupError::GroupMaxSizeReached(_)));
    let group = |at: usize| format!("g{}", at % 2);
    let member = |at: usize| format!("m{at:03}");
    let refused = (0..100).find(|at| is_full(world.beat(&group(*at), heavy(&member(*at), 0)))).unwrap();
    let bytes = world.groups.member_bytes();
    assert!((MEMBERS_BYTES_MAX - 1_800_000..=MEMBERS_BYTES_MAX).contains(&bytes), "{bytes}");
    // Who is in goes on, and may join again.
    let epoch = world.beat("g0", heavy("m000", 0)).unwrap().member_epoch;
    world.beat("g0", ShareHeartbeat { subscribed_topics: None, ..heavy("m000", epoch) }).unwrap();
    // And makes room when it goes.
    world.beat("g0", heavy("m000", -1)).unwrap();
    world.beat("g1", heavy(&member(refused), 0)).unwrap();
}
