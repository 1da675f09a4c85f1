//! A host thread: the rooms it has, and who comes to them.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use referee_protocol::{Code, LinkId, Refusal};
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc};
use tokio::task::LocalSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::committed::{Committed, Signals};
use super::live::migrate::{Landed, Migrant, ReadHalf};
use super::live::{Answer, Live, Remains};
use super::load::Pace;
use super::parked::Parked;
use super::pulse::Pulse;
use super::wheel::{self, Wheel};
use super::{House, Start, Ways, actor};
use crate::directory::{Directory, Ticket};
use crate::http::{ConnectionSlot, RoomRequest};
use crate::key::RoomKey;
use crate::metrics::Transport;
use crate::session::Wish;
use crate::transport::gather::Gather;
use crate::transport::null::Null;
use crate::transport::socket::{LINGER_MS, Reader, Socket, refuse};
use crate::transport::stream::Moving;

mod collect;
mod migrate;

/// Rooms of one thread that are read from the store at once; more wait.
const LOADS_AT_ONCE: usize = 4;

/// What a thread is told.
pub(crate) enum Command {
    /// A client comes to a room.
    Visit {
        /// The room.
        key: RoomKey,
        /// The client.
        visitor: Box<Visitor>,
        /// Holds the room in its place.
        ticket: Ticket,
    },
    /// A request comes to a room.
    Ask {
        /// The room.
        key: RoomKey,
        /// The request.
        request: RoomRequest,
        /// Where the answer goes.
        answer: Answer,
        /// Holds the room in its place.
        ticket: Ticket,
    },
    /// An alarm of a room is due.
    Wake {
        /// The room.
        key: RoomKey,
        /// Its place among those that are awake for it.
        permit: OwnedSemaphorePermit,
        /// Holds the room in its place.
        ticket: Ticket,
    },
    /// A room comes from another thread.
    Land {
        /// The room.
        migrant: Box<Migrant>,
        /// Holds the room in its place.
        ticket: Ticket,
    },
    /// A room is to go to another thread, if it is loaded.
    Migrate {
        /// The room.
        key: RoomKey,
        /// Where to.
        to: usize,
    },
    /// A client comes to a room that has no connection, for a measurement.
    Hold {
        /// The room.
        key: RoomKey,
        /// Holds the room in its place.
        ticket: Ticket,
    },
    /// The server goes down.
    Stop,
}

/// A client that comes to a room: its socket, and what it said so far.
pub(crate) struct Visitor {
    pub(super) wish: Wish,
    pub(super) stream: Moving,
    pub(super) reader: Reader,
    pub(super) slot: ConnectionSlot,
}

/// Someone who waits for a room to be loaded.
pub(super) enum Arrival {
    Client(Box<Visitor>),
    Request {
        request: RoomRequest,
        answer: Answer,
    },
    /// A client without a connection.
    Held,
    /// Nobody: an alarm is due.
    Alarm,
}

/// A room's place on its thread, loaded or not.
pub(super) struct Place {
    pub(super) key: RoomKey,
    pub(super) arrivals: RefCell<VecDeque<Arrival>>,
    pub(super) live: RefCell<Option<Box<Live>>>,
    /// The sockets of its connections that are looked after.
    pub(super) sockets: RefCell<Vec<(LinkId, Rc<Socket>)>>,
    /// The room reads them, before its ticks.
    pub(super) gathers: Cell<bool>,
    /// What is kept of it while it is out of memory, its connections open.
    pub(super) parked: RefCell<Option<Box<Parked>>>,
    /// Its place among those that are awake for an alarm, while nobody has come.
    pub(super) woken: RefCell<Option<OwnedSemaphorePermit>>,
    /// What it and the room in it tell each other.
    pub(super) signals: Arc<Signals>,
    /// What the room is to be made from again, after a panic.
    pub(super) remains: RefCell<Option<Box<Remains>>>,
    /// When the room panicked last.
    pub(super) panicked: Cell<Option<Instant>>,
    /// The thread it is to go to.
    pub(super) migrate_to: Cell<Option<usize>>,
    /// The other halves of its connections, while it goes.
    pub(super) halves: RefCell<Vec<(LinkId, ReadHalf)>>,
}

