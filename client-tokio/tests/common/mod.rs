//! What a scripted server says.

#![allow(dead_code, reason = "each test file uses a part")]

use referee_client_tokio::referee_client::protocol::block::{BlockKind, Head};
use referee_client_tokio::referee_client::protocol::codec::{Codec, View};
use referee_client_tokio::referee_client::protocol::frame::{Lane, Prelude};
use referee_client_tokio::referee_client::protocol::message::{
    self, Hello, ServerControl, Welcome,
};
use referee_client_tokio::referee_client::protocol::schema::{FieldType, Kind, Schema, TypeDef};
use referee_client_tokio::referee_client::protocol::{Group, Incarnation, SessionId, WireId};
use referee_client_tokio::{Client, Seat, Tick, Value};

pub(crate) fn schema() -> Schema {
    let count = FieldType::Int { min: 0, span: 100 };
    let press = TypeDef {
        name: "Press".into(),
        resource: false,
        ty: FieldType::Unit,
        moves_by: None,
        rarely: false,
    };
    Schema {
        kind: Kind::TurnBased,
        components: vec![TypeDef {
            name: "Count".into(),
            resource: true,
            ty: count,
            moves_by: None,
            rarely: false,
        }],
        inputs: vec![],
        actions: vec![press],
        events: vec![],
        tables: vec![],
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
    let (group, kind) = (Group::Everyone, BlockKind::Absolute);
    let mut out = prelude.encode(Tick(0), &[Head { group, known: false, kind }]).to_vec();
    let mut view = View::new(2);
    view.begin(1);
    view.enter(WireId::ROOM);
    view.set(WireId::ROOM, 0, Some(&[count]));
    Codec::new(&schema, hz.unwrap_or(0)).encode_whole(&mut view, 1, &mut out);
    frames.push(out);
    frames
}

pub(crate) fn count(client: &Client) -> Option<Value> {
    client.with(|session| session.resource("Count"))
}
