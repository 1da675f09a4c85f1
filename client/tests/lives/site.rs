//! A server in memory with its disk, its clients, and the network between them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use referee_client::protocol::frame::{self, Ack, ActionFrame, Lane};
use referee_client::protocol::limits::VERSIONS;
use referee_client::protocol::message::{self, ClientControl, Hello, ServerControl, Welcome};
use referee_client::protocol::{
    GameName, Incarnation, LinkId, MatchId, Seat, SessionId, Tick, Value,
};
use referee_client::{Config, Event, LinkId as Line, Output as Wish, Session, Status};
use referee_room::entry::{Create, Join};
use referee_room::output::{Joined, Output};
use referee_room::revive::{Base, Passage, Revival};
use referee_room::room::Link;
use referee_room::{Entry, Room, Template};

use super::game::chronicle;

const PLAYERS: usize = 3;
const TICK_MS: u64 = 50;

/// When what a tick leads to leaves the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Class {
    /// Once the tick is on disk.
    Gated,
    /// At once: a crash takes back what clients have seen.
    Logged,
}

/// What is broken on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bug {
    /// The room is not told that another life of it begins.
    LivesAreOne,
    /// Actions are acknowledged before they are on disk.
    ActionsAreForgotten,
    /// The room is not told which events a client has.
    EventsComeAgain,
}

/// Random numbers from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    fn chance(&mut self, per_cent: u64) -> bool {
        self.below(100) < per_cent
    }
}

struct Player {
    session: Session,
    /// What it did so far, in order.
    did: Vec<u32>,
    /// What it was told in what became of the match, and what it alone was told.
    heard: [Vec<u32>; 2],
    trouble: Option<String>,
}

/// A connection, and the frames on their way.
struct Wire {
    player: usize,
    line: Line,
    session: SessionId,
    seat: Option<Seat>,
    /// The claim and what else its Hello said, until the room has answered.
    hello: Option<Hello>,
    up: VecDeque<(u64, Vec<u8>)>,
    down: VecDeque<(u64, Vec<u8>)>,
}

/// What a crash leaves.
struct Disk {
    base: Base,
    passages: Vec<Passage>,
}

pub(crate) struct Site {
    dice: Dice,
    class: Class,
    bug: Option<Bug>,
    template: Arc<Template>,
    room: Room,
    disk: Disk,
    /// What happened and is not on disk, and the snapshot that was made after it.
    staged: Vec<(Passage, Option<Vec<u8>>)>,
    /// What waits for the disk, and the tick that led to it.
    held: VecDeque<(Tick, Output)>,
    /// That this life of the room began is not on disk: nobody is told anything in it.
    opening: bool,
    life: u64,
    next: u64,
    now: u64,
    wires: BTreeMap<u64, Wire>,
    players: Vec<Player>,
    crashes: u64,
}

impl Site {
    pub(crate) fn new(seed: u64, class: Class, bug: Option<Bug>) -> Self {
        let template = Template::new("test", chronicle).unwrap_or_else(|e| panic!("{e}"));
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let create = Create { seed: bytes, ..Create::default() };
        let room = Room::create(&template, &create).expect("the game creates its room");
        let players = (0..PLAYERS).map(|number| {
            let (game, id) = (GameName::new("test"), MatchId::new("m"));
            let mut config = Config::new(game.expect("a good name"), id.expect("a good id"));
            (config.check, config.seed) = (true, number as u64);
            Player {
                session: Session::new(config),
                did: Vec::new(),
                heard: [Vec::new(), Vec::new()],
                trouble: None,
            }
        });
        let mut site = Self {
            dice: Dice(seed),
            class,
            bug,
            room,
            disk: Disk { base: Base::Create(create), passages: Vec::new() },
            staged: Vec::new(),
            held: VecDeque::new(),
            opening: true,
            life: 1,
            next: 1,
            now: 0,
            wires: BTreeMap::new(),
            players: players.collect(),
            crashes: 0,
            template,
        };
        site.live();
        site
    }

