//! Quantised values: a value as a run of 32-bit words that follows its [`FieldType`], and the plain
//! coder that puts such runs into bits. Everything that compares, keeps or sends wire values works
//! on words; only `room`'s `Field` and [`crate::value`] know what they mean.
//!
//! | type | words |
//! |---|---|
//! | unit | none |
//! | bool | 0 or 1 |
//! | int | value - min; two words, low first, where span needs more than 32 bits |
//! | float in steps | round((value - min) / step) |
//! | f32, f64 | the bits: one word; two words, low first |
//! | string | its length in bytes, then the bytes, four to a word, low first |
//! | option | 0, or 1 and the value |
//! | list | its length, then the values |
//! | array, tuple, struct | the values |
//! | enum | the variant's place, then its data |
//! | entity | its wire id, 0 for none |

use crate::bits::{BitError, BitReader, BitWriter};
use crate::limits::VALUE_WORDS_MAX;
use crate::schema::{FieldType, float_span};

/// Why bits are no value of the expected type.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WordsError {
    /// The bits themselves are bad.
    #[error(transparent)]
    Bits(#[from] BitError),
    /// A value lies outside the range its type declares.
    #[error("a value lies outside its declared range")]
    Range,
    /// The value is longer than allowed.
    #[error("a value takes more than {VALUE_WORDS_MAX} words")]
    TooLong,
    /// The words do not follow the type.
    #[error("the words do not follow the type")]
    Shape,
}

/// Bits needed for values from 0 to `max`.
#[must_use]
pub fn bits_for(max: u32) -> u32 {
    32 - max.leading_zeros()
}

/// How a leaf, a type without parts, is coded.
enum Leaf {
    /// One word from 0 to the given maximum.
    Word(u32),
    /// Two words; the pair from 0 to the given maximum.
    Pair(u64),
}

fn leaf(ty: &FieldType) -> Option<Leaf> {
    match ty {
        FieldType::Bool => Some(Leaf::Word(1)),
        FieldType::Int { span, .. } => {
            Some(u32::try_from(*span).map_or(Leaf::Pair(*span), Leaf::Word))
        }
        FieldType::Float { min, max, step, .. } => Some(Leaf::Word(float_span(*min, *max, *step))),
        FieldType::F32 | FieldType::Entity => Some(Leaf::Word(u32::MAX)),
        FieldType::F64 => Some(Leaf::Pair(u64::MAX)),
        FieldType::Unit
        | FieldType::Rotation { .. }
        | FieldType::String { .. }
        | FieldType::Option { .. }
        | FieldType::List { .. }
        | FieldType::Array { .. }
        | FieldType::Tuple { .. }
        | FieldType::Struct { .. }
        | FieldType::Enum { .. } => None,
    }
}

/// How many words the value at the front of `words` takes.
///
/// # Errors
/// When the words do not follow the type.
pub fn length(ty: &FieldType, words: &[u32]) -> Result<usize, WordsError> {
    let first = || words.first().copied().ok_or(WordsError::Shape);
    let rest = |at: usize| words.get(at..).ok_or(WordsError::Shape);
    let used = match ty {
        FieldType::Unit => 0,
        FieldType::String { .. } => 1 + (first()? as usize).div_ceil(4),
        FieldType::Option { of } => match first()? {
            0 => 1,
            _ => 1 + length(of, rest(1)?)?,
        },
        FieldType::List { of, .. } => run_length(of, first()?, words, 1)?,
        FieldType::Array { of, length } => run_length(of, *length, words, 0)?,
        FieldType::Tuple { items } => {
            items.iter().try_fold(0, |at, ty| Ok::<_, WordsError>(at + length(ty, rest(at)?)?))?
        }
        FieldType::Struct { fields } => fields
            .iter()
            .try_fold(0, |at, field| Ok::<_, WordsError>(at + length(&field.ty, rest(at)?)?))?,
        FieldType::Enum { variants } => {
            let variant = variants.get(first()? as usize).ok_or(WordsError::Shape)?;
            1 + length(&variant.ty, rest(1)?)?
        }
        FieldType::Bool
        | FieldType::Int { .. }
        | FieldType::Float { .. }
        | FieldType::F32
        | FieldType::F64
        | FieldType::Rotation { .. }
        | FieldType::Entity => ty.words_min(),
    };
    if used > words.len() { Err(WordsError::Shape) } else { Ok(used) }
}

