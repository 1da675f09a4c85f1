//! The room: skeleton.

use std::sync::Arc;

use referee_protocol::frame::Ack;
use referee_protocol::message::Resume;
use referee_protocol::{Kind, LinkId, Refusal, Schema, SessionId, Tick};

use crate::entry::{Create, Entry};
use crate::output::Output;

/// The builder a game function fills.
pub struct Game {
    _private: (),
}

/// A game, checked once at start-up: what is the same in each of its rooms.
pub struct Template {
    _private: (),
}

/// Why a game cannot be hosted.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct GameError(String);

impl Template {
    /// Runs the game function once and checks what it registered.
    pub fn new(
        name: &str,
        game: impl Fn(&mut Game) + Send + Sync + 'static,
    ) -> Result<Arc<Self>, GameError> {
        let _ = (name, game);
        todo!()
    }
    /// The name it is hosted under.
    pub fn name(&self) -> &str {
        todo!()
    }
    /// What its clients must know.
    pub fn schema(&self) -> &Schema {
        todo!()
    }
    /// The schema as it travels, shared.
    pub fn schema_bytes(&self) -> &Arc<[u8]> {
        todo!()
    }
    /// The hash of [`Template::schema_bytes`].
    pub fn schema_hash(&self) -> u64 {
        todo!()
    }
    /// Realtime or turn-based.
    pub fn kind(&self) -> Kind {
        todo!()
    }
}

/// Why a snapshot cannot be loaded. It is left as it is.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RestoreError(String);

/// What happens on a link; neither journaled nor readable by the simulation.
#[derive(Clone, Debug)]
pub enum Link {
    /// A connection carries this session from now on. Comes before the session's Join or Resume.
    Open {
        /// The session.
        session: SessionId,
        /// What the client still knows.
        resume: Option<Resume>,
    },
    /// The client acknowledged frames and events.
    Ack(Ack),
    /// The connection is gone.
    Close,
}

/// When the room wants to tick next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
    /// At once, as this tick.
    Now(Tick),
    /// When time has reached this tick, as this tick.
    At(Tick),
    /// Only after an entry.
    Never,
}

/// What a room is like at the moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoomInfo {
    /// The last tick that ran.
    pub tick: Tick,
    /// Ticks per second; none in a turn-based room (there a tick is a millisecond).
    pub hz: Option<u16>,
    /// Seats taken, connected or held.
    pub players: u16,
    /// Most seats.
    pub seats: u16,
    /// Sessions that are connected, spectators included.
    pub connected: u32,
    /// Listed in public.
    pub public: bool,
    /// Something happened in it that is worth keeping on disk.
    pub lasting: bool,
    /// The match's result as JSON, once it has ended.
    pub ended: Option<String>,
}

/// A room.
pub struct Room {
    _private: (),
}

impl Room {
    /// A new room, after its `on_create` and `on_start`.
    ///
    /// # Errors
    /// The game refused the parameters.
    pub fn create(template: &Arc<Template>, create: &Create) -> Result<Self, Refusal> {
        let _ = (template, create);
        todo!()
    }
    /// The room a snapshot holds. The host then drops each of [`Room::sessions`] by an entry.
    pub fn restore(template: &Arc<Template>, snapshot: &[u8]) -> Result<Self, RestoreError> {
        let _ = (template, snapshot);
        todo!()
    }
    /// Queues an entry for the next tick.
    pub fn handle(&mut self, entry: Entry) {
        let _ = entry;
        todo!()
    }
    /// Tells the sending half what happens on a link.
    pub fn link(&mut self, link: LinkId, event: Link) {
        let _ = (link, event);
        todo!()
    }
    /// Runs exactly one tick. `at` comes from [`Room::next_due`].
    pub fn tick(&mut self, at: Tick) {
        let _ = at;
        todo!()
    }
    /// When to tick next, given the time.
    pub fn next_due(&self, now: Tick) -> Due {
        let _ = now;
        todo!()
    }
    /// The next thing to do outside. Call until none after every `tick` and `link`.
    pub fn poll_output(&mut self) -> Option<Output> {
        todo!()
    }
    /// A hash over the whole state.
    pub fn state_hash(&mut self) -> u64 {
        todo!()
    }
    /// What the room is like.
    pub fn info(&self) -> RoomInfo {
        todo!()
    }
    /// Sessions that hold a seat, connected or not.
    pub fn sessions(&self) -> Vec<SessionId> {
        todo!()
    }
    /// What was running when a tick panicked: a system's or a hook's name.
    pub fn running(&self) -> Option<&str> {
        todo!()
    }
}