    /// A life of the room begins.
    fn live(&mut self) {
        self.room.record();
        if self.bug != Some(Bug::LivesAreOne) {
            self.room.handle(Entry::Begin { incarnation: Incarnation(self.life) });
        }
        if self.class == Class::Logged && self.bug != Some(Bug::ActionsAreForgotten) {
            self.room.durable(self.room.info().tick);
        }
        for session in self.room.sessions() {
            self.room.handle(Entry::Drop { session });
        }
    }

    /// All come in before anything goes wrong.
    pub(crate) fn gather(&mut self) {
        let open = |player: &Player| player.session.status() == Status::Open;
        while !self.players.iter().all(open) {
            self.step();
            assert!(self.now < 60_000, "all are in within a minute");
        }
        self.commit(usize::MAX);
    }

    /// A twentieth of a second passes.
    pub(crate) fn step(&mut self) {
        self.now += TICK_MS;
        (0..PLAYERS).for_each(|player| self.turn_of(player));
        self.deliver_up();
        self.tick();
        if self.dice.chance(60) {
            let some = self.dice.below(self.staged.len() as u64 + 1) as usize;
            self.commit(some);
        }
        self.deliver_down();
    }

    /// A connection breaks, somebody acts, the server crashes; or nothing of it happens.
    pub(crate) fn misfortune(&mut self) {
        for player in 0..PLAYERS {
            if self.dice.chance(30) {
                self.act(player);
            }
        }
        if self.dice.chance(6) {
            let wires: Vec<u64> = self.wires.keys().copied().collect();
            if let Some(at) = wires.get(self.dice.below(PLAYERS as u64) as usize) {
                self.cut(*at);
            }
        }
        if self.dice.chance(3) {
            self.crash();
        }
    }

    fn act(&mut self, player: usize) {
        let id = self.next as u32;
        self.next += 1;
        let value = Value::Int(id.into());
        if self.players[player].session.send_action("Do", &value).is_ok() {
            self.players[player].did.push(id);
        }
    }

    /// A client does what is due, and what it wishes is done.
    fn turn_of(&mut self, at: usize) {
        let player = &mut self.players[at];
        if player.session.poll_timeout().is_some_and(|due| due <= self.now) {
            player.session.handle_timeout(self.now);
        }
        self.obey(at);
    }

    fn obey(&mut self, at: usize) {
        while let Some(wish) = self.players[at].session.poll_output() {
            match wish {
                Wish::Connect { link } => self.connect(at, link),
                Wish::Send { link, frame } => {
                    let due = self.now + self.dice.below(3) * TICK_MS;
                    if let Some(wire) = self.wire_of(at, link) {
                        wire.up.push_back((due, frame));
                    }
                }
                Wish::Disconnect { link, .. } => {
                    let found = self.wires.iter().find(|(_, w)| w.player == at && w.line == link);
                    if let Some(number) = found.map(|(number, _)| *number) {
                        self.hang_up(number);
                    }
                }
                Wish::StoreToken(_) => {}
            }
        }
        let player = &mut self.players[at];
        while let Some(event) = player.session.poll_event() {
            match event {
                Event::Event { name, value: Value::Int(id), .. } => {
                    player.heard[usize::from(name == "Whisper")].push(id as u32);
                }
                Event::Status { reason: Some(reason), .. }
                    if reason.message.contains("unreadable") =>
                {
                    player.trouble = Some(reason.message);
                }
                Event::EventsLost => player.trouble = Some("events are lost".to_owned()),
                Event::Dropped { name, why, .. } => {
                    player.trouble = Some(format!("{name} was dropped: {why}"));
                }
                _ => {}
            }
        }
    }

    fn wire_of(&mut self, player: usize, line: Line) -> Option<&mut Wire> {
        self.wires.values_mut().find(|wire| wire.player == player && wire.line == line)
    }