/// Replaces every reference in a value by what `name` makes of it.
///
/// # Errors
/// When the words do not follow the type.
pub fn map_references(
    ty: &FieldType,
    words: &mut [u32],
    name: &mut impl FnMut(u32) -> u32,
) -> Result<(), WordsError> {
    let mut at = 0;
    map_from(ty, words, &mut at, name)
}

fn map_from(
    ty: &FieldType,
    words: &mut [u32],
    at: &mut usize,
    name: &mut impl FnMut(u32) -> u32,
) -> Result<(), WordsError> {
    if !ty.has_references() {
        *at += length(ty, words.get(*at..).ok_or(WordsError::Shape)?)?;
        return Ok(());
    }
    if let Some(parts) = Parts::of(ty) {
        return parts.try_for_each(|ty| map_from(ty, words, at, name));
    }
    let word = words.get_mut(*at).ok_or(WordsError::Shape)?;
    *at += 1;
    match ty {
        FieldType::Entity => {
            *word = name(*word);
            Ok(())
        }
        FieldType::Option { of } if *word == 1 => map_from(of, words, at, name),
        FieldType::List { of, .. } => {
            let count = *word;
            (0..count).try_for_each(|_| map_from(of, words, at, name))
        }
        FieldType::Enum { variants } => {
            let variant = variants.get(*word as usize).ok_or(WordsError::Shape)?;
            map_from(&variant.ty, words, at, name)
        }
        _ => Ok(()),
    }
}

fn run_length(of: &FieldType, count: u32, words: &[u32], from: usize) -> Result<usize, WordsError> {
    let mut at = from;
    for _ in 0..count {
        at += length(of, words.get(at..).ok_or(WordsError::Shape)?)?;
    }
    Ok(at)
}

/// Writes a value in full.
///
/// # Panics
/// When `words` do not follow `ty`: they come from our own quantiser.
pub fn write(ty: &FieldType, words: &[u32], out: &mut BitWriter<'_>) {
    let mut words = words;
    write_from(ty, &mut words, out);
    assert!(words.is_empty(), "words left over after {ty:?}");
}

fn write_from(ty: &FieldType, words: &mut &[u32], out: &mut BitWriter<'_>) {
    match leaf(ty) {
        Some(Leaf::Word(max)) => return out.bits(next(words), bits_for(max)),
        Some(Leaf::Pair(max)) => {
            out.bits(next(words), 32);
            return out.bits(next(words), bits_for((max >> 32) as u32));
        }
        None => {}
    }
    match ty {
        FieldType::String { max } => {
            let len = next(words);
            out.bits(len, bits_for(*max));
            for at in 0..len {
                out.bits(words[at as usize / 4] >> (at % 4 * 8) & 0xff, 8);
            }
            *words = &words[(len as usize).div_ceil(4)..];
        }
        FieldType::Rotation { bits } => {
            out.bits(next(words), 2);
            (0..3).for_each(|_| out.bits(next(words), *bits));
        }
        FieldType::Option { of } => {
            let some = next(words) == 1;
            out.bit(some);
            if some {
                write_from(of, words, out);
            }
        }
        FieldType::List { of, max } => {
            let len = next(words);
            out.bits(len, bits_for(*max));
            for _ in 0..len {
                write_from(of, words, out);
            }
        }
        FieldType::Array { of, length } => {
            for _ in 0..*length {
                write_from(of, words, out);
            }
        }
        FieldType::Tuple { items } => items.iter().for_each(|ty| write_from(ty, words, out)),
        FieldType::Struct { fields } => fields.iter().for_each(|f| write_from(&f.ty, words, out)),
        FieldType::Enum { variants } => {
            let at = next(words);
            out.bits(at, bits_for(variants.len() as u32 - 1));
            write_from(&variants[at as usize].ty, words, out);
        }
        // Leaves are written above.
        FieldType::Unit
        | FieldType::Bool
        | FieldType::Int { .. }
        | FieldType::Float { .. }
        | FieldType::F32
        | FieldType::F64
        | FieldType::Entity => {}
    }
}

fn next(words: &mut &[u32]) -> u32 {
    let (&word, rest) = words.split_first().expect("the caller's words follow the type");
    *words = rest;
    word
}

/// Reads a value in full and appends its words. What it appends follows the type and lies within
/// its declared ranges.
///
/// # Errors
/// When the bits end, leave a declared range, or describe too long a value.
pub fn read(
    ty: &FieldType,
    from: &mut BitReader<'_>,
    out: &mut Vec<u32>,
) -> Result<(), WordsError> {
    let mut budget = VALUE_WORDS_MAX;
    read_into(ty, from, out, &mut budget)
}

