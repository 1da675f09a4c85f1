//! What the simulation alone carries: rooms in this process, driven by blind bots without sockets. What
//! a room sends is made and thrown away, and acknowledged at once. No journal is written.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use referee::room::entry::{Create, Join};
use referee::room::output::{Frame, Joined, Output};
use referee::room::room::Link;
use referee::room::{Entry, Room, Template};
use referee_client::bot::{Bot, Say};
use referee_protocol::frame::{Ack, EventsFrame, Lane, lane};
use referee_protocol::{LinkId, Seat, SessionId, Tick};

use super::search::{Outcome, Search};
use super::{Bounds, Capacity, Level, Scaling, Setting, Simulated};
use crate::html::number::ms;
use crate::light::{KnownSchema, payload};
use crate::load::LoadError;
use crate::machine;
use crate::tally::Times;

/// Ticks that run before it is measured: rooms fill, memory is had.
const WARM_UP_TICKS: u64 = 40;
/// Rooms rebuild themselves every so many ticks. On a server they do not do so together, so here each has
/// run some more ticks than the one before, up to so many.
const STAGGERED_OVER: u64 = 60;
/// How often two threads are held against one. The best time counts: what else runs on the machine only
/// ever takes away.
const SCALING_TRIES: usize = 3;
/// How long two counting threads count.
const COUNTING: Duration = Duration::from_millis(500);
/// How near the round's p99 is to the period where a level is run again.
const NEAR: f64 = 0.05;

/// A search without sockets.
#[derive(Clone)]
pub struct NullTrial {
    /// What its rooms and bots are.
    pub simulated: Simulated,
    /// What it is told, as reports say it: game, players, params, inputs a second and seed are kept to.
    pub setting: Setting,
    /// Threads that each run so many rooms, at least 1.
    pub threads: usize,
    /// Rooms of the first level, over all threads.
    pub from: usize,
    /// The most rooms that are tried.
    pub most: usize,
    /// Of these window and precision.
    pub bounds: Bounds,
}

/// A player that sends what its bot says, and hears nothing.
struct Player {
    bot: Box<dyn Bot>,
    seat: Option<Seat>,
    sample: u64,
    action: u64,
    ack: Ack,
}

/// A room and its players.
struct Simulation {
    room: Room,
    players: Vec<Player>,
    /// Inputs come every so many ticks.
    every: u64,
    bytes: u64,
    /// Why a player was let go.
    let_go: Option<String>,
}

/// What a frame was, for who acknowledges it.
enum Heard {
    State,
    /// Events up to this number.
    Events(u64),
    Other,
}

fn heard(frame: &Frame) -> Heard {
    let first = frame.head.as_slice().first().copied();
    let first = first.or_else(|| frame.parts.first()?.first().copied());
    match first.and_then(lane) {
        Some(Lane::State) => Heard::State,
        Some(Lane::Events) => {
            let bytes = frame.to_vec();
            let told = EventsFrame::decode(&bytes[1..]).expect("a room's own frame is whole");
            Heard::Events((told.first + told.events.len() as u64).saturating_sub(1))
        }
        _ => Heard::Other,
    }
}

/// What one thread measured.
#[derive(Default)]
struct Measured {
    ticks: Times,
    rounds: Times,
    bytes: u64,
    count: u64,
    elapsed: Duration,
    cpu_us: u64,
}

