//! Silence in a realtime room: the second connection, on a fake clock.

mod common;

use common::*;
use proptest::prelude::*;
use referee_client::protocol::Value;
use referee_client::protocol::code::Code;
use referee_client::protocol::frame::{Lane, split};
use referee_client::protocol::limits::{
    LINK_QUIET_MS, LINK_QUIET_PING_MS, LINK_SECOND_EVERY_MS, LINK_SILENCE_MAX_MS, PING_EVERY_MS,
};
use referee_client::protocol::message::{self, ClientControl};
use referee_client::{LinkId, Output, Status};
use std::collections::BTreeMap;

/// A realtime room that has been silent until the session asked for a second connection. Returns
/// the first and the second.
fn fall_silent(rig: &mut Rig) -> (LinkId, LinkId) {
    let first = rig.link;
    let links = wait_for_connect(rig);
    assert_eq!(rig.session.status(), Status::Open, "the first may still speak");
    (first, links)
}

/// Steps until the session asks for a connection.
fn wait_for_connect(rig: &mut Rig) -> LinkId {
    loop {
        rig.step();
        for output in rig.outputs() {
            if let Output::Connect { link } = output {
                rig.link = link;
                return link;
            }
        }
    }
}

fn disconnects(outputs: &[Output]) -> Vec<(LinkId, Code)> {
    let gone = |output: &Output| match output {
        Output::Disconnect { link, code } => Some((*link, *code)),
        _ => None,
    };
    outputs.iter().filter_map(gone).collect()
}

/// A session whose connection has been open for a while.
fn settled() -> Rig {
    let mut rig = Rig::open();
    rig.pass(3_000);
    rig.outputs();
    rig
}

#[test]
fn a_silent_connection_that_speaks_in_time_is_kept() {
    let mut rig = settled();
    let heard = rig.now;
    rig.frame(&after(2, 1, &count(2)));
    let (first, second) = fall_silent(&mut rig);
    assert_eq!(rig.now - heard, LINK_QUIET_MS);
    rig.session.handle_frame(rig.now, first, &after(3, 2, &count(3)));
    let outputs = rig.outputs();
    assert_eq!(disconnects(&outputs), [(second, Code::Left)]);
    rig.session.handle_open(rig.now, second);
    rig.session.handle_frame(rig.now, second, &after(4, 3, &count(4)));
    assert_eq!(rig.count(), Some(Value::Int(3)), "what is closed unused says nothing");
    assert_eq!((rig.session.status(), rig.outputs()), (Status::Open, vec![]), "and hears nothing");
}

#[test]
fn the_second_connection_takes_over_when_it_opens_first() {
    let mut rig = settled();
    let (first, second) = fall_silent(&mut rig);
    rig.session.handle_open(rig.now, second);
    assert_eq!(rig.session.status(), Status::Reconnecting);
    let outputs = rig.outputs();
    assert_eq!(outputs[0], Output::Disconnect { link: first, code: Code::Silent });
    let Output::Send { link, frame } = &outputs[1] else { panic!("{outputs:?}") };
    let (Lane::Control, body) = split(frame).unwrap() else { panic!("{frame:?}") };
    let ClientControl::Hello(hello) = message::decode(body).unwrap() else { panic!("{frame:?}") };
    assert_eq!((*link, outputs.len()), (second, 2), "one Hello, on the new one");
    assert_eq!((hello.token.as_deref(), hello.resume.is_some()), (Some("token"), true));
    // The old one may still have something to say.
    rig.session.handle_frame(rig.now, first, &after(2, 1, &count(9)));
    rig.session.handle_close(rig.now, first, Some(Code::Replaced), "replaced");
    assert_eq!((rig.count(), rig.outputs()), (Some(Value::Int(1)), vec![]));
    let mut back = welcome();
    back.resumed = true;
    rig.enter(back, 5);
    assert_eq!((rig.session.status(), rig.count()), (Status::Open, Some(Value::Int(5))));
    rig.pass(1_000);
    assert_eq!(disconnects(&rig.outputs()), []);
}

#[test]
fn a_second_connection_that_fails_leaves_the_first_alone_and_is_tried_again() {
    let mut rig = settled();
    let (first, mut second) = fall_silent(&mut rig);
    let mut waits = vec![];
    for _ in 0..4 {
        let failed_at = rig.now;
        rig.session.handle_close(rig.now, second, Some(Code::Busy), "busy");
        assert_eq!((rig.session.status(), rig.outputs()), (Status::Open, vec![]));
        second = wait_for_connect(&mut rig);
        waits.push(rig.now - failed_at);
    }
    assert_eq!(waits, [0, 100, 200, 400]);
    rig.session.handle_frame(rig.now, first, &after(2, 1, &count(2)));
    assert_eq!((rig.session.status(), rig.count()), (Status::Open, Some(Value::Int(2))));
}

