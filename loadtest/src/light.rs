//! A player's session without its state, for load: it reads of each state only the prelude, keeps to
//! the protocol in everything else, and acts blind. Sans-IO, with the verbs of
//! [`referee_client::Session`]; times are milliseconds.

use std::collections::VecDeque;
use std::rc::Rc;

use referee_client::bot::Say;
use referee_client::{Config, Event, LinkId, Output, Reason, Retry, Status};
use referee_protocol::frame::{
    Ack, ActionFrame, EventsFrame, FrameError, InputFrame, Lane, Payload, split,
};
use referee_protocol::limits::{
    ACK_EVERY_FRAMES, ACK_EVERY_MS, ACTIONS_KEPT_MAX, LINK_SILENCE_MAX_MS, PING_EVERY_MS, VERSIONS,
};
use referee_protocol::message::{self, ClientControl, Hello, ServerControl, Welcome};
use referee_protocol::{Code, Refusal, Schema, Tick, TypeDef};

/// Frames between two acknowledgements, where none rides on an input: as the full client has it.
const FRAMES_PER_ACK: u64 = ACK_EVERY_FRAMES as u64 / 2;
/// How long a connection must have been open for the next attempts to start from the front.
const HELD_AFTER_MS: u64 = 1_000;
/// How the message begins when the server sent what cannot be read; the full session says the same.
pub(crate) const UNREADABLE: &str = "the server sent something unreadable";

/// A schema that the bots of one thread share.
#[derive(Debug)]
pub(crate) struct KnownSchema {
    pub(crate) schema: Schema,
    pub(crate) bytes: Vec<u8>,
    pub(crate) hash: u64,
}

impl KnownSchema {
    pub(crate) fn read(bytes: &[u8]) -> Option<Rc<Self>> {
        let schema = Schema::decode(bytes).ok()?;
        let hash = referee_protocol::hash::hash(bytes);
        Some(Rc::new(Self { schema, bytes: bytes.to_vec(), hash }))
    }
}

/// How far it has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Waiting { until: u64 },
    Dialing { until: u64 },
    Greeting,
    AwaitingSchema(u64),
    AwaitingState,
    Open { since: u64 },
    Closed,
}

/// What an action was, kept until it is applied.
#[derive(Debug, Default)]
struct Kept {
    applied: u64,
    payloads: VecDeque<Payload>,
}

/// A player's session that does not look.
#[derive(Debug)]
pub(crate) struct Light {
    config: Config,
    schema: Option<Rc<KnownSchema>>,
    stage: Stage,
    /// The present connection, or the last one.
    link: LinkId,
    status: Status,
    retry: Retry,
    acked: Ack,
    got: Ack,
    ack_due: Option<u64>,
    ping_due: u64,
    nonce: u32,
    /// Since when an answer is waited for and nothing was heard.
    unanswered: Option<u64>,
    sample: u64,
    actions: Kept,
    welcomed: bool,
    seated: bool,
    outputs: VecDeque<Output>,
    events: VecDeque<Event>,
}

