//! How a bot stands to what it is sent: by a whole session, or by one that does not look.

use std::rc::Rc;

use referee_client::bot::Say;
use referee_client::{Config, Event, LinkId, Output, Session, Status};
use referee_protocol::Code;

use crate::light::{KnownSchema, Light};
use crate::thread::Thread;

/// A session of either kind.
pub(crate) enum Mind {
    /// It decodes everything.
    Full(Box<Session>),
    /// It reads preludes.
    Light(Box<Light>),
}

/// What became of something that a bot said.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// It leaves for the room, now or in its tick.
    New,
    /// An input that is what it was: the room holds it already, and nothing leaves for it.
    Held,
}

impl Mind {
    /// A session of the kind that is asked for.
    pub(crate) fn of(config: Config, decodes: bool, thread: &Thread) -> Self {
        let known = thread.schema.borrow().clone();
        if decodes {
            let schema = known.map(|known| known.bytes.clone());
            Self::Full(Box::new(Session::new(Config { schema, ..config })))
        } else {
            Self::Light(Box::new(Light::new(config, known)))
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        match self {
            Self::Full(session) => session.status() == Status::Open,
            Self::Light(light) => light.is_open(),
        }
    }

    pub(crate) fn say(&mut self, now: u64, say: &Say) -> Result<Said, String> {
        match (self, say) {
            (Self::Light(light), say) => light.say(say)?,
            (Self::Full(session), Say::Input(name, value)) => {
                let before = session.metrics().inputs;
                session.set_input(now, name, value).map_err(|error| error.to_string())?;
                if session.metrics().inputs == before && !session.input_waits(name) {
                    return Ok(Said::Held);
                }
            }
            (Self::Full(session), Say::Action(name, value)) => {
                session.send_action(name, value).map_err(|error| error.to_string())?;
            }
        }
        Ok(Said::New)
    }

    pub(crate) fn known_schema(&self) -> Option<Rc<KnownSchema>> {
        match self {
            Self::Full(session) => session.schema_bytes().and_then(KnownSchema::read),
            Self::Light(light) => light.schema().cloned(),
        }
    }

    pub(crate) fn checks(&self) -> (u64, u64) {
        match self {
            Self::Full(session) => session.checks(),
            Self::Light(_) => (0, 0),
        }
    }

    pub(crate) fn leave(&mut self) {
        match self {
            Self::Full(session) => session.leave(),
            Self::Light(light) => light.leave(),
        }
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        match self {
            Self::Full(session) => session.poll_output(),
            Self::Light(light) => light.poll_output(),
        }
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        match self {
            Self::Full(session) => session.poll_event(),
            Self::Light(light) => light.poll_event(),
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        match self {
            Self::Full(session) => session.poll_timeout(),
            Self::Light(light) => light.poll_timeout(),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: u64) {
        match self {
            Self::Full(session) => session.handle_timeout(now),
            Self::Light(light) => light.handle_timeout(now),
        }
    }

    pub(crate) fn handle_open(&mut self, now: u64, link: LinkId) {
        match self {
            Self::Full(session) => session.handle_open(now, link),
            Self::Light(light) => light.handle_open(now, link),
        }
    }

    pub(crate) fn handle_frame(&mut self, now: u64, link: LinkId, frame: &[u8]) {
        match self {
            Self::Full(session) => session.handle_frame(now, link, frame),
            Self::Light(light) => light.handle_frame(now, link, frame),
        }
    }

    pub(crate) fn handle_close(&mut self, now: u64, link: LinkId, code: Option<Code>, text: &str) {
        match self {
            Self::Full(session) => session.handle_close(now, link, code, text),
            Self::Light(light) => light.handle_close(now, link, code, text),
        }
    }
}
