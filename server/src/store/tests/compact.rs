//! A file that is mostly free becomes smaller, while rooms go on; wherever the power goes out or the disk is
//! full meanwhile, nothing is lost.

use super::disk::Rng;
use super::journal::{append, chunk, saved, ticks, whole};
use super::*;

/// Values take less than a quarter, and it is done.
const COMPACTS: u64 = 256 << 10;

fn config(compact_from_bytes: u64) -> StoreConfig {
    StoreConfig { compact_from_bytes, ..StoreConfig::default() }
}

fn large(number: usize) -> String {
    let bytes = 500 + 7_919 * number % 40_000;
    format!("{number} ").repeat(bytes / 3)
}

fn name(number: usize) -> String {
    format!("room-{number}")
}

fn copy_of(temp: &Temp) -> PathBuf {
    temp.0.join("rooms.redb.compact")
}

/// Rooms that stay are as they were.
#[track_caller]
fn check(store: &Store, kept: &[usize]) {
    for number in kept {
        assert!(snapshot(store, &name(*number)) == Some(large(*number)), "room {number}");
    }
    let database = store.shared.database.read().unwrap();
    let database = database.as_ref().unwrap();
    let begun = database.begin_read().unwrap();
    let rooms = begun.open_table(ROOMS).unwrap();
    let rows = redb::ReadableTable::iter(&rooms).unwrap();
    let beside = begun.open_table(format::TAILS).unwrap();
    let tails = redb::ReadableTable::iter(&beside).unwrap();
    let used: usize = rows.map(|row| row.unwrap().1.value().len()).sum();
    let used = used + tails.map(|row| row.unwrap().1.value().len()).sum::<usize>();
    assert_eq!(load::used_bytes(database).unwrap(), used as u64, "what is used is known");
}

/// A store in which nine rooms of ten were removed, and the rooms that stay.
async fn nearly_empty(store: &Store, rooms: usize) -> Vec<usize> {
    for number in 0..rooms {
        assert!(store.save(key(&name(number)), room(&large(number))));
    }
    store.flush().await.unwrap();
    let (mut rng, mut kept) = (Rng(3), vec![]);
    for number in 0..rooms {
        match rng.below(10) {
            0 => kept.push(number),
            _ => assert!(store.delete(key(&name(number)))),
        }
    }
    store.flush().await.unwrap();
    kept
}

#[tokio::test]
async fn a_file_of_which_most_rooms_are_gone_becomes_small_while_others_play() {
    let temp = Temp::new();
    let store = Store::open(&temp.0, &config(u64::MAX)).unwrap();
    let kept = nearly_empty(&store, 1_000).await;
    assert_eq!(store.stats().file_bytes, fs::metadata(temp.file()).unwrap().len());
    store.close().unwrap();
    drop(store);

    let store = Store::open(&temp.0, &config(COMPACTS)).unwrap();
    let before = store.stats();
    assert!(before.used_bytes < before.file_bytes / 4, "{before:?}");
    let mut progress = store.shared.progress.subscribe();
    append(&store, "live", whole(3, 0, 1));
    let mut tick = 1;
    while store.stats().file_bytes > 4 * before.used_bytes {
        append(&store, "live", chunk(3, tick, tick + 1));
        store.save(key("live"), saved(3, tick));
        tick += 1;
        assert_eq!(ticks(&store, "live"), Some((Some(tick - 1), vec![tick])), "it goes on");
        check(&store, &kept);
        progress.changed().await.unwrap();
    }
    let after = store.stats();
    assert!(after.moved_bytes >= after.used_bytes, "{after:?}");
    store.close().unwrap();
    drop(store);
    let store = temp.open();
    check(&store, &kept);
    assert_eq!(ticks(&store, "live"), Some((Some(tick - 1), vec![tick])));
    assert!(fs::metadata(temp.file()).unwrap().len() <= after.file_bytes);
    assert!(!copy_of(&temp).exists());
}

