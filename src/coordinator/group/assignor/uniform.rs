//! The uniform assignor where all members have the same subscription.
//!
//! Key invariant: the numbers of partitions of two members differ by one at most, and no partition moves that need not: a
//! member gives up only what is above its share.

use super::{Assignment, Partition, Spec};

/// What each member is to have.
pub(super) fn assign(spec: &Spec<'_>) -> Vec<Assignment> {
    let order = spec.order();
    let positions = spec.positions();
    let mut taken: Vec<Vec<bool>> = vec![vec![]; spec.topics.len()];
    for &topic in spec.subscription(order[0]) {
        taken[topic] = vec![false; spec.topics[topic].partitions as usize];
    }
    let mut held: Vec<Vec<Partition>> = vec![vec![]; spec.members.len()];
    for &member in &order {
        for at in spec.kept(member, &positions) {
            let taken = &mut taken[at.topic][at.index as usize];
            if !*taken {
                *taken = true;
                held[member].push(at);
            }
        }
    }
    let total: usize = taken.iter().map(Vec::len).sum();
    let (share, mut extra) = (total / order.len(), total % order.len());
    // Those who have more than the share anyway are the first to be allowed one more.
    for &member in &order {
        let held = &mut held[member];
        if held.len() <= share {
            continue;
        }
        let quota = share + usize::from(extra > 0);
        extra = extra.saturating_sub(1);
        for at in held.drain(quota.min(held.len())..) {
            taken[at.topic][at.index as usize] = false;
        }
    }
    let mut free = (0..taken.len()).flat_map(|topic| {
        let untaken = taken[topic].iter().enumerate().filter(|(_, taken)| !**taken);
        untaken.map(move |(index, _)| Partition { topic, index: index as u32 })
    });
    for &member in &order {
        let held = &mut held[member];
        let wanted = share.saturating_sub(held.len());
        held.extend(free.by_ref().take(wanted));
        if held.len() == share && extra > 0 {
            extra -= 1;
            held.extend(free.next());
        }
    }
    held.iter().map(|held| spec.assignment(held)).collect()
}