/// What is looked at now and then.
enum Watched {
    /// A client.
    Client(Rc<Place>, LinkId),
    /// A room that was parked at this tick.
    Parked(Rc<Place>, u64),
}

/// The thread.
pub(super) struct Thread {
    pub(super) house: Arc<House>,
    /// Its number.
    pub(super) number: usize,
    /// The ways to the others.
    pub(super) ways: Arc<Ways>,
    /// Tells that it comes out of each turn.
    pub(super) pulse: Arc<Pulse>,
    places: RefCell<BTreeMap<RoomKey, Rc<Place>>>,
    stopping: Cell<bool>,
    /// Rooms for which the journal has news.
    pub(super) committed: Arc<Committed>,
    /// When to look whether a client is still there, or a parked room is due.
    wheel: RefCell<Wheel<Watched>>,
    /// Sockets that rooms read before their ticks.
    gather: Arc<Gather>,
    /// Tasks that look after a socket.
    sockets: Cell<usize>,
    /// A room or a socket has gone.
    less: Notify,
    /// When its rooms' costs were looked at last.
    balanced: Cell<Instant>,
    /// How often its clients get states.
    pub(super) pace: Cell<Pace>,
}

/// Runs rooms until told to stop.
pub(super) fn run(start: Start) -> std::io::Result<()> {
    let Start { house, number, ways, pulse, commands } = start;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(LOADS_AT_ONCE)
        .build()?;
    let thread = Rc::new(Thread {
        house,
        number,
        ways,
        pulse,
        places: RefCell::default(),
        stopping: Cell::new(false),
        committed: Arc::default(),
        wheel: RefCell::new(Wheel::new(Instant::now())),
        gather: Gather::new()?,
        sockets: Cell::new(0),
        less: Notify::new(),
        balanced: Cell::new(Instant::now()),
        pace: Cell::default(),
    });
    LocalSet::new().block_on(&runtime, thread.serve(commands));
    Ok(())
}

/// A socket that is looked after, for as long as this is held.
struct Looked(Rc<Thread>);

impl Drop for Looked {
    fn drop(&mut self) {
        self.0.sockets.set(self.0.sockets.get() - 1);
        self.0.less.notify_one();
    }
}

impl Thread {
    async fn serve(self: Rc<Self>, mut commands: mpsc::Receiver<Command>) {
        tokio::task::spawn_local(self.committed.clone().serve());
        loop {
            self.host(&mut commands).await;
            if self.pulse.is_given_up() {
                self.leave(&mut commands);
                break;
            }
            // Whoever comes now is turned away. But a room that was on its way here is still to be saved.
            commands.close();
            while let Ok(command) = commands.try_recv() {
                if let Command::Land { .. } = command {
                    self.obey(command);
                }
            }
            if self.places.borrow().is_empty() {
                break;
            }
        }
        // Clients get a moment to read why.
        let told = async {
            while self.sockets.get() > 0 {
                self.less.notified().await;
            }
        };
        let _ = timeout(Duration::from_millis(LINGER_MS), told).await;
    }

    /// Until there is no room any more, and there are to be none.
    async fn host(self: &Rc<Self>, commands: &mut mpsc::Receiver<Command>) {
        let mut step = interval(Duration::from_millis(wheel::STEP_MS));
        step.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !(self.stopping() && self.places.borrow().is_empty() || self.pulse.is_given_up()) {
            let is_open = !commands.is_closed();
            tokio::select! {
                command = commands.recv(), if is_open => {
                    self.obey(command.unwrap_or(Command::Stop));
                }
                // A thread that has no room sleeps.
                _ = step.tick(), if !self.places.borrow().is_empty() => {
                    let now = Instant::now();
                    self.look(now);
                    self.balance(now);
                }
                () = self.less.notified() => {}
            }
            if self.places.borrow().is_empty() && !self.pulse.is_given_up() {
                self.rest();
            }
        }
    }

