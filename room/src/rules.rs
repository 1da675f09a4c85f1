//! The rules of a game that are not code: what its calls to [`crate::Game`] have said.

use std::ops::RangeInclusive;
use std::time::Duration;

use referee_protocol::limits::{SEAT_GRACE_MS, SEATS_DEFAULT};
use referee_protocol::{Group, Kind};

use crate::core::Setup;
use crate::hooks::Params;

/// What happens to a visitor who comes when the match has started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LateJoin {
    /// It gets a seat if one is free.
    Seat,
    /// It watches.
    Spectate,
    /// It is refused.
    Refuse,
}

/// What a crash may cost a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// Nothing: nobody sees what came of an act before the act is on disk.
    Gated,
    /// The last moment: acts are on disk within the server's commit interval.
    Logged,
    /// All since the last snapshot.
    Ephemeral,
}

/// The rules of a game that are not code.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) kind: Kind,
    pub(crate) hz: u16,
    pub(crate) rate: RangeInclusive<u16>,
    pub(crate) players: RangeInclusive<u16>,
    pub(crate) seats: u16,
    pub(crate) spectators: u16,
    pub(crate) late_join: LateJoin,
    pub(crate) grace: Duration,
    pub(crate) keep_seats: bool,
    pub(crate) idle: Option<Duration>,
    pub(crate) snapshot_ticks: Option<u64>,
    pub(crate) durability: Durability,
    pub(crate) tables: &'static [u8],
    /// What the cells of the grid show is told in every so many ticks only.
    pub(crate) grid_every: u16,
    /// What a client gets of the state in a second at most, in bytes; 0: as much as there is.
    pub(crate) bytes_per_second: u32,
    pub(crate) urgency: fn(Group) -> u16,
    /// What the first visitor may ask for.
    pub(crate) asked: Vec<Asked>,
    /// Rooms with at most so many seats do without the grid.
    pub(crate) whole_map: u16,
}

/// A number for which the first visitor may ask.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) name: &'static str,
    pub(crate) allowed: RangeInclusive<u16>,
    pub(crate) sets: Sets,
}

/// What such a number sets by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sets {
    Nothing,
    Seats,
    Rate,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            kind: Kind::TurnBased,
            hz: 20,
            rate: 1..=1,
            players: 0..=SEATS_DEFAULT,
            seats: SEATS_DEFAULT,
            spectators: 0,
            late_join: LateJoin::Seat,
            grace: Duration::from_millis(SEAT_GRACE_MS),
            keep_seats: false,
            idle: None,
            tables: &[],
            grid_every: 1,
            bytes_per_second: 0,
            urgency: |_| 1,
            snapshot_ticks: None,
            asked: Vec::new(),
            whole_map: 0,
            durability: Durability::Logged,
        }
    }
}

impl Rules {
    /// Sets a room up as its first visitor asks.
    ///
    /// # Errors
    /// Names the first number that is not allowed. No number has a name in what is no object.
    pub(crate) fn set_up(&self, params: &Params, setup: &mut Setup) -> Result<(), String> {
        if let Some(Asked { name, allowed, .. }) = self.asked.first()
            && !(params.is_object() || params.is_null())
        {
            let (given, low) = (&params.0, allowed.start());
            return Err(format!("params are {given}; write them like {{\"{name}\": {low}}}"));
        }
        for Asked { name, allowed, sets } in &self.asked {
            match (params.whole(name, allowed.clone())?, sets) {
                (Some(seats), Sets::Seats) => setup.seats = seats,
                (Some(hz), Sets::Rate) => setup.hz = hz,
                (_, Sets::Nothing) | (None, _) => {}
            }
        }
        Ok(())
    }

    /// Ticks that run between two rebuilds.
    pub(crate) fn snapshot_ticks(&self) -> u64 {
        self.snapshot_ticks.unwrap_or(match self.kind {
            Kind::TurnBased => 128,
            Kind::Realtime => 60,
        })
    }
}
