//! Evolution: rooms that an earlier version of a game saved, as the present version reads them. A
//! snapshot, and the beginning of a journal, carry the layouts of the game that wrote them
//! ([`crate::layout`]). Where they are the present ones, nothing here runs. Where not, each value is
//! made anew from what is stored, before anything is loaded: what has the same name goes over, what is
//! new gets its default, what is gone is dropped, and for the rest the game gives functions.
//!
//! ```
//! use referee_room::prelude::*;
//!
//! /// Types as an earlier version of the game had them, as far as functions need them.
//! mod v1 {
//!     use referee_room::prelude::*;
//!
//!     #[derive(Component, Replicate)]
//!     pub struct Health {
//!         pub percent: u8,
//!     }
//! }
//!
//! /// Was a whole number of hundredths: no rule can know that, so a function does it.
//! #[derive(Component, Replicate)]
//! struct Health {
//!     points: f32,
//!     most: f32,
//! }
//!
//! /// Was called `Purse`, and its field `coins`; `gems` is new, and there are three to begin with.
//! #[derive(Resource, Replicate, Default)]
//! #[was("Purse")]
//! struct Treasure {
//!     #[was("coins")]
//!     gold: u32,
//!     #[field(default = 3)]
//!     gems: u32,
//! }
//!
//! fn game(game: &mut Game) {
//!     game.turn_based().replicate::<Health>().replicate::<Treasure>();
//!     game.migrate(|old: v1::Health| Health { points: f32::from(old.percent) / 2.0, most: 50.0 });
//! }
//! # let room = referee_room::testkit::TestRoom::new(game);
//! # assert_eq!(room.resource::<Treasure>().gems, 0, "a new room begins with the default of the type");
//! ```
//!
//! An earlier name must not be one that is in use, for then what is stored could be either:
//!
//! ```compile_fail
//! use referee_room::prelude::*;
//!
//! #[derive(Component, Replicate)]
//! struct Chest {
//!     #[was("coins")]
//!     gold: u32,
//!     coins: u32,
//! }
//! ```
//!
//! What goes over by itself, beside what is the same: whole numbers into a type that holds all of the
//! old one's values, `f32` into `f64`, a value into an option of it, a type around one value into that
//! value and back. A range or a maximum (`#[field(..)]`) is a matter of the wire alone. What a
//! [`Storage`](crate::storage::Storage) holds is serde's, and follows its rules.

mod entries;
mod functions;
mod state;
mod stored;
#[cfg(test)]
mod tests;

use bevy_ecs::entity::Entity;

use crate::field::{LoadError, Loader};
use crate::layout::{FIRST, Layout, Part, int, skip, span, variant};

pub(crate) use entries::{NO_TYPE, Translator};
pub(crate) use functions::Migration;
pub(crate) use state::rewrite;
pub(crate) use stored::to_json;

/// Why a stored value is none of the present game. The room is left as it is.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EvolveError {
    /// The type of a value is another.
    #[error(
        "{place}: stored is {stored}, wanted is {wanted}; give the game a function, \
         game.migrate(|old: {of}| ..) with the type as it was, or run the build that saved the room"
    )]
    Type {
        /// Type and field.
        place: String,
        /// What is stored.
        stored: String,
        /// What the game has there.
        wanted: String,
        /// The innermost type with a name, whose old form a function would take.
        of: String,
    },
    /// Nothing is stored, and nothing is known to stand for it.
    #[error(
        "{place}: nothing is stored, wanted is {wanted}, which has no default; write \
         #[field(default = ..)] beside the field, or #[was(\"..\")] if it had another name, or run the \
         build that saved the room"
    )]
    NoDefault {
        /// Type and field.
        place: String,
        /// What the game has there.
        wanted: String,
    },
    /// The variant is gone.
    #[error(
        "{place}: stored is the variant {variant}, wanted is {wanted}, which has none of that name; \
         write #[was(\"{variant}\")] at the one that took its place, or give the game a function, \
         game.migrate(|old: {of}| ..) with the type as it was, or run the build that saved the room"
    )]
    Variant {
        /// Type and field.
        place: String,
        /// What is stored.
        variant: String,
        /// The enum.
        wanted: String,
        /// What it was called: a function would take its old form.
        of: String,
    },
    /// The game's function panicked.
    #[error(
        "{place}: stored is {stored}, and the game's function that makes {wanted} of it panics \
         ({panic}); correct it, or run the build that saved the room"
    )]
    Panicked {
        /// Type and field.
        place: String,
        /// What is stored.
        stored: String,
        /// What the function makes of it.
        wanted: String,
        /// What the panic said.
        panic: String,
    },
    /// A tick is something else.
    #[error(
        "its ticks: stored is a {stored} room, wanted is a {wanted} one, and no tick can be both; run \
         the build that saved the room, or play under another match id"
    )]
    Kind {
        /// What is stored.
        stored: &'static str,
        /// What the game is.
        wanted: &'static str,
    },
    /// The bytes are no value of the layout that is stored with them.
    #[error("{place}: its bytes are damaged: {error}")]
    Damaged {
        /// Type and field.
        place: String,
        /// What is wrong.
        error: LoadError,
    },
}

