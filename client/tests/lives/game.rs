//! A game that writes down what it was told to do and what it told, so that both can be compared with
//! what clients said and heard.

use referee_room::prelude::*;

/// Where something is.
#[derive(Component, Replicate, Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Place {
    #[field(range = -100.0..=100.0, step = 0.1)]
    pub(crate) x: f32,
    #[field(range = -100.0..=100.0, step = 0.1)]
    pub(crate) y: f32,
}

/// Only its owner sees it.
#[derive(Component, Replicate, Clone, PartialEq, Debug, Default)]
#[replicate(to = owner)]
pub(crate) struct Secret(pub(crate) u32);

/// Goes away after so many ticks.
#[derive(Component, Replicate, Clone, PartialEq, Debug)]
pub(crate) struct Spark {
    pub(crate) by: Entity,
    pub(crate) left: u8,
}

/// Whatever was done, by anyone.
#[derive(Resource, Replicate, Clone, PartialEq, Debug, Default)]
pub(crate) struct Sum(pub(crate) u32);

/// What a player did, and what it was told by events of either type, in order.
#[derive(Component, Replicate, Clone, PartialEq, Debug, Default)]
pub(crate) struct Log {
    #[field(max = 5000)]
    pub(crate) done: Vec<u32>,
    #[field(max = 5000)]
    pub(crate) told: Vec<u32>,
    #[field(max = 5000)]
    pub(crate) whispered: Vec<u32>,
}

/// Something to do once.
#[derive(Action)]
pub(crate) struct Do(pub(crate) u32);

/// Everyone is told that something was done.
#[derive(Event, Clone)]
pub(crate) struct Done(pub(crate) u32);

/// One player is told.
#[derive(Event, Clone)]
pub(crate) struct Whisper(pub(crate) u32);

pub(crate) fn chronicle(game: &mut Game) {
    game.realtime(20).max_players(4).snapshot_ticks(8).action::<Do>();
    game.replicate::<Place>().replicate::<Secret>().replicate::<Spark>().replicate::<Sum>();
    game.keep::<Log>().event::<Done>().event::<Whisper>();
    game.player(|| (Place::default(), Secret::default(), Log::default()));
    game.systems((act, drift, fade));
}

fn act(
    acts: Actions<Do>,
    mut players: Query<(Entity, &mut Log, &mut Secret, &NetId)>,
    mut sum: ResMut<Sum>,
    (mut done, mut whispers): (Events<Done>, Events<Whisper>),
    mut commands: Commands,
) {
    for (player, Do(id)) in &acts {
        sum.0 = sum.0.wrapping_add(*id);
        done.all(Done(*id));
        for (_, mut log, _, _) in &mut players {
            log.told.push(*id);
        }
        if let Ok((_, mut log, mut secret, _)) = players.get_mut(player) {
            log.done.push(*id);
            secret.0 += 1;
            if id.is_multiple_of(3) {
                whispers.player(player, Whisper(*id));
                log.whispered.push(*id);
            }
            match id % 5 {
                0 => drop(commands.spawn((Spark { by: player, left: 20 }, Place::default()))),
                1 => drop(commands.entity(player).insert(Team(id % 2))),
                2 => drop(
                    commands.spawn((Spark { by: player, left: 7 }, InGroups(vec![Group::Team(1)]))),
                ),
                _ => {}
            }
        }
    }
}

fn drift(mut places: Query<(&mut Place, &NetId)>, mut rng: ResMut<Rng>) {
    for (mut place, _) in places.iter_mut().sort::<&NetId>() {
        if rng.chance(0.3) {
            place.x = (place.x + rng.between(-1.0..1.0)).clamp(-100.0, 100.0);
        }
    }
}

fn fade(mut sparks: Query<(Entity, &mut Spark)>, mut commands: Commands) {
    for (entity, mut spark) in &mut sparks {
        spark.left -= 1;
        if spark.left == 0 {
            commands.entity(entity).despawn();
        }
    }
}
