//! The schema: what a game sends and accepts, described so that a client that was not compiled with
//! the game can read and write it. It travels in the handshake as MessagePack.

use serde::{Deserialize, Serialize};

use crate::hash::hash;
use crate::limits::{
    COMPONENTS_MAX, MESSAGE_TYPES_MAX, SCHEMA_MAX_BYTES, TYPE_DEPTH_MAX, VALUE_WORDS_MAX,
};

/// What decides when a room ticks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// At a fixed rate.
    Realtime,
    /// Only when something happens or is due.
    TurnBased,
}

/// The type of one field, or of a whole component. Quantised values follow it word by word
/// (see [`crate::words`]).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FieldType {
    /// Nothing: a type without data.
    Unit,
    /// True or false.
    Bool,
    /// A whole number from `min` to `min + span`. Where `min` is not negative, values are unsigned.
    Int {
        /// The smallest value.
        min: i64,
        /// The largest value, less the smallest.
        span: u64,
    },
    /// A number in a range, in steps.
    Float {
        /// The smallest value.
        min: f64,
        /// The largest value.
        max: f64,
        /// The distance between two values that differ on the wire.
        step: f64,
        /// Whether the range is a circle, its two ends the same (an angle).
        #[serde(default)]
        wraps: bool,
    },
    /// A 32-bit float, bit by bit.
    F32,
    /// A 64-bit float, bit by bit.
    F64,
    /// An orientation: a quaternion as its three smallest parts, each in so many bits (4 to 16).
    Rotation {
        /// Bits of a part.
        bits: u32,
    },
    /// Text of at most `max` bytes of UTF-8.
    String {
        /// Most bytes.
        max: u32,
    },
    /// A value or none.
    Option {
        /// The value's type.
        of: Box<Self>,
    },
    /// Up to `max` values.
    List {
        /// The values' type.
        of: Box<Self>,
        /// Most values.
        max: u32,
    },
    /// Exactly `length` values.
    Array {
        /// The values' type.
        of: Box<Self>,
        /// How many.
        length: u32,
    },
    /// Unnamed fields.
    Tuple {
        /// Their types.
        items: Vec<Self>,
    },
    /// Named fields.
    Struct {
        /// The fields, in order.
        fields: Vec<Member>,
    },
    /// One of several variants.
    Enum {
        /// The variants, in order.
        variants: Vec<VariantDef>,
    },
    /// A reference to an entity, or none.
    Entity,
}

/// A named field.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: FieldType,
}

/// A variant of an enum.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct VariantDef {
    /// Its name.
    pub name: String,
    /// Its data: `Unit` where it has none.
    #[serde(rename = "type")]
    pub ty: FieldType,
}

/// A registered type: a component, a resource, an input, an action or an event.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TypeDef {
    /// The type's name, without its path.
    pub name: String,
    /// Whether it is a resource: one value, belonging to the room itself.
    #[serde(default)]
    pub resource: bool,
    /// Its fields.
    #[serde(rename = "type")]
    pub ty: FieldType,
    /// The component that says how this one moves: each number of its fields, in units per second,
    /// stands there for the number at the same place here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moves_by: Option<u16>,
    /// Whether it rarely changes while what it belongs to does: then each time that it does not costs less, and
    /// a change more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rarely: bool,
}

/// Everything a client must know to read and write a game.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Schema {
    /// What decides when a room ticks.
    pub kind: Kind,
    /// What is sent as state. A component's number on the wire is its place here.
    pub components: Vec<TypeDef>,
    /// Sampled inputs.
    pub inputs: Vec<TypeDef>,
    /// Actions.
    pub actions: Vec<TypeDef>,
    /// One-shot events.
    pub events: Vec<TypeDef>,
    /// What is likely in this game's state, learnt from matches ([`crate::codec::Training`]); empty
    /// where nothing was learnt.
    #[serde(default, with = "serde_bytes", skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<u8>,
}

/// Why a schema, or a type in it, cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SchemaError {
    /// The bytes are no schema.
    #[error("the schema cannot be read: {0}")]
    Unreadable(String),
    /// It is too large.
    #[error(
        "the schema has {0} bytes; at most {SCHEMA_MAX_BYTES} are allowed: register fewer types"
    )]
    TooLarge(usize),
    /// It registers too many types.
    #[error("{0} {1} are registered; at most {2} are allowed")]
    TooMany(usize, &'static str, usize),
    /// One type in it is not usable.
    #[error("type {name}: {problem}")]
    Type {
        /// The type, and the field where there is one.
        name: String,
        /// What is wrong and what to change.
        problem: String,
    },
}

