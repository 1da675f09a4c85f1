//! What a tick and its sends take from the allocator, once everything has found its size: nothing, but for
//! the ticks that rebuild the room.
#![allow(unsafe_code, reason = "a counting allocator wraps the system's")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use common::{bare, join};
use referee_protocol::frame::{Ack, ActionFrame, InputFrame, Payload};
use referee_protocol::{LinkId, Seat, SessionId};
use referee_room::Room;
use referee_room::entry::Entry;
use referee_room::output::Output;
use referee_room::prelude::*;
use referee_room::room::Link;

struct Counting;

/// How often memory was taken while a tick ran.
static TAKEN: AtomicU64 = AtomicU64::new(0);
static COUNTS: AtomicBool = AtomicBool::new(false);

/// With `SHOW` in the environment each place is named.
fn note() {
    if COUNTS.swap(false, Relaxed) {
        TAKEN.fetch_add(1, Relaxed);
        if std::env::var_os("SHOW").is_some() {
            eprintln!("{}", std::backtrace::Backtrace::force_capture());
        }
        COUNTS.store(true, Relaxed);
    }
}

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[derive(Component, Replicate, Clone, Copy)]
struct At(#[field(range = 0.0..=1000.0, step = 0.125)] Vec2);

#[derive(Component, Replicate, Clone, Copy)]
struct Ship {
    aim: Angle,
    #[field(max = 100)]
    health: u8,
}

/// A shot, and whose it is: it comes and goes.
#[derive(Component, Replicate, Clone, Copy)]
struct Shot {
    by: Entity,
    #[field(max = 100)]
    left: u8,
}

#[derive(Input, Default, Clone)]
struct Stick {
    x: Axis,
    aim: Angle,
    fire: bool,
}

#[derive(Action)]
struct Heal {
    #[field(max = 100)]
    by: u8,
}

fn game(game: &mut Game) {
    game.realtime(30).max_players(32).input::<Stick>().snapshot_ticks(REBUILD);
    game.action::<Heal>();
    game.replicate::<At>().replicate::<Ship>().replicate::<Shot>();
    game.player(|player: Player| {
        let at = At(Vec2::new(f32::from(player.seat.0) * 50.0, 500.0));
        (at, Ship { aim: Angle(0.0), health: 100 })
    });
    game.systems((fly, heal, shoot, fade));
}

fn fly(mut ships: Query<(&Stick, &mut At, &mut Ship)>) {
    for (stick, mut at, mut ship) in &mut ships {
        at.0.x = (at.0.x + stick.x.0 * 3.0 + 1.0).rem_euclid(1000.0);
        ship.aim = stick.aim;
    }
}

fn heal(heals: Actions<Heal>, mut ships: Query<&mut Ship>) {
    for (player, heal) in &heals {
        if let Ok(mut ship) = ships.get_mut(player) {
            ship.health = (ship.health + heal.by) % 100;
        }
    }
}

fn shoot(time: Res<Time>, ships: Query<(Entity, &Stick, &At)>, mut commands: Commands) {
    for (by, _, at) in ships.iter().filter(|(_, stick, _)| stick.fire) {
        if time.tick.0.is_multiple_of(7) {
            commands.spawn((Shot { by, left: 20 }, *at));
        }
    }
}

fn fade(mut shots: Query<(Entity, &mut Shot)>, mut commands: Commands) {
    for (entity, mut shot) in &mut shots {
        shot.left -= 1;
        if shot.left == 0 {
            commands.entity(entity).despawn();
        }
    }
}

const PLAYERS: u16 = 24;
/// Ticks between two rebuilds.
const REBUILD: u64 = 60;

/// A tick with everyone's input, as it comes in; everything that is sent is acknowledged.
fn tick(room: &mut Room, n: u64, [payload, heal]: [&Payload; 2], journal: &mut Vec<u8>) {
    journal.clear();
    let ack = Ack { frames: n, event: 0 };
    let said = InputFrame { ack, sample: n, tick: Tick(n), payload: payload.clone() }.encode();
    let healed = ActionFrame { number: n - 1, payload: heal.clone() }.encode();
    COUNTS.store(n > WARM && !n.is_multiple_of(REBUILD), Relaxed);
    for seat in 0..PLAYERS {
        let InputFrame { sample, tick, payload, .. } =
            InputFrame::decode(&said[1..]).expect("it was encoded");
        room.handle(Entry::Input { seat: Seat(seat), sample, tick, payload });
        let ActionFrame { number, payload } =
            ActionFrame::decode(&healed[1..]).expect("it was encoded");
        room.handle(Entry::Action { seat: Seat(seat), number, payload });
    }
    room.tick(Tick(n));
    assert!(room.take_journal(journal).is_some());
    let mut sent = 0;
    while let Some(output) = room.poll_output() {
        sent += u16::from(matches!(output, Output::Send { .. }));
    }
    for link in 0..PLAYERS {
        room.link(LinkId(link.into()), Link::Ack(Ack { frames: n, event: 0 }));
    }
    COUNTS.store(false, Relaxed);
    assert_eq!(sent, PLAYERS, "everyone gets a state");
}

/// Ticks until everything has found its size.
const WARM: u64 = 1_500;
/// Ticks that are looked at: there are rebuilds among them.
const TICKS: u64 = 300;

#[test]
fn a_tick_and_its_sends_take_no_memory() {
    let (template, mut room) = bare(game);
    room.record();
    for n in 0..PLAYERS {
        let session = SessionId(n.into());
        room.link(LinkId(n.into()), Link::Open { session, resume: None });
        room.handle(join(n.into(), &format!("P{n}")));
    }
    room.tick(Tick(1));
    while room.poll_output().is_some() {}
    // Somewhere to the right, some angle, the trigger held.
    let payload = Payload::from_words(0, &template.schema().inputs[0].ty, &[200, 30, 1]);
    let heal = Payload::from_words(0, &template.schema().actions[0].ty, &[3]);
    let mut journal = Vec::new();
    for n in 2..WARM + TICKS {
        tick(&mut room, n, [&payload, &heal], &mut journal);
    }
    assert_eq!(TAKEN.load(Relaxed), 0, "in {TICKS} ticks");
}
