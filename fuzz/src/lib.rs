//! What may come from a peer or a file, read as it is read in earnest: for bytes that somebody invents. A
//! body panics where something is wrong, and else says whether the bytes were taken.
//!
//! `tests/seeds.rs` feeds them what is in `seeds/`, whole, cut and damaged; `cargo fuzz` goes on from there
//! (`cargo xtask test --only fuzz`). [`record`] makes the seeds, from matches in memory.

mod matches;
pub mod record;

use std::sync::{Arc, LazyLock};

use referee_protocol::codec::{Baselines, Codec, View};
use referee_protocol::frame::{Ack, ActionFrame, EventsFrame, InputFrame, Lane, Payload, split};
use referee_protocol::limits::ENTITIES_MAX;
use referee_protocol::message::{self, ClientControl, ServerControl};
use referee_protocol::schema::TypeDef;
use referee_protocol::{Replica, Schema, Tick, Value};
use referee_room::journal::Reader;
use referee_room::{Room, Template};

/// A game in which much moves, and all see the same.
static ARENA: LazyLock<Arc<Template>> = LazyLock::new(|| host("arena", arena::arena));
/// A game in which each sees something else, and acts.
static CARDS: LazyLock<Arc<Template>> = LazyLock::new(|| host("cards", cards::cards));

fn host(name: &str, game: fn(&mut referee_room::Game)) -> Arc<Template> {
    Template::new(name, game).expect("the example games can be hosted")
}

/// One way in.
pub type Body = fn(&[u8]) -> bool;

/// All of them, by name. Each is a target of `cargo fuzz`, and has a folder of seeds.
pub const BODIES: [(&str, Body); 7] = [
    ("said", said),
    ("told", told),
    ("state", state),
    ("lossy", lossy),
    ("block", block),
    ("snapshot", snapshot),
    ("journal", journal),
];

/// Records read out of one journal: quiet ticks may be many, and cost nothing to whoever stops.
const RECORDS_MAX: usize = 10_000;

/// A frame that a client sends.
pub fn said(frame: &[u8]) -> bool {
    let Ok((lane, body)) = split(frame) else { return false };
    match lane {
        Lane::Ack => Ack::decode(body).is_ok(),
        Lane::Input => {
            let inputs = &ARENA.schema().inputs;
            InputFrame::decode(body).is_ok_and(|frame| fits(&frame.payload, inputs))
        }
        Lane::Action => {
            let actions = &CARDS.schema().actions;
            ActionFrame::decode(body).is_ok_and(|frame| fits(&frame.payload, actions))
        }
        Lane::Control => message::decode::<ClientControl>(body).is_ok(),
        Lane::State | Lane::Events | Lane::Schema => false,
    }
}

/// A frame that a server sends, but for states.
pub fn told(frame: &[u8]) -> bool {
    let Ok((lane, body)) = split(frame) else { return false };
    match lane {
        Lane::Events => EventsFrame::decode(body).is_ok_and(|frame| {
            let events = &ARENA.schema().events;
            frame.events.iter().all(|event| fits(event, events))
        }),
        Lane::Control => message::decode::<ServerControl>(body).is_ok(),
        Lane::Schema => Schema::decode(body).is_ok_and(|schema| {
            assert_eq!(Schema::decode(&schema.encode()).as_ref(), Ok(&schema), "it is one again");
            true
        }),
        Lane::State | Lane::Ack | Lane::Input | Lane::Action => false,
    }
}

/// Whether a payload is a value of its type. Then it can be shown, too.
fn fits(payload: &Payload, types: &[TypeDef]) -> bool {
    let Ok(words) = payload.to_words("payload", types) else { return false };
    shows(&types[usize::from(payload.kind)], &words);
    true
}

fn shows(def: &TypeDef, words: &[u32]) {
    let mut rest = words;
    Value::from_words(&def.ty, &mut rest).expect("what was decoded lies within its type");
    assert!(rest.is_empty(), "{}: a value is followed by {rest:?}", def.name);
}

/// State frames, one after the other: see [`record::frames`].
pub fn state(bytes: &[u8]) -> bool {
    states(bytes, |replica, schema, frame| match split(frame) {
        Ok((Lane::State, body)) => replica.apply(schema, body).is_ok(),
        _ => false,
    })
}

/// The same over a link that loses frames.
pub fn lossy(bytes: &[u8]) -> bool {
    states(bytes, |replica, schema, frame| match split(frame) {
        Ok((Lane::State, body)) => replica.take(schema, body).is_ok(),
        _ => false,
    })
}

fn states(bytes: &[u8], take: impl Fn(&mut Replica, &Schema, &[u8]) -> bool) -> bool {
    let Some((game, mut rest)) = bytes.split_first() else { return false };
    let (template, hz) = if game % 2 == 0 { (&*ARENA, 30) } else { (&*CARDS, 0) };
    let (schema, mut replica) = (template.schema(), Replica::new(hz));
    while let Some(frame) = record::next(&mut rest) {
        if !take(&mut replica, schema, frame) {
            return false;
        }
        look(&replica, schema);
    }
    rest.is_empty()
}

/// All that a replica knows can be shown, and is no more than it may know.
fn look(replica: &Replica, schema: &Schema) {
    let mut entities = 0;
    for (id, handle) in replica.entities() {
        entities += 1;
        assert_eq!(replica.handle(id), Some(handle));
        for (component, words) in replica.components(id) {
            shows(&schema.components[usize::from(component)], words);
        }
    }
    assert!(entities <= ENTITIES_MAX, "{entities} entities");
}

/// A schema as one frame, then blocks of it: an absolute one, and what was told after that.
pub fn block(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    let schema = record::next(&mut rest).map(Schema::decode);
    let Some(Ok(schema)) = schema else { return false };
    let (mut codec, mut view) = (Codec::new(&schema, 30), View::new(3));
    view.begin(1);
    if codec.decode_absolute(&mut view, 1, &mut rest).is_err() {
        return false;
    }
    for tick in 2..=8 {
        let now = view.now();
        let from = Baselines { older: now.saturating_sub(1), base: now };
        view.begin(tick);
        if rest.is_empty() || codec.decode(&mut view, from, &mut rest).is_err() {
            break;
        }
    }
    rest.is_empty()
}

/// A room as it was saved.
pub fn snapshot(bytes: &[u8]) -> bool {
    let Ok(room) = Room::restore(&CARDS, bytes, [0; 32]) else { return false };
    let again = Room::restore(&CARDS, &room.snapshot(), [0; 32]);
    assert!(again.is_ok(), "a room that was read can be read again: {:?}", again.err());
    true
}

/// What happened in a room after its snapshot.
pub fn journal(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(Tick(0), bytes);
    for _ in 0..RECORDS_MAX {
        match reader.read() {
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
    true
}
