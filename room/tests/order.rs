//! The order in which queries find entities, and what entities are called inside a room: the same in a room
//! that was restored as in one that lived on, however many sets of components came and went.

mod common;

use std::sync::Arc;

use common::bare;
use referee_room::prelude::*;
use referee_room::{Room, Template};

macro_rules! marks {
    ($($name:ident),*) => {
        $(
            #[derive(Component, Replicate, Default, Clone)]
            struct $name(u8);
        )*

        /// Adds or removes the marks that the bits say.
        fn mark(commands: &mut Commands, entity: Entity, bits: u32) {
            let mut entity = commands.entity(entity);
            let mut at = 0;
            $(
                at += 1;
                match bits >> (2 * at) & 3 {
                    1 => drop(entity.insert($name(at as u8))),
                    2 => drop(entity.remove::<$name>()),
                    _ => {}
                }
            )*
        }

        fn register(game: &mut Game) {
            $(game.keep::<$name>();)*
        }
    };
}

marks!(A, B, C, D, E, F, G, H, I, J);

/// Lies in sets of its own.
#[derive(Component, Replicate, Default, Clone)]
#[component(storage = "SparseSet")]
struct Sparse(u8);

#[derive(Component, Replicate, Clone)]
struct Thing {
    #[field(max = 16)]
    name: String,
    friend: Entity,
}

/// What the systems saw, in the order in which they saw it.
#[derive(Resource, Replicate, Default)]
struct Seen(u64);

impl Seen {
    fn add(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(17);
    }
}

fn of<'a>(seen: &mut Seen, found: impl Iterator<Item = &'a NetId>) {
    seen.add(7);
    found.for_each(|id| seen.add(u64::from(id.number())));
}

fn see_some(
    mut seen: ResMut<Seen>,
    (some, others): (Query<&NetId, With<A>>, Query<&NetId, (With<B>, Without<C>)>),
    either: Query<&NetId, Or<(With<D>, With<Sparse>)>>,
) {
    of(&mut seen, some.iter());
    of(&mut seen, others.iter());
    of(&mut seen, either.iter());
}

fn see_all(mut seen: ResMut<Seen>, all: Query<(&NetId, Option<&E>, Has<F>)>) {
    for (id, e, f) in &all {
        seen.add(u64::from(id.number()) << 9 | u64::from(e.is_some()) << 1 | u64::from(f));
    }
}

/// By what bevy calls them, which is the same as well.
fn see_handles(mut seen: ResMut<Seen>, all: Query<(Entity, &NetId)>) {
    let mut all: Vec<(Entity, &NetId)> = all.iter().collect();
    all.sort();
    all.into_iter().for_each(|(entity, id)| seen.add(entity.to_bits() ^ u64::from(id.number())));
}

fn see_new(
    mut seen: ResMut<Seen>,
    new: Query<&NetId, Added<G>>,
    changed: Query<&NetId, Changed<H>>,
) {
    of(&mut seen, new.iter());
    of(&mut seen, changed.iter());
}

type Things<'w, 's> = Query<'w, 's, (Entity, &'static NetId, &'static Thing)>;

/// Most things in the room.
const MOST: usize = 40;

fn stir(things: Things, mut rng: ResMut<Rng>, mut commands: Commands) {
    let count = things.iter().count();
    let thing = |friend| Thing { name: "a thing".to_owned(), friend };
    if count < MOST {
        let first = things.iter().next().map_or(Entity::PLACEHOLDER, |(entity, ..)| entity);
        commands.spawn((thing(first), A(1)));
        commands.spawn_batch((0..rng.below(4)).map(move |_| (thing(first), B(0), Sparse(1))));
    }
    for (entity, ..) in &things {
        match rng.below(12) {
            0 if count > 4 => commands.entity(entity).despawn(),
            1..4 => mark(&mut commands, entity, rng.below(1 << 22)),
            4 => drop(commands.entity(entity).insert(Sparse(2))),
            5 => drop(commands.entity(entity).remove::<Sparse>()),
            _ => {}
        }
    }
}

fn game(game: &mut Game) {
    game.realtime(20).replicate::<Thing>().keep::<Sparse>().keep::<Seen>().snapshot_ticks(7);
    register(game);
    game.systems((see_some, see_all, stir, see_handles, see_new));
}

