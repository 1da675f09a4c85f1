//! Power cuts and failures at any operation of any disk, with writes that were lost or done in part:
//! what was reported durable is there, in order, and nothing else is half there.
//!
//! A run does things with some rooms until the power goes out, comes back on what is left of the
//! disks, checks every room against what it was told, and goes on. Each run has a number; the message
//! of a failure says it.

use std::collections::BTreeMap;

use super::disk::Rng;
use super::journal::{chunk, saved, whole};
use super::*;

const ROOMS: u64 = 4;
const CUTS: u64 = 1000;
const CUTS_PER_RUN: u64 = 4;
const PARTS: u64 = 4;
/// About as many operations as a life of the machine has.
const OPERATIONS: u64 = 250;

/// A point in the life of a room: the life, and a tick in it.
type Point = (u64, u64);

/// What is known of a room.
#[derive(Default)]
struct Model {
    /// The life that it is in now; 0 when it was not made.
    life: u64,
    tick: u64,
    line: Option<Arc<JournalLine>>,
    /// The last tick of each append on this line.
    appended: Vec<u64>,
    /// The snapshot that waits for the next flush.
    saved: Option<Point>,
    /// It must be there at least this far.
    sure: Option<Point>,
    /// Nothing up to this life may be there: its removal was reported durable.
    gone: u64,
    removed: u64,
    /// How far it surely was when it was to be removed: at least that far it is there, or not at all.
    doomed: Option<Point>,
}

impl Model {
    /// What has been reported durable by now.
    fn learn(&mut self, flushed: bool) {
        if let Some(line) = &self.line {
            let durable = usize::try_from(line.durable()).unwrap();
            let upto = durable.checked_sub(1).map(|last| (self.life, self.appended[last]));
            self.sure = self.sure.max(upto);
        }
        if flushed {
            self.sure = self.sure.max(self.saved.take());
            self.gone = self.gone.max(self.removed);
        }
    }
}

struct Run {
    rng: Rng,
    rooms: BTreeMap<u64, Model>,
    next_life: u64,
}

impl Run {
    fn key(room: u64) -> RoomKey {
        key(&format!("room-{room}"))
    }

    /// One thing that a server does. False when the power is out.
    async fn step(&mut self, store: &Store) -> bool {
        let number = self.rng.below(ROOMS);
        let what = self.rng.below(20);
        let ticks = 1 + self.rng.below(3);
        let gated = self.rng.below(2) == 0;
        let room = self.rooms.entry(number).or_default();
        room.learn(false);
        match what {
            _ if room.life == 0 => {
                self.next_life += 1;
                *room = Model {
                    life: self.next_life,
                    gone: room.gone,
                    removed: room.removed,
                    doomed: room.doomed,
                    ..Model::default()
                };
                append(store, number, room, whole(room.life, 0, ticks), gated);
            }
            0..=11 => {
                let next = chunk(room.life, room.tick, room.tick + ticks);
                append(store, number, room, next, gated);
            }
            12..=14 => {
                let alarm_unix_ms = (ticks > 1).then_some(room.life * 3 + ticks);
                let snapshot = StoredRoom { alarm_unix_ms, ..saved(room.life, room.tick) };
                store.save(Self::key(number), snapshot);
                room.saved = Some((room.life, room.tick));
            }
            15 => store.settle(&Self::key(number)),
            16 => {
                store.delete(Self::key(number));
                let (gone, removed) = (room.gone, room.life);
                let doomed = room.doomed.max(room.sure);
                *room = Model { gone, removed, doomed, ..Model::default() };
            }
            _ => {
                let flushed = store.flush().await.is_ok();
                self.rooms.values_mut().for_each(|room| room.learn(flushed));
                return flushed;
            }
        }
        true
    }

