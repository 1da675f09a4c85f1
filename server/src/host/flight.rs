//! State frames on their way to one client: how many, since when, and how long the way is. Pure:
//! instants are handed in.

use std::time::{Duration, Instant};

use referee_protocol::limits::{
    FRAMES_IN_FLIGHT_LIMIT, FRAMES_IN_FLIGHT_MAX, IN_FLIGHT_BEYOND_RTT_MS,
};

/// For how long a round trip counts, in milliseconds: a path that has become longer is known to be
/// so after at most twice this.
const RTT_COUNTS_MS: u64 = 5_000;

/// One frame in so many is timed, and none while another is. Clients acknowledge every second
/// frame: timed ones are in turn those that are answered at once and those that wait for one more.
const TIMED_EVERY: u64 = 3;

/// State frames sent to one client and acknowledged by it.
pub(crate) struct Flight {
    sent: u64,
    acked: u64,
    /// When the last frame that may be in flight left, or the client last acknowledged some.
    moved: Instant,
    /// A frame whose acknowledgement is awaited, and when it left.
    timed: Option<(u64, Instant)>,
    rtt: Shortest,
}

/// The shortest round trip of late. The shortest, because queues on the way and a client that
/// acknowledges late only ever make it look longer.
struct Shortest {
    now: Option<Duration>,
    before: Option<Duration>,
    since: Instant,
}

impl Flight {
    pub(crate) fn new(now: Instant) -> Self {
        let rtt = Shortest { now: None, before: None, since: now };
        Self { sent: 0, acked: 0, moved: now, timed: None, rtt }
    }

    /// Goes on with so many frames sent and acknowledged. The way is measured anew.
    pub(crate) fn again((sent, acked): (u64, u64), now: Instant) -> Self {
        Self { sent, acked, ..Self::new(now) }
    }

    /// A frame leaves. The clock is read only where it matters.
    pub(crate) fn send(&mut self, clock: impl Fn() -> Instant) {
        self.sent += 1;
        if self.timed.is_none() && self.sent % TIMED_EVERY == 1 {
            self.timed = Some((self.sent, clock()));
        }
        if self.sent - self.acked == u64::from(FRAMES_IN_FLIGHT_MAX) {
            self.moved = clock();
        }
    }

    /// The client has received so many frames. Gives the shortest round trip when that is news.
    pub(crate) fn acknowledge(&mut self, frames: u64, now: Instant) -> Option<Duration> {
        // A client says what it likes: it cannot have what was not sent.
        let frames = frames.min(self.sent);
        if frames <= self.acked {
            return None;
        }
        (self.acked, self.moved) = (frames, now);
        let (_, left) = self.timed.take_if(|(number, _)| *number <= frames)?;
        self.rtt.note(now.saturating_duration_since(left), now)
    }

    /// Since when nothing was acknowledged, while as much is in flight as always may be.
    pub(crate) fn stuck_since(&self) -> Option<Instant> {
        let full = self.sent - self.acked >= u64::from(FRAMES_IN_FLIGHT_MAX);
        full.then_some(self.moved)
    }
}

impl Shortest {
    fn value(&self) -> Option<Duration> {
        [self.now, self.before].into_iter().flatten().min()
    }

    fn note(&mut self, sample: Duration, at: Instant) -> Option<Duration> {
        let known = self.value();
        if at.saturating_duration_since(self.since) >= Duration::from_millis(RTT_COUNTS_MS) {
            self.before = self.now.take();
            self.since = at;
        }
        self.now = Some(self.now.map_or(sample, |least| least.min(sample)));
        self.value().filter(|value| known != Some(*value))
    }
}

/// How many state frames may be in flight in a room of this rate over a path of this round trip:
/// what leaves within one round trip and a little more, so that a client on a long path gets every
/// frame, and one that stalls is never further behind than that.
pub(crate) fn window(rtt: Duration, hz: u64) -> u32 {
    let span = rtt + Duration::from_millis(IN_FLIGHT_BEYOND_RTT_MS);
    let frames = (span.as_millis() * u128::from(hz)).div_ceil(1_000);
    let most = u128::from(FRAMES_IN_FLIGHT_LIMIT);
    (frames.min(most) as u32).max(FRAMES_IN_FLIGHT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_window_holds_a_round_trip_and_a_little_more() {
        assert_eq!(window(Duration::ZERO, 10), 4, "four always");
        assert_eq!(window(MS, 20), 5);
        assert_eq!(window(100 * MS, 60), 18);
        assert_eq!(window(600 * MS, 60), FRAMES_IN_FLIGHT_LIMIT);
        assert_eq!(window(60_000 * MS, 60), FRAMES_IN_FLIGHT_LIMIT, "whatever a client pretends");
    }

    /// A client at the end of a path of this many milliseconds, at 60 Hz: it acknowledges every second
    /// frame. Gives the last round trip that was news.
    fn measured(
        flight: &mut Flight,
        start: Instant,
        path_ms: u32,
        frames: u64,
    ) -> Option<Duration> {
        let (mut news, first) = (None, flight.sent + 1);
        for n in first..first + frames {
            let left = start + (n - first) as u32 * 16 * MS;
            flight.send(|| left);
            if n.is_multiple_of(2) {
                news = flight.acknowledge(n, left + path_ms * MS).or(news);
            }
        }
        news
    }

    #[test]
    fn the_round_trip_is_the_shortest_of_late() {
        let start = Instant::now();
        let mut flight = Flight::new(start);
        assert_eq!(measured(&mut flight, start, 80, 100), Some(80 * MS));
        let queued = start + Duration::from_secs(2);
        assert_eq!(measured(&mut flight, queued, 300, 100), None, "a queue is no path");
        let longer = start + Duration::from_secs(4);
        assert_eq!(measured(&mut flight, longer, 300, 600), Some(300 * MS), "in the end it is one");
        let shorter = start + Duration::from_secs(15);
        assert_eq!(measured(&mut flight, shorter, 20, 100), Some(20 * MS));
    }

    #[test]
    fn a_client_is_stuck_from_the_fourth_frame_on_until_it_acknowledges() {
        let start = Instant::now();
        let mut flight = Flight::new(start);
        for n in 0..3 {
            flight.send(|| start + n * MS);
        }
        assert_eq!(flight.stuck_since(), None);
        flight.send(|| start + 3 * MS);
        flight.send(|| start + 4 * MS);
        assert_eq!(flight.stuck_since(), Some(start + 3 * MS));
        assert_eq!(flight.acknowledge(1, start + 50 * MS), Some(50 * MS));
        assert_eq!(flight.stuck_since(), Some(start + 50 * MS), "four are still in flight");
        flight.acknowledge(u64::MAX, start + 60 * MS);
        assert_eq!(flight.stuck_since(), None);
        assert_eq!(flight.acknowledge(5, start + 70 * MS), None, "nothing new");
    }
}
