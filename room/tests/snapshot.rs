//! Snapshots that are not what they should be are refused and harm nothing.

mod common;

use std::sync::Arc;

use common::{bare, busy, join};
use proptest::prelude::*;
use referee_room::Room;
use referee_room::inspect::difference;
use referee_room::prelude::{Game, Tick};
use referee_room::revive::{Base, Revival};
use referee_room::snapshot::RestoreError;

fn saved() -> (Arc<referee_room::Template>, Vec<u8>) {
    let (template, mut room) = bare(busy);
    for tick in 1..30 {
        room.handle(join(tick, "Ann"));
        room.tick(Tick(tick));
    }
    let snapshot = room.snapshot();
    (template, snapshot)
}

fn refusal(snapshot: &[u8]) -> RestoreError {
    let (template, _) = saved();
    Room::restore(&template, snapshot, [0; 32]).err().expect("it is refused")
}

#[test]
fn what_is_no_snapshot_is_refused() {
    assert_eq!(refusal(b""), RestoreError::NotASnapshot);
    assert_eq!(refusal(b"hello, world"), RestoreError::NotASnapshot);
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let (_, mut snapshot) = saved();
    snapshot[4] = 99;
    assert_eq!(refusal(&snapshot), RestoreError::Newer(99));
}

/// What `saved` gave when snapshots had these formats: the first knew no ages of conditions, of which
/// `busy` has one, the first two knew not what clients had been told, the first three not how values lie, and
/// none but the last which sets of components there were.
const OLD: [&[u8]; 5] = [
    include_bytes!("data/snapshot-1.bin"),
    include_bytes!("data/snapshot-2.bin"),
    include_bytes!("data/snapshot-3.bin"),
    include_bytes!("data/snapshot-4.bin"),
    include_bytes!("data/snapshot-5.bin"),
];

#[test]
fn a_snapshot_of_an_older_format_is_the_room_that_it_was() {
    let (template, snapshot) = saved();
    for old in OLD {
        let mut old = Room::restore(&template, old, [0; 32]).expect("it is read");
        let mut now = Room::restore(&template, &snapshot, [0; 32]).expect("it is read");
        for tick in 30..60 {
            assert_eq!(difference(&old.to_json(), &now.to_json()), None, "tick {tick}");
            old.tick(Tick(tick));
            now.tick(Tick(tick));
        }
        assert!(
            Room::restore(&template, &old.snapshot(), [0; 32]).is_ok(),
            "it is of today's format"
        );
    }
}

#[test]
fn formats_without_layouts_are_for_the_same_types_alone() {
    let (template, _) = bare(|game: &mut Game| {
        game.realtime(20).replicate::<common::Tally>();
    });
    for old in &OLD[..3] {
        let error = Room::restore(&template, old, [0; 32]).err().expect("it is refused");
        assert!(error.to_string().contains("Position"), "{error}");
        assert!(error.to_string().contains("format before 4"), "{error}");
    }
    assert!(Room::restore(&template, OLD[3], [0; 32]).is_ok(), "what is gone is dropped");
}

/// Else the next build could take what comes after it for its own.
#[test]
fn what_does_not_say_its_build_does_from_then_on() {
    let (template, _) = saved();
    for (format, old) in (1..).zip(OLD) {
        let base = Base::Snapshot(Arc::new(old.to_vec()));
        let says = base.type_bytes().is_some();
        assert_eq!(says, format >= 4, "format {format}");
        let revived = Revival::new(&template, base, vec![], [0; 32]).finish().expect("it is read");
        assert_eq!(revived.report.untold, !says, "format {format}");
        assert!(revived.base.type_bytes().is_some(), "format {format}");
    }
}

/// With the build that made them: `REFEREE_WRITE_DATA=1 cargo test -p referee-room --test snapshot`.
#[test]
fn the_present_format_is_kept_as_data() {
    let (_, snapshot) = saved();
    if std::env::var_os("REFEREE_WRITE_DATA").is_some() {
        std::fs::write("tests/data/snapshot-5.bin", &snapshot).expect("it is written");
    }
    assert_eq!(OLD[4][..6], snapshot[..6], "raise the version and keep a file of it");
}

#[test]
fn a_game_with_another_number_of_systems_reads_what_was_saved() {
    let (_, snapshot) = saved();
    let (template, _) = bare(|game: &mut Game| {
        busy(game);
        game.systems((|| {}, || {}));
        game.on_drop(|_: referee_room::types::Player| {});
    });
    let mut room = Room::restore(&template, &snapshot, [0; 32]).expect("its types are the same");
    room.tick(Tick(room.info().tick.0 + 1));
}

#[test]
fn every_cut_is_noticed() {
    let (template, snapshot) = saved();
    for end in 0..snapshot.len() {
        assert!(Room::restore(&template, &snapshot[..end], [0; 32]).is_err(), "cut at {end}");
    }
    let mut longer = snapshot;
    longer.push(0);
    assert_eq!(refusal(&longer), RestoreError::Trailing(1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn damaged_bytes_never_panic(at: prop::sample::Index, to: u8) {
        let (template, mut snapshot) = saved();
        let at = at.index(snapshot.len());
        snapshot[at] = to;
        let _ = Room::restore(&template, &snapshot, [0; 32]);
    }
}