    fn obey(self: &Rc<Self>, command: Command) {
        if self.pulse.is_given_up() {
            return self.turn_away(command);
        }
        let command = match command.room() {
            Some(key) => self.pass_on(&key.clone(), command),
            None => Some(command),
        };
        match command {
            None => {}
            Some(Command::Visit { key, visitor, ticket }) => {
                self.arrive(&key, Arrival::Client(visitor), None);
                drop(ticket);
            }
            Some(Command::Ask { key, request, answer, ticket }) => {
                self.arrive(&key, Arrival::Request { request, answer }, None);
                drop(ticket);
            }
            Some(Command::Wake { key, permit, ticket }) => {
                self.arrive(&key, Arrival::Alarm, Some(permit));
                drop(ticket);
            }
            Some(Command::Hold { key, ticket }) => {
                self.arrive(&key, Arrival::Held, None);
                drop(ticket);
            }
            Some(Command::Land { migrant, ticket }) => {
                self.receive(*migrant);
                drop(ticket);
            }
            Some(Command::Migrate { key, to }) => {
                if let Some(place) = self.places.borrow().get(&key) {
                    place.migrate_to.set(Some(to));
                    place.signals.wake.notify_one();
                }
            }
            Some(Command::Stop) => self.stop(),
        }
    }

    fn arrive(
        self: &Rc<Self>,
        key: &RoomKey,
        arrival: Arrival,
        woken: Option<OwnedSemaphorePermit>,
    ) {
        let known = self.places.borrow().get(key).cloned();
        if let Some(place) = known {
            // Whoever comes keeps it awake from now on; an alarm finds it awake.
            if !matches!(arrival, Arrival::Alarm) {
                place.woken.take();
            }
            place.arrivals.borrow_mut().push_back(arrival);
            place.signals.wake.notify_one();
            self.rouse(&place);
            return;
        }
        let key = &self.house.own(key);
        let place = Rc::new(Place::new(key.clone(), Arc::default()));
        place.arrivals.borrow_mut().push_back(arrival);
        place.woken.replace(woken);
        if place.woken.borrow().is_some() {
            self.house.metrics.rooms_woken.up();
        }
        self.places.borrow_mut().insert(key.clone(), place.clone());
        // Before the visitor's ticket goes, so that the directory never finds the room unowned.
        self.house.directory.take(key);
        self.begin(place);
    }

    /// Has the room live until nobody is there any more, or it is parked.
    fn begin(self: &Rc<Self>, place: Rc<Place>) {
        let life = tokio::task::spawn_local(actor::life(self.clone(), place.clone()));
        let thread = self.clone();
        tokio::task::spawn_local(async move {
            if life.await.is_err() {
                thread.abandon(&place);
            }
        });
    }

    /// Brings a room back that is parked.
    pub(super) fn rouse(self: &Rc<Self>, place: &Rc<Place>) {
        let mut parked = place.parked.borrow_mut();
        if let Some(parked) = parked.as_mut().filter(|parked| parked.waking.is_none()) {
            parked.waking = Some(Instant::now());
            self.begin(place.clone());
        }
    }

    /// Puts a room out of memory.
    pub(super) fn park(&self, place: &Rc<Place>, parked: Box<Parked>) {
        let metrics = &self.house.metrics;
        metrics.parks.up();
        metrics.rooms_parked.up();
        let watched = Watched::Parked(place.clone(), parked.tick.0);
        self.wheel.borrow_mut().put(watched, parked.back_at(Instant::now()));
        *place.parked.borrow_mut() = Some(parked);
    }

    /// Takes what was kept of a room that is parked.
    pub(super) fn unpark(&self, place: &Place) -> Option<Box<Parked>> {
        let parked = place.parked.take()?;
        self.house.metrics.rooms_parked.down();
        Some(parked)
    }

