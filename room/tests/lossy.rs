//! Links that lose, delay, repeat and mix up what is sent: what a client applies is what the room
//! showed at that tick, and it catches up when the network is good again.

mod common;
#[path = "common/network.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test file uses the parts it needs")]
mod network;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::bare;
use network::{Dice, Way, Weather};
use referee_protocol::frame::{Ack, Lane, split};
use referee_protocol::ladder::{Applied, LossyKind, LossyPrelude};
use referee_protocol::limits::LADDER_BLOCKS_MAX;
use referee_protocol::message::{self, Resume, ServerControl};
use referee_protocol::replica::Taken;
use referee_protocol::{Incarnation, LinkId, Replica, SessionId};
use referee_room::entry::Join;
use referee_room::output::Output;
use referee_room::prelude::*;
use referee_room::room::Link;
use referee_room::{Entry, Room, Template};

const HZ: u16 = 30;
const TICK_MS: u64 = 33;
const SEATS: u64 = 5;

/// Which one it is: no other ever has the same number.
#[derive(Component, Replicate, Clone, Copy)]
struct Thing(u32);

/// The same again, for those who see its owner's side of it.
#[derive(Component, Replicate, Clone, Copy)]
#[replicate(to = owner)]
struct Inside(u32);

#[derive(Component, Replicate, Clone, Copy)]
struct Place(#[field(range = 0.0..=800.0, step = 0.5)] Vec2);

#[derive(Component, Replicate, Clone, Copy)]
struct After(Option<Entity>);

#[derive(Resource, Replicate, Default)]
struct Round(u32);

#[derive(Resource, Replicate, Default)]
#[replicate(to = nobody)]
struct Next(u32);

fn nobody(_: EntityRef<'_>) -> Vec<Group> {
    vec![]
}

fn commotion(game: &mut Game) {
    game.realtime(HZ).players(0..=8).spectators(4);
    game.replicate::<Thing>().replicate::<Inside>().replicate::<Place>().replicate::<After>();
    game.replicate::<Round>().replicate::<Next>();
    game.grid(|place: &Place| place.0, 100.0, 150.0);
    game.player(|| Place(Vec2::new(400.0, 400.0)));
    game.systems((wander, come_and_go, change_sides).chain());
}

fn wander(mut places: Query<(&mut Place, Option<&Thing>)>, mut rng: ResMut<Rng>) {
    for (mut place, _) in places.iter_mut() {
        if rng.below(3) == 0 {
            let step = Vec2::new(rng.between(-20.0..20.0), rng.between(-20.0..20.0));
            place.0 = (place.0 + step).clamp(Vec2::ZERO, Vec2::splat(799.0));
        }
    }
}

type Things<'w, 's> = Query<'w, 's, (Entity, &'static Thing)>;

fn come_and_go(
    mut commands: Commands,
    things: Things,
    mut next: ResMut<Next>,
    mut round: ResMut<Round>,
    mut rng: ResMut<Rng>,
) {
    let all: Vec<Entity> = things.iter().map(|(entity, _)| entity).collect();
    for entity in &all {
        if rng.below(40) == 0 {
            commands.entity(*entity).despawn();
        }
    }
    if all.len() < 40 && rng.below(2) == 0 {
        next.0 += 1;
        let at = Vec2::new(rng.between(0.0..799.0), rng.between(0.0..799.0));
        let after = (!all.is_empty()).then(|| all[rng.below(all.len() as u32) as usize]);
        let owner = Owner(Seat(rng.below(SEATS as u32) as u16));
        commands.spawn((Thing(next.0), Inside(next.0), owner, Place(at), After(after)));
    }
    if rng.below(20) == 0 {
        round.0 += 1;
    }
}

/// Things become everyone's, a team's, a player's or nobody's; players change teams.
fn change_sides(
    mut commands: Commands,
    things: Things,
    players: Query<(Entity, &Player)>,
    mut rng: ResMut<Rng>,
) {
    for (entity, _) in &things {
        let groups = match rng.below(240) {
            0 => vec![],
            1 => vec![Group::Everyone],
            2 => vec![Group::Team(1)],
            3 => vec![Group::Team(2)],
            4 => vec![Group::Player(Seat(rng.below(SEATS as u32) as u16))],
            5 => vec![Group::Team(1), Group::Player(Seat(0)), Group::Player(Seat(1))],
            8 | 9 => vec![Group::Team(1), Group::Team(2)],
            10 => vec![Group::Team(1), Group::Team(2), Group::Team(3), Group::Player(Seat(2))],
            6 | 7 => {
                commands.entity(entity).remove::<InGroups>();
                continue;
            }
            _ => continue,
        };
        commands.entity(entity).insert(InGroups(groups));
    }
    for (entity, _) in &players {
        match rng.below(60) {
            0 => {
                commands.entity(entity).insert(Team(1 + rng.below(2)));
            }
            1 => {
                commands.entity(entity).remove::<Team>();
            }
            2 => {
                commands.entity(entity).insert(Sees(vec![
                    Group::Team(1),
                    Group::Team(2),
                    Group::Team(3),
                ]));
            }
            3 => {
                commands.entity(entity).remove::<Sees>();
            }
            _ => {}
        }
    }
}

/// A state frame and the hash that the room says it comes to, where nothing waits behind it.
type Datagram = (Vec<u8>, Option<u64>);

struct Client {
    link: LinkId,
    replica: Replica,
    applied: Applied,
    down: Way<Datagram>,
    up: Way<Vec<u8>>,
    frames: u32,
    unfounded: u32,
    /// Which thing each handle was seen to be.
    known: BTreeMap<u32, u32>,
    /// The state that waits for its hash.
    pending: Option<Datagram>,
    /// The tick of the newest state that was sent.
    newest: u64,
    bytes: usize,
    compared: u32,
}

struct Rig {
    template: Arc<Template>,
    room: Room,
    clients: Vec<Client>,
    tick: u64,
    thing: u16,
}

fn weather(dice: &mut Dice) -> Weather {
    Weather {
        lost_per_cent: [0, 2, 10, 30][dice.below(4) as usize],
        twice_per_cent: dice.below(3) * 5,
        delay_ms: dice.below(200),
        jitter_ms: [0, 20, 90][dice.below(3) as usize],
    }
}

impl Rig {
    fn new(seed: u64, bytes_per_second: u32) -> Self {
        let mut dice = Dice::new(seed);
        let (template, mut room) = bare(move |game: &mut Game| {
            commotion(game);
            game.bytes_per_second(bytes_per_second);
        });
        let components = &template.schema().components;
        let thing = components.iter().position(|def| def.name == "Thing").expect("registered");
        let mut clients = Vec::new();
        for n in 1..=SEATS + 1 {
            let (link, session) = (LinkId(n), SessionId(n));
            room.link(link, Link::Open { session, resume: None });
            room.link(link, Link::Lossy);
            room.link(link, Link::Check);
            room.handle(Entry::Join(Join {
                session,
                name: format!("P{n}"),
                attributes: BTreeMap::new(),
                generation: n,
                watch: n > SEATS,
            }));
            clients.push(Client {
                link,
                replica: Replica::new(HZ),
                applied: Applied::default(),
                down: Way::new(weather(&mut dice), seed ^ n),
                up: Way::new(weather(&mut dice), seed ^ n << 8),
                frames: 0,
                unfounded: 0,
                known: BTreeMap::new(),
                pending: None,
                newest: 0,
                bytes: 0,
                compared: 0,
            });
        }
        Self { template, room, clients, tick: 0, thing: thing as u16 }
    }

    fn tick(&mut self) {
        self.tick += 1;
        let now = self.tick * TICK_MS;
        for client in &mut self.clients {
            for bytes in client.up.arrived(now) {
                let applied = Applied::decode(&bytes[1..]).expect("it was encoded");
                self.room.link(client.link, Link::Applied(applied));
            }
        }
        self.room.tick(Tick(self.tick));
        // All are kept until the tick is over, so that no two parts have the same place.
        let outputs: Vec<Output> = std::iter::from_fn(|| self.room.poll_output()).collect();
        let mut coded: BTreeMap<Group, BTreeSet<_>> = BTreeMap::new();
        for output in &outputs {
            let Output::Send { link, frame } = output else { continue };
            for (group, part) in groups_of(&frame.head).into_iter().zip(&frame.parts) {
                coded.entry(group).or_default().insert(Arc::as_ptr(part));
            }
            let client = &mut self.clients[link.0 as usize - 1];
            client.sent(frame.to_vec());
        }
        let most = coded.values().map(BTreeSet::len).max().unwrap_or(0);
        assert!(most <= LADDER_BLOCKS_MAX, "tick {}: a group is coded {most} times", self.tick);
        let schema = self.template.schema();
        for client in &mut self.clients {
            client.flush(now, self.tick);
            for (frame, hash) in client.down.arrived(now) {
                client.take(schema, &frame, hash);
                client.look(self.thing);
            }
            let said = client.applied.encode();
            client.up.send(now, &said);
        }
    }
}

/// The groups that have blocks in a state frame with this head.
fn groups_of(mut head: &[u8]) -> Vec<Group> {
    let mut heads = Vec::new();
    if LossyPrelude::is_at(head) {
        LossyPrelude::read(&mut head, Tick(0), &mut heads).expect("the room sends good heads");
    }
    let told = heads.iter().filter(|head| head.kind != LossyKind::Farewell);
    told.map(|head| head.group).collect()
}

impl Client {
    /// A state, and what it comes to.
    fn sent(&mut self, bytes: Vec<u8>) {
        match split(&bytes).expect("a frame") {
            (Lane::State, _) => self.pending = Some((bytes, None)),
            (Lane::Control, body) => {
                let told = message::decode(body).expect("a message");
                let ServerControl::Check { hash } = told else { return };
                self.pending.as_mut().expect("a state comes first").1 = Some(hash);
            }
            _ => {}
        }
    }

    fn flush(&mut self, now: u64, tick: u64) {
        if let Some(datagram) = self.pending.take() {
            self.newest = tick;
            self.bytes += datagram.0.len();
            self.down.send(now, &datagram);
        }
    }

    fn take(&mut self, schema: &referee_protocol::Schema, frame: &[u8], hash: Option<u64>) {
        let before = (self.replica.tick(), self.replica.hash());
        match self.replica.take(schema, frame).expect("the room sends good state") {
            Taken::Applied(prelude) => {
                if let Some(hash) = hash {
                    assert_eq!(self.replica.hash(), hash, "{:?} at {:?}", self.link, prelude.tick);
                    self.compared += 1;
                }
                if prelude.full {
                    self.known.clear();
                }
                self.applied.note(prelude.tick);
                self.frames += 1;
            }
            taken => {
                self.unfounded += u32::from(taken == Taken::Unfounded);
                assert_eq!(
                    before,
                    (self.replica.tick(), self.replica.hash()),
                    "it changed nothing"
                );
            }
        }
    }

    /// No entity becomes another one, and none is there twice.
    fn look(&mut self, thing: u16) {
        let tick = self.replica.tick();
        let mut numbers = BTreeSet::new();
        for (id, handle) in self.replica.entities() {
            let Some(words) = self.replica.component(id, thing) else { continue };
            let was = *self.known.entry(handle).or_insert(words[0]);
            assert_eq!(was, words[0], "{tick:?}: entity {handle} became another one");
            assert!(numbers.insert(was), "{tick:?}: thing {was} is there twice");
        }
    }
}

#[test]
fn over_a_bad_network_a_client_sees_only_what_was_and_in_the_end_what_is() {
    for seed in 1..=4 {
        println!("seed {seed}");
        let mut rig = Rig::new(seed, 0);
        let mut dice = Dice::new(seed * 1_000);
        for _ in 0..500 {
            // Now and then somebody hears nothing for a while, or is not heard.
            let client = &mut rig.clients[dice.below(SEATS + 1) as usize];
            match dice.below(120) {
                0 => client.down.weather.lost_per_cent = 100,
                1 => client.up.weather.lost_per_cent = 100,
                2..12 => {
                    client.down.weather.lost_per_cent = 2;
                    client.up.weather.lost_per_cent = 2;
                }
                _ => {}
            }
            rig.tick();
        }
        for client in &mut rig.clients {
            client.down.weather = Weather { lost_per_cent: 0, jitter_ms: 0, ..client.down.weather };
            client.up.weather = Weather { lost_per_cent: 0, jitter_ms: 0, ..client.up.weather };
        }
        for _ in 0..60 {
            rig.tick();
        }
        for client in &rig.clients {
            let late = client.newest - client.replica.tick().0;
            let delay = client.down.weather.delay_ms / TICK_MS + 1;
            assert!(late <= delay, "{:?} is {late} ticks behind, {delay} is the way", client.link);
            assert!(client.frames > 120, "{:?}: {} frames", client.link, client.frames);
            println!(
                "{:?}: {} applied, {} unfounded",
                client.link, client.frames, client.unfounded
            );
        }
    }
}

#[test]
fn with_few_bytes_a_client_sees_what_was_and_hears_of_everything() {
    for seed in 1..=2 {
        println!("seed {seed}");
        let mut rig = Rig::new(seed, 3_000);
        for _ in 0..600 {
            rig.tick();
        }
        for client in &rig.clients {
            let (applied, compared) = (client.frames, client.compared);
            println!(
                "{:?}: {applied} applied, {compared} complete, {} B",
                client.link, client.bytes
            );
            let most = 3_000 * 600 / usize::from(HZ);
            assert!(client.bytes < most + most / 4, "{:?}: {} bytes", client.link, client.bytes);
            assert!(applied > 100, "{:?}: {applied} frames", client.link);
            assert!(compared > 0, "{:?} is never told everything", client.link);
        }
    }
}

/// Whose the one thing is from which tick on.
fn hand_over(game: &mut Game) {
    game.realtime(HZ).replicate::<Thing>();
    game.on_start(|mut commands: Commands| {
        commands.spawn(Thing(7));
    });
    game.player(|| Team(1));
    game.systems(|mut commands: Commands, things: Things, time: Res<Time>| {
        let (entity, _) = things.single().expect("there is one");
        let groups = match time.tick.0 % 40 {
            10 => vec![Group::Player(Seat(0))],
            20 => vec![Group::Team(1)],
            30 => vec![Group::Everyone],
            _ => return,
        };
        commands.entity(entity).insert(InGroups(groups));
    });
}

#[test]
fn what_goes_from_group_to_group_is_the_same_entity_though_the_frame_that_said_so_is_lost() {
    const LINK: LinkId = LinkId(1);
    for lost in 0..6 {
        let (template, mut room) = bare(hand_over);
        room.link(LINK, Link::Open { session: SessionId(1), resume: None });
        room.link(LINK, Link::Lossy);
        room.handle(common::join(1, "Ann"));
        let (mut replica, mut applied) = (Replica::new(HZ), Applied::default());
        let mut handles = BTreeSet::new();
        for tick in 1..400 {
            room.tick(Tick(tick));
            while let Some(output) = room.poll_output() {
                let Output::Send { frame, .. } = output else { continue };
                // The frames of a few ticks are lost, those of changes among them.
                if tick > 20 && (tick + lost) % 10 < 5 {
                    continue;
                }
                let taken = replica.take(template.schema(), &frame.to_vec());
                if let Taken::Applied(prelude) = taken.expect("good state") {
                    applied.note(prelude.tick);
                }
            }
            room.link(LINK, Link::Applied(applied));
            if tick > 1 {
                let things = replica.entities().filter(|(id, _)| {
                    replica.components(*id).into_values().any(|words| words == [7])
                });
                handles.extend(things.map(|(_, handle)| handle));
            }
        }
        assert_eq!(handles.len(), 1, "frames from {lost} on are lost: {handles:?}");
    }
}

/// Things that come and go all the time, so that few names serve many.
fn sparks(game: &mut Game) {
    game.realtime(HZ).replicate::<Thing>();
    game.systems(|things: Things, time: Res<Time>, mut commands: Commands| {
        for (entity, _) in things.iter().filter(|(_, s)| u64::from(s.0) + 8 <= time.tick.0) {
            commands.entity(entity).despawn();
        }
        commands.spawn(Thing(time.tick.0 as u32));
    });
}

#[test]
fn nobody_bears_the_name_of_another_while_somebody_may_know_it_by_that() {
    const LINK: LinkId = LinkId(1);
    let (template, mut room) = bare(sparks);
    room.link(LINK, Link::Open { session: SessionId(1), resume: None });
    room.link(LINK, Link::Lossy);
    room.handle(common::join(1, "Ann"));
    let (mut replica, mut applied) = (Replica::new(HZ), Applied::default());
    let (mut known, mut dice, mut hears) = (BTreeMap::new(), Dice::new(5), true);
    for tick in 1..3_000 {
        room.tick(Tick(tick));
        hears = if hears { !dice.chance(10) } else { dice.chance(10) };
        while let Some(output) = room.poll_output() {
            let Output::Send { frame, .. } = output else { continue };
            if !hears {
                continue;
            }
            let taken = replica.take(template.schema(), &frame.to_vec()).expect("good state");
            let Taken::Applied(prelude) = taken else { continue };
            applied.note(prelude.tick);
            if prelude.full {
                known.clear();
            }
        }
        room.link(LINK, Link::Applied(applied));
        for (id, handle) in replica.entities() {
            let Some([number]) =
                replica.components(id).into_values().find(|words| words.len() == 1)
            else {
                continue; // the player
            };
            let was = *known.entry(handle).or_insert(*number);
            assert_eq!(was, *number, "tick {tick}: entity {handle} became another one");
        }
    }
}

#[test]
fn who_comes_back_goes_on_from_there_only_where_groups_are_counted_as_before() {
    for lossy in [false, true] {
        let (template, mut room) = bare(commotion);
        let schema = template.schema();
        let mut replica = Replica::new(HZ);
        room.link(LinkId(1), Link::Open { session: SessionId(1), resume: None });
        room.link(LinkId(1), Link::Lossy);
        room.handle(common::join(1, "Ann"));
        room.tick(Tick(1));
        while let Some(output) = room.poll_output() {
            let Output::Send { frame, .. } = output else { continue };
            replica.take(schema, &frame.to_vec()).expect("good state");
        }
        room.link(LinkId(1), Link::Close);
        let resume = Some(Resume { incarnation: Incarnation(0), tick: replica.tick(), event: 0 });
        room.link(LinkId(2), Link::Open { session: SessionId(2), resume });
        if lossy {
            room.link(LinkId(2), Link::Lossy);
        }
        room.link(LinkId(2), Link::Check);
        room.handle(Entry::Resume { session: SessionId(2), seat: Seat(0), generation: 1 });
        let mut full = Vec::new();
        for tick in 2..20 {
            room.tick(Tick(tick));
            while let Some(output) = room.poll_output() {
                let Output::Send { frame, .. } = output else { continue };
                let frame = frame.to_vec();
                match split(&frame).expect("a frame") {
                    (Lane::State, body) if lossy => {
                        let taken = replica.take(schema, body).expect("good state");
                        let Taken::Applied(prelude) = taken else { panic!("{taken:?}") };
                        full.push(prelude.full);
                    }
                    (Lane::State, body) => {
                        full.push(replica.apply(schema, body).expect("good state").full);
                    }
                    (Lane::Control, body) => {
                        let told = message::decode(body).expect("a message");
                        let ServerControl::Check { hash } = told else { continue };
                        assert_eq!(replica.hash(), hash, "tick {tick}");
                    }
                    _ => {}
                }
            }
            let frames = full.len() as u64;
            room.link(
                LinkId(2),
                match lossy {
                    true => Link::Applied(Applied { tick: replica.tick(), ..Applied::default() }),
                    false => Link::Ack(Ack { frames, event: 0 }),
                },
            );
        }
        assert_eq!(full.first(), Some(&!lossy), "lossy: {lossy}");
        assert!(full.len() > 3 && !full[1..].contains(&true));
    }
}
