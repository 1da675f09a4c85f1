//! What a room costs: `cargo bench -p referee-room`. Best of many passes, in microseconds, beside a
//! floor: a bare `World` with as many systems boxed and initialised, nothing else.
//!
//! Fails when a new room of a game with 20 systems costs 100 us or more.

#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use bevy_ecs::system::BoxedSystem;
use referee_room::entry::Create;
use referee_room::prelude::*;
use referee_room::{Room, Template};

/// The most a new room of 20 systems may cost, in microseconds.
const NEW_ROOM_MAX_US: f64 = 100.0;

#[derive(Component, Replicate, Default)]
struct At {
    x: f32,
    y: f32,
}

#[derive(Component, Replicate, Default)]
struct Speed {
    x: f32,
    y: f32,
}

#[derive(Resource, Replicate, Default)]
struct Score(u32);

fn fly(mut ships: Query<(&mut At, &Speed)>) {
    for (mut at, speed) in &mut ships {
        at.x += speed.x;
        at.y += speed.y;
    }
}

fn score(mut score: ResMut<Score>, ships: Query<&At, Changed<At>>) {
    score.0 += ships.iter().count() as u32;
}

fn game(systems: usize, entities: usize) -> impl Fn(&mut Game) + Send + Sync {
    move |game: &mut Game| {
        game.realtime(20).replicate::<At>().replicate::<Speed>().replicate::<Score>();
        for _ in 0..systems / 2 {
            game.systems((fly, score));
        }
        game.on_start(move |mut commands: Commands| {
            for at in 0..entities {
                commands.spawn((At { x: at as f32, y: 0.0 }, Speed { x: 1.0, y: 0.5 }));
            }
        });
    }
}

/// The best of many passes, in microseconds.
fn best<T>(passes: u32, mut pass: impl FnMut() -> T) -> f64 {
    let time = |_| {
        let start = Instant::now();
        black_box(pass());
        start.elapsed().as_secs_f64() * 1e6
    };
    (0..passes).map(time).fold(f64::MAX, f64::min)
}

fn floor(systems: usize) -> f64 {
    best(300, || {
        let mut world = World::new();
        world.init_resource::<Score>();
        let mut boxed: Vec<BoxedSystem> = Vec::new();
        for _ in 0..systems / 2 {
            boxed.push(Box::new(IntoSystem::into_system(fly)));
            boxed.push(Box::new(IntoSystem::into_system(score)));
        }
        for system in &mut boxed {
            system.initialize(&mut world);
        }
        (world, boxed)
    })
}

fn create(template: &Arc<Template>) -> Room {
    let create = Create { params: Vec::new(), seed: [1; 32], ..Create::default() };
    Room::create(template, &create).expect("the game creates its room")
}

fn main() {
    println!("best of many passes, us");
    println!("systems entities | floor  create  x floor | save  restore  tick  tick+rebuild");
    let mut worst_new_room: f64 = 0.0;
    for (systems, entities) in [(6, 0), (20, 0), (20, 20), (20, 100), (20, 1000)] {
        let template = Template::new("bench", game(systems, entities)).expect("a good game");
        let rebuilding = Template::new("bench", move |g: &mut Game| {
            game(systems, entities)(g);
            g.snapshot_ticks(1);
        })
        .expect("a good game");
        let floor = floor(systems);
        let new = best(300, || create(&template));
        let mut room = create(&template);
        room.tick(Tick(1));
        let save = best(300, || room.snapshot());
        let snapshot = room.snapshot();
        let restore = best(100, || Room::restore(&template, &snapshot, [2; 32]));
        let tick = |room: &mut Room| room.tick(Tick(room.info().tick.0 + 1));
        let plain = best(300, || tick(&mut room));
        let mut room = create(&rebuilding);
        let rebuilt = best(100, || tick(&mut room));
        println!(
            "{systems:7} {entities:8} | {floor:5.1} {new:7.1} {:8.2} | {save:4.1} {restore:8.1} \
             {plain:5.1} {rebuilt:13.1}",
            new / floor
        );
        if entities == 0 {
            worst_new_room = worst_new_room.max(new);
        }
    }
    assert!(
        worst_new_room < NEW_ROOM_MAX_US,
        "a new room costs {worst_new_room:.1} us; at most {NEW_ROOM_MAX_US} us are allowed"
    );
}
