//! How many durable moves a second the journal does, beside a bare file that is appended to and synced
//! in groups, both in this process and on this disk:
//!
//! ```sh
//! cargo run --release -p referee-server --example journal -- DIR
//! ```
//!
//! A room appends a move, waits until it is on disk, and appends the next.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use referee_protocol::{GameName, MatchId};
use referee_server::key::RoomKey;
use referee_server::store::{Chunk, JournalLine, Store, StoreConfig, StoredRoom};

/// Bytes of a move.
const MOVE_BYTES: usize = 64;
const RUN: Duration = Duration::from_secs(4);
/// Each room is saved after so many moves.
const SAVE_EVERY: u64 = 50;
const SNAPSHOT_BYTES: usize = 4096;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let dir = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = dir.join(format!("referee-journal-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    for rooms in [1, 100, 1000] {
        let floor = floor(&dir, rooms)?;
        let journal = journal(&dir, rooms, None)?;
        let saving = self::journal(&dir, rooms, Some(SAVE_EVERY))?;
        print(&format!("floor, {rooms} rooms"), &floor, &floor);
        print(&format!("journal, {rooms} rooms"), &journal, &floor);
        print(&format!("journal, {rooms} rooms that are saved"), &saving, &floor);
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

/// What a run measured.
struct Measured {
    moves: u64,
    waits: Vec<Duration>,
}

fn print(what: &str, measured: &Measured, floor: &Measured) {
    let mut waits = measured.waits.clone();
    waits.sort_unstable();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    let per_second = |of: &Measured| of.moves as f64 / RUN.as_secs_f64();
    let (rate, share) = (per_second(measured), per_second(measured) / per_second(floor));
    let line = format!(
        "{what:36} {rate:8.0} moves/s  {share:5.2} of the floor  p50 {:.2} ms  p99 {:.2} ms\n",
        at(0.5),
        at(0.99)
    );
    // Whoever stopped reading does not want it.
    let _ = std::io::stdout().write_all(line.as_bytes());
}

/// Has each room do its next move when the one before is told to be done.
fn drive(
    rooms: usize,
    told: &Receiver<usize>,
    mut do_move: impl FnMut(usize, u64) -> Result<()>,
) -> Result<Measured> {
    let begun = Instant::now();
    let mut since = vec![begun; rooms];
    let mut numbers = vec![1; rooms];
    let mut measured = Measured { moves: 0, waits: vec![] };
    for room in 0..rooms {
        do_move(room, 1)?;
    }
    while begun.elapsed() < RUN {
        let room = told.recv()?;
        let now = Instant::now();
        measured.waits.push(now - since[room]);
        measured.moves += 1;
        numbers[room] += 1;
        since[room] = now;
        do_move(room, numbers[room])?;
    }
    Ok(measured)
}

fn journal(dir: &Path, rooms: usize, save_every: Option<u64>) -> Result<Measured> {
    let dir = dir.join("store");
    let store = Store::open(&dir, &StoreConfig::default())?;
    let (tell, told) = channel();
    let line = |room| {
        let tell: Sender<usize> = tell.clone();
        JournalLine::new(move || {
            // Told after the end: nobody listens any more.
            let _ = tell.send(room);
        })
    };
    let lines: Vec<Arc<JournalLine>> = (0..rooms).map(line).collect();
    let keys = (0..rooms).map(|room| -> Result<RoomKey> {
        let match_id = MatchId::new(&format!("room-{room}"))?;
        Ok(RoomKey { game: GameName::new("game")?, match_id })
    });
    let keys = keys.collect::<Result<Vec<_>>>()?;
    let measured = drive(rooms, &told, |room, number| {
        let key = &keys[room];
        let bytes = vec![7; MOVE_BYTES];
        let chunk = Chunk { life: 1, after: number - 1, upto: number, whole: number == 1, bytes };
        if save_every.is_some_and(|every| number % every == 0) {
            let snapshot = Some(vec![7; SNAPSHOT_BYTES]);
            let (incarnation, tick) = (1, number - 1);
            let room = StoredRoom { incarnation, tick, snapshot, ..StoredRoom::default() };
            store.save(key.clone(), room);
        }
        store.append(key, &lines[room], chunk, true).ok_or("the journal is full")?;
        Ok(())
    })?;
    store.close()?;
    std::fs::remove_dir_all(&dir)?;
    Ok(measured)
}

/// What waits for the floor's thread, and whether it is over.
#[derive(Default)]
struct Waiting {
    rooms: Vec<usize>,
    bytes: Vec<u8>,
    over: bool,
}

fn floor(dir: &Path, rooms: usize) -> Result<Measured> {
    let path = dir.join("floor");
    let mut file = File::create(&path)?;
    let shared = Arc::new((Mutex::new(Waiting::default()), Condvar::new()));
    let (tell, told) = channel();
    let of_thread = shared.clone();
    let thread = thread::spawn(move || -> std::io::Result<()> {
        let (waiting, work) = &*of_thread;
        loop {
            let waits = |waiting: &mut Waiting| waiting.rooms.is_empty() && !waiting.over;
            let guard = waiting.lock().expect("nobody panics");
            let mut guard = work.wait_while(guard, waits).expect("nobody panics");
            if guard.over {
                return Ok(());
            }
            let Waiting { rooms, bytes, .. } = std::mem::take(&mut *guard);
            drop(guard);
            file.write_all(&bytes)?;
            file.sync_data()?;
            for room in rooms {
                let _ = tell.send(room);
            }
        }
    });
    let measured = drive(rooms, &told, |room, _| {
        let mut waiting = shared.0.lock().expect("nobody panics");
        waiting.rooms.push(room);
        waiting.bytes.extend_from_slice(&[7; MOVE_BYTES]);
        drop(waiting);
        shared.1.notify_one();
        Ok(())
    })?;
    shared.0.lock().expect("nobody panics").over = true;
    shared.1.notify_one();
    thread.join().map_err(|_| "the floor's thread panicked")??;
    std::fs::remove_file(&path)?;
    Ok(measured)
}
