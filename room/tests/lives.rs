//! Names and references over several groups, and what a client is told by a later life of its room.

mod common;

use common::bare;
use referee_protocol::frame::{Ack, Lane, split};
use referee_protocol::message::{self, Resume, ServerControl};
use referee_protocol::{Incarnation, LinkId, Replica, SessionId};
use referee_room::entry::Create;
use referee_room::output::Output;
use referee_room::prelude::*;
use referee_room::revive::{Base, Passage, Revival};
use referee_room::room::Link;
use referee_room::testkit::TestRoom;
use referee_room::{Entry, Room, Template};

#[derive(Component, Replicate)]
struct Unit(u32);

#[derive(Action)]
struct Nod;

/// Two groups of a game's own whose numbers differ by 1,024.
fn two_teams(game: &mut Game) {
    game.turn_based().replicate::<Unit>().action::<Nod>();
    game.player(|| Sees(vec![Group::Team(1), Group::Team(1025)]));
    game.systems(|nods: Actions<Nod>, mut commands: Commands| {
        for _ in &nods {
            for team in [1, 1025] {
                for n in 0..40 {
                    commands.spawn((Unit(team * 100 + n), InGroups(vec![Group::Team(team)])));
                }
            }
        }
    });
}

/// A client that sees several spaces never meets the same name twice.
#[test]
fn two_groups_of_a_client_never_give_two_entities_one_name() {
    for seed in 0..5 {
        let mut room = TestRoom::with(two_teams, seed, &Value::Null).unwrap();
        let ann = room.join("Ann");
        room.act(ann, Nod);
        assert_eq!(room.seen_on_entities(ann, "Unit").len(), 80, "seed {seed}");
    }
}

#[derive(Component, Replicate)]
#[replicate(to = owner)]
struct Target(Option<Entity>);

#[derive(Action)]
struct Aim;

#[derive(Action)]
struct Pick(Option<Entity>);

#[derive(Resource, Replicate, Default)]
struct Picked(u32);

fn aims(game: &mut Game) {
    game.turn_based().replicate::<Unit>().replicate::<Target>().action::<Aim>().action::<Pick>();
    game.replicate::<Picked>();
    game.player(|| (Team(1), Target(None)));
    game.systems(
        |aims: Actions<Aim>,
         picks: Actions<Pick>,
         units: Query<&Unit>,
         mut picked: ResMut<Picked>,
         mut commands: Commands| {
            for (player, _) in &aims {
                let unit = commands.spawn((Unit(5), InGroups(vec![Group::Team(1)]))).id();
                commands.entity(player).insert(Target(Some(unit)));
            }
            for (_, pick) in &picks {
                picked.0 += u32::from(pick.0.is_some_and(|unit| units.contains(unit)));
            }
        },
    );
}

#[test]
fn a_players_own_component_refers_to_what_its_team_shows() {
    let mut room = TestRoom::new(aims);
    let ann = room.join("Ann");
    room.act(ann, Aim);
    assert_eq!(room.seen_on_entities(ann, "Unit"), [json!(5)], "it sees the unit");
    let target = room.seen_on_entities(ann, "Target");
    assert_ne!(target, [json!(null)], "and is told of it");
    assert_ne!(target, [json!(0)], "and is told of it");
}

#[derive(Resource, Replicate, Default)]
struct Sum(u32);

#[derive(Resource, Replicate, Default)]
struct Clock(u32);

/// A nod counts as so many.
fn sums(each: u32) -> impl Fn(&mut Game) + Send + Sync {
    move |game: &mut Game| {
        game.realtime(20).replicate::<Sum>().replicate::<Clock>().action::<Nod>();
        game.systems(move |nods: Actions<Nod>, mut sum: ResMut<Sum>, mut clock: ResMut<Clock>| {
            clock.0 += 1;
            if !nods.is_empty() {
                sum.0 += each;
            }
        });
    }
}

fn take(room: &mut Room) -> Passage {
    let mut bytes = vec![];
    let span = room.take_journal(&mut bytes).expect("ticks have run");
    Passage { after: span.after, upto: span.upto, bytes }
}

