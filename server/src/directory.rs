//! Who owns a room. Everyone who wants into a room asks here first, so that simultaneous first
//! visitors land in one room, and so that rooms have their limits.
//!
//! The one directory of today is in memory and knows the threads of this process. Another may take
//! its place behind [`Directory`] once rooms live on several machines.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use referee_protocol::{Code, Refusal};

use crate::address::network;
use crate::bucket::{Allowance, Bucket};
use crate::config::Config;
use crate::http::RoomListing;
use crate::key::RoomKey;

/// Addresses whose making of rooms is remembered. Beyond it, those are forgotten that have all their
/// allowance again; while there are none of these, no other address makes rooms.
const MAKERS_MAX: usize = 16 * 1024;

/// How often addresses are forgotten at most, since all are looked at for it.
const FORGET_EVERY: Duration = Duration::from_secs(1);

/// What a client is told to wait when the server is full, in milliseconds.
pub(crate) const BUSY_RETRY_MS: u32 = 5_000;

/// Where a room is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    /// On the host thread of this number.
    Thread(usize),
}

/// What the directory knows of a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    /// The thread that has it, or is about to.
    pub(crate) thread: usize,
    /// It comes from another thread, and has been sent, but has not arrived.
    pub(crate) is_travelling: bool,
}

/// Who owns which room.
pub(crate) trait Directory: Send + Sync {
    /// Finds the owner of a room, or makes one. The ticket holds the room in its place until the
    /// visitor is there.
    fn enter(&self, room: &RoomKey, from: IpAddr, now: Instant)
    -> Result<(Owner, Ticket), Refusal>;

    /// As [`Directory::enter`], for a room that is to be woken. None when it has an owner.
    fn wake(&self, room: &RoomKey) -> Result<Option<(Owner, Ticket)>, Refusal>;

    /// The owner has the room, or is about to; where it was sent from another thread, it has arrived.
    fn take(&self, room: &RoomKey);

    /// The room goes to another thread, on the way that `send` has for it, with a ticket that holds it
    /// there until it has arrived. `send` gives the ticket back where it is not sent: then the room stays,
    /// and false is given. Nobody finds the room there before it was sent, so that it comes before them.
    fn transfer(
        &self,
        room: &RoomKey,
        to: usize,
        send: impl FnOnce(Ticket) -> Result<(), Ticket>,
    ) -> bool;

    /// The thread has none of its rooms any more: whoever comes finds another owner.
    /// Gives the rooms.
    fn abandon(&self, thread: usize) -> Vec<RoomKey>;

    /// Where a room is, or is about to be.
    fn find(&self, room: &RoomKey) -> Option<Found>;

    /// The owner gives the room up. False when visitors are on their way to it: it stays.
    fn release(&self, room: &RoomKey) -> bool;

    /// How a public room is to be listed; none to list it no more.
    fn list(&self, room: &RoomKey, listing: Option<RoomListing>);

    /// The public rooms.
    fn listed(&self) -> Vec<RoomListing>;
}

/// A visitor on the way to a room. Dropped when it has arrived, or turned back.
pub(crate) struct Ticket {
    local: Arc<Inner>,
    room: RoomKey,
    /// Of the place it was given for.
    number: u64,
}

/// The directory of one process.
#[derive(Clone)]
pub(crate) struct Local(Arc<Inner>);

struct Inner {
    rooms_max: usize,
    /// New rooms of one network.
    new_rooms: Allowance,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rooms: HashMap<RoomKey, Place>,
    /// Rooms of each thread.
    loads: Vec<usize>,
    /// Threads that new rooms come to: the first ones.
    common: usize,
    /// Places there were.
    places: u64,
    makers: HashMap<IpAddr, Bucket>,
    /// When addresses were forgotten last.
    forgot: Option<Instant>,
}

struct Place {
    /// No other place of the room has it.
    number: u64,
    thread: usize,
    /// Visitors on their way.
    coming: usize,
    stage: Stage,
    /// Few rooms have one.
    listing: Option<Box<RoomListing>>,
}

/// How far a room is on its thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Its first visitor is on the way.
    Promised,
    /// It was sent from another thread.
    Travelling,
    /// The thread has it.
    Taken,
}