#[test]
fn when_the_first_dies_the_second_is_what_is_being_opened() {
    let mut rig = settled();
    let (first, second) = fall_silent(&mut rig);
    rig.session.handle_close(rig.now, first, None, "reset");
    assert_eq!(rig.session.status(), Status::Reconnecting);
    assert_eq!(rig.outputs(), [], "no third connection");
    rig.session.handle_open(rig.now, second);
    assert!(matches!(rig.sent()[..], [Sent::Hello(_)]));
    rig.session.handle_open(rig.now, second);
    assert_eq!(rig.outputs(), [], "and no second Hello");
    rig.drop_connection();
    rig.dial();

    // Or both die: then it goes on as after any loss.
    let mut rig = settled();
    let (first, second) = fall_silent(&mut rig);
    rig.session.handle_close(rig.now, second, None, "reset");
    rig.session.handle_close(rig.now, first, None, "reset");
    assert_eq!(rig.session.status(), Status::Reconnecting);
    rig.dial();

    // Or neither says a word.
    let mut rig = settled();
    let (first, second) = fall_silent(&mut rig);
    let mut gone = vec![];
    while rig.session.status() == Status::Open {
        rig.step();
        gone.extend(disconnects(&rig.outputs()));
    }
    assert_eq!(gone, [(first, Code::Silent), (second, Code::Left)]);
    let third = wait_for_connect(&mut rig);
    assert!(![first, second].contains(&third));
}

/// What tells it may be the new process of a server that was away for longer than a first packet waits.
#[test]
fn when_the_first_dies_late_the_second_is_opened_anew() {
    let mut rig = settled();
    let (first, second) = fall_silent(&mut rig);
    let begun = rig.now;
    while rig.now < begun + 400 {
        rig.step();
    }
    rig.outputs();
    rig.session.handle_close(rig.now, first, None, "reset");
    assert_eq!(rig.session.status(), Status::Reconnecting);
    assert_eq!(disconnects(&rig.outputs()), [(second, Code::Left)]);
    let died = rig.now;
    assert_ne!(wait_for_connect(&mut rig), second);
    assert_eq!(rig.now, died, "at once");
}

#[test]
fn who_hears_nothing_pings_more_often_until_it_does() {
    let mut rig = settled();
    rig.frame(&after(2, 1, &count(2)));
    let (from, first) = (rig.now, rig.link);
    let mut pings = vec![];
    while rig.now < from + LINK_QUIET_MS + 3 * LINK_QUIET_PING_MS {
        rig.step();
        for output in rig.outputs() {
            let Output::Send { link, frame } = output else { continue };
            if let (Lane::Control, body) = split(&frame).unwrap()
                && let ClientControl::Ping { .. } = message::decode(body).unwrap()
            {
                assert_eq!(link, first);
                pings.push(rig.now - from);
            }
        }
    }
    let quiet = |nth| LINK_QUIET_MS + nth * LINK_QUIET_PING_MS;
    assert!(pings.ends_with(&[quiet(0), quiet(1), quiet(2), quiet(3)]), "{pings:?}");
    rig.session.handle_frame(rig.now, first, &after(3, 2, &count(3)));
    rig.outputs();
    let spoke = rig.now;
    while rig.now < spoke + LINK_QUIET_MS - 1 {
        assert!(!rig.sent().iter().any(|sent| matches!(sent, Sent::Ping(_))), "it has spoken");
        rig.pass(1);
    }
}

#[test]
fn leaving_and_refusals_close_both_connections() {
    let mut rig = settled();
    let (first, second) = fall_silent(&mut rig);
    rig.session.leave();
    let gone = disconnects(&rig.outputs());
    assert_eq!(gone, [(first, Code::Left), (second, Code::Left)]);
    let mut rig = settled();
    let (first, second) = fall_silent(&mut rig);
    rig.session.handle_close(rig.now, first, Some(Code::Replaced), "");
    assert_eq!(rig.session.status(), Status::Closed);
    assert_eq!(disconnects(&rig.outputs()), [(second, Code::Left)]);
}