    fn connect(&mut self, player: usize, line: Line) {
        self.next += 1;
        let session = SessionId(self.next);
        let (up, down) = (VecDeque::new(), VecDeque::new());
        let wire = Wire { player, line, session, seat: None, hello: None, up, down };
        self.wires.insert(self.next, wire);
        self.players[player].session.handle_open(self.now, line);
        self.obey(player);
    }

    /// A connection is gone at the server's end.
    fn hang_up(&mut self, number: u64) {
        let Some(wire) = self.wires.remove(&number) else { return };
        self.room.link(LinkId(number), Link::Close);
        if wire.seat.is_some() || wire.hello.is_some() {
            self.room.handle(Entry::Drop { session: wire.session });
        }
    }

    /// A connection breaks: what is on its way is lost.
    fn cut(&mut self, number: u64) {
        let Some((player, line)) = self.wires.get(&number).map(|w| (w.player, w.line)) else {
            return;
        };
        self.hang_up(number);
        self.players[player].session.handle_close(self.now, line, None, "");
        self.obey(player);
    }

    fn deliver_up(&mut self) {
        let numbers: Vec<u64> = self.wires.keys().copied().collect();
        for number in numbers {
            while let Some(frame) = self.arrived(number, |wire| &mut wire.up) {
                self.said(number, &frame);
            }
        }
    }

    fn deliver_down(&mut self) {
        let numbers: Vec<u64> = self.wires.keys().copied().collect();
        for number in numbers {
            while let Some(frame) = self.arrived(number, |wire| &mut wire.down) {
                let Some(wire) = self.wires.get(&number) else { break };
                let (player, line) = (wire.player, wire.line);
                self.players[player].session.handle_frame(self.now, line, &frame);
                self.obey(player);
            }
        }
    }

    /// The next frame that has come.
    fn arrived(
        &mut self,
        number: u64,
        way: impl Fn(&mut Wire) -> &mut VecDeque<(u64, Vec<u8>)>,
    ) -> Option<Vec<u8>> {
        let now = self.now;
        let way = way(self.wires.get_mut(&number)?);
        way.pop_front_if(|(due, _)| *due <= now).map(|(_, frame)| frame)
    }

    /// What a client said comes to the server.
    fn said(&mut self, number: u64, bytes: &[u8]) {
        let (lane, body) = frame::split(bytes).expect("a client sends good frames");
        let seat = self.wires.get(&number).and_then(|wire| wire.seat);
        match lane {
            Lane::Ack => {
                let ack = Ack::decode(body).expect("a client sends good frames");
                self.room.link(LinkId(number), Link::Ack(ack));
            }
            Lane::Action => {
                let ActionFrame { number, payload } =
                    ActionFrame::decode(body).expect("a client sends good frames");
                if let Some(seat) = seat {
                    self.room.handle(Entry::Action { seat, number, payload });
                }
            }
            Lane::Control => match message::decode(body) {
                Ok(ClientControl::Hello(hello)) => self.greeted(number, hello),
                Ok(ClientControl::Ping { nonce }) => {
                    let tick = self.room.info().tick;
                    self.tell(number, message::encode(&ServerControl::Pong { nonce, tick }));
                }
                _ => {}
            },
            Lane::State | Lane::Events | Lane::Schema | Lane::Input => {}
        }
    }

