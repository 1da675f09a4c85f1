//! Mixing two values of one type, word by word as the type says. Floats lie on the line between
//! the two, on a circle the short way round; where the two have the same parts, the parts are mixed;
//! everything else is the older value's.

use referee_protocol::rotation;
use referee_protocol::words::{WordsError, length};
use referee_protocol::{FieldType, Value};

type Words<'a> = &'a [u32];

/// Reads the value that lies `part` (0 to 1) of the way from the older to the newer.
pub(super) fn between(
    ty: &FieldType,
    older: &mut Words<'_>,
    newer: &mut Words<'_>,
    part: f64,
) -> Result<Value, WordsError> {
    let mut all = |types: &mut dyn Iterator<Item = &FieldType>| {
        types.map(|ty| between(ty, older, newer, part)).collect::<Result<Vec<_>, _>>()
    };
    match ty {
        FieldType::Float { .. } | FieldType::F32 | FieldType::F64 => {
            let (from, to) = (number(ty, older)?, number(ty, newer)?);
            Ok(Value::Float(mix(ty, from, to, part)))
        }
        FieldType::Rotation { bits } => turned(*bits, older, newer, part as f32),
        FieldType::Tuple { items } => all(&mut items.iter()).map(Value::List),
        FieldType::Array { of, length } => all(&mut (0..*length).map(|_| &**of)).map(Value::List),
        FieldType::Struct { fields } => {
            let values = all(&mut fields.iter().map(|field| &field.ty))?;
            let names = fields.iter().map(|field| field.name.clone());
            Ok(Value::Struct(names.zip(values).collect()))
        }
        FieldType::Option { of } if older.first() == Some(&1) && newer.first() == Some(&1) => {
            skip(older, newer);
            between(of, older, newer, part)
        }
        FieldType::List { of, .. } if older.first() == newer.first() => {
            let count = skip(older, newer);
            let items = (0..count).map(|_| between(of, older, newer, part));
            items.collect::<Result<_, _>>().map(Value::List)
        }
        FieldType::Enum { variants } if older.first() == newer.first() => {
            let variant = variants.get(skip(older, newer) as usize).ok_or(WordsError::Shape)?;
            let data = between(&variant.ty, older, newer, part)?;
            Ok(Value::Variant(variant.name.clone(), Box::new(data)))
        }
        _ => {
            pass(ty, newer)?;
            Value::from_words(ty, older)
        }
    }
}

/// The orientation on the shorter way from the older to the newer.
fn turned(
    bits: u32,
    older: &mut Words<'_>,
    newer: &mut Words<'_>,
    part: f32,
) -> Result<Value, WordsError> {
    let ty = FieldType::Rotation { bits };
    let next = |words: &mut Words<'_>| {
        let parts = words.get(..rotation::ROTATION_WORDS).ok_or(WordsError::Shape)?;
        let rotation = rotation::from_words(parts, bits);
        pass(&ty, words)?;
        Ok::<_, WordsError>(rotation)
    };
    let (from, to) = (next(older)?, next(newer)?);
    Ok(Value::rotation(rotation::between(from, to, part)))
}

/// The number at the front.
fn number(ty: &FieldType, words: &mut Words<'_>) -> Result<f64, WordsError> {
    match Value::from_words(ty, words)? {
        Value::Float(number) => Ok(number),
        _ => Err(WordsError::Shape),
    }
}

fn mix(ty: &FieldType, from: f64, to: f64, part: f64) -> f64 {
    match ty {
        FieldType::Float { min, max, wraps: true, .. } => {
            let round = max - min;
            let way = to - from - round * ((to - from) / round).round();
            min + (from + way * part - min).rem_euclid(round)
        }
        _ if from.is_finite() && to.is_finite() => from + (to - from) * part,
        _ => from,
    }
}

/// Passes the word that both begin with; gives it.
fn skip(older: &mut Words<'_>, newer: &mut Words<'_>) -> u32 {
    *newer = newer.get(1..).unwrap_or_default();
    let Some((&word, rest)) = older.split_first() else { return 0 };
    *older = rest;
    word
}

/// Passes one value.
fn pass(ty: &FieldType, words: &mut Words<'_>) -> Result<(), WordsError> {
    *words = words.get(length(ty, words)?..).ok_or(WordsError::Shape)?;
    Ok(())
}

