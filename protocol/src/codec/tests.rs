//! The delta law over random schemas, histories and losses, and decoders on arbitrary bytes.

use super::*;
use crate::ids::WireId;
use crate::schema::{FieldType, Kind, Schema, TypeDef};
use crate::words::tests::{any_type, generator, random_words};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// How far back the baselines of these tests lie at most.
const DEPTH: u32 = 12;

fn schema(types: Vec<FieldType>, moves: bool) -> Schema {
    let def = |(n, ty): (usize, FieldType)| {
        let moves_by = (moves && n == 1).then_some(0);
        TypeDef { name: format!("C{n}"), resource: false, ty, moves_by, rarely: n % 3 == 2 }
    };
    let components = types.into_iter().enumerate().map(def).collect();
    let (inputs, actions, events) = (vec![], vec![], vec![]);
    Schema { kind: Kind::Realtime, components, inputs, actions, events, tables: vec![] }
}

fn any_schema() -> impl Strategy<Value = Schema> {
    let types = prop::collection::vec(any_type(), 0..4);
    // Among others steps that no game has.
    let fine = prop_oneof![Just(0.0625), Just(1e-9)];
    let wide = prop_oneof![Just(8.0), Just(1000.0)];
    (types, any::<bool>(), fine, wide).prop_map(move |(mut types, moves, fine, wide)| {
        if moves {
            let step = wide / 64.0;
            let speed = FieldType::Float { min: -wide, max: wide, step, wraps: false };
            let place = FieldType::Float { min: 0.0, max: fine * 1600.0, step: fine, wraps: false };
            types.splice(0..0, [speed, place]);
        }
        schema(types, moves)
    })
}

/// Changes a view at random: entities come and go, components too, and some values change.
fn change(schema: &Schema, view: &mut View, draw: &mut impl FnMut() -> u32) {
    for id in (1..10).map(WireId) {
        match (view.shows(id), draw() % 8) {
            (false, 0..=2) => drop(view.enter(id)),
            (true, 0) => view.go(id, draw().is_multiple_of(2)),
            _ => {}
        }
        for (component, def) in schema.components.iter().enumerate() {
            let mut words = Vec::new();
            match draw() % 6 {
                0 => drop(view.set(id, component as u16, None)),
                1..=3 => {
                    random_words(&def.ty, draw, &mut words);
                    view.set(id, component as u16, Some(&words));
                }
                _ => {}
            }
        }
    }
}

type Shown = BTreeMap<WireId, BTreeMap<u16, Vec<u32>>>;

fn shown(view: &View) -> Shown {
    let mut all: Shown = view.entities().map(|id| (id, BTreeMap::new())).collect();
    for (id, component, words) in view.shown() {
        all.entry(id).or_default().insert(component, words.to_vec());
    }
    all
}

/// A room and a client whose blocks are lost, or come late; what the client has is known to the room
/// some sends later.
fn over_a_bad_link(schema: &Schema, seed: u64, sends: u32) -> Result<(), TestCaseError> {
    let mut draw = generator(seed);
    let (mut room, mut client) = (Codec::new(schema, 20), Codec::new(schema, 20));
    let (mut here, mut there) = (View::new(DEPTH), View::new(DEPTH));
    // What the client has, with what each was told from.
    let mut has = BTreeMap::from([(0, 0)]);
    let mut tick = 0;
    for send in 1..=sends {
        tick += u64::from(1 + draw() % 3);
        here.begin(tick);
        change(schema, &mut here, &mut draw);
        let late = 1 + draw() % 4;
        let known = has.range(..=send - late.min(send)).next_back();
        let Some((&base, &older)) = known.filter(|(base, _)| here.remembers(**base)) else {
            return Ok(()); // everything was lost for too long
        };
        let older = if here.remembers(older) { older } else { base };
        let from = Baselines { older, base };
        let mut block = Vec::new();
        room.encode(&mut here, from, &[], &mut block);
        if draw().is_multiple_of(4) {
            continue;
        }
        there.begin_at(send, tick);
        prop_assert_eq!(client.decode(&mut there, from, &mut &block[..]), Ok(vec![]));
        prop_assert_eq!(shown(&there), shown(&here));
        has.insert(send, base);
    }
    Ok(())
}

