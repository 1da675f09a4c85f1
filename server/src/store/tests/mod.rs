//! The store on real files, and on a disk that fails or loses its power.

mod alarms;
mod compact;
mod crash;
pub(crate) mod disk;
mod journal;
mod log;
mod logged;
mod old;
mod past;
mod removal;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use referee_protocol::{GameName, MatchId};

use super::format::{FORMAT, META, META_FORMAT, ROOMS};
use super::*;
use disk::Machine;

/// A folder that is gone after the test.
struct Temp(PathBuf);

impl Temp {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("referee-store-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn file(&self) -> PathBuf {
        self.0.join("rooms.redb")
    }

    /// Writes another format into the file of rooms, which stays open: as a crash leaves it.
    #[must_use]
    fn set_format(&self, format: u32) -> Database {
        let database = Database::open(self.file()).unwrap();
        let transaction = database.begin_write().unwrap();
        let mut meta = transaction.open_table(META).unwrap();
        meta.insert(META_FORMAT, format.to_le_bytes().as_slice()).unwrap();
        drop(meta);
        transaction.commit().unwrap();
        database
    }

    fn open(&self) -> Arc<Store> {
        Store::open(&self.0, &StoreConfig::default()).unwrap()
    }

    /// Opening must be refused, with one line that says what and where, and change nothing.
    #[track_caller]
    fn refused(&self, parts: &[&str]) -> StoreError {
        let before = fs::read(self.file()).ok();
        let Err(error) = Store::open(&self.0, &StoreConfig::default()) else { panic!("opened") };
        let line = error.to_string();
        for part in parts {
            assert!(line.contains(part), "{line} should contain {part}");
        }
        assert!(line.contains("--data") && !line.contains('\n'), "{line}");
        assert!(fs::read(self.file()).ok() == before, "the file was changed");
        error
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn key(match_id: &str) -> RoomKey {
    RoomKey { game: GameName::new("game").unwrap(), match_id: MatchId::new(match_id).unwrap() }
}

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

fn room(snapshot: &str) -> StoredRoom {
    StoredRoom {
        created_unix_ms: 1,
        incarnation: 2,
        saved_unix_ms: now_ms(),
        snapshot: Some(snapshot.as_bytes().to_vec()),
        ..StoredRoom::default()
    }
}

fn snapshot(store: &Store, match_id: &str) -> Option<String> {
    let room = store.load(&key(match_id)).unwrap()?;
    Some(String::from_utf8(room.snapshot?).unwrap())
}

#[tokio::test]
async fn rooms_are_there_at_once_and_after_a_restart() {
    let temp = Temp::new();
    let store = temp.open();
    assert_eq!(snapshot(&store, "a"), None);
    assert!(store.save(key("a"), room("one")));
    assert!(store.save(key("a"), room("two")));
    assert!(store.save(key("b"), room("other")));
    assert_eq!(snapshot(&store, "a").as_deref(), Some("two"), "before it is on disk");
    store.flush().await.unwrap();
    assert!(store.delete(key("b")));
    let token_key = store.token_key();
    store.close().unwrap();
    assert!(!store.save(key("c"), room("late")), "closed");
    assert_eq!(store.load(&key("a")), Err(StoreError::Closed));
    assert_eq!(store.flush().await, Ok(()), "nothing waits");

    let store = temp.open();
    assert_eq!(snapshot(&store, "a").as_deref(), Some("two"));
    assert_eq!(snapshot(&store, "b"), None);
    assert_eq!(snapshot(&store, "c"), None);
    assert_eq!(store.token_key(), token_key);
    assert_ne!(token_key, [0; 32]);
    assert_eq!(store.healthy(), Ok(()));
}

#[test]
fn numbers_never_come_twice() {
    let temp = Temp::new();
    let mut last = 0;
    for _ in 0..3 {
        let store = temp.open();
        for _ in 0..3000 {
            let number = store.next_number().unwrap();
            assert!(number > last, "{number} after {last}");
            last = number;
        }
    }
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_the_token_key() {
    use std::os::unix::fs::PermissionsExt;
    let temp = Temp::new();
    temp.open();
    assert_eq!(fs::metadata(temp.file()).unwrap().permissions().mode() & 0o077, 0);
}

#[test]
fn a_folder_belongs_to_one_server_at_a_time() {
    let temp = Temp::new();
    let store = temp.open();
    let Err(error) = Store::open(&temp.0, &StoreConfig::default()) else { panic!("opened twice") };
    assert_eq!(error, StoreError::Locked { dir: temp.0.clone() });
    drop(store);
    temp.open();
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let temp = Temp::new();
    fs::write(&temp.0, "a file").unwrap();
    let error = temp.refused(&["data folder", temp.0.to_str().unwrap()]);
    assert!(matches!(error, StoreError::Folder { .. }));
    fs::remove_file(&temp.0).unwrap();
}

#[test]
fn a_foreign_file_is_left_as_it_is() {
    for bytes in [b"".as_slice(), b"x", b"# my rooms\n\nnothing that a database would write"] {
        let temp = Temp::new();
        fs::create_dir(&temp.0).unwrap();
        fs::write(temp.file(), bytes).unwrap();
        let error = temp.refused(&["rooms.redb", "left as it is"]);
        assert!(matches!(error, StoreError::Damaged { .. }));
    }
}

#[tokio::test]
async fn a_truncated_file_is_left_as_it_is() {
    let temp = Temp::new();
    let store = temp.open();
    for number in 0..64 {
        store.save(key(&format!("room-{number}")), room(&"x".repeat(2000)));
    }
    store.close().unwrap();
    let whole = fs::read(temp.file()).unwrap();
    for len in [9, 64, 320, 4096, 5000, whole.len() / 2, whole.len() - 4096, whole.len() - 1] {
        fs::write(temp.file(), &whole[..len]).unwrap();
        temp.refused(&["rooms.redb", "left as it is"]);
    }
    fs::write(temp.file(), &whole).unwrap();
    assert!(snapshot(&temp.open(), "room-63").is_some());
}

#[test]
fn a_newer_file_is_left_as_it_is() {
    let temp = Temp::new();
    temp.open().save(key("a"), room("kept"));
    drop(temp.set_format(FORMAT + 1));
    let error = temp.refused(&["update", "rooms.redb"]);
    assert!(matches!(error, StoreError::Newer { found: 5, known: 4, .. }));
    drop(temp.set_format(FORMAT));
    assert_eq!(snapshot(&temp.open(), "a").as_deref(), Some("kept"));
}

#[test]
fn a_database_of_something_else_is_refused() {
    let temp = Temp::new();
    fs::create_dir(&temp.0).unwrap();
    Database::create(temp.file()).unwrap();
    temp.refused(&["something else", "left as it is"]);
}

#[test]
fn a_refused_file_stays_as_it_is_also_when_a_repair_was_tried() {
    let temp = Temp::new();
    temp.open().save(key("a"), room(&"x".repeat(20_000)));
    // As a crash leaves it: the next one to open it must repair it.
    let crashed = |format: u32| {
        let _open = temp.set_format(format);
        fs::read(temp.file()).unwrap()
    };
    let (ours, newer) = (crashed(FORMAT), crashed(FORMAT + 1));
    fs::write(temp.file(), &newer).unwrap();
    temp.refused(&["update", "left as it is"]);
    for at in (0..newer.len()).step_by(997).chain(0..320) {
        let mut damaged = newer.clone();
        damaged[at] ^= 0xFF;
        fs::write(temp.file(), &damaged).unwrap();
        // The commit before is one of ours: a damaged newest one may fall back to it.
        if Store::open(&temp.0, &StoreConfig::default()).is_err() {
            assert!(fs::read(temp.file()).unwrap() == damaged, "byte {at}: the file was changed");
        }
    }
    fs::write(temp.file(), &ours).unwrap();
    assert_eq!(snapshot(&temp.open(), "a").map(|text| text.len()), Some(20_000));
}

#[test]
fn an_unreadable_room_concerns_nobody_else() {
    let temp = Temp::new();
    temp.open().save(key("good"), room("fine"));
    let database = Database::open(temp.file()).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut rooms = transaction.open_table(ROOMS).unwrap();
    rooms.insert("game/bad", b"\x01nonsense".as_slice()).unwrap();
    drop(rooms);
    transaction.commit().unwrap();
    drop(database);

    let store = temp.open();
    let Err(error) = store.load(&key("bad")) else { panic!("loaded") };
    assert!(matches!(&error, StoreError::Unreadable { room, .. } if room == "game/bad"));
    assert_eq!(snapshot(&store, "good").as_deref(), Some("fine"));
    assert_eq!(store.healthy(), Ok(()));
}

#[tokio::test]
async fn rooms_nobody_visited_expire() {
    const DAY_MS: u64 = 24 * 60 * 60 * 1000;
    let temp = Temp::new();
    let store = temp.open();
    let aged = |days: u64| StoredRoom { saved_unix_ms: now_ms() - days * DAY_MS, ..room("x") };
    for number in 0..600 {
        store.save(key(&format!("old-{number}")), aged(32));
    }
    store.save(key("revived"), aged(32));
    store.save(key("young"), aged(29));
    store.flush().await.unwrap();
    store.save(key("revived"), aged(0));
    store.close().unwrap();

    let store = temp.open();
    // One transaction sweeps a bounded number; by the third all are gone.
    for _ in 0..3 {
        store.save(key("more"), room("x"));
        store.flush().await.unwrap();
    }
    assert!((0..600).all(|number| snapshot(&store, &format!("old-{number}")).is_none()));
    assert!(snapshot(&store, "young").is_some() && snapshot(&store, "revived").is_some());
}

#[tokio::test]
async fn what_was_flushed_survives_a_power_cut_and_so_do_numbers() {
    let disk = Machine::new();
    let store = disk.open();
    let mut last = 0;
    for round in 0..8 {
        store.save(key("a"), room(&format!("round {round}")));
        store.flush().await.unwrap();
        let flushed = disk.after_power_cut();
        for _ in 0..500 {
            last = store.next_number().unwrap();
        }
        // Numbers were reserved before they were given out, so the disk of this moment knows them.
        let after = disk.after_power_cut().open();
        assert!(after.next_number().unwrap() > last);
        assert_eq!(snapshot(&after, "a"), Some(format!("round {round}")));
        assert_eq!(snapshot(&flushed.open(), "a"), Some(format!("round {round}")));
    }
}

#[tokio::test]
async fn a_full_disk_is_told_survived_and_made_good() {
    let disk = Machine::new();
    let store = disk.open();
    store.save(key("a"), room("before"));
    store.save(key("quiet"), room("untouched"));
    store.flush().await.unwrap();

    disk.full(true);
    store.save(key("a"), room("during"));
    let Err(error) = store.flush().await else { panic!("flushed on a full disk") };
    assert!(error.to_string().contains("no space left"), "{error}");
    assert!(store.healthy().unwrap_err().contains("no space left"));
    assert!(store.stats().failed_writes >= 1);
    assert_eq!(snapshot(&store, "a").as_deref(), Some("during"), "kept in memory");
    store.save(key("a"), room("newer"));

    disk.full(false);
    // The attempt that is under way, or its opening of the file, may have begun on the full disk.
    let mut tries = 0;
    while let Err(error) = store.flush().await {
        tries += 1;
        assert!(tries < 3, "{error}");
    }
    assert_eq!(store.healthy(), Ok(()));
    assert_eq!(store.stats().rooms_waiting, 0);
    let after = disk.after_power_cut().open();
    assert_eq!(snapshot(&after, "a").as_deref(), Some("newer"));
    assert_eq!(snapshot(&after, "quiet").as_deref(), Some("untouched"));
}

#[tokio::test]
async fn closing_on_a_full_disk_ends_and_says_what_is_lost() {
    let disk = Machine::new();
    let store = disk.open();
    store.flush().await.unwrap();
    disk.full(true);
    store.save(key("a"), room("lost"));
    assert!(matches!(store.close(), Err(StoreError::Write(_))));
    assert!(matches!(store.flush().await, Err(StoreError::Write(_))), "at once");
}

#[test]
fn numbers_end_when_they_cannot_be_reserved() {
    let disk = Machine::new();
    let store = disk.open();
    let first = store.next_number().unwrap();
    disk.full(true);
    let last = std::iter::from_fn(|| store.next_number().ok()).last().unwrap();
    assert!(last < first + 3 * queue::NUMBERS_BLOCK);
    disk.full(false);
    store.save(key("a"), room("x"));
    let after = loop {
        if let Ok(number) = store.next_number() {
            break number;
        }
        std::thread::yield_now();
    };
    assert!(after > last);
}

#[test]
fn a_damaged_file_never_brings_the_server_down_nor_makes_up_a_room() {
    let temp = Temp::new();
    let store = temp.open();
    let text = |number: usize| format!("{number}-").repeat(300);
    for number in 0..64 {
        store.save(key(&format!("room-{number}")), room(&text(number)));
    }
    store.close().unwrap();
    let whole = fs::read(temp.file()).unwrap();
    let mut refused = 0;
    for round in 0..64 {
        let mut bytes = whole.clone();
        // The head in the first rounds, then all over the file.
        let at = if round < 24 { round * 16 } else { (round - 24) * bytes.len() / 40 };
        bytes[at..].iter_mut().take(16).for_each(|byte| *byte ^= 0x5a);
        fs::write(temp.file(), &bytes).unwrap();
        let Ok(store) = Store::open(&temp.0, &StoreConfig::default()) else {
            refused += 1;
            continue;
        };
        for number in 0..64 {
            if let Ok(Some(found)) = store.load(&key(&format!("room-{number}"))) {
                assert_eq!(found.snapshot, Some(text(number).into_bytes()), "round {round}");
            }
        }
    }
    assert!(refused > 0, "damage in the head is noticed");
}
