//! What is kept of links while their room is out of memory. The rest is in the snapshot, or follows from
//! it: so a link goes on where it was, as that of a client which comes back to the same life.

use referee_protocol::{LinkId, Seat, SessionId, Tick};

use super::Replication;
use super::frames::seen_by;
use super::links::{LinkState, Links, Role};
use crate::game::Game;

/// What is kept of a link while its room is out of memory: see [`Room::parked`](crate::room::Room::parked).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParkedLink {
    session: SessionId,
    role: Role,
    window: u32,
    check: bool,
    frames: u64,
    acked: u64,
    tick: Tick,
    action: u64,
    event: u64,
}

impl ParkedLink {
    /// The session that its connection carries.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The seat that its client holds; none of one that watches.
    #[must_use]
    pub fn seat(&self) -> Option<Seat> {
        if let Role::Seated(seat) = self.role { Some(seat) } else { None }
    }

    /// State frames sent, and acknowledged, on it.
    #[must_use]
    pub fn frames(&self) -> (u64, u64) {
        (self.frames, self.acked)
    }
}

impl Replication {
    /// What is to be kept of each link. None while one has still to be told something.
    pub(crate) fn parked(&self) -> Option<Vec<(LinkId, ParkedLink)>> {
        let links = self.links.links.iter();
        links.map(|(link, state)| Some((*link, self.links.parked(state)?))).collect()
    }

    /// A link goes on in a room that was restored from the snapshot of the moment in which it was parked.
    pub(crate) fn unpark(&mut self, link: LinkId, parked: &ParkedLink, game: &Game) {
        self.links.open(link, parked.session, None);
        if game.grid.is_some() {
            self.links.watch_first();
        }
        let Links { links, seats, watched, .. } = &mut self.links;
        let Some(state) = links.get_mut(&link) else { return };
        let groups = seen_by(seats, watched, parked.role).to_vec();
        let ParkedLink { role, window, check, frames, acked, tick, action, event, .. } = *parked;
        // What its client had of the sends before is not known any more: it is told from its tick on.
        (state.full, state.in_step) = (false, false);
        (state.role, state.window, state.check, state.groups) = (role, window, check, groups);
        (state.frames, state.acked, state.tick) = (frames, acked, tick);
        (state.action, state.event) = (action, event);
    }
}

impl Links {
    fn parked(&self, state: &LinkState) -> Option<ParkedLink> {
        let waits = state.full
            || !state.in_step
            || state.owed
            || state.held
            || state.lossy.is_some()
            || !state.watched.is_empty()
            || !state.purse.waiting().is_empty()
            || seen_by(&self.seats, &self.watched, state.role) != state.groups;
        let told = match state.role {
            Role::Waiting => false,
            Role::Watching => true,
            Role::Seated(seat) => self.seats.get(&seat).is_some_and(|line| {
                line.applied.is_empty()
                    && line.sampled.is_none()
                    && (line.last_action, line.last_event) == (state.action, state.event)
            }),
        };
        let &LinkState { session, role, window, check, .. } = state;
        let &LinkState { frames, acked, tick, action, event, .. } = state;
        let parked =
            ParkedLink { session, role, window, check, frames, acked, tick, action, event };
        (told && !waits).then_some(parked)
    }
}
