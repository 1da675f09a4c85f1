//! What the server sends, lane by lane.

use super::{Connection, KnownSchema, Session};
use crate::error::Reason;
use crate::events::EventQueue;
use crate::link::Stage;
use crate::output::{Dropped, Event, Kind, LinkId, Status};
use crate::references::to_handles;
use referee_protocol::frame::{self, EventsFrame, FrameError, Lane, Prelude};
use referee_protocol::limits::{SERVER_MESSAGE_MAX_BYTES, VERSIONS};
use referee_protocol::message::{self, Resume, ServerControl, Welcome};
use referee_protocol::{Code, Value};

impl Session {
    /// A frame came in on a connection. An empty one is a sign of life.
    pub fn handle_frame(&mut self, now: u64, link: LinkId, frame: &[u8]) {
        let Some(link) = self.link().filter(|up| up.id == link) else { return };
        link.heard(now);
        self.drop_second();
        if frame.is_empty() {
            return;
        }
        if let Err(error) = self.receive(now, frame) {
            self.unreadable(now, &error);
        }
    }

    fn receive(&mut self, now: u64, frame: &[u8]) -> Result<(), FrameError> {
        if frame.len() > SERVER_MESSAGE_MAX_BYTES {
            return Err(FrameError::Block("the frame is larger than any server's"));
        }
        let (lane, body) = frame::split(frame)?;
        match lane {
            Lane::Control => self.control(now, message::decode(body)?),
            Lane::Schema => self.schema_came(body),
            Lane::State => self.state_came(now, body),
            Lane::Events => self.events_came(now, body),
            Lane::Input | Lane::Action | Lane::Ack => Err(FrameError::Lane(lane as u8)),
        }
    }

    fn control(&mut self, now: u64, message: ServerControl) -> Result<(), FrameError> {
        match message {
            ServerControl::Welcome(welcome) => return self.welcome(now, welcome),
            ServerControl::Refused(refusal) => self.refused(now, refusal),
            ServerControl::Pong { nonce, .. } => {
                if let Some(trip) = self.link().and_then(|link| link.pong(now, nonce)) {
                    self.metrics.round_trip(trip as f64);
                    self.aim_inputs();
                }
            }
            ServerControl::Ended { result } => self.end(result),
            ServerControl::Check { hash } => {
                self.checks.0 += 1;
                self.checks.1 += u64::from(hash != self.replica.hash());
            }
        }
        Ok(())
    }

    fn end(&mut self, result: String) {
        if self.ended.as_ref() != Some(&result) {
            self.ended = Some(result.clone());
            self.push_event(Event::Ended { result });
        }
    }

    fn welcome(&mut self, now: u64, welcome: Welcome) -> Result<(), FrameError> {
        if self.link().is_none_or(|link| link.stage != Stage::Greeting) {
            return Err(FrameError::Block("a second Welcome"));
        }
        if welcome.last_action.max(welcome.last_event) > u64::MAX / 2 {
            return Err(FrameError::Block("no room has seen so many actions or events"));
        }
        if !VERSIONS.contains(&welcome.version) {
            self.disconnect(Code::Version);
            let theirs = welcome.version;
            let message = format!(
                "the server answered in version {theirs}, this client speaks {VERSIONS:?}: update \
                 the older of the two"
            );
            self.close(Reason { code: Some(Code::Version), message });
            return Ok(());
        }
        self.store_token(welcome.token.clone());
        self.take_seat(&welcome);
        // Within one life of the room the numbering runs on, and what was had before is dropped.
        let had = match self.known {
            Some(known) if welcome.resumed && known.incarnation == welcome.incarnation => {
                known.event
            }
            _ => 0,
        };
        self.time_begins(&welcome);
        self.incarnation = welcome.incarnation;
        let schema_known = self.schema.as_ref().is_some_and(|known| known.hash == welcome.schema);
        if !schema_known {
            self.awaited_schema = welcome.schema;
        }
        if welcome.events_lost {
            self.push_event(Event::EventsLost);
        }
        match welcome.ended {
            Some(result) => self.end(result),
            None => self.ended = None,
        }
        if let Some(link) = self.link() {
            link.must_be_full |= !schema_known;
            let events = EventQueue::after(had.max(welcome.last_event));
            link.welcomed(now, welcome.hz.is_some(), schema_known, events);
        }
        Ok(())
    }