/// Where a value stands, for errors: made only where one is.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    outer: Option<&'a Self>,
    name: &'a str,
    /// The innermost type with a name.
    of: &'a str,
}

impl<'a> Place<'a> {
    pub(crate) fn of(name: &'a str) -> Self {
        Self { outer: None, name, of: name }
    }

    fn inside(&'a self, name: &'a str) -> Self {
        Self { outer: Some(self), name, of: self.of }
    }

    fn text(&self) -> String {
        let Some(outer) = self.outer else { return self.name.to_owned() };
        let dot = if self.name.starts_with('[') { "" } else { "." };
        outer.text() + dot + self.name
    }

    fn damaged(&self, error: LoadError) -> EvolveError {
        EvolveError::Damaged { place: self.text(), error }
    }
}

/// Reads stored bytes whose references are only carried along.
pub(crate) fn reader(bytes: &[u8]) -> Loader<'_> {
    Loader::new(bytes, &|_| Entity::PLACEHOLDER)
}

/// Makes values anew.
#[derive(Clone, Copy)]
pub(crate) struct Evolution<'a> {
    pub(crate) functions: &'a [Migration],
}

impl Evolution<'_> {
    /// Appends what a stored value is by the new layout.
    ///
    /// # Errors
    /// What does not go over, and where.
    pub(crate) fn value(
        self,
        old: &Layout,
        new: &Layout,
        bytes: &[u8],
        place: Place<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), EvolveError> {
        if old.same(new) {
            out.extend_from_slice(bytes);
            return Ok(());
        }
        let place = match old {
            Layout::Named(named) => Place { of: &named.name, ..place },
            _ => place,
        };
        // Each function once: what it makes may have been changed again since.
        if let Some(at) = self.functions.iter().position(|function| function.takes(old)) {
            let function = &self.functions[at];
            let mut made = Vec::new();
            function.run(bytes, place, &mut made)?;
            let later = Evolution { functions: &self.functions[at + 1..] };
            return later.value(function.to(), new, &made, place, out);
        }
        self.parts(old.bare(), new.bare(), bytes, place, out).map_err(|problem| match problem {
            Problem::Type => EvolveError::Type {
                place: place.text(),
                stored: old.to_string(),
                wanted: new.to_string(),
                of: place.of.to_owned(),
            },
            Problem::Variant(variant) => EvolveError::Variant {
                place: place.text(),
                variant,
                wanted: new.to_string(),
                of: place.of.to_owned(),
            },
            Problem::Bytes(error) => place.damaged(error),
            Problem::Inside(error) => error,
        })
    }

    /// The same by the rules alone, for layouts without a name.
    fn parts(
        self,
        old: &Layout,
        new: &Layout,
        bytes: &[u8],
        place: Place<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        let mut from = reader(bytes);
        match (old, new) {
            (Layout::Int { .. } | Layout::F32, Layout::Int { .. } | Layout::F64) => {
                number(old, new, &mut from, out)?;
            }
            (Layout::Option(old), Layout::Option(new)) => {
                let [there] = from.array()?;
                out.push(there);
                if there != 0 {
                    self.value(old, new, from.rest(), place, out)?;
                }
            }
            (Layout::List(old), Layout::List(new)) => {
                let count = from.count()?;
                count_out(count, out);
                self.items(old, new, count, &mut from, place, out)?;
            }
            (Layout::Array(old, length), Layout::Array(new, wanted)) if length == wanted => {
                self.items(old, new, *length as usize, &mut from, place, out)?;
            }
            (Layout::Enum(old), Layout::Enum(new)) => {
                self.variant(old, new, &mut from, place, out)?;
            }
            (Layout::Struct(old), Layout::Struct(new)) => {
                self.fields(old, new, &mut from, place, out)?;
            }
            (Layout::Unit, Layout::Struct(new)) => {
                self.fields(&[], new, &mut from, place, out)?;
            }
            (_, Layout::Unit) => {}
            (Layout::Unit, Layout::Option(_)) => out.push(0),
            (old, Layout::Option(new)) => {
                out.push(1);
                self.value(old, new, bytes, place, out)?;
            }
            // A type with one unnamed field lies as that field.
            (Layout::Struct(old), new) if old.iter().any(|part| part.name == FIRST) => {
                let (part, bytes) = first(old, &mut from)?;
                self.value(&part.layout, new, bytes, place, out)?;
            }
            (old, Layout::Struct(new)) if new.iter().any(|part| part.answers_to(FIRST)) => {
                let old = [Part::new(FIRST, old.clone())];
                self.fields(&old, new, &mut from, place, out)?;
            }
            _ => return Err(Problem::Type),
        }
        Ok(())
    }

    fn variant(
        self,
        old: &[Part],
        new: &[Part],
        from: &mut Loader<'_>,
        place: Place<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        let (_, stored) = variant(old, from)?;
        let gone = || Problem::Variant(stored.name.clone());
        let at = find(new, stored).ok_or_else(gone)?;
        count_out(at, out);
        let inside = place.inside(&stored.name);
        Ok(self.value(&stored.layout, &new[at].layout, from.rest(), inside, out)?)
    }

    fn items(
        self,
        old: &Layout,
        new: &Layout,
        count: usize,
        from: &mut Loader<'_>,
        place: Place<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        for at in 0..count {
            let name = format!("[{at}]");
            self.value(old, new, span(old, from)?, place.inside(&name), out)?;
        }
        Ok(())
    }

    fn fields(
        self,
        old: &[Part],
        new: &[Part],
        from: &mut Loader<'_>,
        place: Place<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        let spans = old.iter().map(|part| span(&part.layout, from));
        let spans: Vec<&[u8]> = spans.collect::<Result<_, _>>()?;
        for part in new {
            let inside = place.inside(&part.name);
            let stored = named(old, part);
            match stored {
                Some(at) => self.value(&old[at].layout, &part.layout, spans[at], inside, out)?,
                None => out.extend(default(part, inside)?),
            }
        }
        Ok(())
    }
}

