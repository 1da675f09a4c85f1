//! Values without a compiled type: what a client that knows only the schema reads and writes.

use crate::rotation;
use crate::schema::{FieldType, float_span};
use crate::words::WordsError;

/// A value as the schema describes it.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// Nothing: an absent option, or a type without data.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number. Wide enough for every 64-bit number of either sign.
    Int(i128),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    String(String),
    /// Values in order: a list, an array or a tuple.
    List(Vec<Self>),
    /// Named fields in the schema's order.
    Struct(Vec<(String, Self)>),
    /// A variant and its data (`Null` where it has none).
    Variant(String, Box<Self>),
    /// An entity by its wire id.
    Entity(u32),
}

/// Why a value does not fit its type.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}{problem}", if path.is_empty() { String::new() } else { format!("{path}: ") })]
pub struct ValueError {
    /// Which part of the value, as `field.field[index]`; empty for the whole.
    pub path: String,
    /// What is wrong and what would fit.
    pub problem: String,
}

impl ValueError {
    fn new(problem: impl Into<String>) -> Self {
        Self { path: String::new(), problem: problem.into() }
    }

    fn within(mut self, outer: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{outer}{dot}{}", self.path);
        self
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number.into())
    }
}

impl From<bool> for Value {
    fn from(is_so: bool) -> Self {
        Self::Bool(is_so)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl Value {
    /// A struct of these fields, in any order: `Value::record([("x", 0.5.into()), ("fire", true.into())])`.
    #[must_use]
    pub fn record<const N: usize>(fields: [(&str, Self); N]) -> Self {
        Self::Struct(fields.map(|(name, value)| (name.to_owned(), value)).into())
    }

    /// The field of this name, where this is a struct that has it.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Struct(fields) => fields.iter().find(|(n, _)| n == name).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The number, where this is one.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(v) => Some(*v as f64),
            Self::Float(v) => Some(*v),
            _ => None,
        }
    }