fn pump(room: &mut Room, template: &Template, replica: &mut Replica, link: LinkId) -> bool {
    let (mut good, mut frames) = (true, 0);
    while let Some(output) = room.poll_output() {
        let Output::Send { link: to, frame } = output else { continue };
        if to != link {
            continue;
        }
        let frame = frame.to_vec();
        match split(&frame).expect("a frame") {
            (Lane::State, body) => {
                replica.apply(template.schema(), body).expect("good state");
                frames += 1;
            }
            (Lane::Control, body) => {
                let told = message::decode(body).expect("a message");
                if let ServerControl::Check { hash } = told {
                    good &= replica.hash() == hash;
                }
            }
            _ => {}
        }
    }
    if frames > 0 {
        room.link(link, Link::Ack(Ack { frames: u64::MAX, event: 0 }));
    }
    good
}

/// A life in which Ann nods once, up to this tick: what her client has then, and the journal.
fn nodded(upto: u64) -> (Replica, Passage) {
    let (template, mut room) = bare(sums(1));
    room.record();
    room.handle(Entry::Begin { incarnation: Incarnation(3) });
    let mut replica = Replica::new(20);
    room.link(LinkId(1), Link::Open { session: SessionId(1), resume: None });
    room.handle(common::join(1, "Ann"));
    room.tick(Tick(1));
    let nod = common::script::payload(&template, true, 0, &Nod);
    room.handle(Entry::Action { seat: Seat(0), number: 1, payload: nod });
    for tick in 2..=upto {
        room.tick(Tick(tick));
        pump(&mut room, &template, &mut replica, LinkId(1));
    }
    (replica, take(&mut room))
}

/// Its client comes back to the next life of the room, and sees what that shows.
#[track_caller]
fn comes_back(template: &Template, mut room: Room, mut replica: Replica) {
    room.handle(Entry::Begin { incarnation: Incarnation(4) });
    let resume = Some(Resume { incarnation: Incarnation(3), tick: replica.tick(), event: 0 });
    let session = SessionId(7);
    room.link(LinkId(7), Link::Open { session, resume });
    room.link(LinkId(7), Link::Check);
    room.handle(Entry::Resume { session, seat: Seat(0), generation: 1 });
    let from = room.info().tick.0 + 1;
    for tick in from..from + 50 {
        room.tick(Tick(tick));
        let good = pump(&mut room, template, &mut replica, LinkId(7));
        assert!(good, "tick {tick}: the client shows what the room does not");
    }
}

/// A replay may come to another state: under a changed build, or in a game that is not deterministic. Then
/// nothing that clients were told counts.
#[test]
fn who_knows_a_state_that_the_replay_did_not_come_to_gets_it_anew() {
    let (replica, passage) = nodded(100);
    // A crash, and a build in which a nod counts as two.
    let newer = Template::new("test", sums(2)).unwrap();
    let create = Create { seed: [3; 32], ..Create::default() };
    let revived =
        Revival::new(&newer, Base::Create(create), vec![passage], [9; 32]).finish().unwrap();
    assert!(revived.report.differs.is_some(), "it is noticed");
    comes_back(&newer, revived.room, replica);
}

/// The same where a tick panics in the replay and is run without its acts.
#[test]
fn who_knows_what_an_act_did_that_the_replay_left_out_gets_it_anew() {
    let (replica, passage) = nodded(10);
    let newer = Template::new("test", |game: &mut Game| {
        sums(1)(game);
        game.systems(|nods: Actions<Nod>| assert!(nods.is_empty(), "boom"));
    })
    .unwrap();
    let create = Create { seed: [3; 32], ..Create::default() };
    let revived =
        Revival::new(&newer, Base::Create(create), vec![passage], [9; 32]).finish().unwrap();
    assert_eq!(revived.report.panicked, [Tick(2)]);
    comes_back(&newer, revived.room, replica);
}

#[derive(Event, Clone)]
struct Told(u32);

#[derive(Event, Clone)]
struct Newer(u32);

fn tells(game: &mut Game) {
    game.realtime(20).max_players(2).replicate::<Clock>().action::<Nod>().event::<Told>();
    game.systems(|mut clock: ResMut<Clock>, nods: Actions<Nod>, mut told: Events<Told>| {
        clock.0 += 1;
        for _ in &nods {
            told.all(Told(clock.0));
        }
    });
}

