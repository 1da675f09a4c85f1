//! Out of memory and back: a turn-based room in which nothing happens and nothing is due is sealed, and
//! comes back as the same life of it. Its clients notice nothing.

use std::time::{Duration, Instant};

use referee_protocol::LinkId;
use referee_protocol::frame::Ack;
use referee_room::room::{Link, NextTick, ParkedLink};

use super::{Live, Next, Parts};
use crate::host::clock::Clock;
use crate::host::connection::{Connection, Standing};
use crate::host::parked::{
    BACK_BEFORE_MS, News, PARKED_MAX, PARKED_STATE_MAX_BYTES, Parked, ParkedClient,
};
use crate::host::unix_ms;

/// What of a room is due, and when.
struct Due {
    timer: Option<Instant>,
    alarm_unix_ms: Option<u64>,
}

impl Live {
    /// When to look whether the room may be put out of memory, if nothing happens until then; none where it
    /// may not be, whatever happens.
    pub(crate) fn park_due(&self, next: Next) -> Option<Instant> {
        let after_ms = self.house.config.park_after_ms;
        let may = matches!(self.clock, Clock::Turns { .. }) && after_ms > 0 && next != Next::Soon;
        // One that nobody is in goes away altogether.
        (may && self.is_attended()).then(|| self.idle_since + Duration::from_millis(after_ms))
    }

    /// Whether the room may be put out of memory now. Else it is looked at again after the same time.
    pub(crate) fn may_park(&mut self, now: Instant) -> bool {
        let may = self.rests(now).is_some();
        if !may {
            self.idle_since = now;
        }
        may
    }

    /// Seals the room and saves it. False when it is not saved: it stays.
    pub(crate) fn seal_to_park(&mut self) -> bool {
        self.seal();
        !self.failed && !self.has_unsaved()
    }

    /// What is kept of the room, which is sealed, and saved if it is worth it; none where something has happened since, or
    /// is still to be told: then it stays.
    pub(crate) fn park(&mut self, now: Instant) -> Option<Box<Parked>> {
        self.turn();
        if !self.keep.is_sealed() {
            return None;
        }
        let (Due { timer, alarm_unix_ms }, links) = self.rests(now)?;
        let kept = (!self.room.is_lasting()).then(|| Box::new(self.keep.kept()));
        self.sessions.clear();
        let connections = std::mem::take(&mut self.connections).into_iter().zip(links);
        let clients = connections.map(|((link, connection), (_, state))| ParkedClient {
            link,
            connection: connection.park(),
            state,
            ack: Ack::default(),
        });
        Some(Box::new(Parked {
            incarnation: self.incarnation,
            tick: self.room.info().tick,
            clock: self.clock.clone(),
            timer: timer.map_or(now + PARKED_MAX, |at| at.min(now + PARKED_MAX)),
            alarm_unix_ms,
            kept,
            listing: self.presence.listing.take().map(Box::new),
            clients: clients.collect(),
            news: Vec::new(),
            waking: None,
        }))
    }

    /// What is due in a room that has nothing to do and nothing to tell, and what is to be kept of its
    /// links; none where it has, or will have soon.
    fn rests(&mut self, now: Instant) -> Option<(Due, Vec<(LinkId, ParkedLink)>)> {
        self.requests.retain(|_, answer| !answer.is_closed());
        let settled = |c: &Connection| matches!(c.standing, Standing::In(_)) && !c.has_waiting();
        let rests = !self.failed
            && self.requests.is_empty()
            && self.keep.is_at_rest()
            && (self.room.is_lasting() || self.keep.base_bytes() <= PARKED_STATE_MAX_BYTES)
            && self.connections.values().all(|of| settled(of));
        if !rests {
            return None;
        }
        let due = self.due(now)?;
        let links = self.guarded(|room| room.parked()).flatten()?;
        let same = links.iter().map(|(link, _)| link).eq(self.connections.keys());
        same.then_some((due, links))
    }

    /// What is due; none where something is before it would be worth the while.
    fn due(&mut self, now: Instant) -> Option<Due> {
        let (reached, _) = self.clock.now(now, self.room.info().tick);
        let timer = match self.guarded(|room| room.next_due(reached))? {
            NextTick::Now(_) => return None,
            NextTick::At(tick) => Some(self.clock.when(tick)),
            NextTick::Never => None,
        };
        let alarm_unix_ms = self.guarded(|room| room.next_alarm()).flatten();
        let ahead_ms = self.house.config.park_after_ms.max(2 * BACK_BEFORE_MS);
        let far = timer.is_none_or(|at| at > now + Duration::from_millis(ahead_ms))
            && alarm_unix_ms.is_none_or(|at| at > unix_ms() + ahead_ms);
        far.then_some(Due { timer, alarm_unix_ms })
    }

    /// The room that was parked, made again from what was saved.
    pub(crate) fn unpark(parts: Parts, parked: Parked) -> Box<Self> {
        let now = Instant::now();
        let Parked { clock, listing, clients, news, .. } = parked;
        let mut live = Self::with(parts, clock, now, false);
        live.presence.listing = listing.map(|listing| *listing);
        live.begins_on_disk(None);
        for ParkedClient { link, connection, state, ack } in clients {
            let connection = connection.unpark(&state, now);
            let held = connection.has_waiting();
            live.guarded(|room| room.unpark(link, &state));
            live.sessions.insert(connection.session, link);
            live.connections.insert(link, Box::new(connection));
            if held {
                live.guarded(|room| room.link(link, Link::Held));
            }
            live.acked(link, ack, now);
        }
        for (link, news) in news {
            match news {
                News::Said(said) => live.said(link, said, now),
                News::Fault(refusal) => live.end(link, &refusal),
                News::Gone => live.gone(link),
            }
        }
        Box::new(live)
    }
}