impl Simulation {
    fn new(trial: &NullTrial, template: &Arc<Template>, number: u64) -> Result<Self, LoadError> {
        let wrong = |text: String| LoadError::Plan(text);
        let setting = &trial.setting;
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&(setting.seed ^ number << 20).to_le_bytes());
        let params = setting.params.clone().unwrap_or_default().into_bytes();
        let create = Create { params, seed, ..Create::default() };
        let room = Room::create(template, &create);
        let room = room.map_err(|error| wrong(format!("the game makes no room: {error}")))?;
        let hz = room.info().hz.ok_or_else(|| {
            wrong(format!(
                "{} is turn-based: without ticks there is no capacity of ticks",
                setting.game
            ))
        })?;
        let every = setting.hz.map_or(1, |wished| (f64::from(hz) / wished).round().max(1.0) as u64);
        let mut this = Self { room, players: Vec::new(), every, bytes: 0, let_go: None };
        for player in 0..setting.players as u64 {
            this.join(player, (trial.simulated.bot)(setting.seed ^ number << 20 ^ player << 8));
        }
        match this.players.iter().filter(|player| player.seat.is_none()).count() {
            0 => Ok(this),
            none => Err(wrong(format!(
                "{none} of {} players found no seat: take fewer --players, or rooms with more seats \
                 (--params)",
                setting.players
            ))),
        }
    }

    fn join(&mut self, number: u64, bot: Box<dyn Bot>) {
        let (session, link) = (SessionId(number + 1), LinkId(number + 1));
        let (sample, action, ack) = (0, 0, Ack::default());
        self.players.push(Player { bot, seat: None, sample, action, ack });
        self.room.link(link, Link::Open { session, resume: None });
        self.room.handle(Entry::Join(Join {
            session,
            name: format!("Bot {number}"),
            attributes: std::collections::BTreeMap::new(),
            generation: session.0,
            watch: false,
        }));
        self.tick();
    }

    /// What all players say, and a tick.
    fn turn(&mut self, schema: &KnownSchema) -> Result<(), LoadError> {
        if self.room.info().tick.0.is_multiple_of(self.every) {
            for player in &mut self.players {
                let (Some(seat), Some(say)) = (player.seat, player.bot.play_blind()) else {
                    continue;
                };
                let schema = &schema.schema;
                let entry = match say {
                    Say::Input(name, value) => {
                        player.sample += 1;
                        let payload = payload("input", &schema.inputs, name, &value);
                        let payload = payload.map_err(LoadError::Plan)?;
                        Entry::Input { seat, sample: player.sample, tick: Tick(0), payload }
                    }
                    Say::Action(name, value) => {
                        player.action += 1;
                        let payload = payload("action", &schema.actions, name, &value);
                        let payload = payload.map_err(LoadError::Plan)?;
                        Entry::Action { seat, number: player.action, payload }
                    }
                };
                self.room.handle(entry);
            }
        }
        self.tick();
        match self.let_go.take() {
            // A room that tells fewer players costs less than it would.
            Some(why) => Err(LoadError::Plan(format!("a room let a player go: {why}"))),
            None => Ok(()),
        }
    }

    fn tick(&mut self) {
        self.room.tick(Tick(self.room.info().tick.0 + 1));
        let mut acks = VecDeque::new();
        while let Some(output) = self.room.poll_output() {
            match output {
                Output::Joined { session, outcome: Joined::Seated { seat, last_event, .. } } => {
                    let player = &mut self.players[session.0 as usize - 1];
                    (player.seat, player.ack.event) = (Some(seat), last_event);
                }
                Output::Send { link, frame } => {
                    self.bytes += frame.len() as u64;
                    let player = &mut self.players[link.0 as usize - 1];
                    match heard(&frame) {
                        Heard::State => player.ack.frames += 1,
                        // A room keeps them until they are acknowledged, and lets go who never does.
                        Heard::Events(upto) => player.ack.event = upto,
                        Heard::Other => continue,
                    }
                    acks.push_back((link, player.ack));
                }
                Output::Disconnect { refusal, .. } => self.let_go = Some(refusal.to_string()),
                Output::Joined { .. } | Output::Reply { .. } | Output::Save(_) => {}
            }
        }
        acks.into_iter().for_each(|(link, ack)| self.room.link(link, Link::Ack(ack)));
    }
}

/// One thread's rooms, all of them tick after tick until the window is over.
fn run_rooms(
    trial: &NullTrial,
    (rooms, from): (usize, usize),
    window: Duration,
    ready: &Barrier,
) -> Result<Measured, LoadError> {
    // Of its own for each thread: nothing is shared that one might wait for.
    let warm = catch_unwind(AssertUnwindSafe(|| {
        let (mut simulations, schema) = simulations(trial, rooms, from)?;
        for (simulation, at) in simulations.iter_mut().zip(from as u64..) {
            let ticks = WARM_UP_TICKS + at % STAGGERED_OVER;
            (0..ticks).try_for_each(|_| simulation.turn(&schema))?;
        }
        Ok((simulations, schema))
    }));
    // All threads measure at the same time, also where one has nothing to, or its game panicked.
    ready.wait();
    let (mut simulations, schema) = warm.map_err(|_| panicked())??;
    let sent = |simulations: &[Simulation]| simulations.iter().map(|s| s.bytes).sum::<u64>();
    let before = sent(&simulations);
    let (begun, clock) = (Instant::now(), machine::ThreadClock::new());
    let since = clock.us();
    let mut measured = Measured::default();
    while begun.elapsed() < window {
        let round = clock.us();
        let mut last = Instant::now();
        for simulation in &mut simulations {
            simulation.turn(&schema)?;
            let now = Instant::now();
            measured.ticks.record((now - last).as_micros() as u64);
            last = now;
        }
        // Of the thread's own time: what others do on the machine is none of the simulation's.
        measured.rounds.record(clock.us() - round);
        measured.count += simulations.len() as u64;
    }
    measured.elapsed = begun.elapsed();
    measured.cpu_us = clock.us() - since;
    measured.bytes = sent(&simulations) - before;
    Ok(measured)
}

