//! What became of it.

use referee_room::prelude::*;

use super::v1;

/// By a function.
#[derive(Component, Replicate)]
pub(crate) struct Health {
    points: f32,
    most: f32,
}

/// Renamed, with a renamed field, one that is gone, and two new ones.
#[derive(Resource, Replicate, Default)]
#[was("Purse")]
pub(crate) struct Treasure {
    #[was("coins")]
    gold: u32,
    silver: u32,
    #[field(default = 3)]
    gems: u8,
}

/// New.
#[derive(Resource, Replicate)]
pub(crate) struct Weather {
    wind: f32,
}

impl Default for Weather {
    fn default() -> Self {
        Self { wind: 2.5 }
    }
}

/// In another order, with a new field and a renamed one.
#[derive(Replicate)]
pub(crate) struct Item {
    #[field(max = 24)]
    name: String,
    #[field(default = 1.5)]
    weight: f32,
    #[was("id")]
    number: u64,
}

#[derive(Component, Replicate)]
pub(crate) struct Pack {
    first: Option<Item>,
    #[field(max = 9)]
    items: Vec<Item>,
    pair: [Item; 2],
    other: Option<Entity>,
}

#[derive(Replicate)]
pub(crate) enum State {
    Open,
    New,
    #[was("Closed")]
    Locked {
        #[was("0")]
        code: u16,
        #[field(default = 3)]
        tries: u8,
    },
}

#[derive(Component, Replicate)]
pub(crate) struct Door {
    state: State,
}

#[derive(Component, Replicate)]
pub(crate) struct Points {
    at: Entity,
    gone: Entity,
}

#[derive(Component, Replicate)]
pub(crate) struct Wider {
    number: i32,
    float: f64,
    maybe: Option<u8>,
    bare: u16,
    wrapped: Wrapped,
}

#[derive(Replicate)]
pub(crate) struct Wrapped(u16);

#[derive(Replicate)]
#[was("Fuse")]
pub(crate) struct Bell {
    power: u32,
}

#[derive(Replicate)]
pub(crate) struct Later(u8);

#[derive(Replicate)]
pub(crate) struct Dawn {
    #[was("hour")]
    at: u16,
}

#[derive(Input, Default, Clone, Debug)]
#[was("Stick")]
pub(crate) struct Pad {
    pub(crate) jump: bool,
    pub(crate) fire: bool,
    pub(crate) x: Axis,
}

#[derive(Input, Clone)]
pub(crate) struct Aim {
    pub(crate) at: u8,
}

impl Default for Aim {
    fn default() -> Self {
        Self { at: 4 }
    }
}

#[derive(Action)]
pub(crate) struct Say {
    #[field(default = true)]
    pub(crate) loud: bool,
    #[field(max = 80)]
    #[was("0")]
    pub(crate) text: String,
}

#[derive(Resource, Replicate, Default)]
pub(crate) struct Heard {
    #[field(max = 8, of(max = 80))]
    pub(crate) said: Vec<String>,
    pub(crate) loud: u32,
}

#[derive(Resource, Replicate, Default, PartialEq, Debug)]
pub(crate) struct Rung {
    pub(crate) bells: u32,
    pub(crate) dawns: u32,
}

pub(crate) fn game(game: &mut Game) {
    game.realtime(20).replicate::<Weather>().input::<Aim>().replicate::<Treasure>();
    game.replicate::<Door>().replicate::<Pack>().replicate::<Health>().replicate::<Points>();
    game.replicate::<Wider>().keep::<Heard>().replicate::<Rung>().timer::<Later>();
    game.timer::<Bell>().alarm::<Dawn>().action::<Say>().input::<Pad>();
    game.migrate(|old: v1::Health| Health { points: f32::from(old.percent) / 2.0, most: 50.0 });
    game.systems((hear, ring, || {}, |_: Res<Storage>| {}));
}

fn hear(says: Actions<Say>, mut heard: ResMut<Heard>) {
    for (_, say) in &says {
        heard.said.push(say.text.clone());
        heard.loud += u32::from(say.loud);
    }
}

fn ring(bells: Due<Bell>, later: Due<Later>, dawns: Due<Dawn>, mut rung: ResMut<Rung>) {
    if !bells.is_empty() || !dawns.is_empty() || !later.is_empty() {
        rung.bells += bells.iter().map(|bell| bell.power).sum::<u32>();
        rung.bells += later.iter().map(|later| u32::from(later.0)).sum::<u32>();
        rung.dawns += dawns.iter().map(|dawn| u32::from(dawn.at)).sum::<u32>();
    }
}