/// Why parts do not go over.
enum Problem {
    /// They are of different types.
    Type,
    /// There is no such variant any more.
    Variant(String),
    /// Their bytes are damaged.
    Bytes(LoadError),
    /// Something in them does not.
    Inside(EvolveError),
}

impl From<LoadError> for Problem {
    fn from(error: LoadError) -> Self {
        Self::Bytes(error)
    }
}

impl From<EvolveError> for Problem {
    fn from(error: EvolveError) -> Self {
        Self::Inside(error)
    }
}

/// What a part has where nothing is stored of it.
fn default(part: &Part, place: Place<'_>) -> Result<Vec<u8>, EvolveError> {
    let bytes = part.default.clone().or_else(|| part.layout.plain_default());
    bytes.ok_or_else(|| EvolveError::NoDefault {
        place: place.text(),
        wanted: part.layout.to_string(),
    })
}

/// The stored field that a new one was.
fn named(old: &[Part], new: &Part) -> Option<usize> {
    let find = |name: &String| old.iter().position(|part| part.name == *name);
    find(&new.name).or_else(|| new.was.iter().find_map(find))
}

/// The new variant that a stored one is now.
fn find(new: &[Part], stored: &Part) -> Option<usize> {
    let same = new.iter().position(|part| part.name == stored.name);
    same.or_else(|| new.iter().position(|part| part.answers_to(&stored.name)))
}

fn first<'p, 'b>(
    parts: &'p [Part],
    from: &mut Loader<'b>,
) -> Result<(&'p Part, &'b [u8]), Problem> {
    for part in parts {
        if part.name == FIRST {
            return Ok((part, span(&part.layout, from)?));
        }
        skip(&part.layout, from)?;
    }
    Err(Problem::Type)
}

fn count_out(count: usize, out: &mut Vec<u8>) {
    referee_protocol::bits::write_varint(out, count as u64);
}

/// A number in a type that holds all values of the old one.
fn number(
    old: &Layout,
    new: &Layout,
    from: &mut Loader<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    match (old, new) {
        (Layout::Int { bits, signed }, Layout::Int { bits: wider, signed: new_signed })
            if holds((*wider, *new_signed), (*bits, *signed)) =>
        {
            let wide = int(*bits, *signed, from)?.to_le_bytes();
            out.extend_from_slice(&wide[..usize::from(wider / 8)]);
        }
        (Layout::F32, Layout::F64) => {
            let value = f32::from_le_bytes(from.array()?);
            out.extend_from_slice(&f64::from(value).to_le_bytes());
        }
        _ => return Err(Problem::Type),
    }
    Ok(())
}

/// Whether a whole number of this width and sign holds all of the other.
fn holds((bits, signed): (u8, bool), (old_bits, old_signed): (u8, bool)) -> bool {
    match (signed, old_signed) {
        (true, true) | (false, false) => bits >= old_bits,
        (true, false) => bits > old_bits,
        (false, true) => false,
    }
}
