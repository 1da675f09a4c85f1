//! Everything a game author needs, in one line: `use referee::prelude::*;`.

pub use crate::alarms::Alarms;
pub use crate::commands::Commands;
pub use crate::conditions::{Match, ended, every, started};
pub use crate::core::Setup;
pub use crate::game::{Game, LateJoin};
pub use crate::hooks::{Join, Params, Reply, Request};
pub use crate::params::{Actions, Due, Events, Referee, Time, Timers};
pub use crate::parts::{Until, Velocity};
pub use crate::plane::{Met, Near, Tiles};
pub use crate::random::{Draw as _, Rng, SharedRng};
pub use crate::storage::{Storage, StorageError};
pub use crate::types::{Angle, Attributes, Axis, InGroups, NetId, Owner, Player, Sees, Team};
pub use bevy_ecs::error::{BevyError, Result};
pub use bevy_ecs::prelude::{
    Added, Bundle, Changed, Component, DetectChanges, DetectChangesMut, Entity, Has,
    IntoScheduleConfigs, IntoSystem, Mut, Or, Populated, Query, Ref, Res, ResMut, Resource, Single,
    SystemCondition, With, Without, World,
};
pub use bevy_ecs::schedule::common_conditions::not;
pub use bevy_ecs::world::EntityRef;
pub use glam::{self, Quat, Vec2, Vec3};
pub use referee_macros::{Action, Event, Input, Replicate};
pub use referee_protocol::{Group, Seat, Tick};
pub use serde::{self, Deserialize, Serialize};
pub use serde_json::{self, Value, json};
pub use std::time::Duration;

// The derives expand to these names.
#[doc(hidden)]
pub use crate as referee_room;
#[doc(hidden)]
pub use bevy_ecs;
