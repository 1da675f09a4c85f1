//! Golden bytes of state frames: the worked example of `PROTOCOL.md`, and matches with values of
//! every type in `tests/protocol/golden.txt`, which the Python client reads as well. What changes
//! them is another protocol. `REFEREE_GOLDEN=write` makes the file anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use referee_protocol::alias::{self, Ids};
use referee_protocol::block::Head;
use referee_protocol::codec::{Baselines, Codec, Training, View};
use referee_protocol::frame::{InputAck, Prelude};
use referee_protocol::hash::{hash, view_hash};
use referee_protocol::schema::VariantDef;
use referee_protocol::value::float_word;
use referee_protocol::{
    BlockKind, FieldType, Group, Kind, Member, Replica, Schema, Seat, Tick, TypeDef, WireId,
    rotation, words,
};

const PAGE: &str = include_str!("../../PROTOCOL.md");
const GOLDEN: &str = include_str!("../../tests/protocol/golden.txt");
const GOLDEN_PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/protocol/golden.txt");

fn int(span: u64) -> FieldType {
    FieldType::Int { min: 0, span }
}

fn float(min: f64, max: f64, step: f64) -> FieldType {
    FieldType::Float { min, max, step, wraps: false }
}

fn fields<const N: usize>(fields: [(&str, FieldType); N]) -> FieldType {
    let member = |(name, ty): (&str, FieldType)| Member { name: name.into(), ty };
    FieldType::Struct { fields: fields.map(member).into() }
}

fn def(name: &str, ty: FieldType) -> TypeDef {
    TypeDef { name: name.into(), resource: false, ty, moves_by: None, rarely: false }
}

