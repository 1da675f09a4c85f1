//! What a game registered of one kind, in order. All rooms of a game register the same, so they share one
//! copy of it: it takes no memory of each, and one room's tick finds it in the cache where another's left it.

use std::ops::Deref;
use std::sync::Arc;

use crate::alarms::AlarmRow;
use crate::game::Game;
use crate::registry::{ActionRow, ComponentRow, EventRow, InputRow, TimerRow};

/// Something registered.
pub(crate) trait Row: Clone {
    /// Whether it can stand for another: all of it that is data is the same.
    fn is_same(&self, other: &Self) -> bool;
}

/// See the module's documentation. None of them takes no memory, so that they can be taken out of a game
/// while they are used.
#[derive(Clone)]
pub(crate) struct Rows<T>(Option<Arc<Vec<T>>>);

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Deref for Rows<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0.as_deref().map_or(&[], |rows| rows)
    }
}

impl<T: Row> Rows<T> {
    pub(crate) fn push(&mut self, row: T) {
        Arc::make_mut(self.0.get_or_insert_default()).push(row);
    }

    pub(crate) fn iter_mut(&mut self) -> std::slice::IterMut<'_, T> {
        Arc::make_mut(self.0.get_or_insert_default()).iter_mut()
    }

    pub(crate) fn last_mut(&mut self) -> Option<&mut T> {
        Arc::make_mut(self.0.get_or_insert_default()).last_mut()
    }

    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }

    /// Shares another room's, where they are the same.
    pub(crate) fn share(&mut self, with: &Self) {
        let same = self.len() == with.len() && self.iter().zip(&**with).all(|(a, b)| a.is_same(b));
        if same {
            self.0.clone_from(&with.0);
        }
    }
}

/// All that a game registered, for its rooms.
pub(crate) struct Shared {
    components: Rows<ComponentRow>,
    inputs: Rows<InputRow>,
    actions: Rows<ActionRow>,
    events: Rows<EventRow>,
    timers: Rows<TimerRow>,
    alarms: Rows<AlarmRow>,
}

impl Shared {
    /// Of a game.
    pub(crate) fn of(game: &Game) -> Self {
        Self {
            components: game.components.clone(),
            inputs: game.inputs.clone(),
            actions: game.actions.clone(),
            events: game.events.clone(),
            timers: game.timers.clone(),
            alarms: game.alarms.clone(),
        }
    }

    /// Has a room share what it registered as well.
    pub(crate) fn share(&self, game: &mut Game) {
        game.components.share(&self.components);
        game.inputs.share(&self.inputs);
        game.actions.share(&self.actions);
        game.events.share(&self.events);
        game.timers.share(&self.timers);
        game.alarms.share(&self.alarms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Row for u8 {
        fn is_same(&self, other: &Self) -> bool {
            self == other
        }
    }

    fn rows(of: &[u8]) -> Rows<u8> {
        let mut rows = Rows::default();
        of.iter().for_each(|row| rows.push(*row));
        rows
    }

    #[test]
    fn rooms_share_what_is_the_same_until_one_of_them_changes_it() {
        let first = rows(&[1, 2]);
        let mut second = rows(&[1, 2]);
        second.share(&first);
        assert!(std::ptr::eq(&*second, &*first));
        second.push(3);
        assert_eq!((&*first, &*second), (&[1, 2][..], &[1, 2, 3][..]));
        second.share(&first);
        assert_eq!(&*second, [1, 2, 3], "what differs stays its own");
        let mut third = rows(&[1, 3]);
        third.share(&first);
        assert_eq!(&*third, [1, 3]);
    }
}
