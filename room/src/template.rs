//! A game, checked once at start-up. What is the same in each of its rooms is worked out here: the
//! schema, and the total order of its systems.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bevy_ecs::prelude::*;
use referee_protocol::{Kind, Schema};

use crate::alarms::Wall;
use crate::codecs::{Codecs, Lent};
use crate::core::{Core, Setup};
use crate::errors::panic_text;
use crate::evolve::Migration;
use crate::game::{Durability, Game};
use crate::layout::Types;
use crate::order::Order;
use crate::params::{Rulings, Time};
use crate::random::Rng;
use crate::reuse::{self, Memory, put};
use crate::rows::Shared;
use crate::snapshot::{SNAPSHOT_VERSION, can_be_made};
use crate::storage::Storage;

/// Why a game cannot be hosted: every problem found, each naming its culprit and the way out.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the game {game} cannot be hosted:\n  {}", problems.join("\n  "))]
pub struct GameError {
    /// The game.
    pub game: String,
    /// The problems.
    pub problems: Vec<String>,
}

/// Types that are told once they are on disk, in a game where that is no question of types.
fn gates_for_nothing(game: &Game) -> Option<String> {
    let values = game.components.iter().filter(|row| row.gated).map(|row| &row.name);
    let events = game.events.iter().filter(|row| row.gated).map(|row| &row.name);
    let name = values.chain(events).next()?;
    let (kind, durability) = (game.rules.kind, game.rules.durability);
    (kind != Kind::Realtime || durability != Durability::Logged).then(|| {
        format!(
            "gate::<{name}>: only a realtime game that is logged() gates single types; call .gated() for \
             all of a game, or leave it out"
        )
    })
}

/// Components that move by one which clients do not get.
fn without_velocity(game: &Game) -> Vec<String> {
    let sent = |name: &String| {
        game.components.iter().any(|row| row.name == *name && row.sent.is_some() && !row.resource)
    };
    let movers = game.components.iter().filter(|row| row.sent.is_some());
    let lost = movers.filter_map(|row| Some((&row.name, row.moves_by.as_ref()?)));
    let lost = lost.filter(|(_, by)| !sent(by));
    lost.map(|(name, by)| {
        format!("{name} moves by {by}, which no client gets: add .replicate::<{by}>()")
    })
    .collect()
}

/// A game, checked: what is the same in each of its rooms.
pub struct Template {
    name: String,
    function: Box<dyn Fn(&mut Game) + Send + Sync>,
    order: Order,
    schema: Schema,
    schema_bytes: Arc<[u8]>,
    schema_hash: u64,
    types: Types,
    type_bytes: Arc<[u8]>,
    migrations: Vec<Migration>,
    stale_tables: bool,
    durability: Durability,
    /// A system or a hook takes the storage.
    storage: bool,
    alarms: bool,
    codecs: Codecs,
    shared: Shared,
    keeps_sets: bool,
}

impl Template {
    /// Runs the game function once and checks what it registered.
    ///
    /// # Errors
    /// Names everything that is wrong with the game.
    pub fn new(
        name: &str,
        function: impl Fn(&mut Game) + Send + Sync + 'static,
    ) -> Result<Arc<Self>, GameError> {
        let registered = catch_unwind(AssertUnwindSafe(|| {
            let mut game = Game::new();
            fill(&function, &mut game, Core::blank());
            let mut problems = std::mem::take(&mut game.problems);
            let order = Order::of(&mut game).unwrap_or_else(|problem| {
                problems.push(problem);
                Order::default()
            });
            initialize_hooks(&mut game);
            let keeps_sets = catch_unwind(AssertUnwindSafe(|| can_be_made(&game)));
            if game.world.components().component_id::<Storage>().is_some() {
                game.add_storage();
            }
            let types = Types::of(&game);
            problems.extend(types.problems());
            let checks = game.migrations.iter_mut().map(Migration::check);
            problems.extend(checks.filter_map(Result::err));
            (game, problems, order, types, keeps_sets.unwrap_or(false))
        }));
        let (mut game, mut problems, order, types, keeps_sets) =
            registered.map_err(|panic| GameError {
                game: name.to_owned(),
                problems: vec![format!("it panics while it registers: {}", panic_text(&*panic))],
            })?;
        problems.extend(unregistered(&mut game));
        let migrations = std::mem::take(&mut game.migrations);
        problems.extend(same_names(&game));
        problems.extend(without_velocity(&game));
        problems.extend(gates_for_nothing(&game));
        let mut schema = game.schema();
        let stale_tables = !referee_protocol::codec::fit(&schema);
        if stale_tables {
            schema.tables.clear();
        }
        problems.extend(schema.check().err().map(|e| e.to_string()));
        if !problems.is_empty() {
            return Err(GameError { game: name.to_owned(), problems });
        }
        let schema_bytes: Arc<[u8]> = schema.encode().into();
        let schema_hash = schema.hash();
        let systems = order.names();
        // How a rebuild goes is part of what a room does.
        let runs = format!("{systems}{} {SNAPSHOT_VERSION}", game.rules.snapshot_ticks());
        let type_bytes = types.encode(&runs).into();
        let (name, function) = (name.to_owned(), Box::new(function));
        Ok(Arc::new(Self {
            name,
            function,
            order,
            schema,
            schema_bytes,
            schema_hash,
            types,
            type_bytes,
            migrations,
            stale_tables,
            durability: game.rules.durability,
            alarms: !game.alarms.is_empty(),
            codecs: Codecs::default(),
            shared: Shared::of(&game),
            keeps_sets,
            storage: game.world.contains_resource::<Storage>(),
        }))
    }