    /// All rooms as they are after the power came back; they go on from there.
    fn check(&mut self, store: &Store) {
        alarms::check_listed(store);
        for number in 0..ROOMS {
            let room = self.rooms.entry(number).or_default();
            let found = store.load(&Self::key(number)).unwrap();
            let reached = found.as_ref().map(reached);
            assert!(
                reached >= room.sure,
                "room {number}: {reached:?}, but sure is {:?}",
                room.sure
            );
            assert!(reached.is_none_or(|(life, _)| life > room.gone), "room {number} was removed");
            assert!(
                reached.is_none() || reached >= room.doomed,
                "room {number}: {reached:?} is older than what was removed, {:?}",
                room.doomed
            );
            self.next_life += 1;
            let (life, tick) = (self.next_life, reached.map(|(_, tick)| tick));
            let gone = room.gone;
            *room = Model { gone, sure: reached, ..Model::default() };
            if let Some(tick) = tick {
                *room = Model { life, tick, gone, sure: reached, ..Model::default() };
            }
        }
    }
}

fn append(store: &Store, number: u64, room: &mut Model, chunk: Chunk, gated: bool) {
    let line = room.line.get_or_insert_with(|| JournalLine::new(|| {}));
    let upto = chunk.upto;
    if store.append(&Run::key(number), line, chunk, gated).is_some() {
        room.tick = upto;
        room.appended.push(upto);
    }
}

/// How far a room came. Nothing in it is half there, and nothing is missing in between.
#[track_caller]
fn reached(found: &StoredRoom) -> Point {
    let mut point = (found.incarnation, found.tick);
    if let Some(snapshot) = &found.snapshot {
        let expected = format!("{}: {}", found.incarnation, found.tick);
        assert_eq!(String::from_utf8_lossy(snapshot), expected);
    } else {
        assert!(found.journal[0].whole);
    }
    for (nth, part) in found.journal.iter().enumerate() {
        assert_eq!(part, &Chunk { whole: part.whole, ..chunk(part.life, part.after, part.upto) });
        assert!(
            part.after == point.1 || (nth == 0 && part.after < point.1),
            "{part:?} after {point:?}"
        );
        assert!(part.upto > point.1 || nth == 0 || part.life > point.0);
        assert!(part.life >= point.0, "{part:?} after {point:?}");
        point = (part.life, part.upto);
    }
    point
}

async fn run(seed: u64) {
    let mut rng = Rng(seed);
    let mut machine = Machine::new();
    let mut run = Run { rng: Rng(!seed), rooms: BTreeMap::new(), next_life: 0 };
    for _ in 0..CUTS_PER_RUN {
        machine.cut_after(rng.below(OPERATIONS));
        machine.fail_after(rng.below(OPERATIONS * 2));
        // The power may go out in the middle of a start.
        // In every fourth run the file of the rooms is made anew at each start.
        let compact_from_bytes = if seed.is_multiple_of(4) { 1 } else { u64::MAX };
        let config =
            StoreConfig { journal_every_ms: 1, compact_from_bytes, ..StoreConfig::default() };
        let started = open::quietly(|| machine.try_open(&config).ok()).flatten();
        if let Some(store) = started {
            // A disk that fails once is no reason to stop.
            while run.step(&store).await || machine.is_on() {}
            run.rooms.values_mut().for_each(|room| room.learn(false));
            open::quietly(|| drop(store));
        }
        machine = machine.after_torn_power_cut(&mut rng);
        let store = machine.open();
        run.check(&store);
        store.close().unwrap();
    }
}

/// A part of the runs, one after the other; what fails says its number.
fn runs(part: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let of_part = CUTS / CUTS_PER_RUN / PARTS;
    for seed in part * of_part..(part + 1) * of_part {
        let outcome = catch_unwind(AssertUnwindSafe(|| runtime.block_on(run(seed))));
        assert!(outcome.is_ok(), "the run with seed {seed} failed");
    }
}

#[test]
fn what_was_reported_durable_survives_a_thousand_power_cuts_and_failures_1() {
    runs(0);
}

#[test]
fn what_was_reported_durable_survives_a_thousand_power_cuts_and_failures_2() {
    runs(1);
}

#[test]
fn what_was_reported_durable_survives_a_thousand_power_cuts_and_failures_3() {
    runs(2);
}

#[test]
fn what_was_reported_durable_survives_a_thousand_power_cuts_and_failures_4() {
    runs(3);
}