proptest! {
    #[test]
    fn what_is_told_is_what_is(schema in any_schema(), seed: u64) {
        over_a_bad_link(&schema, seed, 30)?;
    }

    #[test]
    fn absolute_blocks_bring_a_client_into_step(schema in any_schema(), seed: u64, gap in 1u64..5) {
        let mut draw = generator(seed);
        let (mut room, mut client) = (Codec::new(&schema, 20), Codec::new(&schema, 20));
        let (mut here, mut there) = (View::new(2), View::new(2));
        for tick in 1..=3 {
            here.begin(tick * 10);
            change(&schema, &mut here, &mut draw);
        }
        let mut block = Vec::new();
        // It comes some ticks after the last send.
        room.encode_whole(&mut here, 35, &mut block);
        prop_assert_eq!(client.decode_absolute(&mut there, 35, &mut &block[..]), Ok(true));
        prop_assert_eq!((there.last_tick(), there.tick(there.now() - 1)), (30, Some(20)));
        prop_assert_eq!(shown(&there), shown(&here));
        // It misses some sends, and is told what changed since.
        let mut gone = Vec::new();
        for n in 1..=gap {
            here.begin(30 + n);
            let before: Vec<_> = here.entities().collect();
            change(&schema, &mut here, &mut draw);
            if n < gap {
                gone.extend(before.into_iter().filter(|id| !here.shows(*id)).map(|id| (id, false)));
            }
        }
        gone.sort_unstable();
        gone.dedup();
        // The room does not tell what has come back: its ids are new ones then.
        let mut block = Vec::new();
        room.encode_since(&mut here, 30 + gap, (30, &gone), &mut block);
        let read = client.decode_absolute(&mut there, 30 + gap, &mut &block[..]);
        prop_assert_eq!(read, Ok(false));
        prop_assert_eq!(shown(&there), shown(&here));
        // From here on it shares everyone's blocks.
        for n in 1..=3 {
            here.begin(40 + n);
            change(&schema, &mut here, &mut draw);
            let mut block = Vec::new();
            let of = |view: &View| Baselines { older: view.now() - 2, base: view.now() - 1 };
            let from = of(&here);
            room.encode(&mut here, from, &[], &mut block);
            there.begin(40 + n);
            let from = of(&there);
            prop_assert_eq!(client.decode(&mut there, from, &mut &block[..]), Ok(vec![]));
            prop_assert_eq!(shown(&there), shown(&here));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(schema in any_schema(), seed: u64, bytes: Vec<u8>) {
        let mut draw = generator(seed);
        let (mut codec, mut view) = (Codec::new(&schema, 20), View::new(3));
        for tick in 1..4 {
            view.begin(tick);
            change(&schema, &mut view, &mut draw);
        }
        view.begin(4);
        let from = Baselines { older: 2, base: 3 };
        let _ = codec.decode(&mut view.clone(), from, &mut &bytes[..]);
        let _ = codec.decode_absolute(&mut view, 4, &mut &bytes[..]);
    }

    #[test]
    fn a_block_ends_where_it_ends_whatever_follows(seed: u64, rest: Vec<u8>) {
        let word = FieldType::Int { min: 0, span: u64::from(u32::MAX) };
        let schema = schema(vec![word], false);
        let mut draw = generator(seed);
        let (mut codec, mut view) = (Codec::new(&schema, 0), View::new(2));
        view.begin(1);
        for id in 1..2 + draw() % 20 {
            view.enter(WireId(id));
            view.set(WireId(id), 0, Some(&[draw()]));
        }
        let mut block = Vec::new();
        codec.encode_whole(&mut view, 1, &mut block);
        let length = block.len();
        block.extend(&rest);
        let (mut bytes, mut there) = (&block[..], View::new(2));
        prop_assert_eq!(codec.decode_absolute(&mut there, 1, &mut bytes), Ok(true));
        prop_assert_eq!(shown(&there), shown(&view));
        prop_assert_eq!(bytes, &rest[..]);
        // What is cut off is missed, unless what is left happens to be another block.
        for length in [length - 1, length / 2] {
            if codec.decode_absolute(&mut there, 1, &mut &block[..length]).is_ok() {
                prop_assert_ne!(shown(&there), shown(&view));
            }
        }
    }
}

/// Of all numbers that read alike only the one that a writer picks is taken; so what is left of a block that
/// is cut off is hardly ever another one.
#[test]
fn a_block_ends_as_its_writer_ends_it() {
    let word = FieldType::Int { min: 0, span: 1000 };
    let schema = schema(vec![word], false);
    let (mut tried, mut taken) = (0, 0);
    for seed in 0..400 {
        let mut draw = generator(seed);
        let (mut codec, mut view) = (Codec::new(&schema, 0), View::new(2));
        view.begin(1);
        for id in 1..2 + draw() % 20 {
            view.enter(WireId(id));
            view.set(WireId(id), 0, Some(&[draw() % 1000]));
        }
        let mut block = Vec::new();
        codec.encode_whole(&mut view, 1, &mut block);
        for length in 0..block.len() {
            tried += 1;
            let read = codec.decode_absolute(&mut View::new(2), 1, &mut &block[..length]);
            taken += usize::from(read.is_ok());
        }
        if let Some(more) = block.pop().and_then(|last| last.checked_add(1)) {
            block.push(more);
            let read = codec.decode_absolute(&mut View::new(2), 1, &mut &block[..]);
            assert!(read.is_err(), "it says the same in another way");
        }
    }
    assert!(tried > 5_000 && taken * 1_000 < tried, "{taken} of {tried} were taken");
}

/// Ticks are told in whole as far as values are expected by them.
#[test]
fn an_absolute_block_of_nothing_takes_three_bytes_at_most() {
    let schema = schema(vec![FieldType::F32], true);
    for (gap, age) in [(1, 0), (3, 0), (20, 5), (126, 126), (600, 100), (100_000, 50_000)] {
        let (mut codec, mut view) = (Codec::new(&schema, 20), View::new(2));
        view.begin(10);
        view.begin(10 + gap);
        let mut out = Vec::new();
        codec.encode_whole(&mut view, 10 + gap + age, &mut out);
        assert!(out.len() <= 3, "{} bytes for {gap} and {age}", out.len());
        out.clear();
        codec.encode_since(&mut view, 10 + gap + age, (5, &[]), &mut out);
        assert!(out.len() <= 3, "{} bytes for {gap} and {age}", out.len());
    }
}

#[test]
fn a_list_that_is_cut_off_leads_nowhere() {
    let list = FieldType::List { of: Box::new(FieldType::F64), max: 30 };
    let items = vec![list.clone(), FieldType::String { max: 11 }, list];
    let schema = schema(vec![FieldType::Tuple { items }, FieldType::F32], false);
    for seed in 0..400 {
        let mut draw = generator(seed);
        let (mut codec, mut view) = (Codec::new(&schema, 20), View::new(3));
        for tick in 1..4 {
            view.begin(tick);
            change(&schema, &mut view, &mut draw);
        }
        view.begin(4);
        let bytes: Vec<u8> = (0..draw() % 9).map(|_| draw() as u8).collect();
        let from = Baselines { older: 2, base: 3 };
        let _ = codec.decode(&mut view, from, &mut &bytes[..]);
    }
}

/// The mean of bytes for fifty places that move by their speeds. Other words stand before and behind
/// both.
fn flight(types: [FieldType; 2], [before, behind]: [&[u32]; 2]) -> f64 {
    let schema = schema(types.into(), true);
    let (mut codec, mut view) = (Codec::new(&schema, 20), View::new(2));
    let value = |word: u32| [before, &[word], behind].concat();
    let mut sizes = Vec::new();
    for tick in 1..60u64 {
        view.begin(tick);
        for id in 1..=50u32 {
            view.enter(WireId(id));
            let speed = f64::from(id) / 8.0;
            let at = 10.0 + speed * tick as f64 / 20.0;
            view.set(WireId(id), 0, Some(&value((speed / 0.125) as u32 + 64)));
            view.set(WireId(id), 1, Some(&value((at / 0.0625).round() as u32)));
        }
        let base = view.now() - 1;
        let mut block = Vec::new();
        let from = Baselines { older: base.saturating_sub(1), base };
        codec.encode(&mut view, from, &[], &mut block);
        sizes.push(block.len());
    }
    sizes[5..].iter().sum::<usize>() as f64 / (sizes.len() - 5) as f64
}

const SPEED: FieldType = FieldType::Float { min: -8.0, max: 8.0, step: 0.125, wraps: false };
const PLACE: FieldType = FieldType::Float { min: 0.0, max: 1000.0, step: 0.0625, wraps: false };

#[test]
fn what_flies_as_it_says_costs_next_to_nothing() {
    let mean = flight([SPEED, PLACE], [&[], &[]]);
    // Bit by bit they would be 87 bytes.
    assert!(mean < 11.1, "{mean} bytes for fifty that fly straight");
}

#[test]
fn a_number_that_does_not_move_shifts_no_pair_of_place_and_speed() {
    let plain = flight([SPEED, PLACE], [&[], &[]]);
    let int = || FieldType::Int { min: 0, span: 1000 };
    let mean = flight(
        [SPEED, PLACE].map(|float| FieldType::Tuple { items: vec![int(), float, int()] }),
        [&[7], &[9]],
    );
    assert!(mean < 1.6 * plain, "{mean} bytes with numbers beside, {plain} without");
}

#[test]
fn more_entities_than_a_client_may_know_are_refused_as_they_come() {
    let schema = schema(vec![], false);
    let (mut codec, mut view) = (Codec::new(&schema, 0), View::new(2));
    view.begin(1);
    for id in 0..=crate::limits::ENTITIES_MAX as u32 + 1 {
        view.enter(WireId(id));
    }
    let mut block = Vec::new();
    codec.encode_whole(&mut view, 1, &mut block);
    let mut client = View::new(2);
    let read = codec.decode_absolute(&mut client, 1, &mut &block[..]);
    assert_eq!(
        read,
        Err(BlockError("more entities are told than a client may see (`ENTITIES_MAX`)"))
    );
    // One less is as many as there may be, and all of them may be others in the next send.
    view.leave(WireId(1));
    block.clear();
    codec.encode_whole(&mut view, 1, &mut block);
    let mut client = View::new(2);
    assert_eq!(codec.decode_absolute(&mut client, 1, &mut &block[..]), Ok(true));
    view.begin(2);
    let all: Vec<WireId> = view.entities().filter(|id| *id != WireId::ROOM).collect();
    for id in all {
        view.leave(id);
        view.enter(WireId(id.0 + 1_000_000));
    }
    block.clear();
    let from = Baselines { older: 0, base: 1 };
    codec.encode(&mut view, from, &[], &mut block);
    client.begin(2);
    let from = Baselines { older: 1, base: 2 };
    assert_eq!(codec.decode(&mut client, from, &mut &block[..]), Ok(vec![]));
    assert_eq!(client.len(), crate::limits::ENTITIES_MAX + 1);
}

#[test]
fn what_left_is_forgotten() {
    let mut view = View::new(3);
    for n in 1..1_000u32 {
        view.begin(n.into());
        view.enter(WireId(n));
        view.leave(WireId(n - 1));
        assert!(view.remembered() <= 6, "{} after {n} sends", view.remembered());
    }
}
