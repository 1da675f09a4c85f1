//! Numbers, booleans and vectors of floats.

use glam::{Quat, Vec2, Vec3};
use referee_protocol::rotation;
use referee_protocol::schema::{FieldType, Member};
use referee_protocol::value::{float_value, float_word};

use super::{Field, Hints, LoadError, Loader, Quantiser, Saver, Words};
use crate::layout::{Layout, Part};

macro_rules! integers {
    ($($int:ty),*) => {$(
        impl Field for $int {
            fn shape(hints: &Hints) -> Result<FieldType, String> {
                if hints.range.is_some() || hints.step.is_some() || hints.wraps {
                    return Err("an integer knows min and max, not range, step or wraps".into());
                }
                let low = i128::from(<$int>::MIN).max(i128::from(i64::MIN));
                let min = hints.min.map_or(low, i128::from);
                let max = hints.max.map_or(i128::from(<$int>::MAX), i128::from);
                if min < low || max > i128::from(<$int>::MAX) || max < min {
                    return Err(format!(
                        "min {min} and max {max} do not fit {}", stringify!($int)
                    ));
                }
                Ok(FieldType::Int { min: min as i64, span: (max - min) as u64 })
            }

            fn quantise(&self, ty: &FieldType, out: &mut Quantiser<'_>) {
                let FieldType::Int { min, span } = ty else { panic!("{ty:?} is no integer") };
                out.integer(i128::from(*self), *min, *span);
            }

            fn restore(ty: &FieldType, from: &mut Words<'_>) -> Option<Self> {
                let FieldType::Int { min, span } = ty else { return None };
                Self::try_from(from.integer(*min, *span)?).ok()
            }

            fn save(&self, out: &mut Saver<'_>) {
                out.raw(&self.to_le_bytes());
            }

            fn load(from: &mut Loader<'_>) -> Result<Self, LoadError> {
                Ok(Self::from_le_bytes(from.array()?))
            }

            fn layout() -> Layout {
                Layout::Int { bits: <$int>::BITS as u8, signed: <$int>::MIN != 0 }
            }
        }
    )*};
}

integers!(u8, u16, u32, u64, i8, i16, i32, i64);

impl Field for bool {
    fn shape(_: &Hints) -> Result<FieldType, String> {
        Ok(FieldType::Bool)
    }

    fn quantise(&self, _: &FieldType, out: &mut Quantiser<'_>) {
        out.word(u32::from(*self));
    }

    fn restore(_: &FieldType, from: &mut Words<'_>) -> Option<Self> {
        Some(from.word()? != 0)
    }

    fn save(&self, out: &mut Saver<'_>) {
        out.raw(&[u8::from(*self)]);
    }

    fn load(from: &mut Loader<'_>) -> Result<Self, LoadError> {
        Ok(from.array::<1>()? != [0])
    }

    fn layout() -> Layout {
        Layout::Bool
    }
}

/// The shape of a float: stepped where the author gave a range, else `lossless`.
fn float_shape(hints: &Hints, lossless: FieldType) -> Result<FieldType, String> {
    match (hints.range, hints.step) {
        (None, None) if !hints.wraps => Ok(lossless),
        (Some((min, max)), Some(step)) => {
            Ok(FieldType::Float { min, max, step, wraps: hints.wraps })
        }
        _ => Err("a float in steps needs both: range = low..=high, step = s".into()),
    }
}

fn quantise_float(value: f64, ty: &FieldType, out: &mut Quantiser<'_>) {
    let FieldType::Float { min, max, step, wraps } = ty else { panic!("{ty:?} has no steps") };
    // Half a step beyond the ends still rounds to them.
    let outside = value < min - step / 2.0 || value > max + step / 2.0;
    out.clamped += u32::from(!value.is_finite() || outside && !wraps);
    out.word(float_word(value, *min, *max, *step, *wraps));
}