    /// The whole number, where this is one that fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(v) => i64::try_from(*v).ok(),
            _ => None,
        }
    }

    /// Whether it is true, where this is true or false.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(v) => Some(*v),
            _ => None,
        }
    }

    /// The number in the field of this name.
    #[must_use]
    pub fn number_of(&self, name: &str) -> Option<f64> {
        self.field(name)?.as_f64()
    }

    /// The values of a list, an array or a tuple.
    #[must_use]
    pub fn items(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// The name of the variant, where this is one of an enum.
    #[must_use]
    pub fn variant(&self) -> Option<&str> {
        match self {
            Self::Variant(name, _) => Some(name),
            _ => None,
        }
    }

    fn noun(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::String(_) => "text",
            Self::List(_) => "a list",
            Self::Struct(_) | Self::Variant(..) => "an object",
            Self::Entity(_) => "an entity",
        }
    }

    /// Appends the value's words.
    ///
    /// # Errors
    /// Says which part does not fit the type, and what would.
    pub fn to_words(&self, ty: &FieldType, out: &mut Vec<u32>) -> Result<(), ValueError> {
        match (ty, self) {
            (FieldType::Unit, Self::Null) => Ok(()),
            (FieldType::Unit, Self::Struct(fields)) if fields.is_empty() => Ok(()),
            (FieldType::Bool, Self::Bool(v)) => push_word(out, u32::from(*v)),
            (FieldType::Int { min, span }, _) => self.int_words(*min, *span, out),
            (FieldType::Float { min, max, step, wraps }, _) => {
                push_word(out, float_word(self.number()?, *min, *max, *step, *wraps))
            }
            (FieldType::F32, _) => push_word(out, (self.number()? as f32).to_bits()),
            (FieldType::F64, _) => {
                let bits = self.number()?.to_bits();
                [bits as u32, (bits >> 32) as u32].into_iter().try_for_each(|w| push_word(out, w))
            }
            (FieldType::Rotation { bits }, Self::Struct(_)) => self.rotation_words(*bits, out),
            (FieldType::String { max }, Self::String(text)) => string_words(text, *max, out),
            (FieldType::Option { .. }, Self::Null) => push_word(out, 0),
            (FieldType::Option { of }, some) => {
                out.push(1);
                some.to_words(of, out)
            }
            (FieldType::List { of, max }, Self::List(items)) => {
                if items.len() > *max as usize {
                    return Err(ValueError::new(format!(
                        "has {} values; at most {max} are allowed",
                        items.len()
                    )));
                }
                out.push(items.len() as u32);
                items_words(items, |_| of, out)
            }
            (FieldType::Array { of, length }, Self::List(items)) => {
                expect_length(items.len(), *length as usize)?;
                items_words(items, |_| of, out)
            }
            (FieldType::Tuple { items: types }, Self::List(items)) => {
                expect_length(items.len(), types.len())?;
                items_words(items, |at| &types[at], out)
            }
            (FieldType::Struct { fields }, Self::Struct(given)) => {
                if let Some((name, _)) =
                    given.iter().find(|(n, _)| fields.iter().all(|f| f.name != *n))
                {
                    let names: Vec<_> = fields.iter().map(|f| f.name.as_str()).collect();
                    return Err(ValueError::new(format!(
                        "has no field {name}; its fields are {}",
                        names.join(", ")
                    )));
                }
                fields.iter().try_for_each(|field| {
                    let value = self.field(&field.name).unwrap_or(&Self::Null);
                    value.to_words(&field.ty, out).map_err(|e| e.within(&field.name))
                })
            }
            (FieldType::Enum { .. }, Self::String(name)) => {
                variant_words(ty, name, &Self::Null, out)
            }
            (FieldType::Enum { .. }, Self::Variant(name, data)) => {
                variant_words(ty, name, data, out)
            }
            (FieldType::Enum { .. }, Self::Struct(fields)) if fields.len() == 1 => {
                variant_words(ty, &fields[0].0, &fields[0].1, out)
            }
            (FieldType::Entity, Self::Entity(id)) => push_word(out, *id),
            (FieldType::Entity, Self::Null) => push_word(out, 0),
            (FieldType::Entity, Self::Int(id)) => push_word(
                out,
                u32::try_from(*id).map_err(|_| ValueError::new(format!("{id} is no entity")))?,
            ),
            _ => Err(ValueError::new(format!("is {}; {} is expected", self.noun(), noun(ty)))),
        }
    }

    fn rotation_words(&self, bits: u32, out: &mut Vec<u32>) -> Result<(), ValueError> {
        let mut parts = [0.0; 4];
        for (part, name) in parts.iter_mut().zip(ROTATION_PARTS) {
            let value = self.field(name).unwrap_or(&Self::Null);
            *part = value.number().map_err(|e| e.within(name))? as f32;
        }
        out.extend(rotation::to_words(parts, bits));
        Ok(())
    }

    fn number(&self) -> Result<f64, ValueError> {
        match self {
            Self::Int(v) => Ok(*v as f64),
            Self::Float(v) if v.is_finite() => Ok(*v),
            Self::Float(v) => Err(ValueError::new(format!("is {v}; a finite number is expected"))),
            _ => Err(ValueError::new(format!("is {}; a number is expected", self.noun()))),
        }
    }

    fn int_words(&self, min: i64, span: u64, out: &mut Vec<u32>) -> Result<(), ValueError> {
        let value = match self {
            Self::Int(v) => *v,
            Self::Float(v) if v.fract() == 0.0 && v.abs() < 9.0e15 => *v as i128,
            _ => {
                let was = self.noun();
                return Err(ValueError::new(format!("is {was}; a whole number is expected")));
            }
        };
        let max = i128::from(min) + i128::from(span);
        if value < i128::from(min) || value > max {
            return Err(ValueError::new(format!("is {value}; {min} to {max} is allowed")));
        }
        let word = (value - i128::from(min)) as u64;
        out.push(word as u32);
        if span > u64::from(u32::MAX) {
            out.push((word >> 32) as u32);
        }
        Ok(())
    }

    /// An orientation: x, y, z, w.
    #[must_use]
    pub fn rotation(parts: rotation::Quaternion) -> Self {
        let named = ROTATION_PARTS.map(str::to_owned).into_iter().zip(parts);
        Self::Struct(named.map(|(name, part)| (name, Self::Float(part.into()))).collect())
    }

    /// Reads one value off the front of `words`.
    ///
    /// # Errors
    /// When the words do not follow the type.
    pub fn from_words(ty: &FieldType, words: &mut &[u32]) -> Result<Self, WordsError> {
        Ok(match ty {
            FieldType::Unit => Self::Null,
            FieldType::Bool => Self::Bool(word(words)? != 0),
            FieldType::Int { min, span } => {
                let low = u64::from(word(words)?);
                let wide = *span > u64::from(u32::MAX);
                let high = if wide { u64::from(word(words)?) } else { 0 };
                Self::Int(i128::from(*min) + i128::from(high << 32 | low))
            }
            FieldType::Float { min, step, .. } => {
                Self::Float(float_value(word(words)?, *min, *step))
            }
            FieldType::F32 => Self::Float(f64::from(f32::from_bits(word(words)?))),
            FieldType::F64 => {
                let low = u64::from(word(words)?);
                Self::Float(f64::from_bits(u64::from(word(words)?) << 32 | low))
            }
            FieldType::Rotation { bits } => {
                let (value, rest) = words.split_at_checked(4).ok_or(WordsError::Shape)?;
                *words = rest;
                Self::rotation(rotation::from_words(value, *bits))
            }
            FieldType::String { .. } => Self::String(string_value(words)?),
            FieldType::Option { of } => match word(words)? {
                0 => Self::Null,
                _ => Self::from_words(of, words)?,
            },
            FieldType::List { of, max } => {
                let len = word(words)?;
                if len > *max {
                    return Err(WordsError::Range);
                }
                Self::list((0..len).map(|_| of.as_ref()), words)?
            }
            FieldType::Array { of, length } => {
                Self::list((0..*length).map(|_| of.as_ref()), words)?
            }
            FieldType::Tuple { items } => Self::list(items.iter(), words)?,
            FieldType::Struct { fields } => Self::Struct(
                fields
                    .iter()
                    .map(|f| Ok((f.name.clone(), Self::from_words(&f.ty, words)?)))
                    .collect::<Result<_, WordsError>>()?,
            ),
            FieldType::Enum { variants } => {
                let variant = variants.get(word(words)? as usize).ok_or(WordsError::Shape)?;
                let data = Self::from_words(&variant.ty, words)?;
                Self::Variant(variant.name.clone(), Box::new(data))
            }
            FieldType::Entity => match word(words)? {
                0 => Self::Null,
                id => Self::Entity(id),
            },
        })
    }

    fn list<'a>(
        types: impl Iterator<Item = &'a FieldType>,
        words: &mut &[u32],
    ) -> Result<Self, WordsError> {
        types.map(|ty| Self::from_words(ty, words)).collect::<Result<_, _>>().map(Self::List)
    }
}