    /// Clears up after a fault of our own in a room's life: its clients may try again.
    fn abandon(self: &Rc<Self>, place: &Place) {
        tracing::error!(room = %place.key, "a room's life broke off; this is a fault of the server");
        let refusal = Refusal::new(Code::Failed, "the server failed in this match; try again");
        let live = place.live.take();
        let end = AssertUnwindSafe(|| live.into_iter().for_each(|mut live| live.dismiss(&refusal)));
        let _ = catch_unwind(end);
        self.unpark(place).into_iter().for_each(|parked| parked.dismiss(&self.house, &refusal));
        self.refuse(place, &refusal);
        if self.pulse.is_given_up() {
            // The directory knows another place of the room, if any.
            return self.forget(&place.key);
        }
        self.remove(&place.key);
        // Visitors on their way make the room anew, in its old place.
        self.house.directory.release(&place.key);
    }

    fn stop(self: &Rc<Self>) {
        self.stopping.set(true);
        for place in self.places.borrow().values() {
            place.signals.wake.notify_one();
            self.rouse(place);
        }
    }

    /// Looks after the clients that are due to be looked after, and after rooms that are due.
    fn look(self: &Rc<Self>, now: Instant) {
        let due = self.wheel.borrow_mut().due(now);
        for watched in due {
            let again = match &watched {
                Watched::Client(place, link) => self.look_at(place, *link, now),
                Watched::Parked(place, tick) => self.look_for(place, *tick, now),
            };
            if let Some(again) = again {
                self.wheel.borrow_mut().put(watched, again);
            }
        }
    }

    /// Looks whether a client is still there. Gives the time at which to look again.
    fn look_at(self: &Rc<Self>, place: &Rc<Place>, link: LinkId, now: Instant) -> Option<Instant> {
        match place.parked(|parked| parked.look(link, now)) {
            None => place.with(|live| live.look(link, now)),
            Some(None) => {
                self.rouse_for_news(place);
                None
            }
            Some(again) => again,
        }
    }

    /// Brings a room back that was parked at this tick, if it is due. Gives the time at which to look again.
    fn look_for(self: &Rc<Self>, place: &Rc<Place>, tick: u64, now: Instant) -> Option<Instant> {
        let still = |parked: &mut Parked| parked.tick.0 == tick && parked.waking.is_none();
        let at = place.parked(|parked| still(parked).then(|| parked.back_at(now))).flatten()?;
        if at > now {
            return Some(at);
        }
        self.rouse(place);
        None
    }

    /// Brings a parked room back if it has to know of something.
    pub(super) fn rouse_for_news(self: &Rc<Self>, place: &Rc<Place>) {
        if place.parked(|parked| parked.is_called()) == Some(true) {
            self.rouse(place);
        }
    }

    /// Whether the server goes down.
    pub(super) fn stopping(&self) -> bool {
        self.stopping.get()
    }

    /// The room is no more on this thread.
    pub(super) fn remove(&self, key: &RoomKey) {
        let place = self.places.borrow_mut().remove(key);
        place.into_iter().for_each(|place| drop(place.woken.take()));
        self.house.wakes.released(key);
        self.less.notify_one();
    }

