//! A room's life: it is loaded for its first visitor, gets its turns, and goes away a grace time
//! after its last client.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rand::TryRng;
use rand::rngs::SysRng;
use referee_protocol::{Code, Incarnation, Refusal};
use referee_room::entry::Create;
use referee_room::revive::{Base, Report, Revival, ReviveError, after_panic};
use referee_room::room::Room;
use referee_room::{Template, panic_text};
use tokio::time::timeout;

mod migrate;
mod park;

use super::alarm::Alarm;
use super::left;
use super::live::{Live, Next, PANICS_APART, Parts, Remains};
use super::marks::Trouble;
use super::thread::{Arrival, Place, Thread};
use super::{going_down, unix_ms};
use crate::directory::{BUSY_RETRY_MS, Directory};
use crate::key::RoomKey;
use crate::store::{StoreError, StoredRoom};

/// When a room that could not be saved is sealed and saved again.
const UNSAVED_AGAIN: Duration = Duration::from_secs(1);

/// How long a room's place waits for a visitor that is on the way, before it looks again whether
/// there still is one, in milliseconds.
const ON_THE_WAY_MS: u64 = 250;

/// How long a room that is made from its journal keeps its thread from others, in milliseconds.
const SLICE_MS: u64 = 2;

/// Lives until nobody is in the room, and nobody on the way to it.
pub(super) async fn life(thread: Rc<Thread>, place: Rc<Place>) {
    let directory = &thread.house.directory;
    loop {
        // No await lies between this and the moment in which it was parked.
        if place.is_parked() || thread.pulse.is_given_up() {
            return;
        }
        if place.is_unwanted() {
            if directory.release(&place.key) {
                // No await lies between the two: nobody comes in between.
                thread.remove(&place.key);
                return;
            }
            let _ =
                timeout(Duration::from_millis(ON_THE_WAY_MS), place.signals.wake.notified()).await;
            continue;
        }
        let came = place.live.borrow().is_some();
        let opened = match came {
            // It came from another thread.
            true => Ok(None),
            false => park::open(&thread, &place).await.map(Some),
        };
        match opened {
            Ok(live) => {
                let begun = Instant::now();
                if let Some(mut live) = live {
                    live.send_every(thread.pace.get().every());
                    *place.live.borrow_mut() = Some(live);
                }
                // Who said something to a parked room that it has to know of waits for this.
                place.signals.ticked.notify_waiters();
                if play(&thread, &place).await == Played::Gone {
                    return;
                }
                let live = place.live.take();
                let live = live.map(|live| after(&thread, &place, live, begun));
                // Values of a failed game may fail once more.
                let _ = catch_unwind(AssertUnwindSafe(|| drop(live)));
            }
            Err(refusal) => thread.refuse(&place, &refusal),
        }
    }
}

/// Keeps what a panic left of the room, which lived since it had `begun`.
fn after(thread: &Thread, place: &Place, mut live: Box<Live>, begun: Instant) -> Box<Live> {
    let marks = &thread.house.marks;
    if !live.failed() || begun.elapsed() >= PANICS_APART {
        marks.lived(&place.key);
    }
    if !live.failed() {
        return live;
    }
    place.panicked.set(Some(Instant::now()));
    let remains = live.take_remains();
    if remains.is_none() {
        thread.house.store.settle(&place.key);
        thread.house.wakes.stuck(&place.key);
        let why = "the game panicked twice within a minute".to_owned();
        marks.failed(&place.key, Trouble::Game(why), Instant::now());
    }
    place.remains.replace(remains.map(Box::new));
    live
}

