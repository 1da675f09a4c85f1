//! Entities in several groups of which one client sees more than one: to that client each is one entity,
//! with all that any of them shows, from the moment it comes into sight until nothing shows it any more.

mod common;
#[path = "common/network.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test file uses the parts it needs")]
mod network;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::sync::Arc;

use common::{bare, join};
use network::Dice;
use referee_protocol::frame::{Ack, Lane, split};
use referee_protocol::message::{self, Resume, ServerControl};
use referee_protocol::{Incarnation, LinkId, Replica, SessionId, WireId};
use referee_room::output::Output;
use referee_room::prelude::*;
use referee_room::room::Link;
use referee_room::{Entry, Room, Template};

const HZ: u16 = 20;
const SEATS: u64 = 3;

/// Which one it is: no other ever has the same number.
#[derive(Component, Replicate, Clone, Copy)]
#[replicate(to = in_first)]
struct Thing(u32);

/// The same number again, for others.
#[derive(Component, Replicate, Clone, Copy)]
#[replicate(to = in_second)]
struct Inside(u32);

#[derive(Component, Replicate, Clone, Copy)]
#[replicate(to = in_either)]
struct After(Option<Entity>);

#[derive(Component, Replicate, Clone, Copy)]
#[replicate(to = in_either)]
struct Heat(u8);

/// Who sees the one and the other: a bit for each of [`GROUPS`].
#[derive(Component, Replicate, Clone, Copy)]
struct Places(u8, u8);

#[derive(Resource, Replicate, Default)]
struct Made(u32);

const GROUPS: [Group; 6] = [
    Group::Team(1),
    Group::Team(2),
    Group::Team(3),
    Group::Player(Seat(0)),
    Group::Player(Seat(1)),
    Group::Everyone,
];

fn groups(bits: u8) -> Vec<Group> {
    let in_it = |(n, group): (usize, &Group)| (bits >> n & 1 == 1).then_some(*group);
    GROUPS.iter().enumerate().filter_map(in_it).collect()
}

fn in_first(entity: EntityRef<'_>) -> Vec<Group> {
    entity.get::<Places>().map(|places| groups(places.0)).unwrap_or_default()
}

fn in_second(entity: EntityRef<'_>) -> Vec<Group> {
    entity.get::<Places>().map(|places| groups(places.1)).unwrap_or_default()
}

fn in_either(entity: EntityRef<'_>) -> Vec<Group> {
    entity.get::<Places>().map(|places| groups(places.0 | places.1)).unwrap_or_default()
}

fn scatter(game: &mut Game) {
    game.realtime(HZ).players(0..=4).snapshot_ticks(50);
    game.replicate::<Thing>().replicate::<Inside>().replicate::<After>().replicate::<Heat>();
    game.keep::<Places>().keep::<Made>();
    game.systems((come_and_go, go_about, look_about).chain());
}

/// Mostly teams: few things are everyone's.
fn places(rng: &mut Rng) -> u8 {
    let few = 1u8 << rng.below(6) | 1 << rng.below(3) | 1 << rng.below(3);
    match rng.below(8) {
        0 => 0,
        1 => few,
        _ => few & 0b01_1111,
    }
}

fn come_and_go(
    mut commands: Commands,
    things: Query<(Entity, &Thing)>,
    mut made: ResMut<Made>,
    mut rng: ResMut<Rng>,
) {
    let all: Vec<Entity> = things.iter().map(|(entity, _)| entity).collect();
    for entity in &all {
        if rng.below(60) == 0 {
            commands.entity(*entity).despawn();
        }
    }
    if all.len() < 12 && rng.below(3) == 0 {
        made.0 += 1;
        let after = (!all.is_empty()).then(|| all[rng.below(all.len() as u32) as usize]);
        let places = Places(places(&mut rng), places(&mut rng));
        commands.spawn((Thing(made.0), Inside(made.0), After(after), Heat(0), places));
    }
}