type Made = (Vec<Simulation>, Rc<KnownSchema>);

fn simulations(trial: &NullTrial, rooms: usize, from: usize) -> Result<Made, LoadError> {
    let template = template(trial)?;
    let schema = KnownSchema::read(template.schema_bytes());
    let schema =
        schema.ok_or_else(|| LoadError::Plan("the game's schema cannot be read".into()))?;
    let make = |number| Simulation::new(trial, &template, number as u64);
    Ok(((from..from + rooms).map(make).collect::<Result<_, _>>()?, schema))
}

fn template(trial: &NullTrial) -> Result<Arc<Template>, LoadError> {
    let game = Arc::clone(&trial.simulated.game);
    Template::new(&trial.setting.game, move |made| game(made))
        .map_err(|error| LoadError::Plan(error.to_string()))
}

/// So many rooms, spread over threads that measure at the same time.
fn measure(
    trial: &NullTrial,
    threads: usize,
    rooms: usize,
    window: Duration,
) -> Result<Vec<Measured>, LoadError> {
    let threads = threads.clamp(1, rooms.max(1));
    let ready = Barrier::new(threads);
    let share = |thread: usize| {
        let (from, upto) = (rooms * thread / threads, rooms * (thread + 1) / threads);
        (upto - from, from)
    };
    std::thread::scope(|scope| {
        let ready = &ready;
        let start = |thread| scope.spawn(move || run_rooms(trial, share(thread), window, ready));
        let running: Vec<_> = (0..threads).map(start).collect();
        running.into_iter().map(|thread| thread.join().map_err(|_| panicked())?).collect()
    })
}

fn panicked() -> LoadError {
    LoadError::Thread("a room panicked; its message is above".into())
}

/// Ticks in a second of the threads' own time.
fn ticks_per_cpu_s(measured: &[Measured]) -> f64 {
    let ticks: u64 = measured.iter().map(|m| m.count).sum();
    let us: u64 = measured.iter().map(|m| m.cpu_us).sum();
    ticks as f64 * 1e6 / us.max(1) as f64
}

fn ticks_per_s(measured: &[Measured]) -> f64 {
    measured.iter().map(|m| m.count as f64 / m.elapsed.as_secs_f64().max(1e-9)).sum()
}

/// How far a thread counts in a second while so many count, over all of them.
fn counting(threads: usize) -> f64 {
    let ready = Barrier::new(threads);
    let count = || {
        ready.wait();
        let (begun, mut n) = (Instant::now(), 0_u64);
        while begun.elapsed() < COUNTING {
            (0..1_000).for_each(|_| n = std::hint::black_box(n + 1));
        }
        n as f64 / begun.elapsed().as_secs_f64()
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(count)).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).sum()
    })
}

