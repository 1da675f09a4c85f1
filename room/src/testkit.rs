//! The test kit: a room in memory, players that act, time that passes, in a few lines. No sockets,
//! no waiting: a match of an hour runs in milliseconds. What a running server only warns of, such as a
//! value outside its declared range, is a panic here.
//!
//! ```
//! use referee_room::prelude::*;
//! use referee_room::testkit::TestRoom;
//!
//! #[derive(Resource, Replicate, Default)]
//! struct Count(u32);
//! #[derive(Action)]
//! struct Press;
//!
//! let mut room = TestRoom::new(|game: &mut Game| {
//!     game.turn_based().replicate::<Count>().action::<Press>();
//!     game.systems(|mut count: ResMut<Count>, presses: Actions<Press>| count.0 += presses.len() as u32);
//! });
//! let ann = room.join("Ann");
//! room.act(ann, Press);
//! assert_eq!(room.resource::<Count>().0, 1);
//! assert_eq!(room.seen(ann, "Count"), Some(json!(1)));
//! ```

mod again;
mod client;
mod lives;
mod secrecy;
mod time;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bevy_ecs::prelude::*;
use referee_protocol::frame::Payload;
use referee_protocol::{
    Code, Group, Incarnation, LinkId, Refusal, Replica, Seat, SessionId, Tick, WireId,
};
use serde_json::Value;

use crate::entry::{Create, Entry, Join, RequestEntry};
use crate::field::{Action, Field, Input, Quantiser};
use crate::game::Game;
use crate::output::{Joined, Output};
use crate::registry::short_name;
use crate::revive::Passage;
use crate::room::{Link, Room};
use crate::template::Template;
use crate::types::{NetId, Player};

pub use crate::inspect::json_of;
use client::{Sent, TestClient};
pub use secrecy::{Run, Secrecy};

/// A client of a test room, seated or watching.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TestPlayer(usize);

/// How long an act takes in a turn-based room, in nanoseconds.
const ACT_NANOS: u128 = 1_000_000;

/// What the wall clock says when a test room is created, in milliseconds since 1970.
const UNIX_MS: u64 = 1_700_000_000_000;

/// A room in memory with its clients.
pub struct TestRoom {
    template: Arc<Template>,
    room: Room,
    clients: Vec<TestClient>,
    replies: BTreeMap<u64, (u16, Value)>,
    joined: BTreeMap<SessionId, Joined>,
    saved: Option<Vec<u8>>,
    create: Create,
    journal: Passage,
    /// The time, in nanoseconds since the room was created.
    now: u128,
    /// How long an act takes in a turn-based room, in nanoseconds.
    act_nanos: u128,
    /// How much more time the wall clock has seen, in nanoseconds.
    away: u128,
    /// The room was told the time for its next tick.
    told: bool,
    next: u64,
    /// The room's present life.
    life: u64,
    /// Hashes of all the states the room was in, where somebody wants to know.
    states: Option<BTreeSet<u64>>,
    /// [`TestRoom::change`] was used: what it did is in no journal.
    changed: bool,
}

impl TestRoom {
    /// A room of a game, with a fixed seed and no parameters.
    ///
    /// # Panics
    /// When the game has mistakes: they are named.
    #[must_use]
    pub fn new(game: impl Fn(&mut Game) + Send + Sync + 'static) -> Self {
        Self::with(game, 7, &Value::Null).expect("the game refuses to create a room")
    }

    /// A room of a game, with a seed and parameters.
    ///
    /// # Errors
    /// The game's refusal of the parameters.
    ///
    /// # Panics
    /// When the game has mistakes: they are named.
    pub fn with(
        game: impl Fn(&mut Game) + Send + Sync + 'static,
        seed: u64,
        params: &Value,
    ) -> Result<Self, Refusal> {
        Self::of(&Template::new("test", game).unwrap_or_else(|e| panic!("{e}")), seed, params)
    }

