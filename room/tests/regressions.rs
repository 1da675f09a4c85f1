//! Bugs that were: each test failed once.

mod common;

use common::{Tally, bare, busy, join};
use referee_protocol::frame::{Ack, Lane, Payload, split};
use referee_protocol::message::Resume;
use referee_protocol::{Incarnation, LinkId, Replica, Seat, SessionId, WireId};
use referee_room::entry::Entry;
use referee_room::output::Output;
use referee_room::prelude::*;
use referee_room::room::{Link, NextTick};
use referee_room::{Room, Template};
use std::collections::BTreeMap;

struct Clients(BTreeMap<LinkId, Replica>);

impl Clients {
    fn drain(&mut self, room: &mut Room, template: &Template) {
        while let Some(output) = room.poll_output() {
            let Output::Send { link, frame } = output else { continue };
            let bytes = frame.to_vec();
            if let Ok((Lane::State, body)) = split(&bytes) {
                let replica = self.0.entry(link).or_default();
                replica.apply(template.schema(), body).expect("good state");
            }
        }
    }

    fn tick(&mut self, room: &mut Room, template: &Template) {
        room.tick(Tick(room.info().tick.0 + 1));
        self.drain(room, template);
    }

    fn state(&self, link: u64) -> String {
        let replica = &self.0[&LinkId(link)];
        let ids = std::iter::once(WireId::ROOM).chain(replica.entities().map(|(id, _)| id));
        format!("{:?}", ids.map(|id| (id, replica.components(id))).collect::<BTreeMap<_, _>>())
    }
}

fn counting() -> (std::sync::Arc<Template>, Room) {
    bare(|game: &mut Game| {
        game.realtime(20).replicate::<Tally>();
        game.systems(|mut tally: ResMut<Tally>, time: Res<Time>| tally.added = time.tick.0 as u32);
    })
}

/// Two clients are stuck at one tick. One acknowledges between two ticks, and gets a block since
/// that tick; the other comes back in the next tick, saying that it knows the same tick.
#[test]
fn a_block_made_between_ticks_is_not_what_a_client_gets_in_the_next_one() {
    let (template, mut room) = counting();
    let mut clients = Clients(BTreeMap::new());
    for n in [1, 2] {
        room.link(LinkId(n), Link::Open { session: SessionId(n), resume: None });
        room.handle(join(n, "x"));
    }
    for _ in 0..6 {
        clients.tick(&mut room, &template);
    }
    let stuck = clients.0[&LinkId(2)].tick();
    assert_eq!((stuck, clients.0[&LinkId(1)].tick()), (Tick(4), Tick(4)), "both have four");
    // Bob's connection breaks, and he is back at once: his client knows the state of tick 4.
    room.link(LinkId(2), Link::Close);
    room.handle(Entry::Drop { session: SessionId(2) });
    let resume = Some(Resume { incarnation: Incarnation(1), tick: stuck, event: 0 });
    room.link(LinkId(3), Link::Open { session: SessionId(3), resume });
    room.handle(Entry::Resume { session: SessionId(3), seat: Seat(1), generation: 2 });
    let known = clients.0.remove(&LinkId(2)).unwrap();
    clients.0.insert(LinkId(3), known);
    // Ann's acknowledgement comes first.
    room.link(LinkId(1), Link::Ack(Ack { frames: 4, event: 0 }));
    clients.drain(&mut room, &template);
    clients.tick(&mut room, &template);
    assert_eq!(clients.0[&LinkId(3)].tick(), clients.0[&LinkId(1)].tick());
    assert_eq!(clients.state(3), clients.state(1), "both have this tick's state");
}

/// The same with a whole block: one who was behind joined a team; somebody new joins it in the next
/// tick.
#[derive(Component, Replicate)]
#[replicate(to = team)]
struct TeamScore(u32);

#[test]
fn a_whole_block_made_between_ticks_is_not_what_a_newcomer_gets_in_the_next_one() {
    let (template, mut room) = bare(|game: &mut Game| {
        game.realtime(20).replicate::<TeamScore>().replicate::<Tally>();
        // Everybody sees with team 7 from tick 6 on.
        game.on_start(|mut commands: Commands| {
            commands.spawn((TeamScore(0), Team(7)));
        });
        game.systems(
            |mut score: Query<&mut TeamScore>,
             players: Query<Entity, With<Player>>,
             mut tally: ResMut<Tally>,
             time: Res<Time>,
             mut commands: Commands| {
                score.iter_mut().for_each(|mut score| score.0 = time.tick.0 as u32);
                tally.added = time.tick.0 as u32;
                if time.tick.0 >= 6 {
                    players.iter().for_each(|p| {
                        commands.entity(p).insert(Team(7));
                    });
                }
            },
        );
    });
    let mut clients = Clients(BTreeMap::new());
    room.link(LinkId(1), Link::Open { session: SessionId(1), resume: None });
    room.handle(join(1, "Ann"));
    for _ in 0..8 {
        clients.tick(&mut room, &template);
    }
    room.link(LinkId(2), Link::Open { session: SessionId(2), resume: None });
    room.handle(join(2, "Bob"));
    room.link(LinkId(1), Link::Ack(Ack { frames: 4, event: 0 }));
    clients.drain(&mut room, &template);
    clients.tick(&mut room, &template);
    // Both see with the team; both have the newest tick.
    let score = template.schema().components.iter().position(|c| c.name == "TeamScore").unwrap();
    let seen = |link: u64| {
        let replica = &clients.0[&LinkId(link)];
        let of = |(id, _)| replica.component(id, score as u16).map(<[u32]>::to_vec);
        replica.entities().filter_map(of).collect::<Vec<_>>()
    };
    assert_eq!((clients.0[&LinkId(1)].tick(), clients.0[&LinkId(2)].tick()), (Tick(9), Tick(9)));
    assert_eq!((seen(2), seen(1)), (vec![vec![9]], vec![vec![9]]), "the score is the tick");
}