/// Searches for the most rooms of which a thread runs each once within a tick's period, at the p99 of
/// such rounds; blocks until it is done. `told` hears of each level.
///
/// # Errors
/// When the game has mistakes or no ticks, or its bots cannot play blind or find no seat.
pub fn null_capacity(
    trial: &NullTrial,
    mut told: impl FnMut(&Level),
) -> Result<Capacity, LoadError> {
    let wrong = |text: String| Err(LoadError::Plan(text));
    if trial.setting.players == 0 || trial.from == 0 || trial.most < trial.from {
        return wrong("--players and --from must be at least 1, and --most at least --from".into());
    }
    if (trial.simulated.bot)(1).play_blind().is_none() {
        let game = &trial.setting.game;
        return wrong(format!(
            "the bot of {game} cannot play blind, which --null needs: play_blind is none"
        ));
    }
    let hz = Simulation::new(trial, &template(trial)?, 0)?.room.info().hz.unwrap_or(1);
    let period_ms = 1_000.0 / f64::from(hz);
    let window = Duration::from_secs_f64(trial.bounds.window_s);
    let mut search = Search::new(trial.from, trial.most, trial.bounds.precision);
    let mut found = Capacity {
        kind: "capacity".into(),
        setting: Setting {
            transport: "none".into(),
            cores: Some(trial.threads.max(1)),
            machine_cores: std::thread::available_parallelism().map_or(1, usize::from),
            ..trial.setting.clone()
        },
        bounds: Bounds { p99_ms: period_ms, ..trial.bounds },
        tick_ms: Some(period_ms),
        ..Capacity::default()
    };
    while let Some(rooms) = search.next_level() {
        let measured = measure(trial, trial.threads, rooms, window)?;
        let level = level(trial, rooms, &measured, period_ms);
        told(&level);
        let near = (level.latency_ms.p99 - period_ms).abs() < period_ms * NEAR;
        search.tell(rooms, Outcome::Told { held: level.held, near });
        found.levels.push(level);
    }
    found.scaling = Some(scaling(trial, search.held().max(1), window)?);
    conclude(&mut found, &search, trial);
    Ok(found)
}

fn level(trial: &NullTrial, rooms: usize, measured: &[Measured], period_ms: f64) -> Level {
    let mut ticks = Times::default();
    measured.iter().for_each(|m| ticks.merge(&m.ticks));
    // The thread that is the slowest is the one that must keep up.
    let rounds = measured.iter().map(|m| m.rounds.spread()).max_by(|a, b| a.p99.total_cmp(&b.p99));
    let rounds = rounds.unwrap_or_default();
    let held = rounds.p99 <= period_ms;
    let why = format!(
        "a round of all rooms took {} at p99, the period is {}",
        ms(rounds.p99),
        ms(period_ms)
    );
    // At their own rate ticks would take this part of the time; they run without a pause here.
    let busy: f64 = measured.iter().map(|m| m.rounds.spread().mean / period_ms * 100.0).sum();
    let sent: u64 = measured.iter().map(|m| m.bytes).sum();
    let ran: u64 = measured.iter().map(|m| m.count).sum();
    let a_tick = sent as f64 / ran.max(1) as f64;
    Level {
        rooms,
        held,
        why: if held { String::new() } else { why },
        players: rooms * trial.setting.players,
        tick_p99_ms: Some(ticks.spread().p99),
        tick_mean_ms: Some(ticks.spread().mean),
        latency_ms: rounds,
        cpu_percent: Some(busy),
        bytes_per_s: a_tick * rooms as f64 * 1_000.0 / period_ms,
        rss_bytes: machine::rss_bytes(std::process::id()),
        ..Level::default()
    }
}

/// Two threads with as many rooms each as one has.
fn scaling(trial: &NullTrial, rooms: usize, window: Duration) -> Result<Scaling, LoadError> {
    let each = (rooms / trial.threads.max(1)).max(1);
    let mut best = Scaling::default();
    let [mut one_counts, mut two_count] = [0.0, 0.0];
    for _ in 0..SCALING_TRIES {
        let (one, two) = (measure(trial, 1, each, window)?, measure(trial, 2, each * 2, window)?);
        best.one = f64::max(best.one, ticks_per_s(&one));
        best.two = f64::max(best.two, ticks_per_s(&two));
        best.one_per_cpu_s = f64::max(best.one_per_cpu_s, ticks_per_cpu_s(&one));
        best.two_per_cpu_s = f64::max(best.two_per_cpu_s, ticks_per_cpu_s(&two));
        one_counts = f64::max(one_counts, counting(1));
        two_count = f64::max(two_count, counting(2));
    }
    best.counting = two_count / one_counts.max(1e-9);
    Ok(best)
}

