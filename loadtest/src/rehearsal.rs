//! A match in memory: a room, its bots, each with a client that decodes what the room sends it, and
//! a clock that waits for nobody.

use std::collections::BTreeMap;
use std::sync::Arc;

use referee::room::entry::{Create, Join};
use referee::room::output::{Joined, Output as RoomOutput};
use referee::room::room::{Link, NextTick};
use referee::room::{Entry, Room, Template};
use referee_client::bot::{Bot, Say};
use referee_client::{Config, LinkId as Line, Output, Session};
use referee_protocol::frame::{Ack, ActionFrame, InputFrame, Lane, lane, split};
use referee_protocol::limits::VERSIONS;
use referee_protocol::message::{self, ClientControl, ServerControl, Welcome};
use referee_protocol::{GameName, Incarnation, LinkId, MatchId, Seat, SessionId, Tick};

use crate::plan::MakeBot;
use crate::train::TrainError;

/// How often a bot plays in a turn-based room.
const UNTIMED_MS: u64 = 500;

/// A match and its players.
pub(crate) struct Rehearsal {
    room: Room,
    template: Arc<Template>,
    players: Vec<Player>,
    joined: BTreeMap<SessionId, Option<Seat>>,
    /// Since the match began.
    now_ms: u64,
    /// What the clients got as state frames.
    traffic: Traffic,
}

/// What clients were sent as state.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
}

struct Player {
    bot: Box<dyn Bot>,
    session: Session,
    line: Line,
    link: LinkId,
    seat: Seat,
}

impl Rehearsal {
    /// A room with up to so many bots: those for whom there is no seat go again.
    pub(crate) fn new(
        template: &Arc<Template>,
        params: &str,
        (bot, players, seed): (&MakeBot, u16, u64),
    ) -> Result<Self, TrainError> {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let create = Create { params: params.into(), seed: bytes, ..Create::default() };
        let room = Room::create(template, &create).map_err(|e| TrainError::Room(e.to_string()))?;
        let mut rehearsal = Self {
            room,
            template: Arc::clone(template),
            players: Vec::new(),
            joined: BTreeMap::new(),
            now_ms: 0,
            traffic: Traffic::default(),
        };
        for number in 0..u64::from(players) {
            rehearsal.join(number, bot(seed.wrapping_mul(1 << 16).wrapping_add(number)));
        }
        match rehearsal.players.is_empty() {
            true => Err(TrainError::NoSeat),
            false => Ok(rehearsal),
        }
    }

    /// From now on the room counts what its blocks say.
    pub(crate) fn learn(&mut self) {
        self.room.learn();
    }

    /// What it counted.
    pub(crate) fn learnt(&self) -> &[[u32; 2]] {
        self.room.learnt()
    }

    /// What was sent so far.
    pub(crate) fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// How many bots play.
    pub(crate) fn players(&self) -> usize {
        self.players.len()
    }

    /// The bots play for so long.
    pub(crate) fn play(&mut self, span_ms: u64) {
        let end = self.now_ms + span_ms;
        while self.now_ms < end {
            match self.room.info().hz {
                Some(hz) => self.realtime_tick(hz),
                None => self.turns(),
            }
        }
    }

    /// Everyone plays, and the room ticks.
    fn realtime_tick(&mut self, hz: u16) {
        (0..self.players.len()).for_each(|at| self.turn_of(at));
        let next = Tick(self.room.info().tick.0 + 1);
        self.now_ms = (next.0 * 1000).div_ceil(hz.into());
        self.tick(next);
    }

    /// One after the other plays, and the room does what follows.
    fn turns(&mut self) {
        let step = (UNTIMED_MS / self.players.len() as u64).max(1);
        for at in 0..self.players.len() {
            self.turn_of(at);
            self.settle();
            self.now_ms += step;
            self.settle();
        }
    }

    /// Runs what is due in a turn-based room.
    fn settle(&mut self) {
        loop {
            match self.room.next_due(Tick(self.now_ms)) {
                NextTick::Now(at) => self.tick(at),
                NextTick::At(at) if at.0 <= self.now_ms => self.tick(at),
                NextTick::At(_) | NextTick::Never => break,
            }
        }
    }

    fn join(&mut self, number: u64, bot: Box<dyn Bot>) {
        let (session, link) = (SessionId(number + 1), LinkId(number + 1));
        self.room.link(link, Link::Open { session, resume: None });
        self.room.handle(Entry::Join(Join {
            session,
            name: format!("Bot {number}"),
            attributes: BTreeMap::new(),
            generation: session.0,
            watch: false,
        }));
        self.joined.insert(session, None);
        let name = GameName::new("rehearsal").expect("a good name");
        let mut client = Session::new(Config::new(name, MatchId::new("m").expect("a good id")));
        client.handle_timeout(self.now_ms);
        let Some(Output::Connect { link: line }) = client.poll_output() else {
            unreachable!("a session wants to connect")
        };
        client.handle_open(self.now_ms, line);
        self.players.push(Player { bot, session: client, line, link, seat: Seat(0) });
        match self.room.info().hz {
            Some(_) => self.tick(Tick(self.room.info().tick.0 + 1)),
            None => {
                self.now_ms += 1;
                self.settle();
            }
        }
        if self.joined.get(&session) == Some(&None) {
            self.room.handle(Entry::Drop { session });
            self.room.link(link, Link::Close);
            self.players.pop();
        }
    }

