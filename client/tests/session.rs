//! The session against a scripted server, on a fake clock.
//! Silence and time have files of their own.

mod common;

use common::*;
use proptest::prelude::*;
use referee_client::protocol::code::{Code, Refusal};
use referee_client::protocol::frame::Prelude;
use referee_client::protocol::limits::{LINK_SILENCE_MAX_MS, PING_EVERY_MS};
use referee_client::protocol::message::{self, Resume, ServerControl};
use referee_client::protocol::{Incarnation, Seat, Tick, Value, WireId};
use referee_client::{Config, Event, Named, Output, RETRY_MAX_MS, Status, UNREADABLE_LINKS_MAX};

fn applied(tick: u64, before: u64, action: u16) -> Vec<u8> {
    let prelude = Prelude { tick: Tick(tick), action: Some(action), ..Prelude::default() };
    state(prelude, Tick(before), &count(tick as u32))
}

fn refuse(rig: &mut Rig, code: Code, retry_after_ms: Option<u32>) {
    let refusal = Refusal { code, message: "no".into(), retry_after_ms };
    rig.frame(&message::encode(&ServerControl::Refused(refusal)));
}

#[test]
fn a_handshake_leads_to_state() {
    let mut rig = Rig::new(config());
    assert_eq!(rig.session.status(), Status::Connecting);
    let hello = rig.dial();
    assert_eq!((hello.token, hello.resume, hello.schema), (None, None, None));
    rig.welcome(welcome());
    assert_eq!(rig.outputs(), [Output::StoreToken(Some("token".into()))]);
    rig.schema();
    assert_eq!(rig.session.status(), Status::Connecting, "there is no state yet");
    rig.frame(&full(7, &count(3)));
    assert_eq!(rig.session.status(), Status::Open);
    assert_eq!((rig.session.tick(), rig.session.seat()), (Tick(7), Some(Seat(0))));
    assert_eq!(rig.count(), Some(Value::Int(3)));
    let open = Event::Status { status: Status::Open, reason: None };
    assert_eq!(rig.events(), [open, Event::State { tick: Tick(7) }]);
}

#[test]
fn a_name_that_the_game_does_not_have_is_told_with_those_that_it_has() {
    let unknown = Rig::new(config());
    assert_eq!(unknown.session.check_name(Named::Event, "Sad"), Ok(()), "there is no schema yet");
    let rig = Rig::open();
    let check = |what, name| rig.session.check_name(what, name).map_err(|e| e.to_string());
    let good = [(Named::Resource, "Count"), (Named::Component, "Target"), (Named::Event, "Said")];
    assert!(good.iter().all(|(what, name)| check(*what, name).is_ok()));
    let wrong = |what, name, text: &str| assert_eq!(check(what, name), Err(text.to_owned()));
    wrong(Named::Resource, "Cuont", "the game has no resource Cuont; it has Count");
    wrong(Named::Resource, "Player", "the game has no resource Player; it has Count");
    wrong(Named::Component, "Count", "the game has no component Count; it has Player, Target");
    wrong(Named::Event, "Place", "the game has no event Place; it has Said");
}

#[test]
fn a_known_schema_is_not_asked_for_again() {
    let mut known = config();
    known.schema = Rig::open().session.schema_bytes().map(<[u8]>::to_vec);
    let mut rig = Rig::new(known);
    assert_eq!(rig.dial().schema, Some(schema().hash()));
    rig.enter(welcome(), 1);

    let mut damaged = config();
    damaged.schema = Some(vec![1, 2, 3]);
    assert_eq!(Rig::new(damaged).dial().schema, None);
}

