//! What depends on time within a session: inputs for their ticks, and what is shown between states.

mod common;

use common::*;
use referee_client::protocol::frame::{self, Prelude};
use referee_client::protocol::message::{self, ServerControl};
use referee_client::protocol::{Tick, Value, WireId};

/// A session whose room's clock and round trip are known: states come every 50 ms, the one of tick 9
/// at `rig.now`.
fn timed(round_trip_ms: u64) -> Rig {
    let mut rig = Rig::open();
    rig.pass(0);
    let nonce = rig.sent().iter().find_map(|sent| match sent {
        Sent::Ping(nonce) => Some(*nonce),
        _ => None,
    });
    let nonce = nonce.expect("a ping goes out with the first state");
    rig.now += round_trip_ms;
    rig.frame(&message::encode(&ServerControl::Pong { nonce, tick: Tick(1) }));
    for tick in 2..=9 {
        rig.now = 50 * (tick - 1);
        rig.frame(&after(tick, tick - 1, &count(tick as u32)));
    }
    rig.sent();
    rig
}

fn samples(rig: &mut Rig) -> Vec<(u64, u64)> {
    let sample = |sent| match sent {
        Sent::Input(frame) => Some((frame.sample, frame.tick.0)),
        _ => None,
    };
    rig.sent().into_iter().filter_map(sample).collect()
}

#[test]
fn a_sample_is_stamped_with_the_tick_it_reaches_and_no_tick_gets_two() {
    let mut rig = timed(40);
    // Tick 9 came now, so it ran 20 ms ago; a sample arrives in 20 ms, and tick 10 runs in 30.
    rig.session.set_input(rig.now, "Stick", &Value::Int(1)).unwrap();
    assert_eq!(samples(&mut rig), [(1, 11)], "a little slack is left: 10 would be close");
    for n in 2..=6 {
        rig.session.set_input(rig.now, "Stick", &Value::Int(n)).unwrap();
    }
    assert_eq!(samples(&mut rig), [], "one for tick 11 is enough");
    rig.pass(49);
    assert_eq!(samples(&mut rig), [(2, 12)]);
    rig.pass(200);
    rig.session.set_input(rig.now, "Stick", &Value::Int(6)).unwrap();
    assert_eq!(samples(&mut rig), [], "nothing changed");
    rig.pass(60);
    assert_eq!(samples(&mut rig), [(3, 17)], "what is held is said again in time");
}

#[test]
fn what_is_set_to_what_it_was_neither_leaves_nor_waits() {
    let mut rig = timed(40);
    let set = |rig: &mut Rig, n| {
        rig.session.set_input(rig.now, "Stick", &Value::Int(n)).unwrap();
        (samples(rig).len(), rig.session.input_waits("Stick"))
    };
    assert_eq!(set(&mut rig, 1), (1, false), "it left");
    assert_eq!(set(&mut rig, 1), (0, false), "the room has it");
    assert_eq!(set(&mut rig, 2), (0, true), "tick 11 has its sample");
    assert_eq!(set(&mut rig, 2), (0, true), "it still waits for tick 12");
    rig.pass(49);
    assert_eq!((samples(&mut rig), rig.session.input_waits("Stick")), (vec![(2, 12)], false));
    rig.drop_connection();
    assert_eq!(set(&mut rig, 3), (0, true), "there is no connection");
    assert!(!rig.session.input_waits("Wheel"), "it was never set");
}

#[test]
fn before_the_road_is_known_a_sample_is_for_the_next_tick() {
    let mut rig = Rig::open();
    rig.session.set_input(rig.now, "Stick", &Value::Int(1)).unwrap();
    assert_eq!(samples(&mut rig), [(1, 0)]);
}

#[test]
fn late_samples_move_the_aim_and_are_counted() {
    let mut rig = timed(40);
    rig.session.set_input(rig.now, "Stick", &Value::Int(1)).unwrap();
    assert_eq!(samples(&mut rig), [(1, 11)]);
    let lead = rig.session.metrics().input_lead_ms;
    rig.now += 50;
    let input = Some(frame::InputAck { sample: 1, margin: -2 });
    let prelude = Prelude { tick: Tick(10), input, ..Prelude::default() };
    rig.frame(&state(prelude, Tick(9), &count(10)));
    let metrics = rig.session.metrics();
    assert!((metrics.input_lead_ms - lead - 50.0).abs() < 1e-6, "half a tick for each");
    assert_eq!((metrics.inputs_late, metrics.inputs_early), (1, 0));
    assert_eq!((metrics.inputs, metrics.input_margin), (1, Some(-2)));
    assert_eq!((metrics.round_trip_ms, metrics.round_trip_min_ms), (Some(40.0), Some(40.0)));
    assert_eq!((metrics.states, metrics.delay_ms), (10, 100.0));
}

#[test]
fn what_is_shown_reads_like_the_session_two_ticks_behind() {
    let player = |seat| (1, vec![seat, 1]);
    let mut rig = Rig::new(config());
    rig.dial();
    assert!(rig.session.show(0.0).is_none(), "there is no state yet");
    rig.welcome(welcome());
    rig.schema();
    let world = |n| vec![(WireId::ROOM, vec![(0, vec![n])]), (WireId(500), vec![player(0)])];
    rig.frame(&full(1, &world(1)));
    for tick in 2..=5 {
        assert!(rig.session.show(rig.now as f64).is_some());
        rig.now = 50 * (tick - 1);
        rig.frame(&after(tick, tick - 1, &count(tick as u32)));
    }
    rig.session.show(rig.now as f64);
    let shown = rig.session.shown().unwrap();
    assert!((shown.tick() - 3.0).abs() < 0.2, "{}", shown.tick());
    let me = shown.me().unwrap();
    assert_eq!((Some(me.id()), shown.entities().count()), (rig.session.me().map(|me| me.id()), 1));
    assert!(me.has("Player") && !me.has("Target"));
    assert_eq!(shown.entity(me.id()).unwrap().components().count(), 1);
    assert_eq!(rig.session.resource("Count"), Some(Value::Int(5)));
    let count = shown.resource("Count");
    assert!(matches!(count, Some(Value::Int(2 | 3))), "{count:?}");
    rig.drop_connection();
    assert!(rig.session.show(10_000.0).is_some_and(|shown| shown.tick() == 5.0), "it rests");
}

#[test]
fn inputs_go_out_once_a_tick_and_are_held() {
    let mut rig = Rig::open();
    rig.pass(0);
    rig.sent();
    let samples = |rig: &mut Rig| -> Vec<(u64, Vec<u8>)> {
        let input =
            |s| if let Sent::Input(f) = s { Some((f.sample, f.payload.bits)) } else { None };
        rig.sent()
            .into_iter()
            .filter_map(input)
            .map(|(sample, bits)| (sample, bits.to_vec()))
            .collect()
    };
    for n in 1..=5 {
        rig.session.set_input(rig.now, "Stick", &Value::Int(n)).unwrap();
    }
    assert_eq!(samples(&mut rig), [(1, vec![1])]);
    rig.pass(49);
    assert_eq!(samples(&mut rig), []);
    rig.pass(1);
    assert_eq!(samples(&mut rig), [(2, vec![5])], "the latest, one tick later");
    rig.frame(&after(2, 1, &count(2)));
    rig.pass(250);
    assert_eq!(samples(&mut rig), [(3, vec![5])], "what is held is said again in time");
    let error = rig.session.set_input(rig.now, "Stick", &Value::Int(10)).unwrap_err();
    assert_eq!(error.to_string(), "input Stick: is 10; 0 to 9 is allowed");
}