    fn turn_of(&mut self, at: usize) {
        let player = &mut self.players[at];
        if player.session.poll_timeout().is_some_and(|due| due <= self.now_ms) {
            player.session.handle_timeout(self.now_ms);
        }
        // What a bot says wrongly is for the load test to tell.
        let _ = match player.bot.play(&player.session) {
            Some(Say::Input(name, value)) => player.session.set_input(self.now_ms, name, &value),
            Some(Say::Action(name, value)) => player.session.send_action(name, &value),
            None => Ok(()),
        };
        self.obey(at);
    }

    /// Does what a client asks for.
    fn obey(&mut self, at: usize) {
        while let Some(output) = self.players[at].session.poll_output() {
            if let Output::Send { frame, .. } = output {
                self.said(at, &frame);
            }
        }
        while self.players[at].session.poll_event().is_some() {}
    }

    fn said(&mut self, at: usize, frame: &[u8]) {
        let (link, seat) = (self.players[at].link, self.players[at].seat);
        let (lane, body) = split(frame).expect("a client sends good frames");
        match lane {
            Lane::Ack => {
                let ack = Ack::decode(body).expect("a client sends good frames");
                self.room.link(link, Link::Ack(ack));
            }
            Lane::Input => {
                let input = InputFrame::decode(body).expect("a client sends good frames");
                self.room.link(link, Link::Ack(input.ack));
                let InputFrame { sample, tick, payload, .. } = input;
                self.room.handle(Entry::Input { seat, sample, tick, payload });
            }
            Lane::Action => {
                let action = ActionFrame::decode(body).expect("a client sends good frames");
                let ActionFrame { number, payload } = action;
                self.room.handle(Entry::Action { seat, number, payload });
            }
            Lane::Control => {
                if let Ok(ClientControl::Ping { nonce }) = message::decode(body) {
                    let tick = self.room.info().hz.map_or(self.now_ms, |_| self.room.info().tick.0);
                    let pong = message::encode(&ServerControl::Pong { nonce, tick: Tick(tick) });
                    self.hear(at, &pong);
                }
            }
            Lane::State | Lane::Events | Lane::Schema => {}
        }
    }

    fn hear(&mut self, at: usize, frame: &[u8]) {
        let player = &mut self.players[at];
        player.session.handle_frame(self.now_ms, player.line, frame);
    }

    /// Runs a tick and hands out what the room sends.
    fn tick(&mut self, at: Tick) {
        self.room.tick(at);
        while let Some(output) = self.room.poll_output() {
            match output {
                RoomOutput::Joined { session, outcome } => self.seated(session, &outcome),
                RoomOutput::Send { link, frame } => {
                    let at = self.players.iter().position(|player| player.link == link);
                    let (Some(at), bytes) = (at, frame.to_vec()) else { continue };
                    if bytes.first().is_some_and(|first| lane(*first) == Some(Lane::State)) {
                        self.traffic.frames += 1;
                        self.traffic.bytes += bytes.len() as u64;
                    }
                    self.hear(at, &bytes);
                    self.obey(at);
                }
                RoomOutput::Disconnect { .. } | RoomOutput::Reply { .. } | RoomOutput::Save(_) => {}
            }
        }
    }

    /// A bot whose join was decided gets to know the room.
    fn seated(&mut self, session: SessionId, outcome: &Joined) {
        let Joined::Seated { seat, last_action, last_event, .. } = *outcome else { return };
        self.joined.insert(session, Some(seat));
        let Some(at) = self.players.iter().position(|p| p.link == LinkId(session.0)) else {
            return;
        };
        self.players[at].seat = seat;
        let welcome = ServerControl::Welcome(Welcome {
            version: VERSIONS[0],
            session,
            seat: Some(seat),
            token: None,
            resumed: false,
            incarnation: Incarnation(1),
            tick: self.room.info().tick,
            hz: self.room.info().hz,
            schema: self.template.schema_hash(),
            last_action,
            last_event,
            events_lost: false,
            ended: None,
        });
        let mut schema = vec![Lane::Schema as u8];
        schema.extend_from_slice(self.template.schema_bytes());
        self.hear(at, &message::encode(&welcome));
        self.hear(at, &schema);
        self.obey(at);
    }
}