    fn of(template: &Arc<Template>, seed: u64, params: &Value) -> Result<Self, Refusal> {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let params = if params.is_null() { Vec::new() } else { params.to_string().into_bytes() };
        let unix_ms = if template.has_alarms() { UNIX_MS } else { 0 };
        let create = Create { params, seed: bytes, unix_ms, ..Create::default() };
        let mut room = Room::create(template, &create)?;
        room.record();
        room.handle(Entry::Begin { incarnation: Incarnation(1) });
        Ok(Self {
            create,
            journal: Passage::empty(Tick(0)),
            template: Arc::clone(template),
            room,
            clients: Vec::new(),
            replies: BTreeMap::new(),
            joined: BTreeMap::new(),
            saved: None,
            now: 0,
            act_nanos: ACT_NANOS,
            away: 0,
            told: false,
            next: 0,
            life: 1,
            states: None,
            changed: false,
        })
    }

    /// A player joins.
    ///
    /// # Panics
    /// When it gets no seat.
    pub fn join(&mut self, name: &str) -> TestPlayer {
        let player = self.try_join(name).unwrap_or_else(|e| panic!("{name} may not join: {e}"));
        assert!(self.seat(player).is_some(), "{name} got no seat, but watches");
        player
    }

    /// A visitor comes: it gets a seat or watches.
    ///
    /// # Errors
    /// Why it may not come in.
    pub fn try_join(&mut self, name: &str) -> Result<TestPlayer, Refusal> {
        self.visit(name, false)
    }

    /// A spectator comes.
    ///
    /// # Panics
    /// When it may not watch.
    pub fn watch(&mut self, name: &str) -> TestPlayer {
        self.visit(name, true).unwrap_or_else(|e| panic!("{name} may not watch: {e}"))
    }

    fn visit(&mut self, name: &str, watch: bool) -> Result<TestPlayer, Refusal> {
        let session = self.next_session();
        let link = LinkId(session.0);
        self.room.link(link, Link::Open { session, resume: None });
        self.room.link(link, Link::Check);
        let hz = self.room.info().hz.unwrap_or(0);
        self.clients.push(TestClient::new(session, link, hz, Incarnation(self.life)));
        let player = TestPlayer(self.clients.len() - 1);
        self.room.handle(Entry::Join(Join {
            session,
            name: name.to_owned(),
            attributes: BTreeMap::new(),
            generation: session.0,
            watch,
        }));
        self.settle();
        match self.joined.remove(&session) {
            Some(Joined::Seated { seat, generation, .. }) => {
                let client = &mut self.clients[player.0];
                (client.seat, client.generation) = (Some(seat), generation);
                Ok(player)
            }
            Some(Joined::Watching) => Ok(player),
            Some(Joined::Refused(refusal)) => {
                self.clients.pop();
                Err(refusal)
            }
            None => panic!("the room did not decide on {name}'s join"),
        }
    }

    fn next_session(&mut self) -> SessionId {
        self.next += 1;
        SessionId(self.next)
    }

    /// A player acts, and the room runs.
    ///
    /// # Panics
    /// When the action is not registered, or the player has no seat.
    #[track_caller]
    pub fn act<T: Action>(&mut self, player: TestPlayer, action: T) {
        let number = self.clients[player.0].last_action + 1;
        self.act_numbered(player, number, &action);
    }

    /// A player acts under a number of its own choice: 1, 2, 3 .. are the right ones.
    ///
    /// # Panics
    /// When the action is not registered, or the player has no seat.
    #[track_caller]
    pub fn act_numbered<T: Action>(&mut self, player: TestPlayer, number: u64, action: &T) {
        let types = &self.template.schema().actions;
        let kind = types.iter().position(|def| def.name == short_name::<T>());
        let kind = kind.unwrap_or_else(|| panic!("{} is no action", short_name::<T>()));
        let (seat, payload) = self.payload(player, kind, action, true);
        self.clients[player.0].last_action = number;
        self.room.handle(Entry::Action { seat, number, payload });
        self.settle();
    }

