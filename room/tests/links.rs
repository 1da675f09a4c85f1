//! Links: what is in flight, what a client that fell behind gets, and what a returning one gets.

mod common;

use std::num::NonZeroU64;

use common::{Say, Stick, bare, busy, join};
use referee_protocol::frame::{Ack, Lane, Prelude, lane, split};
use referee_protocol::message::{self, Resume, ServerControl};
use referee_protocol::{Incarnation, LinkId, Replica, Seat, SessionId};
use referee_room::entry::Entry;
use referee_room::output::Output;
use referee_room::prelude::*;
use referee_room::room::Link;
use referee_room::testkit::TestRoom;
use referee_room::{Room, Template};

/// Ticks once and gives the state frames sent to link 1.
fn tick(room: &mut Room, template: &Template, replica: &mut Replica) -> usize {
    let at = Tick(room.info().tick.0 + 1);
    room.tick(at);
    drain(room, template, replica)
}

fn drain(room: &mut Room, template: &Template, replica: &mut Replica) -> usize {
    let mut frames = 0;
    while let Some(output) = room.poll_output() {
        let Output::Send { link: LinkId(1), frame } = output else { continue };
        let bytes = frame.to_vec();
        if let Ok((Lane::State, body)) = split(&bytes) {
            replica.apply(template.schema(), body).expect("good state");
            frames += 1;
        }
    }
    frames
}

/// Whether it is a state frame that makes its client forget what it knew.
fn is_full(frame: &[u8]) -> bool {
    let is_state = lane(frame[0]) == Some(Lane::State);
    is_state && Prelude::decode(&mut &frame[..], Tick(0)).is_ok_and(|prelude| prelude.full)
}

/// A realtime room in which something changes in every tick.
fn moving() -> (std::sync::Arc<Template>, Room, Replica) {
    let (template, mut room) = bare(|game: &mut Game| {
        busy(game);
        game.systems(|mut all: Query<&mut common::Position>| {
            all.iter_mut().for_each(|mut at| at.x = (at.x + 0.5) % 90.0);
        });
    });
    room.link(LinkId(1), Link::Open { session: SessionId(1), resume: None });
    room.handle(join(1, "Ann"));
    (template, room, Replica::default())
}

#[test]
fn at_most_four_frames_are_in_flight_and_then_the_newest_comes_at_once() {
    let (template, mut room, mut replica) = moving();
    let sent: Vec<usize> = (0..10).map(|_| tick(&mut room, &template, &mut replica)).collect();
    assert_eq!(sent, [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]);
    let behind = replica.tick();
    room.link(LinkId(1), Link::Ack(Ack { frames: 4, event: 0 }));
    assert_eq!(drain(&mut room, &template, &mut replica), 1, "without a tick");
    assert!(replica.tick() > behind);
    assert_eq!(replica.tick(), room.info().tick);

    // It is what a client that was never behind knows.
    room.link(LinkId(1), Link::Close);
    room.link(LinkId(1), Link::Open { session: SessionId(9), resume: None });
    room.handle(Entry::Resume { session: SessionId(9), seat: Seat(0), generation: 1 });
    let mut fresh = Replica::default();
    tick(&mut room, &template, &mut fresh);
    assert_eq!(fresh.tick(), room.info().tick);
}

#[test]
fn no_state_is_made_for_a_client_whose_bytes_wait_and_then_the_newest_comes_at_once() {
    let (template, mut room, mut replica) = moving();
    assert_eq!(tick(&mut room, &template, &mut replica), 1);
    room.link(LinkId(1), Link::Held);
    let sent: usize = (0..5).map(|_| tick(&mut room, &template, &mut replica)).sum();
    assert_eq!((sent, room.counters().skipped_states), (0, 5));
    room.link(LinkId(1), Link::Ack(Ack { frames: 1, event: 0 }));
    assert_eq!(drain(&mut room, &template, &mut replica), 0, "it is still held");
    room.link(LinkId(1), Link::Written);
    assert_eq!(drain(&mut room, &template, &mut replica), 1, "without a tick");
    assert_eq!(replica.tick(), room.info().tick);
    room.link(LinkId(1), Link::Written);
    assert_eq!(drain(&mut room, &template, &mut replica), 0, "nothing is owed any more");
}