    /// Runs a task that looks after a socket, and holds what it is given until its end. It is not put into
    /// another one: the compiler would make room for it twice.
    fn look_after<F: Future<Output = ()> + 'static>(
        self: &Rc<Self>,
        task: impl FnOnce(Looked) -> F,
    ) {
        self.sockets.set(self.sockets.get() + 1);
        tokio::task::spawn_local(task(Looked(self.clone())));
    }

    /// Turns everybody away who waits for a room.
    pub(super) fn refuse(self: &Rc<Self>, place: &Place, refusal: &Refusal) {
        for arrival in place.arrivals.take() {
            if !matches!(arrival, Arrival::Alarm) {
                self.house.metrics.ended(refusal.code);
            }
            match arrival {
                Arrival::Held => {}
                Arrival::Alarm => self.house.wakes.stuck(&place.key),
                Arrival::Request { answer, .. } => {
                    let _ = answer.send(Err(refusal.clone()));
                }
                Arrival::Client(visitor) => {
                    let refusal = refusal.clone();
                    let Visitor { stream, reader, slot, .. } = *visitor;
                    if let Ok(stream) = stream.land() {
                        self.look_after(|looked| async move {
                            refuse(stream, reader.framing(), refusal).await;
                            drop((slot, looked));
                        });
                    }
                }
            }
        }
    }

    /// Brings everybody in who waits for a room that is loaded now.
    pub(super) fn seat(self: &Rc<Self>, place: &Rc<Place>) {
        for arrival in place.arrivals.take() {
            match arrival {
                Arrival::Held => {
                    let wish = Wish { version: 1, ..Wish::default() };
                    // Nobody looks whether it is still there.
                    place.with(|live| live.admit(wish, Box::new(Null(Transport::Memory))));
                }
                // It was told the time as it was loaded.
                Arrival::Alarm => {}
                Arrival::Request { request, answer } => {
                    place.with(|live| live.ask(request, answer));
                }
                Arrival::Client(visitor) => {
                    let Visitor { wish, stream, reader, slot } = *visitor;
                    // A socket that cannot be watched is broken.
                    let Ok(stream) = stream.land() else { continue };
                    let limit = self.house.config.send_queue_max_bytes;
                    let socket = Socket::new(stream, reader, limit);
                    let wire = Box::new(socket.clone());
                    let link = place.with(|live| live.admit(wish, wire));
                    let watched = Watched::Client(place.clone(), link);
                    self.wheel.borrow_mut().put(watched, Instant::now());
                    self.attend(place, Landed { link, socket, half: ReadHalf { slot } });
                }
            }
        }
    }
}

impl Command {
    /// The room that it is for, where the room may have moved meanwhile.
    fn room(&self) -> Option<&RoomKey> {
        match self {
            Self::Visit { key, .. }
            | Self::Ask { key, .. }
            | Self::Wake { key, .. }
            | Self::Migrate { key, .. }
            | Self::Hold { key, .. } => Some(key),
            Self::Land { .. } | Self::Stop => None,
        }
    }
}

impl Place {
    /// Of a room that is not there yet.
    fn new(key: RoomKey, signals: Arc<Signals>) -> Self {
        Self {
            key,
            arrivals: RefCell::default(),
            live: RefCell::default(),
            sockets: RefCell::default(),
            gathers: Cell::new(false),
            parked: RefCell::default(),
            woken: RefCell::default(),
            signals,
            remains: RefCell::default(),
            panicked: Cell::default(),
            migrate_to: Cell::default(),
            halves: RefCell::default(),
        }
    }

    /// Does something with the room, if it is loaded, and sees to it that it gets its turn.
    pub(super) fn with<R: Default>(&self, act: impl FnOnce(&mut Live) -> R) -> R {
        let mut live = self.live.borrow_mut();
        let Some(live) = live.as_mut() else { return R::default() };
        let result = act(live);
        if live.take_stirred() {
            self.signals.wake.notify_one();
        }
        result
    }

    /// Does something with what is kept of the room, if it is parked.
    pub(super) fn parked<R>(&self, act: impl FnOnce(&mut Parked) -> R) -> Option<R> {
        self.parked.borrow_mut().as_deref_mut().map(act)
    }

    /// Whether nobody waits for the room, and nothing is left of it.
    pub(super) fn is_unwanted(&self) -> bool {
        self.arrivals.borrow().is_empty()
            && self.remains.borrow().is_none()
            && self.parked.borrow().is_none()
            && self.live.borrow().is_none()
    }

    /// Whether the room is out of memory, and not on its way back.
    pub(super) fn is_parked(&self) -> bool {
        self.parked(|parked| parked.waking.is_none()) == Some(true)
    }
}