fn go_about(mut things: Query<(&mut Places, &mut Heat)>, mut rng: ResMut<Rng>) {
    for (mut seen, mut heat) in &mut things {
        if rng.below(12) == 0 {
            seen.0 = places(&mut rng);
        }
        if rng.below(12) == 0 {
            seen.1 = places(&mut rng);
        }
        if rng.below(3) == 0 {
            heat.0 = heat.0.wrapping_add(1);
        }
    }
}

fn look_about(mut commands: Commands, players: Query<(Entity, &Player)>, mut rng: ResMut<Rng>) {
    for (entity, _) in &players {
        match rng.below(40) {
            0 => drop(commands.entity(entity).insert(Team(1 + rng.below(3)))),
            1 => drop(commands.entity(entity).insert(Sees(GROUPS[..3].to_vec()))),
            2 => drop(commands.entity(entity).insert(Sees(vec![GROUPS[rng.below(3) as usize]]))),
            _ => {}
        }
    }
}

/// A client on a link on which everything arrives.
struct Client {
    link: LinkId,
    replica: Replica,
    frames: u64,
    compared: u32,
    held: bool,
    /// Handles of the things it sees.
    seen: BTreeMap<u32, u32>,
    /// Whether the last frame told what changed since the one of the tick before.
    steady: bool,
    /// References to what it does not see.
    dangling: usize,
}

impl Client {
    fn new(n: u64) -> Self {
        let (replica, seen) = (Replica::new(HZ), BTreeMap::new());
        let link = LinkId(n);
        Self {
            link,
            replica,
            frames: 0,
            compared: 0,
            held: false,
            seen,
            steady: false,
            dangling: 0,
        }
    }

    fn take(&mut self, template: &Template, bytes: &[u8], tick: u64) {
        match split(bytes).expect("a frame") {
            (Lane::State, body) => {
                let before = self.replica.tick();
                let told = self.replica.apply(template.schema(), body).expect("good state");
                self.frames += 1;
                // Who comes back and had not heard of everything begins anew.
                self.steady = !told.full && before.0 + 1 == tick && !self.replica.has_skipped();
                self.look(template, tick);
            }
            (Lane::Control, body) => {
                let told = message::decode(body).expect("a message");
                let ServerControl::Check { hash } = told else { return };
                assert_eq!(self.replica.hash(), hash, "tick {tick}, {:?}", self.link);
                assert_eq!(self.dangling, 0, "tick {tick}: a reference leads nowhere");
                self.compared += 1;
            }
            _ => {}
        }
    }

    /// Each thing is there once, whichever of its components is seen; what stays in sight stays itself.
    fn look(&mut self, template: &Template, tick: u64) {
        let number = |name| template.schema().components.iter().position(|def| def.name == name);
        let [thing, inside, after] =
            ["Thing", "Inside", "After"].map(|name| number(name).expect("it is sent") as u16);
        let mut seen = BTreeMap::new();
        self.dangling = 0;
        for (id, handle) in self.replica.entities() {
            let shown = self.replica.components(id);
            let numbers: BTreeSet<u32> =
                [thing, inside].iter().filter_map(|c| Some(shown.get(c)?[0])).collect();
            assert!(numbers.len() < 2, "tick {tick}: one entity is {numbers:?}");
            let known = shown.get(&after).filter(|words| words[0] == 1).map(|words| words[1]);
            self.dangling += usize::from(
                known.is_some_and(|id| id != 0 && self.replica.handle(WireId(id)).is_none()),
            );
            for number in numbers {
                let other = seen.insert(number, handle);
                assert_eq!(
                    other, None,
                    "tick {tick}, {:?}: thing {number} is there twice",
                    self.link
                );
            }
        }
        let departed: BTreeSet<u32> = self.replica.departed().iter().map(|d| d.handle).collect();
        assert_eq!(departed.len(), self.replica.departed().len(), "each departs once");
        for (number, handle) in &self.seen {
            let now = seen.get(number);
            if self.steady {
                assert!(
                    now.is_none_or(|now| now == handle),
                    "tick {tick}: {number} became another"
                );
            }
            let left = now != Some(handle);
            assert_eq!(departed.contains(handle), left, "tick {tick}, {:?}: {number}", self.link);
        }
        self.seen = seen;
    }
}

