//! What is on its way between one bot and the server.

use std::collections::VecDeque;

use referee_client::LinkId;
use referee_protocol::Code;

use super::Link;
use super::line::Line;

/// Bytes from the server that may be on their way: beyond them the socket is not read, so that the
/// server sees a client that is behind, as it would.
const COMING_MAX_BYTES: usize = 256 << 10;
/// Round trips until a new connection can carry its first frame: TCP and the upgrade.
const DIAL_WEBSOCKET: u64 = 2;
/// The same over QUIC.
const DIAL_QUIC: u64 = 1;

/// Something that comes to a bot.
#[derive(Debug)]
pub(crate) enum Came {
    /// A connection is open.
    Opened(LinkId),
    /// A frame.
    Frame(LinkId, Vec<u8>),
    /// A connection is gone.
    Closed(LinkId, Option<Code>, String),
}

impl Came {
    fn bytes(&self) -> usize {
        match self {
            Self::Frame(_, frame) => frame.len(),
            Self::Opened(_) | Self::Closed(..) => 0,
        }
    }

    fn link(&self) -> LinkId {
        match self {
            Self::Opened(link) | Self::Frame(link, _) | Self::Closed(link, ..) => *link,
        }
    }
}

/// What is on its way, both ways.
#[derive(Debug)]
pub(crate) struct Air {
    up: Line,
    down: Line,
    going: VecDeque<(u64, LinkId, Vec<u8>)>,
    coming: VecDeque<(u64, Came)>,
    coming_bytes: usize,
    dial_us: u64,
}

impl Air {
    /// The way of a bot over this link.
    pub(crate) fn new(link: &Link, over_quic: bool, seed: u64) -> Self {
        let trips = if over_quic { DIAL_QUIC } else { DIAL_WEBSOCKET };
        Self {
            up: Line::new(link, seed),
            down: Line::new(link, !seed),
            going: VecDeque::new(),
            coming: VecDeque::new(),
            coming_bytes: 0,
            dial_us: trips * 2 * crate::time::us(link.delay),
        }
    }

    /// A frame leaves the bot.
    pub(crate) fn send(&mut self, now: u64, link: LinkId, frame: Vec<u8>) {
        let at = self.up.arrives(now, frame.len());
        self.going.push_back((at, link, frame));
    }

    /// Something leaves the server.
    pub(crate) fn receive(&mut self, now: u64, came: Came) {
        let more = if matches!(came, Came::Opened(_)) { self.dial_us } else { 0 };
        let at = self.down.arrives(now + more, came.bytes());
        self.coming_bytes += came.bytes();
        self.coming.push_back((at, came));
    }

    /// Whether no more may be read from the server's side.
    pub(crate) fn is_full(&self) -> bool {
        self.coming_bytes >= COMING_MAX_BYTES
    }

    /// What has arrived at the server.
    pub(crate) fn gone(&mut self, now: u64) -> Option<(LinkId, Vec<u8>)> {
        let (_, link, frame) = self.going.pop_front_if(|(at, ..)| *at <= now)?;
        Some((link, frame))
    }

    /// What has arrived at the bot.
    pub(crate) fn came(&mut self, now: u64) -> Option<Came> {
        let (_, came) = self.coming.pop_front_if(|(at, _)| *at <= now)?;
        self.coming_bytes -= came.bytes();
        Some(came)
    }

    /// The bot gives a connection up: what it said still arrives, at once, so that a goodbye does.
    pub(crate) fn end(&mut self, now: u64, link: LinkId) -> Vec<Vec<u8>> {
        self.coming.retain(|(_, came)| came.link() != link);
        self.coming_bytes = self.coming.iter().map(|(_, came)| came.bytes()).sum();
        self.up.restart(now);
        self.down.restart(now);
        let of_link = |(_, of, _): &(u64, LinkId, Vec<u8>)| *of == link;
        let said = self.going.iter().filter(|going| of_link(going)).map(|(.., f)| f.clone());
        let said = said.collect();
        self.going.retain(|going| !of_link(going));
        said
    }

    /// When something arrives next.
    pub(crate) fn next_due(&self) -> Option<u64> {
        let going = self.going.front().map(|(at, ..)| *at);
        let coming = self.coming.front().map(|(at, _)| *at);
        [going, coming].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: LinkId = LinkId(1);

    fn air() -> Air {
        Air::new(&"delay=40ms".parse().unwrap(), false, 1)
    }

    #[test]
    fn both_ways_take_their_time() {
        let mut air = air();
        air.receive(0, Came::Opened(LINK));
        assert_eq!(air.next_due(), Some(200_000), "two round trips and the way back");
        assert!(air.came(199_999).is_none() && air.came(200_000).is_some());
        air.send(300_000, LINK, vec![1]);
        assert!(air.gone(339_999).is_none());
        assert_eq!(air.gone(340_000), Some((LINK, vec![1])));
        air.receive(340_000, Came::Frame(LINK, vec![2]));
        assert!(air.came(379_999).is_none() && air.came(380_000).is_some());
        assert_eq!(air.next_due(), None);
    }

    #[test]
    fn a_server_that_says_too_much_is_not_read() {
        let mut air = air();
        air.receive(0, Came::Frame(LINK, vec![0; COMING_MAX_BYTES]));
        assert!(air.is_full());
        assert!(air.came(40_000).is_some() && !air.is_full());
    }

    #[test]
    fn a_goodbye_arrives_and_nothing_comes_after_it() {
        let mut air = air();
        air.send(0, LINK, vec![1]);
        air.send(0, LinkId(2), vec![2]);
        air.receive(0, Came::Frame(LINK, vec![3]));
        assert_eq!(air.end(10, LINK), [vec![1]]);
        assert!(air.came(u64::MAX).is_none());
        assert_eq!(air.gone(u64::MAX), Some((LinkId(2), vec![2])));
    }
}