/// Loads the room, or makes it.
async fn open(thread: &Thread, place: &Place) -> Result<Box<Live>, Refusal> {
    let house = &thread.house;
    // First: what is left over here would be tried again for ever.
    let left = place.remains.take();
    if thread.stopping() {
        return Err(going_down());
    }
    // Whoever was on the way while it failed.
    if let (None, Some(refusal)) = (&left, house.marks.refusal(&place.key, Instant::now())) {
        return Err(refusal);
    }
    if let Some(refusal) = house.unknown_game(&place.key) {
        return Err(refusal);
    }
    let template = house.games[&place.key.game].template.clone();
    let (store, key, look) = (house.store.clone(), place.key.clone(), left.is_none());
    // The disk may be slow; the thread's other rooms go on meanwhile.
    let find = move || Ok((if look { store.load(&key)? } else { None }, store.next_number()));
    let read = tokio::task::spawn_blocking(find).await;
    let read = read.unwrap_or_else(|error| Err(StoreError::Read(error.to_string())));
    let (stored, incarnation) = read.map_err(|error| not_read(thread, place, error))?;
    let incarnation = incarnation.map_err(|error| no_number(thread, &error))?;
    house.unnumbered.store(false, Ordering::Relaxed);
    let (room, remains) = match (left, stored) {
        (Some(left), _) => resurrect(thread, place, &template, *left)?,
        (None, Some(stored)) => match left::storage_of(&stored) {
            Some(storage) => make(thread, place, &template, storage.to_vec())?,
            None => load(thread, place, &template, stored).await?,
        },
        (None, None) => make(thread, place, &template, vec![])?,
    };
    house.wakes.loaded(&place.key);
    Ok(Live::new(parts(thread, place, Incarnation(incarnation), (room, remains))))
}

fn parts(
    thread: &Thread,
    place: &Place,
    incarnation: Incarnation,
    (room, remains): (Room, Remains),
) -> Parts {
    let house = &thread.house;
    Parts {
        house: house.clone(),
        key: place.key.clone(),
        template: house.games[&place.key.game].template.clone(),
        room,
        incarnation,
        remains,
        panicked: place.panicked.get(),
        signals: place.signals.clone(),
        committed: thread.committed.clone(),
        pulse: thread.pulse.clone(),
    }
}

/// A new room, as its first visitor wishes, with what an earlier match left in its storage.
fn make(
    thread: &Thread,
    place: &Place,
    template: &Arc<Template>,
    storage: Vec<u8>,
) -> Result<(Room, Remains), Refusal> {
    let params = {
        let arrivals = place.arrivals.borrow();
        let mut visitors = arrivals.iter().filter(|arrival| !matches!(arrival, Arrival::Alarm));
        match visitors.next() {
            Some(Arrival::Client(visitor)) => visitor.wish.params.clone(),
            Some(_) => vec![],
            None => return Err(Refusal::new(Code::Stopped, "nothing is left to be woken")),
        }
    };
    let _turn = thread.pulse.begin(&place.key);
    let build = env!("CARGO_PKG_VERSION").to_owned();
    let now = if template.has_alarms() { unix_ms() } else { 0 };
    let types = template.type_bytes().clone();
    let create = Create { params, seed: seed()?, build, storage, unix_ms: now, types };
    thread.house.metrics.rooms_made.up();
    let made = catch_unwind(AssertUnwindSafe(|| Room::create(template, &create)));
    let mut room = made.unwrap_or_else(|panic| {
        let panic = panic_text(&*panic);
        tracing::error!(room = %place.key, panic, "a game panicked while its room was made");
        thread.house.metrics.rooms_failed.up();
        let game = &place.key.game;
        Err(Refusal::new(Code::Failed, format!("the game {game} failed as the match was made")))
    })?;
    room.record();
    Ok((room, Remains::created(Base::Create(create), unix_ms())))
}

/// The room that the store has: its snapshot, and what its journal says happened since.
async fn load(
    thread: &Thread,
    place: &Place,
    template: &Arc<Template>,
    stored: StoredRoom,
) -> Result<(Room, Remains), Refusal> {
    let (begins, passages) =
        Remains::stored(stored).map_err(|error| not_revived(thread, place, &error.into()))?;
    let mut revival = Revival::new(template, begins.base.clone(), passages, seed()?);
    thread.house.metrics.rooms_loaded.up();
    loop {
        let _turn = thread.pulse.begin(&place.key);
        let begun = Instant::now();
        let slice = Duration::from_millis(SLICE_MS);
        match revival.run(|_| begun.elapsed() >= slice) {
            Ok(true) => break,
            // The thread's other rooms get their turn.
            Ok(false) => tokio::task::yield_now().await,
            Err(error) => return Err(not_revived(thread, place, &error)),
        }
    }
    let revived = revival.finish().map_err(|error| not_revived(thread, place, &error))?;
    tell(&place.key, &revived.report);
    thread.house.marks.loaded(&place.key);
    Ok(begins.revived(revived))
}

