//! Where rooms live: one thread per core, each with a runtime of its own that reads its rooms'
//! sockets and runs its rooms.
//!
//! | module | what it owns |
//! |---|---|
//! | `door` | a socket between its handshake and its room |
//! | `thread` | a host thread: the rooms it has, who comes to them |
//! | `actor` | a room's life: loading, turns, grace, the end |
//! | `left` | what is left of a match that has ended |
//! | `line` | a client's line into its room |
//! | `live` | a loaded room with its clients |
//! | `load` | what rooms cost their threads, and which of them move for it |
//! | `marks` | stored rooms that could not be loaded |
//! | `parked` | what is kept of a room that is out of memory, its connections open |
//! | `pulse`, `stuck` | whether a thread still comes out of what it does, and one that does not |
//! | `connection` | what a room knows of one connection |
//! | `flight` | state frames on their way to a client, and how long the way is |
//! | `clock` | wall time as ticks |
//! | `committed` | rooms whose entries are on disk by now |
//! | `wake` | rooms that an alarm wakes |
//! | `wheel` | when to look whether a client is still there |

mod actor;
mod alarm;
mod clock;
mod committed;
mod connection;
mod door;
mod flight;
pub(crate) mod left;
mod line;
mod live;
mod load;
mod marks;
mod parked;
mod pulse;
mod stuck;
#[cfg(test)]
mod tests;
mod thread;
mod wake;
mod wheel;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::response::Response;
use referee_protocol::{Code, Refusal};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::config::Config;
use crate::directory::{Directory, Local, Owner, Ticket};
use crate::games::Games;
use crate::http::{GameListing, RoomListing, RoomReply, RoomRequest, Rooms, Upgrade};
use crate::key::RoomKey;
use crate::metrics::{self, Metrics};
use crate::store::Store;
use crate::token::Tokens;
use crate::transport::socket::LINGER_MS;

pub(crate) use live::Remains;
pub(crate) use load::Loads;
pub(crate) use marks::Marks;
pub(crate) use pulse::Pulse;
pub(crate) use stuck::StartThread;
pub(crate) use thread::Command;
pub(crate) use wake::Wakes;

/// Visitors and requests on their way to one thread.
const COMMANDS_MAX: usize = 1024;

/// The ways to the threads: those that rooms come to first, then as many for heavy rooms.
pub(crate) struct Ways(Box<[Mutex<Way>]>);

/// The way to a thread. Another thread may take the place of one that was given up.
#[derive(Clone)]
struct Way {
    commands: mpsc::Sender<Command>,
    pulse: Arc<Pulse>,
}

impl Ways {
    fn way(&self, thread: usize) -> MutexGuard<'_, Way> {
        // Nothing in here panics half-way through a change.
        self.0[thread].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a thread is told something.
    pub(crate) fn to(&self, thread: usize) -> mpsc::Sender<Command> {
        self.way(thread).commands.clone()
    }
}

/// What all threads share.
pub(crate) struct House {
    pub(crate) config: Arc<Config>,
    pub(crate) games: Games,
    pub(crate) store: Arc<Store>,
    pub(crate) directory: Local,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tokens: Tokens,
    pub(crate) wakes: Wakes,
    /// Stored rooms that could not be loaded.
    pub(crate) marks: Marks,
    /// No incarnation number could be reserved, and that was said. One line for however many visitors.
    pub(crate) unnumbered: AtomicBool,
    /// How busy the threads are.
    pub(crate) loads: Loads,
}

impl House {
    /// The key, with the game's own name in it: it is kept once for all rooms.
    fn own(&self, key: &RoomKey) -> RoomKey {
        match self.games.get_key_value(&key.game) {
            Some((game, _)) => RoomKey { game: game.clone(), match_id: key.match_id.clone() },
            None => key.clone(),
        }
    }

    fn unknown_game(&self, key: &RoomKey) -> Option<Refusal> {
        if self.games.contains_key(&key.game) {
            return None;
        }
        let names: Vec<_> = self.games.keys().map(ToString::to_string).collect();
        let text = format!("no game {} is hosted here; there are: {}", key.game, names.join(", "));
        Some(Refusal::new(Code::UnknownGame, text))
    }
}

/// The way to the rooms of all threads.
#[derive(Clone)]
pub(crate) struct Hosts {
    house: Arc<House>,
    ways: Arc<Ways>,
    /// Sockets whose Hello may be awaited.
    hellos: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
    /// Held by every socket at the door.
    at_door: mpsc::WeakSender<Infallible>,
}

/// Ends once no socket is at the door any more.
pub(crate) struct Door {
    open: mpsc::Sender<Infallible>,
    left: mpsc::Receiver<Infallible>,
}

impl Door {
    /// Lets the sockets at the door take leave. Nobody comes any more.
    pub(crate) async fn close(mut self) {
        drop(self.open);
        let _ = timeout(Duration::from_millis(LINGER_MS), self.left.recv()).await;
    }
}

