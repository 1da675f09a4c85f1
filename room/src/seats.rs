//! Seats: who gets one, who is away, who goes. The room, not the edge, gives out seats.

use bevy_ecs::prelude::*;
use referee_protocol::{Code, Group, Refusal, Seat, SessionId, Tick};

use crate::core::{InputBuffer, SeatState};
use crate::entry;
use crate::game::LateJoin;
use crate::hooks::{Hook, Join};
use crate::output::{Joined, Output};
use crate::room::Room;
use crate::types::{Attributes, InGroups, Owner, Player};

impl Room {
    /// Decides on a client that wants in.
    pub(crate) fn join(&mut self, join: entry::Join) {
        let session = join.session;
        let outcome = match self.decide(&join) {
            Ok((seat, player)) => self.seat(seat, player, join),
            Err(Join::Refuse(reason)) => Joined::Refused(Refusal::new(Code::Refused, reason)),
            Err(Join::Seat | Join::Spectate) => self.watch(session, join.watch),
        };
        if let Joined::Refused(_) = outcome {
            self.replication.refused(session);
        }
        self.outputs.push_back(Output::Joined { session, outcome });
    }

    /// The seat a visitor gets, or why it gets none.
    fn decide(&mut self, join: &entry::Join) -> Result<(Seat, Player), Join> {
        let core = self.core();
        let free = (0..core.setup.seats).map(Seat).find(|seat| !core.seats.contains_key(seat));
        let waited_for = *self.game.rules.players.start() > 0;
        let late = core.started && waited_for;
        let Some(seat) = free.filter(|_| !join.watch) else { return Err(Join::Spectate) };
        match self.game.rules.late_join {
            LateJoin::Spectate if late => return Err(Join::Spectate),
            LateJoin::Refuse if late => return Err(Join::Refuse("the match has started".into())),
            LateJoin::Seat | LateJoin::Spectate | LateJoin::Refuse => {}
        }
        let name = match join.name.is_empty() {
            true => format!("Player {}", seat.0 + 1),
            false => join.name.clone(),
        };
        let player = Player { seat, name, connected: true, entity: Entity::PLACEHOLDER };
        let Some(hook) = &mut self.game.hooks.on_join else { return Ok((seat, player)) };
        self.running = hook.name();
        let answer = hook.run(player.clone(), &mut self.game.world).unwrap_or(Join::Seat);
        self.running.clear();
        if answer == Join::Seat { Ok((seat, player)) } else { Err(answer) }
    }

    /// Gives a seat: spawns the player's entity and dresses it.
    fn seat(&mut self, seat: Seat, player: Player, join: entry::Join) -> Joined {
        let (session, generation) = (join.session, join.generation);
        let now = self.core().tick;
        let game = &mut self.game;
        let entity = game.world.spawn_empty().id();
        let player = Player { entity, ..player };
        game.world.entity_mut(entity).insert((player.clone(), Attributes(join.attributes)));
        for row in game.inputs.iter() {
            (row.stand)(&mut game.world.entity_mut(entity), &row.shape, None);
        }
        for hook in &mut game.hooks.player {
            self.running = hook.name();
            if let Some(dress) = hook.run(player.clone(), &mut game.world) {
                (dress.0)(&mut game.world.entity_mut(entity));
            }
        }
        self.running.clear();
        let inputs = vec![InputBuffer::default(); self.game.inputs.len()];
        let state = SeatState {
            entity,
            generation,
            session,
            connected: true,
            dropped: now,
            active: now,
            last_action: 0,
            inputs,
        };
        self.core_mut().seats.insert(seat, state);
        self.replication.seated(session, seat, now);
        Joined::Seated {
            seat,
            generation,
            resumed: false,
            last_action: 0,
            last_event: 0,
            events_lost: false,
        }
    }

    fn watch(&mut self, session: SessionId, asked: bool) -> Joined {
        if self.replication.watchers() >= usize::from(self.game.rules.spectators) {
            let seats = self.core().setup.seats;
            let text = match self.game.rules.spectators {
                0 if asked => {
                    "this game has no places for spectators; join it as a player".to_owned()
                }
                0 => format!("all {seats} seats of this match are taken"),
                most if asked => format!("all {most} spectators' places are taken"),
                most => format!("all {seats} seats and {most} spectators' places are taken"),
            };
            return Joined::Refused(Refusal::new(Code::Full, text));
        }
        self.replication.watching(session);
        Joined::Watching
    }

