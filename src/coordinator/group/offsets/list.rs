//! ListGroups: the groups of this partition, by state (KIP-518) and type (KIP-848).
//!
//! Key invariant: reads only. Filters compare without regard to case; an empty filter passes everything.

use super::kinds;
use crate::coordinator::GroupId;
use crate::coordinator::group::Groups;

/// Which groups to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupFilter {
    /// Names of states; a name that is none passes nothing.
    pub states: Vec<String>,
    /// `classic`, `consumer` or `share`; another name passes nothing.
    pub types: Vec<String>,
}

impl GroupFilter {
    fn passes(&self, state: &str, kind: &str) -> bool {
        let names = |filter: &[String], name: &str| {
            filter.is_empty() || filter.iter().any(|wanted| wanted.trim().eq_ignore_ascii_case(name))
        };
        names(&self.states, state) && names(&self.types, kind)
    }
}

/// A group as ListGroups has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    pub id: GroupId,
    /// Empty of a simple group.
    pub protocol_type: String,
    pub state: &'static str,
    pub kind: &'static str,
}

impl Groups {
    /// The groups that pass the filter, in no order.
    pub fn list(&self, filter: &GroupFilter) -> Vec<ListedGroup> {
        let listed = self.iter().filter_map(|(id, group)| {
            let (state, kind) = (kinds::state_name(&group.kind), kinds::type_name(&group.kind));
            filter.passes(state, kind).then(|| ListedGroup {
                id: id.clone(),
                protocol_type: kinds::protocol_type(&group.kind).to_owned(),
                state,
                kind,
            })
        });
        listed.collect()
    }
}
