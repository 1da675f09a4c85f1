//! A recorded match as load: what each seat said, and when. It is read from the file that the server's
//! `export` writes; times are milliseconds since the match began, and values are those of the schema.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use referee_client::bot::{Say, Value};
use serde::Deserialize;

/// The only form of the file.
const FORM: &str = "referee-match-1";
/// Most bytes of a file.
const FILE_MAX_BYTES: u64 = 256 << 20;

/// A recorded match.
#[derive(Clone, PartialEq, Debug)]
pub struct Recording {
    /// The game.
    pub game: String,
    /// What the room was made with, as JSON; empty: nothing.
    pub params: String,
    /// How long it was, in milliseconds, at least 1.
    pub length_ms: u64,
    /// What each seat said, in order.
    pub seats: Vec<Arc<Part>>,
}

/// What one seat said: the instants in microseconds since the match began, in order.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Part(pub(crate) Vec<(u64, Say)>);

/// Why a recording cannot be played.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file cannot be read.
    #[error("{file}: {why}")]
    File {
        /// The file.
        file: String,
        /// Why not.
        why: String,
    },
    /// It is no recording.
    #[error(
        "{file} is no recorded match: {why}; make one with the server's `export GAME/MATCH --data DIR`"
    )]
    Form {
        /// The file.
        file: String,
        /// What is wrong.
        why: String,
    },
}

#[derive(Deserialize)]
struct File {
    form: String,
    game: String,
    #[serde(default)]
    params: String,
    length_ms: u64,
    seats: Vec<Vec<Said>>,
}

#[derive(Deserialize)]
struct Said {
    at_ms: u64,
    #[serde(default)]
    input: Option<String>,
    #[serde(default)]
    action: Option<String>,
    value: serde_json::Value,
}

impl Recording {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or is no recording.
    pub fn read(path: &Path) -> Result<Self, RecordingError> {
        let file = path.display().to_string();
        let unread = |why: String| RecordingError::File { file: file.clone(), why };
        let size = std::fs::metadata(path).map_err(|error| unread(error.to_string()))?.len();
        if size > FILE_MAX_BYTES {
            return Err(unread(format!("it has {size} bytes; at most {FILE_MAX_BYTES} are read")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| unread(error.to_string()))?;
        Self::parse(&text).map_err(|why| RecordingError::Form { file, why })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let file: File = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if file.form != FORM {
            return Err(format!("its form is {:?}, and {FORM:?} is read", file.form));
        }
        let mut names = BTreeMap::new();
        let mut seats = Vec::new();
        for (seat, said) in file.seats.into_iter().enumerate() {
            let part: Result<Vec<_>, String> =
                said.into_iter().map(|said| say(said, &mut names)).collect();
            let part = part.map_err(|why| format!("seat {seat}: {why}"))?;
            if !part.is_sorted_by_key(|(at, _)| *at) {
                return Err(format!("seat {seat}: what was said is not in order"));
            }
            seats.push(Arc::new(Part(part)));
        }
        let last =
            seats.iter().filter_map(|part| part.0.last()).map(|(at, _)| at / 1_000 + 1).max();
        let Some(last) = last else { return Err("nobody said anything in it".into()) };
        let length_ms = file.length_ms.max(last);
        Ok(Self { game: file.game, params: file.params, length_ms, seats })
    }
}

/// Names of inputs and actions live as long as the program: a game has few.
fn say(said: Said, names: &mut BTreeMap<String, &'static str>) -> Result<(u64, Say), String> {
    let mut known = |name: String| -> &'static str {
        names.entry(name).or_insert_with_key(|name| name.clone().leak())
    };
    let at = said.at_ms.saturating_mul(1_000);
    let value = value(said.value)?;
    match (said.input, said.action) {
        (Some(name), None) => Ok((at, Say::Input(known(name), value))),
        (None, Some(name)) => Ok((at, Say::Action(known(name), value))),
        _ => Err(format!("at {} ms: it must be either an input or an action", said.at_ms)),
    }
}

/// A value as `export` writes it.
fn value(json: serde_json::Value) -> Result<Value, String> {
    use serde_json::Value as Json;
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(is_so) => Value::Bool(is_so),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Value::Int(whole.into()),
            (None, Some(whole)) => Value::Int(whole.into()),
            (None, None) => Value::Float(number.as_f64().unwrap_or(0.0)),
        },
        Json::String(text) => Value::String(text),
        Json::Array(items) => Value::List(items.into_iter().map(value).collect::<Result<_, _>>()?),
        Json::Object(mut fields) => {
            if fields.len() == 2
                && let (Some(Json::String(name)), true) =
                    (fields.get("$variant").cloned(), fields.contains_key("$value"))
            {
                let inner = fields.remove("$value").unwrap_or(Json::Null);
                return Ok(Value::Variant(name, Box::new(value(inner)?)));
            }
            let of = |(name, inner)| Ok::<_, String>((name, value(inner)?));
            Value::Struct(fields.into_iter().map(of).collect::<Result<_, _>>()?)
        }
    })
}

