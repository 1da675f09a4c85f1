//! A stored state made anew by the types that a game has now.

use referee_protocol::Kind;
use referee_protocol::bits::write_varint;

use super::stored::{Aged, Sampled, Stored, StoredSeat, Waiting, read};
use super::{Evolution, EvolveError, Place};
use crate::field::Saver;
use crate::game::Game;
use crate::layout::{TypeOf, Types, matched};
use crate::registry::ComponentRow;
use crate::snapshot::RestoreError;
use crate::template::Template;
use crate::types::NetId;

/// The state, as the game would have written it. `fresh` is the game as it begins: what a new resource
/// holds.
///
/// # Errors
/// What does not go over, and where; nothing is changed then.
pub(crate) fn rewrite(
    template: &Template,
    fresh: &Game,
    (old, has_storage): (&Types, bool),
    state: &[u8],
) -> Result<Vec<u8>, RestoreError> {
    let stored = read(old, has_storage, state)?;
    let new = template.types();
    if old.kind != new.kind {
        return Err(EvolveError::Kind { stored: kind(old), wanted: kind(new) }.into());
    }
    let evolution = Evolution { functions: template.migrations() };
    let mut rewriting = Rewriting { evolution, old, new, fresh, out: Vec::new() };
    let entities = rewriting.entities(&stored)?;
    rewriting.begin(&stored, &entities);
    for seat in &stored.seats {
        rewriting.seat(seat)?;
    }
    rewriting.waiting((&old.timers, &stored.timers), &new.timers)?;
    if !new.alarms.is_empty() {
        // Where there were none, the room is told the time before one can be set.
        let (unix_ms, tick) = stored.wall.unwrap_or((0, stored.tick));
        write_varint(&mut rewriting.out, unix_ms);
        write_varint(&mut rewriting.out, tick);
    }
    rewriting.waiting((&old.alarms, &stored.alarms), &new.alarms)?;
    rewriting.resources(&stored)?;
    if let Some(Aged { ages, bytes }) = stored.storage {
        rewriting.out.extend([ages, bytes].concat());
    } else if let Some(row) = fresh.components.iter().find(|row| row.name == crate::storage::NAME) {
        rewriting.fresh(row);
    }
    entities.iter().for_each(|(_, bytes)| rewriting.out.extend_from_slice(bytes));
    Ok(rewriting.out)
}

fn kind(types: &Types) -> &'static str {
    match types.kind {
        Kind::Realtime => "realtime",
        Kind::TurnBased => "turn_based",
    }
}

struct Rewriting<'a> {
    evolution: Evolution<'a>,
    old: &'a Types,
    new: &'a Types,
    fresh: &'a Game,
    out: Vec<u8>,
}

