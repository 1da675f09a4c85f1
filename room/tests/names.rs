//! What entities are called on the wire follows from what a player sees: not from what lies far away, from
//! what another team has, or from what another client is sent.

use referee_room::prelude::*;
use referee_room::testkit::{Run, Secrecy, TestPlayer, TestRoom};

#[derive(Component, Replicate)]
struct Stone(u32);

#[derive(Component, Replicate, Default)]
#[replicate(to = owner)]
struct Purse(#[field(max = 4000)] String);

#[derive(Component, Replicate, Clone, Copy)]
struct Place(#[field(range = 0.0..=4000.0, step = 0.5)] Vec2);

#[derive(Component, Replicate)]
struct Target(Option<Entity>);

const TICK: Duration = Duration::from_millis(50);

fn plain(game: &mut Game) {
    game.realtime(20).players(0..=4).spectators(4);
    game.replicate::<Stone>().replicate::<Purse>().replicate::<Target>();
    game.player(Purse::default);
}

fn budgeted(game: &mut Game) {
    plain(game);
    game.bytes_per_second(3000);
}

fn gridded(game: &mut Game) {
    game.realtime(20).players(0..=4).spectators(4);
    game.replicate::<Stone>().replicate::<Place>().replicate::<Target>();
    game.grid(|place: &Place| place.0, 100.0, 200.0);
    game.player(|| at(50.0));
}

fn at(x: f32) -> Place {
    Place(Vec2::new(x, x))
}

fn spawn(room: &mut TestRoom, of: impl Bundle) -> Entity {
    room.change(|world| world.spawn(of).id())
}

fn join_team(room: &mut TestRoom, player: TestPlayer, team: u32) {
    let entity = room.entity(player);
    room.change(|world| {
        world.entity_mut(entity).insert(Team(team));
    });
}

/// Their numbers differ by 1,024: their names have the same mark.
#[test]
fn what_a_team_with_the_same_mark_has_is_not_told() {
    Secrecy::of(plain).holds(|room, run| {
        let (ann, bob) = (room.join("Ann"), room.join("Bob"));
        join_team(room, ann, 1);
        join_team(room, bob, 1025);
        let stone = |n, team| (Stone(n), InGroups(vec![Group::Team(team)]));
        room.change(|world| {
            (0..run.either(1, 40)).for_each(|n| {
                world.spawn(stone(n, 1025));
            })
        });
        for n in 0..30 {
            spawn(room, stone(n, 1));
            room.run(TICK);
        }
        [ann]
    });
}

#[test]
fn how_many_things_are_far_away_is_not_told() {
    Secrecy::of(gridded).holds(|room, run| {
        let ann = room.join("Ann");
        room.change(|world| {
            (0..run.either(1, 50)).for_each(|n| {
                world.spawn((Stone(n), at(3000.0)));
            });
        });
        spawn(room, (Stone(9), at(60.0)));
        // One that comes from there is called as it is there.
        room.change(|world| {
            (0..run.either(1, 5)).for_each(|n| {
                world.spawn((Stone(n), at(2000.0)));
            });
        });
        let comer = spawn(room, (Stone(9), at(1000.0)));
        room.change(|world| {
            world.entity_mut(comer).insert(at(70.0));
        });
        [ann]
    });
}

#[test]
fn where_things_are_that_are_far_away_is_not_told() {
    Secrecy::of(gridded).holds(|room, run| {
        let ann = room.join("Ann");
        spawn(room, (Stone(1), at(run.either(3000.0, 2000.0))));
        spawn(room, (Stone(9), at(60.0)));
        room.run(TICK);
        [ann]
    });
}

/// Of a player's own group it is known what its client sees.
#[test]
fn whether_what_a_players_own_thing_refers_to_is_shown_to_others_is_not_told() {
    Secrecy::of(gridded).holds(|room, run| {
        let ann = room.join("Ann");
        let far = spawn(room, (Stone(1), at(3000.0)));
        spawn(room, (Target(Some(far)), InGroups(vec![Group::Player(Seat(0))])));
        room.change(|world| {
            if run == Run::Other {
                world.entity_mut(far).insert(InGroups(vec![]));
            }
        });
        room.run(TICK);
        [ann]
    });
}

#[test]
fn a_players_own_thing_refers_to_what_its_client_sees() {
    let mut room = TestRoom::new(gridded);
    let ann = room.join("Ann");
    let stone = spawn(&mut room, (Stone(1), at(60.0)));
    spawn(&mut room, (Target(Some(stone)), InGroups(vec![Group::Player(Seat(0))])));
    let refers = |room: &TestRoom| room.seen_on_entities(ann, "Target") != [json!(null)];
    assert!(refers(&room));
    room.change(|world| {
        world.entity_mut(stone).insert(at(3000.0));
    });
    room.run(TICK);
    assert!(!refers(&room), "it is out of sight");
    room.change(|world| {
        world.entity_mut(stone).insert(at(70.0));
    });
    room.run(TICK);
    assert!(refers(&room));
}

/// What Bob is sent is large and waits for his budget. As long as it does, names rest.
#[test]
fn how_much_another_client_is_sent_is_not_told() {
    Secrecy::of(budgeted).holds(|room, run| {
        let (ann, _bob) = (room.join("Ann"), room.join("Bob"));
        let bags: Vec<Entity> =
            (0..10).map(|_| spawn(room, (Purse::default(), Owner(Seat(1))))).collect();
        for n in 0..100u32 {
            room.change(|world| {
                for bag in &bags {
                    world.entity_mut(*bag).insert(Purse(noise(n, run.either(1, 4000))));
                }
                let mut stones = world.query_filtered::<Entity, With<Stone>>();
                let old: Vec<Entity> = stones.iter(world).collect();
                old.into_iter().for_each(|stone| {
                    world.despawn(stone);
                });
                (0..3).for_each(|k| {
                    world.spawn(Stone(n * 6 + k));
                });
            });
            room.run(TICK);
        }
        [ann]
    });
}

/// Text that does not get shorter by coding.
fn noise(n: u32, len: u32) -> String {
    let mix = |at: u32| (at * 7919 + n * 104_729).wrapping_mul(2_654_435_761) >> 20;
    (0..len).map(|at| char::from(33 + (mix(at) % 90) as u8)).collect()
}
