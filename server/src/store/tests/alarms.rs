//! Which rooms are to be woken: listed with their snapshots and by nothing else.

use redb::ReadableTable;

use super::super::alarms::DueAlarms;
use super::super::format::{self, ALARMS};
use super::journal::{chunk, saved, whole};
use super::*;

fn with_alarm(life: u64, tick: u64, alarm: u64) -> StoredRoom {
    StoredRoom { alarm_unix_ms: Some(alarm), ..saved(life, tick) }
}

fn due(store: &Store, now_ms: u64) -> Vec<(u64, String)> {
    let due = store.due_alarms(now_ms, None, 100).unwrap();
    assert!(!due.more);
    due.rooms.into_iter().map(|(at, key)| (at, key.match_id.to_string())).collect()
}

/// Each alarm that a row tells of is listed, and no other.
#[track_caller]
pub(super) fn check_listed(store: &Store) {
    let database = store.shared.database.read().unwrap();
    let begun = database.as_ref().unwrap().begin_read().unwrap();
    let (rooms, alarms) = (begun.open_table(ROOMS).unwrap(), begun.open_table(ALARMS).unwrap());
    let mut told = Vec::new();
    for row in rooms.iter().unwrap() {
        let (name, bytes) = row.unwrap();
        let alarm = format::alarm_of(bytes.value());
        told.extend(alarm.map(|alarm| (alarm, name.value().to_owned())));
    }
    told.sort();
    let name = |row: Result<(redb::AccessGuard<'_, (u64, &str)>, _), redb::StorageError>| {
        let (key, _): (_, redb::AccessGuard<'_, ()>) = row.unwrap();
        (key.value().0, key.value().1.to_owned())
    };
    assert_eq!(alarms.iter().unwrap().map(name).collect::<Vec<_>>(), told);
}

#[tokio::test]
async fn rooms_are_found_when_they_are_due_in_their_order() {
    let temp = Temp::new();
    let store = temp.open();
    for (name, alarm) in [("c", 30), ("a", 10), ("b", 20), ("z", 10)] {
        store.save(key(name), with_alarm(1, 1, alarm));
    }
    store.save(key("quiet"), saved(1, 1));
    assert_eq!(due(&store, 100), [], "not before it is on disk");
    store.flush().await.unwrap();
    let expected = [(10, "a".to_owned()), (10, "z".to_owned()), (20, "b".to_owned())];
    assert_eq!(due(&store, 9), []);
    assert_eq!(due(&store, 29), expected);
    assert_eq!(store.due_alarms(9, None, 5).unwrap().next_unix_ms, Some(10));
    assert_eq!(store.due_alarms(30, None, 5).unwrap().next_unix_ms, None);
    store.close().unwrap();

    let store = temp.open();
    let mut found = vec![];
    let mut after: Option<(u64, RoomKey)> = None;
    loop {
        let DueAlarms { rooms, more, .. } = store.due_alarms(30, after.as_ref(), 2).unwrap();
        assert!(rooms.len() <= 3);
        after = rooms.last().cloned().or(after);
        found.extend(rooms.into_iter().map(|(_, key)| key.match_id.to_string()));
        if !more {
            break;
        }
    }
    assert_eq!(found, ["a", "z", "b", "c"]);
    check_listed(&store);
}

#[tokio::test]
async fn a_room_is_listed_anew_with_each_snapshot_and_goes_with_its_row() {
    let temp = Temp::new();
    let store = temp.open();
    for alarm in [Some(10), Some(20), None, Some(15), Some(15)] {
        store.save(key("a"), StoredRoom { alarm_unix_ms: alarm, ..saved(1, 1) });
        store.save(key("b"), with_alarm(1, 1, 7));
        assert_eq!(due(&store, 100).iter().filter(|(_, name)| name == "a").count(), 0, "it waits");
        store.flush().await.unwrap();
        let listed: Vec<_> = alarm.into_iter().map(|at| (at, "a".to_owned())).collect();
        assert_eq!(due(&store, 100)[1..], listed);
        check_listed(&store);
    }
    store.delete(key("b"));
    store.save_alone(key("a"), saved(1, 1));
    store.flush().await.unwrap();
    assert_eq!(due(&store, 100), []);
    check_listed(&store);
}

#[tokio::test]
async fn an_earlier_alarm_is_told_and_a_later_one_is_not() {
    let temp = Temp::new();
    let store = temp.open();
    store.save(key("a"), with_alarm(1, 1, 50));
    store.flush().await.unwrap();
    store.earlier_alarm().await;
    assert_eq!(store.due_alarms(10, None, 5).unwrap().next_unix_ms, Some(50));
    store.save(key("b"), with_alarm(1, 1, 60));
    store.save(key("c"), saved(1, 1));
    store.flush().await.unwrap();
    let told = |store: Arc<Store>| async move {
        let now = std::future::ready(());
        tokio::select! { biased; () = store.earlier_alarm() => true, () = now => false }
    };
    assert!(!told(store.clone()).await);
    store.save(key("b"), with_alarm(1, 2, 40));
    store.flush().await.unwrap();
    assert!(told(store.clone()).await);
}

#[tokio::test]
async fn rooms_with_more_than_their_snapshots_are_named() {
    let temp = Temp::new();
    let store = temp.open();
    let line = JournalLine::new(|| {});
    for name in ["a", "b", "c", "d"] {
        store.save(key(name), saved(1, 5));
    }
    for (name, chunk) in [("b", chunk(1, 5, 6)), ("c", chunk(1, 5, 6)), ("e", whole(2, 0, 1))] {
        store.append(&key(name), &line, chunk, false).unwrap();
    }
    store.settle(&key("c"));
    store.flush().await.unwrap();
    store.append(&key("c"), &line, chunk(1, 6, 7), false).unwrap();
    let names = |store: &Store| {
        let rooms = store.unsettled().unwrap().into_iter();
        rooms.map(|key| key.match_id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&store), ["b", "c", "e"]);
    store.close().unwrap();
    let store = temp.open();
    assert_eq!(names(&store), ["b", "c", "e"]);
    store.save(key("c"), saved(1, 7));
    store.save(key("e"), saved(2, 1));
    store.flush().await.unwrap();
    assert_eq!(names(&store), ["b"]);
}

#[tokio::test]
async fn a_room_that_is_still_to_be_woken_does_not_expire() {
    let temp = Temp::new();
    let store = temp.open();
    let old = |alarm_unix_ms| StoredRoom {
        saved_unix_ms: now_ms() - 90 * 24 * 60 * 60 * 1000,
        alarm_unix_ms,
        ..room("x")
    };
    store.save(key("waits"), old(Some(now_ms() + 1_000)));
    store.save(key("quiet"), old(None));
    store.flush().await.unwrap();
    store.close().unwrap();
    // The first transaction after a start looks for what has expired.
    for _ in 0..2 {
        let store = temp.open();
        store.save(key("more"), room("x"));
        store.flush().await.unwrap();
        assert!(snapshot(&store, "waits").is_some() && snapshot(&store, "quiet").is_none());
        check_listed(&store);
        store.close().unwrap();
    }
    let store = temp.open();
    store.save(key("waits"), old(None));
    store.flush().await.unwrap();
    store.close().unwrap();
    let store = temp.open();
    store.flush().await.unwrap();
    store.save(key("more"), room("x"));
    store.flush().await.unwrap();
    assert!(snapshot(&store, "waits").is_some(), "it was looked at not long ago");
}