/// How many places [`moves`] tells of in a value of this type: floats that are no angle. The items
/// of a list share theirs.
pub(super) fn places(ty: &FieldType) -> usize {
    match ty {
        FieldType::Float { wraps, .. } => usize::from(!wraps),
        FieldType::F32 | FieldType::F64 => 1,
        FieldType::Option { of } | FieldType::List { of, .. } | FieldType::Array { of, .. } => {
            places(of)
        }
        FieldType::Tuple { items } => items.iter().map(places).sum(),
        FieldType::Struct { fields } => fields.iter().map(|field| places(&field.ty)).sum(),
        FieldType::Enum { variants } => variants.iter().map(|variant| places(&variant.ty)).sum(),
        FieldType::Unit
        | FieldType::Bool
        | FieldType::Int { .. }
        | FieldType::Rotation { .. }
        | FieldType::String { .. }
        | FieldType::Entity => 0,
    }
}

/// How far each place moves from one value to the next, at most: `far[place]`, raised.
pub(super) fn moves(
    ty: &FieldType,
    older: &mut Words<'_>,
    newer: &mut Words<'_>,
    far: &mut [f64],
) -> Result<(), WordsError> {
    match ty {
        FieldType::Float { wraps: false, .. } | FieldType::F32 | FieldType::F64 => {
            let way = number(ty, newer)? - number(ty, older)?;
            if let Some(far) = far.first_mut().filter(|_| way.is_finite()) {
                *far = far.max(way.abs());
            }
            Ok(())
        }
        FieldType::Tuple { items } => in_turn(items.iter(), older, newer, far),
        FieldType::Struct { fields } => {
            in_turn(fields.iter().map(|field| &field.ty), older, newer, far)
        }
        FieldType::Array { of, length } => {
            (0..*length).try_for_each(|_| moves(of, older, newer, far))
        }
        FieldType::Option { of } if older.first() == Some(&1) && newer.first() == Some(&1) => {
            skip(older, newer);
            moves(of, older, newer, far)
        }
        FieldType::List { of, .. } if older.first() == newer.first() => {
            let count = skip(older, newer);
            (0..count).try_for_each(|_| moves(of, older, newer, far))
        }
        FieldType::Enum { variants } if older.first() == newer.first() => {
            let at = skip(older, newer) as usize;
            let variant = variants.get(at).ok_or(WordsError::Shape)?;
            let before = variants[..at].iter().map(|variant| places(&variant.ty)).sum();
            moves(&variant.ty, older, newer, far.get_mut(before..).unwrap_or_default())
        }
        _ => {
            pass(ty, older)?;
            pass(ty, newer)
        }
    }
}

