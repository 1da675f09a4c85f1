//! What rooms append: found again, numbered, told when durable, and gone when it is not needed.

use std::sync::mpsc::{Receiver, channel};

use redb::ReadableTable;

use super::*;

pub(super) fn chunk(life: u64, after: u64, upto: u64) -> Chunk {
    let bytes = format!("{life}: {after} to {upto}").into_bytes();
    Chunk { life, after, upto, whole: false, bytes }
}

pub(super) fn whole(life: u64, after: u64, upto: u64) -> Chunk {
    Chunk { whole: true, ..chunk(life, after, upto) }
}

pub(super) fn saved(life: u64, tick: u64) -> StoredRoom {
    StoredRoom { incarnation: life, tick, ..room(&format!("{life}: {tick}")) }
}

/// A line, and a message for each time that it is told.
fn line() -> (Arc<JournalLine>, Receiver<()>) {
    let (told, tells) = channel();
    (JournalLine::new(move || told.send(()).unwrap()), tells)
}

pub(super) fn quiet() -> Arc<JournalLine> {
    JournalLine::new(|| {})
}

pub(super) fn append(store: &Store, match_id: &str, chunk: Chunk) {
    assert!(store.append(&key(match_id), &quiet(), chunk, false).is_some());
}

/// The snapshot's tick, if there is one, and the last ticks of the chunks.
pub(super) fn ticks(store: &Store, match_id: &str) -> Option<(Option<u64>, Vec<u64>)> {
    let found = store.load(&key(match_id)).unwrap()?;
    for part in &found.journal {
        assert_eq!(part, &Chunk { whole: part.whole, ..chunk(part.life, part.after, part.upto) });
    }
    let tick = found.snapshot.is_some().then_some(found.tick);
    Some((tick, found.journal.iter().map(|chunk| chunk.upto).collect()))
}

#[tokio::test]
async fn what_was_appended_is_found_while_it_waits_when_it_is_on_disk_and_after_a_restart() {
    let temp = Temp::new();
    let store = temp.open();
    store.save(key("a"), saved(1, 10));
    for (after, upto) in [(8, 12), (12, 13)] {
        append(&store, "a", chunk(1, after, upto));
        assert_eq!(ticks(&store, "a").unwrap().1.last(), Some(&upto), "at once");
    }
    append(&store, "b", whole(2, 0, 3));
    store.flush().await.unwrap();
    append(&store, "a", chunk(1, 13, 14));
    append(&store, "orphan", chunk(3, 4, 5));
    let expected = |store: &Store| {
        assert_eq!(ticks(store, "a"), Some((Some(10), vec![12, 13, 14])));
        assert_eq!(ticks(store, "b"), Some((None, vec![3])));
        assert_eq!(ticks(store, "orphan"), None, "nothing that it follows on");
    };
    expected(&store);
    store.close().unwrap();
    assert_eq!(store.append(&key("a"), &quiet(), chunk(1, 14, 15), true), None, "closed");
    let store = temp.open();
    expected(&store);
    let b = store.load(&key("b")).unwrap().unwrap();
    assert_eq!((b.incarnation, b.tick, b.created_unix_ms), (2, 0, 0));
}

#[tokio::test]
async fn each_line_has_its_numbers_and_those_who_wait_are_told_once_per_commit() {
    let temp = Temp::new();
    let store = temp.open();
    let ((gated, tells), (logged, silence)) = (line(), line());
    assert_eq!((gated.durable(), logged.durable()), (0, 0));
    for number in 1..=3 {
        let append = |name: &str, line: &Arc<JournalLine>, gated: bool| {
            store.append(&key(name), line, chunk(1, number - 1, number), gated)
        };
        assert_eq!(append("logged", &logged, false), Some(number));
        assert_eq!(append("gated", &gated, true), Some(number));
        while gated.durable() < number {
            tells.recv().unwrap();
        }
        assert!(logged.durable() >= number, "it was in the same batch");
        assert!(tells.try_recv().is_err(), "once");
    }
    store.close().unwrap();
    assert!(silence.try_recv().is_err(), "nobody waits on this line");
    assert!(store.stats().journal.chunks_written == 6);
}

