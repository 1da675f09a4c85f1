//! What a room wants done outside: frames, answers, ends, saves.

use std::io::IoSlice;
use std::time::Instant;

use referee_protocol::frame::Lane;
use referee_protocol::message::{ServerControl, Welcome};
use referee_protocol::{LinkId, SessionId};
use referee_room::entry::Entry;
use referee_room::output::{Frame, Joined, Output};
use referee_room::room::{Link, Room, RoomInfo};

use super::Live;
use crate::directory::Directory;
use crate::host::connection::{Connection, Standing};
use crate::http::{RoomListing, RoomReply};
use crate::token::Claim;

impl Live {
    /// Does what the room wants done, as far as it need not wait for the disk.
    pub(super) fn hand_out(&mut self) {
        while let Some(Some(output)) = self.guarded(Room::poll_output) {
            if let Some(output) = self.keep.hold(output) {
                self.carry_out(output);
            }
        }
        while let Some(output) = self.keep.release() {
            self.carry_out(output);
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Joined { session, outcome } => self.joined(session, outcome),
            Output::Send { link, frame } => self.send(link, &frame),
            Output::Reply { request, status, body } => {
                if let Some(answer) = self.requests.remove(&request) {
                    let _ = answer.send(Ok(RoomReply { status, body }));
                    self.quiet_since = Instant::now();
                }
            }
            Output::Disconnect { session, refusal } => {
                if let Some(link) = self.sessions.get(&session).copied() {
                    self.end(link, &refusal);
                }
            }
            Output::Save(_) => {} // the room's keep took it with its tick: see `journal`
        }
    }

    pub(super) fn send(&mut self, link: LinkId, frame: &Frame) {
        let metrics = &self.house.metrics;
        let sent = match self.connections.get_mut(&link) {
            Some(connection) => connection.send(frame, metrics),
            None => return,
        };
        self.after(link, sent);
    }

    pub(super) fn joined(&mut self, session: SessionId, outcome: Joined) {
        let Some(link) = self.sessions.get(&session).copied() else {
            // It went before the room let it in.
            if !matches!(outcome, Joined::Refused(_)) {
                self.enter(Entry::Drop { session }, 0);
            }
            return;
        };
        let Some(connection) = self.connections.get_mut(&link) else { return };
        match outcome {
            Joined::Refused(_) if connection.standing == Standing::Resuming => {
                // The seat is gone; the client is welcome as somebody new.
                connection.standing = Standing::Joining;
                self.sessions.remove(&session);
                self.guarded(|room| room.link(link, Link::Close));
                self.begin(link);
            }
            Joined::Refused(refusal) => self.end(link, &refusal),
            Joined::Watching => {
                connection.let_in(None, &self.house.metrics);
                self.welcome(link, |_| {});
            }
            Joined::Seated { seat, generation, resumed, last_action, last_event, events_lost } => {
                connection.let_in(Some(seat), &self.house.metrics);
                let token = self.house.tokens.issue(&self.key, Claim { seat, generation });
                self.welcome(link, |welcome| {
                    welcome.seat = Some(seat);
                    welcome.token = Some(token);
                    welcome.resumed = resumed;
                    welcome.last_action = last_action;
                    welcome.last_event = last_event;
                    welcome.events_lost = events_lost;
                });
            }
        }
    }

    pub(super) fn welcome(&mut self, link: LinkId, fill: impl FnOnce(&mut Welcome)) {
        let info = self.room.info();
        let Some(connection) = self.connections.get(&link) else { return };
        let schema = self.template.schema_hash();
        let has_schema = connection.wish.schema == Some(schema);
        let mut welcome = Welcome {
            version: connection.wish.version,
            session: connection.session,
            seat: None,
            token: None,
            resumed: false,
            incarnation: self.incarnation,
            tick: info.tick,
            hz: info.hz,
            schema,
            last_action: 0,
            last_event: 0,
            events_lost: false,
            // In a gated room the end may not be on disk yet: it is announced once it is.
            ended: info.ended.filter(|_| self.ended),
        };
        fill(&mut welcome);
        self.tell(link, &ServerControl::Welcome(welcome));
        if has_schema {
            return;
        }
        let bytes = self.template.schema_bytes().clone();
        let parts = [IoSlice::new(&[Lane::Schema as u8]), IoSlice::new(&bytes)];
        let metrics = &self.house.metrics;
        let sent = match self.connections.get_mut(&link) {
            Some(connection) => connection.send_parts(&parts, metrics),
            None => return,
        };
        self.after(link, sent);
    }

    /// Tells the clients of the end of the match, and the directory of what it lists.
    pub(super) fn announce(&mut self) {
        if !self.unannounced || !self.keep.is_open() {
            return;
        }
        self.unannounced = false;
        let info = self.room.info();
        if !self.ended
            && let Some(result) = &info.ended
        {
            self.ended = true;
            let ended = ServerControl::Ended { result: result.clone() };
            let inside = |c: &Connection| matches!(c.standing, Standing::In(_));
            let links: Vec<_> =
                self.connections.iter().filter(|(_, c)| inside(c)).map(|(link, _)| *link).collect();
            for link in links {
                self.tell(link, &ended);
            }
        }
        let listing = self.listing_of(&info);
        if listing != self.presence.listing {
            self.house.directory.list(&self.key, listing.clone());
            self.presence.listing = listing;
        }
    }

    pub(super) fn listing_of(&self, info: &RoomInfo) -> Option<RoomListing> {
        info.public.then(|| RoomListing {
            game: self.key.game.to_string(),
            match_id: self.key.match_id.to_string(),
            players: info.players,
            seats: info.seats,
        })
    }
}
