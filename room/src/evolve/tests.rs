//! Values over random layouts that were changed at random: what should be kept is.

use proptest::prelude::*;
use referee_protocol::bits::write_varint;
use serde_json::{Map, Value as Json, json as js};

use super::*;
use crate::layout::{Types, json, saved};

/// Draws from a seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn text(&mut self) -> String {
        (0..self.below(5)).map(|_| char::from(b'a' + self.below(26) as u8)).collect()
    }
}

/// A value that knows how it lies, with what it should read as afterwards.
struct Case {
    old: Layout,
    new: Layout,
    bytes: Vec<u8>,
    wanted: Json,
}

fn plain(draw: &mut Draw) -> Case {
    let number = draw.below(200);
    let same = |layout: Layout, bytes: Vec<u8>, wanted: Json| Case {
        old: layout.clone(),
        new: layout,
        bytes,
        wanted,
    };
    let int = |bits, signed| Layout::Int { bits, signed };
    match draw.below(8) {
        0 => same(Layout::Bool, saved(&(number % 2 == 1)), js!(number % 2 == 1)),
        1 => same(Layout::F32, saved(&(number as f32 / 4.0)), js!(number as f32 / 4.0)),
        2 => {
            let text = draw.text();
            same(Layout::Text, saved(&text), js!(text))
        }
        3 => same(Layout::Entity, saved_number(number + 1), js!(number + 1)),
        4 => {
            let wider = [int(16, false), int(32, true), int(64, false)];
            let new = wider[draw.below(3) as usize].clone();
            Case { old: int(8, false), new, bytes: saved(&(number as u8)), wanted: js!(number) }
        }
        5 => {
            let bytes = saved(&-(number as i32));
            Case { old: int(32, true), new: int(64, true), bytes, wanted: js!(-(number as i64)) }
        }
        6 => {
            let value = number as f32 / 8.0;
            Case {
                old: Layout::F32,
                new: Layout::F64,
                bytes: saved(&value),
                wanted: js!(f64::from(value)),
            }
        }
        _ => {
            let new = Layout::Option(Box::new(int(32, false)));
            Case { old: int(16, false), new, bytes: saved(&(number as u16)), wanted: js!(number) }
        }
    }
}

fn saved_number(number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_varint(&mut bytes, number);
    bytes
}

fn case(draw: &mut Draw, depth: u32) -> Case {
    if depth == 0 {
        return plain(draw);
    }
    match draw.below(6) {
        0 => record(draw, depth),
        1 => variant_case(draw, depth),
        2 => list(draw, depth),
        3 => {
            let inner = case(draw, depth - 1);
            let bytes = [&[1], &inner.bytes[..]].concat();
            let [old, new] = [inner.old, inner.new].map(|of| Layout::Option(Box::new(of)));
            Case { old, new, bytes, wanted: inner.wanted }
        }
        4 => {
            // A type around a value comes and goes.
            let inner = case(draw, depth - 1);
            let (old, new) = match draw.below(2) {
                0 => (Layout::named("Around", &[], inner.old), inner.new),
                _ => (inner.old, Layout::named("Around", &[], inner.new)),
            };
            Case { old, new, ..inner }
        }
        _ => plain(draw),
    }
}

/// Several values of one layout: the same case over and over.
fn list(draw: &mut Draw, depth: u32) -> Case {
    let seed = draw.below(u64::from(u32::MAX));
    let inner = case(&mut Draw(seed), depth - 1);
    if inner.old.bytes_min() == 0 || inner.new.bytes_min() == 0 {
        return plain(draw); // no game has a list of what says nothing
    }
    let count = draw.below(4) as usize;
    let of = [Box::new(inner.old), Box::new(inner.new)];
    let wanted = Json::Array(vec![inner.wanted; count]);
    let items = inner.bytes.repeat(count);
    if draw.below(2) == 0 {
        let [old, new] = of.map(|of| Layout::Array(of, count as u32));
        return Case { old, new, bytes: items, wanted };
    }
    let [old, new] = of.map(Layout::List);
    Case { old, new, bytes: [saved_number(count as u64), items].concat(), wanted }
}