    /// A player holds its stick so. In a realtime room it stands from the next tick on.
    ///
    /// # Panics
    /// When the input is not registered, or the player has no seat.
    #[track_caller]
    pub fn input<T: Input>(&mut self, player: TestPlayer, input: &T) {
        let types = &self.template.schema().inputs;
        let kind = types.iter().position(|def| def.name == short_name::<T>());
        let kind = kind.unwrap_or_else(|| panic!("{} is no input", short_name::<T>()));
        let (seat, payload) = self.payload(player, kind, input, false);
        let client = &mut self.clients[player.0];
        client.samples += 1;
        let sample = client.samples;
        self.room.handle(Entry::Input { seat, sample, tick: Tick(0), payload });
        self.settle();
    }

    #[track_caller]
    fn payload<T: Field>(
        &self,
        player: TestPlayer,
        kind: usize,
        value: &T,
        action: bool,
    ) -> (Seat, Payload) {
        let seat = self.seat(player).expect("a spectator cannot act");
        let schema = self.template.schema();
        let types = if action { &schema.actions } else { &schema.inputs };
        let ty = &types[kind].ty;
        let mut words = Vec::new();
        let name = |entity| self.wire_name(seat, entity).0;
        let mut out = Quantiser::new(&mut words, &name);
        value.quantise(ty, &mut out);
        let (clamped, name) = (out.clamped, &types[kind].name);
        assert!(
            clamped == 0,
            "{name}: {clamped} of its values lie outside the range that it declares; what a client sends \
             is limited to that"
        );
        (seat, Payload::from_words(kind as u16, ty, &words))
    }

    fn wire_name(&self, seat: Seat, entity: Entity) -> WireId {
        let id = self.world().get::<NetId>(entity).map_or(0, |id| id.number());
        self.room.replication.name_in(id, Group::Player(seat))
    }

    fn deliver(&mut self) {
        let tick = self.room.info().tick;
        while let Some(output) = self.room.poll_output() {
            self.note(tick, &output);
            match output {
                Output::Joined { session, outcome } => {
                    let client = self.clients.iter_mut().find(|client| client.session == session);
                    if let (Some(client), Joined::Seated { last_event, .. }) = (client, &outcome) {
                        client.welcomed(*last_event);
                    }
                    self.joined.insert(session, outcome);
                }
                Output::Send { link, frame } => {
                    let schema = self.template.schema();
                    let client = self.clients.iter_mut().find(|client| client.link == link);
                    let ack = client.and_then(|c| c.receive(schema, &frame.to_vec()));
                    if let Some(ack) = ack {
                        self.room.link(link, Link::Ack(ack));
                    }
                }
                Output::Reply { request, status, body } => {
                    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                    self.replies.insert(request, (status, body));
                }
                Output::Disconnect { session, refusal } => {
                    let client = self.clients.iter_mut().find(|c| c.session == session);
                    let link = client.map(|client| {
                        client.ended = Some(refusal);
                        client.away = Some("the room has ended its connection");
                        client.link
                    });
                    link.into_iter().for_each(|link| self.room.link(link, Link::Close));
                }
                Output::Save(snapshot) if self.room.info().lasting => self.saved = Some(snapshot),
                Output::Save(_) => {}
            }
        }
    }

    /// Notes what leaves the room for a client, whether it arrives or not.
    fn note(&mut self, tick: Tick, output: &Output) {
        let (client, what) = match output {
            Output::Send { link, frame } => {
                (self.clients.iter_mut().find(|c| c.link == *link), Sent::Frame(frame.to_vec()))
            }
            Output::Joined { session, outcome } => {
                let sent = Sent::Joined(outcome.clone());
                (self.clients.iter_mut().find(|c| c.session == *session), sent)
            }
            Output::Disconnect { session, refusal } => {
                let sent = Sent::Ended(refusal.clone());
                (self.clients.iter_mut().find(|c| c.session == *session), sent)
            }
            Output::Reply { .. } | Output::Save(_) => return,
        };
        if let Some(client) = client {
            client.sent.push((tick, what));
        }
    }

    /// A player's connection breaks; the seat is held.
    pub fn drop_connection(&mut self, player: TestPlayer) {
        let (session, link) = (self.clients[player.0].session, self.clients[player.0].link);
        self.room.link(link, Link::Close);
        self.room.handle(Entry::Drop { session });
        self.settle();
        self.clients[player.0].away = Some("its connection was dropped");
    }