#[test]
fn a_sample_for_an_absurd_tick_harms_nobody() {
    let (template, mut room) = bare(busy);
    room.link(LinkId(1), Link::Open { session: SessionId(1), resume: None });
    room.handle(join(1, "Ann"));
    room.tick(Tick(1));
    let def = &template.schema().inputs[0];
    let payload = Payload::from_words(0, &def.ty, &[0, 0, 0]);
    room.handle(Entry::Input { seat: Seat(0), sample: 1, tick: Tick(1 << 63), payload });
    room.tick(Tick(2));
}

#[derive(Resource, Replicate, Default)]
struct Left(u32);
#[derive(Action)]
struct Go;

fn run_out(room: &mut Room) -> (Tick, Vec<Vec<u8>>) {
    let mut saved = Vec::new();
    while let NextTick::Now(at) = room.next_due(Tick(0)) {
        room.tick(at);
        while let Some(output) = room.poll_output() {
            if let Output::Save(snapshot) = output {
                saved.push(snapshot);
            }
        }
    }
    (room.info().tick, saved)
}

/// Save + restore + continue equals no interruption, also where the save fell between two ticks of
/// a turn that was still settling.
#[test]
fn a_room_restored_in_the_middle_of_a_turn_goes_on() {
    let (template, mut room) = bare(|game: &mut Game| {
        game.turn_based().snapshot_ticks(10).replicate::<Left>().action::<Go>();
        game.systems(|mut left: ResMut<Left>, go: Actions<Go>| {
            if !go.is_empty() {
                left.0 = 40;
            } else if left.0 > 0 {
                left.0 -= 1;
            }
        });
    });
    room.handle(join(1, "Ann"));
    run_out(&mut room);
    let payload = Payload::from_words(0, &template.schema().actions[0].ty, &[]);
    room.handle(Entry::Action { seat: Seat(0), number: 1, payload });
    let (end, saved) = run_out(&mut room);
    let mut back = Room::restore(&template, &saved[0], [1; 32]).unwrap();
    let (end_of_restored, _) = run_out(&mut back);
    assert_eq!(end_of_restored, end, "the restored room rests in the middle of the turn");
}

#[derive(Component, Replicate)]
struct Ghost(u32);

/// A reference in what everyone sees, to an entity that only a cell shows: everyone's space is wider
/// than the grid's, so it must be none, for all who do not see the cell.
#[test]
fn what_everyone_sees_names_nothing_that_only_a_cell_shows() {
    let (template, mut room) = bare(|game: &mut Game| {
        game.realtime(20).replicate::<Ghost>().replicate::<common::Shot>();
        game.on_start(|mut commands: Commands| {
            let hidden = commands.spawn((Ghost(1), InGroups(vec![Group::Cell(5)]))).id();
            commands.spawn(common::Shot { by: hidden, left: 9 });
        });
    });
    let mut clients = Clients(BTreeMap::new());
    room.link(LinkId(1), Link::Open { session: SessionId(1), resume: None });
    room.handle(join(1, "Ann"));
    clients.tick(&mut room, &template);
    let replica = &clients.0[&LinkId(1)];
    let shot = template.schema().components.iter().position(|c| c.name == "Shot").unwrap() as u16;
    let words: Vec<Vec<u32>> = replica
        .entities()
        .filter_map(|(id, _)| replica.component(id, shot).map(<[u32]>::to_vec))
        .collect();
    assert_eq!(words, [vec![0, 9]], "Ann sees no cell");
}

/// A turn-based room's tick is a millisecond: a timer of a millisecond is not due before it is over.
#[test]
fn a_timer_for_the_next_tick_waits_for_its_time() {
    let (_, mut room) = bare(|game: &mut Game| {
        game.turn_based().timer::<Nap>();
        game.on_start(|mut naps: Timers<Nap>| naps.after(Duration::ZERO, Nap(0)));
        game.systems(|mut naps: Timers<Nap>| naps.after(Duration::ZERO, Nap(0)));
    });
    // No time passes at all, and yet:
    for _ in 0..1000 {
        match room.next_due(Tick(1)) {
            NextTick::Now(at) => room.tick(at),
            NextTick::At(_) | NextTick::Never => break,
        }
    }
    assert!(room.info().tick <= Tick(64), "the room's clock says {:?}", room.info().tick);
}

#[derive(Replicate, Clone)]
struct Nap(u32);

/// A client reads at most 65,536 entities; a room that shows more locks every client out, for good.
#[test]
fn a_room_does_not_show_more_entities_than_a_client_reads() {
    let (template, mut room) = bare(|game: &mut Game| {
        game.realtime(20).replicate::<Ghost>();
        game.on_start(|mut commands: Commands| {
            commands.spawn_batch((0..70_000).map(Ghost));
        });
    });
    let mut clients = Clients(BTreeMap::new());
    room.link(LinkId(1), Link::Open { session: SessionId(1), resume: None });
    room.handle(join(1, "Ann"));
    clients.tick(&mut room, &template);
}