impl Local {
    /// With so many threads that new rooms come to, and as many that only get them from those.
    pub(crate) fn new(config: &Config, threads: usize) -> Self {
        let state = State { loads: vec![0; 2 * threads], common: threads, ..State::default() };
        Self(Arc::new(Inner {
            rooms_max: config.rooms_max,
            new_rooms: Allowance {
                per_second: config.new_rooms_per_second,
                burst: config.new_rooms_burst,
            },
            state: Mutex::new(state),
        }))
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room(&self, state: &State) -> Result<(), Refusal> {
        if state.rooms.len() >= self.rooms_max {
            let max = self.rooms_max;
            return Err(busy(&format!("this server holds {max} rooms, as many as it may")));
        }
        Ok(())
    }

    fn may_make(&self, state: &mut State, from: IpAddr, now: Instant) -> Result<(), Refusal> {
        self.has_room(state)?;
        let allowed = self.new_rooms;
        let from = network(from);
        if state.makers.len() >= MAKERS_MAX && !state.makers.contains_key(&from) {
            let forgot = state.forgot.map(|forgot| now.saturating_duration_since(forgot));
            if forgot.is_none_or(|since| since >= FORGET_EVERY) {
                state.forgot = Some(now);
                state.makers.retain(|_, maker| !maker.is_full(allowed, now));
            }
            if state.makers.len() >= MAKERS_MAX {
                return Err(busy("too many addresses make rooms at the moment"));
            }
        }
        let full = || Bucket::full(allowed, now);
        let maker = state.makers.entry(from).or_insert_with(full);
        if maker.take(allowed, now) {
            return Ok(());
        }
        let Allowance { per_second, burst } = allowed;
        let text = format!(
            "more new rooms come from your address than {burst} at once and {per_second} a second; \
             try again in a while"
        );
        let retry_after_ms = Some(maker.wait(allowed).as_millis() as u32 + 1);
        Err(Refusal { retry_after_ms, ..Refusal::new(Code::RoomRate, text) })
    }
}

fn busy(why: &str) -> Refusal {
    let text = format!("{why}; try again in a while");
    Refusal { retry_after_ms: Some(BUSY_RETRY_MS), ..Refusal::new(Code::Busy, text) }
}

impl State {
    /// Puts a room on the thread that has the fewest.
    fn put(&mut self, room: &RoomKey) {
        let loads = self.loads.iter().take(self.common).enumerate();
        let (thread, _) = loads.min_by_key(|(_, load)| **load).unwrap_or((0, &0));
        self.loads[thread] += 1;
        self.places += 1;
        let stage = Stage::Promised;
        let place = Place { number: self.places, thread, coming: 0, stage, listing: None };
        self.rooms.insert(room.clone(), place);
    }

    /// Somebody is on the way to a room that was put somewhere.
    fn ticket(&mut self, local: &Arc<Inner>, room: &RoomKey) -> (Owner, Ticket) {
        let place = self.rooms.get_mut(room).expect("it is there or was just put there");
        place.coming += 1;
        let ticket = Ticket { local: local.clone(), room: room.clone(), number: place.number };
        (Owner::Thread(place.thread), ticket)
    }

    fn remove(&mut self, room: &RoomKey) {
        if let Some(place) = self.rooms.remove(room) {
            self.loads[place.thread] -= 1;
        }
    }
}

impl Directory for Local {
    fn enter(
        &self,
        room: &RoomKey,
        from: IpAddr,
        now: Instant,
    ) -> Result<(Owner, Ticket), Refusal> {
        let mut state = self.0.lock();
        if !state.rooms.contains_key(room) {
            self.0.may_make(&mut state, from, now)?;
            state.put(room);
        }
        Ok(state.ticket(&self.0, room))
    }

    fn wake(&self, room: &RoomKey) -> Result<Option<(Owner, Ticket)>, Refusal> {
        let mut state = self.0.lock();
        if state.rooms.contains_key(room) {
            return Ok(None);
        }
        self.0.has_room(&state)?;
        state.put(room);
        Ok(Some(state.ticket(&self.0, room)))
    }

    fn take(&self, room: &RoomKey) {
        if let Some(place) = self.0.lock().rooms.get_mut(room) {
            place.stage = Stage::Taken;
        }
    }

