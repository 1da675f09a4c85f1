//! The last states, kept as what changed in them: for each component its values and since when.
//! What stays as it is costs nothing, and no state is kept whole.

use super::blend::{moves, places};
use referee_protocol::words::map_references;
use referee_protocol::{FieldType, Replica, Schema, Tick, WireId};
use std::collections::{BTreeMap, VecDeque};

/// How far back states are kept, in milliseconds: the widest delay, and as much again for a shown
/// moment that is still on its way. What moved within a longer gap is shown to have moved in the
/// last part of it.
pub(crate) const SPAN_MS: f64 = 500.0;
/// Most values kept of one component: [`SPAN_MS`] of ticks at more than a hundred a second.
const SAMPLES_MAX: usize = 64;
/// A float that moves more than so many times as far in a tick as it, or its like, does otherwise
/// did not move there: it was put there.
const TELEPORT_TIMES: f64 = 4.0;
/// What remains of the usual motion of a type with each further motion that is seen: so that what
/// is no longer so fast is forgotten within some thousand motions.
const USUAL_KEPT: f64 = 0.999;

/// What is to be known of a state beside its values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// Its tick.
    pub(crate) tick: Tick,
    /// It knows nothing of what was before.
    pub(crate) full: bool,
    /// States before it were not sent, so that nobody knows when within the gap things moved.
    pub(crate) skipped: bool,
    /// Ticks back to the oldest moment that may still be shown, and the longest motion.
    pub(crate) span: u64,
}

/// A component's value from one state on.
#[derive(Debug)]
struct Sample {
    /// The last tick known to have had the value before.
    before: u64,
    /// The first tick with this one.
    at: u64,
    /// None: the component is not there.
    words: Option<Box<[u32]>>,
    /// The way from the value before is no motion.
    step: bool,
}

/// A component of an entity, or a resource, over time.
#[derive(Debug)]
pub(crate) struct Track {
    component: u16,
    /// Oldest first; never empty.
    samples: VecDeque<Sample>,
    /// How far each place moved in a tick on the way to the newest sample.
    moved: Box<[f64]>,
    turn: u64,
}

/// An entity over time, or the room.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    born: u64,
    gone: Option<u64>,
    /// By component.
    tracks: Vec<Track>,
    turn: u64,
}

/// What is known of a component's type.
#[derive(Debug)]
struct Kin {
    has_references: bool,
    /// How far each place usually moves in a tick, as two motions in a row have shown.
    usual: Box<[f64]>,
}

/// The last states.
#[derive(Debug, Default)]
pub(crate) struct History {
    oldest: Tick,
    newest: Tick,
    /// Counts states: what was not seen in the newest is gone.
    turn: u64,
    kin: Vec<Kin>,
    room: Entry,
    entities: BTreeMap<u32, Entry>,
}

/// A state on its way into the tracks.
struct Taking<'a> {
    schema: &'a Schema,
    replica: &'a Replica,
    before: u64,
    at: u64,
    floor: u64,
    turn: u64,
}

impl History {
    pub(super) fn is_empty(&self) -> bool {
        self.turn == 0
    }

    pub(super) fn oldest(&self) -> Tick {
        self.oldest
    }

    pub(super) fn newest(&self) -> Tick {
        self.newest
    }

    pub(super) fn room(&self) -> &Entry {
        &self.room
    }

    pub(super) fn entities(&self) -> impl Iterator<Item = (u32, &Entry)> {
        self.entities.iter().map(|(handle, entry)| (*handle, entry))
    }

    pub(super) fn entity(&self, handle: u32) -> Option<&Entry> {
        self.entities.get(&handle)
    }

    /// Takes the state that the replica holds now.
    pub(super) fn take(&mut self, schema: &Schema, replica: &Replica, arrival: Arrival) {
        if arrival.full || self.is_empty() {
            self.begin(schema, arrival.tick);
        }
        let at = arrival.tick.0;
        let floor = at.saturating_sub(arrival.span);
        // With nothing left out, what is new happened in the last tick, however long all was still.
        let held = if arrival.skipped { self.newest.0 } else { at.saturating_sub(1) };
        self.turn += 1;
        self.newest = arrival.tick;
        self.oldest = self.oldest.max(Tick(floor));
        let before = held.max(floor);
        let taking = Taking { schema, replica, before, at, floor, turn: self.turn };
        taking.entry(WireId::ROOM, &mut self.room, &mut self.kin);
        for (id, handle) in replica.entities() {
            let entry = self
                .entities
                .entry(handle)
                .or_insert_with(|| Entry { born: at, ..Entry::default() });
            taking.entry(id, entry, &mut self.kin);
        }
        self.entities.retain(|_, entry| {
            if entry.turn != taking.turn {
                entry.gone.get_or_insert(at);
            }
            entry.gone.is_none_or(|gone| gone > floor)
        });
    }

    fn begin(&mut self, schema: &Schema, tick: Tick) {
        let known = |ty: &FieldType| Kin {
            has_references: ty.has_references(),
            usual: vec![0.0; places(ty)].into(),
        };
        let kin = schema.components.iter().map(|def| known(&def.ty)).collect();
        *self = Self { oldest: tick, kin, ..Self::default() };
    }
}

