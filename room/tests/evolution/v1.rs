//! A game as it was.

use std::time::Duration;

use referee_room::prelude::*;

#[derive(Component, Replicate)]
pub(crate) struct Health {
    pub(crate) percent: u8,
}

#[derive(Resource, Replicate)]
pub(crate) struct Purse {
    coins: u32,
    lost: u8,
}

impl Default for Purse {
    fn default() -> Self {
        Self { coins: 7, lost: 1 }
    }
}

#[derive(Replicate, Clone)]
pub(crate) struct Item {
    id: u32,
    #[field(max = 16)]
    name: String,
}

#[derive(Component, Replicate)]
pub(crate) struct Pack {
    #[field(max = 8)]
    items: Vec<Item>,
    first: Option<Item>,
    pair: [Item; 2],
}

#[derive(Replicate)]
pub(crate) enum State {
    #[allow(dead_code, reason = "no door is in it")]
    Broken,
    Open,
    Closed(u8),
}

#[derive(Component, Replicate)]
pub(crate) struct Door {
    state: State,
}

#[derive(Component, Replicate)]
pub(crate) struct Gone(u64);

#[derive(Component, Replicate)]
pub(crate) struct Bullet(u8);

#[derive(Component, Replicate)]
pub(crate) struct Points {
    at: Entity,
    gone: Entity,
}

#[derive(Component, Replicate)]
pub(crate) struct Wider {
    number: i8,
    float: f32,
    maybe: u8,
    bare: Inner,
    wrapped: u16,
}

#[derive(Replicate)]
pub(crate) struct Inner(u16);

#[derive(Replicate)]
pub(crate) struct Fuse {
    power: u8,
}

#[derive(Replicate)]
pub(crate) struct Forgotten(u32);

#[derive(Replicate)]
pub(crate) struct Dawn {
    hour: u8,
}

#[derive(Input, Default, Clone, Debug)]
pub(crate) struct Stick {
    pub(crate) x: Axis,
    pub(crate) fire: bool,
}

#[derive(Action)]
pub(crate) struct Wave;

#[derive(Action)]
pub(crate) struct Say(#[field(max = 64)] pub(crate) String);

#[derive(Resource, Replicate, Default)]
pub(crate) struct Heard {
    #[field(max = 8, of(max = 64))]
    pub(crate) said: Vec<String>,
    waves: u32,
}

pub(crate) fn game(game: &mut Game) {
    game.realtime(20).replicate::<Health>().replicate::<Purse>().replicate::<Pack>();
    game.replicate::<Door>().keep::<Gone>().replicate::<Bullet>().replicate::<Points>();
    game.replicate::<Wider>().keep::<Heard>().timer::<Forgotten>().timer::<Fuse>();
    game.alarm::<Dawn>().input::<Stick>().action::<Wave>().action::<Say>();
    game.on_start(begin);
    game.player(|_: Player| Gone(1));
    game.systems((aim, hear));
}

fn begin(
    mut commands: Commands,
    mut fuses: Timers<Fuse>,
    mut forgotten: Timers<Forgotten>,
    mut dawns: Alarms<Dawn>,
    mut storage: ResMut<Storage>,
) {
    let item = |id, name: &str| Item { id, name: name.into() };
    let (sword, axe) = (item(70_000, "sword"), item(7, "axe"));
    let items = vec![sword.clone(), axe.clone()];
    commands.spawn((
        Health { percent: 40 },
        Pack { items, first: Some(axe.clone()), pair: [axe, sword] },
        Wider { number: -5, float: 1.5, maybe: 6, bare: Inner(8), wrapped: 9 },
    ));
    commands.spawn((Door { state: State::Open }, Gone(2)));
    commands.spawn(Door { state: State::Closed(9) });
    commands.spawn(Bullet(3));
    fuses.after(Duration::from_secs(2), Fuse { power: 40 });
    forgotten.after(Duration::from_secs(2), Forgotten(1));
    dawns.after(Duration::from_secs(60), Dawn { hour: 6 });
    let _ = storage.set("kept", &1);
}

/// Points at the first player, and at what will be gone.
fn aim(
    players: Query<Entity, Added<Player>>,
    bullets: Query<Entity, With<Bullet>>,
    mut commands: Commands,
) {
    if let (Some(at), Ok(gone)) = (players.iter().next(), bullets.single()) {
        commands.spawn(Points { at, gone });
    }
}

fn hear(says: Actions<Say>, waves: Actions<Wave>, mut heard: ResMut<Heard>) {
    if !says.is_empty() || !waves.is_empty() {
        heard.said.extend(says.iter().map(|(_, say)| say.0.clone()));
        heard.waves += waves.len() as u32;
    }
}
