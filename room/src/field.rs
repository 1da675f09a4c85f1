//! Fields: how a game's types become wire words and exact bytes. The derives implement [`Field`];
//! authors meet it only in error messages.
//!
//! Memory, hashes, snapshots and the journal hold exact values; only the wire is quantised.

mod collections;
mod exact;
mod numbers;
pub mod probe;
mod wire;

use bevy_ecs::component::{Component, Mutable};
use bevy_ecs::world::{EntityRef, World};
use referee_protocol::Group;
pub use referee_protocol::schema::FieldType;
use referee_protocol::schema::{Member, VariantDef};

use crate::layout::Layout;

pub use exact::{LoadError, Loader, Saver};
pub use wire::{Quantiser, Words};

/// A value that can be sent and saved.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no known form on the wire and on disk",
    label = "add #[derive(Replicate)] to `{Self}` (or Input, Action, Event)"
)]
pub trait Field: Sized + Send + Sync + 'static {
    /// The wire type, given what the author wrote beside the field.
    ///
    /// # Errors
    /// Says what is missing or does not fit, and what to write.
    fn shape(hints: &Hints) -> Result<FieldType, String>;

    /// Appends the wire words. `ty` is what [`Field::shape`] gave.
    fn quantise(&self, ty: &FieldType, out: &mut Quantiser<'_>);

    /// Reads wire words back; none where they are no value of the type.
    fn restore(ty: &FieldType, from: &mut Words<'_>) -> Option<Self>;

    /// Appends the exact value.
    fn save(&self, out: &mut Saver<'_>);

    /// Reads an exact value.
    ///
    /// # Errors
    /// When the bytes are cut short or no value of the type.
    fn load(from: &mut Loader<'_>) -> Result<Self, LoadError>;

    /// How exact values lie in what [`Field::save`] appends.
    fn layout() -> Layout;
}

/// State: a component or resource that is kept and may be sent, or a type inside one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no state that a room can keep",
    label = "add #[derive(Replicate)] to `{Self}`"
)]
pub trait Replicate: Field {
    /// Who sees it.
    fn audience() -> Audience;
    /// The full name of the component that says how it moves.
    fn moves_by() -> Option<&'static str> {
        None
    }
    /// Whether it rarely changes while its entity does.
    fn rarely() -> bool {
        false
    }
    /// What carries it: found out by the derive.
    fn bearer() -> Bearer;
}

/// A sampled input.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no input",
    label = "add #[derive(Input, Default, Clone)] to `{Self}`"
)]
pub trait Input: Field + Component<Mutability = Mutable> + Default + Clone {}

/// An act of a player.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no action",
    label = "add #[derive(Action)] to `{Self}`"
)]
pub trait Action: Field {}

/// A one-shot event for clients.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no event",
    label = "add #[derive(Event)] to `{Self}`"
)]
pub trait Event: Field {}

/// Who sees a type.
#[derive(Clone, Copy)]
pub enum Audience {
    /// Every client; in a game with a grid, those whose players are near the entity.
    Near,
    /// Every client.
    Everyone,
    /// The player whose seat the entity's `Owner` names; on a player's entity, that player.
    Owner,
    /// The team that the entity's `Team` names.
    Team,
    /// The groups that a pure function of the entity's registered components gives.
    Function(fn(EntityRef<'_>) -> Vec<Group>),
}

/// What carries a type's values.
#[derive(Clone, Copy)]
pub enum Bearer {
    /// Entities.
    Component,
    /// The room itself; the function puts the default in.
    Resource(fn(&mut World)),
    /// The room itself, but the type has no default.
    ResourceWithoutDefault,
}

/// What the author wrote beside a field: `#[field(..)]`.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Hints {
    range: Option<(f64, f64)>,
    step: Option<f64>,
    min: Option<i64>,
    max: Option<u64>,
    wraps: bool,
    bits: Option<u32>,
    of: Option<Box<Self>>,
}

impl Hints {
    /// A range for a float.
    #[must_use]
    pub fn range(self, low: f64, high: f64) -> Self {
        Self { range: Some((low, high)), ..self }
    }

    /// The distance between two values that differ on the wire.
    #[must_use]
    pub fn step(self, step: f64) -> Self {
        Self { step: Some(step), ..self }
    }

    /// The smallest integer.
    #[must_use]
    pub fn min(self, min: i64) -> Self {
        Self { min: Some(min), ..self }
    }

    /// The largest integer, or the most bytes or values.
    #[must_use]
    pub fn max(self, max: u64) -> Self {
        Self { max: Some(max), ..self }
    }

    /// The range is a circle.
    #[must_use]
    pub fn wraps(self) -> Self {
        Self { wraps: true, ..self }
    }

    /// Bits for each part of an orientation.
    #[must_use]
    pub fn bits(self, bits: u32) -> Self {
        Self { bits: Some(bits), ..self }
    }

    /// Hints for what a list, an array or an option holds.
    #[must_use]
    pub fn of(self, inner: Self) -> Self {
        Self { of: Some(Box::new(inner)), ..self }
    }

    /// These hints, or the others where these say nothing.
    #[must_use]
    pub fn or(self, others: &Self) -> Self {
        if self == Self::default() { others.clone() } else { self }
    }

    fn inner(&self) -> Self {
        self.of.as_deref().cloned().unwrap_or_default()
    }
}

/// A named part of a type; the derives call it.
///
/// # Errors
/// Those of the part, with its name.
pub fn member(name: &str, ty: Result<FieldType, String>) -> Result<Member, String> {
    let ty = ty.map_err(|problem| format!("field {name}: {problem}"))?;
    Ok(Member { name: name.to_owned(), ty })
}

/// A variant of an enum; the derives call it.
///
/// # Errors
/// Those of the variant's data, with its name.
pub fn variant(name: &str, ty: Result<FieldType, String>) -> Result<VariantDef, String> {
    let ty = ty.map_err(|problem| format!("variant {name}: {problem}"))?;
    Ok(VariantDef { name: name.to_owned(), ty })
}

/// A type with unnamed parts; the derives call it.
#[must_use]
pub fn tuple<const N: usize>(parts: [Member; N]) -> FieldType {
    FieldType::Tuple { items: parts.into_iter().map(|part| part.ty).collect() }
}

/// The type of a part by its place; the derives call it.
///
/// # Panics
/// When the type has no such part, which [`Field::shape`] rules out.
#[must_use]
pub fn part(ty: &FieldType, at: usize) -> &FieldType {
    match ty {
        FieldType::Struct { fields } => &fields[at].ty,
        FieldType::Tuple { items } => &items[at],
        other => panic!("{other:?} has no parts"),
    }
}
