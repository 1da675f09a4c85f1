//! Hooks: systems that run on an occasion. Each may take the occasion as its first parameter, or do
//! without.

use std::ops::{Deref, RangeInclusive};

use bevy_ecs::change_detection::Tick;
use bevy_ecs::prelude::*;
use bevy_ecs::system::{BoxedSystem, SystemInput};
use referee_protocol::{Code, Refusal};
use serde_json::Value;

use crate::types::Player;

/// A hook, ready to run: with or without its occasion.
pub enum Hook<I: SystemInput + 'static, O: 'static> {
    /// It takes no occasion.
    Plain(BoxedSystem<(), O>),
    /// It takes the occasion.
    With(BoxedSystem<I, O>),
}

/// Puts a player's components onto its new entity.
pub(crate) type Dress = Box<dyn FnOnce(&mut EntityWorldMut<'_>) + Send + Sync>;

/// The hooks of a game.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) player: Vec<Hook<Player, DressBox>>,
    pub(crate) on_create: Vec<Hook<Params, Created>>,
    pub(crate) on_start: Vec<Hook<NoOccasion, ()>>,
    pub(crate) on_join: Option<Hook<Player, Join>>,
    pub(crate) on_drop: Vec<Hook<Player, ()>>,
    pub(crate) on_resume: Vec<Hook<Player, ()>>,
    pub(crate) on_leave: Vec<Hook<Player, ()>>,
    pub(crate) on_stop: Vec<Hook<NoOccasion, ()>>,
    pub(crate) on_request: Option<Hook<Request, Reply>>,
}

impl Hooks {
    /// When each hook ran last, in a fixed order.
    pub(crate) fn last_runs(&self) -> impl Iterator<Item = Tick> {
        let many = [&self.on_drop, &self.on_resume, &self.on_leave];
        (self.player.iter().map(Hook::last_run))
            .chain(self.on_create.iter().map(Hook::last_run))
            .chain(self.on_start.iter().map(Hook::last_run))
            .chain(self.on_join.iter().map(Hook::last_run))
            .chain(many.into_iter().flatten().map(Hook::last_run))
            .chain(self.on_stop.iter().map(Hook::last_run))
            .chain(self.on_request.iter().map(Hook::last_run))
    }

    /// Sets what [`Hooks::last_runs`] gave, in the same order.
    pub(crate) fn set_last_runs<E>(
        &mut self,
        mut next: impl FnMut() -> Result<Tick, E>,
    ) -> Result<(), E> {
        let many = [&mut self.on_drop, &mut self.on_resume, &mut self.on_leave];
        self.player.iter_mut().try_for_each(|h| next().map(|t| h.set_last_run(t)))?;
        self.on_create.iter_mut().try_for_each(|h| next().map(|t| h.set_last_run(t)))?;
        self.on_start.iter_mut().try_for_each(|h| next().map(|t| h.set_last_run(t)))?;
        self.on_join.iter_mut().try_for_each(|h| next().map(|t| h.set_last_run(t)))?;
        many.into_iter().flatten().try_for_each(|h| next().map(|t| h.set_last_run(t)))?;
        self.on_stop.iter_mut().try_for_each(|h| next().map(|t| h.set_last_run(t)))?;
        self.on_request.iter_mut().try_for_each(|h| next().map(|t| h.set_last_run(t)))
    }
}

/// A bundle on its way to an entity.
pub struct DressBox(pub(crate) Dress);

impl<B: Bundle> From<B> for DressBox {
    fn from(bundle: B) -> Self {
        Self(Box::new(move |entity| {
            entity.insert(bundle);
        }))
    }
}

/// What can be a hook for the occasion `I` with the answer `O`. The marker keeps the two ways apart.
#[diagnostic::on_unimplemented(
    message = "this function cannot be this hook",
    label = "it takes system parameters, and may take its occasion first, by value (`|player: \
             Player, ..|`); it answers `{O}`, or what becomes one"
)]
pub trait IntoHook<I: SystemInput, O, Marker> {
    /// Makes it one.
    fn into_hook(self) -> Hook<I, O>;
}

#[doc(hidden)]
pub struct Plain;
#[doc(hidden)]
pub struct With;

impl<I, O, A, M, S> IntoHook<I, O, (Plain, A, M)> for S
where
    I: SystemInput + 'static,
    O: 'static,
    A: Into<O> + 'static,
    M: 'static,
    S: IntoSystem<(), A, M> + 'static,
{
    fn into_hook(self) -> Hook<I, O> {
        let answer: fn(A) -> O = Into::into;
        Hook::Plain(Box::new(IntoSystem::into_system(self.map(answer))))
    }
}

impl<I, O, A, M, S> IntoHook<I, O, (With, A, M)> for S
where
    I: SystemInput + 'static,
    O: 'static,
    A: Into<O> + 'static,
    M: 'static,
    S: IntoSystem<I, A, M> + 'static,
{
    fn into_hook(self) -> Hook<I, O> {
        let answer: fn(A) -> O = Into::into;
        Hook::With(Box::new(IntoSystem::into_system(self.map(answer))))
    }
}

