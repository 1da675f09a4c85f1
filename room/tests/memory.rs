//! What a room keeps does not grow with what was there once: live memory, after long matches.
#![allow(unsafe_code, reason = "a counting allocator wraps the system's")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use common::bare;
use referee_room::prelude::*;

struct Counting;

thread_local! {
    /// Bytes that this thread, each test has its own, holds.
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

fn note(bytes: isize) {
    LIVE.set(LIVE.get() + bytes);
}

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(-(layout.size() as isize));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// By how many bytes a room grows in so many ticks, after as many in which it finds its size.
fn growth(game: fn(&mut Game), warm: u64, ticks: u64) -> isize {
    let (_, mut room) = bare(game);
    let mut run = |from: u64, to: u64| {
        for n in from..to {
            room.tick(Tick(n));
            while room.poll_output().is_some() {}
        }
        LIVE.get()
    };
    let before = run(1, warm);
    run(warm, warm + ticks) - before
}

#[derive(Component, Replicate, Clone, Copy)]
struct At(#[field(range = 0.0..=1_000_000.0, step = 1.0)] Vec2);

/// One thing walks from cell to cell, in each of which it is alone.
fn walk(game: &mut Game) {
    game.realtime(20).replicate::<At>().grid(|at: &At| at.0, 10.0, 10.0);
    game.on_start(|mut commands: Commands| {
        commands.spawn(At(Vec2::ZERO));
    });
    game.systems(|mut walkers: Query<&mut At>| {
        walkers.iter_mut().for_each(|mut at| at.0.x += 20.0);
    });
}

#[test]
fn cells_that_nobody_knows_and_nothing_is_in_are_forgotten() {
    let grown = growth(walk, 600, 2_400);
    assert!(grown < 20_000, "{grown} bytes for 2,400 cells");
}

/// It refers to itself, for a tick.
#[derive(Component, Replicate)]
struct Points(Entity);

/// Seen by one of some teams, whose groups are forgotten with what is in them.
fn point(game: &mut Game) {
    game.realtime(20).replicate::<Points>();
    game.systems(|points: Query<Entity, With<Points>>, time: Res<Time>, mut commands: Commands| {
        points.iter().for_each(|entity| commands.entity(entity).despawn());
        let entity = commands.spawn_empty().id();
        let team = Group::Team(time.tick.0 as u32 % 8);
        commands.entity(entity).insert((Points(entity), InGroups(vec![team])));
    });
}

#[test]
fn what_referred_to_others_and_is_gone_is_not_looked_at_any_more() {
    let grown = growth(point, 601, 2_400);
    assert!(grown < 4_000, "{grown} bytes for 2,400 that are gone");
}