/// Few sets, so that they come back again and again.
fn few(game: &mut Game) {
    game.realtime(20).replicate::<Thing>().keep::<Sparse>().keep::<Seen>().snapshot_ticks(7);
    register(game);
    game.systems((see_some, see_all, stir_few, see_handles, see_new));
}

fn stir_few(things: Things, mut rng: ResMut<Rng>, mut commands: Commands) {
    for (entity, id, _) in &things {
        match rng.below(9) {
            0 => commands.entity(entity).despawn(),
            1 => mark(&mut commands, entity, 1 << (2 + 2 * (id.number() % 4))),
            2 => mark(&mut commands, entity, 2 << (2 + 2 * (id.number() % 4))),
            _ => {}
        }
    }
    for _ in things.iter().count()..6 {
        let name = "one of few".to_owned();
        commands.spawn((Thing { name, friend: Entity::PLACEHOLDER }, H(1)));
    }
}

/// Comes with what requires it, and may be taken away again.
#[derive(Component, Replicate, Default, Clone)]
struct Wanted(u8);

#[derive(Component, Replicate, Default, Clone)]
#[require(Wanted)]
struct Wanting(u8);

fn with_less_than_required(game: &mut Game) {
    few(game);
    game.keep::<Wanted>().keep::<Wanting>();
    game.systems(|things: Things, mut rng: ResMut<Rng>, mut commands: Commands| {
        for (entity, ..) in &things {
            let mut entity = commands.entity(entity);
            match rng.below(60) {
                0 => _ = entity.insert(Wanting(1)),
                1 => _ = entity.remove::<Wanted>(),
                2 => _ = entity.remove::<(Wanting, Wanted)>(),
                _ => {}
            }
        }
    });
}

/// A crowd comes and goes at once: the world is not kept with room for it.
fn with_crowds(game: &mut Game) {
    few(game);
    game.systems(
        |time: Res<Time>, crowd: Query<Entity, With<J>>, mut commands: Commands| match time.tick.0
            % 60
        {
            10 => commands.spawn_batch((0..1500).map(|_| (J(1), Wanted(1)))),
            12 => crowd.iter().for_each(|entity| commands.entity(entity).despawn()),
            _ => {}
        },
    );
    game.keep::<Wanted>();
}

/// Not registered: with it in the world the room gets a new one.
#[derive(Component)]
struct Stray;

fn with_strays(game: &mut Game) {
    few(game);
    game.systems(|time: Res<Time>, mut commands: Commands| {
        if time.tick.0 % 50 < 10 {
            commands.spawn(Stray);
        }
    });
}

/// A room that lives on, and those that were made of its snapshots: all in the same states.
fn live_on(template: &Arc<Template>, mut live: Room, ticks: u64) {
    let mut restored: Vec<Room> = Vec::new();
    for tick in 1..=ticks {
        live.tick(Tick(tick));
        while live.poll_output().is_some() {}
        for room in &mut restored {
            room.tick(Tick(tick));
            while room.poll_output().is_some() {}
            assert_eq!(room.state_hash(), live.state_hash(), "tick {tick}");
        }
        if tick % 7 == 0 {
            let made = Room::restore(template, &live.snapshot(), [9; 32]);
            restored.push(made.expect("it is read"));
            // Some go soon, the first one stays.
            restored.truncate(if tick % 3 == 0 { 1 } else { 4 });
        }
    }
}

#[test]
fn queries_find_entities_in_the_same_order_after_a_restore() {
    let (template, live) = bare(few);
    live_on(&template, live, 700);
}

/// So many that the list of them begins anew more than once.
#[test]
fn they_do_when_there_are_more_sets_of_components_than_are_remembered() {
    let (template, live) = bare(game);
    live_on(&template, live, 350);
}

#[test]
fn they_do_when_entities_lack_what_their_components_require() {
    let (template, live) = bare(with_less_than_required);
    live_on(&template, live, 300);
}

#[test]
fn they_do_after_a_crowd_has_gone() {
    let (template, live) = bare(with_crowds);
    live_on(&template, live, 150);
}

#[test]
fn they_do_when_there_are_things_in_the_world_that_are_not_registered() {
    let (template, live) = bare(with_strays);
    live_on(&template, live, 300);
}