    fn transfer(
        &self,
        room: &RoomKey,
        to: usize,
        send: impl FnOnce(Ticket) -> Result<(), Ticket>,
    ) -> bool {
        let mut state = self.0.lock();
        if !state.rooms.contains_key(room) {
            // Its thread was given up meanwhile.
            return false;
        }
        let (Owner::Thread(from), ticket) = state.ticket(&self.0, room);
        let sent = send(ticket);
        if sent.is_ok()
            && let Some(place) = state.rooms.get_mut(room)
        {
            (place.thread, place.stage) = (to, Stage::Travelling);
            state.loads[from] -= 1;
            state.loads[to] += 1;
        }
        // A ticket that was not sent locks the directory as well.
        drop(state);
        sent.is_ok()
    }

    fn abandon(&self, thread: usize) -> Vec<RoomKey> {
        let mut state = self.0.lock();
        state.loads[thread] = 0;
        let abandoned = state.rooms.extract_if(|_, place| place.thread == thread);
        abandoned.map(|(room, _)| room).collect()
    }

    fn find(&self, room: &RoomKey) -> Option<Found> {
        let state = self.0.lock();
        let place = state.rooms.get(room)?;
        Some(Found { thread: place.thread, is_travelling: place.stage == Stage::Travelling })
    }

    fn release(&self, room: &RoomKey) -> bool {
        let mut state = self.0.lock();
        match state.rooms.get_mut(room) {
            Some(place) if place.coming > 0 => {
                place.listing = None;
                false
            }
            _ => {
                state.remove(room);
                true
            }
        }
    }

    fn list(&self, room: &RoomKey, listing: Option<RoomListing>) {
        if let Some(place) = self.0.lock().rooms.get_mut(room) {
            place.listing = listing.map(Box::new);
        }
    }

