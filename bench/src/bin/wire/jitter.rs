//! A hundred clients behind links that lose and delay: how often a room codes its state for all of
//! them, and what each of them gets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use referee_protocol::frame::{Lane, split};
use referee_protocol::ladder::Applied;
use referee_protocol::message::{self, ServerControl};
use referee_protocol::replica::Taken;
use referee_protocol::{LinkId, Replica, SessionId, Tick};
use referee_room::entry::{Create, Join};
use referee_room::room::Link;
use referee_room::{Entry, Output, Room, Template};

use crate::games::Play;

const CLIENTS: u64 = 100;
/// The way of the nearest and of the farthest client, each way, in milliseconds.
const DELAY_MS: (u64, u64) = (20, 200);
/// At most so much more, in milliseconds.
const JITTER_MS: u64 = 20;
const LOST_PER_CENT: u64 = 2;
/// Ticks that run, and those before it counts.
const TICKS: u64 = 600;
const WARM_TICKS: u64 = 60;

/// What was seen.
pub(crate) struct Seen {
    /// How often the group was coded in a tick, as a mean and at most.
    pub(crate) encodings: f64,
    pub(crate) most: usize,
    /// A state frame, whole, for a client in a tick.
    pub(crate) bytes: f64,
    /// Frames that came in vain.
    pub(crate) unfounded_per_cent: f64,
}

/// Random numbers: the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// A frame and the hash that it comes to, or what a client says.
enum Datagram {
    State(Vec<u8>, u64),
    Applied(Applied),
}

struct Client {
    link: LinkId,
    replica: Replica,
    applied: Applied,
    delay_ms: u64,
    /// What is on its way, by the time at which it comes.
    flying: BTreeMap<(u64, u64), Datagram>,
    state: Option<Vec<u8>>,
}

impl Client {
    fn send(&mut self, now_ms: u64, dice: &mut Dice, datagram: Datagram) {
        let at = now_ms + self.delay_ms + dice.below(JITTER_MS + 1);
        let number = dice.below(u64::MAX);
        if dice.below(100) >= LOST_PER_CENT {
            self.flying.insert((at, number), datagram);
        }
    }

    fn arrived(&mut self, now_ms: u64) -> Vec<Datagram> {
        let later = self.flying.split_off(&(now_ms + 1, 0));
        std::mem::replace(&mut self.flying, later).into_values().collect()
    }
}

struct Match {
    template: Arc<Template>,
    room: Room,
    clients: Vec<Client>,
    dice: Dice,
    received: u64,
    unfounded: u64,
}

/// Plays a trace.
pub(crate) fn play(play: &Play, tables: &'static [u8]) -> Seen {
    let mut played = Match::new(play, tables);
    let (mut total, mut coded, mut most, mut bytes) = (0, 0, 0, 0);
    let ticks = TICKS.min(play.ticks);
    for tick in 1..=ticks {
        let (blocks, sent) = played.tick(tick, tick * 1000 / u64::from(play.hz));
        if tick > WARM_TICKS {
            most = most.max(blocks);
            coded += u64::from(blocks > 0);
            (total, bytes) = (total + blocks, bytes + sent);
        }
    }
    Seen {
        encodings: total as f64 / coded as f64,
        most,
        bytes: bytes as f64 / (ticks - WARM_TICKS) as f64 / CLIENTS as f64,
        unfounded_per_cent: played.unfounded as f64 / played.received as f64 * 100.0,
    }
}

impl Match {
    fn new(play: &Play, tables: &'static [u8]) -> Self {
        let of = play.clone();
        let template = Template::new("trace", move |game| (of.game)(&of, game, Some(tables)))
            .expect("a trace's game is right");
        let create = Create { seed: [7; 32], ..Create::default() };
        let mut room = Room::create(&template, &create).expect("it refuses nobody");
        let clients = (1..=CLIENTS).map(|n| {
            let (link, session) = (LinkId(n), SessionId(n));
            room.link(link, Link::Open { session, resume: None });
            room.link(link, Link::Lossy);
            room.link(link, Link::Check);
            room.handle(Entry::Join(Join {
                session,
                name: String::new(),
                attributes: BTreeMap::new(),
                generation: n,
                watch: true,
            }));
            let delay_ms = DELAY_MS.0 + (DELAY_MS.1 - DELAY_MS.0) * (n - 1) / (CLIENTS - 1);
            let (replica, applied) = (Replica::new(play.hz), Applied::default());
            Client { link, replica, applied, delay_ms, flying: BTreeMap::new(), state: None }
        });
        let clients = clients.collect();
        Self { template, room, clients, dice: Dice(11), received: 0, unfounded: 0 }
    }

    /// Runs a tick. Gives how many blocks were made and how many bytes were sent.
    fn tick(&mut self, tick: u64, now_ms: u64) -> (usize, usize) {
        for at in 0..self.clients.len() {
            for datagram in self.clients[at].arrived(now_ms) {
                match datagram {
                    Datagram::State(frame, hash) => self.take(at, now_ms, &frame, hash),
                    Datagram::Applied(applied) => {
                        self.room.link(self.clients[at].link, Link::Applied(applied));
                    }
                }
            }
        }
        self.room.tick(Tick(tick));
        let (mut blocks, mut bytes) = (BTreeSet::new(), 0);
        // All are kept until the tick is over, so that no two have the same place.
        let outputs: Vec<Output> = std::iter::from_fn(|| self.room.poll_output()).collect();
        for output in &outputs {
            let Output::Send { link, frame } = output else { continue };
            let client = &mut self.clients[link.0 as usize - 1];
            let whole = frame.to_vec();
            match split(&whole).expect("the room sends good frames") {
                (Lane::State, _) => {
                    blocks.extend(frame.parts.iter().map(Arc::as_ptr));
                    bytes += whole.len();
                    client.state = Some(whole);
                }
                (_, body) => {
                    let told = message::decode(body).expect("the room sends good messages");
                    let (Some(state), ServerControl::Check { hash }) = (client.state.take(), told)
                    else {
                        continue;
                    };
                    client.send(now_ms, &mut self.dice, Datagram::State(state, hash));
                }
            }
        }
        (blocks.len(), bytes)
    }

    fn take(&mut self, at: usize, now_ms: u64, frame: &[u8], hash: u64) {
        let client = &mut self.clients[at];
        let taken = client.replica.take(self.template.schema(), frame);
        self.received += 1;
        match taken.expect("the room sends good state") {
            Taken::Applied(prelude) => {
                assert_eq!(client.replica.hash(), hash, "{:?}: it is not what was", prelude.tick);
                client.applied.note(prelude.tick);
                let applied = Datagram::Applied(client.applied);
                client.send(now_ms, &mut self.dice, applied);
            }
            Taken::Unfounded => self.unfounded += 1,
            Taken::Late => {}
        }
    }
}