fn push(out: &mut Vec<u32>, word: u32, budget: &mut usize) -> Result<(), WordsError> {
    *budget = budget.checked_sub(1).ok_or(WordsError::TooLong)?;
    out.push(word);
    Ok(())
}

fn read_up_to(from: &mut BitReader<'_>, max: u32) -> Result<u32, WordsError> {
    let value = from.bits(bits_for(max))?;
    if value > max { Err(WordsError::Range) } else { Ok(value) }
}

fn read_leaf(
    leaf: &Leaf,
    from: &mut BitReader<'_>,
    out: &mut Vec<u32>,
    budget: &mut usize,
) -> Result<(), WordsError> {
    match leaf {
        Leaf::Word(max) => push(out, read_up_to(from, *max)?, budget),
        Leaf::Pair(max) => {
            let low = from.bits(32)?;
            let high = from.bits(bits_for((max >> 32) as u32))?;
            if (u64::from(high) << 32 | u64::from(low)) > *max {
                return Err(WordsError::Range);
            }
            push(out, low, budget)?;
            push(out, high, budget)
        }
    }
}

fn read_into(
    ty: &FieldType,
    from: &mut BitReader<'_>,
    out: &mut Vec<u32>,
    budget: &mut usize,
) -> Result<(), WordsError> {
    if let Some(leaf) = leaf(ty) {
        return read_leaf(&leaf, from, out, budget);
    }
    match ty {
        FieldType::String { max } => {
            let len = read_up_to(from, *max)?;
            push(out, len, budget)?;
            for start in (0..len).step_by(4) {
                let mut word = 0;
                for at in 0..(len - start).min(4) {
                    word |= from.bits(8)? << (at * 8);
                }
                push(out, word, budget)?;
            }
            Ok(())
        }
        FieldType::Rotation { bits } => {
            push(out, from.bits(2)?, budget)?;
            (0..3).try_for_each(|_| push(out, from.bits(*bits)?, budget))
        }
        FieldType::Option { of } => {
            let some = from.bit()?;
            push(out, u32::from(some), budget)?;
            if some { read_into(of, from, out, budget) } else { Ok(()) }
        }
        FieldType::List { of, max } => {
            let len = read_up_to(from, *max)?;
            push(out, len, budget)?;
            (0..len).try_for_each(|_| read_into(of, from, out, budget))
        }
        FieldType::Array { of, length } => {
            (0..*length).try_for_each(|_| read_into(of, from, out, budget))
        }
        FieldType::Tuple { items } => {
            items.iter().try_for_each(|ty| read_into(ty, from, out, budget))
        }
        FieldType::Struct { fields } => {
            fields.iter().try_for_each(|field| read_into(&field.ty, from, out, budget))
        }
        FieldType::Enum { variants } => {
            let at = read_up_to(from, variants.len() as u32 - 1)?;
            push(out, at, budget)?;
            read_into(&variants[at as usize].ty, from, out, budget)
        }
        // Leaves are read above.
        FieldType::Unit
        | FieldType::Bool
        | FieldType::Int { .. }
        | FieldType::Float { .. }
        | FieldType::F32
        | FieldType::F64
        | FieldType::Entity => Ok(()),
    }
}

/// The parts of a type whose values always have the same parts.
enum Parts<'a> {
    Array(&'a FieldType, u32),
    Tuple(&'a [FieldType]),
    Struct(&'a [crate::schema::Member]),
}

impl<'a> Parts<'a> {
    fn of(ty: &'a FieldType) -> Option<Self> {
        match ty {
            FieldType::Array { of, length } => Some(Self::Array(of, *length)),
            FieldType::Tuple { items } => Some(Self::Tuple(items)),
            FieldType::Struct { fields } => Some(Self::Struct(fields)),
            FieldType::Unit
            | FieldType::Bool
            | FieldType::Int { .. }
            | FieldType::Float { .. }
            | FieldType::F32
            | FieldType::F64
            | FieldType::Rotation { .. }
            | FieldType::String { .. }
            | FieldType::Option { .. }
            | FieldType::List { .. }
            | FieldType::Enum { .. }
            | FieldType::Entity => None,
        }
    }

    fn try_for_each<E>(
        self,
        mut each: impl FnMut(&'a FieldType) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::Array(of, length) => (0..length).try_for_each(|_| each(of)),
            Self::Tuple(items) => items.iter().try_for_each(each),
            Self::Struct(fields) => fields.iter().try_for_each(|field| each(&field.ty)),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