#[tokio::test]
async fn a_chunk_nobody_waits_for_is_on_disk_after_the_interval() {
    let temp = Temp::new();
    let config = StoreConfig { journal_every_ms: 5, ..StoreConfig::default() };
    let store = Store::open(&temp.0, &config).unwrap();
    let line = quiet();
    let mut progress = store.shared.journal.progress();
    store.append(&key("a"), &line, chunk(1, 0, 1), false).unwrap();
    progress.wait_for(|now| now.durable >= 1).await.unwrap();
    assert_eq!(line.durable(), 1);
}

#[tokio::test]
async fn a_snapshot_a_removal_and_settling_free_the_journal() {
    let temp = Temp::new();
    let store = temp.open();
    let held = |store: &Store| store.stats().journal.rooms;
    for name in ["saved", "removed", "settled", "newer"] {
        store.save(key(name), saved(1, 0));
        append(&store, name, chunk(1, 0, 5));
    }
    store.flush().await.unwrap();
    assert_eq!(held(&store), 4);
    store.save(key("saved"), saved(1, 5));
    store.save(key("newer"), saved(2, 3));
    store.delete(key("removed"));
    store.settle(&key("settled"));
    assert_eq!(ticks(&store, "removed"), None, "at once");
    store.flush().await.unwrap();
    assert_eq!(held(&store), 0);
    let expected = |store: &Store| {
        assert_eq!(ticks(store, "saved"), Some((Some(5), vec![])));
        assert_eq!(ticks(store, "newer"), Some((Some(3), vec![])));
        assert_eq!(ticks(store, "removed"), None);
        assert_eq!(ticks(store, "settled"), Some((Some(0), vec![5])));
    };
    expected(&store);
    // What was settled and what came later are one.
    append(&store, "settled", chunk(1, 5, 6));
    assert_eq!(ticks(&store, "settled"), Some((Some(0), vec![5, 6])));
    store.settle(&key("settled"));
    store.close().unwrap();
    let store = temp.open();
    assert_eq!(ticks(&store, "settled"), Some((Some(0), vec![5, 6])));
    store.save(key("settled"), saved(1, 5));
    store.flush().await.unwrap();
    assert_eq!(ticks(&store, "settled"), Some((Some(5), vec![6])), "waits no more, and is covered");
    store.delete(key("settled"));
    store.close().unwrap();
    assert_eq!(ticks(&temp.open(), "settled"), None);
}

#[tokio::test]
async fn a_removed_room_never_comes_back_and_its_next_life_stays() {
    let temp = Temp::new();
    let store = temp.open();
    append(&store, "other", whole(1, 0, 1));
    append(&store, "a", whole(2, 0, 9));
    store.flush().await.unwrap();
    // It is made again before its removal is on disk.
    store.delete(key("a"));
    append(&store, "a", whole(3, 0, 4));
    append(&store, "a", chunk(3, 4, 5));
    assert_eq!(ticks(&store, "a"), Some((None, vec![4, 5])));
    store.close().unwrap();
    let store = temp.open();
    assert_eq!(ticks(&store, "a"), Some((None, vec![4, 5])));
    store.delete(key("a"));
    store.close().unwrap();
    for _ in 0..2 {
        let store = temp.open();
        assert_eq!(ticks(&store, "a"), None);
        assert_eq!(ticks(&store, "other"), Some((None, vec![1])));
        append(&store, "more", whole(4, 0, 1));
    }
}

#[tokio::test]
async fn a_removed_room_does_not_come_back_out_of_what_a_snapshot_had_covered() {
    let temp = Temp::new();
    let store = temp.open();
    for name in ["saved", "settled", "other"] {
        append(&store, name, whole(1, 0, 5));
    }
    store.save(key("saved"), saved(1, 5));
    store.settle(&key("settled"));
    store.flush().await.unwrap();
    assert_eq!(store.stats().journal.rooms, 1, "the other, which holds the batch");
    store.delete(key("saved"));
    store.delete(key("settled"));
    store.close().unwrap();
    let store = temp.open();
    assert_eq!(ticks(&store, "saved"), None);
    assert_eq!(ticks(&store, "settled"), None);
    assert_eq!(ticks(&store, "other"), Some((None, vec![5])));
}

