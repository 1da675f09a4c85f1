//! What an operator does with a stored match while no server runs on its folder: look at it, and play
//! it again, or tell what its players said.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use referee_protocol::{MatchId, Tick};
use referee_room::Template;
use referee_room::entry::EntryError;
use referee_room::field::LoadError;
use referee_room::inspect::stored as stored_json;
use referee_room::revive::{Base, Passage, Revival, ReviveError};
use referee_room::storage;

use crate::config::Config;
use crate::games::{Games, game_name};
use crate::host::{Remains, left};
use crate::key::RoomKey;
use crate::store::{Chunk, Store, StoreError, StoredRoom};

mod export;

pub use export::export;

/// Why a stored match cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// That is no room.
    #[error("{0:?} is no room: name it as its address does, GAME/MATCH")]
    Name(String),
    /// No game of that name is here.
    #[error("no game {0} is hosted by this binary: use the one that hosts it")]
    Game(String),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no store.
    #[error("{dir} holds no stored matches: name the server's data folder with --data DIR", dir = .0.display())]
    NoStore(PathBuf),
    /// Nothing is stored of it.
    #[error(
        "nothing is stored of {0}: it was never played, has ended, or lies in another --data folder"
    )]
    Nothing(RoomKey),
    /// The match has ended.
    #[error(
        "the match {0} has ended: only its storage is kept, for the next one; `inspect` shows it"
    )]
    Ended(RoomKey),
    /// Nothing that players did is kept.
    #[error(
        "of {0} nothing is kept that a player did before its last snapshot: start the server with \
         --keep-journal match to have whole matches exported"
    )]
    Silent(RoomKey),
    /// The tick is not kept.
    #[error(
        "of {room} nothing is kept before tick {first}: start the server with --keep-journal match to \
         keep whole matches"
    )]
    Before {
        /// The room.
        room: RoomKey,
        /// The first tick there is.
        first: u64,
    },
    /// What is stored cannot be read.
    #[error("what is stored of {0} is damaged: {1}")]
    Damaged(RoomKey, EntryError),
    /// The storage that is left of it cannot be read.
    #[error("what is left of {0} is damaged: {1}")]
    Left(RoomKey, LoadError),
    /// The match cannot be played again.
    #[error("{0} cannot be played again: {1}")]
    Revive(RoomKey, ReviveError),
    /// What its players said was written by a game with other types.
    #[error(
        "{0} was played by another build of its game, whose inputs and actions may mean something else \
         here: export it with the build that played it"
    )]
    OtherBuild(RoomKey),
    /// It came to another state.
    #[error(
        "{room} came to another state than it was in, first after tick {tick}: the game is not \
         deterministic, or this is another build than the one that played it"
    )]
    Differs {
        /// The room.
        room: RoomKey,
        /// The tick.
        tick: u64,
    },
}

/// What is stored of a match.
struct Stored {
    key: RoomKey,
    template: Arc<Template>,
    /// Where it can begin, in order of ticks.
    begins: Vec<Begin>,
    passages: Vec<Passage>,
    /// The match has ended, and this is what its storage held.
    left: Option<Vec<u8>>,
}

/// Where a stored match can begin.
struct Begin {
    tick: u64,
    base: Base,
    /// The place of the first passage that may follow on it.
    next: usize,
}

impl Stored {
    fn of(key: RoomKey, template: Arc<Template>) -> Self {
        Self { key, template, begins: Vec::new(), passages: Vec::new(), left: None }
    }

    fn open(games: &Games, config: &Config, room: &str) -> Result<Self, ToolError> {
        let (key, template) = find(games, room)?;
        if !Store::is_in(&config.data) {
            return Err(ToolError::NoStore(config.data.clone()));
        }
        let store = Store::open(&config.data, &config.store)?;
        let history = store.history(&key)?;
        let stored = store.load(&key)?;
        if let Some(storage) = stored.as_ref().and_then(left::storage_of) {
            return Ok(Self { left: Some(storage.to_vec()), ..Self::of(key, template) });
        }
        if stored.is_none() && history.is_empty() {
            return Err(ToolError::Nothing(key));
        }
        let mut all = Self::of(key, template);
        let damaged = |error| ToolError::Damaged(all.key.clone(), error);
        let parts = read(history, stored).map_err(damaged)?;
        (all.begins, all.passages) = parts;
        store.close()?;
        Ok(all)
    }