impl<I: SystemInput, O> Hook<I, O> {
    /// Prepares the hook for a world.
    pub(crate) fn initialize(&mut self, world: &mut World) {
        match self {
            Self::Plain(system) => drop(system.initialize(world)),
            Self::With(system) => drop(system.initialize(world)),
        }
    }

    /// When it ran last, and the way to restore that.
    pub(crate) fn last_run(&self) -> Tick {
        match self {
            Self::Plain(system) => system.get_last_run(),
            Self::With(system) => system.get_last_run(),
        }
    }

    pub(crate) fn set_last_run(&mut self, tick: Tick) {
        match self {
            Self::Plain(system) => system.set_last_run(tick),
            Self::With(system) => system.set_last_run(tick),
        }
    }

    /// The name of the function or closure.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Plain(system) => system.name().to_string(),
            Self::With(system) => system.name().to_string(),
        }
    }

    /// Runs it and applies its commands. None when its parameters do not match (a `Single` that
    /// finds none).
    pub(crate) fn run(&mut self, occasion: I::Inner<'_>, world: &mut World) -> Option<O> {
        match self {
            Self::Plain(system) => answer(system.run((), world)),
            Self::With(system) => answer(system.run(occasion, world)),
        }
    }
}

fn answer<O>(result: Result<O, bevy_ecs::system::RunSystemError>) -> Option<O> {
    match result {
        Ok(answer) => Some(answer),
        Err(bevy_ecs::system::RunSystemError::Skipped(_)) => None,
        Err(bevy_ecs::system::RunSystemError::Failed(error)) => panic!("{error}"),
    }
}

/// The answer of `on_join`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Join {
    /// The player gets a seat.
    Seat,
    /// The visitor watches.
    Spectate,
    /// The visitor may not come in; the reason is told.
    Refuse(String),
}

impl From<()> for Join {
    fn from((): ()) -> Self {
        Self::Seat
    }
}

/// The answer of `on_create`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Created(pub(crate) Result<(), Refusal>);

impl From<()> for Created {
    fn from((): ()) -> Self {
        Self(Ok(()))
    }
}

impl From<Result<(), String>> for Created {
    fn from(result: Result<(), String>) -> Self {
        Self(result.map_err(|reason| Refusal::new(Code::BadParams, reason)))
    }
}

/// What the first visitor asked of the room: JSON, at most 4 KiB. Null when it asked nothing.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Params(pub Value);

impl Deref for Params {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0
    }
}

impl Params {
    /// What was asked for under the name of a [`Game::param`](crate::Game::param), which is within its
    /// range; none where it was not.
    #[must_use]
    pub fn asked(&self, name: &str) -> Option<u16> {
        self.whole(name, 0..=u16::MAX).ok().flatten()
    }

    /// A whole number that was asked for under this name; none where it was not.
    ///
    /// # Errors
    /// When it is something else, or not allowed: names it, the value, and what is allowed.
    pub fn whole(&self, name: &str, allowed: RangeInclusive<u16>) -> Result<Option<u16>, String> {
        let Some(given) = self.0.get(name).filter(|given| !given.is_null()) else {
            return Ok(None);
        };
        let number = given.as_u64().and_then(|number| u16::try_from(number).ok());
        match number.filter(|number| allowed.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => {
                let (low, high) = (allowed.start(), allowed.end());
                Err(format!("{name} is {given}; a whole number from {low} to {high} is allowed"))
            }
        }
    }
}

/// A request into the room, over HTTP: `/{game}/{match}/call[/..]`.
#[derive(Clone, PartialEq, Debug)]
pub struct Request {
    /// `GET`, `POST`, ..
    pub method: String,
    /// What follows `/call`: empty, or beginning with `/`.
    pub path: String,
    /// The body as JSON; null where there was none.
    pub body: Value,
}

macro_rules! input {
    ($($name:ident),*) => {$(
        impl SystemInput for $name {
            type Param<'i> = Self;
            type Inner<'i> = Self;

            fn wrap(this: Self::Inner<'_>) -> Self::Param<'_> {
                this
            }
        }
    )*};
}

/// The occasion of hooks that have none to tell of. No function takes it, which keeps the two ways of
/// writing a hook apart.
pub struct NoOccasion;

input!(Params, Request, NoOccasion);

/// The answer to a request: a status and JSON.
#[derive(Clone, PartialEq, Debug)]
pub struct Reply {
    /// An HTTP status.
    pub status: u16,
    /// The body.
    pub body: Value,
}

impl<T: Into<Value>> From<T> for Reply {
    fn from(body: T) -> Self {
        Self { status: 200, body: body.into() }
    }
}

impl Reply {
    /// An answer with another status than 200.
    #[must_use]
    pub fn status(status: u16, body: impl Into<Value>) -> Self {
        Self { status, body: body.into() }
    }
}