/// The names of a rotation's parts.
const ROTATION_PARTS: [&str; 4] = ["x", "y", "z", "w"];

fn noun(ty: &FieldType) -> &'static str {
    match ty {
        FieldType::Unit => "nothing",
        FieldType::Bool => "a boolean",
        FieldType::Int { .. } => "a whole number",
        FieldType::Float { .. } | FieldType::F32 | FieldType::F64 => "a number",
        FieldType::String { .. } => "text",
        FieldType::Option { .. } => "a value or nothing",
        FieldType::List { .. } | FieldType::Array { .. } | FieldType::Tuple { .. } => "a list",
        FieldType::Struct { .. } => "an object",
        FieldType::Rotation { .. } => "an object with x, y, z and w",
        FieldType::Enum { .. } => "the name of a variant, or an object with one",
        FieldType::Entity => "an entity or nothing",
    }
}

fn word(words: &mut &[u32]) -> Result<u32, WordsError> {
    let (&first, rest) = words.split_first().ok_or(WordsError::Shape)?;
    *words = rest;
    Ok(first)
}

#[expect(clippy::unnecessary_wraps, reason = "so that each arm of to_words is one expression")]
fn push_word(out: &mut Vec<u32>, word: u32) -> Result<(), ValueError> {
    out.push(word);
    Ok(())
}

fn expect_length(is: usize, should: usize) -> Result<(), ValueError> {
    if is == should {
        return Ok(());
    }
    Err(ValueError::new(format!("has {is} values; exactly {should} are expected")))
}

fn items_words<'a>(
    items: &[Value],
    ty: impl Fn(usize) -> &'a FieldType,
    out: &mut Vec<u32>,
) -> Result<(), ValueError> {
    items.iter().enumerate().try_for_each(|(at, item)| {
        item.to_words(ty(at), out).map_err(|e| e.within(&format!("[{at}]")))
    })
}

fn variant_words(
    ty: &FieldType,
    name: &str,
    data: &Value,
    out: &mut Vec<u32>,
) -> Result<(), ValueError> {
    let FieldType::Enum { variants } = ty else { return Err(ValueError::new("is no enum")) };
    let Some(at) = variants.iter().position(|v| v.name == name) else {
        let names: Vec<_> = variants.iter().map(|v| v.name.as_str()).collect();
        return Err(ValueError::new(format!("is {name}; one of {} is expected", names.join(", "))));
    };
    out.push(at as u32);
    data.to_words(&variants[at].ty, out).map_err(|e| e.within(name))
}

fn string_words(text: &str, max: u32, out: &mut Vec<u32>) -> Result<(), ValueError> {
    if text.len() > max as usize {
        let len = text.len();
        return Err(ValueError::new(format!("has {len} bytes; at most {max} are allowed")));
    }
    push_string(text, out);
    Ok(())
}

/// Appends a text's words: its length in bytes, then the bytes, four to a word.
pub fn push_string(text: &str, out: &mut Vec<u32>) {
    out.push(text.len() as u32);
    for chunk in text.as_bytes().chunks(4) {
        let mut bytes = [0; 4];
        bytes[..chunk.len()].copy_from_slice(chunk);
        out.push(u32::from_le_bytes(bytes));
    }
}

