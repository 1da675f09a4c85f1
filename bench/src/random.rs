//! Random values of any type that a schema describes: what a light client does with its controls.

use referee_client_tokio::referee_client::Random;
use referee_protocol::{FieldType, Value};

/// A button is held down in one sample out of so many.
const DOWN_ONE_IN: u64 = 8;

/// A value of this type. Lists and texts are empty, options and references are none.
pub(crate) fn value(random: &mut Random, ty: &FieldType) -> Value {
    match ty {
        FieldType::Unit | FieldType::Option { .. } | FieldType::Entity => Value::Null,
        FieldType::Bool => Value::Bool(random.bits().is_multiple_of(DOWN_ONE_IN)),
        FieldType::Int { min, span } => {
            let steps = u128::from(random.bits()) % (u128::from(*span) + 1);
            Value::Int(i128::from(*min) + steps as i128)
        }
        FieldType::Float { min, max, .. } => Value::Float(min + (max - min) * random.unit()),
        FieldType::F32 | FieldType::F64 => Value::Float(random.unit()),
        FieldType::Rotation { .. } => {
            Value::rotation([0, 1, 2, 3].map(|_| random.unit() as f32 - 0.5))
        }
        FieldType::String { .. } => Value::String(String::new()),
        FieldType::List { .. } => Value::List(Vec::new()),
        FieldType::Array { of, length } => {
            Value::List((0..*length).map(|_| value(random, of)).collect())
        }
        FieldType::Tuple { items } => {
            Value::List(items.iter().map(|ty| value(random, ty)).collect())
        }
        FieldType::Struct { fields } => Value::Struct(
            fields.iter().map(|field| (field.name.clone(), value(random, &field.ty))).collect(),
        ),
        FieldType::Enum { variants } => {
            let variant = &variants[random.below(variants.len() as u64) as usize];
            Value::Variant(variant.name.clone(), Box::new(value(random, &variant.ty)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use referee_protocol::{Member, VariantDef};

    #[test]
    fn a_random_value_follows_its_type() {
        let member = |name: &str, ty| Member { name: name.to_owned(), ty };
        let float = FieldType::Float { min: -1.0, max: 1.0, step: 0.1, wraps: false };
        let variant = VariantDef { name: "a".to_owned(), ty: FieldType::F64 };
        let ty = FieldType::Struct {
            fields: vec![
                member("x", float),
                member("n", FieldType::Int { min: i64::MIN, span: u64::MAX }),
                member("fire", FieldType::Bool),
                member("e", FieldType::Enum { variants: vec![variant] }),
                member("l", FieldType::Array { of: Box::new(FieldType::F32), length: 2 }),
                member("o", FieldType::Option { of: Box::new(FieldType::Entity) }),
                member("s", FieldType::String { max: 3 }),
                member("t", FieldType::Tuple { items: vec![FieldType::Unit] }),
            ],
        };
        let mut random = Random::new(1);
        for _ in 0..100 {
            let mut words = Vec::new();
            assert_eq!(value(&mut random, &ty).to_words(&ty, &mut words), Ok(()));
        }
    }
}
