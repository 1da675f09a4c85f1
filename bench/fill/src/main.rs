//! Fills a store with rooms that nobody visits, for measurements of a large one:
//! `referee-bench-fill DIR MIB`.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use referee_protocol::{GameName, MatchId};
use referee_server::key::RoomKey;
use referee_server::store::{Store, StoreConfig, StoredRoom};

/// Bytes of a room's snapshot.
const SNAPSHOT_BYTES: usize = 64 << 10;
/// Rooms that are written at once.
const AT_ONCE: usize = 1_000;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, mib] = &arguments[..] else { return Err("usage: referee-bench-fill DIR MIB".into()) };
    let rooms = mib.parse::<usize>()? * ((1 << 20) / SNAPSHOT_BYTES);
    let store = Store::open(Path::new(dir), &StoreConfig::default())?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let saved_unix_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
    for first in (0..rooms).step_by(AT_ONCE) {
        for room in first..rooms.min(first + AT_ONCE) {
            let match_id = MatchId::new(&format!("filler-{room}"))?;
            let key = RoomKey { game: GameName::new("filler")?, match_id };
            let snapshot = Some(vec![room as u8; SNAPSHOT_BYTES]);
            let room = StoredRoom { saved_unix_ms, snapshot, ..StoredRoom::default() };
            if !store.save(key, room) {
                return Err("the store takes no more".into());
            }
        }
        runtime.block_on(store.flush())?;
    }
    store.close()?;
    Ok(())
}