impl Schema {
    /// The schema as it travels.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(self).expect("a schema holds only plain data")
    }

    /// Reads and checks a schema that came from elsewhere.
    ///
    /// # Errors
    /// When it is too large, unreadable, or describes types that no game can have.
    pub fn decode(bytes: &[u8]) -> Result<Self, SchemaError> {
        if bytes.len() > SCHEMA_MAX_BYTES {
            return Err(SchemaError::TooLarge(bytes.len()));
        }
        let schema: Self =
            rmp_serde::from_slice(bytes).map_err(|e| SchemaError::Unreadable(e.to_string()))?;
        schema.check()?;
        Ok(schema)
    }

    /// The hash that the handshake compares: over [`Schema::encode`].
    #[must_use]
    pub fn hash(&self) -> u64 {
        hash(&self.encode())
    }

    /// Checks every limit.
    ///
    /// # Errors
    /// Names the first type that breaks one.
    pub fn check(&self) -> Result<(), SchemaError> {
        let lists = [
            (&self.components, "components and resources", COMPONENTS_MAX),
            (&self.inputs, "inputs", MESSAGE_TYPES_MAX),
            (&self.actions, "actions", MESSAGE_TYPES_MAX),
            (&self.events, "events", MESSAGE_TYPES_MAX),
        ];
        for (list, what, max) in lists {
            if list.len() > max {
                return Err(SchemaError::TooMany(list.len(), what, max));
            }
            for def in list {
                def.ty
                    .check()
                    .map_err(|problem| SchemaError::Type { name: def.name.clone(), problem })?;
            }
        }
        self.components.iter().try_for_each(|def| self.check_velocity(def))
    }

    /// What a component moves by must be another one that does not, in the end, move by it.
    fn check_velocity(&self, def: &TypeDef) -> Result<(), SchemaError> {
        let mut by = def.moves_by;
        for _ in 0..=self.components.len() {
            let Some(at) = by else { return Ok(()) };
            let Some(velocity) = self.components.get(usize::from(at)) else { break };
            by = velocity.moves_by;
        }
        let problem = "it moves by what is no component, or moves by itself".into();
        Err(SchemaError::Type { name: def.name.clone(), problem })
    }

    /// How many others a component's velocity depends on.
    pub(crate) fn velocity_depth(&self, component: u16) -> usize {
        let by = |at: &u16| self.components.get(usize::from(*at))?.moves_by;
        std::iter::successors(Some(component), by).take(COMPONENTS_MAX).count()
    }
}

impl FieldType {
    /// Checks the type against every limit.
    ///
    /// # Errors
    /// Says what is wrong and what to change.
    pub fn check(&self) -> Result<(), String> {
        self.check_depth(TYPE_DEPTH_MAX)?;
        let words = self.words_min();
        if words > VALUE_WORDS_MAX {
            return Err(format!("a value takes {words} words; at most {VALUE_WORDS_MAX} fit"));
        }
        Ok(())
    }

    fn check_depth(&self, left: usize) -> Result<(), String> {
        if left == 0 {
            return Err(format!("it is nested deeper than {TYPE_DEPTH_MAX} levels"));
        }
        match self {
            Self::Float { min, max, step, .. } => check_range(*min, *max, *step),
            Self::Rotation { bits } if !(4..=16).contains(bits) => {
                Err(format!("a rotation in {bits} bits a part; 4 to 16 are possible"))
            }
            Self::Int { min, span } if *min > 0 && (*min as u64).checked_add(*span).is_none() => {
                Err("its range ends above the largest 64-bit number".into())
            }
            Self::String { max } if *max as usize > VALUE_WORDS_MAX => {
                Err(format!("its text may have {max} bytes; at most {VALUE_WORDS_MAX} fit"))
            }
            Self::List { of, .. } | Self::Array { of, .. } if of.words_min() == 0 => {
                Err("a list of values without data says nothing; use a number".into())
            }
            Self::Option { of } | Self::Array { of, .. } => of.check_depth(left - 1),
            Self::List { max, .. } if *max as usize > VALUE_WORDS_MAX => {
                Err(format!("its list may have {max} values; at most {VALUE_WORDS_MAX} fit"))
            }
            Self::List { of, .. } => of.check_depth(left - 1),
            Self::Tuple { items } => items.iter().try_for_each(|ty| ty.check_depth(left - 1)),
            Self::Struct { fields } => fields.iter().try_for_each(|field| {
                field.ty.check_depth(left - 1).map_err(|e| format!("field {}: {e}", field.name))
            }),
            Self::Enum { variants } if variants.is_empty() => {
                Err("an enum without variants has no values".into())
            }
            Self::Enum { variants } => variants.iter().try_for_each(|variant| {
                variant
                    .ty
                    .check_depth(left - 1)
                    .map_err(|e| format!("variant {}: {e}", variant.name))
            }),
            Self::Unit
            | Self::Bool
            | Self::Int { .. }
            | Self::F32
            | Self::F64
            | Self::Rotation { .. }
            | Self::String { .. }
            | Self::Entity => Ok(()),
        }
    }