    fn greeted(&mut self, number: u64, hello: Hello) {
        let Some(wire) = self.wires.get_mut(&number) else { return };
        let session = wire.session;
        wire.hello = Some(hello.clone());
        let mut resume = hello.resume.filter(|_| hello.schema == Some(self.template.schema_hash()));
        if self.bug == Some(Bug::EventsComeAgain)
            && let Some(resume) = &mut resume
        {
            resume.event = 0;
        }
        let claim = hello.token.and_then(|token| {
            let (seat, generation) = token.split_once(':')?;
            Some((Seat(seat.parse().ok()?), generation.parse().ok()?))
        });
        let resume = resume.filter(|_| claim.is_some());
        self.room.link(LinkId(number), Link::Open { session, resume });
        self.room.link(LinkId(number), Link::Check);
        self.room.handle(match claim {
            Some((seat, generation)) => Entry::Resume { session, seat, generation },
            None => Entry::Join(Join {
                session,
                name: String::new(),
                attributes: BTreeMap::new(),
                generation: number,
                watch: false,
            }),
        });
    }

    fn tick(&mut self) {
        let at = Tick(self.room.info().tick.0 + 1);
        self.room.tick(at);
        let (mut bytes, mut snapshot) = (Vec::new(), None);
        let span = self.room.take_journal(&mut bytes).expect("a tick ran");
        while let Some(output) = self.room.poll_output() {
            match output {
                Output::Save(saved) => snapshot = Some(saved),
                output if self.class == Class::Logged && !self.opening => self.carry_out(output),
                output => self.held.push_back((at, output)),
            }
        }
        let passage = Passage { after: span.after, upto: span.upto, bytes };
        self.staged.push((passage, snapshot));
    }

    /// So much of what happened comes onto the disk.
    fn commit(&mut self, some: usize) {
        let some = some.min(self.staged.len());
        let mut upto = None;
        for (passage, snapshot) in self.staged.drain(..some) {
            upto = Some(passage.upto);
            self.disk.passages.push(passage);
            if let Some(snapshot) = snapshot {
                self.disk.base = Base::Snapshot(Arc::new(snapshot));
                self.disk.passages.clear();
            }
        }
        self.opening &= upto.is_none();
        let all = self.class == Class::Logged && !self.opening;
        while let Some((_, output)) = self.held.pop_front_if(|(at, _)| all || Some(*at) <= upto) {
            self.carry_out(output);
        }
        let late = self.class == Class::Logged && self.bug != Some(Bug::ActionsAreForgotten);
        if let Some(upto) = upto.filter(|_| late) {
            self.room.durable(upto);
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Joined { session, outcome } => self.joined(session, &outcome),
            Output::Send { link, frame } => self.tell(link.0, frame.to_vec()),
            Output::Disconnect { session, .. } => {
                let found = self.wires.iter().find(|(_, wire)| wire.session == session);
                if let Some(number) = found.map(|(number, _)| *number) {
                    self.cut(number);
                }
            }
            Output::Reply { .. } | Output::Save(_) => {}
        }
    }

    fn tell(&mut self, number: u64, frame: Vec<u8>) {
        let late = self.dice.below(3) * TICK_MS;
        let now = self.now;
        if let Some(wire) = self.wires.get_mut(&number) {
            let after = wire.down.back().map_or(0, |(due, _)| *due);
            wire.down.push_back(((now + late).max(after), frame));
        }
    }

    fn joined(&mut self, session: SessionId, outcome: &Joined) {
        let found = self.wires.iter_mut().find(|(_, wire)| wire.session == session);
        let Some((number, wire)) = found else { return };
        let Joined::Seated { seat, generation, resumed, last_action, last_event, events_lost } =
            *outcome
        else {
            panic!("a seat is kept for everyone: {outcome:?}")
        };
        wire.seat = Some(seat);
        let known = wire.hello.take().and_then(|hello| hello.schema);
        let (number, schema) = (*number, self.template.schema_hash());
        let welcome = ServerControl::Welcome(Welcome {
            version: VERSIONS[0],
            session,
            seat: Some(seat),
            token: Some(format!("{}:{generation}", seat.0)),
            resumed,
            incarnation: Incarnation(self.life),
            tick: self.room.info().tick,
            hz: self.room.info().hz,
            schema,
            last_action,
            last_event,
            events_lost,
            ended: None,
        });
        self.tell(number, message::encode(&welcome));
        if known != Some(schema) {
            let mut bytes = vec![Lane::Schema as u8];
            bytes.extend_from_slice(self.template.schema_bytes());
            self.tell(number, bytes);
        }
    }