fn tell(room: &RoomKey, report: &Report) {
    let Report { ticks, hashes, differs, another_build, .. } = *report;
    let dropped = report.dropped.join(", ");
    if another_build && !dropped.is_empty() {
        tracing::warn!(
            %room, ticks, dropped,
            "a room was left by another build of its game, and what this one has no place for is dropped when \
             it is saved next: where that is not meant, kill the server and name the old ones by #[was]"
        );
    } else if another_build && ticks > 0 {
        tracing::info!(
            %room, ticks,
            "a room was left by another build of its game: it goes on by this one, and what happened since \
             it was saved was applied without comparing states"
        );
    } else if another_build {
        tracing::info!(%room, "a room was left by another build of its game: it goes on by this one");
    } else if ticks > 0 {
        tracing::info!(%room, ticks, hashes, "a room goes on from its journal");
    }
    if !report.panicked.is_empty() {
        let ticks: Vec<String> = report.panicked.iter().map(|tick| tick.0.to_string()).collect();
        tracing::error!(
            %room, ticks = ticks.join(", "),
            "a game panicked at ticks of a stored room that it had taken once, and goes on without what was done \
             in them: where another build is at fault, kill the server before the room is saved, and start the one before"
        );
    }
    if let Some(tick) = differs {
        tracing::error!(
            %room, tick = tick.0,
            "a room came to another state than it was in: its game is not deterministic, or is another \
             build"
        );
    }
}

/// The room as what is left of it in memory says. One that panicked is as it was in the tick before; then
/// that tick runs without what broke it.
fn resurrect(
    thread: &Thread,
    place: &Place,
    template: &Arc<Template>,
    mut left: Remains,
) -> Result<(Room, Remains), Refusal> {
    let _turn = thread.pulse.begin(&place.key);
    let (base, since) = (left.base.clone(), left.since.clone());
    let made = match left.broken.take() {
        Some(broken) => after_panic(template, (base, since), broken, seed()?),
        None => Revival::new(template, base, vec![since], seed()?).finish(),
    };
    // What the store has of it is not concerned: the next visit tries with that.
    let revived = made.map_err(|error| failed(thread, place, &error.to_string()))?;
    Ok(left.revived(revived))
}

fn not_revived(thread: &Thread, place: &Place, error: &ReviveError) -> Refusal {
    match error {
        ReviveError::Panicked { .. } => failed(thread, place, &error.to_string()),
        error => not_loaded(thread, place, Trouble::Room(error.to_string())),
    }
}

/// The game panicked where its room was made again.
fn failed(thread: &Thread, place: &Place, why: &str) -> Refusal {
    thread.house.metrics.rooms_failed.up();
    not_loaded(thread, place, Trouble::Game(why.to_owned()))
}

fn not_read(thread: &Thread, place: &Place, error: StoreError) -> Refusal {
    match error {
        StoreError::Closed => going_down(),
        StoreError::Unreadable { why, .. } => not_loaded(thread, place, Trouble::Room(why)),
        error => not_loaded(thread, place, Trouble::Disk(error.to_string())),
    }
}

fn not_loaded(thread: &Thread, place: &Place, trouble: Trouble) -> Refusal {
    thread.house.marks.failed(&place.key, trouble, Instant::now())
}

fn no_number(thread: &Thread, error: &StoreError) -> Refusal {
    if !thread.house.unnumbered.swap(true, Ordering::Relaxed) {
        tracing::error!(%error, "no number could be reserved: no room is made or loaded until one can");
    }
    busy("the server cannot write to its disk; try again in a while")
}

fn busy(text: &str) -> Refusal {
    Refusal { retry_after_ms: Some(BUSY_RETRY_MS), ..Refusal::new(Code::Busy, text) }
}

fn seed() -> Result<[u8; 32], Refusal> {
    let mut seed = [0; 32];
    SysRng.try_fill_bytes(&mut seed).map_err(|error| {
        tracing::error!(%error, "the system gives no randomness");
        busy("the server has no randomness; try again in a while")
    })?;
    Ok(seed)
}

/// Where a room is after it was played.
#[derive(PartialEq, Eq)]
enum Played {
    /// In its place, or nowhere.
    Here,
    /// On another thread.
    Gone,
}

