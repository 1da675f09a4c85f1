//! Matches in memory. Their players do what a generator says, and a client listens.

use std::collections::BTreeMap;
use std::sync::Arc;

use referee_protocol::frame::{Ack, Lane, Payload, split};
use referee_protocol::ladder::Applied;
use referee_protocol::{LinkId, Seat, SessionId, Tick, Value};
use referee_room::entry::{Create, Join};
use referee_room::room::{Link, NextTick};
use referee_room::{Entry, Output, Room, Template};

const PLAYERS: u64 = 4;
/// The client whose frames are kept.
const LISTENER: LinkId = LinkId(1);

/// A match that has been played.
#[derive(Default)]
pub(crate) struct Played {
    /// State frames that one client got, and its other frames.
    pub(crate) states: Vec<Vec<u8>>,
    pub(crate) others: Vec<Vec<u8>>,
    /// What players said, as payloads of inputs and of actions.
    pub(crate) inputs: Vec<Payload>,
    pub(crate) actions: Vec<Payload>,
    /// The room at the end, and all that happened in it.
    pub(crate) snapshot: Vec<u8>,
    pub(crate) journal: Vec<u8>,
}

/// Plays so many ticks, or turns. What the listener gets may be lost where the link says so.
pub(crate) fn play(template: &Arc<Template>, ticks: u64, lossy: bool) -> Played {
    let create =
        Create { seed: [7; 32], types: template.type_bytes().clone(), ..Create::default() };
    let mut room = Room::create(template, &create).expect("the examples refuse nobody");
    let (mut played, mut frames) = (Played::default(), 0);
    room.record();
    for player in 1..=PLAYERS {
        let (link, session) = (LinkId(player), SessionId(player));
        room.link(link, Link::Open { session, resume: None });
        if lossy && link == LISTENER {
            room.link(link, Link::Lossy);
        }
        room.handle(Entry::Join(Join {
            session,
            name: format!("player {player}"),
            attributes: BTreeMap::new(),
            generation: player,
            watch: false,
        }));
    }
    run(&mut room, &mut played);
    for turn in 1..=ticks {
        // Acts of a tick come before its joins, and whoever skips a number is not heard again.
        act(template, &mut room, turn, &mut played);
        run(&mut room, &mut played);
        let states = played.states.len() as u64;
        if lossy {
            let (tick, before) = (room.last_tick(), u32::MAX);
            room.link(LISTENER, Link::Applied(Applied { tick, before, event: 0 }));
        } else if states > frames {
            frames = states;
            room.link(LISTENER, Link::Ack(Ack { frames, event: 0 }));
        }
    }
    room.take_journal(&mut played.journal);
    played.snapshot = room.snapshot();
    played
}

/// One tick of a realtime room; of another one all that follow an act.
fn run(room: &mut Room, played: &mut Played) {
    let realtime = room.info().hz.is_some();
    for _ in 0..16 {
        let now = Tick(room.last_tick().0 + 1);
        match room.next_due(now) {
            NextTick::Now(at) => room.tick(at),
            NextTick::At(at) if realtime => room.tick(at),
            NextTick::At(_) | NextTick::Never => break,
        }
        // A gated game says nothing before that.
        room.durable(room.last_tick());
        while let Some(output) = room.poll_output() {
            keep(output, played);
        }
        if realtime {
            break;
        }
    }
}

fn keep(output: Output, played: &mut Played) {
    let Output::Send { link: LISTENER, frame } = output else { return };
    let frame = frame.to_vec();
    match split(&frame) {
        Ok((Lane::State, _)) => played.states.push(frame),
        _ => played.others.push(frame),
    }
}

/// Each player holds a stick, or asks for something: mostly in vain.
fn act(template: &Arc<Template>, room: &mut Room, turn: u64, played: &mut Played) {
    for seat in 0..PLAYERS as u16 {
        let mut draw = generator(turn * PLAYERS + u64::from(seat));
        let schema = template.schema();
        if !schema.inputs.is_empty() {
            let mut part = || Value::Float((draw() % 201) as f64 / 100.0 - 1.0);
            let (x, y, aim) = (part(), part(), part());
            let fire = Value::Bool(draw().is_multiple_of(4));
            let stick = Value::record([("x", x), ("y", y), ("aim", aim), ("fire", fire)]);
            let payload = payload(&schema.inputs, 0, &stick);
            played.inputs.push(payload.clone());
            let (sample, tick) = (turn, Tick(0));
            room.handle(Entry::Input { seat: Seat(seat), sample, tick, payload });
        }
        if !schema.actions.is_empty() {
            let kind = [0, 2, 2, 2][draw() as usize % 4];
            let payload = payload(&schema.actions, kind, &Value::Null);
            played.actions.push(payload.clone());
            room.handle(Entry::Action { seat: Seat(seat), number: turn, payload });
        }
    }
}

fn payload(types: &[referee_protocol::TypeDef], kind: usize, value: &Value) -> Payload {
    let mut words = Vec::new();
    value.to_words(&types[kind].ty, &mut words).expect("the examples have these types");
    Payload::from_words(kind as u16, &types[kind].ty, &words)
}

/// Numbers that look random and are the same each time (splitmix64, Sebastiano Vigna).
pub(crate) fn generator(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