/// Reads a text off the front of `words`; what is not UTF-8 is replaced.
///
/// # Errors
/// When there are fewer words than the length says.
pub fn string_value(words: &mut &[u32]) -> Result<String, WordsError> {
    let len = word(words)? as usize;
    let (packed, rest) = words.split_at_checked(len.div_ceil(4)).ok_or(WordsError::Shape)?;
    *words = rest;
    let mut bytes: Vec<u8> = packed.iter().flat_map(|w| w.to_le_bytes()).collect();
    bytes.truncate(len);
    Ok(String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into()))
}

/// The word of a number in a stepped range. What lies outside is clamped, or turned round where
/// the range is a circle; what is not a number becomes the smallest value.
#[must_use]
pub fn float_word(value: f64, min: f64, max: f64, step: f64, wraps: bool) -> u32 {
    let span = float_span(min, max, step);
    if !value.is_finite() {
        return if value == f64::INFINITY { span } else { 0 };
    }
    let inside = if wraps { min + (value - min).rem_euclid(max - min) } else { value };
    let word = ((inside.clamp(min, max) - min) / step).round() as u32;
    if wraps && word >= span { 0 } else { word.min(span) }
}

/// The number that a word of a stepped range stands for.
#[must_use]
pub fn float_value(word: u32, min: f64, step: f64) -> f64 {
    min + f64::from(word) * step
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::tests::{any_type, generator, random_words};
    use proptest::prelude::*;

    fn finite(ty: &FieldType, words: &[u32]) -> bool {
        // Lossless floats may be NaN, and options nest: both are told apart by words alone.
        let mut rest = words;
        let value = Value::from_words(ty, &mut rest);
        value.is_ok_and(|v| !format!("{v:?}").contains("NaN") && !format!("{v:?}").contains("inf"))
    }

    fn nested_options(ty: &FieldType) -> bool {
        format!("{ty:?}").contains("Option { of: Option")
            || format!("{ty:?}").contains("Option { of: Unit")
            || format!("{ty:?}").contains("Option { of: Entity")
    }

    proptest! {
        #[test]
        fn words_to_value_and_back(ty in any_type(), seed: u64) {
            let mut words = vec![];
            random_words(&ty, &mut generator(seed), &mut words);
            if !finite(&ty, &words) || nested_options(&ty) {
                return Ok(()); // told apart by words alone
            }
            let mut rest = &words[..];
            let value = Value::from_words(&ty, &mut rest).unwrap();
            prop_assert!(rest.is_empty());
            let mut again = vec![];
            prop_assert_eq!(value.to_words(&ty, &mut again), Ok(()));
            prop_assert_eq!(again, words);
        }

        #[test]
        fn arbitrary_words_never_panic(ty in any_type(), words: Vec<u32>) {
            let _ = Value::from_words(&ty, &mut &words[..]);
        }
    }

    #[test]
    fn parts_are_read_by_name_and_kind() {
        let list = Value::List(vec![Value::Float(0.5), Value::Bool(true)]);
        let mark = Value::Variant("X".into(), Box::new(Value::Null));
        let fields = [("hp", Value::Int(7)), ("list", list), ("mark", mark)];
        let value = Value::Struct(fields.map(|(name, value)| (name.into(), value)).into());
        assert_eq!((value.number_of("hp"), value.number_of("mark")), (Some(7.0), None));
        let hp = value.field("hp").unwrap();
        assert_eq!((hp.as_i64(), hp.as_bool(), hp.variant()), (Some(7), None, None));
        assert_eq!(Value::Int(i128::MAX).as_i64(), None);
        let items = value.field("list").and_then(Value::items).unwrap();
        assert_eq!((items[0].as_f64(), items[1].as_bool()), (Some(0.5), Some(true)));
        assert_eq!(value.field("mark").and_then(Value::variant), Some("X"));
    }

    #[test]
    fn errors_name_the_part() {
        use crate::schema::Member;
        let cell = FieldType::Int { min: 0, span: 8 };
        let ty = FieldType::Struct { fields: vec![Member { name: "cell".into(), ty: cell }] };
        let value = Value::Struct(vec![("cell".into(), Value::Int(9))]);
        let error = value.to_words(&ty, &mut vec![]).unwrap_err();
        assert_eq!(error.to_string(), "cell: is 9; 0 to 8 is allowed");
        let typo = Value::Struct(vec![("cel".into(), Value::Int(1))]);
        assert!(typo.to_words(&ty, &mut vec![]).unwrap_err().to_string().contains("no field cel"));
    }

    #[test]
    fn a_circle_wraps() {
        let word = |v| float_word(v, 0.0, 360.0, 1.0, true);
        assert_eq!(
            (word(0.0), word(360.0), word(-1.0), word(359.6), word(720.5)),
            (0, 0, 359, 0, 1)
        );
    }
}
