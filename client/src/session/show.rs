//! The room's time: states by their arrival, inputs by their tick, and reading what lies between two
//! states.

use super::read::PLAYER;
use super::{KnownSchema, Session};
use crate::clock::RoomClock;
use crate::smooth::{Arrival, Entry, Smooth, Track, delay_ms, span_ticks};
use referee_protocol::frame::{InputAck, Prelude};
use referee_protocol::message::Welcome;
use referee_protocol::{Kind, Schema, TypeDef, Value};

impl Session {
    /// Moves the shown moment to what is due at `now`, in milliseconds with their fraction on the
    /// session's clock, and gives what is seen there. None before the first state.
    ///
    /// Call it once for each picture, with the picture's own time. In a realtime room the moment
    /// lies about two ticks behind the newest state, further where states arrive unevenly, and
    /// rests at the newest when none come; in a turn-based room it is the newest state. A session
    /// keeps what it needs for this from the first call on.
    pub fn show(&mut self, now: f64) -> Option<Shown<'_>> {
        if !self.has_state() {
            return None;
        }
        let schema = &self.schema.as_ref()?.schema;
        let smooth = self.smooth.get_or_insert_default();
        if smooth.is_empty() {
            let span = span_ticks(self.clock.as_ref());
            let arrival = Arrival { tick: self.replica.tick(), full: true, skipped: true, span };
            smooth.take(schema, &self.replica, arrival);
        }
        smooth.show(self.clock.as_ref(), schema.kind, now);
        self.shown()
    }

    /// What [`Self::show`] gave, as it was at that moment.
    #[must_use]
    pub fn shown(&self) -> Option<Shown<'_>> {
        let smooth = self.smooth.as_deref().filter(|smooth| !smooth.is_empty())?;
        let KnownSchema { schema, .. } = self.schema.as_ref().filter(|_| self.has_state())?;
        Some(Shown { session: self, schema, smooth })
    }

    /// A connection begins: whether the room's time is still the same.
    pub(super) fn time_begins(&mut self, welcome: &Welcome) {
        if self.incarnation != welcome.incarnation || self.hz != welcome.hz {
            self.hz = welcome.hz;
            self.replica.set_hz(welcome.hz.unwrap_or(0));
            self.clock = None;
        }
    }

    /// Aims inputs by what is known of the room's clock and of the road to it.
    pub(super) fn aim_inputs(&mut self) {
        let (Some(clock), Some(trip)) = (&self.clock, self.metrics.round_trip_ms) else { return };
        if !self.inputs.is_paced() {
            self.aim.begin(self.inputs.next_sample());
        }
        let pace = self.aim.pace(clock, trip);
        self.metrics.input_lead_ms = pace.lead_ms();
        self.inputs.keep_pace(pace);
    }

    fn input_fell(&mut self, note: InputAck) {
        let next = self.inputs.next_sample();
        let Some(sample) = self.inputs.numbered(note.sample) else { return };
        if self.aim.note(sample, note.margin, next) {
            self.metrics.margin(note.margin);
        }
    }

    /// A state was applied.
    pub(super) fn state_is_new(&mut self, now: u64, prelude: &Prelude) {
        let (Some(known), tick, now) = (&self.schema, prelude.tick, now as f64) else { return };
        self.metrics.states += 1;
        if let Some(hz) = self.hz.filter(|_| known.schema.kind == Kind::Realtime)
            && !self.clock.as_mut().is_some_and(|clock| clock.observe(tick, now))
        {
            self.clock = Some(RoomClock::new(hz, tick, now));
            self.smooth.iter_mut().for_each(|smooth| smooth.clock_changed());
        }
        if let Some(clock) = &self.clock {
            self.metrics.jitter_ms = clock.jitter_ms();
            self.metrics.delay_ms = delay_ms(clock);
        }
        if let Some(smooth) = &mut self.smooth {
            let span = span_ticks(self.clock.as_ref());
            let skipped = self.replica.has_skipped();
            let arrival = Arrival { tick, full: prelude.full, skipped, span };
            smooth.take(&known.schema, &self.replica, arrival);
        }
        if let Some(note) = prelude.input {
            self.input_fell(note);
        }
        self.aim_inputs();
    }
}

/// What is seen at the shown moment.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    session: &'a Session,
    schema: &'a Schema,
    smooth: &'a Smooth,
}

impl<'a> Shown<'a> {
    /// The tick that is shown, with its fraction.
    #[must_use]
    pub fn tick(&self) -> f64 {
        self.smooth.tick()
    }

    /// The value of a resource; none when the room does not show one of that name.
    #[must_use]
    pub fn resource(&self, name: &str) -> Option<Value> {
        self.value(self.smooth.room().track(self.session.number(name)?)?)
    }

    /// Every entity in view.
    pub fn entities(&self) -> impl Iterator<Item = ShownEntity<'a>> + use<'a> {
        let shown = *self;
        self.smooth.entities().map(move |(id, entry)| ShownEntity { shown, id, entry })
    }

    /// The entity with this id.
    #[must_use]
    pub fn entity(&self, id: u32) -> Option<ShownEntity<'a>> {
        Some(ShownEntity { shown: *self, id, entry: self.smooth.entity(id)? })
    }

    /// The player's own entity: the one whose `Player` has the player's seat.
    #[must_use]
    pub fn me(&self) -> Option<ShownEntity<'a>> {
        let seat = Value::Int(i128::from(self.session.seat()?.0));
        self.entities().find(|entity| {
            entity.component(PLAYER).is_some_and(|player| player.field("seat") == Some(&seat))
        })
    }

    fn value(&self, track: &Track) -> Option<Value> {
        let def = self.schema.components.get(usize::from(track.component()))?;
        self.smooth.value(&def.ty, track)
    }
}

/// An entity as it is seen at the shown moment.
#[derive(Clone, Copy, Debug)]
pub struct ShownEntity<'a> {
    shown: Shown<'a>,
    id: u32,
    entry: &'a Entry,
}

impl<'a> ShownEntity<'a> {
    /// The same number as [`crate::EntityView::id`] gives.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Whether it shows this component.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let track = self.shown.session.number(name).and_then(|number| self.entry.track(number));
        track.is_some_and(|track| track.is_there(self.shown.tick()))
    }

    /// The value of one of its components.
    #[must_use]
    pub fn component(&self, name: &str) -> Option<Value> {
        self.shown.value(self.entry.track(self.shown.session.number(name)?)?)
    }

    /// Its components, as the schema has them, and their values.
    pub fn components(&self) -> impl Iterator<Item = (&'a TypeDef, Value)> + use<'a> {
        let shown = self.shown;
        self.entry.tracks().iter().filter_map(move |track| {
            let def = shown.schema.components.get(usize::from(track.component()))?;
            Some((def, shown.smooth.value(&def.ty, track)?))
        })
    }
}