    /// The name it is hosted under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its clients must know.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// What is not as its author meant it, though it can be hosted: each line says what to do.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let stale = "its tables were made for other types than it has now, and are left out: make \
                     them anew with `cargo xtask train`";
        self.stale_tables.then(|| format!("the game {}: {stale}", self.name)).into_iter().collect()
    }

    /// Tools for one of its rooms while that makes frames; `hz` is 0 for a turn-based one.
    pub(crate) fn lend_tools(&self, hz: u16) -> Lent<'_> {
        self.codecs.lend(&self.schema, hz)
    }

    /// The schema as it travels, shared.
    #[must_use]
    pub fn schema_bytes(&self) -> &Arc<[u8]> {
        &self.schema_bytes
    }

    /// The hash of [`Template::schema_bytes`].
    #[must_use]
    pub fn schema_hash(&self) -> u64 {
        self.schema_hash
    }

    /// What tells of the game's build and of how its types lie, for [`Create`](crate::entry::Create): with it
    /// another version of the game can read what was done in a room of this one. Versions with the same
    /// bytes have the same types, systems of the same names, and rebuild their rooms as often.
    #[must_use]
    pub fn type_bytes(&self) -> &Arc<[u8]> {
        &self.type_bytes
    }

    /// Its types.
    pub(crate) fn types(&self) -> &Types {
        &self.types
    }

    /// How values of earlier versions become present ones.
    pub(crate) fn migrations(&self) -> &[Migration] {
        &self.migrations
    }

    /// What a crash may cost its rooms.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// Realtime or turn-based.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.schema.kind
    }

    /// Whether it has alarms: then its rooms are to be told the time.
    #[must_use]
    pub fn has_alarms(&self) -> bool {
        self.alarms
    }

    /// The one order in which the systems run.
    pub(crate) fn order(&self) -> &Order {
        &self.order
    }

    /// Whether its rooms know which sets of components there were (`snapshot/sets.rs`).
    pub(crate) fn keeps_sets(&self) -> bool {
        self.keeps_sets
    }

    /// A game filled for one room, without state, in a new world. It has a storage where a system takes it,
    /// or where there is something to be `kept` in it.
    pub(crate) fn build(&self, kept: bool) -> Game {
        let mut game = Game::new();
        self.fill(&mut game, Core::blank(), kept);
        game.archetypes = game.world.archetypes().len();
        game
    }

    /// The same, in the world that a room had until now.
    pub(crate) fn build_again(&self, game: &mut Game, kept: bool) {
        let Memory { core, actions } = reuse::empty(game);
        self.fill(game, core, kept);
        actions.into_iter().for_each(|put_back| put_back(&mut game.world));
    }

    fn fill(&self, game: &mut Game, core: Core, kept: bool) {
        fill(&self.function, game, core);
        if self.storage || kept {
            game.add_storage();
        }
        self.shared.share(game);
    }

    /// Makes systems and hooks ready to run: once the state is there, so that their queries find all that is
    /// in it now, and not in the first tick.
    pub(crate) fn initialize(&self, game: &mut Game) {
        // Building the graph would take four times as long; the order is known already.
        let graph = game.schedule.graph_mut();
        graph.systems.initialize(&mut game.world);
        graph.system_sets.initialize(&mut game.world);
        // What orders them is of no use to a room any more.
        let mut schedule = Schedule::default();
        schedule.graph_mut().systems = std::mem::take(&mut graph.systems);
        schedule.graph_mut().system_sets = std::mem::take(&mut graph.system_sets);
        game.schedule = schedule;
        initialize_hooks(game);
    }
}