#[test]
fn a_lost_connection_is_resumed() {
    let mut rig = Rig::open();
    rig.frame(&after(5, 1, &count(5)));
    rig.frame(&said(1, 5, &[10]));
    rig.pass(2_000);
    rig.drop_connection();
    assert_eq!(rig.session.status(), Status::Reconnecting);
    assert_eq!(rig.count(), Some(Value::Int(5)), "what was known stays readable");
    let hello = rig.dial();
    let resume = Resume { incarnation: Incarnation(1), tick: Tick(5), event: 1 };
    assert_eq!((hello.token.as_deref(), hello.resume), (Some("token"), Some(resume)));
    let mut back = welcome();
    (back.resumed, back.last_event) = (true, 1);
    rig.welcome(back);
    rig.frame(&after(9, 5, &count(9)));
    assert_eq!((rig.session.status(), rig.count()), (Status::Open, Some(Value::Int(9))));
}

#[test]
fn time_may_go_back() {
    let mut rig = Rig::open();
    rig.frame(&after(50, 1, &count(50)));
    rig.drop_connection();
    rig.dial();
    let mut back = welcome();
    (back.resumed, back.incarnation) = (true, Incarnation(2));
    rig.enter(back, 20);
    assert_eq!((rig.session.tick(), rig.count()), (Tick(20), Some(Value::Int(20))));
    rig.drop_connection();
    let resume = Resume { incarnation: Incarnation(2), tick: Tick(20), event: 0 };
    assert_eq!(rig.dial().resume, Some(resume));
}

#[test]
fn actions_reach_the_room_once() {
    let mut rig = Rig::new(config());
    press(&mut rig);
    rig.dial();
    press(&mut rig);
    rig.enter(welcome(), 1);
    assert_eq!(actions(&rig.sent()), [1, 2], "they waited");
    press(&mut rig);
    assert_eq!(actions(&rig.sent()), [3]);
    rig.frame(&applied(2, 1, 1));
    rig.drop_connection();
    press(&mut rig);
    rig.dial();
    let mut back = welcome();
    (back.resumed, back.last_action) = (true, 2);
    rig.enter(back, 3);
    assert_eq!(actions(&rig.sent()), [3, 4], "the room has 1 and 2");
    rig.frame(&applied(4, 3, 4));
    rig.drop_connection();
    rig.dial();
    let mut back = welcome();
    (back.resumed, back.last_action) = (true, 4);
    rig.enter(back, 5);
    assert_eq!(actions(&rig.sent()), []);
}

#[test]
fn a_new_seat_gets_no_old_actions() {
    let mut rig = Rig::open();
    press(&mut rig);
    rig.drop_connection();
    press(&mut rig);
    rig.dial();
    rig.enter(welcome(), 1);
    let lost = rig.events().into_iter().filter(|e| matches!(e, Event::Dropped { .. })).count();
    assert_eq!(lost, 2);
    assert_eq!(actions(&rig.sent()), []);
    press(&mut rig);
    assert_eq!(actions(&rig.sent()), [1]);
}

#[test]
fn a_bad_action_is_named() {
    let mut rig = Rig::open();
    let cell = |n| Value::Struct(vec![("cell".into(), Value::Int(n))]);
    let error = rig.session.send_action("Place", &cell(9)).unwrap_err();
    assert_eq!(error.to_string(), "action Place: cell: is 9; 0 to 8 is allowed");
    let error = rig.session.send_action("Plaec", &cell(1)).unwrap_err();
    let names = "the game has no action Plaec; it has Place, Point, Press";
    assert_eq!(error.to_string(), names);
    let error = rig.session.send_action("Point", &Value::Int(77)).unwrap_err();
    assert!(error.to_string().contains("not in view"), "{error}");
    assert_eq!(rig.sent(), []);

    // Before the schema is known nothing can be checked; the report comes with it.
    let mut rig = Rig::new(config());
    rig.session.send_action("Place", &cell(9)).unwrap();
    press(&mut rig);
    rig.dial();
    rig.enter(welcome(), 1);
    assert_eq!(actions(&rig.sent()), [1]);
    let dropped = |e: &Event| matches!(e, Event::Dropped { name, .. } if name == "Place");
    assert!(rig.events().iter().any(dropped));
}

