//! What a scripted server says.

#![allow(dead_code, reason = "each test file uses a part")]

use referee_client_tokio::referee_client::protocol::block::{BlockKind, BlockWriter};
use referee_client_tokio::referee_client::protocol::frame::{Lane, Prelude};
use referee_client_tokio::referee_client::protocol::message::{
    self, Hello, ServerControl, Welcome,
};
use referee_client_tokio::referee_client::protocol::schema::{FieldType, Kind, Schema, TypeDef};
use referee_client_tokio::referee_client::protocol::{Group, Incarnation, SessionId, WireId};
use referee_client_tokio::{Client, Seat, Tick, Value};

pub(crate) fn schema() -> Schema {
    let count = FieldType::Int { min: 0, span: 100 };
    let press = TypeDef { name: "Press".into(), resource: false, ty: FieldType::Unit };
    Schema {
        kind: Kind::TurnBased,
        components: vec![TypeDef { name: "Count".into(), resource: true, ty: count }],
        inputs: vec![],
        actions: vec![press],
        events: vec![],
    }
}

/// The frames that let a client in and show it this count. With a rate the room is realtime.
pub(crate) fn welcome(
    hello: &Hello,
    count: u32,
    last_action: u64,
    hz: Option<u16>,
) -> Vec<Vec<u8>> {
    let welcome = Welcome {
        version: 1,
        session: SessionId(1),
        seat: Some(Seat(0)),
        token: Some("token".into()),
        resumed: hello.token.is_some(),
        incarnation: Incarnation(1),
        tick: Tick(1),
        hz,
        schema: schema().hash(),
        last_action,
        last_event: 0,
        events_lost: false,
        ended: None,
    };
    let mut frames = vec![message::encode(&ServerControl::Welcome(welcome))];
    if hello.schema != Some(schema().hash()) {
        frames.push([vec![Lane::Schema as u8], schema().encode()].concat());
    }
    let schema = schema();
    let prelude = Prelude { full: true, tick: Tick(1), ..Prelude::default() };
    let mut out = prelude.encode(Tick(0)).as_slice().to_vec();
    let mut block = BlockWriter::new(&schema, Group::Everyone, BlockKind::Since, &mut out);
    block.renamed(&[]);
    block.removed(&[]);
    block.removed_components(&[]);
    block.records(1);
    block.record(WireId::ROOM, true, [0].into_iter());
    block.component(0, None, &[count]);
    block.finish();
    frames.push(out);
    frames
}

pub(crate) fn count(client: &Client) -> Option<Value> {
    client.with(|session| session.resource("Count"))
}
