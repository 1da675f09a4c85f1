//! Same seed and entries, same hashes: twice, across a restore at any tick, and whatever the number
//! of ticks between two rebuilds.

mod common;

use common::script::{Script, advance, payload};
use common::{Say, Stick, bare, busy, join};
use referee_protocol::{LinkId, Seat, SessionId};
use referee_room::Room;
use referee_room::entry::Entry;
use referee_room::output::Output;
use referee_room::prelude::*;
use referee_room::room::Link;

/// The state hash after each tick, and the snapshots made on the way.
fn trace(seed: u64, ticks: u64, snapshot_ticks: u64) -> Vec<u64> {
    let (template, mut room) = bare(move |game: &mut Game| {
        busy(game);
        game.snapshot_ticks(snapshot_ticks);
    });
    let (mut script, mut acts) = (Script(seed), [0; 8]);
    (0..ticks)
        .map(|_| {
            advance(&template, &mut room, &mut script, &mut acts);
            room.state_hash()
        })
        .collect()
}

fn seeds() -> u64 {
    std::env::var("REFEREE_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(5)
}

#[test]
fn two_runs_give_the_same_hashes() {
    for seed in 0..seeds() {
        assert_eq!(trace(seed, 400, 50), trace(seed, 400, 50), "seed {seed}");
    }
}

#[test]
fn a_run_that_differs_in_one_entry_gives_other_hashes() {
    assert_ne!(trace(1, 100, 50), trace(2, 100, 50));
}

#[test]
fn rebuilding_every_tick_or_never_gives_the_same_hashes() {
    for seed in 0..seeds() {
        let (often, never) = (trace(seed, 400, 1), trace(seed, 400, 10_000));
        let first = often.iter().zip(&never).position(|(a, b)| a != b);
        assert_eq!(first, None, "seed {seed} differs");
    }
}

#[test]
fn a_restored_room_goes_on_as_if_nothing_had_happened() {
    for seed in 0..seeds() {
        let (template, mut live) = bare(|game: &mut Game| {
            busy(game);
            game.snapshot_ticks(25);
        });
        let (mut script, mut acts) = (Script(seed), [0; 8]);
        let (mut restored, mut other) = (None::<Room>, (Script(seed), [0; 8]));
        for tick in 1..=300u64 {
            advance(&template, &mut live, &mut script, &mut acts);
            if let Some(room) = &mut restored {
                advance(&template, room, &mut other.0, &mut other.1);
                assert_eq!(room.state_hash(), live.state_hash(), "seed {seed}, tick {tick}");
            }
            // At a rebuild point a snapshot is the room.
            if tick % 25 == 0 {
                let snapshot = live.snapshot();
                restored = Some(Room::restore(&template, &snapshot, [9; 32]).unwrap());
                other = (Script(script.0), acts);
            }
        }
    }
}

/// A sealed room is made anew only when it runs again, which nothing may tell: links that come meanwhile included.
#[test]
fn a_sealed_room_that_runs_on_is_the_one_that_is_restored() {
    for seed in 0..seeds() {
        let (template, mut live) = bare(|game: &mut Game| {
            busy(game);
            game.snapshot_ticks(10_000);
        });
        let (mut script, mut acts) = (Script(seed), [0; 8]);
        (0..40).for_each(|_| advance(&template, &mut live, &mut script, &mut acts));
        live.handle(Entry::Seal);
        live.tick(Tick(live.info().tick.0 + 1));
        let saved = std::iter::from_fn(|| live.poll_output()).filter_map(Output::saved).last();
        let saved = saved.expect("a sealed room saves itself");
        assert!(saved == live.snapshot(), "seed {seed}: nothing has happened since");
        let mut restored = Room::restore(&template, &saved, [9; 32]).unwrap();
        let mut other = (Script(script.0), acts);
        for tick in 1..=60 {
            live.link(
                LinkId(900 + tick),
                Link::Open { session: SessionId(900 + tick), resume: None },
            );
            advance(&template, &mut live, &mut script, &mut acts);
            advance(&template, &mut restored, &mut other.0, &mut other.1);
            assert_eq!(restored.state_hash(), live.state_hash(), "seed {seed}, tick {tick}");
        }
    }
}

#[test]
fn looking_at_a_room_does_not_change_it() {
    let (template, mut room) = bare(busy);
    let (mut script, mut acts) = (Script(4), [0; 8]);
    for _ in 0..60 {
        advance(&template, &mut room, &mut script, &mut acts);
    }
    let hash = room.state_hash();
    let _ = (room.snapshot(), room.info(), room.sessions());
    assert_eq!(room.state_hash(), hash);
}

#[test]
fn a_room_is_rebuilt_and_saved_after_its_number_of_ticks() {
    let (template, mut room) = bare(|game: &mut Game| {
        busy(game);
        game.snapshot_ticks(10);
    });
    room.handle(join(1, "Ann"));
    let stick = Stick { x: Axis(1.0), ..Stick::default() };
    let payload = payload(&template, false, 0, &stick);
    room.handle(Entry::Input { seat: Seat(0), sample: 1, tick: Tick(0), payload });
    let mut saved_at = vec![];
    for tick in 1..=35 {
        room.tick(Tick(tick));
        let outputs = std::iter::from_fn(|| room.poll_output());
        if outputs.into_iter().any(|output| matches!(output, Output::Save(_))) {
            saved_at.push(tick);
        }
    }
    assert_eq!(saved_at, [10, 20, 30]);
}

#[test]
fn the_seat_that_acts_first_rotates() {
    let (template, mut room) = bare(|game: &mut Game| {
        game.realtime(20).max_players(3).action::<Say>().replicate::<First>();
        game.systems(|says: Actions<Say>, mut first: ResMut<First>, all: Query<&Player>| {
            if let Some((player, _)) = says.iter().next() {
                first.0.push(all.get(player).map_or(9, |player| player.seat.0));
            }
        });
    });
    (1..=3).for_each(|session| room.handle(join(session, "x")));
    room.tick(Tick(1));
    for turn in 1..=6u64 {
        for seat in 0..3 {
            let payload = payload(&template, true, 0, &Say("me".into()));
            room.handle(Entry::Action { seat: Seat(seat), number: turn, payload });
        }
        room.tick(Tick(turn + 1));
    }
    let replica = room.snapshot();
    let expected: Vec<u8> = [2u16, 0, 1, 2, 0, 1].iter().flat_map(|s| s.to_le_bytes()).collect();
    assert!(replica.windows(expected.len()).any(|window| window == expected));
}

#[derive(Resource, Replicate, Default)]
struct First(#[field(max = 16)] Vec<u16>);
