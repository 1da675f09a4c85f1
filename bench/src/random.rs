//! Random values of any type that a schema describes: what a light client does with its controls.

use referee_protocol::{FieldType, Value};

/// A small generator: loads must be the same on each run, not unpredictable.
#[derive(Debug)]
pub(crate) struct Random(u64);

/// A button is held down in one sample out of so many.
const DOWN_ONE_IN: u64 = 8;

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// splitmix64.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to 1.
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// A value of this type. Lists and texts are empty, options and references are none.
    pub(crate) fn value(&mut self, ty: &FieldType) -> Value {
        match ty {
            FieldType::Unit | FieldType::Option { .. } | FieldType::Entity => Value::Null,
            FieldType::Bool => Value::Bool(self.next().is_multiple_of(DOWN_ONE_IN)),
            FieldType::Int { min, span } => {
                let steps = u128::from(self.next()) % (u128::from(*span) + 1);
                Value::Int(i128::from(*min) + steps as i128)
            }
            FieldType::Float { min, max, .. } => Value::Float(min + (max - min) * self.fraction()),
            FieldType::F32 | FieldType::F64 => Value::Float(self.fraction()),
            FieldType::String { .. } => Value::String(String::new()),
            FieldType::List { .. } => Value::List(Vec::new()),
            FieldType::Array { of, length } => {
                Value::List((0..*length).map(|_| self.value(of)).collect())
            }
            FieldType::Tuple { items } => {
                Value::List(items.iter().map(|ty| self.value(ty)).collect())
            }
            FieldType::Struct { fields } => Value::Struct(
                fields.iter().map(|field| (field.name.clone(), self.value(&field.ty))).collect(),
            ),
            FieldType::Enum { variants } => {
                let variant = &variants[self.below(variants.len())];
                Value::Variant(variant.name.clone(), Box::new(self.value(&variant.ty)))
            }
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
            assert_eq!(random.value(&ty).to_words(&ty, &mut words), Ok(()));
        }
    }
}
