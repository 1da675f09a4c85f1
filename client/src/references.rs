//! References to entities: by wire id outside, by the replica's handle inside. A wire id may change
//! while an entity is looked at; a handle does not.

use referee_protocol::value::ValueError;
use referee_protocol::{FieldType, Replica, Value, WireId};

/// Turns the wire ids in a value into handles; what the client does not see becomes nothing.
pub(crate) fn to_handles(value: &mut Value, replica: &Replica) {
    match value {
        Value::Entity(id) => match replica.handle(WireId(*id)) {
            Some(handle) => *id = handle,
            None => *value = Value::Null,
        },
        Value::List(items) => items.iter_mut().for_each(|item| to_handles(item, replica)),
        Value::Struct(fields) => fields.iter_mut().for_each(|(_, v)| to_handles(v, replica)),
        Value::Variant(_, data) => to_handles(data, replica),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::String(_) => {}
    }
}

/// Turns the handles in a value into wire ids. What does not follow the type is left for
/// [`Value::to_words`] to refuse.
pub(crate) fn to_wire_ids(
    ty: &FieldType,
    value: &mut Value,
    replica: &Replica,
) -> Result<(), ValueError> {
    if !ty.has_references() {
        return Ok(());
    }
    match (ty, value) {
        (FieldType::Entity, value) => return entity_to_wire_id(value, replica),
        (FieldType::Option { .. }, Value::Null) => {}
        (FieldType::Option { of }, some) => return to_wire_ids(of, some, replica),
        (FieldType::List { of, .. } | FieldType::Array { of, .. }, Value::List(items)) => {
            return items.iter_mut().try_for_each(|item| to_wire_ids(of, item, replica));
        }
        (FieldType::Tuple { items: types }, Value::List(items)) => {
            return types.iter().zip(items).try_for_each(|(ty, v)| to_wire_ids(ty, v, replica));
        }
        (FieldType::Struct { fields: types }, Value::Struct(fields)) => {
            for (name, value) in fields {
                if let Some(field) = types.iter().find(|field| field.name == *name) {
                    to_wire_ids(&field.ty, value, replica)?;
                }
            }
        }
        (FieldType::Enum { variants }, Value::Variant(name, data)) => {
            if let Some(variant) = variants.iter().find(|variant| variant.name == *name) {
                return to_wire_ids(&variant.ty, data, replica);
            }
        }
        (FieldType::Enum { variants }, Value::Struct(fields)) => {
            for (name, data) in fields {
                if let Some(variant) = variants.iter().find(|variant| variant.name == *name) {
                    to_wire_ids(&variant.ty, data, replica)?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn entity_to_wire_id(value: &mut Value, replica: &Replica) -> Result<(), ValueError> {
    let handle = match value {
        Value::Entity(id) => Some(*id),
        Value::Int(id) => u32::try_from(*id).ok(),
        Value::Float(id) if id.fract() == 0.0 => u32::try_from(*id as i64).ok(),
        _ => return Ok(()),
    };
    let Some(id) = handle.and_then(|handle| replica.wire_id(handle)) else {
        let problem = "names an entity that is not in view; use the id of one that is";
        return Err(ValueError { path: String::new(), problem: problem.into() });
    };
    *value = Value::Entity(id.0);
    Ok(())
}