/// Gives the room its turns until it is over.
async fn play(thread: &Rc<Thread>, place: &Rc<Place>) -> Played {
    let mut alarm = Alarm::new();
    loop {
        if thread.pulse.is_given_up() {
            thread.forget(&place.key);
            return Played::Gone;
        }
        thread.seat(place);
        if let Some(to) = place.migrate_to.take() {
            if migrate::migrate(thread, place, to).await {
                return Played::Gone;
            }
            // Meanwhile the thread may have been given up.
            continue;
        }
        let turn = thread.pulse.begin(&place.key);
        thread.collect(place);
        let look = look(thread, place);
        drop(turn);
        thread.gather(
            place,
            match look {
                Look::Wait(next) => next,
                Look::Soon => Some(Instant::now()),
                _ => None,
            },
        );
        match look {
            Look::Over => return Played::Here,
            Look::Unsaved => {
                // All rooms are saved at once; the store takes more when it has written some.
                while flush(thread, place).await && place.with(|live| !live.save_now()) {}
                return Played::Here;
            }
            Look::Soon => tokio::task::yield_now().await,
            Look::Wait(None) => place.signals.wake.notified().await,
            Look::Wait(Some(until)) => {
                tokio::select! {
                    biased;
                    () = place.signals.wake.notified() => {}
                    () = alarm.rings_by(until) => {}
                }
            }
            Look::Park => {
                if park::park(thread, place).await {
                    return Played::Here;
                }
            }
            Look::Quiet => {
                flush(thread, place).await;
                // Whoever came meanwhile finds the room as it was.
                if place.arrivals.borrow().is_empty() {
                    return Played::Here;
                }
            }
        }
    }
}

/// Waits until everything saved so far is on disk, or cannot be.
async fn flush(thread: &Thread, place: &Place) -> bool {
    let flushed = thread.house.store.flush().await;
    if let Err(error) = &flushed {
        tracing::error!(room = %place.key, %error, "a room could not be saved");
    }
    flushed.is_ok()
}

/// What is to be done with a room after a turn.
enum Look {
    /// It failed, or its match has ended, or it was sealed because the server goes down.
    Over,
    /// Another turn after those of others.
    Soon,
    /// Nothing before this instant, or before it is woken.
    Wait(Option<Instant>),
    /// Nothing has happened for long enough: it may be put out of memory.
    Park,
    /// Nobody has come for long enough; it is sealed.
    Quiet,
    /// It was sealed because the server goes down, but the store did not take it.
    Unsaved,
}

/// Lets a room go that nobody has come to for long enough; or keeps it, while the store takes no
/// more.
fn retire(place: &Place, live: &mut Live) -> Look {
    // Of a match that an alarm has ended nobody has seen the result yet.
    if live.match_ended() && place.woken.borrow().is_none() {
        // The next visit starts afresh.
        if live.leave_storage() {
            return Look::Over;
        }
    } else {
        live.seal();
        if live.failed() {
            return Look::Over;
        }
        if !live.has_unsaved() {
            return Look::Quiet;
        }
    }
    live.stay();
    // The store takes no more just now: to seal it again at once would change nothing.
    Look::Wait(Some(Instant::now() + UNSAVED_AGAIN))
}

fn look(thread: &Thread, place: &Place) -> Look {
    let mut live = place.live.borrow_mut();
    let Some(live) = live.as_mut() else { return Look::Over };
    let next = live.turn();
    let now = Instant::now();
    if live.failed() {
        return Look::Over;
    }
    if thread.stopping() {
        live.seal();
        live.dismiss(&going_down());
        return if live.has_unsaved() { Look::Unsaved } else { Look::Over };
    }
    let quiet = live.quiet_since().map(|since| match place.woken.borrow().is_some() {
        true => live.asleep_again(since, next),
        false if live.match_ended() && live.was_left() => since,
        false => since + Duration::from_millis(thread.house.config.room_grace_ms),
    });
    if quiet.is_some_and(|quiet| quiet <= now) {
        return retire(place, live);
    }
    let save = live.save_due(now);
    if save.is_some_and(|save| save <= now) {
        live.save_now();
    }
    let mut park = live.park_due(next);
    if park.is_some_and(|park| park <= now) {
        if live.may_park(now) {
            return Look::Park;
        }
        park = live.park_due(next);
    }
    let next = match next {
        Next::Soon => return Look::Soon,
        Next::At(at) => Some(at),
        Next::Never => None,
    };
    // A save that has just been done is not waited for.
    let save = save.filter(|save| *save > now);
    Look::Wait([next, quiet, save, park].into_iter().flatten().min())
}
