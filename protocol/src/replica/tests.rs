//! The delta law over random groups, and decoders on arbitrary bytes.

use super::*;
use crate::block::{BlockKind, BlockWriter};
use crate::schema::{FieldType, Kind, TypeDef};
use crate::words::tests::{any_type, generator, random_words};
use proptest::prelude::*;

type State = BTreeMap<WireId, BTreeMap<u16, Vec<u32>>>;

fn schema(types: Vec<FieldType>) -> Schema {
    let def = |(i, ty)| TypeDef { name: format!("C{i}"), resource: false, ty };
    let components = types.into_iter().enumerate().map(def).collect();
    Schema { kind: Kind::Realtime, components, inputs: vec![], actions: vec![], events: vec![] }
}

/// A random state that shares some entities and values with `like`.
fn random_state(schema: &Schema, draw: &mut impl FnMut() -> u32, like: &State) -> State {
    let mut state = State::new();
    for id in (1..12).map(WireId).filter(|_| draw() & 1 == 0).collect::<Vec<_>>() {
        let mut entity = BTreeMap::new();
        for (c, def) in schema.components.iter().enumerate() {
            let old = like.get(&id).and_then(|e| e.get(&(c as u16)));
            match (draw() % 3, old) {
                (0, _) => {}
                (1, Some(old)) => drop(entity.insert(c as u16, old.clone())),
                _ => {
                    let mut words = vec![];
                    random_words(&def.ty, draw, &mut words);
                    entity.insert(c as u16, words);
                }
            }
        }
        state.insert(id, entity);
    }
    state
}

/// The straightforward encoder of the law: everything that differs from `a` to `b`.
fn block(schema: &Schema, group: Group, kind: BlockKind, a: &State, b: &State) -> Vec<u8> {
    let mut out = vec![];
    let mut w = BlockWriter::new(schema, group, kind, &mut out);
    w.renamed(&[]);
    let gone: Vec<_> = a.keys().filter(|id| !b.contains_key(id)).copied().collect();
    w.removed(&gone);
    let mut lost = vec![];
    for (id, old) in a {
        let Some(new) = b.get(id) else { continue };
        lost.extend(old.keys().filter(|c| !new.contains_key(c)).map(|c| (*id, *c)));
    }
    w.removed_components(&lost);
    let changed: Vec<_> = b.iter().filter(|(id, e)| a.get(id) != Some(e)).collect();
    w.records(changed.len());
    for (id, entity) in changed {
        let old = a.get(id);
        let differs = |c: &u16| old.and_then(|o| o.get(c)) != entity.get(c);
        w.record(*id, old.is_none(), entity.keys().copied().filter(differs));
        for (c, words) in entity.iter().filter(|(c, _)| differs(c)) {
            let base = old.and_then(|o| o.get(c)).filter(|_| kind == BlockKind::Delta);
            w.component(*c, base.map(|b| &b[..]), words);
        }
    }
    w.finish();
    out
}

fn known(replica: &Replica) -> State {
    let words = |(c, w): (u16, &[u32])| (c, w.to_vec());
    let entity = |id| replica.components(id).into_iter().map(words).collect();
    replica.entities().map(|(id, _)| (id, entity(id))).collect()
}

proptest! {
    #[test]
    fn applying_a_difference_gives_the_new_state(
        types in prop::collection::vec(any_type(), 1..5),
        seed: u64,
        absolute: bool,
    ) {
        let schema = schema(types);
        let mut draw = generator(seed);
        let mut replica = Replica::default();
        let mut last = State::new();
        for step in 0..4u64 {
            let next = random_state(&schema, &mut draw, &last);
            let prelude = Prelude { full: step == 0, tick: Tick(step), ..Prelude::default() };
            let mut frame = prelude.encode(replica.tick()).as_slice()[1..].to_vec();
            let kind = if absolute { BlockKind::Since } else { BlockKind::Delta };
            frame.extend(block(&schema, Group::Team(3), kind, &last, &next));
            prop_assert_eq!(replica.apply(&schema, &frame), Ok(prelude));
            prop_assert_eq!(known(&replica), next.clone());
            last = next;
        }
    }

    #[test]
    fn arbitrary_frames_never_panic(
        types in prop::collection::vec(any_type(), 0..4),
        frames in prop::collection::vec(any::<Vec<u8>>(), 0..4),
    ) {
        let schema = schema(types);
        let mut replica = Replica::default();
        for frame in frames {
            let _ = replica.apply(&schema, &frame);
        }
    }
}

#[test]
fn a_whole_block_replaces_the_group() {
    let schema = schema(vec![FieldType::Bool]);
    let one = |id| State::from([(WireId(id), BTreeMap::from([(0, vec![1])]))]);
    let mut replica = Replica::default();
    let mut apply = |kind, state: &State| {
        let mut frame = Prelude::default().encode(Tick(0)).as_slice()[1..].to_vec();
        frame.extend(block(&schema, Group::Team(1), kind, &State::new(), state));
        replica.apply(&schema, &frame).unwrap();
        known(&replica)
    };
    assert_eq!(apply(BlockKind::Delta, &one(3)), one(3));
    assert_eq!(apply(BlockKind::Whole, &one(4)), one(4));
    assert_eq!(apply(BlockKind::Whole, &State::new()), State::new());
}

#[test]
fn an_entity_that_moves_between_groups_keeps_its_handle() {
    let schema = schema(vec![FieldType::Bool]);
    let wide = State::from([(WireId(9), BTreeMap::from([(0, vec![1])]))]);
    let mut replica = Replica::default();
    let full = Prelude { full: true, ..Prelude::default() };
    let mut frame = full.encode(Tick(0)).as_slice()[1..].to_vec();
    frame.extend(block(&schema, Group::Everyone, BlockKind::Delta, &State::new(), &wide));
    replica.apply(&schema, &frame).unwrap();
    let before: Vec<_> = replica.entities().collect();

    // It leaves everyone's view in the very frame in which one player's group shows it.
    let mut frame = Prelude::default().encode(Tick(0)).as_slice()[1..].to_vec();
    frame.extend(block(&schema, Group::Everyone, BlockKind::Delta, &wide, &State::new()));
    let player = Group::Player(crate::ids::Seat(0));
    frame.extend(block(&schema, player, BlockKind::Delta, &State::new(), &wide));
    replica.apply(&schema, &frame).unwrap();
    assert_eq!(replica.entities().collect::<Vec<_>>(), before);
    assert_eq!(replica.component(WireId(9), 0), Some(&[1][..]));
}
