//! The components every game has: players, owners, teams, groups, and the entity's identity.

use std::collections::BTreeMap;

use bevy_ecs::lifecycle::HookContext;
use bevy_ecs::prelude::*;
use bevy_ecs::system::SystemInput;
use bevy_ecs::world::DeferredWorld;
use referee_protocol::limits::PLAYER_NAME_MAX_BYTES;
use referee_protocol::schema::{FieldType, Member};
use referee_protocol::{Group, Seat, Tick};

use crate::core::Core;
use crate::field::{
    Audience, Bearer, Field, Hints, LoadError, Loader, Quantiser, Replicate, Saver, Words,
};
use crate::layout::{Layout, Part};

/// A player. Every seat has an entity with this component, which everyone sees; it goes when the
/// seat does. Hooks take it as their input: `|player: Player| ..`.
#[derive(Component, Clone, PartialEq, Eq, Debug)]
pub struct Player {
    /// The player's seat.
    pub seat: Seat,
    /// The player's name, at most 64 bytes.
    pub name: String,
    /// Whether a client is connected in the seat.
    pub connected: bool,
    /// The player's entity. In `on_join` there is none yet: `Entity::PLACEHOLDER`.
    pub entity: Entity,
}

impl SystemInput for Player {
    type Param<'i> = Self;
    type Inner<'i> = Self;

    fn wrap(this: Self::Inner<'_>) -> Self::Param<'_> {
        this
    }
}

impl Field for Player {
    fn shape(_: &Hints) -> Result<FieldType, String> {
        let member = |name: &str, ty| Member { name: name.to_owned(), ty };
        let name = FieldType::String { max: PLAYER_NAME_MAX_BYTES as u32 };
        Ok(FieldType::Struct {
            fields: vec![
                member("seat", u16::shape(&Hints::default())?),
                member("name", name),
                member("connected", FieldType::Bool),
            ],
        })
    }

    fn quantise(&self, ty: &FieldType, out: &mut Quantiser<'_>) {
        self.seat.0.quantise(crate::field::part(ty, 0), out);
        self.name.quantise(crate::field::part(ty, 1), out);
        self.connected.quantise(crate::field::part(ty, 2), out);
    }

    fn restore(_: &FieldType, _: &mut Words<'_>) -> Option<Self> {
        None // no client says who a player is
    }

    fn save(&self, out: &mut Saver<'_>) {
        self.seat.0.save(out);
        self.name.save(out);
        self.connected.save(out);
        self.entity.save(out);
    }

    fn load(from: &mut Loader<'_>) -> Result<Self, LoadError> {
        Ok(Self {
            seat: Seat(u16::load(from)?),
            name: String::load(from)?,
            connected: bool::load(from)?,
            entity: Entity::load(from)?,
        })
    }

    fn layout() -> Layout {
        Layout::Struct(vec![
            Part::new("seat", u16::layout()),
            Part::new("name", Layout::Text),
            Part::new("connected", Layout::Bool),
            Part::new("entity", Layout::Entity),
        ])
    }
}

impl Replicate for Player {
    fn audience() -> Audience {
        Audience::Everyone
    }

    fn bearer() -> Bearer {
        Bearer::Component
    }
}

/// A seat in a game's own types, as the number it has in [`Player`].
impl Field for Seat {
    fn shape(hints: &Hints) -> Result<FieldType, String> {
        u16::shape(hints)
    }

    fn quantise(&self, ty: &FieldType, out: &mut Quantiser<'_>) {
        self.0.quantise(ty, out);
    }

    fn restore(ty: &FieldType, from: &mut Words<'_>) -> Option<Self> {
        u16::restore(ty, from).map(Self)
    }

    fn save(&self, out: &mut Saver<'_>) {
        self.0.save(out);
    }

    fn load(from: &mut Loader<'_>) -> Result<Self, LoadError> {
        u16::load(from).map(Self)
    }

    fn layout() -> Layout {
        u16::layout()
    }
}

/// A tick in a game's own types: until when something lasts.
impl Field for Tick {
    fn shape(hints: &Hints) -> Result<FieldType, String> {
        u64::shape(hints)
    }

    fn quantise(&self, ty: &FieldType, out: &mut Quantiser<'_>) {
        self.0.quantise(ty, out);
    }

    fn restore(ty: &FieldType, from: &mut Words<'_>) -> Option<Self> {
        u64::restore(ty, from).map(Self)
    }

    fn save(&self, out: &mut Saver<'_>) {
        self.0.save(out);
    }

    fn load(from: &mut Loader<'_>) -> Result<Self, LoadError> {
        u64::load(from).map(Self)
    }