impl Rewriting<'_> {
    fn begin(&mut self, stored: &Stored<'_>, entities: &[(u64, Vec<u8>)]) {
        write_varint(&mut self.out, entities.len() as u64);
        entities.iter().for_each(|(id, _)| write_varint(&mut self.out, *id));
        self.out.extend_from_slice(stored.room);
        write_varint(&mut self.out, stored.seats.len() as u64);
    }

    fn seat(&mut self, seat: &StoredSeat<'_>) -> Result<(), EvolveError> {
        self.out.extend_from_slice(seat.bytes);
        write_varint(&mut self.out, self.new.inputs.len() as u64);
        let places = matched(&self.old.inputs, &self.new.inputs);
        for (new, place) in self.new.inputs.iter().zip(places) {
            let stored =
                place.and_then(|at| Some((self.old.inputs.get(at)?, seat.inputs.get(at)?)));
            let Some((old, (last, samples))) = stored else {
                self.out.extend([0, 0]); // none stands, none waits
                continue;
            };
            write_varint(&mut self.out, *last);
            self.samples(old, new, samples)?;
        }
        Ok(())
    }

    /// Samples that are no value by now are left out, as if they had not come.
    fn samples(
        &mut self,
        old: &TypeOf,
        new: &TypeOf,
        samples: &[Sampled],
    ) -> Result<(), EvolveError> {
        let mut kept = Vec::new();
        for (tick, number, words) in samples {
            if let Some(words) = self.evolution.words(old, new, words)? {
                kept.push((tick, number, words));
            }
        }
        write_varint(&mut self.out, kept.len() as u64);
        for (tick, number, words) in kept {
            for number in [*tick, *number, words.len() as u64] {
                write_varint(&mut self.out, number);
            }
            words.iter().for_each(|word| self.out.extend_from_slice(&word.to_le_bytes()));
        }
        Ok(())
    }

    fn waiting(
        &mut self,
        (old, stored): (&[TypeOf], &[Vec<Waiting<'_>>]),
        new: &[TypeOf],
    ) -> Result<(), EvolveError> {
        for (new, place) in new.iter().zip(matched(old, new)) {
            let Some(at) = place else {
                self.out.push(0); // none waits
                continue;
            };
            write_varint(&mut self.out, stored[at].len() as u64);
            for Waiting { at: due, number, bytes } in &stored[at] {
                write_varint(&mut self.out, *due);
                write_varint(&mut self.out, *number);
                self.value(&old[at], new, bytes)?;
            }
        }
        Ok(())
    }

    fn value(&mut self, old: &TypeOf, new: &TypeOf, bytes: &[u8]) -> Result<(), EvolveError> {
        let place = Place::of(&new.name);
        self.evolution.value(&old.layout, &new.layout, bytes, place, &mut self.out)
    }

    fn resources(&mut self, stored: &Stored<'_>) -> Result<(), EvolveError> {
        let (old, new) = (of_kind(self.old, true), of_kind(self.new, true));
        for (of, place) in new.iter().zip(matched(&old, &new)) {
            if let Some(at) = place {
                self.out.extend_from_slice(stored.resources[at].ages);
                self.value(&old[at], of, stored.resources[at].bytes)?;
            } else {
                let row = self.fresh.components.iter().find(|row| row.name == of.name);
                self.fresh(row.expect("the types are those of the game"));
            }
        }
        Ok(())
    }

    /// A resource as it is in a new room. It was added and changed in this very moment.
    fn fresh(&mut self, row: &ComponentRow) {
        let world = &self.fresh.world;
        let entity = world.resource_entities().get(row.id).expect("a registered resource is there");
        let net_id = |entity| world.get::<NetId>(entity).map_or(0, |id: &NetId| id.0);
        self.out.extend([0, 0]);
        (row.save)(world.entity(entity), &mut Saver::new(&mut self.out, &net_id));
    }

    /// Each entity with its bytes; none that had something and has nothing left.
    fn entities(&mut self, stored: &Stored<'_>) -> Result<Vec<(u64, Vec<u8>)>, EvolveError> {
        let (old, new) = (of_kind(self.old, false), of_kind(self.new, false));
        let places = matched(&old, &new);
        let mut entities = Vec::with_capacity(stored.ids.len());
        for (id, parts) in stored.ids.iter().zip(&stored.entities) {
            let mut bytes = vec![0; new.len().div_ceil(8)];
            let mut any = false;
            for (at, (of, place)) in new.iter().zip(&places).enumerate() {
                let part = parts.iter().find(|(old, _)| Some(*old) == *place);
                let Some((from, Aged { ages, bytes: value })) = part else { continue };
                bytes[at / 8] |= 1 << (at % 8);
                bytes.extend_from_slice(ages);
                let (old, place) = (&old[*from].layout, Place::of(&of.name));
                self.evolution.value(old, &of.layout, value, place, &mut bytes)?;
                any = true;
            }
            if any || parts.is_empty() {
                entities.push((*id, bytes));
            }
        }
        Ok(entities)
    }
}

fn of_kind(types: &Types, resource: bool) -> Vec<TypeOf> {
    types.components.iter().filter(|of| of.resource == resource).cloned().collect()
}