#[tokio::test]
async fn what_a_whole_chunk_made_void_does_not_come_back_when_that_has_moved() {
    let temp = Temp::new();
    let store = temp.open();
    append(&store, "other", whole(1, 0, 5));
    append(&store, "a", whole(1, 0, 9));
    store.flush().await.unwrap();
    append(&store, "a", whole(2, 0, 4));
    store.settle(&key("a"));
    store.close().unwrap();
    // The first batch is still there, because of the other.
    for _ in 0..2 {
        let store = temp.open();
        assert_eq!(ticks(&store, "a"), Some((None, vec![4])));
        store.settle(&key("a"));
        store.flush().await.unwrap();
        assert_eq!(ticks(&store, "a"), Some((None, vec![4])));
    }
}

#[tokio::test]
async fn what_stays_in_the_journal_for_long_moves_beside_the_snapshot() {
    let temp = Temp::new();
    let store = temp.open();
    store.save(key("a"), saved(1, 0));
    append(&store, "a", chunk(1, 0, 5));
    append(&store, "b", whole(2, 0, 5));
    append(&store, "covered", chunk(1, 0, 5));
    store.save(key("covered"), saved(1, 5));
    drop(store);
    // Nobody visits them after the restart.
    let config = StoreConfig { journal_ring_ms: 20, ..StoreConfig::default() };
    let store = Store::open(&temp.0, &config).unwrap();
    let mut progress = store.shared.progress.subscribe();
    while store.stats().journal.rooms > 0 {
        progress.changed().await.unwrap();
    }
    store.close().unwrap();
    let store = temp.open();
    assert_eq!(store.stats().journal.rooms, 0);
    assert_eq!(ticks(&store, "a"), Some((Some(0), vec![5])));
    assert_eq!(ticks(&store, "b"), Some((None, vec![5])));
    assert_eq!(ticks(&store, "covered"), Some((Some(5), vec![])));
}

#[tokio::test]
async fn what_was_removed_is_not_back_once_the_room_after_it_is_removed_too() {
    let machine = Machine::new();
    let store = machine.open();
    append(&store, "a", whole(5, 0, 3));
    append(&store, "b", whole(6, 0, 3));
    store.flush().await.unwrap();
    // Made again before the removal is written.
    machine.full(true);
    store.delete(key("a"));
    assert!(store.flush().await.is_err());
    append(&store, "a", whole(7, 0, 2));
    store.save(key("a"), saved(7, 2));
    machine.full(false);
    store.flush().await.unwrap();
    append(&store, "b", chunk(6, 3, 4));
    store.flush().await.unwrap();
    // The next removal is on one disk and not yet on the other.
    store.delete(key("a"));
    store.flush_rooms().await.unwrap();
    let machine = machine.after_power_cut();
    drop(store);
    let found = machine.open().load(&key("a")).unwrap();
    // The second removal was not reported; the first was.
    assert!(found.as_ref().is_none_or(|found| found.incarnation == 7), "{found:?}");
}

#[tokio::test]
async fn a_removal_that_failed_and_was_done_all_the_same_stays_one() {
    for operation in 0..40 {
        let machine = Machine::new();
        let store = machine.open();
        append(&store, "a", whole(5, 0, 3));
        store.flush().await.unwrap();
        // It is beside the snapshot now; the journal's file still has it.
        store.settle(&key("a"));
        store.flush().await.unwrap();
        machine.fail_after(operation);
        store.delete(key("a"));
        while store.flush().await.is_err() {}
        let machine = machine.after_power_cut();
        drop(store);
        assert_eq!(ticks(&machine.open(), "a"), None, "operation {operation} failed");
    }
}

#[tokio::test]
async fn the_files_stay_small_and_a_batch_costs_one_sync() {
    let machine = Machine::new();
    let store = machine.open();
    let (gated, tells) = line();
    let mut largest_early = 0;
    for number in 1..=3000 {
        let bytes = vec![7; 500];
        let chunk = Chunk { life: 1, after: number - 1, upto: number, whole: false, bytes };
        store.append(&key("a"), &gated, chunk, true).unwrap();
        while gated.durable() < number {
            tells.recv().unwrap();
        }
        if number % 50 == 0 {
            store.save(key("a"), saved(1, number));
            store.flush().await.unwrap();
        }
        if number <= 300 {
            largest_early = largest_early.max(machine.journal_len());
        }
    }
    let stats = store.stats().journal;
    let (of_database, of_log) = machine.journal_syncs();
    assert!(stats.batches <= 51 + machine.batches_in_log(512), "{stats:?}");
    let len = machine.journal_len();
    assert!(len <= largest_early, "{len} bytes, once {largest_early}, {stats:?}");
    // Where both halves were full, a batch went into the database with them.
    let each_once = stats.commits - stats.moves..=stats.commits;
    assert!(each_once.contains(&of_log) && stats.moves > 50, "{of_log} syncs, {stats:?}");
    assert!(of_database <= stats.moves + 20, "{of_database} syncs, {stats:?}");
}

