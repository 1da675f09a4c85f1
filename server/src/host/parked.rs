//! What is kept of a room that is out of memory, its connections open: who they are, what they sent
//! meanwhile, when the room is due. Its state is on disk, or here where nothing is to be left on disk of it; it
//! comes back for whatever it has to know of.

use std::time::{Duration, Instant};

use referee_protocol::frame::Ack;
use referee_protocol::message::ServerControl;
use referee_protocol::{Incarnation, LinkId, Refusal, Tick};
use referee_room::room::ParkedLink;

use super::clock::Clock;
use super::connection::{ParkedConnection, slow};
use super::live::Remains;
use super::{House, unix_ms};
use crate::http::RoomListing;
use crate::key::RoomKey;
use crate::session::{self, Said};

/// How long before something is due in a room it is brought back, so that it is there in time: longer than
/// a load takes and the timer wheel is wrong, in milliseconds.
pub(crate) const BACK_BEFORE_MS: u64 = 1_000;

/// How long a room stays out of memory at most, so that what is stored of it does not expire: half of the
/// shortest time that a stored room may be kept.
pub(crate) const PARKED_MAX: Duration = Duration::from_secs(12 * 3_600);

/// What is kept in memory of the state of a room that nothing changed yet, at most, in bytes. That of most
/// such rooms is far smaller; a larger one stays in memory as a whole.
pub(crate) const PARKED_STATE_MAX_BYTES: usize = 16 << 10;

/// A client of the room.
pub(crate) struct ParkedClient {
    pub(crate) link: LinkId,
    pub(crate) connection: ParkedConnection,
    /// What the room keeps of its link.
    pub(crate) state: ParkedLink,
    /// What it acknowledged meanwhile.
    pub(crate) ack: Ack,
}

/// What the room has to know of a client. At most one message of each waits: it is not read on.
pub(crate) enum News {
    /// It said something.
    Said(Said),
    /// Its connection is to end.
    Fault(Refusal),
    /// Its connection is gone.
    Gone,
}

/// See the module's documentation.
pub(crate) struct Parked {
    pub(crate) incarnation: Incarnation,
    /// The last tick, at whose end it was saved.
    pub(crate) tick: Tick,
    pub(crate) clock: Clock,
    /// When its next timer is due, or it has been away for as long as it may.
    pub(crate) timer: Instant,
    /// When its next alarm is due, in milliseconds since 1970.
    pub(crate) alarm_unix_ms: Option<u64>,
    /// Its state, where the store has none: nothing has changed it yet, and of such a room nothing is left on
    /// disk.
    pub(crate) kept: Option<Box<Remains>>,
    pub(crate) listing: Option<Box<RoomListing>>,
    /// In the order of their links.
    pub(crate) clients: Box<[ParkedClient]>,
    pub(crate) news: Vec<(LinkId, News)>,
    /// Since when it is on its way back.
    pub(crate) waking: Option<Instant>,
}

impl Parked {
    fn client(&mut self, link: LinkId) -> Option<&mut ParkedClient> {
        let at = self.clients.binary_search_by_key(&link, |client| client.link).ok()?;
        self.clients.get_mut(at)
    }

    /// Whether the room has still to be told something of a client before that may say more.
    pub(crate) fn has_news_of(&self, link: LinkId) -> bool {
        self.news.iter().any(|(of, _)| *of == link)
    }

    /// Whether the room has to come back for what has happened.
    pub(crate) fn is_called(&self) -> bool {
        !self.news.is_empty()
    }

    /// A message of a client. False: no more before the room is back.
    pub(crate) fn message(
        &mut self,
        house: &House,
        key: &RoomKey,
        link: LinkId,
        frame: &[u8],
    ) -> bool {
        house.metrics.messages_in.up();
        house.metrics.bytes_in.add(frame.len() as u64);
        let (now, ends) = (Instant::now(), self.has_news_of(link));
        let Some(client) = self.client(link) else { return true };
        let heard = client.connection.hear(now);
        if ends || heard.is_ok() && frame.is_empty() {
            return !ends;
        }
        let schema = house.games[&key.game].template.schema();
        match heard.and_then(|()| session::said(frame, schema)) {
            Ok(Said::Ack(ack)) => self.acked(link, ack),
            Ok(Said::Ping { nonce }) => self.pong(house, link, nonce, now),
            Ok(said) => self.news.push((link, News::Said(said))),
            Err(refusal) => self.news.push((link, News::Fault(refusal))),
        }
        !self.has_news_of(link)
    }

    fn acked(&mut self, link: LinkId, ack: Ack) {
        if let Some(client) = self.client(link) {
            let known = &mut client.ack;
            known.frames = known.frames.max(ack.frames);
            known.event = known.event.max(ack.event);
        }
    }

    fn pong(&mut self, house: &House, link: LinkId, nonce: u32, now: Instant) {
        let tick = self.clock.now(now, self.tick).0;
        let Some(client) = self.client(link) else { return };
        let pong = ServerControl::Pong { nonce, tick };
        if let Err(error) = client.connection.tell(&pong, &house.metrics) {
            let news = slow(&error).map_or(News::Gone, News::Fault);
            self.news.push((link, news));
        }
    }

    /// As the live room's: see there. None also when the room has to come back to let the client go.
    pub(crate) fn look(&mut self, link: LinkId, now: Instant) -> Option<Instant> {
        match self.client(link)?.connection.look(now) {
            Ok(again) => Some(again),
            Err(refusal) => {
                self.news.push((link, News::Fault(refusal)));
                None
            }
        }
    }

    /// A client's connection ends.
    pub(crate) fn ends(&mut self, link: LinkId, news: News) {
        if self.client(link).is_some() {
            self.news.push((link, news));
        }
    }

    /// When the room is to come back for what will be due in it.
    pub(crate) fn back_at(&self, now: Instant) -> Instant {
        let left = |at: u64| Duration::from_millis(at.saturating_sub(unix_ms())).min(PARKED_MAX);
        let due = self.alarm_unix_ms.map_or(self.timer, |at| self.timer.min(now + left(at)));
        due.checked_sub(Duration::from_millis(BACK_BEFORE_MS)).unwrap_or(now)
    }

    /// Ends every connection.
    pub(crate) fn dismiss(self, house: &House, refusal: &Refusal) {
        let now = Instant::now();
        for client in self.clients {
            let connection = client.connection.unpark(&client.state, now);
            connection.uncount(&house.metrics);
            connection.close(refusal, &house.metrics);
        }
    }
}
