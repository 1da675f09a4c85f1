//! The one order in which a game's systems run, and the groups of them that share a condition. It is
//! worked out once for a game; keys are the same in each of its schedules.

use std::collections::BTreeMap;

use bevy_ecs::change_detection::Tick;
use bevy_ecs::prelude::*;
use bevy_ecs::schedule::graph::Direction;
use bevy_ecs::schedule::{
    ConditionWithAccess, IntoScheduleConfigs, LogLevel, NodeId, ScheduleBuildSettings,
    ScheduleConfigs, ScheduleGraph, SystemKey, SystemSetKey,
};
use bevy_ecs::system::ScheduleSystem;

use crate::game::Game;

/// Systems one after the other, as they are written, also within tuples of them.
pub(crate) fn chained(
    mut systems: ScheduleConfigs<ScheduleSystem>,
) -> ScheduleConfigs<ScheduleSystem> {
    if let ScheduleConfigs::Configs { configs, .. } = &mut systems {
        *configs = std::mem::take(configs).into_iter().map(chained).collect();
    }
    systems.chain()
}

/// The order of a game's systems.
#[derive(Default)]
pub(crate) struct Order {
    steps: Vec<Step>,
    /// All groups with conditions, the outer before the inner ones.
    groups: Vec<SystemSetKey>,
}

/// One system's turn.
pub(crate) struct Step {
    pub(crate) system: SystemKey,
    /// Those of the groups in which it stands.
    pub(crate) groups: Vec<SystemSetKey>,
    pub(crate) name: String,
    /// How many conditions it has.
    conditions: usize,
}

impl Order {
    /// Checks that the order of systems is total, and works it out.
    pub(crate) fn of(game: &mut Game) -> Result<Self, String> {
        // Before `initialize`, which moves conditions out of the graph. Groups around others are made
        // before them.
        let sets = game.schedule.graph().system_sets.iter();
        let groups: Vec<_> =
            sets.filter(|(.., conditions)| !conditions.is_empty()).map(|(key, ..)| key).collect();
        let systems = game.schedule.graph().systems.iter();
        let conditions: BTreeMap<SystemKey, usize> =
            systems.map(|(key, _, conditions)| (key, conditions.len())).collect();
        game.schedule.set_build_settings(ScheduleBuildSettings {
            ambiguity_detection: LogLevel::Error,
            ..Default::default()
        });
        let (schedule, world) = (&mut game.schedule, &mut game.world);
        schedule.initialize(world).map_err(|e| {
            let text = e.to_string(schedule.graph(), world);
            format!(
                "its systems run as they are written; nothing may ask for another order: {text}"
            )
        })?;
        let systems = schedule.systems().map_err(|e| e.to_string())?;
        let step = |(system, known): (SystemKey, &ScheduleSystem)| {
            let around = groups_around(schedule.graph(), NodeId::System(system));
            let groups = groups.iter().copied().filter(|group| around.contains(group)).collect();
            let conditions = conditions.get(&system).copied().unwrap_or(0);
            Step { system, groups, name: known.name().to_string(), conditions }
        };
        Ok(Self { steps: systems.map(step).collect(), groups })
    }

    /// The systems, one after the other.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The names of the systems, in order, with the number of conditions of each.
    pub(crate) fn names(&self) -> String {
        let name = |step: &Step| format!("{} {}\n", step.name, step.conditions);
        self.steps.iter().map(name).collect()
    }

    /// When each system and each condition ran last, in a fixed order.
    pub(crate) fn last_runs(&self, graph: &ScheduleGraph) -> Vec<Tick> {
        let mut runs = Vec::new();
        let of = |all: Option<&[ConditionWithAccess]>, runs: &mut Vec<Tick>| {
            runs.extend(all.unwrap_or_default().iter().map(System::get_last_run));
        };
        for Step { system, .. } in &self.steps {
            of(graph.systems.get_conditions(*system), &mut runs);
            runs.extend(graph.systems.get(*system).map(System::get_last_run));
        }
        self.groups.iter().for_each(|key| of(graph.system_sets.get_conditions(*key), &mut runs));
        runs
    }

    /// Sets what [`Order::last_runs`] gave, in the same order, or what it gave of systems alone.
    pub(crate) fn set_last_runs<E>(
        &self,
        graph: &mut ScheduleGraph,
        conditions: bool,
        mut next: impl FnMut() -> Result<Tick, E>,
    ) -> Result<(), E> {
        for Step { system, .. } in &self.steps {
            let own = graph.systems.get_conditions_mut(*system).filter(|_| conditions);
            for condition in own.into_iter().flatten() {
                condition.set_last_run(next()?);
            }
            if let Some(system) = graph.systems.get_mut(*system) {
                system.set_last_run(next()?);
            }
        }
        for group in self.groups.iter().filter(|_| conditions) {
            for condition in graph.system_sets.get_conditions_mut(*group).into_iter().flatten() {
                condition.set_last_run(next()?);
            }
        }
        Ok(())
    }
}

/// The sets in which a node stands, by whatever way.
fn groups_around(graph: &ScheduleGraph, node: NodeId) -> Vec<SystemSetKey> {
    let (mut found, mut next) = (Vec::new(), vec![node]);
    while let Some(node) = next.pop() {
        for around in graph.hierarchy().graph().neighbors_directed(node, Direction::Incoming) {
            if let NodeId::Set(key) = around
                && !found.contains(&key)
            {
                found.push(key);
                next.push(around);
            }
        }
    }
    found
}
