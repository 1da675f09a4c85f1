//! Seeds: inputs from real matches, for what invents others to begin with.

use std::sync::Arc;

use referee_protocol::codec::{Baselines, Codec, View};
use referee_protocol::frame::{Ack, ActionFrame, EventsFrame, InputFrame, Lane};
use referee_protocol::message::{self, ClientControl, Hello, ServerControl};
use referee_protocol::schema::FieldType;
use referee_protocol::{Schema, Tick, WireId};
use referee_room::Template;

use crate::matches::{Played, generator, play};
use crate::{ARENA, CARDS};

/// One input, and whose it is.
pub struct Seed {
    /// The body that takes it, by its name.
    pub body: &'static str,
    /// The file's name.
    pub name: &'static str,
    /// The input.
    pub bytes: Vec<u8>,
}

/// Ticks of the matches: enough for somebody to shoot, and for cards to be dealt and drawn.
const TICKS: u64 = 40;

/// Takes the next frame off the front: two bytes of its length, low first, then the frame.
pub fn next<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (frame, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    *bytes = rest;
    Some(frame)
}

/// Writes frames so that [`next`] reads them; as many from the first as are short enough.
pub fn frames<'a>(frames: impl IntoIterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    for frame in frames {
        let Ok(length) = u16::try_from(frame.len()) else { return };
        out.extend(length.to_le_bytes());
        out.extend(frame);
    }
}

/// All seeds, the same each time.
///
/// # Panics
/// When an example game cannot be played.
pub fn seeds() -> Vec<Seed> {
    let (arena, cards) = (play(&ARENA, TICKS, false), play(&CARDS, TICKS, false));
    let (lost, dealt) = (play(&ARENA, TICKS, true), play(&CARDS, TICKS, true));
    let mut seeds = vec![
        seed("state", "arena", states(0, &arena)),
        seed("state", "cards", states(1, &cards)),
        seed("lossy", "arena", states(0, &lost)),
        seed("lossy", "cards", states(1, &dealt)),
        seed("snapshot", "cards", cards.snapshot.clone()),
        seed("journal", "arena", arena.journal.clone()),
        seed("journal", "cards", cards.journal.clone()),
        seed("block", "arena", blocks(&ARENA)),
        seed("block", "cards", blocks(&CARDS)),
    ];
    seeds.extend(clients(&arena, &cards));
    seeds.extend(servers(&arena));
    seeds
}

fn seed(body: &'static str, name: &'static str, bytes: Vec<u8>) -> Seed {
    Seed { body, name, bytes }
}

fn states(game: u8, played: &Played) -> Vec<u8> {
    let mut out = vec![game];
    frames(played.states.iter().map(Vec::as_slice), &mut out);
    out
}

/// What clients say.
fn clients(arena: &Played, cards: &Played) -> Vec<Seed> {
    let input = InputFrame {
        ack: Ack { frames: 9, event: 2 },
        sample: 17,
        tick: Tick(40),
        payload: arena.inputs[0].clone(),
    };
    let action = |at: usize| ActionFrame { number: 3, payload: cards.actions[at].clone() };
    let hello = Hello { versions: vec![1], name: "Ann".into(), ..Hello::default() };
    vec![
        seed("said", "ack", Ack { frames: 300, event: 2 }.encode()),
        seed("said", "input", input.encode()),
        seed("said", "action", action(0).encode()),
        seed("said", "hello", message::encode(&ClientControl::Hello(hello))),
        seed("said", "ping", message::encode(&ClientControl::Ping { nonce: 7 })),
    ]
}

/// What a server says beside states.
fn servers(arena: &Played) -> Vec<Seed> {
    let schema = [&[Lane::Schema as u8], &ARENA.schema_bytes()[..]].concat();
    let ended = ServerControl::Ended { result: "{\"winner\":\"Ann\"}".into() };
    let events = arena.others.iter().find(|frame| frame[0] == Lane::Events as u8);
    let none = EventsFrame { first: 1, tick: Tick(3), events: vec![] };
    vec![
        seed("told", "schema", schema),
        seed("told", "ended", message::encode(&ended)),
        seed("told", "events", events.cloned().unwrap_or_else(|| none.encode())),
    ]
}

/// Blocks of values that a generator says, by a game's schema: an absolute one, and some from there.
fn blocks(template: &Arc<Template>) -> Vec<u8> {
    let schema = template.schema();
    let (mut codec, mut view, mut draw) = (Codec::new(schema, 30), View::new(3), generator(1));
    let mut out = Vec::new();
    frames([&template.schema_bytes()[..]], &mut out);
    view.begin(1);
    (1..9).for_each(|id| show(schema, &mut view, WireId(id), &mut draw));
    codec.encode_whole(&mut view, 1, &mut out);
    for tick in 2..=8 {
        let now = view.now();
        view.begin(tick);
        show(schema, &mut view, WireId(1 + draw() as u32 % 12), &mut draw);
        view.leave(WireId(1 + draw() as u32 % 12));
        let from = Baselines { older: now.saturating_sub(1), base: now };
        codec.encode(&mut view, from, &[], &mut out);
    }
    out
}

fn show(schema: &Schema, view: &mut View, id: WireId, draw: &mut impl FnMut() -> u64) {
    view.enter(id);
    for (component, def) in (0..).zip(&schema.components) {
        let mut words = Vec::new();
        if plain(&def.ty, draw, &mut words) {
            view.set(id, component, Some(&words));
        }
    }
}

/// A value of a type that is made of numbers alone; says whether it is one.
fn plain(ty: &FieldType, draw: &mut impl FnMut() -> u64, out: &mut Vec<u32>) -> bool {
    match ty {
        FieldType::Unit => true,
        FieldType::Bool => {
            out.push(draw() as u32 % 2);
            true
        }
        FieldType::Int { span, .. } if *span < u64::from(u32::MAX) => {
            out.push((draw() % (span + 1)) as u32);
            true
        }
        FieldType::Struct { fields } => fields.iter().all(|field| plain(&field.ty, draw, out)),
        FieldType::Array { of, length } => (0..*length).all(|_| plain(of, draw, out)),
        _ => false,
    }
}
