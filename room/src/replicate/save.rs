//! What of this half goes into a snapshot, beside the state and not in its hash: what clients were
//! told of, by which names, and since when. So whoever comes back to a later life of the room gets
//! only what changed since it last heard. What is there now is not: it follows from the state.
//!
//! All numbers are LEB128; groups are as on the wire.

use bevy_ecs::entity::Entity;
use referee_protocol::codec::View;
use referee_protocol::frame::Payload;
use referee_protocol::limits::REMOVALS_KEPT_MAX;
use referee_protocol::{Group, Incarnation, Seat, Tick, WireId};

use super::Replication;
use super::aliases::Aliases;
use super::group::{DEPTH, GroupState};
use super::links::SeatLine;
use super::lives::{LIVES_MAX, Life};
use super::names::Names;
use crate::field::{Field, LoadError, Loader, Saver};
use crate::grid::Square;
use crate::snapshot::RestoreError;

type Loaded<T> = Result<T, LoadError>;

impl Replication {
    /// Appends what later lives of the room need to know.
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        let mut out = Saver::new(out, &|_| 0);
        out.raw(&self.template.schema_hash().to_le_bytes());
        out.varint(self.links.seats.len() as u64);
        for (seat, line) in &self.links.seats {
            out.varint(u64::from(seat.0));
            line.save(&mut out);
        }
        self.names.save(&mut out);
        out.varint(self.groups.len() as u64);
        for (group, state) in self.groups.iter() {
            out.varint(group.number());
            state.save(&mut out);
        }
        out.varint(self.squares.len() as u64);
        for (id, square) in self.squares.iter() {
            out.varint(u64::from(id));
            out.varint(square.number());
        }
        let lives = &self.links.lives;
        out.varint(lives.lives.len() as u64);
        lives.lives.iter().for_each(|life| life.save(&mut out));
    }

    /// Takes in what [`Replication::save`] wrote. False where clients were told by another schema, or the
    /// state is not `as_it_was`: then it is of no use but to know which of them missed events.
    pub(crate) fn load(&mut self, bytes: &[u8], as_it_was: bool) -> Result<bool, RestoreError> {
        let mut from = Loader::new(bytes, &|_| Entity::PLACEHOLDER);
        let schema = u64::from_le_bytes(from.array()?);
        for _ in 0..from.count()? {
            let seat = load_seat(&mut from)?;
            self.links.seats.insert(seat, SeatLine::load(&mut from)?);
        }
        if !as_it_was || schema != self.template.schema_hash() {
            self.links.leave_all();
            return Ok(false);
        }
        self.names = Names::load(&mut from)?;
        self.aliases = Aliases::loaded(&self.names);
        for _ in 0..from.count()? {
            let group = load_group(&mut from)?;
            let state = GroupState::load(&mut from)?;
            self.groups.insert(group, state);
        }
        for _ in 0..from.count()? {
            let id = number(&mut from)?;
            let square = Square::from_number(from.varint()?).ok_or(LoadError::Number)?;
            self.squares.insert(id, square);
        }
        for _ in 0..from.count()?.min(LIVES_MAX) {
            self.links.lives.lives.push(Life::load(&mut from)?);
        }
        match from.rest().len() {
            0 => Ok(true),
            left => Err(RestoreError::Trailing(left)),
        }
    }
}

impl GroupState {
    fn save(&self, out: &mut Saver<'_>) {
        out.varint(self.floor.0);
        out.varint(self.removals.len() as u64);
        for (tick, name, gone) in &self.removals {
            out.varint(tick.0);
            out.varint(u64::from(name.0));
            gone.save(out);
        }
        out.varint(self.view.last_tick());
        out.varint(self.view.len() as u64);
        for (name, slot, since) in self.view.entered() {
            out.varint(u64::from(name.0));
            out.varint(u64::from(self.net_id(name).unwrap_or(0)));
            out.varint(since);
            out.varint(self.view.set_in_slot(slot).count() as u64);
            for (component, tick, words) in self.view.set_in_slot(slot) {
                out.varint(u64::from(component));
                out.varint(tick);
                // One more than there are; 0 where it is hidden.
                out.varint(words.map_or(0, |words| words.len() as u64 + 1));
                words.unwrap_or_default().iter().for_each(|word| out.varint(u64::from(*word)));
            }
        }
    }

