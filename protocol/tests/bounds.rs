//! A block that tells of more than there can be is refused before it costs anything.

use referee_protocol::codec::{Codec, View};
use referee_protocol::limits::ENTITIES_MAX;
use referee_protocol::schema::{FieldType, TypeDef};
use referee_protocol::{Kind, Schema, WireId};

fn schema(ty: FieldType) -> Schema {
    let components = vec![TypeDef { name: "C".into(), resource: false, ty, moves_by: None }];
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
