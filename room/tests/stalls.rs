//! A client that stalls while things come and go: what it is told after each stall is what there is.

mod common;

use std::collections::BTreeMap;

use common::{bare, join};
use referee_protocol::frame::{Ack, Lane, split};
use referee_protocol::message::{self, ServerControl};
use referee_protocol::{LinkId, Replica, SessionId};
use referee_room::output::Output;
use referee_room::prelude::*;
use referee_room::room::Link;
use referee_room::{Room, Template};

/// A thing that lasts a few ticks, and which one it is.
#[derive(Component, Replicate)]
struct Spark(u32);

const LASTS: u64 = 8;
const HZ: u16 = 20;
const LINK: LinkId = LinkId(1);

fn sparks(game: &mut Game) {
    game.realtime(HZ).replicate::<Spark>();
    game.systems(|sparks: Query<(Entity, &Spark)>, time: Res<Time>, mut commands: Commands| {
        for (entity, _) in sparks.iter().filter(|(_, s)| u64::from(s.0) + LASTS <= time.tick.0) {
            commands.entity(entity).despawn();
        }
        commands.spawn(Spark(time.tick.0 as u32));
    });
}

/// What one team sees all the time, and everyone now and then: then the team's name for it is theirs.
#[derive(Component, Replicate)]
struct Flare(u8);

fn flares(game: &mut Game) {
    game.realtime(HZ).replicate::<Flare>();
    game.player(|| Team(1));
    game.on_start(|mut commands: Commands| {
        commands.spawn((Flare(7), InGroups(vec![Group::Team(1)])));
    });
    game.systems(|mut flares: Query<(&mut Flare, &mut InGroups)>, time: Res<Time>| {
        for (mut flare, mut groups) in &mut flares {
            flare.0 = time.tick.0 as u8;
            if !time.tick.0.is_multiple_of(10) {
                continue;
            }
            let team = [Group::Team(1)];
            let all = [Group::Everyone, Group::Team(1)];
            let lit = time.tick.0.is_multiple_of(20);
            groups.0 = if lit { all.into() } else { team.into() };
        }
    });
}

struct Rig {
    template: std::sync::Arc<Template>,
    room: Room,
    replica: Replica,
    frames: u64,
    compared: u32,
    /// Which spark each handle was seen to be.
    known: BTreeMap<u32, u32>,
}

impl Rig {
    fn new(game: fn(&mut Game)) -> Self {
        let (template, mut room) = bare(game);
        room.link(LINK, Link::Open { session: SessionId(1), resume: None });
        room.link(LINK, Link::Check);
        room.handle(join(1, "Ann"));
        let (replica, known) = (Replica::new(HZ), BTreeMap::new());
        Self { template, room, replica, frames: 0, compared: 0, known }
    }

    fn tick(&mut self, n: u64) {
        self.room.tick(Tick(n));
        self.receive(n);
    }

    fn receive(&mut self, n: u64) {
        while let Some(output) = self.room.poll_output() {
            let Output::Send { frame, .. } = output else { continue };
            let bytes = frame.to_vec();
            match split(&bytes).expect("a frame") {
                (Lane::State, body) => {
                    let applied = self.replica.apply(self.template.schema(), body);
                    applied.unwrap_or_else(|error| panic!("tick {n}: {error}"));
                    self.frames += 1;
                }
                (Lane::Control, body) => {
                    let told = message::decode(body).expect("a message");
                    let ServerControl::Check { hash } = told else { continue };
                    assert_eq!(self.replica.hash(), hash, "tick {n}");
                    self.compared += 1;
                }
                _ => {}
            }
        }
        self.room.link(LINK, Link::Ack(Ack { frames: self.frames, event: 0 }));
        self.look(n);
    }

    /// No entity becomes another one.
    fn look(&mut self, n: u64) {
        let components = &self.template.schema().components;
        let Some(spark) = components.iter().position(|def| def.name == "Spark") else { return };
        for (id, handle) in self.replica.entities() {
            let Some(words) = self.replica.component(id, spark as u16) else { continue };
            let was = *self.known.entry(handle).or_insert(words[0]);
            assert_eq!(was, words[0], "tick {n}: entity {handle} became another one");
        }
    }
}

#[test]
fn after_a_stall_a_client_sees_what_there_is_and_no_entity_becomes_another() {
    let mut rig = Rig::new(sparks);
    for n in 1..4_000 {
        match n % 20 {
            2 => rig.room.link(LINK, Link::Held),
            14 => rig.room.link(LINK, Link::Written),
            _ => {}
        }
        rig.tick(n);
    }
    assert!(rig.compared > 1_500, "{} states were compared", rig.compared);
}

#[test]
fn after_a_stall_a_client_does_not_know_an_entity_by_the_name_it_had_before() {
    let mut rig = Rig::new(flares);
    for n in 1..400 {
        match n % 30 {
            8 => rig.room.link(LINK, Link::Held),
            14 => rig.room.link(LINK, Link::Written),
            _ => {}
        }
        rig.tick(n);
        let flares = rig.template.schema().components.iter().position(|def| def.name == "Flare");
        let flares = flares.map_or(0, |number| number as u16);
        let shown = rig.replica.entities();
        let shown = shown.filter(|(id, _)| rig.replica.component(*id, flares).is_some()).count();
        assert!(n < 2 || shown == 1, "tick {n}: the one flare is {shown}");
    }
    assert!(rig.compared > 50, "{} states were compared", rig.compared);
}

#[test]
fn ids_stay_small_however_long_a_match_lasts() {
    let mut rig = Rig::new(sparks);
    for n in 1..3_000 {
        rig.tick(n);
    }
    let largest = rig.replica.entities().map(|(id, _)| id.0).max();
    // Ten entities are there at a time, and nobody bears a name for a second after its last bearer: eight
    // random bits, two of the space's mark.
    assert!(largest < Some(1 << 10), "{largest:?}");
}