    /// The fewest words a value of this type takes; saturates far above every limit.
    #[must_use]
    pub fn words_min(&self) -> usize {
        match self {
            Self::Unit => 0,
            Self::Int { span, .. } => 1 + usize::from(*span > u64::from(u32::MAX)),
            Self::F64 => 2,
            Self::Rotation { .. } => 4,
            Self::Array { of, length } => of.words_min().saturating_mul(*length as usize),
            Self::Tuple { items } => items.iter().fold(0, |n, ty| n.saturating_add(ty.words_min())),
            Self::Struct { fields } => {
                fields.iter().fold(0, |n, field| n.saturating_add(field.ty.words_min()))
            }
            Self::Enum { variants } => {
                1 + variants.iter().map(|v| v.ty.words_min()).min().unwrap_or(0)
            }
            Self::Bool
            | Self::Float { .. }
            | Self::F32
            | Self::String { .. }
            | Self::Option { .. }
            | Self::List { .. }
            | Self::Entity => 1,
        }
    }

    /// Whether a value of this type may hold a reference to an entity.
    #[must_use]
    pub fn has_references(&self) -> bool {
        match self {
            Self::Entity => true,
            Self::Option { of } | Self::List { of, .. } | Self::Array { of, .. } => {
                of.has_references()
            }
            Self::Tuple { items } => items.iter().any(Self::has_references),
            Self::Struct { fields } => fields.iter().any(|field| field.ty.has_references()),
            Self::Enum { variants } => variants.iter().any(|variant| variant.ty.has_references()),
            Self::Unit
            | Self::Bool
            | Self::Int { .. }
            | Self::Float { .. }
            | Self::F32
            | Self::F64
            | Self::Rotation { .. }
            | Self::String { .. } => false,
        }
    }
}

/// The steps of a float's range: the largest word a value may have.
#[must_use]
pub fn float_span(min: f64, max: f64, step: f64) -> u32 {
    ((max - min) / step).round().clamp(0.0, f64::from(u32::MAX)) as u32
}

fn check_range(min: f64, max: f64, step: f64) -> Result<(), String> {
    if !(min.is_finite() && max.is_finite() && step.is_finite()) || max <= min || step <= 0.0 {
        return Err(format!(
            "its range {min}..={max} in steps of {step} is empty; use range = low..=high with \
             low < high, and step > 0"
        ));
    }
    if (max - min) / step > f64::from(u32::MAX) {
        return Err(format!(
            "its range {min}..={max} has more than 2^32 steps of {step}; use a larger step, or no \
             range for a lossless float"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_survives_its_journey() {
        let ty = FieldType::Struct {
            fields: vec![
                Member { name: "n".into(), ty: FieldType::Int { min: -3, span: u64::MAX } },
                Member {
                    name: "a".into(),
                    ty: FieldType::Float { min: 0.0, max: 6.5, step: 0.1, wraps: true },
                },
            ],
        };
        let schema = Schema {
            kind: Kind::TurnBased,
            components: vec![TypeDef {
                name: "C".into(),
                resource: true,
                ty,
                moves_by: None,
                rarely: false,
            }],
            inputs: vec![],
            actions: vec![TypeDef {
                name: "Go".into(),
                resource: false,
                ty: FieldType::Unit,
                moves_by: None,
                rarely: false,
            }],
            events: vec![],
            tables: vec![1, 200, 3],
        };
        assert_eq!(Schema::decode(&schema.encode()).as_ref(), Ok(&schema));
    }

    #[test]
    fn impossible_types_are_refused() {
        let nested = (0..20).fold(FieldType::Bool, |ty, _| FieldType::Option { of: Box::new(ty) });
        assert!(nested.check().is_err_and(|e| e.contains("nested")));
        let big = FieldType::Array { of: Box::new(FieldType::Bool), length: u32::MAX };
        assert!(big.check().is_err_and(|e| e.contains("words")));
        let empty = FieldType::Float { min: 1.0, max: 1.0, step: 0.1, wraps: false };
        assert!(empty.check().is_err_and(|e| e.contains("range")));
    }
}