    /// A player's client forgets what it knows, as a client with a fault might: its next state differs
    /// from what the room says it is, which a test must notice.
    pub fn corrupt(&mut self, player: TestPlayer) {
        self.clients[player.0].corrupt();
    }

    /// What is sent to a player from now on gets lost, as on a link that broke unnoticed.
    pub fn cut(&mut self, player: TestPlayer) {
        self.clients[player.0].cut = true;
    }

    /// A player comes back with its token and what it knows.
    ///
    /// # Errors
    /// The seat is no longer held.
    ///
    /// # Panics
    /// When the player never had a seat.
    pub fn resume(&mut self, player: TestPlayer) -> Result<(), Refusal> {
        let session = self.next_session();
        let link = LinkId(session.0);
        let client = &mut self.clients[player.0];
        let resume = client.resume();
        client.reconnect(session, link, Incarnation(self.life));
        let (seat, generation) = (client.seat.expect("it had a seat"), client.generation);
        self.room.link(link, Link::Open { session, resume });
        self.room.link(link, Link::Check);
        self.room.handle(Entry::Resume { session, seat, generation });
        self.settle();
        match self.joined.remove(&session) {
            Some(Joined::Seated { last_action, .. }) => {
                self.clients[player.0].last_action = last_action;
                Ok(())
            }
            Some(Joined::Refused(refusal)) => Err(refusal),
            other => panic!("a resume ended as {other:?}"),
        }
    }

    /// A player gives up its seat.
    pub fn leave(&mut self, player: TestPlayer) {
        let (session, link) = (self.clients[player.0].session, self.clients[player.0].link);
        self.room.handle(Entry::Leave { session });
        self.settle();
        self.room.link(link, Link::Close);
        self.clients[player.0].away = Some("it has left");
    }

    /// A request over HTTP: its status and answer.
    ///
    /// # Panics
    /// When the room does not answer.
    pub fn request(&mut self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        self.next += 1;
        let id = self.next;
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let (method, path) = (method.to_owned(), path.to_owned());
        self.room.handle(Entry::Request(RequestEntry { id, method, path, body }));
        self.settle();
        self.replies.remove(&id).expect("the room answers every request")
    }

    /// A resource as it is in the room.
    ///
    /// # Panics
    /// When the game has none of this type.
    #[must_use]
    pub fn resource<R: Resource>(&self) -> &R {
        self.world().resource::<R>()
    }