    fn layout() -> Layout {
        u64::layout()
    }
}

/// What a player's token said of it, on the player's entity. Kept, never sent.
#[derive(Component, Clone, PartialEq, Eq, Debug, Default)]
pub struct Attributes(pub BTreeMap<String, String>);

/// Whose an entity is: who sees its components that are `#[replicate(to = owner)]`. A player's entity
/// owns itself without it. When a seat is free again, what its player owned is [`Seat::NOBODY`]'s: seen by
/// nobody, until the game gives it away or takes it out (`on_leave` comes before that).
#[derive(Component, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owner(pub Seat);

/// The team an entity belongs to: who sees its components that are `#[replicate(to = team)]`. On a
/// player's entity, the team the player sees with.
#[derive(Component, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Team(pub u32);

/// Groups an entity is in, instead of what its types' own `to` says: nobody else sees it.
/// A player's own group is taken out of it when that player's seat is free again.
#[derive(Component, Clone, PartialEq, Eq, Debug, Default)]
pub struct InGroups(pub Vec<Group>);

/// Groups a player sees beside everyone's, its team's and its own: on the player's entity. No more
/// than 61 of them count.
#[derive(Component, Clone, PartialEq, Eq, Debug, Default)]
pub struct Sees(pub Vec<Group>);

/// A component that is kept and never sent, written by hand because only rooms use it.
macro_rules! kept {
    ($name:ident, $layout:expr, |$value:ident, $out:ident| $save:expr, |$from:ident| $load:expr) => {
        impl Field for $name {
            fn shape(_: &Hints) -> Result<FieldType, String> {
                Ok(FieldType::Unit)
            }

            fn quantise(&self, _: &FieldType, _: &mut Quantiser<'_>) {}

            fn restore(_: &FieldType, _: &mut Words<'_>) -> Option<Self> {
                None
            }

            fn save(&self, $out: &mut Saver<'_>) {
                let $value = self;
                $save
            }

            fn load($from: &mut Loader<'_>) -> Result<Self, LoadError> {
                $load
            }

            fn layout() -> Layout {
                $layout
            }
        }

        impl Replicate for $name {
            fn audience() -> Audience {
                Audience::Everyone
            }

            fn bearer() -> Bearer {
                Bearer::Component
            }
        }
    };
}

kept!(
    Attributes,
    Layout::List(Box::new(Layout::tuple([Layout::Text, Layout::Text]))),
    |value, out| {
        out.varint(value.0.len() as u64);
        for (key, text) in &value.0 {
            key.save(out);
            text.save(out);
        }
    },
    |from| {
        let count = from.count()?;
        let pair = |from: &mut Loader<'_>| Ok((String::load(from)?, String::load(from)?));
        (0..count).map(|_| pair(from)).collect::<Result<_, _>>().map(Self)
    }
);
kept!(Owner, u16::layout(), |value, out| value.0.0.save(out), |from| Ok(Self(Seat(u16::load(
    from
)?))));
kept!(Team, u32::layout(), |value, out| value.0.save(out), |from| Ok(Self(u32::load(from)?)));
kept!(InGroups, groups_layout(), |value, out| save_groups(&value.0, out), |from| load_groups(from)
    .map(Self));
kept!(Sees, groups_layout(), |value, out| save_groups(&value.0, out), |from| load_groups(from)
    .map(Self));

fn groups_layout() -> Layout {
    Layout::List(Box::new(Layout::Number))
}

fn save_groups(groups: &[Group], out: &mut Saver<'_>) {
    out.varint(groups.len() as u64);
    groups.iter().for_each(|group| out.varint(group.number()));
}

fn load_groups(from: &mut Loader<'_>) -> Result<Vec<Group>, LoadError> {
    let count = from.count()?;
    (0..count).map(|_| Group::from_number(from.varint()?).ok_or(LoadError::Number)).collect()
}

/// An entity's identity inside a room: on disk, in hashes, and to sort by. It never leaves the room.
/// bevy's `Entity` is only a handle inside one `World`. To sort a query by it, the query must fetch it:
/// `Query<(&Position, &NetId)>`, then `.iter().sort::<&NetId>()`.
#[derive(Component, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
#[component(on_add = NetId::added, on_remove = NetId::removed)]
pub struct NetId(pub(crate) u32);

impl NetId {
    /// The number: 1, 2, 3 .. in the order of spawning.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }

    fn added(mut world: DeferredWorld<'_>, context: HookContext) {
        let given = world.get::<Self>(context.entity).map_or(0, |id| id.0);
        let Some(mut core) = world.get_resource_mut::<Core>() else { return };
        // A restored entity brings its number along; a new one gets the next.
        let id = if given == 0 { core.next_net_id() } else { given };
        core.index.insert(id, context.entity);
        if let Some(mut net_id) = world.get_mut::<Self>(context.entity) {
            net_id.0 = id;
        }
    }

    fn removed(mut world: DeferredWorld<'_>, context: HookContext) {
        let Some(id) = world.get::<Self>(context.entity).map(|id| id.0) else { return };
        if let Some(mut core) = world.get_resource_mut::<Core>() {
            core.index.remove(id);
            core.gone.push(id);
        }
    }
}

/// One axis of a stick: -1 to 1, in 254 steps on the wire.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug, Default)]
pub struct Axis(pub f32);

/// A direction in radians, 0 to 2 pi, in 256 steps on the wire.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug, Default)]
pub struct Angle(pub f32);

macro_rules! stepped {
    ($name:ident, $hints:expr) => {
        impl Field for $name {
            fn shape(hints: &Hints) -> Result<FieldType, String> {
                f32::shape(&hints.clone().or(&$hints))
            }

            fn quantise(&self, ty: &FieldType, out: &mut Quantiser<'_>) {
                self.0.quantise(ty, out);
            }

            fn restore(ty: &FieldType, from: &mut Words<'_>) -> Option<Self> {
                f32::restore(ty, from).map(Self)
            }

            fn save(&self, out: &mut Saver<'_>) {
                self.0.save(out);
            }

            fn load(from: &mut Loader<'_>) -> Result<Self, LoadError> {
                f32::load(from).map(Self)
            }

            fn layout() -> Layout {
                Layout::F32
            }
        }
    };
}

stepped!(Axis, Hints::default().range(-1.0, 1.0).step(1.0 / 127.0));
stepped!(
    Angle,
    Hints::default().range(0.0, std::f64::consts::TAU).step(std::f64::consts::TAU / 256.0).wraps()
);