    fn load(from: &mut Loader<'_>) -> Loaded<Self> {
        let mut state = Self::default();
        state.floor = Tick(from.varint()?);
        for _ in 0..from.count()?.min(REMOVALS_KEPT_MAX) {
            let removal = (Tick(from.varint()?), WireId(number(from)?), bool::load(from)?);
            state.removals.push_back(removal);
        }
        let last = from.varint()?;
        state.view = View::again(DEPTH, last);
        let mut words = Vec::new();
        for _ in 0..from.count()? {
            let (name, id, since) = (WireId(number(from)?), number(from)?, from.varint()?);
            let slot = state.view.enter_since(name, since).ok_or(LoadError::Number)?;
            state.names.insert(id, (name, slot));
            state.ids.insert(name, id);
            for _ in 0..from.count()? {
                let component = u16::try_from(from.varint()?).map_err(|_| LoadError::Number)?;
                let tick = from.varint()?;
                words.clear();
                let count = from.count()?;
                for _ in 1..count {
                    words.push(number(from)?);
                }
                let words = (count > 0).then_some(&words[..]);
                state.view.set_since(slot, component, tick, words);
            }
        }
        state.view.begin(last);
        state.at_rest = true;
        Ok(state)
    }
}

impl SeatLine {
    fn save(&self, out: &mut Saver<'_>) {
        out.varint(self.groups.len() as u64);
        self.groups.iter().for_each(|group| out.varint(group.number()));
        out.varint(self.groups_since.0);
        out.varint(self.counted_since.0);
        out.varint(self.last_event);
        self.events_lost.save(out);
        out.varint(self.events.len() as u64);
        for (_, tick, payload) in &self.events {
            out.varint(tick.0);
            out.varint(u64::from(payload.kind));
            out.block(&payload.bits);
        }
    }

    fn load(from: &mut Loader<'_>) -> Loaded<Self> {
        let groups = (0..from.count()?).map(|_| load_group(from)).collect::<Loaded<_>>()?;
        let mut line = Self {
            groups,
            groups_since: Tick(from.varint()?),
            counted_since: Tick(from.varint()?),
            last_event: from.varint()?,
            events_lost: bool::load(from)?,
            ..Self::default()
        };
        let count = from.count()?;
        // They are numbered on, and the last of them has the last number.
        line.last_event = line.last_event.checked_sub(count as u64).ok_or(LoadError::Number)?;
        for _ in 0..count {
            let tick = Tick(from.varint()?);
            let kind = u16::try_from(from.varint()?).map_err(|_| LoadError::Number)?;
            line.push(tick, Payload { kind, bits: from.block()?.into() });
        }
        Ok(line)
    }
}

impl Life {
    fn save(&self, out: &mut Saver<'_>) {
        out.varint(self.incarnation.0);
        out.varint(self.tick.0);
        out.varint(self.events.len() as u64);
        for (seat, event) in &self.events {
            out.varint(u64::from(seat.0));
            out.varint(*event);
        }
    }

    fn load(from: &mut Loader<'_>) -> Loaded<Self> {
        let (incarnation, tick) = (Incarnation(from.varint()?), Tick(from.varint()?));
        let events = (0..from.count()?).map(|_| Ok((load_seat(from)?, from.varint()?)));
        Ok(Self { incarnation, tick, events: events.collect::<Loaded<_>>()? })
    }
}

pub(super) fn load_group(from: &mut Loader<'_>) -> Loaded<Group> {
    Group::from_number(from.varint()?).ok_or(LoadError::Number)
}

fn load_seat(from: &mut Loader<'_>) -> Loaded<Seat> {
    Ok(Seat(u16::try_from(from.varint()?).map_err(|_| LoadError::Number)?))
}

pub(super) fn number(from: &mut Loader<'_>) -> Loaded<u32> {
    u32::try_from(from.varint()?).map_err(|_| LoadError::Number)
}