impl Light {
    pub(crate) fn new(config: Config, schema: Option<Rc<KnownSchema>>) -> Self {
        Self {
            retry: Retry::new(config.seed),
            config,
            schema,
            stage: Stage::Waiting { until: 0 },
            link: LinkId(0),
            status: Status::Connecting,
            acked: Ack::default(),
            got: Ack::default(),
            ack_due: None,
            ping_due: u64::MAX,
            nonce: 0,
            unanswered: None,
            sample: 0,
            actions: Kept::default(),
            welcomed: false,
            seated: false,
            outputs: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    pub(crate) fn schema(&self) -> Option<&Rc<KnownSchema>> {
        self.schema.as_ref()
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open { .. })
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        match self.stage {
            Stage::Waiting { until } | Stage::Dialing { until } => Some(until),
            Stage::Closed => None,
            _ => {
                let ping = (self.ping_due != u64::MAX).then_some(self.ping_due);
                [self.silent_at(), self.ack_due, ping].into_iter().flatten().min()
            }
        }
    }

    fn silent_at(&self) -> Option<u64> {
        let patience = match self.stage {
            Stage::Greeting => LINK_SILENCE_MAX_MS,
            _ => LINK_SILENCE_MAX_MS - PING_EVERY_MS,
        };
        self.unanswered.map(|since| since + patience)
    }

    pub(crate) fn handle_timeout(&mut self, now: u64) {
        match self.stage {
            Stage::Waiting { until } if until <= now => {
                self.stage = Stage::Dialing { until: now + LINK_SILENCE_MAX_MS };
                self.link = LinkId(self.link.0 + 1);
                self.outputs.push_back(Output::Connect { link: self.link });
            }
            Stage::Dialing { until } if until <= now => self.give_up(now, "did not answer"),
            Stage::Waiting { .. } | Stage::Dialing { .. } | Stage::Closed => {}
            _ if self.silent_at().is_some_and(|at| at <= now) => self.give_up(now, "fell silent"),
            _ => {
                if self.ping_due <= now {
                    self.ping_due = now + PING_EVERY_MS;
                    self.unanswered.get_or_insert(now);
                    self.nonce = self.nonce.wrapping_add(1);
                    self.send(message::encode(&ClientControl::Ping { nonce: self.nonce }));
                }
                self.flush_ack(now);
            }
        }
    }

    pub(crate) fn handle_open(&mut self, now: u64, link: LinkId) {
        if link != self.link || !matches!(self.stage, Stage::Dialing { .. }) {
            return;
        }
        let hello = Hello {
            versions: VERSIONS.to_vec(),
            game: Some(self.config.game.to_string()),
            match_id: Some(self.config.match_id.to_string()),
            name: self.config.name.clone(),
            schema: self.schema.as_ref().map(|known| known.hash),
            token: self.config.token.clone(),
            params: self.config.params.clone(),
            ..Hello::default()
        };
        self.stage = Stage::Greeting;
        (self.acked, self.got) = (Ack::default(), Ack::default());
        (self.ack_due, self.ping_due, self.unanswered) = (None, u64::MAX, Some(now));
        self.send(message::encode(&ClientControl::Hello(hello)));
    }

    pub(crate) fn handle_close(&mut self, now: u64, link: LinkId, code: Option<Code>, text: &str) {
        if link == self.link && !matches!(self.stage, Stage::Waiting { .. } | Stage::Closed) {
            let text = if text.is_empty() { "the connection was lost" } else { text };
            self.lost(now, Reason { code, message: text.into() }, 0);
        }
    }

    pub(crate) fn handle_frame(&mut self, now: u64, link: LinkId, frame: &[u8]) {
        let gone = link != self.link;
        if gone
            || matches!(self.stage, Stage::Waiting { .. } | Stage::Dialing { .. } | Stage::Closed)
        {
            return;
        }
        self.unanswered = None;
        if let Err(error) = self.receive(now, frame) {
            self.disconnect(Code::BadMessage);
            let message = format!("{UNREADABLE}: {error}");
            self.lost(now, Reason { code: None, message }, 0);
        }
    }

    fn receive(&mut self, now: u64, frame: &[u8]) -> Result<(), FrameError> {
        let (lane, body) = split(frame)?;
        match lane {
            Lane::State => self.state_came(now, body),
            Lane::Events => {
                let events = EventsFrame::decode(body)?;
                let last = events.first.saturating_add(events.events.len() as u64);
                self.got.event = last.saturating_sub(1);
                self.ack_within(now, ACK_EVERY_MS);
                Ok(())
            }
            Lane::Schema => match (self.stage, KnownSchema::read(body)) {
                (Stage::AwaitingSchema(hash), Some(known)) if known.hash == hash => {
                    self.schema = Some(known);
                    self.stage = Stage::AwaitingState;
                    Ok(())
                }
                _ => Err(FrameError::Block("the schema is not the one that was announced")),
            },
            Lane::Control => match message::decode(body)? {
                ServerControl::Welcome(welcome) => self.welcome(now, &welcome),
                ServerControl::Refused(refusal) => {
                    self.refused(now, refusal);
                    Ok(())
                }
                ServerControl::Pong { .. }
                | ServerControl::Ended { .. }
                | ServerControl::Check { .. } => Ok(()),
            },
            Lane::Input | Lane::Action | Lane::Ack => Err(FrameError::Lane(lane as u8)),
        }
    }

    fn welcome(&mut self, now: u64, welcome: &Welcome) -> Result<(), FrameError> {
        if self.stage != Stage::Greeting {
            return Err(FrameError::Block("a second Welcome"));
        }
        self.config.token.clone_from(&welcome.token);
        let kept = &mut self.actions;
        if welcome.resumed || !self.welcomed {
            let done = welcome.last_action.saturating_sub(kept.applied) as usize;
            kept.payloads.drain(..done.min(kept.payloads.len()));
        } else {
            kept.payloads.clear();
        }
        kept.applied = welcome.last_action;
        (self.sample, self.ping_due, self.welcomed) = (0, now, true);
        self.seated = welcome.seat.is_some();
        (self.got.event, self.acked.event) = (welcome.last_event, welcome.last_event);
        let known = self.schema.as_ref().is_some_and(|known| known.hash == welcome.schema);
        self.stage =
            if known { Stage::AwaitingState } else { Stage::AwaitingSchema(welcome.schema) };
        Ok(())
    }

    fn state_came(&mut self, now: u64, body: &[u8]) -> Result<(), FrameError> {
        // The tick is relative to what this session does not keep; only the first frame's counts.
        let prelude = referee_protocol::frame::Prelude::decode(&mut &body[..], Tick(0))?;
        match self.stage {
            Stage::AwaitingState if prelude.full => {
                self.stage = Stage::Open { since: now };
                self.set_status(Status::Open, None);
                self.resend();
            }
            Stage::Open { .. } => {}
            Stage::AwaitingState => return Err(FrameError::Block("the first state is not full")),
            _ => return Err(FrameError::Block("state before the schema")),
        }
        if let Some(low) = prelude.action {
            let more = usize::from(low.wrapping_sub(self.actions.applied as u16));
            if more > self.actions.payloads.len() {
                return Err(FrameError::Block("an action that was not sent is applied"));
            }
            self.actions.payloads.drain(..more);
            self.actions.applied += more as u64;
        }
        self.got.frames += 1;
        let ack_now = self.got.frames - self.acked.frames >= FRAMES_PER_ACK;
        self.ack_within(now, if ack_now { 0 } else { ACK_EVERY_MS });
        Ok(())
    }

    fn ack_within(&mut self, now: u64, ms: u64) {
        self.ack_due = Some(self.ack_due.map_or(now + ms, |due| due.min(now + ms)));
    }

    /// Sends the acknowledgement that is due, if it is. Comes after what the bot may say, on which an
    /// acknowledgement rides.
    pub(crate) fn flush_ack(&mut self, now: u64) {
        if self.ack_due.is_some_and(|due| due <= now) {
            let ack = self.take_ack();
            self.send(ack.encode());
        }
    }

    fn take_ack(&mut self) -> Ack {
        self.ack_due = None;
        self.acked = self.got;
        self.got
    }

    /// Says what the bot wants said.
    ///
    /// # Errors
    /// When the game does not take it, as a sentence.
    pub(crate) fn say(&mut self, say: &Say) -> Result<(), String> {
        let (Some(known), true) = (&self.schema, self.is_open() && self.seated) else {
            return Ok(());
        };
        match say {
            Say::Input(name, value) => {
                let payload = payload("input", &known.schema.inputs, name, value)?;
                self.sample += 1;
                let (ack, sample) = (self.take_ack(), self.sample);
                self.send(InputFrame { ack, sample, tick: Tick(0), payload }.encode());
            }
            Say::Action(name, value) => {
                let payload = payload("action", &known.schema.actions, name, value)?;
                if self.actions.payloads.len() >= ACTIONS_KEPT_MAX {
                    return Ok(()); // its instant waits for the ones before to be applied
                }
                self.actions.payloads.push_back(payload.clone());
                let number = self.actions.applied + self.actions.payloads.len() as u64;
                self.send(ActionFrame { number, payload }.encode());
            }
        }
        Ok(())
    }

    fn resend(&mut self) {
        for (payload, number) in self.actions.payloads.iter().zip(self.actions.applied + 1..) {
            let frame = ActionFrame { number, payload: payload.clone() }.encode();
            self.outputs.push_back(Output::Send { link: self.link, frame });
        }
    }

    /// Gives up the seat and closes for good.
    pub(crate) fn leave(&mut self) {
        if !matches!(self.stage, Stage::Waiting { .. } | Stage::Dialing { .. } | Stage::Closed) {
            self.send(message::encode(&ClientControl::Leave));
            self.disconnect(Code::Left);
        }
        self.close(Reason { code: Some(Code::Left), message: "the player left".into() });
    }

    fn refused(&mut self, now: u64, refusal: Refusal) {
        self.disconnect(refusal.code);
        let after = refusal.retry_after_ms.map_or(0, u64::from);
        self.lost(now, Reason { code: Some(refusal.code), message: refusal.message }, after);
    }

    fn give_up(&mut self, now: u64, what: &str) {
        self.disconnect(Code::Silent);
        let message = format!("the server {what}");
        self.lost(now, Reason { code: Some(Code::Silent), message }, 0);
    }

    fn lost(&mut self, now: u64, reason: Reason, after_ms: u64) {
        if !reason.code.is_none_or(Code::may_retry) {
            return self.close(reason);
        }
        if let Stage::Open { since } = self.stage
            && now.saturating_sub(since) >= HELD_AFTER_MS
        {
            self.retry.reset();
        }
        let wait = self.retry.wait_ms().max(after_ms.min(referee_client::RETRY_AFTER_MAX_MS));
        self.outputs.retain(|output| !matches!(output, Output::Send { .. }));
        self.stage = Stage::Waiting { until: now + wait };
        let was_in = self.status != Status::Connecting;
        let status = if was_in { Status::Reconnecting } else { Status::Connecting };
        self.set_status(status, Some(reason));
    }

    fn close(&mut self, reason: Reason) {
        self.stage = Stage::Closed;
        self.set_status(Status::Closed, Some(reason));
    }

    fn set_status(&mut self, status: Status, reason: Option<Reason>) {
        self.status = status;
        self.events.push_back(Event::Status { status, reason });
    }

    fn send(&mut self, frame: Vec<u8>) {
        self.outputs.push_back(Output::Send { link: self.link, frame });
    }

    fn disconnect(&mut self, code: Code) {
        self.outputs.push_back(Output::Disconnect { link: self.link, code });
    }
}

/// A value as it travels.
///
/// # Errors
/// When the game does not take it, as a sentence.
pub(crate) fn payload(
    what: &str,
    types: &[TypeDef],
    name: &str,
    value: &referee_protocol::Value,
) -> Result<Payload, String> {
    let Some(at) = types.iter().position(|def| def.name == name) else {
        let names: Vec<_> = types.iter().map(|def| def.name.as_str()).collect();
        return Err(format!("the game has no {what} {name}; it has {}", names.join(", ")));
    };
    let mut words = Vec::new();
    value.to_words(&types[at].ty, &mut words).map_err(|error| format!("{what} {name}: {error}"))?;
    Ok(Payload::from_words(at as u16, &types[at].ty, &words))
}