#[tokio::test]
async fn a_clean_stop_leaves_an_empty_journal() {
    let temp = Temp::new();
    let store = temp.open();
    for number in 1..=100 {
        append(&store, "a", chunk(1, number - 1, number));
        store.flush().await.unwrap();
    }
    store.save(key("a"), saved(1, 100));
    store.close().unwrap();
    let stats = temp.open().stats().journal;
    assert_eq!((stats.rooms, stats.batches), (0, 0));
}

#[tokio::test]
async fn a_full_journal_disk_is_told_survived_and_made_good() {
    let machine = Machine::new();
    let config = StoreConfig { journal_queue_max_bytes: 4000, ..StoreConfig::default() };
    let store = machine.try_open(&config).unwrap();
    let (gated, tells) = line();
    store.save(key("a"), saved(1, 0));
    store.append(&key("a"), &gated, chunk(1, 0, 1), true).unwrap();
    store.flush().await.unwrap();
    tells.recv().unwrap();

    machine.full(true);
    let mut upto = 1;
    while store.append(&key("a"), &gated, chunk(1, upto, upto + 1), true).is_some() {
        upto += 1;
    }
    assert!((10..40).contains(&upto), "{upto}: so much waits, and no more");
    let Err(error) = store.flush().await else { panic!("flushed on a full disk") };
    assert!(error.to_string().contains("no space left"), "{error}");
    assert!(
        store.healthy().unwrap_err().contains("journal cannot be written"),
        "{:?}",
        store.healthy()
    );
    assert_eq!(gated.durable(), 1);
    assert!(store.stats().journal.failed_writes >= 1);

    machine.full(false);
    while store.flush().await.is_err() {}
    tells.recv().unwrap();
    assert_eq!((gated.durable(), store.healthy()), (upto, Ok(())));
    let expected = Some((Some(0), (1..=upto).collect()));
    assert_eq!(ticks(&store, "a"), expected);
    assert_eq!(ticks(&machine.after_power_cut().open(), "a"), expected);
}

#[tokio::test]
async fn closing_on_a_full_disk_ends_and_says_what_the_journal_loses() {
    let machine = Machine::new();
    let store = machine.open();
    store.next_number().unwrap();
    store.flush().await.unwrap();
    machine.full(true);
    append(&store, "a", whole(1, 0, 1));
    assert!(matches!(store.close(), Err(StoreError::Write(_))));
    assert!(matches!(store.flush().await, Err(StoreError::Write(_))), "at once");
}

fn journal_file(temp: &Temp) -> PathBuf {
    temp.0.join("journal.redb")
}

#[track_caller]
fn journal_refused(temp: &Temp, parts: &[&str]) -> StoreError {
    let files = || (fs::read(temp.file()).ok(), fs::read(journal_file(temp)).ok());
    let before = files();
    let error = temp.refused(parts);
    let after = files();
    assert!(after.1 == before.1, "the journal was changed");
    error
}

#[tokio::test]
async fn a_damaged_a_newer_and_a_foreign_journal_are_left_as_they_are() {
    let temp = Temp::new();
    let store = temp.open();
    for number in 0..200 {
        append(&store, "a", whole(1, number, number + 1));
        store.flush().await.unwrap();
    }
    store.close().unwrap();
    let whole_file = fs::read(journal_file(&temp)).unwrap();

    for bytes in [b"".as_slice(), b"nonsense that no database would write", &whole_file[..5000]] {
        fs::write(journal_file(&temp), bytes).unwrap();
        let error = journal_refused(&temp, &["journal.redb", "left as it is", "move it away"]);
        assert!(matches!(error, StoreError::DamagedJournal { .. }));
    }
    fs::remove_file(journal_file(&temp)).unwrap();
    Database::create(journal_file(&temp)).unwrap();
    journal_refused(&temp, &["journal.redb", "something else"]);

    let other = Temp::new();
    drop(other.open());
    fs::copy(journal_file(&other), journal_file(&temp)).unwrap();
    journal_refused(&temp, &["journal.redb", "another store"]);

    fs::write(journal_file(&temp), &whole_file).unwrap();
    let rooms = fs::read(temp.file()).unwrap();
    fs::remove_file(temp.file()).unwrap();
    journal_refused(&temp, &["journal.redb", "is gone"]);
    assert!(!temp.file().exists(), "nothing was made");
    fs::write(temp.file(), rooms).unwrap();
    set_journal_format(&temp, super::super::journal::file::FORMAT + 1);
    let error = journal_refused(&temp, &["journal.redb", "update"]);
    assert!(matches!(error, StoreError::Newer { found: 3, known: 2, .. }));
    set_journal_format(&temp, super::super::journal::file::FORMAT);
    assert_eq!(ticks(&temp.open(), "a"), Some((None, vec![200])));
}