    fn listed(&self) -> Vec<RoomListing> {
        let state = self.0.lock();
        let mut listed: Vec<_> =
            state.rooms.values().filter_map(|place| place.listing.as_deref().cloned()).collect();
        listed.sort_by(|a, b| (&a.game, &a.match_id).cmp(&(&b.game, &b.match_id)));
        listed
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.local.lock();
        let place = state.rooms.get_mut(&self.room).filter(|place| place.number == self.number);
        if let Some(place) = place {
            place.coming -= 1;
            // Nobody ever arrived: the room was never made.
            if place.coming == 0 && place.stage != Stage::Taken {
                state.remove(&self.room);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use std::time::Duration;

    use referee_protocol::{GameName, MatchId};

    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn room(match_id: &str) -> RoomKey {
        RoomKey { game: GameName::new("g").unwrap(), match_id: MatchId::new(match_id).unwrap() }
    }

    fn local(config: &Config) -> Local {
        Local::new(config, 2)
    }

    fn code(result: Result<(Owner, Ticket), Refusal>) -> Code {
        result.err().unwrap().code
    }

    #[test]
    fn first_visitors_at_once_get_one_owner_and_rooms_are_spread() {
        let directory = local(&Config::default());
        let now = Instant::now();
        let (first, _a) = directory.enter(&room("a"), HOME, now).unwrap();
        let (second, _b) = directory.enter(&room("a"), HOME, now).unwrap();
        let (other, _c) = directory.enter(&room("b"), HOME, now).unwrap();
        assert_eq!(first, second);
        assert_ne!(first, other);
    }

    #[test]
    fn a_room_stays_while_somebody_is_on_the_way() {
        let directory = local(&Config::default());
        let now = Instant::now();
        let (_, first) = directory.enter(&room("a"), HOME, now).unwrap();
        directory.take(&room("a"));
        drop(first);
        let (_, second) = directory.enter(&room("a"), HOME, now).unwrap();
        assert!(!directory.release(&room("a")));
        drop(second);
        assert!(directory.release(&room("a")));
        assert!(directory.0.lock().rooms.is_empty());
    }

    #[test]
    fn a_room_that_is_not_sent_stays_and_one_that_has_no_place_goes_nowhere() {
        let directory = local(&Config::default());
        let now = Instant::now();
        let mut held = vec![];
        let (Owner::Thread(from), ticket) = directory.enter(&room("a"), HOME, now).unwrap();
        directory.take(&room("a"));
        drop(ticket);
        assert!(!directory.transfer(&room("a"), 3, Err), "nothing takes it");
        let found = |thread, is_travelling| Some(Found { thread, is_travelling });
        assert_eq!(directory.find(&room("a")), found(from, false));
        assert!(directory.transfer(&room("a"), 3, |ticket| {
            held.push(ticket);
            Ok(())
        }));
        assert_eq!(directory.find(&room("a")), found(3, true));
        assert_eq!(directory.0.lock().loads, [0, 0, 0, 1]);
        assert!(!directory.release(&room("a")), "it is on its way");
        directory.take(&room("a"));
        held.clear();
        assert_eq!(directory.find(&room("a")), found(3, false));
        assert!(directory.release(&room("a")));
        assert!(!directory.transfer(&room("a"), 1, |_| panic!("it has no place")));
        assert_eq!(directory.find(&room("a")), None);
    }

    #[test]
    fn a_visitor_that_turns_back_leaves_no_room() {
        let directory = local(&Config { rooms_max: 1, ..Config::default() });
        let now = Instant::now();
        drop(directory.enter(&room("a"), HOME, now).unwrap());
        assert!(directory.enter(&room("b"), HOME, now).is_ok());
    }

    #[test]
    fn a_room_is_woken_that_has_no_owner_and_only_where_there_is_room() {
        let directory = local(&Config { rooms_max: 1, ..Config::default() });
        let woken = directory.wake(&room("a")).unwrap();
        assert!(woken.is_some() && directory.wake(&room("a")).unwrap().is_none());
        assert_eq!(directory.wake(&room("b")).err().unwrap().code, Code::Busy);
        drop(woken);
        assert!(directory.wake(&room("b")).unwrap().is_some());
    }

    #[test]
    fn rooms_have_a_limit_in_all() {
        let directory = local(&Config { rooms_max: 1, ..Config::default() });
        let now = Instant::now();
        let _held = directory.enter(&room("a"), HOME, now).unwrap();
        let refusal = directory.enter(&room("b"), HOME, now).err().unwrap();
        assert_eq!((refusal.code, refusal.retry_after_ms), (Code::Busy, Some(BUSY_RETRY_MS)));
        assert!(directory.enter(&room("a"), HOME, now).is_ok());
    }

    #[test]
    fn new_rooms_of_one_network_have_a_rate() {
        let directory =
            local(&Config { new_rooms_per_second: 1, new_rooms_burst: 2, ..Config::default() });
        let now = Instant::now();
        let from = |last: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last));
        let _a = directory.enter(&room("a"), from(1), now).unwrap();
        let _b = directory.enter(&room("b"), from(2), now).unwrap();
        assert_eq!(code(directory.enter(&room("c"), from(3), now)), Code::RoomRate);
        assert!(directory.enter(&room("a"), from(3), now).is_ok(), "an old room");
        assert!(directory.enter(&room("c"), HOME, now).is_ok(), "another address");
        let later = now + Duration::from_secs(1);
        assert!(directory.enter(&room("d"), from(3), later).is_ok());
    }

    #[test]
    fn addresses_that_are_remembered_have_a_bound() {
        let directory = local(&Config { new_rooms_per_second: 1, ..Config::default() });
        let now = Instant::now();
        let from = |n: usize| IpAddr::V4(Ipv4Addr::from_bits(n as u32));
        for n in 0..MAKERS_MAX {
            drop(directory.enter(&room("a"), from(n), now).unwrap());
        }
        assert_eq!(code(directory.enter(&room("a"), from(MAKERS_MAX), now)), Code::Busy);
        assert!(directory.enter(&room("a"), from(0), now).is_ok(), "a known one");
        let later = now + Duration::from_secs(2);
        assert!(directory.enter(&room("b"), from(MAKERS_MAX), later).is_ok());
    }

    #[test]
    fn public_rooms_are_listed_while_they_are() {
        let directory = local(&Config::default());
        let (_, ticket) = directory.enter(&room("a"), HOME, Instant::now()).unwrap();
        let listing = RoomListing { game: "g".into(), match_id: "a".into(), players: 1, seats: 2 };
        directory.list(&room("a"), Some(listing.clone()));
        assert_eq!(directory.listed(), [listing]);
        drop(ticket);
        assert!(directory.listed().is_empty());
    }
}
