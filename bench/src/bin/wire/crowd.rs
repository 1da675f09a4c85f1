//! An arena of 1,000 players: sixteen copies of a recorded one side by side, each a while later than
//! the one before, with a grid or seen as a whole by everyone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use referee_protocol::frame::{Ack, Lane, split};
use referee_protocol::{LinkId, Replica, Schema, SessionId};
use referee_room::entry::{Create, Join};
use referee_room::output::{Frame, Joined};
use referee_room::prelude::*;
use referee_room::room::Link;
use referee_room::{Entry, Output, Room, Template};

use crate::games::{Aim, Health, Score, Slot, State, Velocity, timed};
use crate::trace::{Body, Flyer, Frames};

/// Copies along each edge of the map, the edge of one in units, and the ticks between two.
const EDGE: usize = 4;
const COPIES: usize = EDGE * EDGE;
const COPY_UNITS: f32 = 1000.0;
const LATER: usize = 55;
/// Players in all.
const PLAYERS: u16 = 1000;
/// Slots of the trace's shots, of which each copy plays as large a part as of its 100 players.
const SHOTS: std::ops::Range<usize> = 100..140;
/// The grid's cells, in units: nine of them show about thirty others.
const CELL: f32 = 235.0;
/// Within so much what is near is seen for sure: a thing may be a little outside the cell that it is
/// still in.
const SURE: f32 = CELL * 0.875;
/// Ticks that run.
pub(crate) const TICKS: u64 = 300;
/// Ticks before it counts: everyone is there.
const WARM_TICKS: u64 = 60;
/// Clients that decode what they get, evenly spread; the others count and acknowledge it.
const DECODING: usize = 25;

/// Who sees what.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    Near,
    Everything,
}

/// What becomes of the frames.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sends {
    /// None are made: bytes wait for each client.
    Held,
    /// They are made for everyone and thrown away.
    Made,
    /// They are decoded by some clients.
    Decoded,
}