#[test]
fn a_wider_window_lets_more_frames_fly_and_a_narrower_one_fewer() {
    let (template, mut room, mut replica) = moving();
    let mut run = |room: &mut Room, ticks: usize| -> usize {
        (0..ticks).map(|_| tick(room, &template, &mut replica)).sum()
    };
    assert_eq!(run(&mut room, 10), 4);
    room.link(LinkId(1), Link::Window(18));
    // One at once, for it was owed.
    assert_eq!(run(&mut room, 30), 14);
    room.link(LinkId(1), Link::Window(0));
    room.link(LinkId(1), Link::Ack(Ack { frames: 14, event: 0 }));
    assert_eq!(run(&mut room, 10), 0, "four are on the way, and one is the least that may be");
    room.link(LinkId(1), Link::Window(u32::MAX));
    let most = referee_protocol::limits::FRAMES_IN_FLIGHT_LIMIT as usize;
    assert_eq!(run(&mut room, 100), most - 4);
}

#[test]
fn an_answer_that_was_withheld_comes_though_nothing_changed() {
    let (template, mut room) = quiet();
    room.link(LinkId(1), Link::Held);
    let def = &template.schema().actions[0];
    let payload = referee_protocol::frame::Payload::from_words(0, &def.ty, &[]);
    room.handle(Entry::Action { seat: Seat(0), number: 1, payload });
    let mut replica = Replica::default();
    assert_eq!(tick(&mut room, &template, &mut replica), 0);
    room.link(LinkId(1), Link::Written);
    let sent = std::iter::from_fn(|| room.poll_output()).find_map(|output| {
        let Output::Send { frame, .. } = output else { return None };
        let bytes = frame.to_vec();
        Prelude::decode(&mut &bytes[..], Tick(0)).ok()
    });
    assert_eq!(sent.expect("a frame").action, Some(1));
}

#[test]
fn all_clients_in_step_get_the_same_bytes() {
    let mut room = TestRoom::new(busy);
    let (ann, bob) = (room.join("Ann"), room.join("Bob"));
    room.run_ticks(2);
    let from = (room.frames(ann).len(), room.frames(bob).len());
    room.input(ann, &Stick { x: Axis(1.0), fire: true, ..Stick::default() });
    room.run_ticks(10);
    let bodies = |player, from: usize| -> Vec<Vec<u8>> {
        let frames: &[Vec<u8>] = &room.frames(player)[from..];
        let blocks = |frame: &Vec<u8>| {
            let mut rest = &frame[..]; // the prelude is each client's own
            Prelude::decode(&mut rest, Tick(0)).unwrap();
            rest.to_vec()
        };
        frames.iter().map(blocks).collect()
    };
    assert_eq!(bodies(ann, from.0), bodies(bob, from.1));
}

#[test]
fn a_returning_client_gets_only_what_changed() {
    let mut room = TestRoom::new(busy);
    let (ann, bob) = (room.join("Ann"), room.join("Bob"));
    for _ in 0..6 {
        room.join("filler");
    }
    let full = room.frames(ann)[0].len().max(room.frames(bob)[0].len());
    room.cut(ann);
    room.drop_connection(ann);
    room.act(bob, Say("meanwhile".into()));
    let before = room.frames(ann).len();
    room.resume(ann).unwrap();
    let frames = &room.frames(ann)[before..];
    let state = frames.iter().find(|frame| lane(frame[0]) == Some(Lane::State)).unwrap();
    assert!(!is_full(state), "it is no full frame");
    assert!(state.len() < full, "{} bytes against {full}", state.len());
    assert_eq!(room.events(ann).len(), 1);
    assert_eq!(room.seen_on_entities(ann, "Player").len(), 8);
}

