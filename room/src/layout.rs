//! Layouts: how exact values lie in a snapshot, part by part, with the names that a game's author gave
//! them. A snapshot carries the layouts of the game that wrote it, so that a changed game, and whoever
//! only wants to look, finds each part by its name. Values themselves carry no names.
//!
//! It must not know what becomes of a value whose layout has changed: that is [`crate::evolve`].

mod bytes;
mod types;
mod walk;

use std::fmt;

use crate::field::{Field, Saver};

pub(crate) use types::{TypeOf, Types, WordsOf, dropped, matched, same_types};
pub(crate) use walk::{int, json, skip, span, variant};

/// The deepest nesting of a layout, in levels. Named types count as levels, so it is more than a
/// type's own depth may be on the wire.
pub(crate) const LAYOUT_DEPTH_MAX: usize = 64;

/// The name of the first unnamed field.
pub(crate) const FIRST: &str = "0";

/// How an exact value lies in bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Layout {
    /// No bytes.
    Unit,
    /// A byte, 0 for false.
    Bool,
    /// A whole number, little-endian, two's complement where it is `signed`.
    Int {
        /// Its width: 8, 16, 32 or 64 bits.
        bits: u8,
        /// Whether it may be negative.
        signed: bool,
    },
    /// A 32-bit float, little-endian.
    F32,
    /// A 64-bit float, little-endian.
    F64,
    /// A whole number as LEB128, at most 64 bits.
    Number,
    /// UTF-8 with its length in bytes before it.
    Text,
    /// Bytes with their number before them.
    Bytes,
    /// An entity's number in its room as LEB128, 0 for none.
    Entity,
    /// A byte, and the value where it is not 0.
    Option(Box<Self>),
    /// The number of values, and the values.
    List(Box<Self>),
    /// So many values.
    Array(Box<Self>, u32),
    /// Fields, one after the other.
    Struct(Vec<Part>),
    /// The place of a variant as LEB128, and its data.
    Enum(Vec<Part>),
    /// A type with a name of its own. It lies as what it is made of.
    Named(Box<Named>),
}

/// A field of a struct, or a variant of an enum.
#[derive(Clone, Eq, Debug)]
pub struct Part {
    /// Its name; of an unnamed field its place: `0`, `1` ..
    pub name: String,
    /// How it lies.
    pub layout: Layout,
    /// What it was called in earlier versions of the game. Not stored.
    pub was: Vec<String>,
    /// The bytes of the value it has where none is stored. Not stored.
    pub default: Option<Vec<u8>>,
}

/// A type of a game.
#[derive(Clone, Eq, Debug)]
pub struct Named {
    /// The type's name, without its path.
    pub name: String,
    /// How it lies.
    pub layout: Layout,
    /// What it was called in earlier versions of the game. Not stored.
    pub was: Vec<String>,
}

/// As far as it is stored.
impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.layout == other.layout
    }
}

/// As far as it is stored.
impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.layout == other.layout
    }
}

impl Part {
    /// A part that was always called so.
    #[must_use]
    pub fn new(name: &str, layout: Layout) -> Self {
        Self { name: name.to_owned(), layout, was: Vec::new(), default: None }
    }

    /// The same with its earlier names.
    #[must_use]
    pub fn was(self, names: &[&str]) -> Self {
        Self { was: names.iter().map(|name| (*name).to_owned()).collect(), ..self }
    }

    /// The same with the bytes of its default.
    #[must_use]
    pub fn with_default(self, default: Option<Vec<u8>>) -> Self {
        Self { default, ..self }
    }

    /// Whether it is, or was, called so.
    pub(crate) fn answers_to(&self, name: &str) -> bool {
        self.name == name || self.was.iter().any(|was| was == name)
    }
}

impl Layout {
    /// A type of this name, and of these earlier ones.
    #[must_use]
    pub fn named(name: &str, was: &[&str], layout: Self) -> Self {
        let was = was.iter().map(|name| (*name).to_owned()).collect();
        Self::Named(Box::new(Named { name: name.to_owned(), layout, was }))
    }

    /// Unnamed parts, one after the other.
    #[must_use]
    pub fn tuple<const N: usize>(parts: [Self; N]) -> Self {
        let parts = parts.into_iter().enumerate();
        Self::Struct(parts.map(|(at, layout)| Part::new(&at.to_string(), layout)).collect())
    }

    /// What it is where its own name, and those of the types around a single value, are left out.
    pub(crate) fn bare(&self) -> &Self {
        match self {
            Self::Named(named) => named.layout.bare(),
            other => other,
        }
    }

