//! A client of a test room: it applies what it is sent and acknowledges it.

use referee_protocol::frame::{Ack, EventsFrame, Lane, split};
use referee_protocol::message::{self, Resume, ServerControl};
use referee_protocol::{Incarnation, LinkId, Refusal, Replica, Schema, Seat, SessionId, Tick};
use serde_json::Value;

use crate::inspect::json_of;
use crate::output::Joined;

/// What leaves a room for a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Sent {
    Frame(Vec<u8>),
    Joined(Joined),
    Ended(Refusal),
}

/// A client in memory.
pub(super) struct TestClient {
    pub(super) session: SessionId,
    pub(super) link: LinkId,
    pub(super) seat: Option<Seat>,
    pub(super) generation: u64,
    pub(super) last_action: u64,
    pub(super) samples: u64,
    hz: u16,
    pub(super) replica: Replica,
    pub(super) events: Vec<(String, Value)>,
    pub(super) frames: Vec<Vec<u8>>,
    /// Everything that left the room for it, in order, with the tick.
    pub(super) sent: Vec<(Tick, Sent)>,
    pub(super) ended: Option<Refusal>,
    pub(super) cut: bool,
    /// Why it has no connection, while it has none: then what it knows is of an earlier time.
    pub(super) away: Option<&'static str>,
    received: u64,
    last_event: u64,
    knows: bool,
    /// The life of the room that it is in, and the one that it was in before.
    life: Incarnation,
    life_before: Incarnation,
}

impl TestClient {
    pub(super) fn new(session: SessionId, link: LinkId, hz: u16, life: Incarnation) -> Self {
        Self {
            session,
            link,
            seat: None,
            generation: 0,
            last_action: 0,
            samples: 0,
            hz,
            replica: Replica::new(hz),
            events: Vec::new(),
            frames: Vec::new(),
            sent: Vec::new(),
            ended: None,
            cut: false,
            away: None,
            received: 0,
            last_event: 0,
            knows: false,
            life,
            life_before: life,
        }
    }

    /// Takes a frame. Gives the acknowledgement of a state frame.
    ///
    /// # Panics
    /// When the room sends what no client can read: that is a fault of the room.
    pub(super) fn receive(&mut self, schema: &Schema, frame: &[u8]) -> Option<Ack> {
        if self.cut {
            return None;
        }
        let (lane, body) = split(frame).expect("the room sends good frames");
        if lane == Lane::Control {
            self.compare(body);
            return None;
        }
        self.frames.push(frame.to_vec());
        match lane {
            Lane::State => {
                self.replica.apply(schema, body).expect("the room sends good state");
                (self.received, self.knows) = (self.received + 1, true);
                return Some(Ack { frames: self.received, event: self.last_event });
            }
            Lane::Events => self.take_events(schema, body),
            Lane::Control | Lane::Schema | Lane::Input | Lane::Action | Lane::Ack => {}
        }
        None
    }

    /// The room says what the state before should have come to.
    ///
    /// # Panics
    /// When it came to something else.
    fn compare(&self, body: &[u8]) {
        let said = message::decode(body).expect("the room sends good messages");
        let ServerControl::Check { hash } = said else { panic!("no room sends {said:?}") };
        let tick = self.replica.tick();
        assert_eq!(
            self.replica.hash(),
            hash,
            "a client sees what the room does not show: {tick:?}"
        );
    }

    pub(super) fn corrupt(&mut self) {
        let tick = self.replica.tick();
        self.replica = Replica::new(self.hz);
        self.replica.set_tick(tick);
    }

    fn take_events(&mut self, schema: &Schema, body: &[u8]) {
        for (number, name, value) in events_of(schema, body) {
            if number <= self.last_event {
                continue; // sent again after a resume
            }
            assert_eq!(number, self.last_event + 1, "an event is missing");
            self.last_event = number;
            self.events.push((name, value));
        }
    }

    /// What it was told is of no use: the game has other types now.
    pub(super) fn forget(&mut self) {
        self.replica = Replica::new(self.hz);
        self.knows = false;
    }

    /// What it knows, if anything.
    pub(super) fn resume(&self) -> Option<Resume> {
        let (incarnation, tick, event) = (self.life, self.replica.tick(), self.last_event);
        self.knows.then_some(Resume { incarnation, tick, event })
    }

    /// Begins anew in this life of its room.
    pub(super) fn reconnect(&mut self, session: SessionId, link: LinkId, life: Incarnation) {
        (self.session, self.link) = (session, link);
        (self.life_before, self.life) = (self.life, life);
        (self.received, self.cut, self.ended) = (0, false, None);
        self.away = None;
    }

    /// It is told the number of the last event before those that come. In another life of the room they
    /// are numbered from what that life has.
    pub(super) fn welcomed(&mut self, last_event: u64) {
        if self.life != self.life_before {
            self.last_event = last_event;
        }
    }
}

/// The events of a frame: their numbers, names and values.
pub(super) fn events_of(schema: &Schema, body: &[u8]) -> Vec<(u64, String, Value)> {
    let frame = EventsFrame::decode(body).expect("the room sends good events");
    let events = (frame.first..).zip(frame.events).map(|(number, event)| {
        let words = event.to_words("event", &schema.events).expect("good events");
        let def = &schema.events[usize::from(event.kind)];
        (number, def.name.clone(), json_of(&def.ty, &words))
    });
    events.collect()
}