/// Registers everything, in a world without entities.
fn fill(function: &dyn Fn(&mut Game), game: &mut Game, core: Core) {
    put(&mut game.world, core);
    game.register_own();
    function(game);
    let rules = &game.rules;
    let setup = Setup { seats: rules.seats, hz: rules.hz, public: false, whole_map: false };
    // Only `on_create` has it as a resource. No room has then sets of components that others have not.
    put(&mut game.world, setup.clone());
    game.world.remove_resource::<Setup>();
    game.world.resource_mut::<Core>().setup = setup;
    put(&mut game.world, Rulings::default());
    put(&mut game.world, Rng::new([0; 32]));
    let time = Time {
        tick: referee_protocol::Tick(0),
        before: referee_protocol::Tick(0),
        delta: 0.0,
        kind: game.rules.kind,
        hz: game.rules.hz,
        public_seed: 0,
        wall: Wall::default(),
    };
    put(&mut game.world, time);
    crate::errors::install(&mut game.world);
}

fn initialize_hooks(game: &mut Game) {
    let (hooks, world) = (&mut game.hooks, &mut game.world);
    hooks.player.iter_mut().for_each(|hook| hook.initialize(world));
    hooks.on_create.iter_mut().for_each(|hook| hook.initialize(world));
    hooks.on_start.iter_mut().for_each(|hook| hook.initialize(world));
    hooks.on_join.iter_mut().for_each(|hook| hook.initialize(world));
    for hook in [&mut hooks.on_drop, &mut hooks.on_resume, &mut hooks.on_leave] {
        hook.iter_mut().for_each(|hook| hook.initialize(world));
    }
    hooks.on_stop.iter_mut().for_each(|hook| hook.initialize(world));
    hooks.on_request.iter_mut().for_each(|hook| hook.initialize(world));
}

/// Components and resources that systems use and nobody registered: a rebuild would lose them.
fn unregistered(game: &mut Game) -> Vec<String> {
    let world = &game.world;
    let mut found = Vec::new();
    for (id, info) in world.components().iter_registered() {
        let name = info.name().to_string();
        let known = game.components.iter().any(|row| row.id == id);
        let there = world.resource_entities().get(id).is_some();
        let ours = name.starts_with("referee_room::") && (there || !name.contains('<'));
        let told = game.failed.iter().any(|failed| name.contains(failed));
        if known || ours || told || name.starts_with("bevy_ecs::") {
            continue;
        }
        found.push(missing(&name));
    }
    found.sort();
    found
}

/// What to write for a type that is used and not registered.
fn missing(name: &str) -> String {
    let inner = |wrapper: &str| {
        let start = name.find(wrapper)? + wrapper.len();
        let end = name.rfind('>')?;
        let full = name.get(start..end)?;
        Some(full.rsplit("::").next().unwrap_or(full).to_owned())
    };
    for (wrapper, param, call) in [
        ("ActionQueue<", "Actions", "action"),
        ("Outbox<", "Events", "event"),
        ("TimerQueue<", "Timers", "timer"),
        ("AlarmQueue<", "Alarms", "alarm"),
        ("DueNow<", "Due", "timer"),
    ] {
        if let Some(of) = inner(wrapper) {
            return format!(
                "{of}: a system uses {param}<{of}>; register it with .{call}::<{of}>()"
            );
        }
    }
    let short = name.rsplit("::").next().unwrap_or(name);
    format!(
        "{short}: a system uses it, but it is not registered, so a rebuild would lose it; add \
         .replicate::<{short}>() or .keep::<{short}>(), or .input::<{short}>() where players send it"
    )
}

/// Two types of one name could not be told apart on the wire and on disk.
fn same_names(game: &Game) -> Vec<String> {
    let mut seen: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    let components = game.components.iter().map(|row| ("component or resource", &row.name[..]));
    let actions = game.actions.iter().map(|row| ("action", &row.name[..]));
    let events = game.events.iter().map(|row| ("event", &row.name[..]));
    let timers = game.timers.iter().map(|row| ("timer", &row.name[..]));
    let alarms = game.alarms.iter().map(|row| ("alarm", &row.name[..]));
    for key in components.chain(actions).chain(events).chain(timers).chain(alarms) {
        *seen.entry(key).or_default() += 1;
    }
    let twice = seen.into_iter().filter(|(_, count)| *count > 1);
    twice
        .map(|((what, name), n)| format!("{name}: {n} types of this name are a {what}; rename one"))
        .collect()
}
