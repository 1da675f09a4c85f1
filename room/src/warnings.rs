//! What the author of a game should know of: values that do not fit, types that nobody registered, things
//! that are not shown as was meant. Each is told once.

use std::collections::{BTreeSet, VecDeque};

use referee_protocol::limits::{ENTITIES_MAX, SHOWN_MAX_BYTES};

use crate::room::Room;

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Warnings {
    waiting: VecDeque<String>,
    /// What was warned of, by name.
    told: BTreeSet<String>,
    /// How many archetypes of the world were looked at.
    pub(crate) archetypes: usize,
}

impl Room {
    /// Warns once when the room shows more than a client may know.
    pub(crate) fn note_unshown(&mut self) {
        if self.replication.has_unshown() {
            self.warn_once("unshown", || {
                format!(
                    "more than {ENTITIES_MAX} entities are shown, or what is shown takes more than \
                     {SHOWN_MAX_BYTES} bytes of a client's memory; the rest is sent to nobody: keep what \
                     clients need not see out of sight, with `keep` or `InGroups`"
                )
            });
        }
    }

    /// Counts values that did not fit what their type declares, and names each type once.
    pub(crate) fn note_clamped(&mut self) {
        for (name, count) in self.replication.take_clamped() {
            self.counters.clamped_values += u64::from(count);
            self.warn_once(&name, || {
                format!(
                    "{name}: a value does not fit what its type declares (a range, a maximum, a finite \
                     number), and is clamped or cut for clients; widen the type or mend the value"
                )
            });
        }
    }

    /// Names components and resources that somebody put into the world and nobody registered.
    pub(crate) fn note_unregistered(&mut self) {
        let archetypes = self.game.world.archetypes();
        if archetypes.len() == self.warnings.archetypes {
            return;
        }
        let known = |id| self.game.components.iter().any(|row| row.id == id);
        let ids = archetypes.iter().skip(self.warnings.archetypes).flat_map(|a| a.components());
        let mut foreign: Vec<String> = ids
            .filter(|id| !known(**id))
            .filter_map(|id| self.game.world.components().get_name(*id))
            .filter(|name| !name.starts_with("bevy_ecs::") && !name.starts_with("referee_room::"))
            .map(|name| name.to_string())
            .collect();
        self.warnings.archetypes = archetypes.len();
        foreign.sort();
        foreign.dedup();
        for name in foreign {
            let short = name.rsplit("::").next().unwrap_or(&name).to_owned();
            self.warn_once(&name, || {
                format!(
                    "{short}: it is in the world but not registered: it is sent to nobody, and lost when \
                     the room is rebuilt or restored; add .replicate::<{short}>() or .keep::<{short}>()"
                )
            });
        }
    }

    fn warn_once(&mut self, name: &str, warning: impl FnOnce() -> String) {
        if self.warnings.told.insert(name.to_owned()) {
            self.warnings.waiting.push_back(warning());
        }
    }

    /// The next thing the game's author should know of: each is told once.
    pub fn take_warning(&mut self) -> Option<String> {
        self.warnings.waiting.pop_front()
    }
}
