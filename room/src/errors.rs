//! What becomes of errors inside a tick. A command on an entity that is gone is dropped and counted;
//! everything else is a panic, which ends the tick.

use std::any::Any;
use std::cell::Cell;

use bevy_ecs::error::{BevyError, ErrorContext, FallbackErrorHandler};
use bevy_ecs::world::World;

use crate::reuse::put;

thread_local! {
    // bevy's handler is a plain function without the World, so the count cannot stand in it. A room
    // runs on one thread at a time; it reads the difference over its own tick.
    static DROPPED: Cell<u64> = const { Cell::new(0) };
}

/// Installs the handler.
pub(crate) fn install(world: &mut World) {
    put(world, FallbackErrorHandler(handle));
}

/// Commands dropped on this thread so far.
pub(crate) fn dropped_commands() -> u64 {
    DROPPED.get()
}

fn handle(error: BevyError, context: ErrorContext) {
    match context {
        ErrorContext::Command { .. } => DROPPED.set(DROPPED.get() + 1),
        ErrorContext::System { .. }
        | ErrorContext::RunCondition { .. }
        | ErrorContext::Observer { .. } => {
            panic!("{} {}: {error}", context.kind(), context.name());
        }
    }
}

/// What a panic said, for the author of the game.
#[must_use]
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it does not say why")
}