#[test]
fn spectators_cannot_act() {
    let mut rig = Rig::new(config());
    press(&mut rig);
    rig.dial();
    let mut watching = welcome();
    (watching.seat, watching.token) = (None, None);
    rig.enter(watching, 1);
    assert_eq!(rig.sent(), []);
    let error = rig.session.send_action("Press", &Value::Null).unwrap_err();
    assert_eq!(error.name(), "spectator");
    assert!(rig.session.me().is_none());
}

#[test]
fn events_wait_for_their_state_and_come_once() {
    let mut rig = Rig::open();
    let int = |n| Value::Int(n);
    rig.frame(&said(1, 3, &[10, 11]));
    assert_eq!(rig.said(), []);
    rig.frame(&after(2, 1, &count(2)));
    assert_eq!(rig.said(), []);
    rig.frame(&after(4, 2, &count(4)));
    assert_eq!(rig.said(), [(int(10), 3), (int(11), 3)]);
    rig.frame(&said(3, 4, &[12]));
    assert_eq!(rig.said(), [(int(12), 4)], "its state is here already");
    // One is held when the connection breaks: it counts as not received.
    rig.frame(&said(4, 9, &[13]));
    rig.drop_connection();
    assert_eq!(rig.dial().resume.unwrap().event, 3);
    let mut back = welcome();
    (back.resumed, back.last_event) = (true, 1);
    rig.welcome(back);
    rig.frame(&said(2, 3, &[11]));
    rig.frame(&said(3, 4, &[12]));
    rig.frame(&said(4, 9, &[13, 14]));
    rig.frame(&after(9, 4, &count(9)));
    assert_eq!(rig.said(), [(int(13), 9), (int(14), 9)]);
}

#[test]
fn a_gap_between_events_is_no_state_to_go_on_from() {
    let mut rig = Rig::open();
    rig.frame(&said(2, 1, &[10]));
    assert_eq!(rig.session.status(), Status::Reconnecting);
    assert_eq!(rig.dial().resume, None);
}

#[test]
fn retries_come_at_once_then_ever_more_slowly() {
    let mut rig = Rig::open();
    rig.pass(1_500);
    let mut waits = vec![];
    rig.drop_connection();
    for _ in 0..10 {
        let lost_at = rig.now;
        rig.outputs();
        rig.step();
        waits.push(rig.now - lost_at);
        rig.connect();
        rig.drop_connection();
    }
    assert_eq!(waits[..4], [0, 100, 200, 400]);
    assert!(waits[4..].iter().all(|wait| (400..=RETRY_MAX_MS).contains(wait)), "{waits:?}");
    // A connection that holds makes the next loss the first again.
    rig.dial();
    rig.enter(welcome(), 1);
    rig.pass(1_000);
    rig.drop_connection();
    assert_eq!(rig.session.poll_timeout(), Some(rig.now));
}

#[test]
fn refusals_end_the_session_or_say_when_to_come_back() {
    let mut rig = Rig::new(config());
    rig.dial();
    refuse(&mut rig, Code::Full, None);
    assert_eq!(rig.outputs(), [Output::Disconnect { link: rig.link, code: Code::Full }]);
    assert_eq!(rig.session.status(), Status::Closed);
    assert_eq!(rig.session.reason().unwrap().to_string(), "full: no");
    assert_eq!(rig.session.poll_timeout(), None);
    let error = rig.session.send_action("Press", &Value::Null).unwrap_err();
    assert_eq!(error.name(), "closed");

    let mut rig = Rig::new(config());
    rig.dial();
    refuse(&mut rig, Code::Busy, Some(3_000));
    assert_eq!(rig.session.status(), Status::Connecting);
    assert_eq!(rig.session.poll_timeout(), Some(rig.now + 3_000));

    let mut rig = Rig::open();
    rig.outputs();
    rig.session.handle_close(rig.now, rig.link, Some(Code::Replaced), "");
    assert_eq!((rig.session.status(), rig.outputs()), (Status::Closed, vec![]), "the token stays");
    let mut rig = Rig::open();
    rig.outputs();
    rig.session.handle_close(rig.now, rig.link, Some(Code::Kicked), "");
    assert_eq!(rig.outputs(), [Output::StoreToken(None)]);
}

