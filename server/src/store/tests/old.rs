//! Stores that earlier versions wrote, kept as data: they are read, and nothing in them changes.

use std::io::Read;

use super::journal::{chunk, saved, whole};
use super::*;

/// Written by the version that had no journal: eight rooms, a kept value, numbers up to 1,024
/// reserved.
const FORMAT_1: &[u8] = include_bytes!("format-1.redb.gz");

/// Written by the version that had no alarms: the same rooms, saved at tick 100, with a chunk each after
/// that; of one a chunk was moved beside its snapshot; a ninth is in the journal alone.
const FORMAT_2: &[u8] = include_bytes!("format-2.redb.gz");
const FORMAT_2_JOURNAL: &[u8] = include_bytes!("format-2-journal.redb.gz");

/// Written by the version that did not say what is gone and how much is used: as format 2, and of the sixth
/// room an alarm is due.
const FORMAT_3: &[u8] = include_bytes!("format-3.redb.gz");
const FORMAT_3_JOURNAL: &[u8] = include_bytes!("format-3-journal.redb.gz");

fn format_1() -> Temp {
    let temp = Temp::new();
    fs::create_dir(&temp.0).unwrap();
    unpack(FORMAT_1, &temp.file());
    temp
}

fn format_2() -> Temp {
    with_journal(FORMAT_2, FORMAT_2_JOURNAL)
}

fn with_journal(rooms: &[u8], journal: &[u8]) -> Temp {
    let temp = Temp::new();
    fs::create_dir(&temp.0).unwrap();
    unpack(rooms, &temp.file());
    unpack(journal, &temp.0.join("journal.redb"));
    temp
}

fn unpack(packed: &[u8], to: &Path) {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    fs::write(to, bytes).unwrap();
}

fn old_room(number: usize) -> (String, Vec<u8>) {
    let snapshot = format!("snapshot {number} ").repeat(1 + 300 * number);
    (format!("old-{number}"), snapshot.into_bytes())
}

#[track_caller]
fn check(store: &Store) {
    for number in 0..8 {
        let (name, snapshot) = old_room(number);
        let found = store.load(&key(&name)).unwrap().unwrap();
        assert_eq!(found.snapshot, Some(snapshot));
        assert_eq!(found.created_unix_ms, 1_000 + number as u64);
        assert_eq!(found.incarnation, 10 + number as u64);
        assert_eq!((found.tick, found.journal), (0, vec![]));
    }
    assert_eq!(store.kept("tls").unwrap().as_deref(), Some(&b"kept"[..]));
}

#[test]
fn a_store_without_a_journal_is_read_and_gets_one() {
    let temp = format_1();
    let mut last = 1_024;
    for _ in 0..2 {
        let store = temp.open();
        check(&store);
        let number = store.next_number().unwrap();
        assert!(number > last, "{number}");
        last = number;
        store.close().unwrap();
    }
    assert!(temp.0.join("journal.redb").exists());
}

#[tokio::test]
async fn a_room_that_was_saved_without_a_tick_goes_on_with_a_journal() {
    let temp = format_1();
    let store = temp.open();
    let (name, snapshot) = old_room(3);
    let line = JournalLine::new(|| {});
    // Whoever loads it knows its tick, and begins there.
    for (after, upto) in [(500, 510), (510, 515)] {
        store.append(&key(&name), &line, chunk(2_000, after, upto), false).unwrap();
    }
    store.close().unwrap();
    let store = temp.open();
    let found = store.load(&key(&name)).unwrap().unwrap();
    assert_eq!((found.tick, found.snapshot), (500, Some(snapshot)));
    assert_eq!(found.journal, [chunk(2_000, 500, 510), chunk(2_000, 510, 515)]);
    store.save(key(&name), saved(2_000, 510));
    store.flush().await.unwrap();
    let found = store.load(&key(&name)).unwrap().unwrap();
    assert_eq!((found.tick, found.journal), (510, vec![chunk(2_000, 510, 515)]));
}

#[test]
fn an_old_store_with_a_journal_of_another_is_not_changed() {
    let (temp, other) = (format_1(), Temp::new());
    let store = other.open();
    store.append(&key("a"), &JournalLine::new(|| {}), whole(1, 0, 1), false).unwrap();
    store.close().unwrap();
    let journal = temp.0.join("journal.redb");
    fs::copy(other.0.join("journal.redb"), &journal).unwrap();
    let error = temp.refused(&["journal.redb", "another store", "left as it is"]);
    assert!(matches!(error, StoreError::DamagedJournal { .. }));
    fs::remove_file(&journal).unwrap();
    check(&temp.open());
}

/// All that the rooms of format 2 and 3 have, but for alarms.
#[track_caller]
fn check_with_journal(store: &Store) {
    for number in 0..8u64 {
        let (name, snapshot) = old_room(number as usize);
        let found = store.load(&key(&name)).unwrap().unwrap();
        assert_eq!(found.tick, 100);
        assert_eq!((found.snapshot, found.incarnation), (Some(snapshot), 10 + number));
        let mut expected = vec![chunk(10 + number, 100, 110)];
        expected.extend((number == 3).then(|| chunk(13, 110, 120)));
        assert_eq!(found.journal, expected);
        assert_eq!(store.history(&key(&name)).unwrap(), [chunk(10 + number, 0, 100)]);
    }
    assert_eq!(store.load(&key("old-8")).unwrap().unwrap().journal, [whole(18, 0, 7)]);
    assert_eq!(store.kept("tls").unwrap().as_deref(), Some(&b"kept"[..]));
    assert!(store.next_number().unwrap() > 1_024);
}

#[tokio::test]
async fn a_store_that_does_not_say_how_much_is_used_is_read_and_says_it() {
    let temp = with_journal(FORMAT_3, FORMAT_3_JOURNAL);
    let rooms: usize = (0..8).map(|number| old_room(number).1.len()).sum();
    for _ in 0..2 {
        let store = temp.open();
        check_with_journal(&store);
        let due = store.due_alarms(u64::MAX - 1, None, 9).unwrap();
        assert_eq!(due.rooms, [(4_000_000_000_005, key("old-5"))]);
        let used = usize::try_from(store.stats().used_bytes).unwrap();
        // Each value has a head beside what it holds.
        assert!((rooms..rooms + 2_000).contains(&used), "{used} of {rooms}");
        store.close().unwrap();
    }
    let store = temp.open();
    let before = store.stats().used_bytes;
    store.delete(key("old-7"));
    store.flush().await.unwrap();
    let freed = usize::try_from(before - store.stats().used_bytes).unwrap();
    assert!(freed > old_room(7).1.len(), "{freed}");
}

#[tokio::test]
async fn a_store_without_alarms_is_read_with_its_journal_and_gets_them() {
    let temp = format_2();
    for _ in 0..2 {
        let store = temp.open();
        check_with_journal(&store);
        let alarm = |number| store.load(&key(&old_room(number).0)).unwrap().unwrap().alarm_unix_ms;
        assert!((0..8).all(|number| alarm(number).is_none()));
        assert_eq!(store.due_alarms(u64::MAX - 1, None, 9).unwrap().rooms, []);
        store.close().unwrap();
    }
    let store = temp.open();
    let room = StoredRoom { alarm_unix_ms: Some(5), ..saved(2_000, 130) };
    store.save(key("old-3"), room);
    store.flush().await.unwrap();
    assert_eq!(store.due_alarms(5, None, 9).unwrap().rooms, [(5, key("old-3"))]);
}
