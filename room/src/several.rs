//! Several types in one call: what [`Game::replicate`] and its like take is a type, or a tuple of up to
//! twelve of them, or of such tuples.

use bevy_ecs::component::{Component, Mutable};

use crate::field::{Action, Event, Replicate};
use crate::game::Game;

/// Types of state, for [`Game::replicate`] and [`Game::keep`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no state that a room can keep",
    label = "add #[derive(Component, Replicate)] or #[derive(Resource, Replicate, Default)] to it"
)]
pub trait StateTypes {
    #[doc(hidden)]
    fn replicate(game: &mut Game);
    #[doc(hidden)]
    fn keep(game: &mut Game);
}

/// Types of actions, for [`Game::action`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no action",
    label = "add #[derive(Action)] to `{Self}`"
)]
pub trait ActionTypes {
    #[doc(hidden)]
    fn register(game: &mut Game);
}

/// Types of events, for [`Game::event`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no event",
    label = "add #[derive(Event)] to `{Self}`"
)]
pub trait EventTypes {
    #[doc(hidden)]
    fn register(game: &mut Game);
}

impl<C: Replicate + Component<Mutability = Mutable>> StateTypes for C {
    fn replicate(game: &mut Game) {
        game.replicate_type::<C>();
    }

    fn keep(game: &mut Game) {
        game.keep_type::<C>();
    }
}

impl<T: Action> ActionTypes for T {
    fn register(game: &mut Game) {
        game.action_type::<T>();
    }
}

impl<T: Event> EventTypes for T {
    fn register(game: &mut Game) {
        game.event_type::<T>();
    }
}

macro_rules! tuples {
    ($first:ident $($more:ident)*) => {
        impl<$first: StateTypes, $($more: StateTypes),*> StateTypes for ($first, $($more,)*) {
            fn replicate(game: &mut Game) {
                $first::replicate(game);
                $($more::replicate(game);)*
            }

            fn keep(game: &mut Game) {
                $first::keep(game);
                $($more::keep(game);)*
            }
        }

        impl<$first: ActionTypes, $($more: ActionTypes),*> ActionTypes for ($first, $($more,)*) {
            fn register(game: &mut Game) {
                $first::register(game);
                $($more::register(game);)*
            }
        }

        impl<$first: EventTypes, $($more: EventTypes),*> EventTypes for ($first, $($more,)*) {
            fn register(game: &mut Game) {
                $first::register(game);
                $($more::register(game);)*
            }
        }

        tuples!($($more)*);
    };
    () => {};
}

tuples!(A B C D E F G H I J K L);
