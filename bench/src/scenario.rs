//! What is measured: how many rooms of how many players, how often they tick, and what they say.

use std::time::Duration;

/// A number of equal rooms with the same number of players in each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Scenario {
    /// Ends the names of its figures.
    pub(crate) name: &'static str,
    pub(crate) rooms: usize,
    /// Players in each room.
    pub(crate) players: usize,
    /// Ticks per second.
    pub(crate) hz: u32,
    /// Input samples that a player sends per second.
    pub(crate) inputs_hz: u32,
}

/// One crowded room, and many small ones.
pub(crate) const SCENARIOS: [Scenario; 2] = [
    Scenario { name: "1x200", rooms: 1, players: 200, hz: 20, inputs_hz: 20 },
    Scenario { name: "250x4", rooms: 250, players: 4, hz: 20, inputs_hz: 10 },
];

/// The same in small, for a look at whether everything works on a machine that has other work.
pub(crate) const SMALL: [Scenario; 2] = [
    Scenario { name: "1x40", rooms: 1, players: 40, hz: 20, inputs_hz: 20 },
    Scenario { name: "25x4", rooms: 25, players: 4, hz: 20, inputs_hz: 10 },
];

impl Scenario {
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

    /// The parameters with which the arena of a room is made.
    pub(crate) fn params(&self) -> String {
        format!("{{\"players\": {}, \"hz\": {}}}", self.players.max(2), self.hz)
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