/// A host thread that is to be started.
pub(crate) struct Start {
    house: Arc<House>,
    number: usize,
    ways: Arc<Ways>,
    pulse: Arc<Pulse>,
    commands: mpsc::Receiver<Command>,
}

impl Start {
    /// The number of the thread.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// The thread's pulse.
    pub(crate) fn pulse(&self) -> Arc<Pulse> {
        self.pulse.clone()
    }

    /// Runs the thread's rooms until it is told to stop.
    pub(crate) fn run(self) -> std::io::Result<()> {
        thread::run(self)
    }
}

impl Hosts {
    /// The ways to the threads, the threads, and the door to all of them. Rooms come to so many threads;
    /// there are as many again for heavy rooms.
    pub(crate) fn new(
        house: Arc<House>,
        threads: usize,
        stop: watch::Receiver<bool>,
    ) -> (Self, Vec<Start>, Door) {
        let (ways, receivers): (Vec<_>, Vec<_>) = (0..2 * threads).map(|_| way()).unzip();
        let ways = Arc::new(Ways(ways.into_iter().map(Mutex::new).collect()));
        let hellos = Arc::new(Semaphore::new(house.config.hellos_waiting_max));
        let starts = receivers.into_iter().enumerate().map(|(number, commands)| Start {
            house: house.clone(),
            number,
            ways: ways.clone(),
            pulse: ways.way(number).pulse.clone(),
            commands,
        });
        let starts = starts.collect();
        let (open, left) = mpsc::channel(1);
        let at_door = open.downgrade();
        let hosts = Self { house, ways, hellos, stop, at_door };
        (hosts, starts, Door { open, left })
    }

    /// What the server counts.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.house.metrics
    }

    /// Brings a client into a room that has no connection. Blocks.
    pub(crate) fn hold(&self, key: RoomKey) -> Result<(), Refusal> {
        let (thread, ticket) = self.enter(&key, IpAddr::from([127, 0, 0, 1]))?;
        let hold = Command::Hold { key, ticket };
        self.ways.to(thread).blocking_send(hold).map_err(|_| going_down())
    }

    /// Asks a room to go to another thread. False when there is no such thread.
    pub(crate) fn migrate(&self, key: RoomKey, to: usize) -> bool {
        if to >= self.ways.0.len() {
            return false;
        }
        if let Some(found) = self.house.directory.find(&key) {
            // A thread that has very much to do has no time for this.
            let _ = self.ways.to(found.thread).try_send(Command::Migrate { key, to });
        }
        true
    }

    /// Tells all threads to seal their rooms and end.
    pub(crate) fn stop(&self) {
        for thread in 0..self.ways.0.len() {
            // A full channel is read to its end; a closed one has no rooms.
            let thread = self.ways.to(thread);
            if let Err(mpsc::error::TrySendError::Full(command)) = thread.try_send(Command::Stop) {
                std::thread::spawn(move || {
                    let _ = thread.blocking_send(command);
                });
            }
        }
    }

    /// Finds the room's thread.
    fn enter(&self, key: &RoomKey, from: IpAddr) -> Result<(usize, Ticket), Refusal> {
        if let Some(refusal) = self.house.unknown_game(key) {
            return Err(refusal);
        }
        if *self.stop.borrow() {
            return Err(going_down());
        }
        let now = Instant::now();
        if let Some(refusal) = self.house.marks.refusal(key, now) {
            return Err(refusal);
        }
        let (Owner::Thread(thread), ticket) =
            self.house.directory.enter(&self.house.own(key), from, now)?;
        Ok((thread, ticket))
    }
}

impl Rooms for Hosts {
    fn games(&self) -> Vec<GameListing> {
        let listing =
            |(name, hosted): (&referee_protocol::GameName, &crate::games::Hosted)| GameListing {
                name: name.to_string(),
                kind: hosted.template.kind(),
                title: hosted.title,
                description: hosted.description,
                page: hosted.page,
            };
        self.house.games.iter().map(listing).collect()
    }

    fn metrics(&self) -> String {
        metrics::text::encode(&self.house.metrics, self.house.store.stats())
    }

    fn public_rooms(&self) -> Vec<RoomListing> {
        self.house.directory.listed()
    }

    async fn request(
        &self,
        key: RoomKey,
        from: IpAddr,
        request: RoomRequest,
    ) -> Result<RoomReply, Refusal> {
        let (thread, ticket) = self.enter(&key, from)?;
        let (answer, answered) = oneshot::channel();
        let ask = Command::Ask { key, request, answer, ticket };
        // Dropping the command answers as well.
        let _ = self.ways.to(thread).send(ask).await;
        answered.await.unwrap_or_else(|_| Err(going_down()))
    }

    fn upgrade(&self, upgrade: Upgrade) -> Response {
        door::upgrade(self, upgrade)
    }
}

fn way() -> (Way, mpsc::Receiver<Command>) {
    let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
    (Way { commands, pulse: Arc::default() }, receiver)
}

pub(crate) fn going_down() -> Refusal {
    Refusal::new(Code::GoingDown, "the server is going down; it comes back with its next start")
}

/// Milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as u64
}