impl Taking<'_> {
    fn entry(&self, id: WireId, entry: &mut Entry, kin: &mut [Kin]) {
        entry.turn = self.turn;
        for (component, words) in self.replica.components(id) {
            let Some(def) = self.schema.components.get(usize::from(component)) else { continue };
            let kin = &mut kin[usize::from(component)];
            let place = entry.tracks.binary_search_by_key(&component, |track| track.component);
            if kin.has_references {
                let words = self.with_handles(&def.ty, words);
                self.component(&def.ty, entry, place, component, &words, kin);
            } else {
                self.component(&def.ty, entry, place, component, words, kin);
            }
        }
        for track in &mut entry.tracks {
            if track.turn != self.turn && track.last().words.is_some() {
                track.push(Sample { before: self.before, at: self.at, words: None, step: true });
            }
            track.forget(self.floor);
        }
    }

    fn component(
        &self,
        ty: &FieldType,
        entry: &mut Entry,
        place: Result<usize, usize>,
        component: u16,
        words: &[u32],
        kin: &mut Kin,
    ) {
        let (before, at) = (self.before, self.at);
        let sample = |step| Sample { before, at, words: Some(words.into()), step };
        match place {
            Ok(found) => {
                let track = &mut entry.tracks[found];
                track.turn = self.turn;
                if track.last().words.as_deref() != Some(words) {
                    let step = track.is_step(ty, words, (before, at), kin);
                    track.push(sample(step));
                }
            }
            Err(place) => {
                let moved = vec![0.0; kin.usual.len()].into();
                let samples = VecDeque::from([sample(true)]);
                entry.tracks.insert(place, Track { component, samples, moved, turn: self.turn });
            }
        }
    }

    /// Wire ids change; what is kept names entities by their handles.
    fn with_handles(&self, ty: &FieldType, words: &[u32]) -> Vec<u32> {
        let mut words = words.to_vec();
        let mut handle = |id| self.replica.handle(WireId(id)).unwrap_or(0);
        // Words of a replica follow their type.
        let _ = map_references(ty, &mut words, &mut handle);
        words
    }
}

impl Entry {
    /// Whether it is in view at this tick, which may have a fraction.
    pub(super) fn is_there(&self, tick: f64) -> bool {
        self.born as f64 <= tick && self.gone.is_none_or(|gone| tick < gone as f64)
    }

    /// Its components over time.
    pub(crate) fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// One of them.
    pub(crate) fn track(&self, component: u16) -> Option<&Track> {
        let place = self.tracks.binary_search_by_key(&component, |track| track.component);
        place.ok().map(|at| &self.tracks[at])
    }
}

impl Track {
    /// The component's number.
    pub(crate) fn component(&self) -> u16 {
        self.component
    }

    /// Whether the component is there at this tick.
    pub(crate) fn is_there(&self, tick: f64) -> bool {
        self.around(tick).is_some()
    }

    /// The value that holds at this tick, and the one it is on its way to with the part of the way
    /// that it has gone. None where the component is not there.
    pub(super) fn around(&self, tick: f64) -> Option<(&[u32], Option<(&[u32], f64)>)> {
        let from = self.samples.iter().rposition(|sample| sample.at as f64 <= tick)?;
        let older = self.samples[from].words.as_deref()?;
        let to = self.samples.get(from + 1).filter(|to| !to.step && tick > to.before as f64);
        let newer = to.and_then(|to| {
            let part = (tick - to.before as f64) / (to.at - to.before) as f64;
            Some((to.words.as_deref()?, part))
        });
        Some((older, newer))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.samples.len()
    }

    fn last(&self) -> &Sample {
        self.samples.back().expect("a track has a sample from its making on")
    }

    fn push(&mut self, sample: Sample) {
        // Two states of one tick: the later one is what the tick ended with.
        if self.last().at == sample.at && self.samples.len() > 1 {
            self.samples.pop_back();
        }
        self.samples.push_back(sample);
        if self.samples.len() > SAMPLES_MAX {
            self.samples.pop_front();
        }
    }

    /// Lets go of values that no moment from `floor` on shows.
    fn forget(&mut self, floor: u64) {
        while self.samples.get(1).is_some_and(|next| next.at <= floor) {
            self.samples.pop_front();
        }
    }

    /// Whether the way to a new value is a step, not a motion. It is when one of its floats (angles
    /// apart: they are never far) goes, tick for tick, more than [`TELEPORT_TIMES`] as far as it
    /// went just before, and as floats in its place usually go in any entity. Where there is
    /// nothing to compare with, it is a motion.
    fn is_step(
        &mut self,
        ty: &FieldType,
        words: &[u32],
        (before, at): (u64, u64),
        kin: &mut Kin,
    ) -> bool {
        if kin.usual.is_empty() {
            return false;
        }
        let mut far = vec![0.0; kin.usual.len()];
        if self.last().at < before {
            self.moved.fill(0.0); // it stood still
        }
        let Some(mut older) = self.last().words.as_deref() else { return true };
        if moves(ty, &mut older, &mut &words[..], &mut far).is_err() {
            return true;
        }
        let mut step = false;
        let both = self.moved.iter_mut().zip(&mut kin.usual);
        for (far, (moved, usual)) in far.into_iter().zip(both) {
            let far = far / at.saturating_sub(before).max(1) as f64;
            step |= *usual > 0.0 && far > TELEPORT_TIMES * usual.max(*moved);
            if *moved > 0.0 && far > 0.0 && far <= TELEPORT_TIMES * *moved {
                *usual = (*usual * USUAL_KEPT).max(far.min(*moved));
            }
            *moved = far;
        }
        step
    }
}
