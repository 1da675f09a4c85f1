//! Layouts as bytes. A layout is the number of its kind, then what the kind needs; numbers are LEB128,
//! names have their length before them.

use referee_protocol::bits::BitError;

use super::{LAYOUT_DEPTH_MAX, Layout, Part};
use crate::field::{LoadError, Loader, Saver};

const UNIT: u8 = 0;
const BOOL: u8 = 1;
/// The first of eight: unsigned of 8, 16, 32 and 64 bits, then signed.
const INTS: u8 = 2;
const F32: u8 = 10;
const F64: u8 = 11;
const NUMBER: u8 = 12;
const TEXT: u8 = 13;
const BYTES: u8 = 14;
const ENTITY: u8 = 15;
const OPTION: u8 = 16;
const LIST: u8 = 17;
const ARRAY: u8 = 18;
const STRUCT: u8 = 19;
const ENUM: u8 = 20;
const NAMED: u8 = 21;

/// The longest array whose values have no bytes, with all that is in them: a longer one would take time and
/// say nothing.
const EMPTY_ARRAY_MAX: u64 = 4_096;

impl Layout {
    /// Appends it.
    pub(crate) fn encode(&self, out: &mut Saver<'_>) {
        match self {
            Self::Unit => out.raw(&[UNIT]),
            Self::Bool => out.raw(&[BOOL]),
            Self::Int { bits, signed } => {
                let width = (bits / 8).trailing_zeros() as u8;
                out.raw(&[INTS + width + 4 * u8::from(*signed)]);
            }
            Self::F32 => out.raw(&[F32]),
            Self::F64 => out.raw(&[F64]),
            Self::Number => out.raw(&[NUMBER]),
            Self::Text => out.raw(&[TEXT]),
            Self::Bytes => out.raw(&[BYTES]),
            Self::Entity => out.raw(&[ENTITY]),
            Self::Option(of) => {
                out.raw(&[OPTION]);
                of.encode(out);
            }
            Self::List(of) => {
                out.raw(&[LIST]);
                of.encode(out);
            }
            Self::Array(of, length) => {
                out.raw(&[ARRAY]);
                out.varint(u64::from(*length));
                of.encode(out);
            }
            Self::Struct(parts) => encode_parts(STRUCT, parts, out),
            Self::Enum(parts) => encode_parts(ENUM, parts, out),
            Self::Named(named) => {
                out.raw(&[NAMED]);
                out.block(named.name.as_bytes());
                named.layout.encode(out);
            }
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// When the bytes are none, or it is nested too deep.
    pub(crate) fn decode(from: &mut Loader<'_>) -> Result<Self, LoadError> {
        decode(from, LAYOUT_DEPTH_MAX)
    }
}

fn encode_parts(kind: u8, parts: &[Part], out: &mut Saver<'_>) {
    out.raw(&[kind]);
    out.varint(parts.len() as u64);
    for part in parts {
        out.block(part.name.as_bytes());
        part.layout.encode(out);
    }
}

fn decode(from: &mut Loader<'_>, depth: usize) -> Result<Layout, LoadError> {
    let left = depth.checked_sub(1).ok_or(LoadError::Number)?;
    let [kind] = from.array()?;
    Ok(match kind {
        UNIT => Layout::Unit,
        BOOL => Layout::Bool,
        INTS..F32 => {
            let place = kind - INTS;
            Layout::Int { bits: 8 << (place % 4), signed: place >= 4 }
        }
        F32 => Layout::F32,
        F64 => Layout::F64,
        NUMBER => Layout::Number,
        TEXT => Layout::Text,
        BYTES => Layout::Bytes,
        ENTITY => Layout::Entity,
        OPTION => Layout::Option(Box::new(decode(from, left)?)),
        LIST => Layout::List(Box::new(decode(from, left)?)),
        ARRAY => decode_array(from, left)?,
        STRUCT => Layout::Struct(decode_parts(from, left)?),
        ENUM => Layout::Enum(decode_parts(from, left)?),
        NAMED => Layout::named(&name(from)?, &[], decode(from, left)?),
        _ => return Err(LoadError::Number),
    })
}

fn decode_array(from: &mut Loader<'_>, left: usize) -> Result<Layout, LoadError> {
    let length = from.varint()?;
    let of = decode(from, left)?;
    if of.bytes_min() == 0 && length.saturating_mul(steps(&of)) > EMPTY_ARRAY_MAX {
        return Err(BitError::Number.into());
    }
    Ok(Layout::Array(Box::new(of), u32::try_from(length).map_err(|_| LoadError::Number)?))
}

/// How many steps it takes to go over a value that has no bytes.
fn steps(of: &Layout) -> u64 {
    match of {
        Layout::Array(of, length) => u64::from(*length).saturating_mul(steps(of)).max(1),
        Layout::Struct(parts) => {
            parts.iter().fold(1, |sum, part| sum.saturating_add(steps(&part.layout)))
        }
        Layout::Named(named) => steps(&named.layout),
        _ => 1,
    }
}

fn decode_parts(from: &mut Loader<'_>, left: usize) -> Result<Vec<Part>, LoadError> {
    let count = from.count()?;
    (0..count).map(|_| Ok(Part::new(&name(from)?, decode(from, left)?))).collect()
}

pub(super) fn name(from: &mut Loader<'_>) -> Result<String, LoadError> {
    let bytes = from.block()?;
    Ok(std::str::from_utf8(bytes).map_err(|_| LoadError::Text)?.to_owned())
}

#[cfg(test)]
mod tests {
    use bevy_ecs::entity::Entity;

    use super::*;

    fn read(bytes: &[u8]) -> Result<Layout, LoadError> {
        Layout::decode(&mut Loader::new(bytes, &|_| Entity::PLACEHOLDER))
    }

    #[test]
    fn arrays_of_nothing_have_a_bound_however_they_are_nested() {
        // 4,096 each.
        let array = [ARRAY, 0x80, 0x20];
        let nested = |deep: usize| [array.repeat(deep), vec![UNIT]].concat();
        assert!(read(&nested(1)).is_ok());
        assert!(read(&nested(2)).is_err() && read(&nested(20)).is_err());
        let with_bytes = [&array[..], &[BOOL]].concat();
        assert!(read(&with_bytes).is_ok());
    }
}