#[test]
fn leaving_is_said_and_final() {
    let mut rig = Rig::open();
    rig.outputs();
    rig.session.leave();
    let outputs = rig.outputs();
    assert_eq!(outputs[0], Output::Send { link: rig.link, frame: b"\x00\xa5Leave".to_vec() });
    assert_eq!(
        outputs[1..],
        [Output::Disconnect { link: rig.link, code: Code::Left }, Output::StoreToken(None)]
    );
    rig.session.handle_close(rig.now, rig.link, None, "");
    assert_eq!((rig.session.status(), rig.session.poll_timeout()), (Status::Closed, None));
}

#[test]
fn garbage_asks_for_everything_and_in_the_end_gives_up() {
    let mut rig = Rig::open();
    for _ in 0..UNREADABLE_LINKS_MAX {
        rig.frame(&[1, 255, 3]);
        assert_eq!(rig.session.status(), Status::Reconnecting);
        let gone = Output::Disconnect { link: rig.link, code: Code::BadMessage };
        assert!(rig.outputs().contains(&gone));
        assert_eq!(rig.dial().resume, None);
        rig.enter(welcome(), 1);
    }
    rig.frame(&[200]);
    assert_eq!(rig.session.status(), Status::Closed);
    assert_eq!(rig.session.reason().unwrap().code, Some(Code::BadMessage));
}

#[test]
fn a_first_state_must_be_full_where_nothing_is_known() {
    let mut rig = Rig::new(config());
    rig.dial();
    rig.welcome(welcome());
    rig.schema();
    rig.frame(&after(5, 0, &count(5)));
    assert_ne!(rig.session.status(), Status::Open);
}

#[test]
fn silence_is_noticed_and_pings_are_timed() {
    let mut rig = Rig::open();
    rig.pass(0);
    let sent = rig.sent();
    let ping = sent.iter().find_map(|s| if let Sent::Ping(n) = s { Some(*n) } else { None });
    rig.now += 80;
    let pong = ServerControl::Pong { nonce: ping.unwrap(), tick: Tick(1) };
    rig.frame(&message::encode(&pong));
    assert_eq!(rig.session.ping_ms(), Some(80.0));
    let heard = rig.now;
    while rig.session.status() == Status::Open {
        rig.step();
    }
    assert!(rig.now - heard <= LINK_SILENCE_MAX_MS, "{} ms", rig.now - heard);
    assert!(rig.outputs().contains(&Output::Disconnect { link: rig.link, code: Code::Silent }));
}

#[test]
fn a_slow_timer_alone_is_no_silence() {
    let mut rig = Rig::open();
    rig.pass(0);
    rig.frame(&after(2, 1, &count(2)));
    // A hidden page's timer comes a minute late; nothing was asked, so nothing went unanswered.
    rig.now += 60_000;
    rig.session.handle_timeout(rig.now);
    assert_eq!(rig.session.status(), Status::Open);
    rig.now += PING_EVERY_MS * 2;
    rig.session.handle_timeout(rig.now);
    assert_eq!(rig.session.status(), Status::Reconnecting);
}

#[test]
fn a_server_that_does_not_answer_is_tried_again() {
    let mut rig = Rig::new(config());
    rig.step();
    rig.connect();
    rig.step();
    assert_eq!(rig.now, LINK_SILENCE_MAX_MS);
    assert_eq!(rig.outputs(), [Output::Disconnect { link: rig.link, code: Code::Silent }]);
    rig.dial();
    rig.step();
    assert_eq!(
        rig.outputs(),
        [Output::Disconnect { link: rig.link, code: Code::Silent }],
        "no Welcome came"
    );
}