fn in_turn<'t>(
    types: impl Iterator<Item = &'t FieldType>,
    older: &mut Words<'_>,
    newer: &mut Words<'_>,
    mut far: &mut [f64],
) -> Result<(), WordsError> {
    for ty in types {
        moves(ty, older, newer, far)?;
        far = far.get_mut(places(ty)..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use referee_protocol::schema::Member;

    fn mixed(ty: &FieldType, older: &Value, newer: &Value, part: f64) -> Value {
        let words = |value: &Value| {
            let mut words = vec![];
            value.to_words(ty, &mut words).unwrap();
            words
        };
        let (older, newer) = (words(older), words(newer));
        let (mut from, mut to) = (&older[..], &newer[..]);
        let value = between(ty, &mut from, &mut to, part).unwrap();
        assert!(from.is_empty() && to.is_empty(), "all words are read");
        value
    }

    fn list(values: &[f64]) -> Value {
        Value::List(values.iter().map(|v| Value::Float(*v)).collect())
    }

    const ANGLE: FieldType = FieldType::Float { min: -180.0, max: 180.0, step: 1.0, wraps: true };
    const WHOLE: FieldType = FieldType::Int { min: 0, span: 100 };

    #[test]
    fn an_angle_goes_the_short_way_round() {
        let at = |from, to, part| mixed(&ANGLE, &Value::Float(from), &Value::Float(to), part);
        assert_eq!(at(170.0, -170.0, 0.25), Value::Float(175.0));
        assert_eq!(at(170.0, -170.0, 0.75), Value::Float(-175.0));
        assert_eq!(at(-170.0, 170.0, 0.75), Value::Float(175.0));
        assert_eq!(at(10.0, 30.0, 0.5), Value::Float(20.0));
    }

    #[test]
    fn an_orientation_turns_the_shorter_way() {
        let ty = FieldType::Rotation { bits: 16 };
        let about_z = |degrees: f32| {
            let half = degrees.to_radians() / 2.0;
            Value::rotation([0.0, 0.0, half.sin(), half.cos()])
        };
        let z = |value: &Value| value.number_of("z").unwrap();
        let half = mixed(&ty, &about_z(170.0), &about_z(-170.0), 0.5);
        assert!(z(&half).abs() > 0.999, "through 180 degrees: {half:?}");
        let half = mixed(&ty, &about_z(-20.0), &about_z(40.0), 0.5);
        assert!((z(&half) - z(&about_z(10.0))).abs() < 0.001, "{half:?}");
    }

    #[test]
    fn what_is_no_float_stays_the_older_one_inside_whatever_holds_it() {
        let fields = [("x", FieldType::F64), ("n", WHOLE), ("s", FieldType::String { max: 9 })];
        let member = |(name, ty): (&str, FieldType)| Member { name: name.into(), ty };
        let ty = FieldType::Struct { fields: fields.map(member).into() };
        let value = |x, n, s: &str| {
            let fields =
                [("x", Value::Float(x)), ("n", Value::Int(n)), ("s", Value::String(s.into()))];
            Value::Struct(fields.map(|(name, value)| (name.into(), value)).into())
        };
        let older = value(1.0, 3, "a longer");
        assert_eq!(mixed(&ty, &older, &value(2.0, 9, "b"), 0.5), value(1.5, 3, "a longer"));
    }

    #[test]
    fn lists_options_and_enums_are_mixed_inside_only_where_they_have_the_same_parts() {
        let ty = FieldType::List { of: Box::new(FieldType::F32), max: 9 };
        assert_eq!(mixed(&ty, &list(&[0.0, 4.0]), &list(&[1.0, 8.0]), 0.5), list(&[0.5, 6.0]));
        assert_eq!(mixed(&ty, &list(&[0.0, 4.0]), &list(&[1.0]), 0.5), list(&[0.0, 4.0]));
        let ty = FieldType::Option { of: Box::new(FieldType::F64) };
        let some = Value::Float;
        assert_eq!(mixed(&ty, &some(1.0), &some(2.0), 0.5), some(1.5));
        assert_eq!(mixed(&ty, &some(1.0), &Value::Null, 0.5), some(1.0));
        assert_eq!(mixed(&ty, &Value::Null, &some(2.0), 0.5), Value::Null);
        let variants = ["A", "B"].map(|name| referee_protocol::schema::VariantDef {
            name: name.into(),
            ty: FieldType::F64,
        });
        let ty = FieldType::Enum { variants: variants.into() };
        let of = |name: &str, x| Value::Variant(name.into(), Box::new(Value::Float(x)));
        assert_eq!(mixed(&ty, &of("B", 1.0), &of("B", 3.0), 0.5), of("B", 2.0));
        assert_eq!(mixed(&ty, &of("A", 1.0), &of("B", 3.0), 0.5), of("A", 1.0));
    }

    #[test]
    fn what_is_not_finite_is_not_mixed() {
        let ty = FieldType::Tuple { items: vec![FieldType::F64, FieldType::F32] };
        let inf = (f64::INFINITY.to_bits() >> 32) as u32;
        let (older, newer) = ([0, 0, 0], [0, inf, f32::NAN.to_bits()]);
        let value = between(&ty, &mut &older[..], &mut &newer[..], 0.5).unwrap();
        assert_eq!(value, list(&[0.0, 0.0]));
    }

    #[test]
    fn each_float_moves_in_a_place_of_its_own() {
        let items = FieldType::List { of: Box::new(FieldType::F32), max: 9 };
        let ty = FieldType::Tuple { items: vec![FieldType::F32, ANGLE, items] };
        assert_eq!(places(&ty), 2);
        let words = |a: f32, b: f32, c: f32| [a.to_bits(), 7, 2, b.to_bits(), c.to_bits()];
        let mut far = [0.0; 2];
        let (older, newer) = (words(1.0, 2.0, 3.0), words(1.5, 2.0, -4.0));
        moves(&ty, &mut &older[..], &mut &newer[..], &mut far).unwrap();
        assert_eq!(far, [0.5, 7.0]);
    }
}