/// Fields that stay, go, come, and are called otherwise, in another order.
fn record(draw: &mut Draw, depth: u32) -> Case {
    let (mut old, mut new, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    let mut wanted = Map::new();
    for at in 0..1 + draw.below(5) {
        let inner = case(draw, depth - 1);
        let name = format!("f{at}");
        let change = draw.below(4);
        if change < 3 {
            old.push(Part::new(&name, inner.old.clone()));
            bytes.extend(&inner.bytes);
        }
        let part = match change {
            0 => continue, // it goes
            1 => Part::new(&name, inner.new),
            2 => Part::new(&format!("now{at}"), inner.new).was(&["unused", &name]),
            _ => {
                let made = Evolution { functions: &[] };
                let mut default = Vec::new();
                made.value(&inner.old, &inner.new, &inner.bytes, Place::of("x"), &mut default)
                    .expect("the case is sound");
                Part::new(&name, inner.new).with_default(Some(default))
            }
        };
        wanted.insert(part.name.clone(), inner.wanted);
        let place = draw.below(new.len() as u64 + 1) as usize;
        new.insert(place, part);
    }
    let wanted = if new.is_empty() { js!([]) } else { Json::Object(wanted) };
    Case { old: Layout::Struct(old), new: Layout::Struct(new), bytes, wanted }
}

/// The stored variant stays or is called otherwise; others come and go around it.
fn variant_case(draw: &mut Draw, depth: u32) -> Case {
    let inner = case(draw, depth - 1);
    let others = |draw: &mut Draw, name: &str| -> Vec<Part> {
        let layout = |draw: &mut Draw| plain(draw).old;
        (0..draw.below(3)).map(|at| Part::new(&format!("{name}{at}"), layout(draw))).collect()
    };
    let (mut old, mut new) = (others(draw, "gone"), others(draw, "new"));
    let (at, to) = (draw.below(old.len() as u64 + 1), draw.below(new.len() as u64 + 1));
    let renamed = draw.below(2) == 0;
    let name = if renamed { "Now" } else { "Here" };
    old.insert(at as usize, Part::new("Here", inner.old));
    let part = Part::new(name, inner.new);
    new.insert(to as usize, if renamed { part.was(&["Here"]) } else { part });
    let bytes = [saved_number(at), inner.bytes].concat();
    let wanted = if inner.wanted.is_null() { js!(name) } else { js!({ name: inner.wanted }) };
    Case { old: Layout::Enum(old), new: Layout::Enum(new), bytes, wanted }
}

/// A layout as it comes back from a snapshot.
fn stored(layout: &Layout) -> Layout {
    let mut bytes = Vec::new();
    layout.encode(&mut crate::field::Saver::new(&mut bytes, &|_| 0));
    let mut from = reader(&bytes);
    let read = Layout::decode(&mut from).expect("it was just written");
    assert!(from.rest().is_empty());
    read
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn what_has_a_name_is_kept(seed: u64, depth in 0u32..5) {
        let Case { old, new, bytes, wanted } = case(&mut Draw(seed), depth);
        let old = stored(&old);
        prop_assert_eq!(span(&old, &mut reader(&bytes)), Ok(&bytes[..]));
        let mut out = Vec::new();
        let evolution = Evolution { functions: &[] };
        evolution.value(&old, &new, &bytes, Place::of("T"), &mut out).map_err(|error| {
            TestCaseError::fail(error.to_string())
        })?;
        let mut from = reader(&out);
        prop_assert_eq!(json(&new, &mut from), Ok(wanted));
        prop_assert!(from.rest().is_empty());
    }

    #[test]
    fn unlike_layouts_and_damaged_values_never_panic(one: u64, other: u64, cut: prop::sample::Index) {
        let (one, other) = (case(&mut Draw(one), 3), case(&mut Draw(other), 3));
        let mut bytes = one.bytes;
        bytes.truncate(cut.index(bytes.len() + 1));
        let evolution = Evolution { functions: &[] };
        let _ = evolution.value(&one.old, &other.new, &bytes, Place::of("T"), &mut Vec::new());
        let _ = evolution.value(&other.old, &one.new, &bytes, Place::of("T"), &mut Vec::new());
        let _ = json(&other.old, &mut reader(&bytes));
    }

    #[test]
    fn arbitrary_bytes_are_no_types_and_never_panic(bytes: Vec<u8>) {
        let _ = Types::decode(&bytes);
        let _ = Layout::decode(&mut reader(&bytes));
    }
}

#[test]
fn golden_bytes_of_a_layout() {
    let parts = vec![
        Part::new("n", Layout::Int { bits: 32, signed: true }),
        Part::new("of", Layout::Array(Box::new(Layout::named("A", &[], Layout::Text)), 300)),
    ];
    let layout = Layout::named("T", &["U"], Layout::Struct(parts));
    let mut bytes = Vec::new();
    layout.encode(&mut crate::field::Saver::new(&mut bytes, &|_| 0));
    let expected = [21, 1, b'T', 19, 2, 1, b'n', 8, 2, b'o', b'f', 18, 0xac, 2, 21, 1, b'A', 13];
    assert_eq!(bytes, expected);
    assert_eq!(stored(&layout), layout, "earlier names are not stored, and do not count");
}

#[test]
fn layouts_that_are_too_deep_or_say_nothing_are_none() {
    let deep: Vec<u8> = std::iter::repeat_n(16, 200).chain([1]).collect();
    assert!(Layout::decode(&mut reader(&deep)).is_err());
    let empty = [18, 0xff, 0xff, 0xff, 0x0f, 0];
    assert!(Layout::decode(&mut reader(&empty)).is_err());
}
