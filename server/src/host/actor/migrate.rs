//! A room moves to another host thread.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::time::timeout;

use crate::directory::Directory;
use crate::host::thread::{Command, Place, Thread};

/// How long a room waits for whoever reads its connections to stop. They do as soon as they get their turn.
const CALLED_BACK_WITHIN: Duration = Duration::from_secs(1);

/// Moves the room. False where it stays: a visitor came meanwhile, a connection cannot move, or the other
/// thread takes nothing just now.
pub(super) async fn migrate(thread: &Rc<Thread>, place: &Rc<Place>, to: usize) -> bool {
    if !place.with(|live| live.call_back()) {
        stay(thread, place);
        return false;
    }
    let all = || place.halves.borrow().len() >= place.with(|live| live.connected());
    let called_back = async {
        while !all() {
            place.signals.wake.notified().await;
        }
    };
    let late = timeout(CALLED_BACK_WITHIN, called_back).await.is_err();
    if late || thread.stopping() || !place.arrivals.borrow().is_empty() {
        stay(thread, place);
        return false;
    }
    // From here on without an await: nobody comes in between.
    let Some(live) = place.live.take() else { return false };
    let migrant = Box::new(live.depart(place.halves.take()));
    let house = &thread.house;
    let key = place.key.clone();
    let ticket = house.directory.transfer(&key, to);
    match thread.ways.to(to).try_send(Command::Land { migrant, ticket }) {
        Ok(()) => {
            thread.forget(&key);
            house.metrics.migrations.up();
            true
        }
        Err(TrySendError::Full(command) | TrySendError::Closed(command)) => {
            let back = house.directory.transfer(&key, thread.number);
            if let Command::Land { migrant, ticket } = command {
                thread.land(place, *migrant);
                drop((ticket, back));
            }
            false
        }
    }
}

/// Has those connections read again that were called back.
fn stay(thread: &Rc<Thread>, place: &Rc<Place>) {
    let halves = place.halves.take();
    let landed = place.with(|live| live.read_on(halves));
    landed.into_iter().for_each(|landed| thread.attend(place, landed));
}