fn set_journal_format(temp: &Temp, format: u32) {
    let database = Database::open(journal_file(temp)).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut meta = transaction.open_table(META).unwrap();
    meta.insert(META_FORMAT, format.to_le_bytes().as_slice()).unwrap();
    drop(meta);
    transaction.commit().unwrap();
}

#[tokio::test]
async fn without_its_journal_a_store_goes_on_from_its_snapshots() {
    let temp = Temp::new();
    let store = temp.open();
    for name in ["a", "b"] {
        store.save(key(name), saved(1, 4));
        append(&store, name, chunk(1, 4, 5));
        store.settle(&key("b"));
        store.flush().await.unwrap();
    }
    store.close().unwrap();
    fs::remove_file(journal_file(&temp)).unwrap();
    let store = temp.open();
    assert_eq!(ticks(&store, "a"), Some((Some(4), vec![])));
    // What was moved over comes before what the new journal gets.
    append(&store, "b", chunk(2, 5, 7));
    store.settle(&key("b"));
    store.close().unwrap();
    assert_eq!(ticks(&temp.open(), "b"), Some((Some(4), vec![5, 7])));
}

#[tokio::test]
async fn a_damaged_chunk_concerns_its_room_alone_and_is_not_lost() {
    let temp = Temp::new();
    let store = temp.open();
    store.save(key("good"), saved(1, 0));
    append(&store, "bad", whole(1, 0, 7777));
    append(&store, "good", chunk(1, 0, 5));
    store.close().unwrap();
    // As if the disk had changed what was written: the database's own checksums are not looked at.
    let database = Database::open(journal_file(&temp)).unwrap();
    let transaction = database.begin_write().unwrap();
    let table = redb::TableDefinition::<u64, &[u8]>::new("batches");
    let mut batches = transaction.open_table(table).unwrap();
    let rows: Vec<_> = batches.iter().unwrap().map(|row| row.unwrap().0.value()).collect();
    for number in rows {
        let mut bytes = batches.get(number).unwrap().unwrap().value().to_vec();
        let at = bytes.windows(4).position(|window| window == b"7777");
        let Some(at) = at else { continue };
        bytes[at] = b'8';
        batches.insert(number, bytes.as_slice()).unwrap();
    }
    drop(batches);
    transaction.commit().unwrap();
    drop(database);

    let config = StoreConfig { journal_ring_ms: 20, ..StoreConfig::default() };
    for _ in 0..2 {
        let store = Store::open(&temp.0, &config).unwrap();
        let Err(error) = store.load(&key("bad")) else { panic!("loaded") };
        assert!(matches!(&error, StoreError::Unreadable { room, .. } if room == "game/bad"));
        assert_eq!(ticks(&store, "good"), Some((Some(0), vec![5])));
        let mut progress = store.shared.progress.subscribe();
        while store.stats().journal.rooms > 1 {
            progress.changed().await.unwrap();
        }
        store.settle(&key("bad"));
        store.flush().await.unwrap();
        assert_eq!(store.stats().journal.rooms, 1, "it stays where it is");
    }
}

#[tokio::test]
async fn an_append_never_waits_for_the_rooms_file() {
    let temp = Temp::new();
    let store = temp.open();
    let (gated, tells) = line();
    // Whoever holds this keeps the rooms' thread from opening its file again.
    let held = store.shared.database.write().unwrap();
    store.append(&key("a"), &gated, whole(1, 0, 1), true).unwrap();
    tells.recv().unwrap();
    assert_eq!(gated.durable(), 1);
    drop(held);
}
