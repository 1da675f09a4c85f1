//! A stored match as a file for load tests: what each seat said, and when, in the schema's own words, so
//! that it can be said again to other rooms and by other builds.

use std::collections::BTreeMap;

use referee_protocol::frame::Payload;
use referee_protocol::{Schema, Seat, Tick, TypeDef, Value};
use referee_room::Entry;
use referee_room::journal::{Reader, Record};
use referee_room::revive::Base;
use serde_json::{Map, Value as Json, json};

use super::{Stored, ToolError, reaches_back_to};
use crate::config::Config;
use crate::games::Games;

/// The form of the file.
const FORM: &str = "referee-match-1";

/// What was said, by seats.
#[derive(Default)]
struct Spoken {
    seats: BTreeMap<Seat, Vec<Json>>,
    /// What cannot be said to another room: it names an entity, or no type of today's game.
    left_out: u64,
    last: Option<u64>,
}

/// Everything that players said in a stored match, from as far back as it is kept, as JSON: `form`,
/// `game`, `match`, `params` (empty where the beginning is not kept), `hz` (null in a turn-based game),
/// `length_ms`, `left_out` (what names an entity of that room), and `seats`: for each that spoke, in their
/// order, what it said, as `at_ms`, `input` or `action`, and `value`. A variant is
/// `{"$variant": name, "$value": its data}`.
///
/// # Errors
/// When it is not there, has ended, was played by another build, or cannot be read.
pub fn export(games: &Games, config: &Config, room: &str) -> Result<String, ToolError> {
    let stored = Stored::open(games, config, room)?;
    let back = reaches_back_to(&stored.passages);
    let begin = stored.begins[stored.of_last_build()..].iter().find(|begin| begin.tick >= back);
    let (first, next) = begin.map_or((u64::MAX, 0), |begin| (begin.tick, begin.next));
    let params = match begin.map(|begin| &begin.base) {
        Some(Base::Create(create)) => create.params.clone(),
        Some(Base::Snapshot(_)) | None => Vec::new(),
    };
    let written = begin.and_then(|begin| begin.base.type_bytes());
    if written.is_some_and(|written| written != &stored.template.type_bytes()[..]) {
        return Err(ToolError::OtherBuild(stored.key));
    }
    // Where it begins says how often it ticks: that may be a matter of its params.
    let revived = stored.revival(first, Some(first))?.finish();
    let revived = revived.map_err(|error| ToolError::Revive(stored.key.clone(), error))?;
    let hz = revived.room.info().hz;
    let ms = |tick: u64| {
        let since = tick.saturating_sub(first);
        hz.map_or(since, |hz| since.saturating_mul(1_000) / u64::from(hz.max(1)))
    };
    let mut spoken = Spoken::default();
    for passage in stored.passages[next..].iter().filter(|passage| passage.upto.0 > first) {
        let mut reader = Reader::new(passage.after, &passage.bytes);
        let damaged = |error| ToolError::Damaged(stored.key.clone(), error);
        while let Some(record) = reader.read().map_err(damaged)? {
            let Record::Tick(Tick(tick), entries) = record else { continue };
            // Passages may tell of a tick twice; it was played once.
            if tick > spoken.last.unwrap_or(first) {
                spoken.last = Some(tick);
                let schema = stored.template.schema();
                entries.into_iter().for_each(|entry| spoken.add(schema, ms(tick), entry));
            }
        }
    }
    let is_whole = begin.is_some_and(|begin| matches!(begin.base, Base::Create(_)));
    if spoken.seats.is_empty() && !is_whole {
        return Err(ToolError::Silent(stored.key));
    }
    let length_ms = ms(spoken.last.unwrap_or(first));
    let file = json!({
        "form": FORM,
        "game": stored.key.game.to_string(),
        "match": stored.key.match_id.to_string(),
        "params": String::from_utf8_lossy(&params),
        "hz": hz,
        "length_ms": length_ms,
        "left_out": spoken.left_out,
        "seats": spoken.seats.into_values().collect::<Vec<_>>(),
    });
    Ok(file.to_string())
}

impl Spoken {
    fn add(&mut self, schema: &Schema, at_ms: u64, entry: Entry) {
        let (seat, kind, types, payload) = match entry {
            Entry::Input { seat, payload, .. } => (seat, "input", &schema.inputs, payload),
            Entry::Action { seat, payload, .. } => (seat, "action", &schema.actions, payload),
            _ => return,
        };
        let Some((name, value)) = said(kind, types, &payload) else {
            self.left_out += 1;
            return;
        };
        let mut line = Map::new();
        line.insert("at_ms".into(), at_ms.into());
        line.insert(kind.into(), name.into());
        line.insert("value".into(), value);
        self.seats.entry(seat).or_default().push(Json::Object(line));
    }
}

/// The name of what was said, and its value.
fn said(kind: &'static str, types: &[TypeDef], payload: &Payload) -> Option<(String, Json)> {
    let def = types.get(usize::from(payload.kind))?;
    let words = payload.to_words(kind, types).ok()?;
    let value = Value::from_words(&def.ty, &mut &words[..]).ok()?;
    Some((def.name.clone(), plain(&value)?))
}

/// A value as JSON; none where it names an entity, which another room does not have.
fn plain(value: &Value) -> Option<Json> {
    Some(match value {
        Value::Null => Json::Null,
        Value::Bool(is_so) => (*is_so).into(),
        Value::Int(number) => match i64::try_from(*number) {
            Ok(number) => number.into(),
            Err(_) => u64::try_from(*number).ok()?.into(),
        },
        Value::Float(number) => json!(number),
        Value::String(text) => text.clone().into(),
        Value::List(items) => items.iter().map(plain).collect::<Option<Vec<_>>>()?.into(),
        Value::Struct(fields) => {
            let fields = fields.iter().map(|(name, value)| Some((name.clone(), plain(value)?)));
            Json::Object(fields.collect::<Option<Map<_, _>>>()?)
        }
        Value::Variant(name, data) => json!({ "$variant": name, "$value": plain(data)? }),
        Value::Entity(_) => return None,
    })
}
