//! The test kit's secrecy: it finds what leaks, whichever way, and nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};

use referee_room::prelude::*;
use referee_room::testkit::{Run, Secrecy, TestPlayer, TestRoom};

/// Everyone may see it.
#[derive(Component, Replicate)]
struct Stone(u32);

/// Only its owner may.
#[derive(Component, Replicate, Default)]
#[replicate(to = owner)]
struct Purse(u32);

/// Nobody may.
#[derive(Component, Replicate)]
struct Trap(u32);

/// How many traps there are.
#[derive(Resource, Replicate, Default)]
struct Traps(u32);

#[derive(Action)]
struct Earn(u32);
#[derive(Action)]
struct Put(u32);
#[derive(Event)]
struct Rustle(u32);

fn silent(game: &mut Game) {
    game.turn_based().spectators(4).replicate::<Stone>().replicate::<Purse>().keep::<Trap>();
    game.action::<Earn>().action::<Put>().player(Purse::default);
    game.systems((earn, put));
}

fn earn(earned: Actions<Earn>, mut purses: Query<&mut Purse>) {
    for (player, coins) in &earned {
        purses.get_mut(player).expect("every player has one").0 += coins.0;
    }
}

fn put(puts: Actions<Put>, mut commands: Commands) {
    for (_, put) in &puts {
        commands.spawn(Stone(put.0));
    }
}

/// Ann earns, there are traps; Bob and Eve see stones only.
fn hidden(room: &mut TestRoom, run: Run) -> [TestPlayer; 2] {
    let (ann, bob, eve) = (room.join("Ann"), room.join("Bob"), room.watch("Eve"));
    room.act(ann, Put(1));
    room.change(|world| {
        world.spawn_batch(run.either(vec![1, 2], vec![9, 8, 7, 6, 5]).into_iter().map(Trap));
    });
    room.act(ann, Earn(run.either(1, 1_000_000)));
    room.act(bob, Put(2));
    [bob, eve]
}

/// Stones that come into sight together, and lay hidden in another order.
#[test]
fn the_order_in_which_hidden_things_came_is_not_told_when_they_are_seen() {
    Secrecy::of(silent).holds(|room, run| {
        let players = [room.join("Ann"), room.join("Bob")];
        room.change(|world| {
            for value in run.either([5, 3, 9], [9, 5, 3]) {
                world.spawn((Stone(value), InGroups(vec![])));
            }
        });
        room.run(Duration::from_secs(1));
        room.change(|world| {
            let mut stones = world.query::<&mut InGroups>();
            stones.iter_mut(world).for_each(|mut groups| groups.0.push(Group::Everyone));
        });
        room.run(Duration::from_secs(1));
        players
    });
}

#[derive(Component, Replicate)]
struct Order(u32);

/// A commander of the first team sees the stones of both; Bob sees those of the second alone. So some are in
/// both groups, and which of them, and what else the first has, is nothing of Bob's: neither in what order
/// names are drawn nor what they are.
#[test]
fn of_what_is_in_two_groups_nobody_is_told_the_other() {
    let game = |game: &mut Game| {
        silent(game);
        game.replicate::<Order>();
    };
    Secrecy::of(game).holds(|room, run| {
        let [ann, bob] = [room.join("Ann"), room.join("Bob")];
        let (first, second) = (Group::Team(1), Group::Team(2));
        room.change(|world| {
            let mut players = world.query::<(Entity, &Player)>();
            let found = players.iter(world).map(|(entity, player)| (entity, player.seat));
            for (entity, seat) in found.collect::<Vec<_>>() {
                let sees = if seat == Seat(0) { vec![first, second] } else { vec![second] };
                world.entity_mut(entity).insert(Sees(sees));
            }
        });
        let both =
            run.either([vec![second], vec![first, second]], [vec![first, second], vec![second]]);
        room.change(|world| {
            for (value, groups) in [1, 2].into_iter().zip(both.clone()) {
                world.spawn((Stone(value), InGroups(groups)));
            }
            for value in 0..run.either(1, 4) {
                world.spawn((Order(value), InGroups(vec![first])));
            }
        });
        room.run(Duration::from_secs(1));
        assert_eq!(room.seen_on_entities(ann, "Stone").len(), 2, "each is one to her");
        // They go into the other's sight and out of it, and new ones come.
        for (n, groups) in [vec![first, second], vec![second]].into_iter().enumerate() {
            room.change(|world| {
                let mut stones = world.query_filtered::<&mut InGroups, With<Stone>>();
                let groups = run.either(groups, vec![second]);
                stones.iter_mut(world).for_each(|mut of| of.0.clone_from(&groups));
                let hidden = run.either(vec![first, second], vec![second]);
                world.spawn((Stone(7 + n as u32), InGroups(hidden)));
                world.spawn((Stone(3 + n as u32), InGroups(vec![second])));
            });
            room.run(Duration::from_secs(1));
            assert_eq!(room.seen_on_entities(ann, "Stone").len(), 4 + 2 * n, "each is one to her");
        }
        room.drop_connection(bob);
        room.resume(bob).expect("the seat is held");
        room.run(Duration::from_secs(1));
        [bob]
    });
}

/// What is said when it does not hold.
fn complaint(game: impl Fn(&mut Game) + Send + Sync + 'static) -> String {
    complaint_of(game, hidden)
}

fn complaint_of<const N: usize>(
    game: impl Fn(&mut Game) + Send + Sync + 'static,
    script: impl FnMut(&mut TestRoom, Run) -> [TestPlayer; N],
) -> String {
    let holds = AssertUnwindSafe(|| Secrecy::of(game).holds(script));
    let panic = catch_unwind(holds).expect_err("it does not hold");
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).expect("a text").to_owned()
}

