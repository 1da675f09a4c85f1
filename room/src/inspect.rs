//! A room's state for people and programs to read: as JSON.

use bevy_ecs::prelude::*;
use bevy_ecs::world::EntityRef;
use referee_protocol::schema::FieldType;
use referee_protocol::value::Value as WireValue;
use serde_json::{Map, Value, json};

use crate::evolve;
use crate::field::{Loader, Quantiser, Saver};
use crate::layout;
use crate::registry::ComponentRow;
use crate::room::Room;
use crate::snapshot::RestoreError;
use crate::storage::{self, Storage};
use crate::types::NetId;

/// What a snapshot holds, as JSON in the form of [`Room::to_json`], by the layouts that it carries: so also
/// where the present game cannot read it. Values are exact. What waits of each type stands under
/// `timers` and `alarms`, with `at` (a tick, or milliseconds since 1970) and `value`.
///
/// # Errors
/// When the bytes are no snapshot, are damaged, or of a format before 4, which carries no layouts.
pub fn stored(snapshot: &[u8]) -> Result<Value, RestoreError> {
    evolve::to_json(snapshot)
}

impl Room {
    /// The whole state, hidden parts included, as JSON: `tick`, `hash` (in hex), `started`, `ended`,
    /// `next_alarm` (in milliseconds since 1970), `seats`, `resources` by name, `storage` by key where the
    /// room has one, and `entities`, each with its `id` in the room and its components
    /// by name. References are such ids, null for none. Numbers are as exact as they are sent: what is
    /// saved and hashed may be finer.
    #[must_use]
    pub fn to_json(&mut self) -> Value {
        let hash = format!("{:016x}", self.state_hash());
        let (core, world) = (self.core(), &self.game.world);
        let number = |entity| world.get::<NetId>(entity).map_or(0, |id| id.0);
        let seats = core.seats.iter().map(|(seat, state)| {
            json!({
                "seat": seat.0,
                "player": number(state.entity),
                "connected": state.connected,
                "last_action": state.last_action,
            })
        });
        let resources = self.game.components.iter().filter(|row| row.resource);
        let resources = resources.filter(|row| row.name != storage::NAME).map(|row| {
            let entity = world.resource_entities().get(row.id);
            let entity = entity.expect("a registered resource is there");
            (row.name.clone(), value(world, row, world.entity(entity)))
        });
        let entities = core.index.keys().zip(core.index.values()).map(|(id, entity)| {
            let entity = world.entity(*entity);
            let rows = self.game.components.iter().filter(|row| !row.resource);
            let here = rows.filter(|row| entity.contains_id(row.id));
            let mut fields: Map<String, Value> =
                here.map(|row| (row.name.clone(), value(world, row, entity))).collect();
            fields.insert("id".to_owned(), json!(id));
            Value::Object(fields)
        });
        let mut state = json!({
            "tick": core.tick.0,
            "hash": hash,
            "started": core.started,
            "ended": core.ended,
            "next_alarm": self.next_alarm(),
            "seats": seats.collect::<Vec<_>>(),
            "resources": resources.collect::<Map<_, _>>(),
            "entities": entities.collect::<Vec<_>>(),
        });
        if let Some(storage) = world.get_resource::<Storage>() {
            state["storage"] = storage.to_json();
        }
        state
    }
}

fn value(world: &World, row: &ComponentRow, entity: EntityRef<'_>) -> Value {
    let net_id = |entity| world.get::<NetId>(entity).map_or(0, |id: &NetId| id.0);
    if row.shape == FieldType::Unit {
        // What is never sent has no words: it is read from what is saved of it.
        let mut bytes = Vec::new();
        (row.save)(entity, &mut Saver::new(&mut bytes, &net_id));
        let nobody = |_| Entity::PLACEHOLDER;
        return layout::json(&(row.layout)(), &mut Loader::new(&bytes, &nobody))
            .unwrap_or_default();
    }
    let mut words = Vec::new();
    (row.quantise)(entity, &row.shape, &mut Quantiser::new(&mut words, &net_id));
    json_of(&row.shape, &words)
}

/// Wire words as JSON.
///
/// # Panics
/// When the words do not follow the type.
#[must_use]
pub fn json_of(ty: &FieldType, words: &[u32]) -> Value {
    let mut words = words;
    plain(&WireValue::from_words(ty, &mut words).expect("words that follow their type"))
}

fn plain(value: &WireValue) -> Value {
    match value {
        WireValue::Null => Value::Null,
        WireValue::Bool(value) => json!(value),
        WireValue::Int(value) => {
            i64::try_from(*value).map_or_else(|_| json!(*value as u64), |v| json!(v))
        }
        WireValue::Float(value) => json!(value),
        WireValue::String(value) => json!(value),
        WireValue::List(values) => values.iter().map(plain).collect(),
        WireValue::Struct(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.clone(), plain(value)));
            fields.collect::<Map<_, _>>().into()
        }
        WireValue::Variant(name, data) => match &**data {
            WireValue::Null => json!(name),
            data => json!({ name: plain(data) }),
        },
        WireValue::Entity(id) => json!(id),
    }
}

/// Where two states differ first: the entity or resource, the component and the part of it, with both
/// values; none where they are equal as far as JSON tells them.
#[must_use]
pub fn difference(one: &Value, other: &Value) -> Option<String> {
    if one == other {
        return None;
    }
    match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
            let parts = keys.into_iter().filter(|key| *key != "hash");
            parts.filter_map(|key| inside(key, a.get(key), b.get(key))).next()
        }
        (Value::Array(a), Value::Array(b)) => (0..a.len().max(b.len())).find_map(|at| {
            let id = a.get(at).and_then(|item| item.get("id"));
            let name = id.map_or_else(|| at.to_string(), |id| format!("entity {id}"));
            inside(&name, a.get(at), b.get(at))
        }),
        _ => Some(format!(": {one} against {other}")),
    }
}

fn inside(name: &str, one: Option<&Value>, other: Option<&Value>) -> Option<String> {
    let null = Value::Null;
    let deeper = difference(one.unwrap_or(&null), other.unwrap_or(&null))?;
    Some(if deeper.starts_with(':') {
        format!("{name}{deeper}")
    } else {
        format!("{name}, {deeper}")
    })
}