/// The same in a build that knows one more event (or was trained anew): its schema is another.
fn tells_more(game: &mut Game) {
    tells(game);
    game.event::<Newer>();
}

/// A room in which Ann nodded five times, and went before Bob did; sealed, and started by a newer build.
fn deployed() -> Room {
    let (template, mut room) = bare(tells);
    room.record();
    room.handle(Entry::Begin { incarnation: Incarnation(3) });
    room.link(LinkId(1), Link::Open { session: SessionId(1), resume: None });
    room.handle(common::join(1, "Ann"));
    room.handle(common::join(2, "Bob"));
    room.tick(Tick(1));
    let nod = |seat, number| {
        let payload = common::script::payload(&template, true, 0, &Nod);
        Entry::Action { seat: Seat(seat), number, payload }
    };
    for number in 1..=5 {
        room.handle(nod(0, number));
        room.tick(Tick(number + 1));
    }
    room.link(LinkId(1), Link::Ack(Ack { frames: 9, event: 5 }));
    room.link(LinkId(1), Link::Close);
    room.handle(Entry::Drop { session: SessionId(1) });
    room.handle(nod(1, 1));
    room.handle(Entry::Seal);
    room.tick(Tick(7));
    let snapshot = room.snapshot();
    let newer = Template::new("test", tells_more).expect("it is a game");
    let mut again =
        Room::restore(&newer, &snapshot, [9; 32]).expect("its state is of the same types");
    again.record();
    again
}

fn joined(room: &mut Room) -> (u64, u64, bool) {
    let mut found = None;
    while let Some(output) = room.poll_output() {
        if let Output::Joined { outcome, .. } = output {
            found = Some(outcome);
        }
    }
    match found {
        Some(referee_room::output::Joined::Seated {
            last_action, last_event, events_lost, ..
        }) => (last_action, last_event, events_lost),
        other => panic!("{other:?}"),
    }
}

/// Events that waited for a seat are written by a schema that is no more.
#[test]
fn who_comes_back_to_another_schema_is_told_that_events_are_lost() {
    let mut room = deployed();
    room.handle(Entry::Begin { incarnation: Incarnation(4) });
    let session = SessionId(7);
    room.link(LinkId(7), Link::Open { session, resume: None });
    room.handle(Entry::Resume { session, seat: Seat(0), generation: 1 });
    room.tick(Tick(8));
    let (mut lost, mut events) = (false, 0);
    while let Some(output) = room.poll_output() {
        match output {
            Output::Joined {
                outcome: referee_room::output::Joined::Seated { events_lost, .. },
                ..
            } => lost = events_lost,
            Output::Send { frame, .. } if frame.to_vec()[0] == Lane::Events as u8 => events += 1,
            _ => {}
        }
    }
    assert!(lost || events == 1, "Bob's nod is neither told nor told to be lost");
}

/// Else it would number its next action anew, and the room would take it for one that it has had.
#[test]
fn who_comes_back_to_another_schema_is_told_its_last_action() {
    let mut room = deployed();
    // As `host/live.rs` begins a life of a logged game.
    room.handle(Entry::Begin { incarnation: Incarnation(4) });
    room.durable(Tick(7));
    let session = SessionId(7);
    room.link(LinkId(7), Link::Open { session, resume: None });
    room.handle(Entry::Resume { session, seat: Seat(0), generation: 1 });
    room.tick(Tick(8));
    assert_eq!(joined(&mut room).0, 5);
}

/// A unit that goes from one group into two in tick 3, and a player who sees both, and from tick 6 on only
/// the one that it came into.
fn between(game: &mut Game) {
    game.realtime(20).replicate::<Unit>();
    game.player(|| Sees(vec![Group::Team(1), Group::Team(2)]));
    game.on_start(|mut commands: Commands| {
        commands.spawn((Unit(5), InGroups(vec![Group::Team(1)])));
    });
    game.systems(
        |mut units: Query<&mut InGroups>, mut players: Query<&mut Sees>, time: Res<Time>| match time
            .tick
            .0
        {
            3 => units.iter_mut().for_each(|mut of| of.0.push(Group::Team(2))),
            6 => players.iter_mut().for_each(|mut sees| sees.0.retain(|g| *g != Group::Team(1))),
            _ => {}
        },
    );
}