fn schema(kind: Kind, components: Vec<TypeDef>) -> Schema {
    let (inputs, actions, events, tables) = (vec![], vec![], vec![], vec![]);
    Schema { kind, components, inputs, actions, events, tables }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn framed(prelude: Prelude, after: Tick, blocks: &[(Head, Vec<u8>)]) -> Vec<u8> {
    let heads: Vec<Head> = blocks.iter().map(|(head, _)| *head).collect();
    let mut frame = prelude.encode(after, &heads).to_vec();
    blocks.iter().for_each(|(_, block)| frame.extend(block));
    frame
}

/// The bytes that the page marks with this name.
fn of_page(name: &str) -> String {
    let (_, text) = PAGE.split_once(&format!("```hex {name}\n")).expect(name);
    let (text, _) = text.split_once("```").expect(name);
    text.split_whitespace().collect()
}

fn counter() -> Schema {
    let name = FieldType::String { max: 64 };
    let player = fields([("seat", int(65_535)), ("name", name), ("connected", FieldType::Bool)]);
    let count = TypeDef { resource: true, ..def("Count", int(u32::MAX.into())) };
    let mut schema = schema(Kind::TurnBased, vec![def("Player", player), count]);
    schema.actions.push(def("Press", FieldType::Unit));
    schema
}

#[test]
fn the_worked_example_of_the_page_is_true() {
    let schema = counter();
    assert_eq!(hex(&schema.encode()), of_page("schema"));
    let (mut codec, mut view) = (Codec::new(&schema, 0), View::new(2));
    view.begin(2);
    view.enter(WireId::ROOM);
    view.set(WireId::ROOM, 1, Some(&[0]));
    view.enter(WireId(136));
    view.set(WireId(136), 0, Some(&[0, 3, u32::from_le_bytes(*b"Ann\0"), 1]));
    let mut body = Vec::new();
    codec.encode_whole(&mut view, 2, &mut body);
    // The player's own group has nothing to show.
    let own = Head { group: Group::Player(Seat(0)), known: false, kind: BlockKind::Nothing };
    let all = Head { group: Group::Everyone, known: false, kind: BlockKind::Absolute };
    let prelude = Prelude { full: true, tick: Tick(2), ..Prelude::default() };
    let blocks = [(all, body.clone()), (own, vec![])];
    assert_eq!(hex(&framed(prelude, Tick(0), &blocks)), of_page("full"));
    view.begin(12);
    view.set(WireId::ROOM, 1, Some(&[3]));
    body.clear();
    codec.encode(&mut view, Baselines { older: 0, base: 1 }, &[], &mut body);
    let prelude = Prelude { tick: Tick(12), action: Some(3), ..Prelude::default() };
    let all = Head { known: true, kind: BlockKind::Delta, ..all };
    let blocks = [(all, body), (Head { known: true, ..own }, vec![])];
    assert_eq!(hex(&framed(prelude, Tick(2), &blocks)), of_page("delta"));
}

#[test]
fn the_matches_are_coded_as_ever() {
    let text = matches();
    if std::env::var("REFEREE_GOLDEN").is_ok_and(|said| said == "write") {
        std::fs::write(GOLDEN_PATH, &text).unwrap();
        return;
    }
    let first = text.lines().zip(GOLDEN.lines()).position(|(a, b)| a != b);
    assert!(text == GOLDEN, "golden.txt differs, first in line {first:?} (from 0)");
}

fn matches() -> String {
    let mut out = String::from("# Made by protocol/tests/golden.rs.\n");
    for length in [1, 3, 4, 8, 9, 16, 17, 128, 129, 240, 241, 3_000] {
        let data: Vec<u8> = (0..length).map(|n: usize| (n * 7) as u8).collect();
        let _ = writeln!(out, "hash {length} {:016x}", hash(&data));
    }
    play("every type", &every_type(Kind::Realtime), 20, 1, 30, &mut out);
    play("in turns", &every_type(Kind::TurnBased), 0, 2, 12, &mut out);
    let mut moving = moving();
    play("moving", &moving, 30, 3, 30, &mut out);
    moving.tables = trained(&moving);
    play("trained", &moving, 30, 3, 12, &mut out);
    // Tables for other types say nothing.
    moving.components.swap_remove(3);
    play("tables of others", &moving, 30, 4, 4, &mut out);
    let names = "entities in two groups";
    play_room(names, Room { aliases: true, ..Room::new(&moving, 30, 5) }, 24, &mut out);
    out
}

fn every_type(kind: Kind) -> Schema {
    let variant = |name: &str, ty| VariantDef { name: name.into(), ty };
    let (small, wide) = (int(5), FieldType::Int { min: -9, span: 1 << 40 });
    let tuple = FieldType::Tuple { items: vec![int(999), FieldType::Bool] };
    let variants = vec![
        variant("None", FieldType::Unit),
        variant("Some", int(300)),
        variant("Both", FieldType::Tuple { items: vec![small.clone(), float(0.0, 9.0, 0.1)] }),
    ];
    let numbers = fields([("small", small.clone()), ("byte", int(255)), ("wide", wide)]);
    let floats =
        fields([("a", FieldType::F32), ("b", FieldType::F64), ("c", float(-1.0, 1.0, 0.01))]);
    let angle = FieldType::Float { min: 0.0, max: 6.25, step: 0.125, wraps: true };
    let option = FieldType::Option { of: Box::new(tuple.clone()) };
    let list = FieldType::List { of: Box::new(option.clone()), max: 6 };
    let grid = FieldType::Array { of: Box::new(int(20)), length: 3 };
    schema(
        kind,
        vec![
            def("Numbers", numbers),
            def("Floats", floats),
            def("Angle", angle),
            def("Turn", FieldType::Rotation { bits: 10 }),
            def("Text", FieldType::String { max: 20 }),
            def("Ref", FieldType::Entity),
            def("Option", option),
            def("List", list),
            def("Grid", grid),
            def("Mark", FieldType::Enum { variants }),
            def("Flag", FieldType::Unit),
        ],
    )
}

fn moving() -> Schema {
    let (place, speed) = (|| float(0.0, 500.0, 0.0625), || float(-100.0, 100.0, 0.125));
    let round = FieldType::Float { min: 0.0, max: 64.0, step: 0.0625, wraps: true };
    let turns = float(-8.0, 8.0, 0.25);
    let spot = fields([("x", place()), ("tag", int(300)), ("y", place())]);
    let with = |by, def: TypeDef| TypeDef { moves_by: Some(by), ..def };
    schema(
        Kind::Realtime,
        vec![
            with(2, def("Place", spot)),
            with(4, def("Round", round)),
            def("Speed", fields([("gear", int(40)), ("x", speed()), ("y", speed())])),
            def("Free", fields([("x", place()), ("y", place()), ("z", place())])),
            def("Turns", turns),
            def("Turn", FieldType::Rotation { bits: 9 }),
        ],
    )
}

/// Tables of a match with other random numbers.
fn trained(schema: &Schema) -> Vec<u8> {
    let mut room = Room::new(schema, 30, 99);
    room.codec.learn();
    for _ in 0..20 {
        room.step();
    }
    let mut training = Training::default();
    training.add(room.codec.counts());
    training.tables(schema)
}

fn play(name: &str, schema: &Schema, hz: u16, seed: u64, steps: u32, out: &mut String) {
    play_room(name, Room::new(schema, hz, seed), steps, out);
}

fn play_room(name: &str, mut room: Room, steps: u32, out: &mut String) {
    let _ = writeln!(out, "match {name}\nhz {}\nschema {}", room.hz, hex(&room.schema.encode()));
    for _ in 0..steps {
        if let Some((frame, shown)) = room.step() {
            let handles = room.handles();
            let _ = writeln!(out, "frame {} {shown:016x} {handles:016x}", hex(&frame));
        }
    }
}

struct Told {
    view: View,
    removed: Vec<(u64, WireId, bool)>,
    /// Whether the client sees the group, and has its last send but for what is new.
    known: bool,
    in_step: bool,
}

/// A room at random, and one client of it.
struct Room {
    schema: Schema,
    hz: u16,
    /// The team and the player show some entities by names of their own, which are the same.
    aliases: bool,
    codec: Codec,
    replica: Replica,
    groups: BTreeMap<Group, Told>,
    draw: Draw,
    tick: u64,
    /// When the client was told something last.
    heard: u64,
    steps: u32,
    /// The client's handles, numbered anew: by when they came, then by id.
    numbers: BTreeMap<u32, u32>,
}

impl Room {
    fn new(schema: &Schema, hz: u16, seed: u64) -> Self {
        let groups = [Group::Everyone, Group::Cell(7), Group::Team(2), Group::Player(Seat(1))];
        let told = || Told { view: View::new(2), removed: vec![], known: false, in_step: false };
        Self {
            schema: schema.clone(),
            hz,
            aliases: false,
            codec: Codec::new(schema, hz),
            replica: Replica::new(hz),
            groups: groups.into_iter().map(|group| (group, told())).collect(),
            draw: Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            tick: 0,
            heard: 0,
            steps: 0,
            numbers: BTreeMap::new(),
        }
    }

    /// Some ticks later: the frame, unless it is left out, and the hash of what it shows.
    fn step(&mut self) -> Option<(Vec<u8>, u64)> {
        self.steps += 1;
        self.tick += [1, 1, 1, 3][self.draw.up_to(3) as usize];
        let full = self.steps == 1 || self.steps == 14;
        let skipped = self.steps > 2 && self.draw.up_to(5) == 0;
        let mut blocks = Vec::new();
        let groups: Vec<Group> = self.groups.keys().copied().collect();
        for group in groups {
            let news = group == Group::Everyone || self.draw.up_to(2) > 0;
            let renamed = if news { self.change(group) } else { Vec::new() };
            let sees = group != Group::Cell(7) || (self.steps / 6).is_multiple_of(2);
            blocks.extend(
                (!skipped).then(|| self.block(group, (sees, full, news), &renamed)).flatten(),
            );
            if skipped && news {
                self.told(group).in_step = false;
            }
        }
        if skipped {
            return None;
        }
        let input = self.steps.is_multiple_of(4).then_some(InputAck { sample: 9, margin: -2 });
        let action = self.steps.is_multiple_of(3).then_some(self.steps as u16);
        let prelude = Prelude { full, tick: Tick(self.tick), action, input };
        let mut frame = framed(prelude, Tick(self.heard), &blocks);
        let same = self.same();
        alias::write(&same, &mut frame);
        self.heard = self.tick;
        self.replica.apply(&self.schema, &frame).expect("a client takes what the room tells");
        let known = self.groups.values().filter(|told| told.known);
        let first = |id| same.iter().find(|ids| ids.contains(&id)).map_or(id, |ids| ids[0]);
        let shown = known.flat_map(|told| told.view.shown());
        let shown = shown.map(|(id, c, words)| (first(id), c, words));
        let shown: BTreeMap<_, _> = shown.map(|(id, c, words)| ((id, c), words)).collect();
        let hash = view_hash(shown.into_iter().map(|((id, c), words)| (id, c, words)));
        assert_eq!(self.replica.hash(), hash);
        Some((frame, hash))
    }

    /// Names of the same entities, of which the client sees more than one.
    fn same(&self) -> Vec<Ids> {
        let shown =
            |id: &WireId| self.groups.values().any(|told| told.known && told.view.shows(*id));
        let names = |n: u32| [n << 6 | 1, n << 6 | 2, n << 6 | 3].map(WireId).into_iter();
        let all = [0, 1, 3].into_iter().filter(|_| self.aliases);
        let all = all.map(|n| names(n).filter(shown).collect::<Ids>());
        all.filter(|ids| ids.len() > 1).collect()
    }

    /// A hash of which entities are still the same.
    fn handles(&mut self) -> u64 {
        let mut bytes = Vec::new();
        for (id, handle) in self.replica.entities() {
            let next = self.numbers.len() as u32 + 1;
            let number = *self.numbers.entry(handle).or_insert(next);
            bytes.extend([id.0.to_le_bytes(), number.to_le_bytes()].concat());
        }
        hash(&bytes)
    }

    fn told(&mut self, group: Group) -> &mut Told {
        self.groups.get_mut(&group).expect("a group of the room")
    }

    fn block(
        &mut self,
        group: Group,
        (sees, full, news): (bool, bool, bool),
        renamed: &[(WireId, WireId)],
    ) -> Option<(Head, Vec<u8>)> {
        let (tick, heard) = (self.tick, self.heard);
        let told = self.groups.get_mut(&group).expect("a group of the room");
        let knew = told.known && !full;
        told.known = sees;
        let mut body = Vec::new();
        let (view, codec) = (&mut told.view, &mut self.codec);
        let base = view.now().saturating_sub(1);
        let kind = match (sees, knew) {
            (false, true) => BlockKind::Farewell,
            (false, false) => return None,
            (true, false) => {
                codec.encode_whole(view, tick, &mut body);
                BlockKind::Absolute
            }
            (true, true) if told.in_step && !news => BlockKind::Nothing,
            (true, true) if told.in_step => {
                let from = Baselines { older: base.saturating_sub(1), base };
                codec.encode(view, from, renamed, &mut body);
                BlockKind::Delta
            }
            (true, true) => {
                let last = view.last_tick();
                let gone = told.removed.iter().rev().filter(|(at, ..)| *at > heard && *at < last);
                let mut gone: Vec<(WireId, bool)> =
                    gone.map(|(_, id, gone)| (*id, *gone)).collect();
                gone.sort_by_key(|(id, _)| *id);
                gone.dedup_by_key(|(id, _)| *id);
                codec.encode_since(view, tick, (heard, &gone), &mut body);
                BlockKind::Absolute
            }
        };
        told.in_step = true;
        Some((Head { group, known: knew, kind }, body))
    }

    /// Changes what a group shows, at random. Gives what is renamed.
    fn change(&mut self, group: Group) -> Vec<(WireId, WireId)> {
        let tick = self.tick;
        self.told(group).view.begin(tick);
        let mut renamed = Vec::new();
        let most = if group == Group::Everyone { 6 } else { 3 };
        for n in 0..=most {
            let told = self.groups.get_mut(&group).expect("a group of the room");
            let id = WireId(n << 6 | (group.number() & 3) as u32);
            // The room, and a third of the entities, stay and do not change their names.
            let spare = WireId(id.0 | 32);
            let id = if told.view.shows(spare) { spare } else { id };
            match (told.view.shows(id), self.draw.up_to(9)) {
                (false, 0..4) => {
                    told.view.enter(id);
                }
                (true, 0) if n % 3 != 0 => {
                    let gone = self.draw.up_to(1) == 0;
                    told.view.go(id, gone);
                    told.removed.push((tick, id, gone));
                }
                (true, 1) if n % 3 != 0 && id != spare => {
                    told.view.rename(id, spare);
                    told.removed.push((tick, id, false));
                    renamed.push((id, spare));
                }
                _ => {}
            }
            self.walk(group, id);
        }
        renamed
    }

    fn walk(&mut self, group: Group, id: WireId) {
        let view = &mut self.groups.get_mut(&group).expect("a group of the room").view;
        let draw = &mut self.draw;
        for (component, def) in self.schema.components.iter().enumerate() {
            let old = view.component(id, component as u16).map(<[u32]>::to_vec);
            let words = match (draw.up_to(9), &old) {
                (0, _) => None,
                (1..6, Some(old)) => Some(draw.value(&def.ty, &mut &old[..])),
                (1..4, None) => Some(draw.value(&def.ty, &mut &[][..])),
                _ => continue,
            };
            if words.is_some() || draw.up_to(3) == 0 {
                view.set(id, component as u16, words.as_deref());
            }
        }
    }
}

struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 24) as u32
    }

    fn up_to(&mut self, most: u32) -> u32 {
        ((u64::from(self.next()) * (u64::from(most) + 1)) >> 32) as u32
    }

    /// A word near an old one, if there is one; mostly.
    fn word(&mut self, most: u32, old: Option<u32>) -> u32 {
        match (old, self.up_to(7)) {
            (Some(old), 0..2) => old,
            (Some(old), 2..5) => (old + 3).min(most),
            (Some(old), 5) => old.saturating_sub(self.up_to(40)),
            (_, 6) => self.up_to(most.min(40)),
            _ => self.up_to(most),
        }
    }

    /// A value of a type, given an old one (moved past), where the words are not empty.
    fn value(&mut self, ty: &FieldType, old: &mut &[u32]) -> Vec<u32> {
        let own = words::length(ty, old).unwrap_or(0);
        let (mut was, rest) = if old.is_empty() { (&[][..], *old) } else { old.split_at(own) };
        *old = rest;
        let first = was.first().copied();
        match ty {
            FieldType::Unit => vec![],
            FieldType::Bool => vec![self.word(1, first)],
            FieldType::Int { span, .. } => match u32::try_from(*span) {
                Ok(most) => vec![self.word(most, first)],
                Err(_) => vec![self.next(), self.up_to((span >> 32) as u32 - 1)],
            },
            FieldType::Float { min, max, step, wraps } => {
                let most = float_word(*max, *min, *max, *step, false);
                let word = self.word(most, first);
                vec![if *wraps { word % most } else { word }]
            }
            FieldType::F32 => vec![self.word(u32::MAX, first.map(|word| word.min(1 << 31)))],
            FieldType::F64 => vec![self.next(), self.next()],
            FieldType::Rotation { bits } => self.turn(*bits, was),
            FieldType::String { max } => self.text(*max),
            FieldType::Entity => vec![[0, 64, self.next()][self.up_to(2) as usize]],
            FieldType::Option { of } => {
                was = was.get(1..).unwrap_or(&[]);
                let some = self.up_to(3) > 0;
                let inner = if some { self.value(of, &mut was) } else { vec![] };
                std::iter::once(u32::from(some)).chain(inner).collect()
            }
            FieldType::List { of, max } => {
                let known = first.unwrap_or(0);
                was = was.get(1..).unwrap_or(&[]);
                let length = if self.up_to(1) == 0 { known } else { self.up_to(*max) };
                let parts = (0..length).flat_map(|n| {
                    let old = if n < known { &mut was } else { &mut &[][..] };
                    self.value(of, old)
                });
                let parts: Vec<u32> = parts.collect();
                std::iter::once(length).chain(parts).collect()
            }
            FieldType::Array { of, length } => {
                (0..*length).flat_map(|_| self.value(of, &mut was)).collect()
            }
            FieldType::Tuple { items } => {
                items.iter().flat_map(|ty| self.value(ty, &mut was)).collect()
            }
            FieldType::Struct { fields } => {
                fields.iter().flat_map(|field| self.value(&field.ty, &mut was)).collect()
            }
            FieldType::Enum { variants } => {
                let place = match first {
                    Some(place) if self.up_to(1) == 0 => place,
                    _ => self.up_to(variants.len() as u32 - 1),
                };
                was = if first == Some(place) { &was[1..] } else { &[] };
                let data = self.value(&variants[place as usize].ty, &mut was);
                std::iter::once(place).chain(data).collect()
            }
        }
    }

    fn text(&mut self, max: u32) -> Vec<u32> {
        let length = self.up_to(max);
        let mut text: Vec<u8> = (0..length).map(|_| b'a' + self.up_to(25) as u8).collect();
        text.resize(length.next_multiple_of(4) as usize, 0);
        let words = text.chunks(4).map(|four| u32::from_le_bytes(four.try_into().expect("four")));
        std::iter::once(length).chain(words).collect()
    }

    fn turn(&mut self, bits: u32, old: &[u32]) -> Vec<u32> {
        let mut part = || self.up_to(2_000) as f32 / 1_000.0 - 1.0;
        let random = [part(), part(), part(), part()];
        if old.is_empty() {
            return rotation::to_words(random, bits).into();
        }
        let old = rotation::from_words(old, bits);
        rotation::to_words(rotation::between(old, random, 0.1), bits).into()
    }
}