#[derive(Component, Replicate, Clone, Copy, PartialEq)]
#[replicate(moves_by = Velocity)]
struct Position(#[field(range = 0.0..=4000.0, step = 0.0625)] Vec2);

/// What was seen of a match.
pub(crate) struct Seen {
    /// State frames, whole, for a client in a tick.
    pub(crate) bytes: f64,
    /// Of these, what says whose blocks follow, and the rest of what is each client's own.
    pub(crate) head_bytes: f64,
    /// Blocks in a frame.
    pub(crate) blocks: f64,
    /// What was counted, for tables.
    pub(crate) learnt: Vec<[u32; 2]>,
    pub(crate) schema: Schema,
    /// Things that a client sees, its own included.
    pub(crate) visible: f64,
    /// Each tick that does not rebuild the room, its system included.
    pub(crate) ticks: Vec<Duration>,
    /// The part of the system that plays the trace, as a mean.
    pub(crate) system: Duration,
}

/// The game.
fn crowd(game: &mut Game, frames: &Frames<Flyer>, sight: Sight, spent_ns: &Arc<AtomicU64>) {
    let (frames, spent_ns) = (Arc::clone(frames), Arc::clone(spent_ns));
    game.realtime(20).players(0..=PLAYERS);
    game.replicate::<Position>().replicate::<Velocity>().replicate::<Aim>();
    game.replicate::<Health>().replicate::<Score>().replicate::<State>().keep::<Slot>();
    if sight == Sight::Near {
        game.grid(|place: &Position| place.0, CELL, CELL);
    }
    game.player(|| {
        let moving = (Position(Vec2::ZERO), Velocity(Vec2::ZERO), Aim(Angle(0.0)));
        (moving, Health(0), Score(0), State::Idle)
    });
    game.systems(move |time: Res<Time>, commands: Commands, players: Players, shots: Shots| {
        timed(&spent_ns, || fly(&frames, time.tick.0 as usize, commands, players, shots));
    });
}

type Pilots<'a> = (&'a mut Aim, &'a mut Health, &'a mut Score, &'a mut State);
type Players<'w, 's> =
    Query<'w, 's, (&'static Player, &'static mut Position, &'static mut Velocity, Pilots<'static>)>;
type Shots<'w, 's> = Query<'w, 's, (Entity, &'static Slot, &'static mut Position), Without<Player>>;

/// What a copy's slot is at a tick.
fn flyer(frames: &[Vec<Flyer>], tick: usize, copy: usize, slot: usize) -> Flyer {
    let body = frames[tick + copy * LATER - 1][slot]?;
    let corner = Vec2::new((copy % EDGE) as f32, (copy / EDGE) as f32) * COPY_UNITS;
    Some(Body { at: body.at + corner, ..body })
}

fn fly(
    frames: &[Vec<Flyer>],
    tick: usize,
    mut commands: Commands,
    mut players: Players,
    mut shots: Shots,
) {
    for (player, mut at, mut velocity, (mut aim, mut health, mut score, mut state)) in &mut players
    {
        let (copy, slot) =
            (usize::from(player.seat.0) % COPIES, usize::from(player.seat.0) / COPIES);
        let Some((body, pilot)) =
            flyer(frames, tick, copy, slot).and_then(|body| Some((body, body.pilot?)))
        else {
            continue;
        };
        at.set_if_neq(Position(body.at));
        velocity.set_if_neq(Velocity(body.velocity));
        aim.set_if_neq(Aim(Angle(pilot.aim)));
        health.set_if_neq(Health(pilot.health));
        score.set_if_neq(Score(pilot.score));
        state.set_if_neq(pilot.state());
    }
    for (entity, slot, mut at) in &mut shots {
        let (copy, slot) = (usize::from(slot.0) % COPIES, usize::from(slot.0) / COPIES);
        match flyer(frames, tick, copy, slot) {
            Some(body) => drop(at.set_if_neq(Position(body.at))),
            None => commands.entity(entity).despawn(),
        }
    }
    for (copy, slot) in (0..COPIES).flat_map(|copy| SHOTS.map(move |slot| (copy, slot))) {
        let was = tick > 1 && flyer(frames, tick - 1, copy, slot).is_some();
        if let Some(body) = flyer(frames, tick, copy, slot).filter(|_| !was) {
            let slot = Slot((slot * COPIES + copy) as u16);
            commands.spawn((slot, Position(body.at), Velocity(body.velocity)));
        }
    }
}

/// A client: one that decodes has a replica.
struct Client {
    link: LinkId,
    received: u64,
    replica: Option<Replica>,
}

struct Match {
    room: Room,
    template: Arc<Template>,
    clients: Vec<Client>,
    position: u16,
    sight: Sight,
}

/// Plays a match.
pub(crate) fn play(
    frames: &Frames<Flyer>,
    sight: Sight,
    sends: Sends,
    tables: Option<&'static [u8]>,
) -> Seen {
    let spent_ns = Arc::new(AtomicU64::new(0));
    let mut played = Match::new(frames, (sight, sends), &spent_ns, tables);
    let (mut ticks, mut system) = (Vec::new(), Duration::ZERO);
    let (mut total, mut visible, mut looked) = (Counted::default(), 0, 0);
    if sends == Sends::Decoded {
        played.room.learn();
    }
    for tick in 1..=TICKS {
        let (took, frames_out) = played.tick(tick, sends);
        let counted = played.take(&frames_out);
        if tick <= WARM_TICKS {
            continue;
        }
        total.add(&counted);
        if tick % crate::traffic::REBUILD_TICKS != 0 {
            ticks.push(took);
            system += Duration::from_nanos(spent_ns.load(Ordering::Relaxed));
        }
        if sends == Sends::Decoded {
            let truth = truth(frames, tick as usize);
            for client in played.clients.iter().filter(|client| client.replica.is_some()) {
                let seat = client.link.0 as usize - 1;
                let own = flyer(frames, tick as usize, seat % COPIES, seat / COPIES);
                visible += played.compare(client, &truth, own.map_or(Vec2::ZERO, |own| own.at));
                looked += 1;
            }
        }
    }
    let each =
        |count: usize| count as f64 / (TICKS - WARM_TICKS) as f64 / played.clients.len() as f64;
    Seen {
        bytes: each(total.bytes),
        head_bytes: each(total.head_bytes),
        blocks: each(total.blocks),
        learnt: played.room.learnt().to_vec(),
        schema: played.template.schema().clone(),
        visible: visible as f64 / f64::from(looked.max(1)),
        system: system / ticks.len() as u32,
        ticks,
    }
}

/// What is in frames.
#[derive(Default)]
struct Counted {
    bytes: usize,
    head_bytes: usize,
    blocks: usize,
}

impl Counted {
    fn add(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.head_bytes += other.head_bytes;
        self.blocks += other.blocks;
    }

    fn frame(&mut self, frame: &Frame) {
        self.bytes += frame.len();
        self.head_bytes += frame.head.len();
        self.blocks += frame.parts.len();
    }
}

/// Where everything is at a tick, by its words.
fn truth(frames: &[Vec<Flyer>], tick: usize) -> BTreeMap<[u32; 2], Vec2> {
    let players = (0..usize::from(PLAYERS)).map(|seat| (seat % COPIES, seat / COPIES));
    let shots = (0..COPIES).flat_map(|copy| SHOTS.map(move |slot| (copy, slot)));
    let all = players.chain(shots).filter_map(|(copy, slot)| flyer(frames, tick, copy, slot));
    let word = |at: f32| (f64::from(at) * 16.0).round() as u32;
    all.map(|body| ([word(body.at.x), word(body.at.y)], body.at)).collect()
}

impl Match {
    fn new(
        frames: &Frames<Flyer>,
        (sight, sends): (Sight, Sends),
        spent_ns: &Arc<AtomicU64>,
        tables: Option<&'static [u8]>,
    ) -> Self {
        let (frames, spent_ns) = (Arc::clone(frames), Arc::clone(spent_ns));
        let game = move |game: &mut Game| {
            crowd(game, &frames, sight, &spent_ns);
            game.tables(tables.unwrap_or(&[]));
        };
        let template = Template::new("crowd", game).expect("the game is right");
        let create = Create { seed: [9; 32], ..Create::default() };
        let mut room = Room::create(&template, &create).expect("it refuses nobody");
        // Where all see the same, one client sees what all do.
        let links = if sight == Sight::Near { usize::from(PLAYERS) } else { 1 };
        let mut clients = Vec::new();
        for number in 0..usize::from(PLAYERS) {
            let session = SessionId(number as u64 + 1);
            if number < links {
                let link = LinkId(session.0);
                room.link(link, Link::Open { session, resume: None });
                let chosen = number.is_multiple_of(usize::from(PLAYERS) / DECODING);
                let decodes = chosen && sends == Sends::Decoded;
                let replica = decodes.then(|| Replica::new(20));
                clients.push(Client { link, received: 0, replica });
            }
            room.handle(Entry::Join(Join {
                session,
                name: format!("P{number}"),
                attributes: BTreeMap::new(),
                generation: session.0,
                watch: false,
            }));
        }
        let types = &template.schema().components;
        let position = types.iter().position(|def| def.name == "Position").expect("it is sent");
        Self { room, template, clients, position: position as u16, sight }
    }

    /// Runs a tick: how long it took with the frames that were made.
    fn tick(&mut self, tick: u64, sends: Sends) -> (Duration, Vec<(LinkId, Frame)>) {
        if tick == 2 && sends == Sends::Held {
            self.clients.iter().for_each(|client| self.room.link(client.link, Link::Held));
        }
        let start = Instant::now();
        self.room.tick(Tick(tick));
        let took = start.elapsed();
        let mut frames = Vec::new();
        while let Some(output) = self.room.poll_output() {
            match output {
                Output::Send { link, frame } => frames.push((link, frame)),
                Output::Joined { session, outcome: Joined::Seated { seat, .. } } => {
                    assert_eq!(u64::from(seat.0) + 1, session.0, "seats are taken in order");
                }
                _ => {}
            }
        }
        (took, frames)
    }

    /// Gives the clients their frames.
    fn take(&mut self, frames: &[(LinkId, Frame)]) -> Counted {
        let mut counted = Counted::default();
        for (link, frame) in frames {
            let client = &mut self.clients[link.0 as usize - 1];
            client.received += 1;
            counted.frame(frame);
            let frame = frame.to_vec();
            let (lane, body) = split(&frame).expect("the room sends good frames");
            assert_eq!(lane, Lane::State, "this game has nothing to say but its state");
            if let Some(replica) = &mut client.replica {
                replica.apply(self.template.schema(), body).expect("the room sends good state");
            }
            self.room.link(*link, Link::Ack(Ack { frames: client.received, event: 0 }));
        }
        counted
    }

    /// Compares what a client sees with the truth: how many things that is.
    fn compare(&self, client: &Client, truth: &BTreeMap<[u32; 2], Vec2>, own: Vec2) -> usize {
        let Some(replica) = &client.replica else { return 0 };
        let places = replica.entities().filter_map(|(id, _)| replica.component(id, self.position));
        let places: Vec<[u32; 2]> = places.map(|words| [words[0], words[1]]).collect();
        assert!(places.iter().all(|place| truth.contains_key(place)), "it sees what is not there");
        let sight = if self.sight == Sight::Near { SURE } else { f32::INFINITY };
        let near = |at: &Vec2| (*at - own).abs().max_element() <= sight;
        let unseen = truth.iter().filter(|(place, at)| near(at) && !places.contains(place)).count();
        assert_eq!(unseen, 0, "it does not see what is near");
        places.len()
    }
}