    fn take_seat(&mut self, welcome: &Welcome) {
        let same_seat = welcome.seat.is_some() && (welcome.resumed || !self.welcomed);
        if !same_seat {
            let why = Dropped::SeatGone;
            for act in self.actions.abandon() {
                let (kind, name, why) = (Kind::Action, act.name, why.clone());
                self.push_event(Event::Dropped { kind, name, why });
            }
        }
        if welcome.seat.is_none() {
            self.inputs.clear();
        }
        self.welcomed = true;
        self.seat = welcome.seat;
        self.actions.resume(welcome.last_action);
        self.inputs.resume(welcome.hz);
    }

    fn schema_came(&mut self, body: &[u8]) -> Result<(), FrameError> {
        let awaited = self.awaited_schema;
        let Some(link) = self.link().filter(|link| link.stage == Stage::AwaitingSchema) else {
            return Err(FrameError::Block("a schema that was not asked for"));
        };
        let known = KnownSchema::new(body).map_err(|e| FrameError::Control(e.to_string()))?;
        if known.hash != awaited {
            return Err(FrameError::Block("the schema is not the one that Welcome announced"));
        }
        link.stage = Stage::AwaitingState;
        self.schema = Some(known);
        // Values of the old schema mean nothing under the new one.
        self.replica = referee_protocol::Replica::new(self.hz.unwrap_or(0));
        self.known = None;
        Ok(())
    }

    fn state_came(&mut self, now: u64, body: &[u8]) -> Result<(), FrameError> {
        let (Connection::Up(link), Some(known)) = (&mut self.connection, &self.schema) else {
            return Err(FrameError::Block("state before the schema"));
        };
        if matches!(link.stage, Stage::Greeting | Stage::AwaitingSchema) {
            return Err(FrameError::Block("state before the schema"));
        }
        let first = link.stage == Stage::AwaitingState;
        if first && link.must_be_full && !Prelude::decode(&mut &body[..], self.replica.tick())?.full
        {
            return Err(FrameError::Block("the first state is not full"));
        }
        let prelude = self.replica.apply(&known.schema, body)?;
        if let Some(low) = prelude.action
            && !self.actions.acknowledge(low)
        {
            return Err(FrameError::Block("an action's number goes back"));
        }
        link.received(now, 1);
        if first {
            link.stage = Stage::Open(now);
            self.set_status(Status::Open, None);
        }
        self.state_is_new(now, &prelude);
        let entities = self.replica.departed().to_vec();
        if !entities.is_empty() {
            self.push_event(Event::Left { entities });
        }
        self.push_event(Event::State { tick: prelude.tick });
        self.deliver_events(now);
        self.flush_actions();
        self.flush_inputs(now);
        self.flush_ack(now);
        Ok(())
    }

    fn events_came(&mut self, now: u64, body: &[u8]) -> Result<(), FrameError> {
        let (Connection::Up(link), Some(known)) = (&mut self.connection, &self.schema) else {
            return Err(FrameError::Block("events before the schema"));
        };
        if matches!(link.stage, Stage::Greeting | Stage::AwaitingSchema) {
            return Err(FrameError::Block("events before the schema"));
        }
        link.events.take_in(&known.schema, &EventsFrame::decode(body)?)?;
        if self.is_open() {
            self.deliver_events(now);
            self.flush_ack(now);
        }
        Ok(())
    }

    /// Hands out the events that the present state lets through, and notes what is known now.
    fn deliver_events(&mut self, now: u64) {
        let tick = self.replica.tick();
        while let Some(held) = self.link().and_then(|link| link.events.deliver(tick)) {
            let Some(known) = &self.schema else { return };
            let def = &known.schema.events[usize::from(held.kind)];
            let mut value = Value::from_words(&def.ty, &mut &held.words[..])
                .expect("the words were read by this very type");
            to_handles(&mut value, &self.replica);
            let name = def.name.clone();
            self.push_event(Event::Event { name, value, tick: held.tick });
            if let Some(link) = self.link() {
                link.received(now, 0);
            }
        }
        let incarnation = self.incarnation;
        if let Some(event) = self.link().map(|link| link.events.delivered()) {
            self.known = Some(Resume { incarnation, tick, event });
        }
    }
}