struct Rig {
    template: Arc<Template>,
    room: Room,
    clients: Vec<Client>,
    tick: u64,
    life: u64,
}

impl Rig {
    fn new(bytes_per_second: u32) -> Self {
        let (template, mut room) = bare(move |game: &mut Game| {
            scatter(game);
            game.bytes_per_second(bytes_per_second);
        });
        room.record();
        room.handle(Entry::Begin { incarnation: Incarnation(1) });
        let mut clients = Vec::new();
        for n in 1..=SEATS {
            let client = Client::new(n);
            room.link(client.link, Link::Open { session: SessionId(n), resume: None });
            room.link(client.link, Link::Check);
            room.handle(join(n, &format!("P{n}")));
            clients.push(client);
        }
        Self { template, room, clients, tick: 0, life: 1 }
    }

    fn tick(&mut self) {
        self.tick += 1;
        self.room.tick(Tick(self.tick));
        self.receive();
    }

    fn receive(&mut self) {
        while let Some(output) = self.room.poll_output() {
            let Output::Send { link, frame } = output else { continue };
            let client = self.clients.iter_mut().find(|client| client.link == link);
            client.expect("it has a link").take(&self.template, &frame.to_vec(), self.tick);
        }
        for client in &self.clients {
            self.room.link(client.link, Link::Ack(Ack { frames: client.frames, event: 0 }));
        }
    }

    /// A client's network stands still, or goes on.
    fn hold(&mut self, at: usize) {
        let client = &mut self.clients[at];
        client.held = !client.held;
        let event = if client.held { Link::Held } else { Link::Written };
        self.room.link(client.link, event);
    }

    /// A client comes back on another connection.
    fn reconnect(&mut self, at: usize, life: u64) {
        let client = &mut self.clients[at];
        let number = self.life * 1_000 + self.tick * 10 + at as u64;
        let session = SessionId(number);
        self.room.link(client.link, Link::Close);
        (client.link, client.held, client.frames) = (LinkId(number), false, 0);
        let tick = client.replica.tick();
        let resume = Some(Resume { incarnation: Incarnation(life), tick, event: 0 });
        self.room.link(client.link, Link::Open { session, resume });
        self.room.link(client.link, Link::Check);
        let seat = Seat(at as u16);
        self.room.handle(Entry::Resume { session, seat, generation: at as u64 + 1 });
        self.clients[at].steady = false;
    }

    /// The room goes on in another life, from what it is now.
    fn restart(&mut self) {
        self.room.handle(Entry::Seal);
        self.tick();
        let snapshot = self.room.snapshot();
        self.room = Room::restore(&self.template, &snapshot, [9; 32]).expect("its own snapshot");
        self.room.record();
        self.life += 1;
        self.room.handle(Entry::Begin { incarnation: Incarnation(self.life) });
        (0..self.clients.len()).for_each(|at| self.reconnect(at, self.life - 1));
    }
}

#[test]
fn to_a_client_that_sees_several_of_its_groups_an_entity_is_one() {
    let mut rig = Rig::new(0);
    (0..1_500).for_each(|_| rig.tick());
    for client in &rig.clients {
        assert!(client.compared > 1_400, "{} states were compared", client.compared);
    }
}

#[test]
fn it_stays_one_for_those_who_miss_states_come_back_or_outlive_the_room() {
    for seed in 0..3 {
        println!("seed {seed}");
        let (mut rig, mut dice) = (Rig::new(0), Dice::new(seed));
        for _ in 0..1_000 {
            let at = dice.below(SEATS) as usize;
            match dice.below(60) {
                0..8 => rig.hold(at),
                8 => rig.reconnect(at, rig.life),
                9 if dice.chance(40) => rig.restart(),
                _ => {}
            }
            rig.tick();
        }
        for client in &rig.clients {
            assert!(client.compared > 200, "{} states were compared", client.compared);
        }
    }
}

