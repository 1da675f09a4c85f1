//! Renames: an entity that goes from one group to another is no new one to a client that sees both.
//!
//! Where all members of a group see a wider one as well, the group's own block tells the new name,
//! once for all. Where only some clients see both groups, each of them is told in its own player's
//! block: a shared one would tell the others that the entity is seen elsewhere.

use referee_protocol::{Group, Tick, WireId};

use super::group::GroupState;
use super::links::Links;
use super::{Called, Replication};

/// What the members of a group call an entity through a group that all of them see as well.
pub(super) fn wider(group: Group, called: &Called, links: &Links) -> Option<WireId> {
    if group == Group::Everyone {
        return None;
    }
    if let Some(name) = name(called, Group::Everyone) {
        return Some(name);
    }
    let Group::Player(seat) = group else { return None };
    let team = |other: &Group| matches!(other, Group::Team(_)) && links.sees(seat, *other);
    called.iter().find(|(other, _)| team(other)).map(|(_, name)| *name)
}

/// What a group calls an entity.
pub(super) fn name(called: &Called, group: Group) -> Option<WireId> {
    called.iter().find(|(known, _)| *known == group).map(|(_, name)| *name)
}

impl Replication {
    /// Tells the seats whose clients keep seeing an entity, by groups that do not tell it themselves.
    pub(super) fn rename_for_seats(&mut self, before: &Called, after: &Called, tick: Tick) {
        // From one cell of a grid to the next it keeps its one name.
        let same = |old: &WireId| after.iter().all(|(_, new)| new == old);
        if before.iter().all(|(_, old)| same(old)) || after.is_empty() {
            return;
        }
        for (seat, line) in &self.links.seats {
            let known = |called: &Called| line.groups.iter().find_map(|g| name(called, *g));
            let (Some(old), Some(new)) = (known(before), known(after)) else { continue };
            // Another of its groups goes on to call it so.
            if line.groups.iter().any(|group| name(after, *group) == Some(old)) {
                continue;
            }
            let told = |group: &Group| {
                self.groups.find(*group).is_some_and(|state| state.renamed_to(old, new))
            };
            if old != new && !line.groups.iter().any(told) {
                let own = self.groups.entry(Group::Player(*seat), GroupState::default);
                own.renamed_elsewhere(old, new, tick);
            }
        }
    }
}
