//! What the room core keeps in each `World`, in one resource: a further resource costs each room an
//! entity, a table and about two microseconds.

use std::collections::{BTreeMap, VecDeque};
use std::mem::take;
use std::time::Duration;

use bevy_ecs::prelude::*;
use referee_protocol::{Kind, Seat, SessionId, Tick};
use smallvec::SmallVec;

use crate::commands::Queues;
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
    /// Where the systems' queues of commands are while there are no systems. Not saved.
    pub(crate) queues: Queues,
    /// Empty, for the samples of seats that are loaded. Not saved.
    pub(crate) spare: Vec<Samples>,
}

impl Core {
    fn new(setup: Setup) -> Self {
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
            queues: Queues::default(),
            spare: Vec::new(),
        }
    }

    /// That of a room without rules.
    pub(crate) fn blank() -> Self {
        Self::new(Setup { seats: 1, hz: 1, public: false, whole_map: false })
    }

    /// One without state that has this one's memory, for the same room made anew.
    pub(crate) fn again(&mut self) -> Self {
        let mut core = Self::new(self.setup.clone());
        (core.gone, core.index) = (take(&mut self.gone), take(&mut self.index));
        (core.queues, core.spare) = (self.queues.clone(), take(&mut self.spare));
        core.queues.rewind();
        core.gone.clear();
        core.index.clear();
        let samples = self.seats.values_mut().flat_map(|seat| &mut seat.inputs);
        core.spare.extend(samples.map(|buffer| take(&mut buffer.waiting)));
        core.spare.iter_mut().for_each(VecDeque::clear);
        // The first one goes to the first seat, whose it was.
        core.spare.reverse();
        core
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

/// Samples for ticks to come, with their numbers.
pub(crate) type Samples = VecDeque<(Tick, u64, Sample)>;

/// The samples of one input for one seat.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct InputBuffer {
    /// Samples for ticks to come: tick, number, words; sorted by tick.
    pub(crate) waiting: Samples,
    /// The tick whose sample stands now; it repeats for a stated time.
    pub(crate) last: Option<Tick>,
}