#[test]
fn states_are_acknowledged_in_time() {
    let mut rig = Rig::open();
    rig.pass(0);
    rig.sent();
    for tick in 2..10 {
        rig.frame(&after(tick, tick - 1, &count(0)));
    }
    let acks: Vec<_> = rig.sent().into_iter().filter(|s| matches!(s, Sent::Ack(_))).collect();
    assert!(acks.len() >= 2, "{acks:?}");
    rig.frame(&after(10, 9, &count(0)));
    rig.pass(100);
    let sent = rig.sent();
    assert!(matches!(&sent[..], [.., Sent::Ack(ack)] if ack.frames == 10), "{sent:?}");
}

#[test]
fn entities_are_read_by_ids_that_stay() {
    let player = |seat| (1, vec![seat, 1]);
    let world = vec![
        (WireId(500), vec![player(1), (2, vec![900])]),
        (WireId(900), vec![player(0), (2, vec![123])]),
    ];
    let mut rig = Rig::new(config());
    rig.dial();
    rig.welcome(welcome());
    rig.schema();
    rig.frame(&full(1, &world));
    let me = rig.session.me().unwrap().id();
    let other = rig.session.entities().find(|e| e.id() != me).unwrap();
    assert_eq!(other.component("Target"), Some(Value::Entity(me)));
    let mine = rig.session.entity(me).unwrap();
    assert_eq!(mine.component("Target"), Some(Value::Null), "what is not in view is nothing");
    assert_eq!(
        (mine.has("Player"), mine.has("Count"), mine.components().count()),
        (true, false, 2)
    );
    rig.sent();
    let me = Value::Int(i128::from(me));
    rig.session.send_action("Point", &me).unwrap();
    assert_eq!(rig.sent(), [Sent::Action(1, "Point".into(), Value::Entity(900))]);
}

#[test]
fn states_are_compared_with_what_the_server_says_they_are() {
    let mut rig = Rig::new(Config { check: true, ..config() });
    assert!(rig.dial().check);
    rig.enter(welcome(), 7);
    let hash = rig.session.state_hash();
    let check = |hash| message::encode(&ServerControl::Check { hash });
    rig.frame(&check(hash));
    assert_eq!(rig.session.checks(), (1, 0));
    rig.frame(&after(8, 7, &count(9)));
    rig.frame(&check(hash));
    assert_eq!(rig.session.checks(), (2, 1), "another state, the same hash");
}

#[test]
fn the_end_is_told_once() {
    let mut rig = Rig::open();
    rig.events();
    let ended = message::encode(&ServerControl::Ended { result: "[1]".into() });
    rig.frame(&ended);
    rig.frame(&ended);
    assert_eq!(rig.events(), [Event::Ended { result: "[1]".into() }]);
    assert_eq!(rig.session.result(), Some("[1]"));
}