macro_rules! floats {
    ($float:ty, $lossless:ident, $quantise:expr, $restore:expr) => {
        impl Field for $float {
            fn shape(hints: &Hints) -> Result<FieldType, String> {
                float_shape(hints, FieldType::$lossless)
            }

            fn quantise(&self, ty: &FieldType, out: &mut Quantiser<'_>) {
                match ty {
                    FieldType::$lossless => {
                        out.clamped += u32::from(!self.is_finite());
                        let write: fn(Self, &mut Quantiser<'_>) = $quantise;
                        write(*self, out);
                    }
                    _ => quantise_float(f64::from(*self), ty, out),
                }
            }

            fn restore(ty: &FieldType, from: &mut Words<'_>) -> Option<Self> {
                let value = match ty {
                    FieldType::$lossless => {
                        let read: fn(&mut Words<'_>) -> Option<Self> = $restore;
                        read(from)?
                    }
                    FieldType::Float { min, step, .. } => {
                        float_value(from.word()?, *min, *step) as Self
                    }
                    _ => return None,
                };
                value.is_finite().then_some(value)
            }

            fn save(&self, out: &mut Saver<'_>) {
                out.raw(&self.to_le_bytes());
            }

            fn load(from: &mut Loader<'_>) -> Result<Self, LoadError> {
                Ok(Self::from_le_bytes(from.array()?))
            }

            fn layout() -> Layout {
                Layout::$lossless
            }
        }
    };
}

floats!(f32, F32, |v, out| out.word(v.to_bits()), |from| Some(Self::from_bits(from.word()?)));
floats!(
    f64,
    F64,
    |v, out| {
        let bits = v.to_bits();
        out.word(bits as u32);
        out.word((bits >> 32) as u32);
    },
    |from| {
        let low = u64::from(from.word()?);
        Some(Self::from_bits(u64::from(from.word()?) << 32 | low))
    }
);

macro_rules! vectors {
    ($vector:ty, $($axis:ident),*) => {
        impl Field for $vector {
            fn shape(hints: &Hints) -> Result<FieldType, String> {
                let ty = f32::shape(hints)?;
                let fields = [$(stringify!($axis)),*];
                let member = |name: &str| Member { name: name.to_owned(), ty: ty.clone() };
                Ok(FieldType::Struct { fields: fields.into_iter().map(member).collect() })
            }

            fn quantise(&self, ty: &FieldType, out: &mut Quantiser<'_>) {
                let axis = super::part(ty, 0);
                $(self.$axis.quantise(axis, out);)*
            }

            fn restore(ty: &FieldType, from: &mut Words<'_>) -> Option<Self> {
                let axis = super::part(ty, 0);
                Some(Self { $($axis: f32::restore(axis, from)?),* })
            }

            fn save(&self, out: &mut Saver<'_>) {
                $(self.$axis.save(out);)*
            }

            fn load(from: &mut Loader<'_>) -> Result<Self, LoadError> {
                Ok(Self { $($axis: f32::load(from)?),* })
            }

            fn layout() -> Layout {
                Layout::Struct(vec![$(Part::new(stringify!($axis), Layout::F32)),*])
            }
        }
    };
}

/// Bits for each part of an orientation, unless the author says otherwise: steps of 0.2 degrees.
const ROTATION_BITS: u32 = 10;

impl Field for Quat {
    fn shape(hints: &Hints) -> Result<FieldType, String> {
        if (Hints { bits: None, ..hints.clone() }) != Hints::default() {
            return Err("an orientation knows bits = 4 to 16, and nothing else".into());
        }
        Ok(FieldType::Rotation { bits: hints.bits.unwrap_or(ROTATION_BITS) })
    }

    fn quantise(&self, ty: &FieldType, out: &mut Quantiser<'_>) {
        let FieldType::Rotation { bits } = ty else { panic!("{ty:?} is no orientation") };
        out.clamped += u32::from(!self.is_finite());
        rotation::to_words(self.to_array(), *bits).into_iter().for_each(|word| out.word(word));
    }

    fn restore(ty: &FieldType, from: &mut Words<'_>) -> Option<Self> {
        let FieldType::Rotation { bits } = ty else { return None };
        let words = [from.word()?, from.word()?, from.word()?, from.word()?];
        Some(Self::from_array(rotation::from_words(&words, *bits)))
    }

    fn save(&self, out: &mut Saver<'_>) {
        self.to_array().iter().for_each(|part| part.save(out));
    }

    fn load(from: &mut Loader<'_>) -> Result<Self, LoadError> {
        Ok(Self::from_xyzw(f32::load(from)?, f32::load(from)?, f32::load(from)?, f32::load(from)?))
    }

    fn layout() -> Layout {
        let part = |name| Part::new(name, Layout::F32);
        Layout::Struct(["x", "y", "z", "w"].map(part).into())
    }
}

vectors!(Vec2, x, y);
vectors!(Vec3, x, y, z);
