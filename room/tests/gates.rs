//! Types of a game that is not gated which clients hear of once they are on disk.

mod common;

use common::{bare, join};
use referee_protocol::frame::{Ack, EventsFrame, Lane, split};
use referee_protocol::{LinkId, Replica, SessionId, WireId};
use referee_room::entry::Entry;
use referee_room::output::Output;
use referee_room::prelude::*;
use referee_room::room::Link;
use referee_room::{Room, Template};

/// How many ticks there were, which is told at once.
#[derive(Resource, Replicate, Default)]
struct Clock(u32);

/// The same, told once it is on disk.
#[derive(Resource, Replicate, Default)]
struct Bank(u32);

/// Something that comes later, with a value that is told once it is on disk.
#[derive(Component, Replicate)]
struct Coin(u32);

#[derive(Event, Clone)]
struct Won(u32);

#[derive(Event, Clone)]
struct Heard(u32);

fn game(game: &mut Game) {
    game.realtime(20).replicate::<Clock>().replicate::<Bank>().replicate::<Coin>();
    game.event::<Won>().event::<Heard>().gate::<Bank>().gate::<Won>().gate::<Coin>();
    game.systems(play);
}

fn play(
    (mut clock, mut bank): (ResMut<Clock>, ResMut<Bank>),
    (mut won, mut heard): (Events<Won>, Events<Heard>),
    (time, mut commands): (Res<Time>, Commands),
) {
    let now = time.tick.0 as u32;
    (clock.0, bank.0) = (now, now);
    if now == 3 {
        commands.spawn(Coin(3));
        won.all(Won(now));
        heard.all(Heard(now));
    }
}

struct Rig {
    template: std::sync::Arc<Template>,
    room: Room,
    replica: Replica,
    frames: u64,
    events: Vec<(u16, u64)>,
}

impl Rig {
    fn new() -> Self {
        let (template, mut room) = bare(game);
        room.link(LinkId(1), Link::Open { session: SessionId(1), resume: None });
        room.handle(join(1, "Ann"));
        Self { template, room, replica: Replica::default(), frames: 0, events: vec![] }
    }

    fn tick(&mut self) {
        let at = Tick(self.room.info().tick.0 + 1);
        self.room.tick(at);
        while let Some(output) = self.room.poll_output() {
            let Output::Send { frame, .. } = output else { continue };
            let bytes = frame.to_vec();
            match split(&bytes) {
                Ok((Lane::State, body)) => {
                    self.replica.apply(self.template.schema(), body).expect("good state");
                    self.frames += 1;
                }
                Ok((Lane::Events, body)) => {
                    let frame = EventsFrame::decode(body).expect("good events");
                    self.events.extend(frame.events.iter().map(|e| (e.kind, frame.first)));
                }
                _ => {}
            }
        }
        let ack = Ack { frames: self.frames, event: 0 };
        self.room.link(LinkId(1), Link::Ack(ack));
    }

    fn seen(&self, name: &str) -> Option<u32> {
        let components = &self.template.schema().components;
        let number = components.iter().position(|def| def.name == name)? as u16;
        let ids = self.replica.entities().map(|(id, _)| id).chain([WireId::ROOM]);
        ids.into_iter().find_map(|id| self.replica.component(id, number)).map(|words| words[0])
    }
}

#[test]
fn without_a_disk_all_is_told_at_once() {
    let mut rig = Rig::new();
    (0..4).for_each(|_| rig.tick());
    assert_eq!(
        (rig.seen("Clock"), rig.seen("Bank"), rig.seen("Coin")),
        (Some(4), Some(4), Some(3))
    );
    assert_eq!(rig.events.len(), 2);
}

#[test]
fn what_is_gated_is_told_as_it_is_on_disk_and_the_rest_as_it_is() {
    let mut rig = Rig::new();
    rig.room.durable(Tick(0));
    (0..5).for_each(|_| rig.tick());
    assert_eq!((rig.seen("Clock"), rig.seen("Bank"), rig.seen("Coin")), (Some(5), None, None));
    assert_eq!(rig.events, [], "an event waits, and what comes after it");
    rig.room.durable(Tick(2));
    rig.tick();
    let bank = rig.seen("Bank").expect("something of it is on disk");
    assert!((1..=2).contains(&bank), "{bank}");
    assert_eq!((rig.seen("Clock"), rig.seen("Coin")), (Some(6), None));
    rig.room.durable(Tick(6));
    rig.tick();
    let bank = rig.seen("Bank").expect("something of it is on disk");
    assert!((3..=6).contains(&bank), "{bank}");
    assert_eq!(rig.seen("Coin"), Some(3));
    assert_eq!(rig.events.len(), 2, "both come, in order");
    assert!(rig.events[0].0 < rig.events[1].0, "{:?}", rig.events);
}

#[test]
fn a_gate_in_a_game_without_such_a_question_is_a_mistake() {
    let refused = |rules: fn(&mut Game)| {
        let made = Template::new("test", move |rules_of: &mut Game| {
            game(rules_of);
            rules(rules_of);
        });
        made.err().map(|error| error.to_string())
    };
    assert_eq!(refused(|_| {}), None);
    for rules in [
        (|game| {
            game.gated();
        }) as fn(&mut Game),
        |game| {
            game.ephemeral();
        },
    ] {
        let error = refused(rules).expect("it is refused");
        assert!(error.contains("gate::<Bank>: only a realtime game"), "{error}");
    }
    let error = refused(|game| {
        game.gate::<Timeless>();
    })
    .expect("it is refused");
    assert!(error.contains("gate::<Timeless>: no such type is sent"), "{error}");
}

#[derive(Component, Replicate)]
struct Timeless(u32);

#[test]
fn a_rebuild_opens_no_gate() {
    let mut rig = Rig::new();
    (0..4).for_each(|_| rig.tick());
    assert_eq!(rig.seen("Coin"), Some(3));
    rig.room.durable(Tick(4));
    rig.room.handle(Entry::Seal);
    rig.tick();
    assert_eq!((rig.seen("Bank"), rig.seen("Clock")), (Some(4), Some(5)));
}