#[test]
fn it_stays_one_where_blocks_wait_for_a_clients_budget() {
    let mut rig = Rig::new(600);
    (0..1_500).for_each(|_| rig.tick());
    for client in &rig.clients {
        let (frames, compared) = (client.frames, client.compared);
        println!("{frames} frames, {compared} complete");
        assert!(frames > 300 && compared > 100, "{frames} frames, {compared} complete");
    }
}

/// Text that takes more than a client may get.
#[derive(Component, Replicate)]
struct Noise(#[field(max = 400)] String);

#[derive(Component, Replicate)]
struct Ball(u32);

/// A ball goes to and fro between two teams, of which one has much to tell.
fn noisy(game: &mut Game) {
    game.realtime(HZ).players(0..=4).bytes_per_second(2_000);
    game.replicate::<Noise>().replicate::<Ball>();
    game.player(|| Sees(vec![Group::Team(1), Group::Team(2), Group::Team(3)]));
    game.on_start(|mut commands: Commands| {
        commands.spawn((Ball(5), InGroups(vec![Group::Team(1)])));
        for team in [1, 2, 3] {
            commands.spawn((Noise(String::new()), InGroups(vec![Group::Team(team)])));
        }
    });
    game.systems(
        |mut balls: Query<&mut InGroups, With<Ball>>,
         mut noise: Query<&mut Noise>,
         mut rng: ResMut<Rng>,
         time: Res<Time>| {
            let letter = |rng: &mut Rng| char::from(b'a' + rng.below(26) as u8);
            for mut noise in &mut noise {
                noise.0 = (0..rng.below(200)).map(|_| letter(&mut rng)).collect();
            }
            let team = |n: u64| Group::Team(1 + n as u32 % 3);
            for mut groups in &mut balls {
                match time.tick.0 % 8 {
                    0 => groups.0 = vec![team(time.tick.0 / 8)],
                    4 => groups.0.push(team(time.tick.0 / 8 + 1)),
                    _ => {}
                }
            }
        },
    );
}

#[test]
fn what_goes_from_group_to_group_is_there_all_along_though_blocks_wait() {
    let (template, mut room) = bare(noisy);
    let number = template.schema().components.iter().position(|def| def.name == "Ball");
    let number = number.expect("it is sent") as u16;
    let (mut client, mut handles) = (Client::new(1), BTreeSet::new());
    room.link(client.link, Link::Open { session: SessionId(1), resume: None });
    room.link(client.link, Link::Check);
    room.handle(join(1, "Ann"));
    let mut seen = false;
    for tick in 1..800 {
        room.tick(Tick(tick));
        while let Some(output) = room.poll_output() {
            let Output::Send { frame, .. } = output else { continue };
            let bytes = frame.to_vec();
            let Ok((Lane::State, body)) = split(&bytes) else { continue };
            client.replica.apply(template.schema(), body).expect("good state");
            client.frames += 1;
            let all = client.replica.entities();
            let balls = all.filter(|(id, _)| client.replica.component(*id, number).is_some());
            let balls: Vec<u32> = balls.map(|(_, handle)| handle).collect();
            seen |= !balls.is_empty();
            assert_eq!(balls.len(), usize::from(seen), "tick {tick}");
            handles.extend(balls);
        }
        room.link(client.link, Link::Ack(Ack { frames: client.frames, event: 0 }));
    }
    assert_eq!(handles.len(), 1, "{handles:?}");
}

#[test]
fn it_stays_one_where_states_are_fewer_under_load() {
    for (seed, budget) in [(1, 0), (2, 600)] {
        println!("seed {seed}");
        let (mut rig, mut dice) = (Rig::new(budget), Dice::new(seed));
        for _ in 0..600 {
            let at = dice.below(SEATS) as usize;
            match dice.below(60) {
                0..4 => rig.hold(at),
                4 => rig.reconnect(at, rig.life),
                5..8 => rig.room.send_every(NonZeroU64::MIN.saturating_add(dice.below(4))),
                8 if dice.chance(30) => rig.restart(),
                _ => {}
            }
            rig.tick();
        }
        let compared: u32 = rig.clients.iter().map(|client| client.compared).sum();
        assert!(compared > 100, "{compared} states were compared");
    }
}
