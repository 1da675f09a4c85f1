//! Events: reliable, in order, numbered for each seat, kept until acknowledged.

use std::collections::VecDeque;

use bevy_ecs::prelude::*;
use referee_protocol::frame::Payload;
use referee_protocol::schema::FieldType;
use referee_protocol::words::map_references;
use referee_protocol::{Code, Group, Refusal, Seat, SessionId, Tick};

use super::Replication;
use super::links::Role;
use crate::core::Core;
use crate::game::Game;
use crate::output::Output;
use crate::params::To;
use crate::types::{NetId, Player};

/// Events that may wait for a spectator.
const WATCHED_MAX: usize = 1024;

/// Who an event is for, once its player's seat is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Everyone,
    Seat(Seat),
    Group(Group),
}

/// An event that waits for the next send, with `NetId`s where references stand.
pub(super) struct PendingEvent {
    tick: Tick,
    target: Target,
    kind: u16,
    words: Vec<u32>,
}

impl Replication {
    /// Takes this tick's events out of the world. Says whether there were any.
    pub(super) fn collect_events(&mut self, game: &mut Game) -> bool {
        let tick = game.world.resource::<Core>().tick;
        let before = self.pending_events.len();
        let net_id =
            |world: &World, entity| world.get::<NetId>(entity).map_or(0, |id: &NetId| id.0);
        for (kind, row) in game.events.iter().enumerate() {
            let mut found = Vec::new();
            (row.take)(&mut game.world, &row.shape, &net_id, &mut |to, words, clamped| {
                if clamped > 0 {
                    *self.clamped.entry(row.name.clone()).or_default() += clamped;
                }
                found.push((to, words));
            });
            for (to, words) in found {
                let target = match to {
                    To::Everyone => Target::Everyone,
                    To::Group(group) => Target::Group(group),
                    To::Player(entity) => match game.world.get::<Player>(entity) {
                        Some(player) => Target::Seat(player.seat),
                        None => continue, // the player has gone
                    },
                };
                self.pending_events.push(PendingEvent { tick, target, kind: kind as u16, words });
            }
        }
        self.pending_events.len() > before
    }

    /// Puts what waits in line for each seat and spectator.
    pub(super) fn queue_events(&mut self, outputs: &mut VecDeque<Output>) {
        for event in std::mem::take(&mut self.pending_events) {
            let ty = self.template.schema().events[usize::from(event.kind)].ty.clone();
            let seats: Vec<Seat> = self.links.seats.keys().copied().collect();
            for seat in seats {
                if !self.is_for(&event, seat) {
                    continue;
                }
                let payload = self.payload(&event, &ty, Group::Player(seat));
                let line = self.links.seats.get_mut(&seat);
                if line.is_some_and(|line| !line.push(event.tick, payload)) {
                    self.too_slow(seat, outputs);
                }
            }
            let seen = matches!(event.target, Target::Everyone | Target::Group(Group::Everyone));
            if !seen {
                continue;
            }
            let payload = self.payload(&event, &ty, Group::Everyone);
            for link in self.links.links.values_mut().filter(|link| link.role == Role::Watching) {
                // Nothing is kept for a spectator while the disk does not come on.
                if link.watched.len() == WATCHED_MAX {
                    link.watched.remove(0);
                }
                link.watched.push((event.tick, payload.clone()));
            }
        }
    }

    fn is_for(&self, event: &PendingEvent, seat: Seat) -> bool {
        match event.target {
            Target::Everyone => true,
            Target::Seat(only) => only == seat,
            Target::Group(group) => self.links.sees(seat, group),
        }
    }

    /// The event with references named as a group's members know them.
    fn payload(&self, event: &PendingEvent, ty: &FieldType, group: Group) -> Payload {
        let mut words = event.words.clone();
        map_references(ty, &mut words, &mut |id| self.names.known(id, group, &self.links))
            .expect("our own words follow their type");
        Payload::from_words(event.kind, ty, &words)
    }

    /// A connected client that lets so many events wait is let go; it comes back to full state.
    fn too_slow(&mut self, seat: Seat, outputs: &mut VecDeque<Output>) {
        let session = self.session_of(seat);
        let text = "more events waited for this client than are kept for it";
        let refusal = Refusal::new(Code::SlowReader, text);
        outputs.extend(session.map(|session| Output::Disconnect { session, refusal }));
    }

    fn session_of(&self, seat: Seat) -> Option<SessionId> {
        let link = self.links.links.values().find(|link| link.role == Role::Seated(seat));
        link.map(|link| link.session)
    }
}
