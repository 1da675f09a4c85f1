//! What is gone, and what is only out of sight: and that nobody is told what becomes of it there.

mod common;
#[path = "common/network.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test file uses the parts it needs")]
mod network;

use common::bare;
use network::Dice;
use referee_protocol::ladder::Applied;
use referee_protocol::replica::{Departed, Taken};
use referee_protocol::{LinkId, Replica, SessionId};
use referee_room::output::Output;
use referee_room::prelude::*;
use referee_room::room::Link;
use referee_room::testkit::{TestPlayer, TestRoom};

#[derive(Component, Replicate)]
struct Unit(u32);

#[derive(Action)]
struct Spawn;
#[derive(Action)]
struct Hide;
#[derive(Action)]
struct Show;
#[derive(Action)]
struct Kill;

fn game(game: &mut Game) {
    game.turn_based().max_players(4).replicate::<Unit>();
    game.action::<Spawn>().action::<Hide>().action::<Show>().action::<Kill>();
    game.systems((spawn, hide, kill).chain());
}

fn spawn(spawns: Actions<Spawn>, mut commands: Commands) {
    for _ in &spawns {
        commands.spawn(Unit(1));
    }
}

type Units<'w, 's> = Query<'w, 's, Entity, With<Unit>>;

fn hide(hides: Actions<Hide>, shows: Actions<Show>, units: Units, mut commands: Commands) {
    for entity in &units {
        if !hides.is_empty() {
            commands.entity(entity).insert(InGroups(vec![Group::Player(Seat(1))]));
        }
        if !shows.is_empty() {
            commands.entity(entity).remove::<InGroups>();
        }
    }
}

fn kill(kills: Actions<Kill>, units: Units, mut commands: Commands) {
    for entity in units.iter().filter(|_| !kills.is_empty()) {
        commands.entity(entity).despawn();
    }
}

fn two() -> (TestRoom, TestPlayer, TestPlayer) {
    let mut room = TestRoom::new(game);
    let (ann, bob) = (room.join("Ann"), room.join("Bob"));
    room.act(ann, Spawn);
    (room, ann, bob)
}

fn fates(room: &TestRoom, player: TestPlayer) -> Vec<bool> {
    room.replica(player).departed().iter().map(|left| left.gone).collect()
}

#[test]
fn what_is_taken_away_is_gone_and_what_is_hidden_is_out_of_sight() {
    let (mut room, ann, bob) = two();
    room.act(ann, Hide);
    assert_eq!((fates(&room, ann), fates(&room, bob)), (vec![false], vec![]));
    room.act(ann, Show);
    assert_eq!((fates(&room, ann), fates(&room, bob)), (vec![], vec![]));
    room.act(ann, Kill);
    assert_eq!((fates(&room, ann), fates(&room, bob)), (vec![true], vec![true]));
}

#[test]
fn what_goes_out_of_sight_goes_unheard() {
    let run = |kill: bool| {
        let (mut room, ann, bob) = two();
        room.act(ann, Hide);
        room.cut(ann);
        if kill {
            room.act(bob, Kill);
            assert_eq!(fates(&room, bob), [true]);
        } else {
            room.act(bob, Spawn);
            room.act(bob, Hide);
        }
        // One who missed it is told what it was when it left.
        room.drop_connection(ann);
        room.resume(ann).unwrap();
        (fates(&room, ann), room.replica(ann).entities().count())
    };
    assert_eq!(run(true), run(false));
    let missed = |kill: bool| {
        let (mut room, ann, bob) = two();
        room.cut(ann);
        room.act(bob, Hide);
        if kill {
            room.act(bob, Kill);
        }
        room.drop_connection(ann);
        room.resume(ann).unwrap();
        fates(&room, ann)
    };
    assert_eq!(missed(true), [false]);
    assert_eq!(missed(false), [false]);
}

/// One thing: hidden, then taken away while it is; or taken away at once.
fn fading(hidden: bool) -> impl Fn(&mut Game) + Send + Sync + 'static {
    move |game: &mut Game| {
        game.realtime(30).replicate::<Unit>();
        game.on_start(|mut commands: Commands| {
            commands.spawn(Unit(1));
        });
        game.systems(move |units: Units, time: Res<Time>, mut commands: Commands| {
            for entity in &units {
                match time.tick.0 {
                    40 if hidden => {
                        commands.entity(entity).insert(InGroups(vec![]));
                    }
                    42 => commands.entity(entity).despawn(),
                    _ => {}
                }
            }
        });
    }
}

#[test]
fn over_a_bad_network_too_it_is_told_what_it_was_when_it_left() {
    const LINK: LinkId = LinkId(1);
    for (seed, hidden) in (0..20).flat_map(|seed| [(seed, true), (seed, false)]) {
        let (template, mut room) = bare(fading(hidden));
        room.link(LINK, Link::Open { session: SessionId(1), resume: None });
        room.link(LINK, Link::Lossy);
        room.handle(common::join(1, "Ann"));
        let (mut replica, mut applied) = (Replica::new(30), Applied::default());
        let (mut left, mut dice) = (Vec::<Departed>::new(), Dice::new(seed));
        for tick in 1..100 {
            room.tick(Tick(tick));
            while let Some(output) = room.poll_output() {
                let Output::Send { frame, .. } = output else { continue };
                if tick > 10 && dice.chance(40) {
                    continue;
                }
                let taken = replica.take(template.schema(), &frame.to_vec());
                if let Taken::Applied(prelude) = taken.expect("good state") {
                    applied.note(prelude.tick);
                    left.extend(replica.departed());
                }
            }
            room.link(LINK, Link::Applied(applied));
        }
        // One that hears nothing for long begins anew: then all it knew is out of its sight.
        let gone = left.iter().filter(|left| left.gone).count();
        assert_eq!((gone, left.is_empty()), (usize::from(!hidden), false), "seed {seed}");
    }
}
