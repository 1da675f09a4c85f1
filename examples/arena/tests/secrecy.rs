//! What the arena keeps to itself.

use arena::{Position, Shot, Stick, arena};
use referee::prelude::*;
use referee::testkit::{Secrecy, TestRoom};

#[test]
fn nobody_learns_when_a_ship_may_shoot_and_how_far_a_shot_will_fly() {
    let params = json!({ "players": 4, "size": 800 });
    Secrecy::of(arena).seed(3).params(params).holds(|room, run| {
        let (ann, bob) = (room.join("Ann"), room.join("Bob"));
        room.input(ann, &Stick { fire: true, ..Stick::default() });
        room.input(ann, &Stick::default());
        room.change(|world| {
            let mut shots = world.query_filtered::<&Until, With<Shot>>();
            assert_eq!(shots.iter(world).count(), 1, "her shot flies");
            let mut all = world.query::<&mut Until>();
            all.iter_mut(world).for_each(|mut until| until.0.0 += run.either(0, 7));
            // Shots that are nowhere.
            let nowhere = |_| (Velocity(Vec2::ZERO), Until(Tick(u64::MAX)));
            world.spawn_batch((0..run.either(1, 9)).map(nowhere));
        });
        let cid = room.join("Cid");
        for turn in 0..10 {
            let (x, aim) = (Axis(0.1 * turn as f32), Angle(0.3 * turn as f32));
            room.input(bob, &Stick { x, aim, ..Stick::default() });
        }
        [bob, cid]
    });
}

/// In an arena of this size a player hears of what is near, and the grid is on.
#[test]
fn nobody_learns_what_is_far_away_in_a_large_arena() {
    let params = json!({ "players": 1000, "size": 4000 });
    Secrecy::of(arena).seed(3).params(params).holds(|room, run| {
        let (ann, bob) = (room.join("Ann"), room.join("Bob"));
        let place = |room: &mut TestRoom, player, at| {
            let ship = room.entity(player);
            room.change(|world| {
                world.entity_mut(ship).insert(Position(at));
            });
        };
        place(room, ann, Vec2::new(300.0, 300.0));
        place(room, bob, Vec2::new(3500.0, run.either(3500.0, 3200.0)));
        let far = (0..run.either(1, 9)).map(|n| Position(Vec2::new(3000.0, 3000.0 + n as f32)));
        room.change(|world| {
            world.spawn_batch(far.collect::<Vec<_>>());
        });
        // What comes near now is called the same, however much there is elsewhere.
        room.change(|world| {
            world.spawn(Position(Vec2::new(320.0, 300.0)));
        });
        for turn in 0..20 {
            let aim = Angle(run.either(0.3, 0.2) * turn as f32);
            room.input(
                bob,
                &Stick { x: Axis(run.either(1.0, -1.0)), aim, fire: true, ..Stick::default() },
            );
        }
        [ann]
    });
}