/// Until the pass is over, or the power out.
async fn passes(machine: &Machine, store: &Store) -> bool {
    let mut progress = store.shared.progress.subscribe();
    let before = store.stats().file_bytes;
    while machine.is_on() && store.stats().file_bytes >= before {
        if progress.changed().await.is_err() {
            break;
        }
    }
    machine.is_on()
}

#[tokio::test]
async fn wherever_the_power_goes_out_while_a_file_becomes_small_nothing_is_lost() {
    let first = Machine::new();
    let store = first.try_open(&config(u64::MAX)).unwrap();
    let kept = nearly_empty(&store, 40).await;
    for number in &kept {
        // What is beside a snapshot goes with it.
        append(&store, &format!("with-{number}"), whole(5, 0, 9));
        store.settle(&key(&format!("with-{number}")));
    }
    store.save(key("alarm"), StoredRoom { alarm_unix_ms: Some(77), ..saved(5, 1) });
    store.flush().await.unwrap();
    let (mut rng, mut cuts, mut operations) = (Rng(11), 0, 0);
    loop {
        let mut machine = first.after_power_cut();
        let store = machine.try_open(&config(u64::MAX)).unwrap();
        let last = store.next_number().unwrap();
        open::quietly(|| drop(store));
        machine.cut_after(operations);
        let started = open::quietly(|| machine.try_open(&config(1)).ok()).flatten();
        let mut over = false;
        let mut sure = false;
        if let Some(store) = started {
            store.save(key("live"), saved(7, 1));
            over = passes(&machine, &store).await;
            sure = store.flush().await.is_ok();
            open::quietly(|| drop(store));
        }
        machine = machine.after_torn_power_cut(&mut rng);
        let store = machine.try_open(&config(u64::MAX)).unwrap();
        check(&store, &kept);
        alarms::check_listed(&store);
        for number in &kept {
            assert_eq!(ticks(&store, &format!("with-{number}")), Some((None, vec![9])));
        }
        assert_eq!(store.due_alarms(77, None, 9).unwrap().rooms, [(77, key("alarm"))]);
        assert!(!sure || ticks(&store, "live").is_some(), "cut after {operations}");
        assert!(store.next_number().unwrap() > last);
        if over {
            break;
        }
        (cuts, operations) = (cuts + 1, operations + 1 + operations / 8);
    }
    assert!(cuts > 20, "{cuts} cuts before it was over");
}

#[tokio::test]
async fn on_a_full_disk_and_one_that_fails_the_file_stays_and_rooms_go_on() {
    for operation in (0..40).step_by(3) {
        let machine = Machine::new();
        let store = machine.try_open(&config(u64::MAX)).unwrap();
        let kept = nearly_empty(&store, 40).await;
        store.close().unwrap();
        let store = machine.try_open(&config(1)).unwrap();
        machine.fail_after(operation);
        let mut progress = store.shared.progress.subscribe();
        progress.changed().await.unwrap();
        store.save(key("live"), saved(7, 1));
        while store.flush().await.is_err() {}
        // What failed may have left it closed, which the first who finds it so mends.
        let _ = store.load(&key("live"));
        check(&store, &kept);
        let machine = machine.after_power_cut();
        check(&machine.open(), &kept);
        assert_eq!(ticks(&machine.open(), "live"), Some((Some(1), vec![])), "failed {operation}");
    }
    let machine = Machine::new();
    let store = machine.try_open(&config(u64::MAX)).unwrap();
    let kept = nearly_empty(&store, 40).await;
    store.close().unwrap();
    let store = machine.try_open(&config(1)).unwrap();
    // Not while the files change places.
    let still = store.shared.database.read().unwrap();
    machine.full(true);
    drop(still);
    check(&store, &kept);
    store.save(key("live"), saved(7, 1));
    // Whether it is told of the pass or of the room, the disk has no place for either.
    let _ = store.flush().await;
    machine.full(false);
    while store.flush().await.is_err() {}
    let _ = store.load(&key(&name(kept[0])));
    check(&store, &kept);
    let store = machine.after_power_cut().open();
    check(&store, &kept);
    assert_eq!(ticks(&store, "live"), Some((Some(1), vec![])));
}
