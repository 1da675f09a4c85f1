//! A live room on its way from one host thread to another: the room as it is, and its connections apart
//! from their runtimes. Nothing is saved or loaded for it, and its clients notice nothing.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use referee_protocol::{Incarnation, LinkId};
use referee_room::room::{Counters, Room};

use super::keep::Keep;
use super::{Answer, Live, Presence};
use crate::host::clock::Clock;
use crate::host::committed::Signals;
use crate::host::connection::TravellingConnection;
use crate::host::load::Meter;
use crate::host::thread::Thread;
use crate::http::ConnectionSlot;
use crate::key::RoomKey;
use crate::transport::socket::Socket;

/// What is beside a connection's socket: its place among the connections of the server.
pub(crate) struct ReadHalf {
    pub(crate) slot: ConnectionSlot,
}

/// A client of the room.
struct Client {
    link: LinkId,
    connection: TravellingConnection,
    half: ReadHalf,
}

/// A connection that has landed, and is to be read.
pub(crate) struct Landed {
    pub(crate) link: LinkId,
    pub(crate) socket: Rc<Socket>,
    pub(crate) half: ReadHalf,
}

/// See the module's documentation.
pub(crate) struct Migrant {
    presence: Presence,
    room: Room,
    clock: Clock,
    incarnation: Incarnation,
    keep: Keep,
    clients: Vec<Client>,
    signals: Arc<Signals>,
    requests: BTreeMap<u64, Answer>,
    last_request: u64,
    ticks: u64,
    counted: Counters,
    inbox: usize,
    left: bool,
    quiet_since: Instant,
    ended: bool,
    panicked: Option<Instant>,
    told_time: bool,
    meter: Meter,
}

impl Migrant {
    /// Which room it is.
    pub(crate) fn key(&self) -> &RoomKey {
        &self.presence.key
    }

    /// What its place and the room tell each other.
    pub(crate) fn signals(&self) -> &Arc<Signals> {
        &self.signals
    }
}

impl Live {
    /// Asks whoever reads the connections to stop. False where there is a connection that cannot move.
    pub(crate) fn call_back(&self) -> bool {
        let sockets: Option<Vec<_>> = self.connections.values().map(|of| of.socket()).collect();
        let Some(sockets) = sockets.filter(|_| !self.failed) else { return false };
        sockets.iter().for_each(|socket| socket.call_back());
        true
    }

    /// The room stays after all. Gives the connections that are to be read again.
    pub(crate) fn read_on(&self, halves: Vec<(LinkId, ReadHalf)>) -> Vec<Landed> {
        self.connections.values().filter_map(|of| of.socket()).for_each(|socket| socket.stay());
        let landed = halves.into_iter().filter_map(|(link, half)| {
            let socket = self.connections.get(&link)?.socket()?;
            Some(Landed { link, socket, half })
        });
        landed.collect()
    }

    /// Whether nobody reads any of its connections. There may be halves of such that have ended.
    pub(crate) fn are_back(&self, halves: &[(LinkId, ReadHalf)]) -> bool {
        let back = |link: &LinkId| halves.iter().any(|(of, _)| of == link);
        self.connections.keys().all(back)
    }

    /// Takes leave of the thread, with the halves of the connections that were called back. A connection
    /// whose other half is not there is gone.
    pub(crate) fn depart(mut self: Box<Self>, halves: Vec<(LinkId, ReadHalf)>) -> Migrant {
        let mut halves: BTreeMap<LinkId, ReadHalf> = halves.into_iter().collect();
        let gone = self.connections.keys().filter(|link| !halves.contains_key(*link));
        let gone: Vec<LinkId> = gone.copied().collect();
        gone.into_iter().for_each(|link| self.gone(link));
        let connections = std::mem::take(&mut self.connections);
        let clients = connections.into_iter().filter_map(|(link, connection)| {
            let half = halves.remove(&link)?;
            Some(Client { link, connection: connection.depart(), half })
        });
        let clients = clients.collect();
        let live = *self;
        Migrant {
            presence: live.presence,
            room: live.room,
            clock: live.clock,
            incarnation: live.incarnation,
            keep: live.keep,
            clients,
            signals: live.signals,
            requests: live.requests,
            last_request: live.last_request,
            ticks: live.ticks,
            counted: live.counted,
            inbox: live.inbox,
            left: live.left,
            quiet_since: live.quiet_since,
            ended: live.ended,
            panicked: live.panicked,
            told_time: live.told_time,
            meter: live.meter,
        }
    }

    /// On the thread it went to. Gives the connections that are to be read. One whose socket is broken is
    /// gone.
    pub(crate) fn land(migrant: Migrant, thread: &Thread) -> (Box<Self>, Vec<Landed>) {
        let now = Instant::now();
        let mut presence = migrant.presence;
        presence.pulse = thread.pulse.clone();
        let (house, key) = (presence.house.clone(), presence.key.clone());
        migrant.signals.belong_to(&thread.committed);
        let mut meter = migrant.meter;
        meter.moved(now);
        let mut live = Box::new(Self {
            template: house.games[&key.game].template.clone(),
            house,
            key,
            presence,
            room: migrant.room,
            clock: migrant.clock,
            incarnation: migrant.incarnation,
            keep: migrant.keep,
            connections: BTreeMap::new(),
            sessions: BTreeMap::new(),
            signals: migrant.signals,
            requests: migrant.requests,
            last_request: migrant.last_request,
            ticks: migrant.ticks,
            counted: migrant.counted,
            inbox: migrant.inbox,
            paused: false,
            left: migrant.left,
            quiet_since: migrant.quiet_since,
            idle_since: now,
            ended: migrant.ended,
            unannounced: true,
            failed: false,
            panicked: migrant.panicked,
            remains: None,
            stirred: true,
            told_time: migrant.told_time,
            meter,
            sends_every: 1,
        });
        let landed = live.take_in(migrant.clients);
        (live, landed)
    }

    fn take_in(&mut self, clients: Vec<Client>) -> Vec<Landed> {
        let (mut landed, mut broken) = (Vec::new(), Vec::new());
        for Client { link, connection, half } in clients {
            let (connection, socket) = connection.land();
            self.sessions.insert(connection.session, link);
            self.connections.insert(link, Box::new(connection));
            match socket {
                Some(socket) => landed.push(Landed { link, socket, half }),
                None => broken.push(link),
            }
        }
        broken.into_iter().for_each(|link| self.gone(link));
        landed
    }
}
