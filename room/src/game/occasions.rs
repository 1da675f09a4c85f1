//! The occasions on which functions of a game run that are no systems: who comes and goes, and the
//! room's own life.

use bevy_ecs::bundle::Bundle;

use super::Game;
use crate::hooks::{Created, DressBox, IntoHook, Join, NoOccasion, Params, Reply, Request};
use crate::types::Player;

impl Game {
    /// The components a player's entity comes with: a function that gives a bundle.
    pub fn player<M>(&mut self, bundle: impl IntoHook<Player, DressBox, M>) -> &mut Self {
        self.hooks.player.push(bundle.into_hook());
        self
    }

    /// Components that a player's entity comes with, each with its default: one, or a tuple of them.
    pub fn player_has<B: Bundle + Default>(&mut self) -> &mut Self {
        self.player(B::default)
    }

    /// Runs first, with what the first visitor asked for: `|params: Params, mut setup: ResMut<Setup>|`.
    /// May refuse by `Err(reason)`.
    pub fn on_create<M>(&mut self, hook: impl IntoHook<Params, Created, M>) -> &mut Self {
        self.hooks.on_create.push(hook.into_hook());
        self
    }

    /// Runs when the match starts: at once, or when the fewest players of [`Game::players`] are there.
    pub fn on_start<M>(&mut self, hook: impl IntoHook<NoOccasion, (), M>) -> &mut Self {
        self.hooks.on_start.push(hook.into_hook());
        self
    }

    /// Decides on a visitor for whom there is a seat: [`Join::Seat`], [`Join::Spectate`] or
    /// [`Join::Refuse`]. It has no entity yet.
    pub fn on_join<M>(&mut self, hook: impl IntoHook<Player, Join, M>) -> &mut Self {
        if self.hooks.on_join.is_some() {
            self.problems.push("on_join is given twice; one must decide".into());
        }
        self.hooks.on_join = Some(hook.into_hook());
        self
    }

    /// Runs when a player's connection is gone.
    pub fn on_drop<M>(&mut self, hook: impl IntoHook<Player, (), M>) -> &mut Self {
        self.hooks.on_drop.push(hook.into_hook());
        self
    }

    /// Runs when a player is back.
    pub fn on_resume<M>(&mut self, hook: impl IntoHook<Player, (), M>) -> &mut Self {
        self.hooks.on_resume.push(hook.into_hook());
        self
    }

    /// Runs when a player loses the seat, for whatever reason; its entity is still there.
    pub fn on_leave<M>(&mut self, hook: impl IntoHook<Player, (), M>) -> &mut Self {
        self.hooks.on_leave.push(hook.into_hook());
        self
    }

    /// Runs before the room is saved and goes away.
    pub fn on_stop<M>(&mut self, hook: impl IntoHook<NoOccasion, (), M>) -> &mut Self {
        self.hooks.on_stop.push(hook.into_hook());
        self
    }

    /// Answers requests over HTTP to `/{game}/{match}/call`: JSON in, JSON out.
    pub fn on_request<M>(&mut self, hook: impl IntoHook<Request, Reply, M>) -> &mut Self {
        if self.hooks.on_request.is_some() {
            self.problems.push("on_request is given twice; one must answer".into());
        }
        self.hooks.on_request = Some(hook.into_hook());
        self
    }
}
