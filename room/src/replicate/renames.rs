//! Renames: an entity that goes from one group to another is no new one to a client that sees both.
//!
//! Where all members of a group see a wider one as well, the group's own block tells the new name,
//! once for all. Where only some clients see both groups, each of them is told behind the blocks of its
//! own frame ([`super::aliases`]): a shared block would tell the others that the entity is seen elsewhere.

use referee_protocol::{Group, WireId};

use super::Called;
use super::links::Links;

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
