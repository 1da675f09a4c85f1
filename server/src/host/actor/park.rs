//! A room goes out of memory with its connections open, and comes back.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use referee_protocol::{Code, Refusal, Tick};
use referee_room::Template;

use super::{failed, flush, load, not_read, parts, resurrect};
use crate::host::going_down;
use crate::host::live::{Live, Remains};
use crate::host::thread::{Place, Thread};
use crate::store::StoreError;
use referee_room::room::Room;

/// Seals the room and puts it out of memory. False where it has something to do after all, or could not
/// be saved: it lives on.
pub(super) async fn park(thread: &Rc<Thread>, place: &Rc<Place>) -> bool {
    if !place.with(|live| live.seal_to_park()) || !flush(thread, place).await {
        return false;
    }
    if thread.stopping() || !place.arrivals.borrow().is_empty() {
        return false;
    }
    let Some(parked) = place.with(|live| live.park(Instant::now())) else { return false };
    thread.park(place, parked);
    true
}

/// Loads the room, makes it, or brings it back where it is parked.
pub(super) async fn open(thread: &Thread, place: &Place) -> Result<Box<Live>, Refusal> {
    // Boxed: while a room plays, what it takes to load it is not needed.
    let Some((tick, kept)) = place.parked(|parked| (parked.tick, parked.kept.take())) else {
        return Box::pin(super::open(thread, place)).await;
    };
    let made = Box::pin(again(thread, place, tick, kept)).await;
    let parked = thread.unpark(place);
    let parked = *parked.expect("only this takes it");
    match made {
        Ok(made) => {
            let metrics = &thread.house.metrics;
            metrics.wakes.up();
            parked.waking.iter().for_each(|since| metrics.wake_seconds.observe(since.elapsed()));
            Ok(Live::unpark(parts(thread, place, parked.incarnation, made), parked))
        }
        Err(refusal) => {
            parked.dismiss(&thread.house, &refusal);
            Err(refusal)
        }
    }
}

/// The room that was parked at this tick, and saved unless it was kept.
async fn again(
    thread: &Thread,
    place: &Place,
    tick: Tick,
    kept: Option<Box<Remains>>,
) -> Result<(Room, Remains), Refusal> {
    if thread.stopping() {
        // It is saved, or not worth it.
        return Err(going_down());
    }
    let house = &thread.house;
    let template: Arc<Template> = house.games[&place.key.game].template.clone();
    if let Some(kept) = kept {
        return resurrect(thread, place, &template, *kept);
    }
    let (store, key) = (house.store.clone(), place.key.clone());
    let read = tokio::task::spawn_blocking(move || store.load(&key)).await;
    let read = read.unwrap_or_else(|error| Err(StoreError::Read(error.to_string())));
    let stored = read.map_err(|error| not_read(thread, place, error))?;
    let stored = stored.ok_or_else(|| failed(thread, place, "it is not in the store any more"))?;
    let (room, remains) = load(thread, place, &template, stored).await?;
    if room.info().tick == tick {
        return Ok((room, remains));
    }
    tracing::error!(
        room = %place.key, tick = room.info().tick.0, parked = tick.0,
        "a room that was put out of memory is not in the store as it was"
    );
    // Its clients come back to another life of it.
    Err(Refusal::new(Code::Stopped, "the match goes on where it was saved; come back"))
}
