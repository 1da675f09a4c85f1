//! What the room core keeps in each `World`, in one resource: a further resource costs each room an
//! entity, a table and about two microseconds.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bevy_ecs::prelude::*;
use referee_protocol::{Kind, Seat, SessionId, Tick};
use smallvec::SmallVec;

use crate::table::Table;

/// The room's own state, saved except where said otherwise.
#[derive(Resource)]
pub(crate) struct Core {
    /// The last tick that ran.
    pub(crate) tick: Tick,
    /// How many ticks ran: the aligned rebuild counts these.
    pub(crate) ran: u64,
    next_net_id: u32,
    pub(crate) setup: Setup,
    pub(crate) seats: BTreeMap<Seat, SeatState>,
    /// The number of the next timer, for a total order among those due in one tick.
    pub(crate) next_timer: u64,
    pub(crate) started: bool,
    pub(crate) lasting: bool,
    pub(crate) ended: Option<String>,
    /// `NetId` to entity. Not saved: it follows from the entities.
    pub(crate) index: Table<u32, Entity>,
    /// Entities that went since the last scan. Not saved: a rebuild comes after a scan.
    pub(crate) gone: Vec<u32>,
}

impl Core {
    pub(crate) fn new(setup: Setup) -> Self {
        Self {
            tick: Tick(0),
            ran: 0,
            next_net_id: 0,
            setup,
            seats: BTreeMap::new(),
            next_timer: 0,
            started: false,
            lasting: false,
            ended: None,
            index: Table::default(),
            gone: Vec::new(),
        }
    }

    pub(crate) fn next_net_id(&mut self) -> u32 {
        self.next_net_id += 1;
        self.next_net_id
    }

    pub(crate) fn last_net_id(&self) -> u32 {
        self.next_net_id
    }

    pub(crate) fn set_last_net_id(&mut self, id: u32) {
        self.next_net_id = id;
    }

    /// The seat that a session holds.
    pub(crate) fn seat_of(&self, session: SessionId) -> Option<Seat> {
        self.seats.iter().find(|(_, seat)| seat.session == session).map(|(at, _)| *at)
    }
}

/// What `on_create` may set, within the bounds the game states: `mut setup: ResMut<Setup>`. It is a
/// resource only while `on_create` runs.
#[derive(Resource, Clone, PartialEq, Eq, Debug)]
pub struct Setup {
    /// Most seats of this room.
    pub seats: u16,
    /// Ticks per second of this room; of no meaning in a turn-based game.
    pub hz: u16,
    /// Whether the room is listed in public.
    pub public: bool,
    /// In a game with a grid: all players see the whole map of this room.
    pub whole_map: bool,
}

/// Ticks in a span of time, at least one.
pub(crate) fn ticks(kind: Kind, hz: u16, span: Duration) -> u64 {
    let ticks = match kind {
        Kind::TurnBased => span.as_millis(),
        Kind::Realtime => (span.as_nanos() * u128::from(hz)).div_ceil(1_000_000_000),
    };
    u64::try_from(ticks).unwrap_or(u64::MAX).max(1)
}

/// One seat.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SeatState {
    pub(crate) entity: Entity,
    pub(crate) generation: u64,
    pub(crate) session: SessionId,
    pub(crate) connected: bool,
    /// When it was dropped, while it is.
    pub(crate) dropped: Tick,
    /// When its player last did anything.
    pub(crate) active: Tick,
    /// The number of the last applied action.
    pub(crate) last_action: u64,
    /// Samples that wait for their tick, one queue for each registered input.
    pub(crate) inputs: Vec<InputBuffer>,
}

/// The words of a sample: few, mostly.
pub(crate) type Sample = SmallVec<[u32; 8]>;

/// The samples of one input for one seat.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct InputBuffer {
    /// Samples for ticks to come: tick, number, words; sorted by tick.
    pub(crate) waiting: VecDeque<(Tick, u64, Sample)>,
    /// The tick whose sample stands now; it repeats for a stated time.
    pub(crate) last: Option<Tick>,
}