fn conclude(found: &mut Capacity, search: &Search, trial: &NullTrial) {
    let (held, players, threads) = (search.held(), trial.setting.players, trial.threads.max(1));
    found.rooms = held;
    let on = if threads == 1 { "one thread".to_owned() } else { format!("{threads} threads") };
    let carried = format!("{held} rooms of {players} players on {on}, without sockets and journal");
    found.is_the_servers = search.failed().is_some();
    found.verdict = match search.failed() {
        Some(failed) => {
            let level = found.levels.iter().rev().find(|level| level.rooms == failed);
            let why = level.map_or("", |level| level.why.as_str());
            format!("the simulation alone carries {carried}; at {failed} rooms {why}")
        }
        None => format!("the simulation alone carries at least {carried}: raise --most"),
    };
    found.notes.push(
        "rooms ticked one after the other without a pause; what they send was made and thrown away; the \
         time of a round is the thread's own CPU time"
            .into(),
    );
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use referee::prelude::*;
    use referee_protocol::limits::EVENTS_KEPT_MAX_BYTES;

    use super::*;

    fn trial(game: &str, players: usize) -> NullTrial {
        let bot: crate::plan::MakeBot = Arc::new(|seed| Box::new(arena::bot(seed)));
        let setting = Setting { game: game.into(), players, ..Setting::default() };
        let bounds = Bounds { window_s: 0.05, precision: 0.5, ..Bounds::default() };
        let simulated = Simulated { bot, game: Arc::new(arena::arena) };
        NullTrial { simulated, setting, threads: 1, from: 1, most: 2, bounds }
    }

    #[test]
    fn rooms_are_played_without_sockets() {
        let trial = trial("arena", 4);
        let template = template(&trial).unwrap();
        let schema = KnownSchema::read(template.schema_bytes()).unwrap();
        let run = |number| {
            let mut simulation = Simulation::new(&trial, &template, number).unwrap();
            (0..100).for_each(|_| simulation.turn(&schema).unwrap());
            (simulation.bytes, simulation.room.state_hash())
        };
        let (bytes, hash) = run(1);
        assert!(bytes > 4 * 100 * 5, "{bytes} bytes to four players in 100 ticks");
        assert_eq!(run(1), (bytes, hash), "the same seed");
        assert_ne!(run(2).1, hash);
    }

    #[derive(Event)]
    struct Tale(#[field(max = 4_000)] String);

    fn told(game: &mut Game) {
        arena::arena(game);
        game.event::<Tale>();
        game.systems(|mut tales: Events<Tale>| tales.all(Tale("x".repeat(4_000))));
    }

    #[test]
    fn events_are_acknowledged_as_players_would() {
        let mut trial = trial("arena", 2);
        trial.simulated.game = Arc::new(told);
        let template = template(&trial).unwrap();
        let schema = KnownSchema::read(template.schema_bytes()).unwrap();
        let mut simulation = Simulation::new(&trial, &template, 1).unwrap();
        let enough = EVENTS_KEPT_MAX_BYTES / 4_000 * 2;
        (0..enough).for_each(|_| simulation.turn(&schema).unwrap());
        assert!(simulation.players.iter().all(|player| player.ack.event >= enough as u64));
    }

    static PANICS: AtomicBool = AtomicBool::new(true);

    /// The first room that gets so far panics.
    fn stumbles(game: &mut Game) {
        arena::arena(game);
        game.systems(|time: Res<Time>| {
            assert!(time.tick.0 < 20 || !PANICS.swap(false, Ordering::SeqCst), "not now");
        });
    }

    #[test]
    fn a_thread_whose_game_panics_keeps_no_other_waiting() {
        let mut trial = trial("arena", 2);
        trial.simulated.game = Arc::new(stumbles);
        let error = measure(&trial, 2, 2, Duration::from_millis(10)).err().unwrap();
        assert!(error.to_string().contains("panicked"), "{error}");
    }

    #[test]
    fn a_search_tells_of_its_levels_and_of_two_threads() {
        let mut levels = 0;
        let found = null_capacity(&trial("arena", 2), |_| levels += 1).unwrap();
        assert!(levels >= 1 && found.levels.len() == levels, "{found:#?}");
        assert!(found.verdict.contains("without sockets"), "{found:#?}");
        let scaling = found.scaling.unwrap();
        assert!(scaling.one > 0.0 && scaling.two > 0.0 && scaling.counting > 0.0);
    }

    #[test]
    fn what_cannot_be_searched_is_named() {
        let fails = |trial: &NullTrial| null_capacity(trial, |_| ()).unwrap_err().to_string();
        assert!(fails(&trial("arena", 2_000)).contains("found no seat"));
        let mut turns = trial("counter", 2);
        turns.simulated.game = Arc::new(counter::counter);
        turns.simulated.bot = Arc::new(|seed| Box::new(counter::bot(seed)));
        assert!(fails(&turns).contains("turn-based"));
        turns.simulated.bot = Arc::new(|seed| Box::new(cards::bot(seed)));
        assert!(fails(&turns).contains("cannot play blind"));
    }
}
