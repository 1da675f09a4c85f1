//! Entries that a room wrote under another version of its game: what players did, said by the types of
//! that time, said anew by the present ones.

use referee_protocol::TypeDef;
use referee_protocol::frame::Payload;
use referee_protocol::value::Value;

use super::{Evolution, EvolveError, Migration, Place};
use crate::entry::Entry;
use crate::layout::{Layout, TypeOf, Types, matched};

/// No type has this number: what bears it counts, and does nothing.
pub(crate) const NO_TYPE: u16 = u16::MAX;

impl Evolution<'_> {
    /// The words of an input or an action by its present type; none where the old ones were no value.
    ///
    /// # Errors
    /// What does not go over, and where.
    pub(super) fn words(
        self,
        old: &TypeOf,
        new: &TypeOf,
        words: &[u32],
    ) -> Result<Option<Vec<u32>>, EvolveError> {
        let place = Place::of(&new.name);
        let (Some(old_wire), Some(wire), Some(words_of)) = (&old.wire, &new.wire, new.words) else {
            return Ok(None);
        };
        if old_wire == wire && old.layout.same(&new.layout) {
            return Ok(Some(words.to_vec()));
        }
        let mut rest = words;
        let Ok(value) = Value::from_words(old_wire, &mut rest) else { return Ok(None) };
        let (mut stored, mut made, mut out) = (Vec::new(), Vec::new(), Vec::new());
        if exact(&value, &old.layout, &mut stored).is_none() {
            return Ok(None);
        }
        self.value(&old.layout, &new.layout, &stored, place, &mut made)?;
        words_of(&made, wire, &mut out).map_err(|error| place.damaged(error))?;
        Ok(Some(out))
    }
}

/// Appends the exact bytes of a value that came over the wire; none where it is none of the layout.
fn exact(value: &Value, layout: &Layout, out: &mut Vec<u8>) -> Option<()> {
    match (layout, value) {
        (Layout::Named(named), value) => exact(value, &named.layout, out)?,
        (Layout::Unit, _) => {}
        (Layout::Bool, Value::Bool(value)) => out.push(u8::from(*value)),
        (Layout::Int { bits, .. }, Value::Int(value)) => {
            out.extend_from_slice(&value.to_le_bytes()[..usize::from(bits / 8)]);
        }
        (Layout::F32, Value::Float(value)) => {
            out.extend_from_slice(&(*value as f32).to_le_bytes());
        }
        (Layout::F64, Value::Float(value)) => out.extend_from_slice(&value.to_le_bytes()),
        (Layout::Text, Value::String(text)) => {
            number(text.len(), out);
            out.extend_from_slice(text.as_bytes());
        }
        (Layout::Entity, Value::Entity(id)) => number(*id as usize, out),
        (Layout::Option(_), Value::Null) => out.push(0),
        (Layout::Option(of), value) => {
            out.push(1);
            exact(value, of, out)?;
        }
        (Layout::List(of), Value::List(values)) => {
            number(values.len(), out);
            values.iter().try_for_each(|value| exact(value, of, out))?;
        }
        (Layout::Array(of, length), Value::List(values)) if values.len() == *length as usize => {
            values.iter().try_for_each(|value| exact(value, of, out))?;
        }
        (Layout::Struct(parts), Value::List(values)) if parts.len() == values.len() => {
            let mut both = parts.iter().zip(values);
            both.try_for_each(|(part, value)| exact(value, &part.layout, out))?;
        }
        (Layout::Struct(parts), Value::Struct(fields)) if parts.len() == fields.len() => {
            let mut both = parts.iter().zip(fields);
            both.try_for_each(|(part, (_, value))| exact(value, &part.layout, out))?;
        }
        (Layout::Enum(variants), Value::Variant(name, data)) => {
            let at = variants.iter().position(|part| part.name == *name)?;
            number(at, out);
            exact(data, &variants[at].layout, out)?;
        }
        _ => return None,
    }
    Some(())
}

fn number(value: usize, out: &mut Vec<u8>) {
    referee_protocol::bits::write_varint(out, value as u64);
}

/// Says entries anew.
pub(crate) struct Translator {
    old: Types,
    /// What each old type is now.
    inputs: Vec<Option<usize>>,
    actions: Vec<Option<usize>>,
}

impl Translator {
    /// For entries of a game with the `old` types.
    pub(crate) fn new(old: Types, new: &Types) -> Self {
        let now = |old: &[TypeOf], new: &[TypeOf]| {
            let places = matched(old, new);
            (0..old.len()).map(|at| places.iter().position(|place| *place == Some(at))).collect()
        };
        let inputs = now(&old.inputs, &new.inputs);
        let actions = now(&old.actions, &new.actions);
        Self { old, inputs, actions }
    }

    /// Says a tick's entries anew. An input whose type is gone is left out. An action whose type is gone
    /// keeps its number and does nothing, so that its client does not send it again.
    ///
    /// # Errors
    /// What does not go over.
    pub(crate) fn translate(
        &self,
        new: &Types,
        functions: &[Migration],
        entries: &mut Vec<Entry>,
    ) -> Result<(), EvolveError> {
        let evolution = Evolution { functions };
        let mut problem = None;
        entries.retain_mut(|entry| {
            let (payload, lists, is_input) = match entry {
                Entry::Input { payload, .. } => {
                    (payload, (&self.old.inputs[..], &self.inputs[..], &new.inputs[..]), true)
                }
                Entry::Action { payload, .. } => {
                    (payload, (&self.old.actions[..], &self.actions[..], &new.actions[..]), false)
                }
                _ => return true,
            };
            match said_anew(evolution, payload, lists) {
                Ok(Some(anew)) => *payload = anew,
                Ok(None) if is_input => return false,
                Ok(None) => *payload = Payload { kind: NO_TYPE, bits: Default::default() },
                Err(error) => problem = problem.take().or(Some(error)),
            }
            true
        });
        problem.map_or(Ok(()), Err)
    }
}

/// A payload by the present types; none where there is no such type now, or it was no value.
fn said_anew(
    evolution: Evolution<'_>,
    payload: &Payload,
    (old, now, new): (&[TypeOf], &[Option<usize>], &[TypeOf]),
) -> Result<Option<Payload>, EvolveError> {
    let kind = usize::from(payload.kind);
    let now = old.get(kind).zip(now.get(kind).copied().flatten());
    let Some((old, at)) = now else { return Ok(None) };
    let Some(wire) = old.wire.clone() else { return Ok(None) };
    let def =
        TypeDef { name: String::new(), resource: false, ty: wire, moves_by: None, rarely: false };
    let alone = Payload { kind: 0, bits: payload.bits.clone() };
    let Ok(words) = alone.to_words("entry", &[def]) else { return Ok(None) };
    let Some(words) = evolution.words(old, &new[at], &words)? else { return Ok(None) };
    let ty = new[at].wire.as_ref();
    Ok(ty.map(|ty| Payload::from_words(at as u16, ty, &words)))
}