#[test]
fn after_a_restart_only_what_changed_is_sent() {
    let mut room = TestRoom::new(busy);
    let ann = room.join("Ann");
    let others: Vec<_> = (0..6).map(|n| room.join(&format!("Player {n}"))).collect();
    room.cut(ann);
    room.act(others[0], Say("meanwhile".into()));
    room.restart();
    let before = room.frames(ann).len();
    room.resume(ann).expect("the seat outlives the restart");
    let frames = &room.frames(ann)[before..];
    let state = frames.iter().find(|frame| lane(frame[0]) == Some(Lane::State)).unwrap();
    assert!(!is_full(state), "it is no full frame");
    assert_eq!(room.events(ann).len(), 1, "what was said meanwhile is told, once");
    assert_eq!(room.seen_on_entities(ann, "Player").len(), 7);
}

#[test]
fn events_come_before_the_state_of_their_tick_and_in_order() {
    let mut room = TestRoom::new(busy);
    let ann = room.join("Ann");
    let before = room.frames(ann).len();
    room.act(ann, Say("one".into()));
    let lanes = room.frames(ann)[before..].iter().map(|frame| lane(frame[0]));
    assert_eq!(lanes.collect::<Vec<_>>(), [Some(Lane::Events), Some(Lane::State)]);
}

#[test]
fn a_quiet_realtime_room_still_says_so_five_times_a_second() {
    let mut room = TestRoom::new(|game: &mut Game| {
        game.realtime(20);
    });
    let ann = room.join("Ann");
    let before = room.frames(ann).len();
    room.run(Duration::from_secs(2));
    let frames = &room.frames(ann)[before..];
    assert_eq!(frames.len(), 10);
    assert!(frames.iter().all(|frame| frame.len() <= 4), "only a prelude");
}

#[test]
fn an_action_is_acknowledged_though_it_changed_nothing() {
    let (template, mut room, mut replica) = moving();
    let def = &template.schema().actions[1];
    tick(&mut room, &template, &mut replica);
    let payload = referee_protocol::frame::Payload::from_words(1, &def.ty, &[50]);
    room.handle(Entry::Action { seat: Seat(0), number: 1, payload });
    room.tick(Tick(room.info().tick.0 + 1));
    let mut acknowledged = None;
    while let Some(output) = room.poll_output() {
        if let Output::Send { frame, .. } = output {
            let bytes = frame.to_vec();
            let after = replica.tick();
            let prelude = Prelude::decode(&mut &bytes[..], after).unwrap();
            acknowledged = prelude.action;
        }
    }
    assert_eq!(acknowledged, Some(1));
}

#[derive(Component, Replicate)]
struct Ghost(u32);

#[test]
fn a_client_that_fell_behind_hears_of_what_went_meanwhile() {
    let (template, mut room) = bare(|game: &mut Game| {
        game.realtime(20).replicate::<Ghost>();
        game.player(|| Sees(vec![Group::Team(7)]));
        game.on_start(|mut commands: Commands| {
            commands.spawn((Ghost(1), InGroups(vec![Group::Team(7)])));
        });
        // Something changes in each tick; in the eighth the group's last entity goes.
        game.systems(
            |mut players: Query<&mut Player>,
             ghosts: Query<Entity, With<Ghost>>,
             time: Res<Time>,
             mut commands: Commands| {
                players.iter_mut().for_each(|mut player| player.name = time.tick.0.to_string());
                if time.tick.0 == 8 {
                    ghosts.iter().for_each(|ghost| commands.entity(ghost).despawn());
                }
            },
        );
    });
    room.link(LinkId(1), Link::Open { session: SessionId(1), resume: None });
    room.handle(join(1, "Ann"));
    let mut replica = Replica::default();
    let sent: usize = (0..12).map(|_| tick(&mut room, &template, &mut replica)).sum();
    assert_eq!((sent, replica.entities().count()), (4, 2), "a player and a ghost");
    room.link(LinkId(1), Link::Ack(Ack { frames: 4, event: 0 }));
    drain(&mut room, &template, &mut replica);
    assert_eq!(replica.entities().count(), 1, "the ghost is gone");
}

