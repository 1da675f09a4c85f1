//! What the player wants: actions and inputs.

use super::{Connection, Session};
use crate::actions::Act;
use crate::error::{ClientError, Reason};
use crate::output::{Dropped, Event, Kind, Status};
use crate::references::to_wire_ids;
use referee_protocol::frame::{ActionFrame, InputFrame, Payload};
use referee_protocol::limits::MESSAGE_TYPES_MAX;
use referee_protocol::{Replica, Schema, TypeDef, Value};

impl Session {
    /// Does an action. It reaches the room exactly once, in order, unless the seat is lost before;
    /// before the first Welcome and while the connection is away it waits. Entities in the value
    /// go by the ids that [`crate::EntityView::id`] gives.
    ///
    /// # Errors
    /// When the game has no such action, the value does not fit, the player only watches, too many
    /// wait, or the session is closed.
    pub fn send_action(&mut self, name: &str, value: &Value) -> Result<(), ClientError> {
        self.check(Kind::Action, name, value)?;
        if self.actions.is_full() {
            return Err(ClientError::TooManyActions { name: name.into() });
        }
        self.actions.push(Act { name: name.into(), value: value.clone() });
        if self.is_open() {
            self.flush_actions();
        }
        Ok(())
    }

    /// Sets a sampled input to what it is now. The latest counts; it goes out at most once a tick,
    /// and holds until it is set anew. What is set to what it was is no news, and sends nothing.
    ///
    /// # Errors
    /// As [`Self::send_action`].
    pub fn set_input(&mut self, now: u64, name: &str, value: &Value) -> Result<(), ClientError> {
        self.check(Kind::Input, name, value)?;
        if self.schema.is_none() && self.inputs.len() >= MESSAGE_TYPES_MAX {
            return Err(unknown(Kind::Input, name, &[]));
        }
        self.inputs.set(name, value.clone());
        self.flush_inputs(now);
        Ok(())
    }

    /// Whether what an input was set to has not gone out yet, since its tick or the connection is
    /// waited for.
    #[must_use]
    pub fn input_waits(&self, name: &str) -> bool {
        self.inputs.waits(name)
    }

    fn check(&self, kind: Kind, name: &str, value: &Value) -> Result<(), ClientError> {
        if self.status == Status::Closed {
            let reason = self.reason.as_ref().map(Reason::to_string).unwrap_or_default();
            return Err(ClientError::Closed { kind: kind.noun(), name: name.into(), reason });
        }
        if self.config.watch || self.welcomed && self.seat.is_none() {
            return Err(ClientError::Spectator { kind: kind.noun(), name: name.into() });
        }
        match &self.schema {
            Some(known) => encode(kind, &known.schema, &self.replica, name, value).map(|_| ()),
            // Checked when the schema is here.
            None => Ok(()),
        }
    }

    pub(super) fn flush_actions(&mut self) {
        while let (Some((number, act)), Some(known)) = (self.actions.next(), &self.schema) {
            match encode(Kind::Action, &known.schema, &self.replica, &act.name, &act.value) {
                Ok(payload) => {
                    self.actions.sent();
                    self.send(ActionFrame { number, payload }.encode());
                }
                Err(error) => {
                    let Some(act) = self.actions.refuse() else { return };
                    self.dropped(Kind::Action, act.name, error);
                }
            }
        }
    }

    pub(super) fn flush_inputs(&mut self, now: u64) {
        while self.is_open()
            && let (Some((name, value)), Some(known)) = (self.inputs.next(now), &self.schema)
        {
            let name = name.to_owned();
            match encode(Kind::Input, &known.schema, &self.replica, &name, value) {
                Ok(payload) => {
                    let (sample, tick) = self.inputs.sent(&name, now);
                    self.metrics.inputs += 1;
                    let Connection::Up(link) = &mut self.connection else { return };
                    let ack = link.take_ack();
                    self.send(InputFrame { ack, sample, tick, payload }.encode());
                }
                Err(error) => {
                    self.inputs.refuse(&name);
                    self.dropped(Kind::Input, name, error);
                }
            }
        }
    }

    fn dropped(&mut self, kind: Kind, name: String, error: ClientError) {
        self.push_event(Event::Dropped { kind, name, why: Dropped::Unfit(error) });
    }
}

fn unknown(kind: Kind, name: &str, types: &[TypeDef]) -> ClientError {
    let known = types.iter().map(|def| def.name.clone()).collect();
    ClientError::UnknownType { kind: kind.noun(), name: name.into(), known }
}

fn encode(
    kind: Kind,
    schema: &Schema,
    replica: &Replica,
    name: &str,
    value: &Value,
) -> Result<Payload, ClientError> {
    let types = match kind {
        Kind::Action => &schema.actions,
        Kind::Input => &schema.inputs,
    };
    let Some(at) = types.iter().position(|def| def.name == name) else {
        return Err(unknown(kind, name, types));
    };
    let ty = &types[at].ty;
    let unfit = |problem| ClientError::Value { kind: kind.noun(), name: name.into(), problem };
    let mut words = Vec::new();
    if ty.has_references() {
        let mut value = value.clone();
        to_wire_ids(ty, &mut value, replica).map_err(unfit)?;
        value.to_words(ty, &mut words).map_err(unfit)?;
    } else {
        value.to_words(ty, &mut words).map_err(unfit)?;
    }
    Ok(Payload::from_words(at as u16, ty, &words))
}
