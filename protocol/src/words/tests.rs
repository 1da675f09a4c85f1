//! Properties of the word codec, over random types and values.

use super::*;
use crate::rotation;
use crate::schema::{Member, VariantDef};
use proptest::prelude::*;

/// Any small field type.
pub(crate) fn any_type() -> impl Strategy<Value = FieldType> {
    let leaf = prop_oneof![
        Just(FieldType::Unit),
        Just(FieldType::Bool),
        (any::<i64>(), any::<u64>(), 0u32..64)
            .prop_map(|(min, span, shift)| FieldType::Int { min: min.min(0), span: span >> shift }),
        (-100.0..100.0f64, 1.0..1000.0f64, 0.01..1.0f64, any::<bool>()).prop_map(
            |(min, size, step, wraps)| FieldType::Float { min, max: min + size, step, wraps }
        ),
        (4u32..=16).prop_map(|bits| FieldType::Rotation { bits }),
        Just(FieldType::F32),
        Just(FieldType::F64),
        (0u32..20).prop_map(|max| FieldType::String { max }),
        Just(FieldType::Entity),
    ];
    let any = leaf.prop_recursive(3, 24, 4, |inner| {
        let variants = prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            inner.clone().prop_map(|of| FieldType::Option { of: Box::new(of) }),
            (inner.clone(), 0u32..5)
                .prop_map(|(of, max)| FieldType::List { of: Box::new(of), max }),
            (inner.clone(), 0u32..4)
                .prop_map(|(of, length)| FieldType::Array { of: Box::new(of), length }),
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| FieldType::Tuple { items }),
            prop::collection::vec(inner, 0..4).prop_map(|types| FieldType::Struct {
                fields: types
                    .into_iter()
                    .enumerate()
                    .map(|(i, ty)| Member { name: format!("f{i}"), ty })
                    .collect()
            }),
            variants.prop_map(|types| FieldType::Enum {
                variants: types
                    .into_iter()
                    .enumerate()
                    .map(|(i, ty)| VariantDef { name: format!("V{i}"), ty })
                    .collect()
            }),
        ]
    });
    any.prop_filter("a list of values without data is no type", |ty| ty.check().is_ok())
}

/// A value of a type, drawn from a stream of random numbers.
pub(crate) fn random_words(ty: &FieldType, draw: &mut impl FnMut() -> u32, out: &mut Vec<u32>) {
    let mut up_to = |max: u32| match max {
        u32::MAX => draw(),
        _ => draw() % (max + 1),
    };
    match ty {
        FieldType::Unit => {}
        FieldType::Bool => out.push(up_to(1)),
        FieldType::Int { span, .. } => match u32::try_from(*span) {
            Ok(max) => out.push(up_to(max)),
            Err(_) => {
                let wide = u64::from(up_to(u32::MAX)) << 32 | u64::from(up_to(u32::MAX));
                let value = if *span == u64::MAX { wide } else { wide % (span + 1) };
                out.extend([value as u32, (value >> 32) as u32]);
            }
        },
        FieldType::Float { min, max, step, wraps } => {
            // The end of a circle is its start.
            out.push(up_to(float_span(*min, *max, *step) - u32::from(*wraps)));
        }
        FieldType::Rotation { bits } => {
            let mut part = || draw() as f32 - 2.0f32.powi(31);
            let words = rotation::to_words([part(), part(), part(), part()], *bits);
            // Where two parts are the largest, either may be left out.
            let again = rotation::to_words(rotation::from_words(&words, *bits), *bits);
            let none = rotation::to_words([0.0, 0.0, 0.0, 1.0], *bits);
            out.extend(if again == words { words } else { none });
        }
        FieldType::F32 | FieldType::Entity => out.push(up_to(u32::MAX)),
        FieldType::F64 => out.extend([up_to(u32::MAX), up_to(u32::MAX)]),
        FieldType::String { max } => {
            let len = up_to(*max);
            out.push(len);
            let mut bytes: Vec<u8> = (0..len).map(|_| b'a' + up_to(25) as u8).collect();
            bytes.resize((len as usize).div_ceil(4) * 4, 0);
            let words = bytes.chunks_exact(4);
            out.extend(words.map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]])));
        }
        FieldType::Option { of } => {
            let some = up_to(1);
            out.push(some);
            (0..some).for_each(|_| random_words(of, draw, out));
        }
        FieldType::List { of, max } => {
            let len = up_to(*max);
            out.push(len);
            (0..len).for_each(|_| random_words(of, draw, out));
        }
        FieldType::Array { of, length } => {
            (0..*length).for_each(|_| random_words(of, draw, out));
        }
        FieldType::Tuple { items } => items.iter().for_each(|ty| random_words(ty, draw, out)),
        FieldType::Struct { fields } => {
            fields.iter().for_each(|field| random_words(&field.ty, draw, out));
        }
        FieldType::Enum { variants } => {
            let at = up_to(variants.len() as u32 - 1);
            out.push(at);
            random_words(&variants[at as usize].ty, draw, out);
        }
    }
}

/// A small generator for the tests of this crate (splitmix64).
pub(crate) fn generator(mut seed: u64) -> impl FnMut() -> u32 {
    move || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (seed ^ seed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z ^ z >> 27) as u32
    }
}

proptest! {
    #[test]
    fn values_round_trip(ty in any_type(), seed: u64) {
        prop_assert_eq!(ty.check(), Ok(()));
        let mut draw = generator(seed);
        let mut new = vec![];
        random_words(&ty, &mut draw, &mut new);
        prop_assert_eq!(length(&ty, &new), Ok(new.len()));

        let mut bytes = vec![];
        let mut w = BitWriter::new(&mut bytes);
        write(&ty, &new, &mut w);
        w.finish();
        let mut r = BitReader::new(&bytes);
        let mut full = vec![];
        prop_assert_eq!(read(&ty, &mut r, &mut full), Ok(()));
        prop_assert_eq!(&full, &new);
        prop_assert_eq!(r.finish(), Ok(bytes.len()));
    }

    #[test]
    fn arbitrary_bits_never_panic_and_stay_in_range(ty in any_type(), bytes: Vec<u8>) {
        let mut out = vec![];
        if read(&ty, &mut BitReader::new(&bytes), &mut out).is_ok() {
            let mut again = vec![];
            let mut w = BitWriter::new(&mut again);
            write(&ty, &out, &mut w);
            w.finish();
            let mut back = vec![];
            prop_assert_eq!(read(&ty, &mut BitReader::new(&again), &mut back), Ok(()));
            prop_assert_eq!(back, out);
        }
    }
}

#[test]
fn references_are_renamed_wherever_they_stand() {
    let list = FieldType::List { of: Box::new(FieldType::Entity), max: 9 };
    let option = FieldType::Option { of: Box::new(FieldType::Entity) };
    let ty = FieldType::Tuple { items: vec![FieldType::F64, list, option, FieldType::Entity] };
    let mut words = vec![7, 7, 2, 7, 8, 1, 7, 8];
    map_references(&ty, &mut words, &mut |id| id + 100).unwrap();
    assert_eq!(words, [7, 7, 2, 107, 108, 1, 107, 108]);
    assert_eq!(map_references(&ty, &mut [1], &mut |id| id), Err(WordsError::Shape));
}
