//! A block that tells of more than there can be is refused before it costs anything.

use referee_protocol::block::Head;
use referee_protocol::codec::{Codec, View, component_bytes};
use referee_protocol::frame::Prelude;
use referee_protocol::limits::{ENTITIES_MAX, ENTITY_BYTES, STATE_MAX_BYTES};
use referee_protocol::schema::{FieldType, TypeDef};
use referee_protocol::{BlockKind, Group, Kind, Replica, Schema, Tick, WireId};

fn schema(ty: FieldType) -> Schema {
    let components =
        vec![TypeDef { name: "C".into(), resource: false, ty, moves_by: None, rarely: false }];
    let (inputs, actions, events, tables) = (vec![], vec![], vec![], vec![]);
    Schema { kind: Kind::Realtime, components, inputs, actions, events, tables }
}

#[test]
fn a_since_block_removes_no_more_entities_than_there_can_be() {
    let schema = schema(FieldType::Bool);
    let mut view = View::new(2);
    view.begin(1);
    view.begin(2);
    let count = 100 * ENTITIES_MAX as u32;
    let removed: Vec<_> = (1..=count).map(|id| (WireId(id), true)).collect();
    let mut block = Vec::new();
    Codec::new(&schema, 30).encode_since(&mut view, 2, (0, &removed), &mut block);
    let mut there = View::new(2);
    let read = Codec::new(&schema, 30).decode_absolute(&mut there, 2, &mut &block[..]);
    assert!(read.is_err(), "{count} removals in {} bytes", block.len());
}

/// Lists of what is always the same: a value of a thousand words costs next to nothing on the wire.
fn lists() -> Schema {
    schema(FieldType::List { of: Box::new(FieldType::Int { min: 0, span: 0 }), max: 1_000 })
}

/// A block that tells of so many entities with a value of a thousand words each.
fn many(schema: &Schema, entities: u32) -> Vec<u8> {
    let mut view = View::new(2);
    let words: Vec<u32> = std::iter::once(1_000).chain([0; 1_000]).collect();
    view.begin(1);
    for id in 1..=entities {
        view.enter(WireId(id));
        view.set(WireId(id), 0, Some(&words));
    }
    view.begin(2);
    let mut block = Vec::new();
    Codec::new(schema, 30).encode_whole(&mut view, 2, &mut block);
    block
}

#[test]
fn a_block_that_tells_of_more_than_there_is_memory_for_is_refused() {
    let (schema, entities) = (lists(), 300);
    let block = many(&schema, entities);
    let each = ENTITY_BYTES + component_bytes(1_001);
    let read = |bytes: usize| {
        let mut view = View::new(2);
        view.bound(bytes);
        let read = Codec::new(&schema, 30).decode_absolute(&mut view, 2, &mut &block[..]);
        (read, view.bytes())
    };
    let all = each * entities as usize;
    assert_eq!(read(all), (Ok(true), all), "{all} bytes of {}", block.len());
    let (refused, counted) = read(all / 3);
    assert!(refused.unwrap_err().0.contains("STATE_MAX_BYTES"));
    assert!(counted <= all / 3 + each, "{counted} bytes were taken for {} allowed", all / 3);
}

/// A client that is told the same by several groups pays for each.
#[test]
fn what_all_groups_of_a_client_tell_is_bounded_in_sum() {
    let (schema, each) = (lists(), ENTITY_BYTES + component_bytes(1_001));
    let entities = (STATE_MAX_BYTES / each * 2 / 5) as u32;
    let block = many(&schema, entities);
    assert!(block.len() < 20_000, "{} bytes", block.len());
    let mut replica = Replica::new(30);
    let mut told = |team: u32, full: bool| {
        let known = (1..team).map(|n| (n, BlockKind::Nothing, true));
        let heads = known.chain([(team, BlockKind::Absolute, false)]);
        let head = |(n, kind, known)| Head { group: Group::Team(n), known, kind };
        let heads: Vec<Head> = heads.map(head).collect();
        let tick = Tick(u64::from(team) + 1);
        let prelude = Prelude { full, tick, ..Prelude::default() };
        let mut frame = prelude.encode(replica.tick(), &heads).to_vec();
        frame.extend(&block);
        replica.apply(&schema, &frame)
    };
    assert!(told(1, true).is_ok());
    assert!(told(2, false).is_ok());
    let refused = told(3, false).unwrap_err().to_string();
    assert!(refused.contains("STATE_MAX_BYTES"), "{refused}");
}

/// What comes and goes takes no more and more.
#[test]
fn what_left_counts_no_more_once_it_is_forgotten() {
    let mut view = View::new(2);
    let each = ENTITY_BYTES + component_bytes(1_001);
    let mut most = 0;
    for send in 0..60u32 {
        view.begin(send.into());
        let gone: Vec<WireId> = view.entities().collect();
        gone.into_iter().for_each(|id| view.leave(id));
        for n in 1..=1_000 {
            let id = WireId(send % 7 * 1_000 + n);
            view.enter(id);
            view.set(id, send as u16 % 5, Some(&[7; 1_001]));
        }
        most = most.max(view.bytes());
    }
    assert!(most <= 5 * 1_000 * each, "{most} bytes for {} shown", 1_000 * each);
}
