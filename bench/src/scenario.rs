//! What is measured: how many rooms of how many players, how often they tick, and what they say.

use std::time::Duration;

/// A number of equal rooms with the same number of players in each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Scenario {
    /// Ends the names of its figures; the same where its sizes are small.
    pub(crate) name: &'static str,
    /// The game of its rooms.
    pub(crate) game: &'static str,
    pub(crate) rooms: usize,
    /// Players in each room.
    pub(crate) players: usize,
    /// Ticks per second.
    pub(crate) hz: u32,
    /// Input samples that a player sends per second.
    pub(crate) inputs_hz: u32,
}

/// The game of the rows of a cost.
pub(crate) const ARENA: &str = "arena";

/// Crowded rooms, and many small ones; the last are so few that two cores carry them over QUIC, both ends of it.
pub(crate) const SCENARIOS: [Scenario; 5] = [
    crowded("1x200", 200),
    crowded("1x500", 500),
    Scenario::arenas("250x4", 250),
    Scenario::arenas("500x4", 500),
    Scenario::arenas("100x4", 100),
];

/// The same in small, for a look at whether everything works on a machine that has other work.
pub(crate) const SMALL: [Scenario; 5] = [
    crowded("1x200", 40),
    crowded("1x500", 60),
    Scenario::arenas("250x4", 25),
    Scenario::arenas("500x4", 40),
    Scenario::arenas("100x4", 10),
];

const fn crowded(name: &'static str, players: usize) -> Scenario {
    Scenario { name, game: ARENA, rooms: 1, players, hz: 20, inputs_hz: 20 }
}

impl Scenario {
    /// Arenas of four players.
    pub(crate) const fn arenas(name: &'static str, rooms: usize) -> Self {
        Self { name, game: ARENA, rooms, players: 4, hz: 20, inputs_hz: 10 }
    }

    pub(crate) fn clients(&self) -> usize {
        self.rooms * self.players
    }

    /// The room of a client: neighbours in the order of coming share one.
    pub(crate) fn room_of(&self, client: usize) -> usize {
        client / self.players
    }

    /// State messages that reach clients in a window when none is left out.
    pub(crate) fn expected(&self, window: Duration) -> f64 {
        self.clients() as f64 * f64::from(self.hz) * window.as_secs_f64()
    }

    /// The parameters with which a room is made.
    pub(crate) fn params(&self, room: usize) -> String {
        let (players, hz) = (self.players.max(2), self.hz);
        match self.game {
            ARENA => format!("{{\"players\": {players}, \"hz\": {hz}}}"),
            _ => format!("{{\"room\": {room}}}"),
        }
    }
}

/// What carries the frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Host {
    /// The bare floor, over TCP.
    Floor,
    /// Referee over WebSocket.
    WebSocket,
    /// Referee over QUIC.
    Quic,
}

impl Host {
    /// Stands in the names of its figures.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::WebSocket => "ws",
            Self::Quic => "quic",
        }
    }
}
