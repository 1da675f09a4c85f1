//! What is remembered of an entity from one send to the next, and what changed of it since. Most changes
//! are of values alone, of an entity that is shown to the same groups as before: of those only the values
//! are looked at.

use bevy_ecs::archetype::ArchetypeId;
use bevy_ecs::world::EntityRef;
use referee_protocol::Group;
use smallvec::SmallVec;

/// What may have changed of an entity since the last send.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Change {
    pub(super) id: u32,
    pub(super) what: What,
}

/// See [`Change`]. In an order in which the last tells how to look at the entity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// The value of one component: its row among the game's.
    Value(u16),
    /// What those are called to whom it refers.
    References,
    /// Anything: who sees it, of what it consists.
    Whole,
}

impl Change {
    pub(super) fn value(id: u32, row: u16) -> Self {
        Self { id, what: What::Value(row) }
    }

    pub(super) fn references(id: u32) -> Self {
        Self { id, what: What::References }
    }

    pub(super) fn whole(id: u32) -> Self {
        Self { id, what: What::Whole }
    }
}

/// An entity that is looked at.
#[derive(Clone, Copy)]
pub(super) struct Seen<'w> {
    pub(super) id: u32,
    /// None where it is gone, and of the room itself.
    pub(super) entity: Option<EntityRef<'w>>,
    /// The cell of the grid it is in.
    pub(super) near: Option<Group>,
}

impl Seen<'_> {
    pub(super) fn archetype(&self) -> Option<ArchetypeId> {
        self.entity.map(|entity| entity.archetype().id())
    }
}

/// What an entity showed when it was last looked at as a whole. It shows that to the same groups until it
/// consists of other components, comes into another cell of the grid, or is said to have changed as a whole.
pub(super) struct Known {
    /// None of the room itself.
    pub(super) archetype: Option<ArchetypeId>,
    pub(super) near: Option<Group>,
    /// In order of rows and groups.
    pub(super) places: Places,
    /// The world was rebuilt since: archetypes have other numbers.
    pub(super) rebuilt: bool,
}

/// Where an entity's components are shown.
pub(super) type Places = SmallVec<[Place; 4]>;

/// Where a component is shown.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) group: Group,
    /// The entity's in the group's view.
    pub(super) slot: u32,
    pub(super) component: u16,
    /// Its row among the game's components, and whether its values may hold references.
    pub(super) row: u16,
    pub(super) refers: bool,
    /// How many words its values have.
    pub(super) words: usize,
}

impl Known {
    /// Whether an entity is shown as it was, with these changes.
    pub(super) fn holds(&self, seen: &Seen<'_>, changes: &[Change]) -> bool {
        let whole = changes.last().is_none_or(|last| last.what == What::Whole);
        !whole && !self.rebuilt && self.archetype == seen.archetype() && self.near == seen.near
    }

    /// Where the values are shown of which a change tells.
    pub(super) fn places(&self, what: What) -> impl Iterator<Item = &Place> {
        self.places.iter().filter(move |place| match what {
            What::Value(row) => place.row == row,
            What::References => place.refers,
            What::Whole => true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_is_looked_at_as_a_whole_where_more_than_values_may_have_changed() {
        let (archetype, near, places) = (None, None, Places::new());
        let mut known = Known { archetype, near, places, rebuilt: false };
        let seen = Seen { id: 1, entity: None, near: None };
        let value = [Change::value(1, 0), Change::references(1)];
        assert!(known.holds(&seen, &value));
        assert!(!known.holds(&seen, &[Change::value(1, 0), Change::whole(1)]));
        assert!(!known.holds(&Seen { near: Some(Group::Cell(1)), ..seen }, &value));
        known.rebuilt = true;
        assert!(!known.holds(&seen, &value), "archetypes may have other numbers");
    }
}