#[test]
fn what_is_hidden_may_differ_in_value_number_and_order() {
    Secrecy::of(silent).holds(hidden);
    Secrecy::of(silent).seed(8).holds(|room, run| {
        // Before anyone is there, and before anything that is seen.
        room.change(|world| {
            let traps = run.either(vec![3, 1], vec![1, 3, 2]);
            world.spawn_batch(traps.into_iter().map(Trap));
        });
        let players = hidden(room, run);
        room.restart();
        players
    });
}

#[test]
fn a_hidden_thing_may_go_at_any_time() {
    Secrecy::of(silent).holds(|room, run| {
        let (ann, bob) = (room.join("Ann"), room.join("Bob"));
        let traps = room.change(|world| [1, 2].map(|trap| world.spawn(Trap(trap)).id()));
        room.act(ann, Put(1));
        room.change(|world| {
            let gone = run.either(&traps[..1], &traps[..]);
            assert!(gone.iter().all(|trap| world.despawn(*trap)));
        });
        room.act(ann, Put(2));
        [bob]
    });
}

#[test]
fn a_hidden_count_that_everyone_sees_is_found_and_named() {
    let said = complaint(|game| {
        silent(game);
        game.replicate::<Traps>();
        game.systems(|traps: Query<&Trap>, mut count: ResMut<Traps>| {
            count.0 = traps.iter().len() as u32;
        });
    });
    assert!(said.contains("the player in seat 1 is told what it must not see"), "{said}");
    assert!(said.contains("Traps is 2 in one run, 5 in the other"), "{said}");
    assert!(said.contains("byte "), "{said}");
}

#[test]
fn a_hidden_thing_that_everyone_sees_is_found_and_named() {
    let said = complaint(|game| {
        game.turn_based().spectators(4).replicate::<Stone>().keep::<Purse>().replicate::<Trap>();
        game.action::<Earn>().action::<Put>().player(Purse::default).systems((earn, put));
    });
    assert!(said.contains("unknown in one run"), "{said}");
    assert!(said.contains("Trap of entity"), "{said}");
}

#[test]
fn an_event_that_tells_is_found_and_named() {
    let said = complaint(|game| {
        silent(game);
        game.event::<Rustle>();
        game.systems(|earned: Actions<Earn>, mut rustles: Events<Rustle>| {
            earned.iter().for_each(|(_, coins)| rustles.all(Rustle(coins.0)));
        });
    });
    assert!(said.contains("event 1, Rustle is 1 in one run, 1000000 in the other"), "{said}");
}

#[test]
fn a_message_too_many_is_found_though_it_holds_nothing() {
    let said = complaint(|game| {
        silent(game);
        game.event::<Rustle>();
        game.systems(|purses: Query<&Purse>, mut rustles: Events<Rustle>| {
            if purses.iter().any(|purse| purse.0 > 1000) {
                rustles.all(Rustle(0));
            }
        });
    });
    assert!(said.contains("Rustle is unknown in one run"), "{said}");
}

#[test]
fn a_later_tick_is_found_though_the_bytes_of_the_state_are_the_same() {
    let said = complaint(|game| {
        silent(game);
        game.timer::<Later>();
        game.systems(|mut later: Timers<Later>, earned: Actions<Earn>| {
            for (_, coins) in &earned {
                later.after(Duration::from_millis(u64::from(coins.0.min(50))), Later);
            }
        });
        game.systems(|due: Due<Later>, mut commands: Commands| {
            commands.spawn_batch(due.iter().map(|_| Stone(3)).collect::<Vec<_>>());
        });
    });
    assert!(said.contains("in tick"), "{said}");
}

#[derive(Replicate)]
struct Later;

#[test]
fn the_reason_of_a_kick_is_told_too() {
    let said = complaint(|game| {
        silent(game);
        game.systems(|puts: Actions<Put>, purses: Query<&Purse>, mut referee: Referee| {
            let coins: u32 = purses.iter().map(|purse| purse.0).sum();
            for (player, _) in puts.iter().filter(|(_, put)| put.0 == 2) {
                referee.kick(player, format!("too poor beside {coins}"));
            }
        });
    });
    assert!(said.contains("too poor beside 1000000"), "{said}");
}

#[test]
fn runs_that_do_not_differ_prove_nothing() {
    let said = complaint_of(silent, |room, _| {
        let (ann, bob) = (room.join("Ann"), room.join("Bob"));
        room.act(ann, Earn(3));
        [bob]
    });
    assert!(said.contains("this proves nothing"), "{said}");
    let said = complaint_of(silent, |room, _| {
        room.join("Ann");
        []
    });
    assert!(said.contains("names nobody"), "{said}");
}

#[test]
fn a_change_shows_at_once_and_lasts() {
    let mut room = TestRoom::new(silent);
    let ann = room.join("Ann");
    room.change(|world| world.spawn(Stone(4)).id());
    assert_eq!(room.seen_on_entities(ann, "Stone"), [json!(4)]);
    room.restart();
    room.resume(ann).expect("the seat is held");
    room.change(|world| {
        let mut stones = world.query::<&mut Stone>();
        stones.single_mut(world).expect("one stone").0 = 5;
    });
    assert_eq!(room.seen_on_entities(ann, "Stone"), [json!(5)]);
}

/// What the script itself takes away between two ticks counts as what systems take away.
#[test]
fn a_component_that_is_taken_away_is_told() {
    let told = complaint_of(silent, |room, run| {
        let ann = room.join("Ann");
        let stone = room.change(|world| world.spawn((Stone(1), Trap(1))).id());
        room.change(|world| {
            if run == Run::Other {
                world.entity_mut(stone).remove::<Stone>();
            }
        });
        room.run(Duration::from_secs(1));
        [ann]
    });
    assert!(told.contains("Stone"), "{told}");
}