#[test]
fn a_stuttering_network_makes_no_storm() {
    let mut rig = settled();
    let (first, begin) = (rig.link, rig.now);
    let mut connects = 0;
    let mut tick = 1;
    while rig.now < begin + 60_000 {
        // Silent for 600 ms, each time.
        let speaks = rig.now + 600;
        while rig.session.poll_timeout().is_some_and(|at| at <= speaks) {
            rig.step();
            let is_connect = |output: &Output| matches!(output, Output::Connect { .. });
            connects += rig.outputs().iter().filter(|output| is_connect(output)).count() as u64;
        }
        rig.now = speaks;
        rig.session.handle_frame(rig.now, first, &after(tick + 1, tick, &count(0)));
        tick += 1;
    }
    assert_eq!(rig.session.status(), Status::Open);
    assert!((1..=60_000 / LINK_SECOND_EVERY_MS).contains(&connects), "{connects}");
}

#[test]
fn who_slept_hears_what_waits_before_anything_else() {
    let mut rig = settled();
    let connects =
        |rig: &mut Rig| rig.outputs().iter().any(|output| matches!(output, Output::Connect { .. }));
    rig.now += 3_000;
    rig.session.handle_timeout(rig.now);
    assert!(!connects(&mut rig), "it was asleep");
    let woke = rig.now;
    while !connects(&mut rig) {
        rig.step();
    }
    assert_eq!(rig.now - woke, LINK_QUIET_MS);
    // A hidden page's timers come a second late, every time.
    let mut rig = settled();
    for _ in 0..3 {
        rig.now = rig.session.poll_timeout().unwrap() + 1_000;
        rig.session.handle_timeout(rig.now);
        assert!(!connects(&mut rig));
    }
}

#[test]
fn a_turn_based_room_may_be_silent() {
    let mut rig = Rig::new(config());
    rig.dial();
    let mut quiet = welcome();
    quiet.hz = None;
    rig.enter(quiet, 1);
    let heard = rig.now;
    while rig.session.status() == Status::Open {
        rig.step();
        let outputs = rig.outputs();
        assert!(!outputs.iter().any(|output| matches!(output, Output::Connect { .. })));
    }
    assert_eq!(rig.now - heard, LINK_SILENCE_MAX_MS - PING_EVERY_MS, "after the first ping");
}

/// What a driver holds: the connections, and whether each is open and has said Hello.
#[derive(Default)]
struct Driver(BTreeMap<u32, (bool, bool)>);

impl Driver {
    /// Does what the session asks for, and checks that it may be asked for.
    fn obey(&mut self, rig: &mut Rig) {
        for output in rig.outputs() {
            match output {
                Output::Connect { link } => {
                    assert_eq!(self.0.insert(link.0, (false, false)), None, "a new number");
                    assert!(self.0.len() <= 2, "at most two connections");
                }
                Output::Disconnect { link, .. } => {
                    assert!(self.0.remove(&link.0).is_some(), "it was not closed before");
                }
                Output::Send { link, frame } => {
                    let (is_open, greeted) = self.0.get_mut(&link.0).expect("there is one");
                    assert!(*is_open, "only what is open carries frames");
                    let is_hello = frame.get(3..8) == Some(b"Hello");
                    assert_ne!(is_hello, *greeted, "Hello comes first, and once");
                    *greeted = true;
                }
                Output::StoreToken(_) => {}
            }
        }
    }

    fn nth(&self, nth: usize) -> Option<u32> {
        self.0.keys().nth(nth).copied()
    }
}

proptest! {
    /// Whatever the network does, a driver is never asked for what it cannot do.
    #[test]
    fn a_driver_holds_two_connections_and_each_says_hello_once(
        script in prop::collection::vec((0u8..7, 0usize..2), 1..60),
    ) {
        let (mut rig, mut driver) = (Rig::new(config()), Driver::default());
        // It begins in a room.
        for (what, nth) in [(0, 0), (2, 0), (5, 0)].into_iter().chain(script) {
            let link = driver.nth(nth);
            match (what, link) {
                (0 | 1, _) if rig.session.poll_timeout().is_some() => rig.step(),
                (2, Some(link)) => {
                    let opened = driver.0.get_mut(&link).expect("it is there");
                    if !opened.0 {
                        opened.0 = true;
                        rig.session.handle_open(rig.now, LinkId(link));
                    }
                }
                (3, Some(link)) => {
                    driver.0.remove(&link);
                    rig.session.handle_close(rig.now, LinkId(link), None, "");
                }
                (4, Some(link)) if driver.0[&link].1 => {
                    rig.session.handle_frame(rig.now, LinkId(link), &[]);
                }
                (5, Some(link)) if driver.0[&link].1 && rig.session.status() != Status::Open => {
                    rig.link = LinkId(link);
                    rig.welcome(welcome());
                    if rig.session.schema().is_none() {
                        rig.schema();
                    }
                    rig.frame(&full(1, &count(1)));
                }
                (6, _) => rig.now += 700,
                _ => {}
            }
            driver.obey(&mut rig);
        }
    }
}