    /// The server is gone at once, and comes back with what is on its disk.
    fn crash(&mut self) {
        self.crashes += 1;
        let wires = std::mem::take(&mut self.wires);
        self.staged.clear();
        self.held.clear();
        let (base, passages) = (self.disk.base.clone(), std::mem::take(&mut self.disk.passages));
        let kept = Revival::new(&self.template, base.clone(), passages.clone(), [9; 32]);
        let revived = kept.finish().expect("a room is made again from its journal");
        assert_eq!(revived.report.differs, None, "it is the room that it was");
        self.disk = Disk { base, passages };
        (self.room, self.life, self.opening) = (revived.room, self.life + 1, true);
        self.live();
        for wire in wires.into_values() {
            self.players[wire.player].session.handle_close(self.now, wire.line, None, "");
            self.obey(wire.player);
        }
        // What was told in what is lost did not happen.
        for at in 0..PLAYERS {
            let (_, told) = self.log_of(at);
            let heard = self.players[at].heard.iter_mut();
            heard.zip(told).for_each(|(heard, told)| heard.truncate(told.len()));
        }
    }

    /// What the room says a player did and was told.
    fn log_of(&mut self, player: usize) -> (Vec<u32>, [Vec<u32>; 2]) {
        let seat = self.players[player].session.seat().map_or(0, |seat| u64::from(seat.0));
        let state = self.room.to_json();
        let seats = state["seats"].as_array().into_iter().flatten();
        let entity = seats.filter(|of| of["seat"] == seat).map(|of| of["player"].clone()).next();
        let mut entities = state["entities"].as_array().into_iter().flatten();
        let found = entities.find(|of| Some(&of["id"]) == entity.as_ref());
        let numbers = |name: &str| {
            let list = found.and_then(|of| of["Log"][name].as_array());
            let list = list.into_iter().flatten();
            list.filter_map(|n| u32::try_from(n.as_u64()?).ok()).collect()
        };
        (numbers("done"), [numbers("told"), numbers("whispered")])
    }

    /// Nothing goes wrong any more, until all is quiet.
    pub(crate) fn heal(&mut self) -> Result<(), String> {
        for _ in 0..30 {
            for _ in 0..20 {
                self.step();
                self.commit(usize::MAX);
            }
            let open = |player: &Player| player.session.status() == Status::Open;
            let done = (0..PLAYERS).all(|at| self.log_of(at).0.len() == self.players[at].did.len());
            if done && self.players.iter().all(open) {
                // What is on its way comes.
                (0..5).for_each(|_| self.step());
                return Ok(());
            }
        }
        Err("something that a player did is not done, or it does not come back".to_owned())
    }

    /// Compares what clients have with what there is.
    pub(crate) fn judge(&mut self) -> Result<(), String> {
        for at in 0..PLAYERS {
            let (done, told) = self.log_of(at);
            let tick = self.room.info().tick;
            let player = &self.players[at];
            let (checked, wrong) = player.session.checks();
            let faults = [
                player.trouble.clone(),
                (wrong > 0).then(|| format!("{wrong} of {checked} states are wrong")),
                (checked < 20).then(|| format!("only {checked} states were compared")),
                (player.session.tick().0 + 10 < tick.0).then(|| "it is behind".to_owned()),
                (done != player.did).then(|| format!("did {:?}, done is {done:?}", player.did)),
                (told != player.heard).then(|| format!("heard {:?}, told {told:?}", player.heard)),
            ];
            if let Some(fault) = faults.into_iter().flatten().next() {
                return Err(format!("player {at}, {} crashes: {fault}", self.crashes));
            }
        }
        Ok(())
    }
}