    /// Plays it again from where it can begin for `from`, up to `until`.
    fn revival(&self, from: u64, until: Option<u64>) -> Result<Revival, ToolError> {
        if self.left.is_some() {
            return Err(ToolError::Ended(self.key.clone()));
        }
        let begin = self.begins.iter().rev().find(|begin| begin.tick <= from);
        let Some(Begin { tick: first, base, next }) = begin else {
            let first = self.begins.first().map_or(0, |begin| begin.tick);
            return Err(ToolError::Before { room: self.key.clone(), first });
        };
        let passages =
            self.passages[*next..].iter().filter(|passage| passage.upto.0 > *first).cloned();
        let secret = [0; 32]; // nobody is told the names that it makes
        let revival = Revival::new(&self.template, base.clone(), passages.collect(), secret);
        Ok(revival.until(Tick(until.unwrap_or(u64::MAX))))
    }
}

impl Stored {
    /// The newest snapshot up to a tick as it is stored, where the present game cannot read it.
    fn unread(&self, until: Option<u64>, error: &ReviveError) -> Option<serde_json::Value> {
        let ReviveError::Restore(_) = error else { return None };
        let until = until.unwrap_or(u64::MAX);
        let mut begins = self.begins.iter().rev().filter(|begin| begin.tick <= until);
        let snapshot = begins.find_map(|begin| match &begin.base {
            Base::Snapshot(snapshot) => Some(snapshot),
            Base::Create(_) => None,
        })?;
        let mut state = stored_json(snapshot).ok()?;
        state["cannot_go_on"] = error.to_string().into();
        Some(state)
    }

    /// From which of its beginnings on all was written by one build, the last one.
    fn of_last_build(&self) -> usize {
        let last = self.begins.last().and_then(|begin| begin.base.type_bytes());
        let Some(last) = last else { return 0 };
        let other = |begin: &Begin| begin.base.type_bytes().is_some_and(|bytes| bytes != last);
        self.begins.iter().rposition(other).map_or(0, |at| at + 1)
    }
}

/// How far back passages lead to the end without a gap.
fn reaches_back_to(passages: &[Passage]) -> u64 {
    let mut rest = passages.iter().rev();
    let Some(last) = rest.next() else { return 0 };
    let joined = |reached: u64, passage: &Passage| {
        (passage.upto.0 >= reached).then(|| reached.min(passage.after.0))
    };
    rest.try_fold(last.after.0, |reached, passage| joined(reached, passage).ok_or(reached))
        .unwrap_or_else(|reached| reached)
}

fn find(games: &Games, room: &str) -> Result<(RoomKey, Arc<Template>), ToolError> {
    let unknown = || ToolError::Name(room.to_owned());
    let (game, name) = room.trim_start_matches('/').split_once('/').ok_or_else(unknown)?;
    let game = game_name(game).map_err(|_| unknown())?;
    let match_id = MatchId::new(name).map_err(|_| unknown())?;
    let hosted = games.get(&game).ok_or_else(|| ToolError::Game(game.to_string()))?;
    Ok((RoomKey { game, match_id }, hosted.template.clone()))
}

type Parts = (Vec<Begin>, Vec<Passage>);

fn read(history: Vec<Chunk>, stored: Option<StoredRoom>) -> Result<Parts, EntryError> {
    let (mut begins, mut passages) = (Vec::new(), Vec::new());
    for chunk in history {
        let (base, passage) = Remains::chunk(chunk)?;
        let (tick, next) = (passage.after.0, passages.len());
        begins.extend(base.map(|(_, base)| Begin { tick, base, next }));
        passages.push(passage);
    }
    if let Some(stored) = stored {
        let (remains, rest) = Remains::stored(stored)?;
        let (tick, next) = (remains.since.after.0, passages.len());
        begins.push(Begin { tick, base: remains.base, next });
        passages.extend(rest);
    }
    Ok((begins, passages))
}

/// The state of a stored match, at its end or at the end of a tick, as JSON. Where the match has ended and
/// everybody has gone: what its storage holds. Where the game as it is here cannot read the match: its
/// newest snapshot by then, by the types that are stored with it, and why under `cannot_go_on`.
///
/// # Errors
/// When it is not there, not kept that far back, or cannot be read.
pub fn inspect(
    games: &Games,
    config: &Config,
    room: &str,
    tick: Option<u64>,
) -> Result<String, ToolError> {
    let stored = Stored::open(games, config, room)?;
    if let (Some(left), None) = (&stored.left, tick) {
        let storage = storage::to_json(left);
        let storage = storage.map_err(|e| ToolError::Left(stored.key.clone(), e))?;
        return Ok(pretty(&serde_json::json!({ "storage": storage })));
    }
    let revival = stored.revival(tick.unwrap_or(u64::MAX), tick)?;
    match revival.finish() {
        Ok(mut revived) => Ok(pretty(&revived.room.to_json())),
        Err(error) => match stored.unread(tick, &error) {
            Some(state) => Ok(pretty(&state)),
            None => Err(ToolError::Revive(stored.key, error)),
        },
    }
}

