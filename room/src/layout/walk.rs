//! Going over stored values by their layout alone.

use serde_json::{Map, Value, json as js};

use super::{Layout, Part};
use crate::field::{LoadError, Loader};

/// Goes over one value.
///
/// # Errors
/// When the bytes are no value of the layout.
pub(crate) fn skip(layout: &Layout, from: &mut Loader<'_>) -> Result<(), LoadError> {
    match layout {
        Layout::Unit => {}
        Layout::Bool => drop(from.raw(1)?),
        Layout::Int { bits, .. } => drop(from.raw(usize::from(bits / 8))?),
        Layout::F32 => drop(from.raw(4)?),
        Layout::F64 => drop(from.raw(8)?),
        Layout::Number | Layout::Entity => drop(from.varint()?),
        Layout::Text | Layout::Bytes => drop(from.block()?),
        Layout::Option(of) => {
            if from.array::<1>()? != [0] {
                skip(of, from)?;
            }
        }
        Layout::List(of) => {
            for _ in 0..from.count()? {
                skip(of, from)?;
            }
        }
        Layout::Array(of, length) => {
            for _ in 0..*length {
                skip(of, from)?;
            }
        }
        Layout::Struct(parts) => parts.iter().try_for_each(|part| skip(&part.layout, from))?,
        Layout::Enum(variants) => skip(&variant(variants, from)?.1.layout, from)?,
        Layout::Named(named) => skip(&named.layout, from)?,
    }
    Ok(())
}

/// Goes over one value, and gives its bytes.
///
/// # Errors
/// As for [`skip`].
pub(crate) fn span<'a>(layout: &Layout, from: &mut Loader<'a>) -> Result<&'a [u8], LoadError> {
    let begin = from.rest();
    skip(layout, from)?;
    Ok(&begin[..begin.len() - from.rest().len()])
}

/// Which variant comes next, and its place.
///
/// # Errors
/// When there is none of that place.
pub(crate) fn variant<'l>(
    variants: &'l [Part],
    from: &mut Loader<'_>,
) -> Result<(usize, &'l Part), LoadError> {
    let place = from.varint()?;
    let at = usize::try_from(place).map_err(|_| LoadError::Number)?;
    let part = variants.get(at).ok_or_else(|| from.no_variant(place as u32))?;
    Ok((at, part))
}

/// One value as JSON, in the form of [`crate::inspect`]: exact, references as numbers, or null.
///
/// # Errors
/// As for [`skip`].
pub(crate) fn json(layout: &Layout, from: &mut Loader<'_>) -> Result<Value, LoadError> {
    Ok(match layout {
        Layout::Unit => Value::Null,
        Layout::Bool => js!(from.array::<1>()? != [0]),
        Layout::Int { bits, signed } => {
            let number = int(*bits, *signed, from)?;
            i64::try_from(number).map_or_else(|_| js!(number as u64), |number| js!(number))
        }
        Layout::F32 => js!(f32::from_le_bytes(from.array()?)),
        Layout::F64 => js!(f64::from_le_bytes(from.array()?)),
        Layout::Number => js!(from.varint()?),
        Layout::Entity => match from.varint()? {
            0 => Value::Null,
            number => js!(number),
        },
        Layout::Text => js!(std::str::from_utf8(from.block()?).map_err(|_| LoadError::Text)?),
        Layout::Bytes => {
            let hex = from.block()?.iter().map(|byte| format!("{byte:02x}"));
            js!(hex.collect::<String>())
        }
        Layout::Option(of) => match from.array()? {
            [0] => Value::Null,
            _ => json(of, from)?,
        },
        Layout::List(of) => {
            let count = from.count()?;
            (0..count).map(|_| json(of, from)).collect::<Result<Value, _>>()?
        }
        Layout::Array(of, length) => {
            (0..*length).map(|_| json(of, from)).collect::<Result<Value, _>>()?
        }
        Layout::Struct(parts) => fields(parts, from)?,
        Layout::Enum(variants) => {
            let (_, part) = variant(variants, from)?;
            match json(&part.layout, from)? {
                Value::Null => js!(part.name),
                data => js!({ part.name.clone(): data }),
            }
        }
        Layout::Named(named) => json(&named.layout, from)?,
    })
}

fn fields(parts: &[Part], from: &mut Loader<'_>) -> Result<Value, LoadError> {
    let unnamed = parts.iter().enumerate().all(|(at, part)| part.name == at.to_string());
    if unnamed {
        return parts.iter().map(|part| json(&part.layout, from)).collect();
    }
    let fields = parts.iter().map(|part| Ok((part.name.clone(), json(&part.layout, from)?)));
    fields.collect::<Result<Map<_, _>, _>>().map(Value::Object)
}

/// A whole number of this width.
///
/// # Errors
/// When there are too few bytes.
pub(crate) fn int(bits: u8, signed: bool, from: &mut Loader<'_>) -> Result<i128, LoadError> {
    let bytes = from.raw(usize::from(bits / 8))?;
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    let number = u64::from_le_bytes(wide);
    let unused = 64 - u32::from(bits);
    Ok(match signed {
        true => i128::from((number << unused) as i64 >> unused),
        false => i128::from(number),
    })
}
