//! Texts, options, lists, arrays, tuples and references.

use bevy_ecs::entity::Entity;
use referee_protocol::schema::FieldType;
use referee_protocol::value::push_string;

use super::{Field, Hints, LoadError, Loader, Quantiser, Saver, Words};
use crate::layout::Layout;

fn max_of(hints: &Hints, what: &str) -> Result<u32, String> {
    let max = hints.max.ok_or_else(|| format!("{what} needs its maximum: #[field(max = ..)]"))?;
    u32::try_from(max).map_err(|_| format!("max = {max} is too large"))
}

impl Field for String {
    fn shape(hints: &Hints) -> Result<FieldType, String> {
        Ok(FieldType::String { max: max_of(hints, "a text")? })
    }

    fn quantise(&self, ty: &FieldType, out: &mut Quantiser<'_>) {
        let FieldType::String { max } = ty else { panic!("{ty:?} is no text") };
        let mut end = self.len().min(*max as usize);
        while !self.is_char_boundary(end) {
            end -= 1;
        }
        out.clamped += u32::from(end < self.len());
        push_string(&self[..end], out.words);
    }

    fn restore(_: &FieldType, from: &mut Words<'_>) -> Option<Self> {
        from.text()
    }

    fn save(&self, out: &mut Saver<'_>) {
        out.block(self.as_bytes());
    }

    fn load(from: &mut Loader<'_>) -> Result<Self, LoadError> {
        Self::from_utf8(from.block()?.to_vec()).map_err(|_| LoadError::Text)
    }

    fn layout() -> Layout {
        Layout::Text
    }
}

impl<T: Field> Field for Option<T> {
    fn shape(hints: &Hints) -> Result<FieldType, String> {
        let inner = if hints.of.is_some() { hints.inner() } else { hints.clone() };
        Ok(FieldType::Option { of: Box::new(T::shape(&inner)?) })
    }

    fn quantise(&self, ty: &FieldType, out: &mut Quantiser<'_>) {
        let FieldType::Option { of } = ty else { panic!("{ty:?} is no option") };
        out.word(u32::from(self.is_some()));
        if let Some(value) = self {
            value.quantise(of, out);
        }
    }

    fn restore(ty: &FieldType, from: &mut Words<'_>) -> Option<Self> {
        let FieldType::Option { of } = ty else { return None };
        match from.word()? {
            0 => Some(None),
            _ => T::restore(of, from).map(Some),
        }
    }

    fn save(&self, out: &mut Saver<'_>) {
        out.raw(&[u8::from(self.is_some())]);
        if let Some(value) = self {
            value.save(out);
        }
    }

    fn load(from: &mut Loader<'_>) -> Result<Self, LoadError> {
        match from.array()? {
            [0] => Ok(None),
            _ => T::load(from).map(Some),
        }
    }

    fn layout() -> Layout {
        Layout::Option(Box::new(T::layout()))
    }
}

impl<T: Field> Field for Vec<T> {
    fn shape(hints: &Hints) -> Result<FieldType, String> {
        let max = max_of(hints, "a list")?;
        let of = T::shape(&hints.inner());
        let of = of.map_err(|e| format!("what the list holds: {e}, written as of(..)"))?;
        Ok(FieldType::List { of: Box::new(of), max })
    }

    fn quantise(&self, ty: &FieldType, out: &mut Quantiser<'_>) {
        let FieldType::List { of, max } = ty else { panic!("{ty:?} is no list") };
        let len = self.len().min(*max as usize);
        out.clamped += u32::from(len < self.len());
        out.word(len as u32);
        self[..len].iter().for_each(|value| value.quantise(of, out));
    }

    fn restore(ty: &FieldType, from: &mut Words<'_>) -> Option<Self> {
        let FieldType::List { of, max } = ty else { return None };
        let len = from.word()?;
        if len > *max {
            return None;
        }
        (0..len).map(|_| T::restore(of, from)).collect()
    }

    fn save(&self, out: &mut Saver<'_>) {
        out.varint(self.len() as u64);
        self.iter().for_each(|value| value.save(out));
    }

    fn load(from: &mut Loader<'_>) -> Result<Self, LoadError> {
        let len = from.count()?;
        (0..len).map(|_| T::load(from)).collect()
    }

    fn layout() -> Layout {
        Layout::List(Box::new(T::layout()))
    }
}

impl<T: Field, const N: usize> Field for [T; N] {
    fn shape(hints: &Hints) -> Result<FieldType, String> {
        let inner = if hints.of.is_some() { hints.inner() } else { hints.clone() };
        let length = u32::try_from(N).map_err(|_| format!("an array of {N} is too long"))?;
        Ok(FieldType::Array { of: Box::new(T::shape(&inner)?), length })
    }

    fn quantise(&self, ty: &FieldType, out: &mut Quantiser<'_>) {
        let FieldType::Array { of, .. } = ty else { panic!("{ty:?} is no array") };
        self.iter().for_each(|value| value.quantise(of, out));
    }

    fn restore(ty: &FieldType, from: &mut Words<'_>) -> Option<Self> {
        let FieldType::Array { of, .. } = ty else { return None };
        let values: Option<Vec<T>> = (0..N).map(|_| T::restore(of, from)).collect();
        values?.try_into().ok()
    }

    fn save(&self, out: &mut Saver<'_>) {
        self.iter().for_each(|value| value.save(out));
    }

    fn load(from: &mut Loader<'_>) -> Result<Self, LoadError> {
        let values: Vec<T> = (0..N).map(|_| T::load(from)).collect::<Result<_, _>>()?;
        values.try_into().map_err(|_| LoadError::Number)
    }

    fn layout() -> Layout {
        Layout::Array(Box::new(T::layout()), N as u32)
    }
}

macro_rules! tuples {
    ($($part:ident $at:tt),*) => {
        impl<$($part: Field),*> Field for ($($part,)*) {
            fn shape(_: &Hints) -> Result<FieldType, String> {
                Ok(FieldType::Tuple { items: vec![$($part::shape(&Hints::default())?),*] })
            }

            fn quantise(&self, ty: &FieldType, out: &mut Quantiser<'_>) {
                $(self.$at.quantise(super::part(ty, $at), out);)*
            }

            fn restore(ty: &FieldType, from: &mut Words<'_>) -> Option<Self> {
                Some(($($part::restore(super::part(ty, $at), from)?,)*))
            }

            fn save(&self, out: &mut Saver<'_>) {
                $(self.$at.save(out);)*
            }

            fn load(from: &mut Loader<'_>) -> Result<Self, LoadError> {
                Ok(($($part::load(from)?,)*))
            }

            fn layout() -> Layout {
                Layout::tuple([$($part::layout()),*])
            }
        }
    };
}

tuples!(A 0, B 1);
tuples!(A 0, B 1, C 2);
tuples!(A 0, B 1, C 2, D 3);

impl Field for Entity {
    fn shape(_: &Hints) -> Result<FieldType, String> {
        Ok(FieldType::Entity)
    }

    fn quantise(&self, _: &FieldType, out: &mut Quantiser<'_>) {
        let id = (out.net_id)(*self);
        out.word(id);
    }

    fn restore(_: &FieldType, from: &mut Words<'_>) -> Option<Self> {
        from.entity()
    }

    fn save(&self, out: &mut Saver<'_>) {
        out.entity(*self);
    }

    fn load(from: &mut Loader<'_>) -> Result<Self, LoadError> {
        from.entity()
    }

    fn layout() -> Layout {
        Layout::Entity
    }
}
