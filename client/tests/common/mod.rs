//! A scripted server and a fake clock.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "what helps tests fails like a test")]

use referee_client::protocol::block::{BlockKind, Head};
use referee_client::protocol::codec::{Codec, View};
use referee_client::protocol::frame::{
    self, Ack, ActionFrame, EventsFrame, InputFrame, Lane, Payload, Prelude,
};
use referee_client::protocol::limits::STATE_SILENCE_MAX_MS;
use referee_client::protocol::message::{self, ClientControl, Hello, ServerControl, Welcome};
use referee_client::protocol::schema::{FieldType, Kind, Member, Schema, TypeDef};
use referee_client::protocol::{
    GameName, Group, Incarnation, MatchId, Seat, SessionId, Tick, Value, WireId,
};
use referee_client::{Config, Event, LinkId, Output, Session, Status};

fn def(name: &str, resource: bool, ty: FieldType) -> TypeDef {
    TypeDef { name: name.into(), resource, ty, moves_by: None, rarely: false }
}

fn fields(fields: &[(&str, FieldType)]) -> FieldType {
    let member = |(name, ty): &(&str, FieldType)| Member { name: (*name).into(), ty: ty.clone() };
    FieldType::Struct { fields: fields.iter().map(member).collect() }
}

/// Count (a resource), Player, Target (a reference); input Stick; actions Place, Point, Press;
/// event Said.
pub(crate) fn schema() -> Schema {
    let int = |span| FieldType::Int { min: 0, span };
    Schema {
        kind: Kind::Realtime,
        components: vec![
            def("Count", true, int(1000)),
            def("Player", false, fields(&[("seat", int(100)), ("connected", FieldType::Bool)])),
            def("Target", false, FieldType::Entity),
        ],
        inputs: vec![def("Stick", false, int(9))],
        actions: vec![
            def("Place", false, fields(&[("cell", int(8))])),
            def("Point", false, FieldType::Entity),
            def("Press", false, FieldType::Unit),
        ],
        events: vec![def("Said", false, int(1000))],
        tables: vec![],
    }
}

pub(crate) fn config() -> Config {
    Config::new(GameName::new("game").unwrap(), MatchId::new("m").unwrap())
}

pub(crate) fn welcome() -> Welcome {
    Welcome {
        version: 1,
        session: SessionId(1),
        seat: Some(Seat(0)),
        token: Some("token".into()),
        resumed: false,
        incarnation: Incarnation(1),
        tick: Tick(0),
        hz: Some(20),
        schema: schema().hash(),
        last_action: 0,
        last_event: 0,
        events_lost: false,
        ended: None,
    }
}

/// Entities and their components' words.
pub(crate) type World = Vec<(WireId, Vec<(u16, Vec<u32>)>)>;

pub(crate) fn count(n: u32) -> World {
    vec![(WireId::ROOM, vec![(0, vec![n])])]
}

/// A state frame that holds `world` in full, in everyone's group.
pub(crate) fn full(tick: u64, world: &World) -> Vec<u8> {
    state(Prelude { full: true, tick: Tick(tick), ..Prelude::default() }, Tick(0), world)
}

/// A state frame with what changed since the one of tick `before`.
pub(crate) fn after(tick: u64, before: u64, world: &World) -> Vec<u8> {
    state(Prelude { tick: Tick(tick), ..Prelude::default() }, Tick(before), world)
}

/// A state frame; `after` is the tick of the one before.
pub(crate) fn state(prelude: Prelude, after: Tick, world: &World) -> Vec<u8> {
    let (group, kind) = (Group::Everyone, BlockKind::Absolute);
    let heads = [Head { group, known: !prelude.full, kind }];
    let mut out = prelude.encode(after, &heads).to_vec();
    let mut view = View::new(2);
    // Entities that were there before, and what they became after that.
    view.begin(if prelude.full { 1 } else { 0 });
    for (id, _) in world {
        view.enter(*id);
    }
    view.begin(1);
    for (id, components) in world {
        for (component, words) in components {
            view.set(*id, *component, Some(words));
        }
    }
    view.begin(2);
    Codec::new(&schema(), 0).encode_since(&mut view, 2, (0, &[]), &mut out);
    out
}

pub(crate) fn said(first: u64, tick: u64, values: &[u32]) -> Vec<u8> {
    let ty = FieldType::Int { min: 0, span: 1000 };
    let events = values.iter().map(|v| Payload::from_words(0, &ty, &[*v])).collect();
    EventsFrame { first, tick: Tick(tick), events }.encode()
}

/// What a client sent, read.
#[derive(Debug, PartialEq)]
pub(crate) enum Sent {
    Hello(Hello),
    Ping(u32),
    Leave,
    Ack(Ack),
    Action(u64, String, Value),
    Input(InputFrame),
}

