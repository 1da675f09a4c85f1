//! Reading what is known, by the names in the schema.

use super::Session;
use crate::error::{ClientError, Reason};
use crate::metrics::Metrics;
use crate::output::Status;
use crate::references::to_handles;
use referee_protocol::{Schema, Seat, Tick, TypeDef, Value, WireId};

/// The component that every player's entity has: `{seat, name, connected}`.
pub(super) const PLAYER: &str = "Player";

/// What a name is looked for among.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Named {
    /// [`Session::resource`].
    Resource,
    /// [`EntityView::component`] and [`EntityView::has`].
    Component,
    /// [`crate::Event::Event`].
    Event,
}

impl Session {
    /// How the session stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// Why it is closed, or without a connection.
    #[must_use]
    pub fn reason(&self) -> Option<&Reason> {
        self.reason.as_ref()
    }

    /// The game's name.
    #[must_use]
    pub fn game(&self) -> &str {
        self.config.game.as_str()
    }

    /// The match's id.
    #[must_use]
    pub fn match_id(&self) -> &str {
        self.config.match_id.as_str()
    }

    /// The player's seat; none for a spectator, and before the first Welcome.
    #[must_use]
    pub fn seat(&self) -> Option<Seat> {
        self.seat
    }

    /// The token with which a later session comes back to the seat.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.config.token.as_deref()
    }

    /// The tick of the state that is read.
    #[must_use]
    pub fn tick(&self) -> Tick {
        self.replica.tick()
    }

    /// Whether there is state to read.
    #[must_use]
    pub fn has_state(&self) -> bool {
        self.known.is_some()
    }

    /// The smoothed time to the server and back, in milliseconds.
    #[must_use]
    pub fn ping_ms(&self) -> Option<f64> {
        self.metrics.round_trip_ms
    }

    /// What was measured so far.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The game's schema, once it is known.
    #[must_use]
    pub fn schema(&self) -> Option<&Schema> {
        self.schema.as_ref().map(|known| &known.schema)
    }

    /// What tells one schema from another.
    #[must_use]
    pub fn schema_hash(&self) -> Option<u64> {
        self.schema.as_ref().map(|known| known.hash)
    }

    /// The schema as it came, for [`crate::Config::schema`] of a later session.
    #[must_use]
    pub fn schema_bytes(&self) -> Option<&[u8]> {
        self.schema.as_ref().map(|known| &known.bytes[..])
    }

    /// The match's result as JSON, once it has ended.
    #[must_use]
    pub fn result(&self) -> Option<&str> {
        self.ended.as_deref()
    }

    /// A hash over everything read; equal for sessions that see the same.
    #[must_use]
    pub fn state_hash(&self) -> u64 {
        self.replica.hash()
    }

    /// How many states were compared with the hash that the server sent of them, and how many of these
    /// differed: see [`crate::Config::check`].
    #[must_use]
    pub fn checks(&self) -> (u64, u64) {
        self.checks
    }

    /// Whether the game sends something of that name. Reading what it does not send gives nothing, as if
    /// it were hidden: so a slip of the pen is found by this. Until the schema is known all names hold.
    ///
    /// # Errors
    /// Names what there is instead.
    pub fn check_name(&self, what: Named, name: &str) -> Result<(), ClientError> {
        let Some(schema) = self.schema() else { return Ok(()) };
        let (kind, types) = match what {
            Named::Resource => ("resource", &schema.components),
            Named::Component => ("component", &schema.components),
            Named::Event => ("event", &schema.events),
        };
        let of_kind = |def: &&TypeDef| def.resource == (what == Named::Resource);
        if types.iter().filter(of_kind).any(|def| def.name == name) {
            return Ok(());
        }
        let known = types.iter().filter(of_kind).map(|def| def.name.clone()).collect();
        Err(ClientError::UnknownType { kind, name: name.into(), known })
    }

    /// The value of a resource; none when the room does not show one of that name.
    #[must_use]
    pub fn resource(&self, name: &str) -> Option<Value> {
        self.value(WireId::ROOM, self.number(name)?)
    }

    /// Every entity in view.
    pub fn entities(&self) -> impl Iterator<Item = EntityView<'_>> {
        self.replica.entities().map(|(wire, id)| EntityView { session: self, wire, id })
    }

    /// The entity with this id.
    #[must_use]
    pub fn entity(&self, id: u32) -> Option<EntityView<'_>> {
        let wire = self.replica.wire_id(id)?;
        Some(EntityView { session: self, wire, id })
    }

    /// The player's own entity: the one whose `Player` has the player's seat.
    #[must_use]
    pub fn me(&self) -> Option<EntityView<'_>> {
        let seat = Value::Int(i128::from(self.seat?.0));
        self.entities().find(|entity| {
            entity.component(PLAYER).is_some_and(|player| player.field("seat") == Some(&seat))
        })
    }

    pub(super) fn number(&self, name: &str) -> Option<u16> {
        let components = &self.schema()?.components;
        components.iter().position(|def| def.name == name).map(|at| at as u16)
    }

    fn value(&self, id: WireId, component: u16) -> Option<Value> {
        let ty = &self.schema()?.components.get(usize::from(component))?.ty;
        let mut words = self.replica.component(id, component)?;
        let mut value = Value::from_words(ty, &mut words).ok()?;
        to_handles(&mut value, &self.replica);
        Some(value)
    }
}

/// An entity as the player sees it.
#[derive(Clone, Copy, Debug)]
pub struct EntityView<'a> {
    session: &'a Session,
    wire: WireId,
    id: u32,
}

impl EntityView<'_> {
    /// A number that stays with the entity while it is in view. It means nothing elsewhere.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Whether it shows this component.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let number = self.session.number(name);
        number.is_some_and(|c| self.session.replica.component(self.wire, c).is_some())
    }

    /// The value of one of its components.
    #[must_use]
    pub fn component(&self, name: &str) -> Option<Value> {
        self.session.value(self.wire, self.session.number(name)?)
    }

    /// Its components, as the schema has them, and their values.
    pub fn components(&self) -> impl Iterator<Item = (&TypeDef, Value)> {
        let known = self.session.schema().map_or(&[][..], |schema| &schema.components[..]);
        let shown = self.session.replica.components(self.wire);
        shown.into_keys().filter_map(move |number| {
            Some((known.get(usize::from(number))?, self.session.value(self.wire, number)?))
        })
    }
}