proptest! {
    #[test]
    fn arbitrary_frames_never_panic(
        frames in prop::collection::vec((0u8..8, any::<Vec<u8>>()), 0..12),
        open: bool,
    ) {
        let mut rig = if open { Rig::open() } else { Rig::new(config()) };
        press(&mut rig);
        for (lane, mut frame) in frames {
            frame.insert(0, lane);
            rig.frame(&frame);
            if rig.session.status() == Status::Closed {
                break;
            }
            if !matches!(rig.outputs()[..], []) {
                rig.step();
                if let Some(Output::Connect { link }) = rig.outputs().pop() {
                    rig.link = link;
                }
                rig.session.handle_open(rig.now, rig.link);
            }
        }
    }

    /// Whatever point each connection breaks at, the room gets every action once and in order.
    #[test]
    fn actions_are_applied_once_over_every_break(
        script in prop::collection::vec((0usize..4, 0usize..6, any::<bool>()), 1..12),
    ) {
        let mut rig = Rig::new(config());
        let (mut applied_to, mut room, mut done) = (0u64, Vec::new(), 0u64);
        let mut value = 0;
        let mut first = true;
        for (made, arrived, told) in script {
            for _ in 0..made {
                let cell = Value::Struct(vec![("cell".into(), Value::Int(value % 9))]);
                rig.session.send_action("Place", &cell).unwrap();
                value += 1;
            }
            rig.dial();
            let mut back = welcome();
            (back.resumed, back.last_action) = (!first, applied_to);
            first = false;
            rig.enter(back, 1);
            for sent in rig.sent().into_iter().filter(|s| matches!(s, Sent::Action(..))).take(arrived) {
                let Sent::Action(number, _, value) = sent else { unreachable!() };
                if number == done + 1 {
                    done = number;
                    room.push(value);
                }
            }
            // The room may tell of what it applied by state, by the next Welcome, or too late.
            applied_to = if told { done } else { applied_to };
            if told {
                rig.frame(&applied(2, 1, done as u16));
            }
            rig.drop_connection();
        }
        let cell = |n| Value::Struct(vec![("cell".into(), Value::Int(n % 9))]);
        let expected: Vec<_> = (0..room.len() as i128).map(cell).collect();
        prop_assert_eq!(room, expected);
    }

    /// Whatever point each connection breaks at, the page gets every event once, in order, and not
    /// before its state.
    #[test]
    fn events_are_told_once_over_every_break(
        script in prop::collection::vec((0u32..4, 0usize..9, any::<bool>()), 1..12),
    ) {
        let mut rig = Rig::new(config());
        // The room's side: one event in each tick, kept from the last one acknowledged.
        let (mut happened, mut told, mut known, mut first) = (0u32, vec![], 0u64, true);
        for (ticks, arrived, events_first) in script {
            let hello = rig.dial();
            let had = hello.resume.map_or(0, |resume| resume.event);
            prop_assert!(first || had >= known, "what was told is not asked for again");
            known = had;
            let mut back = welcome();
            (back.resumed, back.last_event) = (!first, had);
            first = false;
            let mut frames = vec![message::encode(&ServerControl::Welcome(back))];
            if hello.schema.is_none() {
                frames.push([vec![6], schema().encode()].concat());
            }
            frames.push(full(u64::from(happened), &count(happened)));
            let missed: Vec<_> = (known as u32 + 1..=happened).collect();
            for event in missed {
                frames.push(said(u64::from(event), u64::from(event), &[event]));
            }
            for _ in 0..ticks {
                happened += 1;
                let tick = u64::from(happened);
                let pair = [said(tick, tick, &[happened]), after(tick, tick - 1, &count(happened))];
                frames.extend(pair.clone().into_iter().take(2 * usize::from(events_first)));
                frames.extend(pair.into_iter().rev().take(2 * usize::from(!events_first)));
            }
            for frame in frames.iter().take(arrived) {
                rig.frame(frame);
                prop_assert_ne!(rig.session.status(), Status::Closed);
                let shown = rig.session.tick().0;
                for (value, tick) in rig.said() {
                    prop_assert!(tick <= shown, "event of {tick} told at {shown}");
                    told.push(value);
                }
            }
            rig.drop_connection();
        }
        let expected: Vec<_> = (1..=told.len() as i128).map(Value::Int).collect();
        prop_assert_eq!(told, expected);
    }
}

#[test]
fn what_is_seen_no_more_is_told_before_the_state_without_it() {
    use referee_client::protocol::block::{BlockKind, Head};
    use referee_client::protocol::codec::{Codec, View};
    use referee_client::protocol::{Group, replica::Departed};
    let mut rig = Rig::open();
    let target = (WireId(8), vec![(2, vec![0])]);
    rig.frame(&full(7, &vec![target]));
    let id = rig.session.entities().next().unwrap().id();
    rig.events();
    let head = Head { group: Group::Everyone, known: true, kind: BlockKind::Absolute };
    let mut removal =
        Prelude { tick: Tick(8), ..Prelude::default() }.encode(Tick(7), &[head]).to_vec();
    let mut view = View::new(2);
    view.begin(8);
    let gone = [(WireId(8), true)];
    Codec::new(&schema(), 20).encode_since(&mut view, 8, (7, &gone), &mut removal);
    rig.frame(&removal);
    let left = Event::Left { entities: vec![Departed { handle: id, gone: true }] };
    assert_eq!(rig.events(), [left, Event::State { tick: Tick(8) }]);
}