fn pretty(state: &serde_json::Value) -> String {
    serde_json::to_string_pretty(state).unwrap_or_else(|_| state.to_string())
}

/// Plays a stored match again from as far back as it is kept, and compares the state hashes that were
/// written on the way. Gives a few lines that tell how it went. Of a match that several builds of the game
/// played, what the last one did. What another build than this one did is played by this one, and no hashes
/// are compared.
///
/// # Errors
/// When it is not there, cannot be read, or comes to another state.
pub fn replay(games: &Games, config: &Config, room: &str) -> Result<String, ToolError> {
    let stored = Stored::open(games, config, room)?;
    let back = reaches_back_to(&stored.passages);
    let of_last = stored.of_last_build();
    let first = stored.begins[of_last..].iter().map(|begin| begin.tick).find(|tick| *tick >= back);
    let first = first.unwrap_or(u64::MAX);
    let begun = std::time::Instant::now();
    let revived = stored.revival(first, None)?.finish();
    let mut revived = revived.map_err(|error| ToolError::Revive(stored.key.clone(), error))?;
    let (info, hash) = (revived.room.info(), revived.room.state_hash());
    let report = revived.report;
    if let Some(tick) = report.differs {
        return Err(ToolError::Differs { room: stored.key, tick: tick.0 });
    }
    let ms = begun.elapsed().as_secs_f64() * 1000.0;
    let mut out = String::new();
    let (key, ticks, hashes) = (stored.key, report.ticks, report.hashes);
    let _ = writeln!(
        out,
        "{key}: ticks {first} to {} again, {ticks} that ran, in {ms:.1} ms",
        info.tick.0
    );
    if of_last > 0 {
        let _ = writeln!(out, "what came before was played by another build, and is left out");
    }
    if report.another_build {
        let _ = writeln!(
            out,
            "another build of the game played it: what players did is applied by this one, and no state \
             hash is compared"
        );
    }
    if ticks == 0 {
        let _ = writeln!(
            out,
            "nothing is kept of what came before its last snapshot: start the server with --keep-journal \
             match to have whole matches played again"
        );
    }
    let equal = if hashes == 0 { "none lie in between" } else { "all equal" };
    let _ = writeln!(out, "state hashes compared: {hashes}, {equal}");
    let _ = write!(out, "state hash at the end: {hash:016x}");
    for tick in report.panicked {
        let _ = write!(out, "\ntick {} panics, and was run without what players did", tick.0);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::games::Hosted;
    use referee_protocol::GameName;
    use referee_room::entry::{Create, RequestEntry};
    use referee_room::prelude::*;
    use referee_room::room::{NextTick, Room};
    use referee_room::{Entry, Output};

    #[derive(Resource, Replicate, Default)]
    struct Count(u32);

    fn count(game: &mut Game) {
        game.turn_based().replicate::<Count>().snapshot_ticks(4);
        game.on_request(|mut count: ResMut<Count>| {
            count.0 += 1;
            count.0
        });
    }

    /// Another game under the same name, as a build that is not deterministic would be.
    fn other(game: &mut Game) {
        game.turn_based().replicate::<Count>().snapshot_ticks(4);
        game.on_request(|mut count: ResMut<Count>| {
            count.0 += 2;
            count.0
        });
    }

    /// As another build may have it.
    fn rebuilt(game: &mut Game) {
        game.turn_based().replicate::<Count>().snapshot_ticks(8);
        game.on_request(|mut count: ResMut<Count>| {
            count.0 += 1;
            count.0
        });
    }

    fn games(game: fn(&mut Game)) -> Games {
        let template = Template::new("count", game).unwrap();
        let hosted = Hosted { template, title: None, description: None, page: None };
        Games::from([(GameName::new("count").unwrap(), hosted)])
    }

    /// A match of ten requests in ticks 10, 20 .. 100: all of it in the history and the journal.
    fn played(name: &str) -> Config {
        let data =
            std::env::temp_dir().join(format!("referee-tools-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&data);
        let config = Config { data, ..Config::default() };
        let store = Store::open(&config.data, &config.store).unwrap();
        let (key, template) = find(&games(count), "count/m").unwrap();
        let create = Create { seed: [5; 32], ..Create::default() };
        let mut room = Room::create(&template, &create).unwrap();
        room.record();
        let line = crate::store::JournalLine::new(|| {});
        for number in 1..=10 {
            let (method, path, body) = ("POST".into(), String::new(), vec![]);
            room.handle(Entry::Request(RequestEntry { id: number, method, path, body }));
            while let NextTick::Now(at) = room.next_due(Tick(number * 10)) {
                room.tick(at);
            }
            let mut bytes = vec![];
            if number == 1 {
                bytes.push(7); // when it was created
                Base::Create(create.clone()).encode(&mut bytes);
            }
            let span = room.take_journal(&mut bytes).unwrap();
            let (after, upto) = (span.after.0, span.upto.0);
            let chunk = Chunk { life: 1, after, upto, whole: number == 1, bytes };
            store.append(&key, &line, chunk, false).unwrap();
            while let Some(output) = room.poll_output() {
                let Output::Save(snapshot) = output else { continue };
                if number != 4 {
                    continue; // one that lies within the journal is enough
                }
                let (tick, snapshot) = (upto, Some(snapshot));
                let room = StoredRoom {
                    created_unix_ms: 7,
                    saved_unix_ms: crate::host::unix_ms(),
                    incarnation: 1,
                    tick,
                    snapshot,
                    ..StoredRoom::default()
                };
                assert!(store.save(key.clone(), room));
            }
        }
        store.close().unwrap();
        config
    }

    fn counted(state: &str) -> (Value, Value) {
        let state: Value = serde_json::from_str(state).unwrap();
        (state["tick"].clone(), state["resources"]["Count"].clone())
    }

    #[test]
    fn a_stored_match_is_shown_as_it_was_and_played_again() {
        let config = played("shown");
        let games = games(count);
        let end = inspect(&games, &config, "/count/m", None).unwrap();
        assert_eq!(counted(&end), (json!(101), json!(10)));
        let before = inspect(&games, &config, "count/m", Some(75)).unwrap();
        assert_eq!(counted(&before), (json!(71), json!(7)));
        let error = inspect(&games, &config, "count/m", Some(30)).unwrap_err().to_string();
        assert!(error.contains("tick 41") && error.contains("--keep-journal"), "{error}");
        let said = replay(&games, &config, "count/m").unwrap();
        assert!(said.contains("ticks 41 to 101") && said.contains("compared: 3"), "{said}");
        std::fs::remove_dir_all(&config.data).unwrap();
    }

    #[test]
    fn a_match_without_players_is_exported_without_seats() {
        let config = played("export");
        let text = export(&games(count), &config, "count/m").unwrap();
        let said: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&said["form"], &said["game"]), (&json!("referee-match-1"), &json!("count")));
        assert_eq!((&said["seats"], &said["hz"]), (&json!([]), &Value::Null));
        assert_eq!(said["length_ms"], json!(60), "from tick 41 to 101");
        let error = export(&games(rebuilt), &config, "count/m").unwrap_err().to_string();
        assert!(error.contains("another build"), "{error}");
        let error = export(&games(count), &config, "count/x").unwrap_err().to_string();
        assert!(error.contains("nothing is stored"), "{error}");
        std::fs::remove_dir_all(&config.data).unwrap();
    }

    #[test]
    fn what_cannot_be_shown_is_told_in_a_line() {
        let config = played("told");
        let fails = |room, game: fn(&mut Game)| {
            replay(&games(game), &config, room).unwrap_err().to_string()
        };
        for (room, part) in [
            ("count", "GAME/MATCH"),
            ("chess/m", "no game chess"),
            ("count/x", "nothing is stored"),
        ] {
            let line = fails(room, count);
            assert!(line.contains(part) && !line.contains('\n'), "{line}");
        }
        assert!(
            fails("count/m", other).contains("first after tick 61"),
            "{}",
            fails("count/m", other)
        );
        let nowhere = Config { data: config.data.join("no"), ..Config::default() };
        let line = inspect(&games(count), &nowhere, "count/m", None).unwrap_err().to_string();
        assert!(line.contains("--data"), "{line}");
        assert!(!nowhere.data.exists(), "looking makes no store");
        std::fs::remove_dir_all(&config.data).unwrap();
    }
}