/// A quiet room whose one player's first connection is open; then a second takes its seat over, and
/// says that it knows the state of a tick. Gives the state frames that it gets.
fn take_over(template: &std::sync::Arc<Template>, room: &mut Room, tick: Tick) -> Vec<Vec<u8>> {
    let (session, generation) = (SessionId(2), 1);
    let resume = Some(Resume { incarnation: Incarnation(1), tick, event: 0 });
    room.link(LinkId(2), Link::Open { session, resume });
    room.handle(Entry::Resume { session, seat: Seat(0), generation });
    let mut replica = Replica::default();
    replica.set_tick(tick);
    let mut frames = Vec::new();
    room.tick(Tick(room.info().tick.0 + 1));
    while let Some(output) = room.poll_output() {
        let Output::Send { link: LinkId(2), frame } = output else { continue };
        let frame = frame.to_vec();
        if let Ok((Lane::State, body)) = split(&frame) {
            replica.apply(template.schema(), body).expect("good state");
            frames.push(frame);
        }
    }
    frames
}

#[derive(Action)]
struct Nod;

fn quiet() -> (std::sync::Arc<Template>, Room) {
    let (template, mut room) = bare(|game: &mut Game| {
        game.turn_based().action::<Nod>();
        game.systems(|_: Actions<Nod>| {});
    });
    room.link(LinkId(1), Link::Open { session: SessionId(1), resume: None });
    room.handle(join(1, "Ann"));
    // It goes on until nothing changes any more; then its client gets its frame.
    while tick(&mut room, &template, &mut Replica::default()) == 0 {}
    (template, room)
}

#[test]
fn a_client_that_comes_back_gets_a_frame_though_nothing_changed() {
    let (template, mut room) = quiet();
    let known = room.info().tick;
    let frames = take_over(&template, &mut room, known);
    assert_eq!(frames, [[1]], "it waits for it");
}

#[test]
fn a_client_that_knows_the_future_gets_everything() {
    let (template, mut room) = quiet();
    let frames = take_over(&template, &mut room, Tick(u64::MAX));
    assert!(is_full(&frames[0]));
}

#[derive(Component, Replicate)]
struct Crown;

#[test]
fn a_client_that_fell_behind_hears_of_components_that_went() {
    let (template, mut room) = bare(|game: &mut Game| {
        game.realtime(20).replicate::<Crown>();
        game.player(|| Crown);
        game.systems(
            |mut players: Query<(Entity, &mut Player)>, time: Res<Time>, mut commands: Commands| {
                for (entity, mut player) in &mut players {
                    player.name = time.tick.0.to_string();
                    if time.tick.0 == 8 {
                        commands.entity(entity).remove::<Crown>();
                    }
                }
            },
        );
    });
    room.link(LinkId(1), Link::Open { session: SessionId(1), resume: None });
    room.handle(join(1, "Ann"));
    let mut replica = Replica::default();
    for _ in 0..12 {
        tick(&mut room, &template, &mut replica);
    }
    let crown = |replica: &Replica| {
        let (id, _) = replica.entities().next().unwrap();
        replica.component(id, 1).is_some()
    };
    assert!(crown(&replica));
    room.link(LinkId(1), Link::Ack(Ack { frames: 4, event: 0 }));
    drain(&mut room, &template, &mut replica);
    assert!(!crown(&replica));
}

