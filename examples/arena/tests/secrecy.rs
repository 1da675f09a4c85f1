//! What the arena keeps to itself.

use arena::{Shot, Stick, arena};
use referee::prelude::*;
use referee::testkit::Secrecy;

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