/// One bot's part, played over and over from when it is measured.
#[derive(Clone, Debug)]
pub(crate) struct Score {
    part: Arc<Part>,
    length: u64,
    /// How many were taken.
    next: u64,
}

impl Score {
    /// The part of a bot that comes as the so many'th into its room.
    pub(crate) fn of(recording: &Recording, place: usize) -> Option<Self> {
        let part = recording.seats.get(place % recording.seats.len().max(1))?;
        let length = recording.length_ms.max(1) * 1_000;
        (!part.0.is_empty()).then(|| Self { part: Arc::clone(part), length, next: 0 })
    }

    /// When the next thing is said, after the beginning.
    pub(crate) fn due(&self) -> u64 {
        let all = self.part.0.len() as u64;
        self.next / all * self.length + self.part.0[(self.next % all) as usize].0
    }

    /// Leaves out what came before, for who comes late.
    pub(crate) fn skip_to(&mut self, now: u64) {
        while self.due() < now {
            self.next += 1;
        }
    }

    /// Takes what is due, with its instant.
    pub(crate) fn take(&mut self, now: u64) -> Option<(u64, &Say)> {
        let due = self.due();
        if due > now {
            return None;
        }
        let place = (self.next % self.part.0.len() as u64) as usize;
        self.next += 1;
        Some((due, &self.part.0[place].1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MATCH: &str = r#"{"form": "referee-match-1", "game": "g", "params": "{}", "length_ms": 100,
        "seats": [
            [{"at_ms": 10, "input": "Stick", "value": {"x": 0.5, "fire": true}},
             {"at_ms": 60, "action": "Play", "value": {"$variant": "Card", "$value": 3}}],
            []]}"#;

    #[test]
    fn a_recording_is_played_over_and_over_by_its_times() {
        let recording = Recording::parse(MATCH).unwrap();
        let mut score = Score::of(&recording, 0).unwrap();
        assert!(score.take(9_999).is_none());
        let stick = Value::record([("fire", true.into()), ("x", 0.5.into())]);
        assert_eq!(score.take(10_000), Some((10_000, &Say::Input("Stick", stick))));
        let card = Value::Variant("Card".into(), Box::new(Value::Int(3)));
        assert_eq!(score.take(200_000), Some((60_000, &Say::Action("Play", card))));
        assert_eq!(score.due(), 110_000);
        score.skip_to(350_000);
        assert_eq!(score.due(), 360_000);
        assert!(Score::of(&recording, 1).is_none(), "that seat said nothing");
        assert!(Score::of(&recording, 2).is_some(), "more bots than seats: the first part again");
    }

    #[test]
    fn what_is_no_recording_is_named() {
        for (text, part) in [
            ("{}", "form"),
            (&MATCH.replace("match-1", "match-2"), "referee-match-2"),
            (&MATCH.replace("\"input\"", "\"other\""), "seat 0: at 10 ms"),
            (&MATCH.replace("60", "6"), "not in order"),
            (r#"{"form":"referee-match-1","game":"g","length_ms":1,"seats":[]}"#, "nobody"),
        ] {
            let error = Recording::parse(text).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        let error = Recording::read(Path::new("/nowhere/at.all")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/at.all"), "{error}");
    }
}