    /// A client comes back to its seat.
    pub(crate) fn resume(&mut self, session: SessionId, seat: Seat, generation: u64) {
        let now = self.core().tick;
        let mut core = self.core_mut();
        let Some(state) = core.seats.get_mut(&seat).filter(|s| s.generation == generation) else {
            let refusal = Refusal::new(Code::Refused, "the seat is no longer held");
            self.replication.refused(session);
            let outcome = Joined::Refused(refusal);
            self.outputs.push_back(Output::Joined { session, outcome });
            return;
        };
        let (was_connected, before) = (state.connected, state.session);
        (state.connected, state.session, state.active) = (true, session, now);
        // Samples of the connection before would outrank those of this one, which count from 1.
        state.inputs.iter_mut().for_each(|buffer| buffer.waiting.clear());
        let (applied, entity) = (state.last_action, state.entity);
        if was_connected {
            let text = "this seat was taken over by another connection with its token";
            let refusal = Refusal::new(Code::Replaced, text);
            self.outputs.push_back(Output::Disconnect { session: before, refusal });
        }
        let (last_event, events_lost) = self.replication.resumed(session, seat, now);
        // What is not on disk may have to be said again to a later life of the room.
        let last_action = self.replication.last_action(seat).unwrap_or(applied);
        let resumed = true;
        self.outputs.push_back(Output::Joined {
            session,
            outcome: Joined::Seated {
                seat,
                generation,
                resumed,
                last_action,
                last_event,
                events_lost,
            },
        });
        if !was_connected {
            self.set_connected(entity, true);
            self.run_player_hooks(entity, |room| &mut room.game.hooks.on_resume);
        }
    }

    /// A session's connection is gone.
    pub(crate) fn drop_session(&mut self, session: SessionId) {
        let now = self.core().tick;
        let mut core = self.core_mut();
        let Some(seat) = core.seat_of(session) else { return };
        let Some(state) = core.seats.get_mut(&seat) else { return };
        let was_connected = std::mem::replace(&mut state.connected, false);
        state.dropped = now;
        let entity = state.entity;
        if was_connected {
            self.set_connected(entity, false);
            self.run_player_hooks(entity, |room| &mut room.game.hooks.on_drop);
        }
    }

    /// A player gives up its seat.
    pub(crate) fn leave(&mut self, session: SessionId) {
        let Some(seat) = self.core().seat_of(session) else { return };
        self.free(seat);
    }

    /// Frees the seat of a player's entity and ends its connection.
    pub(crate) fn kick(&mut self, entity: Entity, code: Code, reason: String) {
        let seats = &self.core().seats;
        let found = seats.iter().find(|(_, state)| state.entity == entity);
        let Some((seat, session, connected)) =
            found.map(|(seat, state)| (*seat, state.session, state.connected))
        else {
            return;
        };
        if connected {
            let refusal = Refusal::new(code, reason);
            self.outputs.push_back(Output::Disconnect { session, refusal });
        }
        self.free(seat);
    }

    fn free(&mut self, seat: Seat) {
        let Some(entity) = self.core().seats.get(&seat).map(|state| state.entity) else { return };
        self.run_player_hooks(entity, |room| &mut room.game.hooks.on_leave);
        self.core_mut().seats.remove(&seat);
        self.replication.freed(seat);
        self.game.world.try_despawn(entity).ok();
        self.disown(seat);
    }

    /// What was shown to the player of a seat alone is nobody's: the next one in it is somebody else.
    fn disown(&mut self, seat: Seat) {
        let world = &mut self.game.world;
        for mut owner in world.query::<&mut Owner>().iter_mut(world) {
            if owner.0 == seat {
                owner.0 = Seat::NOBODY;
            }
        }
        let of = |group: &Group| *group == Group::Player(seat);
        for mut groups in world.query::<&mut InGroups>().iter_mut(world) {
            if groups.0.iter().any(of) {
                groups.0.retain(|group| !of(group));
            }
        }
    }

    /// When a seat expires: a held one after its grace, an idle one after the idle limit.
    fn expiry(&self, seat: &SeatState) -> Option<Tick> {
        let rules = &self.game.rules;
        let (since, span) = match seat.connected {
            false => (seat.dropped, (!rules.keep_seats).then_some(rules.grace)?),
            true => (seat.active, rules.idle?),
        };
        Some(Tick(since.0.saturating_add(self.span(span))))
    }

    /// When the next held or idle seat expires.
    pub(crate) fn next_expiry(&self) -> Option<Tick> {
        self.core().seats.values().filter_map(|seat| self.expiry(seat)).min()
    }

    /// Frees seats whose grace or idle limit has passed.
    pub(crate) fn expire_seats(&mut self) {
        let now = self.core().tick;
        let past = |seat: &&SeatState| self.expiry(seat).is_some_and(|at| at <= now);
        let expired: Vec<Entity> =
            self.core().seats.values().filter(past).map(|seat| seat.entity).collect();
        for entity in expired {
            self.kick(entity, Code::Idle, "nothing was done in this seat for too long".into());
        }
    }

    fn set_connected(&mut self, entity: Entity, connected: bool) {
        if let Some(mut player) = self.game.world.get_mut::<Player>(entity) {
            player.connected = connected;
        }
    }

    fn run_player_hooks(
        &mut self,
        entity: Entity,
        hooks: fn(&mut Self) -> &mut Vec<Hook<Player, ()>>,
    ) {
        let Some(player) = self.game.world.get::<Player>(entity).cloned() else { return };
        // Taken out while they run, so that the world is free.
        let mut taken = std::mem::take(hooks(self));
        for hook in &mut taken {
            self.running = hook.name();
            hook.run(player.clone(), &mut self.game.world);
        }
        self.running.clear();
        *hooks(self) = taken;
    }
}