#[test]
fn a_client_whose_groups_changed_while_it_was_away_gets_them_whole() {
    let mut room = TestRoom::new(|game: &mut Game| {
        game.realtime(20).replicate::<Ghost>();
        game.on_start(|mut commands: Commands| {
            commands.spawn((Ghost(1), InGroups(vec![Group::Team(1)])));
            commands.spawn((Ghost(2), InGroups(vec![Group::Team(2)])));
        });
        game.player(|| Team(1));
        game.on_drop(|player: Player, mut commands: Commands| {
            commands.entity(player.entity).insert(Team(2));
        });
    });
    let ann = room.join("Ann");
    assert_eq!(room.seen_on_entities(ann, "Ghost"), [json!(1)]);
    room.drop_connection(ann);
    room.resume(ann).unwrap();
    assert_eq!(room.seen_on_entities(ann, "Ghost"), [json!(2)]);
}

#[derive(Event)]
struct Tale(#[field(max = 4000)] String);

#[test]
fn a_client_that_missed_more_events_than_are_kept_is_told_and_gets_everything_anew() {
    let (template, mut room) = bare(|game: &mut Game| {
        game.realtime(20).event::<Tale>();
        game.systems(|mut tales: Events<Tale>| tales.all(Tale("x".repeat(4000))));
    });
    let mut replica = Replica::default();
    room.link(LinkId(1), Link::Open { session: SessionId(1), resume: None });
    room.handle(join(1, "Ann"));
    tick(&mut room, &template, &mut replica);
    room.link(LinkId(1), Link::Close);
    room.handle(Entry::Drop { session: SessionId(1) });
    for _ in 0..100 {
        tick(&mut room, &template, &mut replica);
    }
    let (session, known) = (SessionId(2), room.info().tick);
    let resume = Some(Resume { incarnation: Incarnation(1), tick: known, event: 1 });
    room.link(LinkId(2), Link::Open { session, resume });
    room.handle(Entry::Resume { session, seat: Seat(0), generation: 1 });
    room.tick(Tick(known.0 + 1));
    let outputs: Vec<Output> = std::iter::from_fn(|| room.poll_output()).collect();
    let told = outputs.iter().any(|output| {
        let Output::Joined { outcome, .. } = output else { return false };
        matches!(outcome, referee_room::output::Joined::Seated { events_lost: true, .. })
    });
    let full = outputs.iter().any(|output| {
        let Output::Send { link: LinkId(2), frame } = output else { return false };
        is_full(&frame.to_vec())
    });
    assert!(told && full, "told {told}, full {full}");
}

#[test]
#[should_panic(expected = "a client sees what the room does not show")]
fn a_client_with_another_view_than_the_room_says_is_found() {
    let mut room = TestRoom::new(busy);
    let ann = room.join("Ann");
    room.run_ticks(2);
    room.corrupt(ann);
    room.act(ann, Say("x".into()));
    room.run_ticks(2);
}

#[test]
fn under_load_states_come_in_some_ticks_only_and_have_all_that_changed() {
    let (template, mut room, mut replica) = moving();
    room.link(LinkId(1), Link::Check);
    room.send_every(NonZeroU64::new(3).unwrap());
    let mut sent = vec![];
    for _ in 0..31 {
        room.tick(Tick(room.info().tick.0 + 1));
        let mut frames = 0;
        while let Some(output) = room.poll_output() {
            let Output::Send { link: LinkId(1), frame } = output else { continue };
            let bytes = frame.to_vec();
            match split(&bytes) {
                Ok((Lane::State, body)) => {
                    replica.apply(template.schema(), body).expect("good state");
                    frames += 1;
                    room.link(
                        LinkId(1),
                        Link::Ack(Ack { frames: sent.len() as u64 + 1, event: 0 }),
                    );
                }
                Ok((Lane::Control, body)) => {
                    let Ok(ServerControl::Check { hash }) = message::decode(body) else { continue };
                    assert_eq!(hash, replica.hash(), "at tick {}", replica.tick().0);
                }
                _ => {}
            }
        }
        (0..frames).for_each(|_| sent.push(room.info().tick.0));
    }
    // The first state comes at once.
    assert_eq!(sent, [1, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30]);
    room.send_every(NonZeroU64::MIN);
    assert_eq!(tick(&mut room, &template, &mut replica), 1);
}
