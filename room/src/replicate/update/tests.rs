//! What is looked at of an entity that changed a little is enough: a room that has looked at changes alone,
//! for many ticks, shows what one shows that looks at everything.

use std::collections::{BTreeMap, VecDeque};

use referee_protocol::{Group, Seat, Tick};

use super::super::Replication;
use crate::entry::Create;
use crate::prelude::*;
use crate::{Room, Template};

#[derive(Resource, Replicate, Default)]
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Seen by whom it is near.
#[derive(Component, Replicate, Clone, Copy)]
struct Place(#[field(range = 0.0..=500.0, step = 0.5)] Vec2);
/// Its values have several lengths.
#[derive(Component, Replicate)]
#[replicate(to = everyone)]
struct Bag(#[field(max = 64)] Vec<u8>);
#[derive(Component, Replicate)]
#[replicate(to = owner)]
struct Hand(u32);
#[derive(Component, Replicate)]
#[replicate(to = team)]
struct Order(u32);
#[derive(Component, Replicate)]
struct Follows(Option<Entity>);
/// Kept, and decides who sees a depth.
#[derive(Component, Replicate)]
struct Lamp(bool);
#[derive(Component, Replicate)]
#[replicate(to = where_it_is_lit)]
struct Depth(u32);

fn where_it_is_lit(entity: EntityRef<'_>) -> Vec<Group> {
    let lit = entity.get::<Lamp>().is_some_and(|lamp| lamp.0);
    if lit { vec![Group::Everyone] } else { vec![Group::Team(9)] }
}

fn plain(game: &mut Game) {
    game.realtime(20).replicate::<Chance>().replicate::<(Place, Bag, Hand, Order, Follows)>();
    game.snapshot_ticks(25).systems(stir);
}

fn in_a_grid(game: &mut Game) {
    plain(game);
    game.grid(|place: &Place| place.0, 100.0, 200.0);
}

fn with_a_function(game: &mut Game) {
    plain(game);
    game.replicate::<Depth>().keep::<Lamp>();
    game.systems(light);
}

fn light(mut chance: ResMut<Chance>, things: Query<Entity, With<Place>>, mut commands: Commands) {
    for thing in things.iter().filter(|_| chance.below(4) == 0).collect::<Vec<_>>() {
        match chance.below(3) {
            0 => drop(commands.entity(thing).insert(Depth(1))),
            n => drop(commands.entity(thing).insert(Lamp(n == 1))),
        }
    }
}

/// Does something to one thing in three.
fn stir(
    mut chance: ResMut<Chance>,
    mut things: Query<(Entity, &mut Place, Option<&mut Player>)>,
    mut commands: Commands,
) {
    let all: Vec<Entity> = things.iter().map(|(entity, ..)| entity).collect();
    if all.len() < 12 {
        let (name, entity) = (String::new(), Entity::PLACEHOLDER);
        let player = Player { seat: Seat(0), name, connected: true, entity };
        commands.spawn((Place(Vec2::new(10.0, 10.0)), player));
    }
    for (entity, mut place, player) in &mut things {
        let (what, n) = (chance.below(36), chance.below(3) as u32);
        let mut thing = commands.entity(entity);
        match what {
            0 | 1 => place.0 = Vec2::new(chance.below(500) as f32, chance.below(500) as f32),
            2 | 3 => drop(thing.insert(Bag(vec![n as u8; 30 * n as usize]))),
            4 => drop(thing.insert(Hand(n))),
            5 => drop(thing.insert(Order(n))),
            6 => drop(thing.insert(Owner(Seat(n as u16)))),
            7 => drop(thing.insert(Team(n))),
            8 => drop(thing.remove::<(Owner, Hand)>()),
            9 => drop(thing.insert(InGroups(vec![Group::Team(n), Group::Team(n + 1)]))),
            10 => drop(thing.remove::<(InGroups, Bag)>()),
            11 => drop(thing.insert(Follows(all.get(n as usize).copied()))),
            12 => thing.despawn(),
            13 => player.into_iter().for_each(|mut player| player.seat = Seat(n as u16)),
            _ => {}
        }
    }
}

/// What a group shows of an entity: numbers of components and their words.
type Picture = BTreeMap<(Group, u32, u16), Vec<u32>>;

/// What the groups show, with `NetId`s for names.
fn picture(replication: &Replication, game: &Game) -> Picture {
    let follows = game.components.iter().find(|row| row.name == "Follows");
    let follows = follows.and_then(|row| row.sent).expect("it is sent");
    let mut picture = Picture::new();
    for (group, state) in replication.groups.iter() {
        let known = |id| replication.names.known(id, group, &replication.links);
        for (name, component, words) in state.shown() {
            let id = state.net_id(name).unwrap_or(name.0);
            let mut words = words.to_vec();
            if let (true, [1, name]) = (component == follows, &mut words[..]) {
                *name = replication.names.ids().find(|id| known(*id) == *name).unwrap_or(0);
            }
            picture.insert((group, id, component), words);
        }
    }
    picture
}

/// What a room shows that looks at everything, and what that counts.
fn from_nothing(room: &mut Room, template: &std::sync::Arc<Template>) -> (Picture, usize) {
    let mut fresh = Replication::new(template, &mut room.game);
    fresh.seed([7; 32]);
    // A thing near a border is in the cell that it was in before.
    fresh.squares.clone_from(&room.replication.squares);
    fresh.collect_all(&mut room.game);
    fresh.send(&mut room.game, &mut VecDeque::new());
    (picture(&fresh, &room.game), fresh.sizes.all)
}

fn compare(name: &str, game: fn(&mut Game)) {
    let template = Template::new("test", game).unwrap_or_else(|error| panic!("{error}"));
    for seed in 1..=4u64 {
        let create = Create { seed: [seed as u8; 32], ..Create::default() };
        let mut room = Room::create(&template, &create).expect("it is created");
        room.game.world.resource_mut::<Chance>().0 = seed;
        let mut seen = 0;
        for tick in 1..=200 {
            room.tick(Tick(tick));
            let now = picture(&room.replication, &room.game);
            let (expected, counts) = from_nothing(&mut room, &template);
            assert_eq!(room.replication.sizes.all, counts, "{name}, seed {seed}, tick {tick}");
            seen = seen.max(now.len());
            let wrong = now.iter().find(|(at, words)| expected.get(at) != Some(words));
            let missing = expected.keys().find(|at| !now.contains_key(at));
            assert!(
                wrong.is_none() && missing.is_none(),
                "{name}, seed {seed}, tick {tick}: {wrong:?} is shown, {missing:?} is not"
            );
        }
        assert!(seen > 25, "{name}: too little is shown, {seen}");
    }
}

#[test]
fn a_room_that_looks_at_changes_alone_shows_what_there_is() {
    compare("plain", plain);
    compare("in a grid", in_a_grid);
    compare("with a function", with_a_function);
}