    /// The room's world, to look at.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.room.game.world
    }

    /// Changes the world behind the rules' back, and the room runs: for a test that needs a state which
    /// no player brings about in a few acts. Such a match cannot be played again ([`TestRoom::play_again`]).
    pub fn change<R>(&mut self, change: impl FnOnce(&mut World) -> R) -> R {
        self.changed = true;
        self.room.go_through();
        let world = &mut self.room.game.world;
        // Later than what the room has looked at already.
        world.increment_change_tick();
        let result = change(world);
        self.room.forget_content();
        if self.room.info().hz.is_none() {
            self.now += self.act_nanos;
            let at = self.ticks_at(self.now).max(Tick(self.room.info().tick.0 + 1));
            self.tick(at);
        }
        self.settle();
        result
    }

    /// The room itself.
    pub fn room(&mut self) -> &mut Room {
        &mut self.room
    }

    /// A player's seat; none for a spectator.
    #[must_use]
    pub fn seat(&self, player: TestPlayer) -> Option<Seat> {
        self.clients[player.0].seat
    }

    /// A player's entity: a handle that holds until the room runs again, which may rebuild its world.
    ///
    /// # Panics
    /// When the player has no seat.
    #[must_use]
    pub fn entity(&self, player: TestPlayer) -> Entity {
        let seat = self.seat(player).expect("a spectator has no entity");
        self.room.core().seats[&seat].entity
    }

    /// A component of a player's entity, as it is in the room.
    ///
    /// # Panics
    /// When the entity has none of this type.
    #[must_use]
    pub fn component<C: Component>(&self, player: TestPlayer) -> &C {
        let found = self.world().get::<C>(self.entity(player));
        found.unwrap_or_else(|| panic!("the player has no {}", short_name::<C>()))
    }

    /// A resource as a client sees it, as JSON; none when it sees none.
    ///
    /// # Panics
    /// When the game sends nothing of this name, or the client is away: it has none but an old view then,
    /// which [`TestRoom::replica`] has.
    #[must_use]
    #[track_caller]
    pub fn seen(&self, player: TestPlayer, resource: &str) -> Option<Value> {
        let schema = self.template.schema();
        let number = self.number(resource, true);
        let words = self.present(player).component(WireId::ROOM, number as u16)?;
        Some(json_of(&schema.components[number].ty, words))
    }

    /// A component on every entity on which a client sees it, as JSON.
    ///
    /// # Panics
    /// As [`TestRoom::seen`].
    #[must_use]
    #[track_caller]
    pub fn seen_on_entities(&self, player: TestPlayer, component: &str) -> Vec<Value> {
        let schema = self.template.schema();
        let number = self.number(component, false);
        let replica = self.present(player);
        let words = replica.entities().filter_map(|(id, _)| replica.component(id, number as u16));
        words.map(|words| json_of(&schema.components[number].ty, words)).collect()
    }

    /// A component's number on the wire. A name that is not sent at all is a mistake of the test: else a
    /// test that something is hidden would pass by a slip of the pen.
    #[track_caller]
    fn number(&self, name: &str, resource: bool) -> usize {
        let components = &self.template.schema().components;
        let Some(number) = components.iter().position(|def| def.name == name) else {
            let names: Vec<&str> = components.iter().map(|def| def.name.as_str()).collect();
            panic!("the game sends no {name}; it sends {}", names.join(", "));
        };
        match (components[number].resource, resource) {
            (true, false) => panic!("{name} is a resource: ask `seen` for it"),
            (false, true) => panic!("{name} is a component: ask `seen_on_entities` for it"),
            _ => number,
        }
    }

    /// What a client knows while it is connected: what it knew before would let a test that something is
    /// hidden, or has happened, tell of an earlier time.
    #[track_caller]
    fn present(&self, player: TestPlayer) -> &Replica {
        let client = &self.clients[player.0];
        if let Some(why) = client.away {
            let who =
                client.seat.map_or("a spectator".to_owned(), |seat| format!("seat {}", seat.0));
            panic!(
                "{who} sees nothing: {why}; call resume(player) before, or look by replica(player) at \
                 what it saw last"
            );
        }
        &client.replica
    }

    /// Everything a client knows, also while it is away: then as it saw it last.
    #[must_use]
    pub fn replica(&self, player: TestPlayer) -> &Replica {
        &self.clients[player.0].replica
    }

    /// Takes the events a client has received: their names and values.
    pub fn events(&mut self, player: TestPlayer) -> Vec<(String, Value)> {
        std::mem::take(&mut self.clients[player.0].events)
    }

    /// Every frame a client was sent, one after the other, in bytes.
    #[must_use]
    pub fn frames(&self, player: TestPlayer) -> &[Vec<u8>] {
        &self.clients[player.0].frames
    }

    /// Why a client's connection was ended by the room.
    #[must_use]
    pub fn ended(&self, player: TestPlayer) -> Option<Code> {
        self.clients[player.0].ended.as_ref().map(|refusal| refusal.code)
    }

    /// The last snapshot the room asked to be saved.
    #[must_use]
    pub fn saved(&self) -> Option<&[u8]> {
        self.saved.as_deref()
    }

    /// The hash over the room's whole state.
    pub fn state_hash(&mut self) -> u64 {
        self.room.state_hash()
    }

    /// The players, by their entities.
    pub fn players(&mut self) -> Vec<Player> {
        let mut query = self.room.game.world.query::<&Player>();
        let mut players: Vec<Player> = query.iter(&self.room.game.world).cloned().collect();
        players.sort_by_key(|player| player.seat);
        players
    }
}