    /// Whether values of both lie in the same bytes, with parts of the same names. What the types in
    /// them are called does not matter.
    pub(crate) fn same(&self, other: &Self) -> bool {
        let parts = |a: &[Part], b: &[Part]| {
            a.len() == b.len()
                && a.iter().zip(b).all(|(a, b)| a.name == b.name && a.layout.same(&b.layout))
        };
        match (self.bare(), other.bare()) {
            (Self::Option(a), Self::Option(b)) | (Self::List(a), Self::List(b)) => a.same(b),
            (Self::Array(a, m), Self::Array(b, n)) => m == n && a.same(b),
            (Self::Struct(a), Self::Struct(b)) | (Self::Enum(a), Self::Enum(b)) => parts(a, b),
            (a, b) => a == b,
        }
    }

    /// What its type is called, and was; nothing where it has no name.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let named = match self {
            Self::Named(named) => Some(named),
            _ => None,
        };
        named.into_iter().flat_map(|named| {
            std::iter::once(&*named.name).chain(named.was.iter().map(String::as_str))
        })
    }

    /// How many levels it has, 1 and more.
    pub(crate) fn depth(&self) -> usize {
        let deepest = |parts: &[Part]| parts.iter().map(|part| part.layout.depth()).max();
        1 + match self {
            Self::Option(of) | Self::List(of) | Self::Array(of, _) => of.depth(),
            Self::Struct(parts) | Self::Enum(parts) => deepest(parts).unwrap_or(0),
            Self::Named(named) => named.layout.depth(),
            _ => 0,
        }
    }

    /// The fewest bytes of a value; saturates.
    pub(crate) fn bytes_min(&self) -> usize {
        match self {
            Self::Unit => 0,
            Self::Int { bits, .. } => usize::from(*bits / 8),
            Self::F32 => 4,
            Self::F64 => 8,
            Self::Array(of, length) => of.bytes_min().saturating_mul(*length as usize),
            Self::Struct(parts) => {
                parts.iter().fold(0, |sum, part| sum.saturating_add(part.layout.bytes_min()))
            }
            Self::Named(named) => named.layout.bytes_min(),
            Self::Bool
            | Self::Number
            | Self::Text
            | Self::Bytes
            | Self::Entity
            | Self::Option(_)
            | Self::List(_)
            | Self::Enum(_) => 1,
        }
    }

    /// The bytes of a value that is nothing but zeros, nones and empty lists. A type of the game's own
    /// has none.
    pub(crate) fn plain_default(&self) -> Option<Vec<u8>> {
        match self {
            Self::Named(_) | Self::Enum(_) => None,
            Self::Array(of, length) => Some(of.plain_default()?.repeat(*length as usize)),
            Self::Struct(parts) => {
                let all = parts
                    .iter()
                    .map(|part| part.default.clone().or_else(|| part.layout.plain_default()));
                all.collect::<Option<Vec<_>>>().map(|all| all.concat())
            }
            // Zero, false, none, empty.
            other => Some(vec![0; other.bytes_min()]),
        }
    }
}

/// Short, for an error: `u8`, `list of text`, `Health { points: u8, most: u8 }`.
impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, parts: &[Part]| {
            parts.iter().enumerate().try_for_each(|(at, part)| {
                let comma = if at > 0 { ", " } else { "" };
                write!(f, "{comma}{}: {}", part.name, Short(&part.layout))
            })
        };
        match self {
            Self::Named(named) => match &named.layout {
                Self::Struct(parts) => {
                    write!(f, "{} {{ ", named.name)?;
                    list(f, parts)?;
                    f.write_str(" }")
                }
                Self::Enum(_) | Self::Unit => f.write_str(&named.name),
                other => write!(f, "{}({})", named.name, Short(other)),
            },
            other => Short(other).fmt(f),
        }
    }
}

/// A layout as a part of another: by its name where it has one.
struct Short<'a>(&'a Layout);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Layout::Unit => f.write_str("nothing"),
            Layout::Bool => f.write_str("bool"),
            Layout::Int { bits, signed } => {
                write!(f, "{}{bits}", if *signed { "i" } else { "u" })
            }
            Layout::F32 => f.write_str("f32"),
            Layout::F64 => f.write_str("f64"),
            Layout::Number => f.write_str("number"),
            Layout::Text => f.write_str("text"),
            Layout::Bytes => f.write_str("bytes"),
            Layout::Entity => f.write_str("entity"),
            Layout::Option(of) => write!(f, "optional {}", Short(of)),
            Layout::List(of) => write!(f, "list of {}", Short(of)),
            Layout::Array(of, length) => write!(f, "{length} of {}", Short(of)),
            Layout::Struct(parts) => write!(f, "struct of {} fields", parts.len()),
            Layout::Enum(parts) => write!(f, "enum of {} variants", parts.len()),
            Layout::Named(named) => f.write_str(&named.name),
        }
    }
}

/// The bytes of a value in no room: references in it are to nothing. The derives call it for defaults.
#[must_use]
pub fn saved<T: Field>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.save(&mut Saver::new(&mut bytes, &|_| 0));
    bytes
}
