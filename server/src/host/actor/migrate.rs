//! A room moves to another host thread.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::time::timeout;

use crate::directory::Directory;
use crate::host::live::migrate::Migrant;
use crate::host::thread::{Command, Place, Thread};
use crate::key::RoomKey;

/// How long a room waits for whoever reads its connections to stop. They do as soon as they get their turn.
const CALLED_BACK_WITHIN: Duration = Duration::from_secs(1);

/// Moves the room. False where it stays: a visitor came meanwhile, a connection cannot move, the other
/// thread takes nothing just now, or this one was given up.
pub(super) async fn migrate(thread: &Rc<Thread>, place: &Rc<Place>, to: usize) -> bool {
    if !place.with(|live| live.call_back()) {
        stay(thread, place);
        return false;
    }
    let all = || place.with(|live| live.are_back(&place.halves.borrow()));
    let called_back = async {
        while !all() {
            place.signals.wake.notified().await;
        }
    };
    let late = timeout(CALLED_BACK_WITHIN, called_back).await.is_err();
    let is_over = thread.stopping() || thread.pulse.is_given_up();
    if late || is_over || !place.arrivals.borrow().is_empty() {
        stay(thread, place);
        return false;
    }
    // From here on without an await: nobody comes in between.
    let Some(live) = place.live.take() else { return false };
    let migrant = Box::new(live.depart(place.halves.take()));
    match send(thread, &place.key, migrant, to) {
        None => {
            thread.forget(&place.key);
            thread.house.metrics.migrations.up();
            true
        }
        Some(migrant) => {
            thread.land(place, *migrant);
            false
        }
    }
}

/// Sends the room to another thread. Gives it back where it stays.
fn send(thread: &Thread, key: &RoomKey, migrant: Box<Migrant>, to: usize) -> Option<Box<Migrant>> {
    let mut stays = Some(migrant);
    thread.house.directory.transfer(key, to, |ticket| {
        // Whoever gives a thread up says so before he asks the directory for its rooms.
        if thread.pulse.is_given_up() {
            return Err(ticket);
        }
        let Some(migrant) = stays.take() else { return Err(ticket) };
        // Looked up in here, since a thread in the place of one that was given up has its own way.
        match thread.ways.to(to).try_send(Command::Land { migrant, ticket }) {
            Err(
                TrySendError::Full(Command::Land { migrant, ticket })
                | TrySendError::Closed(Command::Land { migrant, ticket }),
            ) => {
                stays = Some(migrant);
                Err(ticket)
            }
            // No other command was sent.
            _ => Ok(()),
        }
    });
    stays
}

/// Has those connections read again that were called back.
fn stay(thread: &Rc<Thread>, place: &Rc<Place>) {
    let halves = place.halves.take();
    let landed = place.with(|live| live.read_on(halves));
    landed.into_iter().for_each(|landed| thread.attend(place, landed));
}