/// It has a name of its own in either group, and its client is told that they are the same.
#[test]
fn an_entity_is_there_as_long_as_a_group_of_the_client_shows_it() {
    let (template, mut room) = bare(between);
    let mut replica = Replica::new(20);
    room.link(LinkId(1), Link::Open { session: SessionId(1), resume: None });
    room.link(LinkId(1), Link::Check);
    room.handle(common::join(1, "Ann"));
    let (mut units, mut departed) = (Vec::new(), 0);
    let number = template.schema().components.iter().position(|def| def.name == "Unit");
    let number = number.expect("it is sent") as u16;
    for tick in 1..=8 {
        room.tick(Tick(tick));
        assert!(pump(&mut room, &template, &mut replica, LinkId(1)), "tick {tick}");
        let shown = replica.entities().filter(|(id, _)| replica.component(*id, number).is_some());
        units.push(shown.map(|(_, handle)| handle).collect::<Vec<u32>>());
        departed += replica.departed().len();
    }
    assert_eq!(units, vec![units[0].clone(); 8]);
    assert_eq!((units[0].len(), departed, room.take_warning()), (1, 0, None));
}

fn sides(game: &mut Game) {
    game.realtime(30).replicate::<Unit>().replicate::<Clock>();
    game.player(|| Team(1));
    game.on_start(|mut commands: Commands| {
        commands.spawn((Unit(5), InGroups(vec![Group::Team(1)])));
    });
    game.on_resume(|player: Player, mut commands: Commands| {
        commands.entity(player.entity).remove::<Team>();
    });
    game.systems(|mut clock: ResMut<Clock>, mut units: Query<&mut Unit>| {
        clock.0 += 1;
        if clock.0 == 20 {
            units.iter_mut().for_each(|mut unit| unit.0 += 1);
        }
    });
}

#[test]
fn what_a_returning_client_sees_no_more_goes_on_a_link_that_loses() {
    use referee_protocol::ladder::Applied;
    let (template, mut room) = bare(sides);
    let schema = template.schema();
    room.record();
    room.handle(Entry::Begin { incarnation: Incarnation(3) });
    let mut replica = Replica::new(30);
    room.link(LinkId(1), Link::Open { session: SessionId(1), resume: None });
    room.link(LinkId(1), Link::Lossy);
    room.handle(common::join(1, "Ann"));
    for tick in 1..=30 {
        if tick == 11 {
            room.link(LinkId(1), Link::Close);
            room.handle(Entry::Drop { session: SessionId(1) });
        }
        room.tick(Tick(tick));
        while let Some(output) = room.poll_output() {
            let Output::Send { frame, .. } = output else { continue };
            replica.take(schema, &frame.to_vec()).expect("good state");
            let applied = Applied { tick: replica.tick(), ..Applied::default() };
            room.link(LinkId(1), Link::Applied(applied));
        }
    }
    assert_eq!(replica.tick(), Tick(10));
    let snapshot = room.snapshot();
    let mut again = Room::restore(&template, &snapshot, [9; 32]).unwrap();
    again.handle(Entry::Begin { incarnation: Incarnation(4) });
    let resume = Some(Resume { incarnation: Incarnation(3), tick: replica.tick(), event: 0 });
    let session = SessionId(7);
    again.link(LinkId(7), Link::Open { session, resume });
    again.link(LinkId(7), Link::Lossy);
    again.link(LinkId(7), Link::Check);
    again.handle(Entry::Resume { session, seat: Seat(0), generation: 1 });
    for tick in 31..=60 {
        again.tick(Tick(tick));
        while let Some(output) = again.poll_output() {
            let Output::Send { frame, .. } = output else { continue };
            let frame = frame.to_vec();
            if let Ok((Lane::Control, body)) = split(&frame) {
                let told = message::decode(body).expect("a message");
                let ServerControl::Check { hash } = told else { continue };
                assert_eq!(replica.hash(), hash, "tick {tick}: {:?}", replica.entities().count());
                continue;
            }
            replica.take(schema, &frame).expect("good state");
            let applied = Applied { tick: replica.tick(), ..Applied::default() };
            again.link(LinkId(7), Link::Applied(applied));
        }
    }
}
