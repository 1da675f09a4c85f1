//! The index on batches of a pretended file.

use super::super::batch::{self, Builder};
use super::*;

/// Before no number in particular.
const ALL: u64 = u64::MAX;

fn key(name: &str) -> RoomKey {
    RoomKey::parse(name).unwrap()
}

fn chunk(life: u64, after: u64, upto: u64) -> Chunk {
    Chunk { life, after, upto, ..Chunk::default() }
}

/// An index whose batches come from a pretended file.
#[derive(Default)]
struct Scene {
    index: Index,
    number: u64,
    id: u64,
}

impl Scene {
    /// One batch with these chunks, that forgets these rooms.
    fn batch(&mut self, chunks: &[(&str, Chunk)], forgets: &[(&str, u64)]) {
        self.number += 1;
        let mut builder = Builder::default();
        for (name, chunk) in chunks {
            builder.chunk(&key(name), chunk);
        }
        for (name, life) in forgets {
            builder.forget(&key(name), *life);
        }
        let records = batch::records(&builder.finish()).unwrap();
        self.index.found(self.number, records, &mut self.id);
    }

    fn ticks(&self, name: &str) -> Vec<u64> {
        self.index.list(&key(name)).iter().map(|entry| entry.upto).collect()
    }

    fn cover(&mut self, name: &str, life: u64, tick: u64) {
        self.index.cover(&key(name), Base { life, tick: Some(tick) });
    }
}

#[test]
fn a_batch_is_dead_when_nobody_needs_a_chunk_in_it() {
    let mut scene = Scene::default();
    scene.batch(&[("g/a", chunk(1, 0, 4)), ("g/b", chunk(2, 0, 4))], &[]);
    scene.batch(&[("g/a", chunk(1, 4, 8))], &[]);
    assert!(!scene.index.has_dead());
    scene.cover("g/a", 1, 4);
    assert_eq!((scene.ticks("g/a"), scene.ticks("g/b")), (vec![8], vec![4]));
    assert!(!scene.index.has_dead());
    scene.cover("g/a", 1, 9);
    assert_eq!(scene.index.take_dead(9, ALL), [2]);
    scene.cover("g/b", 3, 0);
    assert_eq!(scene.index.take_dead(9, ALL), [1]);
    assert_eq!((scene.index.rooms(), scene.index.batches()), (0, 0));
}

#[test]
fn what_waits_is_listed_and_counts_when_it_has_landed() {
    let mut index = Index::default();
    index.push(&key("g/a"), 1, Arc::new(chunk(1, 0, 4)));
    index.push(&key("g/a"), 2, Arc::new(chunk(1, 4, 8)));
    index.cover(&key("g/a"), Base { life: 1, tick: Some(4) });
    assert_eq!(index.list(&key("g/a")).len(), 1);
    index.batch(1, Kind::Chunks, Instant::now());
    let spot = |chunk| Builder::default().chunk(&key("g/a"), &chunk);
    index.landed(&key("g/a"), 1, (1, 0), spot(chunk(1, 0, 4)));
    assert!(index.has_dead(), "covered while it waited");
    index.landed(&key("g/a"), 2, (1, 1), spot(chunk(1, 4, 8)));
    assert!(!index.has_dead());
    index.moved(&key("g/a"), 2);
    assert!(index.has_dead());
}

#[test]
fn what_comes_before_a_whole_chunk_is_not_needed() {
    let mut scene = Scene::default();
    scene.batch(&[("g/a", chunk(1, 0, 4))], &[]);
    scene.batch(&[("g/a", Chunk { whole: true, ..chunk(2, 0, 1) })], &[]);
    assert_eq!(scene.ticks("g/a"), [1]);
    assert_eq!(scene.index.take_dead(9, ALL), [1]);
}

#[test]
fn a_removed_room_is_hidden_then_forgotten_and_its_next_life_is_not_concerned() {
    let mut scene = Scene::default();
    scene.batch(&[("g/a", chunk(1, 0, 4)), ("g/b", chunk(1, 0, 4))], &[]);
    assert_eq!(scene.index.hide(&key("g/none")), None);
    assert_eq!(scene.index.hide(&key("g/a")), Some(1));
    assert!(scene.ticks("g/a").is_empty());
    assert!(!scene.index.has_dead(), "not before the journal says so");
    scene.batch(&[("g/a", chunk(7, 0, 1))], &[]);
    assert_eq!(scene.ticks("g/a"), [1]);
    scene.batch(&[], &[("g/a", 1)]);
    assert_eq!(scene.ticks("g/a"), [1]);
    assert!(scene.index.take_dead(9, ALL).is_empty(), "the first batch could bring it back");
    scene.cover("g/a", 7, 1);
    assert_eq!(scene.index.take_dead(9, ALL), [2]);
    scene.cover("g/b", 1, 4);
    assert_eq!(scene.index.take_dead(9, ALL), [1, 3]);
}

#[test]
fn rooms_that_hold_old_batches_are_named() {
    let mut scene = Scene::default();
    let before = Instant::now();
    scene.batch(&[("g/a", chunk(1, 0, 4)), ("g/b", chunk(1, 0, 4))], &[]);
    let between = Instant::now();
    assert!(scene.index.holding(before - std::time::Duration::from_secs(1), 9).is_empty());
    assert_eq!(scene.index.holding(between, 9), [key("g/a"), key("g/b")]);
    assert_eq!(scene.index.holding(between, 1), [key("g/a")]);
    scene.index.cover(&key("g/a"), Base { life: 1, tick: Some(4) });
    assert_eq!(scene.index.holding(between, 9), [key("g/b")]);
}

#[test]
fn what_is_still_in_the_log_stays() {
    let mut scene = Scene::default();
    scene.batch(&[("g/a", chunk(1, 0, 4))], &[]);
    scene.batch(&[("g/b", chunk(1, 0, 4))], &[("g/a", 1)]);
    scene.batch(&[("g/a", chunk(2, 0, 4))], &[("g/b", 1)]);
    scene.cover("g/a", 2, 4);
    assert_eq!(scene.index.take_dead(9, 2), [1]);
    assert_eq!(scene.index.take_dead(9, 2), [0; 0], "the second says what was forgotten");
    assert_eq!(scene.index.take_dead(9, 3), [2]);
    assert!(scene.index.has(3) && !scene.index.has(2));
}