fn read(frame: &[u8]) -> Sent {
    let (lane, body) = frame::split(frame).unwrap();
    match lane {
        Lane::Control => match message::decode(body).unwrap() {
            ClientControl::Hello(hello) => Sent::Hello(hello),
            ClientControl::Ping { nonce } => Sent::Ping(nonce),
            ClientControl::Leave => Sent::Leave,
        },
        Lane::Ack => Sent::Ack(Ack::decode(body).unwrap()),
        Lane::Action => {
            let frame = ActionFrame::decode(body).unwrap();
            let schema = schema();
            let words = frame.payload.to_words("action", &schema.actions).unwrap();
            let def = &schema.actions[usize::from(frame.payload.kind)];
            let value = Value::from_words(&def.ty, &mut &words[..]).unwrap();
            Sent::Action(frame.number, def.name.clone(), value)
        }
        Lane::Input => Sent::Input(InputFrame::decode(body).unwrap()),
        other => panic!("a client does not send on {other:?}"),
    }
}

/// A session, the time, and what it has asked for.
pub(crate) struct Rig {
    pub(crate) session: Session,
    pub(crate) now: u64,
    /// The connection that was asked for last.
    pub(crate) link: LinkId,
    pub(crate) events: Vec<Event>,
}

impl Rig {
    pub(crate) fn new(config: Config) -> Self {
        Self { session: Session::new(config), now: 0, link: LinkId(0), events: vec![] }
    }

    /// A session that is open at tick 1, with a Count of 1.
    pub(crate) fn open() -> Self {
        let mut rig = Self::new(config());
        rig.dial();
        rig.enter(welcome(), 1);
        rig
    }

    pub(crate) fn outputs(&mut self) -> Vec<Output> {
        self.events.extend(std::iter::from_fn(|| self.session.poll_event()));
        std::iter::from_fn(|| self.session.poll_output()).collect()
    }

    pub(crate) fn sent(&mut self) -> Vec<Sent> {
        let frame = |output| match output {
            Output::Send { frame, .. } => Some(read(&frame)),
            _ => None,
        };
        self.outputs().into_iter().filter_map(frame).collect()
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        self.events.extend(std::iter::from_fn(|| self.session.poll_event()));
        std::mem::take(&mut self.events)
    }

    /// The one-shot events so far: values and ticks.
    pub(crate) fn said(&mut self) -> Vec<(Value, u64)> {
        let event = |event| match event {
            Event::Event { value, tick, .. } => Some((value, tick.0)),
            _ => None,
        };
        self.events().into_iter().filter_map(event).collect()
    }

    /// Goes to the session's next timeout.
    pub(crate) fn step(&mut self) {
        self.now = self.now.max(self.session.poll_timeout().expect("a timeout is armed"));
        self.session.handle_timeout(self.now);
    }

    /// Time passes, and the room speaks as often as a realtime room does.
    pub(crate) fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        let mut speaks = self.now + STATE_SILENCE_MAX_MS;
        loop {
            let until = end.min(speaks);
            while self.session.poll_timeout().is_some_and(|at| at <= until) {
                self.step();
            }
            self.now = until;
            if until == end {
                return;
            }
            self.frame(&[]);
            speaks += STATE_SILENCE_MAX_MS;
        }
    }

    /// Waits until the session connects, opens, and returns its Hello.
    pub(crate) fn dial(&mut self) -> Hello {
        self.step();
        self.connect();
        self.session.handle_open(self.now, self.link);
        let sent = self.sent();
        let [Sent::Hello(hello)] = &sent[..] else { panic!("{sent:?}") };
        hello.clone()
    }

    /// The session asks for one connection, and for nothing else after it.
    pub(crate) fn connect(&mut self) -> LinkId {
        let last = self.outputs().pop();
        let Some(Output::Connect { link }) = last else { panic!("{last:?}") };
        self.link = link;
        link
    }

    pub(crate) fn frame(&mut self, frame: &[u8]) {
        self.session.handle_frame(self.now, self.link, frame);
    }

    pub(crate) fn welcome(&mut self, welcome: Welcome) {
        self.frame(&message::encode(&ServerControl::Welcome(welcome)));
    }

    pub(crate) fn schema(&mut self) {
        let mut frame = vec![Lane::Schema as u8];
        frame.extend(schema().encode());
        self.frame(&frame);
    }

    /// Welcome, the schema where it is not known, and a full state with a Count of `tick`.
    pub(crate) fn enter(&mut self, welcome: Welcome, tick: u64) {
        let known = self.session.schema().is_some();
        self.welcome(welcome);
        if !known {
            self.schema();
        }
        self.frame(&full(tick, &count(tick as u32)));
        assert_eq!(self.session.status(), Status::Open);
    }

    pub(crate) fn drop_connection(&mut self) {
        self.session.handle_close(self.now, self.link, None, "");
    }

    pub(crate) fn count(&self) -> Option<Value> {
        self.session.resource("Count")
    }
}

pub(crate) fn press(rig: &mut Rig) {
    rig.session.send_action("Press", &Value::Null).unwrap();
}

pub(crate) fn actions(sent: &[Sent]) -> Vec<u64> {
    let number = |sent: &Sent| match sent {
        Sent::Action(number, ..) => Some(*number),
        _ => None,
    };
    sent.iter().filter_map(number).collect()
}
