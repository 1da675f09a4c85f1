//! State frames on their way to one client: how many, since when, and how long the way is. Pure:
//! instants are handed in.

use std::time::{Duration, Instant};

use referee_protocol::limits::{
    FRAMES_IN_FLIGHT_LIMIT, FRAMES_IN_FLIGHT_MAX, IN_FLIGHT_BEYOND_RTT_MS,
};

/// How often it is looked whether the way has become longer, in milliseconds.
const LOOK_EVERY_MS: u64 = 5_000;
/// The same where it turned out again and again that it had not.
const LOOK_EVERY_MAX_MS: u64 = 40_000;
/// By so much longer, in milliseconds, the shortest round trip may be before it is looked at: half of what
/// the window allows beyond it.
const LONGER_MS: u64 = IN_FLIGHT_BEYOND_RTT_MS / 2;

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
    way: Way,
}

/// What is new of the way to a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum News {
    /// Its round trip.
    Rtt(Duration),
    /// It may have become longer, or our own frames queue on it. Only a frame that is alone on it can
    /// tell: let it run empty.
    Unsure,
}

/// The way to a client. Its length is the shortest round trip, because queues on the way and a client
/// that acknowledges late only ever make it look longer. As in BBR (Cardwell et al., 2016, `ProbeRTT`)
/// it is taken for longer only where that was measured on an empty way: else what is in flight may grow
/// by its own queue, without end.
struct Way {
    known: Option<Duration>,
    /// The shortest round trip since.
    lately: Option<Duration>,
    since: Instant,
    every: Duration,
    probe: Probe,
}

/// How far a measurement on an empty way is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Probe {
    None,
    /// The way runs empty.
    Draining,
    /// This frame is alone on it.
    Alone(u64),
}

impl Flight {
    pub(crate) fn new(now: Instant) -> Self {
        Self { sent: 0, acked: 0, moved: now, timed: None, way: Way::new(now) }
    }

    /// Goes on with so many frames sent and acknowledged. The way is measured anew.
    pub(crate) fn again((sent, acked): (u64, u64), now: Instant) -> Self {
        Self { sent, acked, ..Self::new(now) }
    }

    /// A frame leaves. The clock is read only where it matters.
    pub(crate) fn send(&mut self, clock: impl Fn() -> Instant) {
        let alone = self.way.probe == Probe::Draining && self.sent == self.acked;
        self.sent += 1;
        if alone {
            self.way.probe = Probe::Alone(self.sent);
            self.timed = Some((self.sent, clock()));
        } else if self.timed.is_none() && self.sent % TIMED_EVERY == 1 {
            self.timed = Some((self.sent, clock()));
        }
        if self.sent - self.acked == u64::from(FRAMES_IN_FLIGHT_MAX) {
            self.moved = clock();
        }
    }

    /// The client has received so many frames. Gives what is new of the way.
    pub(crate) fn acknowledge(&mut self, frames: u64, now: Instant) -> Option<News> {
        // A client says what it likes: it cannot have what was not sent.
        let frames = frames.min(self.sent);
        if frames <= self.acked {
            return None;
        }
        (self.acked, self.moved) = (frames, now);
        let (number, left) = self.timed.take_if(|(number, _)| *number <= frames)?;
        self.way.note(number, now.saturating_duration_since(left), now)
    }

    /// Since when nothing was acknowledged, while as much is in flight as always may be.
    pub(crate) fn stuck_since(&self) -> Option<Instant> {
        let full = self.sent - self.acked >= u64::from(FRAMES_IN_FLIGHT_MAX);
        full.then_some(self.moved)
    }
}

impl Way {
    fn new(now: Instant) -> Self {
        let every = Duration::from_millis(LOOK_EVERY_MS);
        Self { known: None, lately: None, since: now, every, probe: Probe::None }
    }

    fn note(&mut self, frame: u64, sample: Duration, at: Instant) -> Option<News> {
        let limit = self.known.map(|known| known + Duration::from_millis(LONGER_MS));
        if self.probe == Probe::Alone(frame) {
            let longer = limit.is_some_and(|limit| sample > limit);
            let least = Duration::from_millis(LOOK_EVERY_MS);
            let most = Duration::from_millis(LOOK_EVERY_MAX_MS);
            self.every = if longer { least } else { (2 * self.every).min(most) };
            (self.probe, self.lately, self.since) = (Probe::None, None, at);
            self.known =
                Some(if longer { sample } else { self.known.unwrap_or(sample).min(sample) });
            return self.known.map(News::Rtt);
        }
        let shorter = self.known.is_none_or(|known| sample < known);
        if shorter {
            self.known = Some(sample);
        }
        self.lately = Some(self.lately.map_or(sample, |least| least.min(sample)));
        if self.probe == Probe::None && at.saturating_duration_since(self.since) >= self.every {
            self.since = at;
            let lately = self.lately.take();
            if lately.zip(limit).is_some_and(|(lately, limit)| lately > limit) {
                self.probe = Probe::Draining;
                return Some(News::Unsure);
            }
        }
        let is_news = shorter && self.probe == Probe::None;
        self.known.filter(|_| is_news).map(News::Rtt)
    }
}

/// How many state frames may be in flight in a room of this rate, after this was heard of the way: what
/// leaves within one round trip and a little more, so that a client on a long path gets every
/// frame, and one that stalls is never further behind than that. One where the way has to run empty.
pub(crate) fn window(news: News, hz: u64) -> u32 {
    let News::Rtt(rtt) = news else { return 1 };
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
        let window = |rtt, hz| window(News::Rtt(rtt), hz);
        assert_eq!(window(Duration::ZERO, 10), 4, "four always");
        assert_eq!(window(MS, 20), 5);
        assert_eq!(window(100 * MS, 60), 18);
        assert_eq!(window(600 * MS, 60), FRAMES_IN_FLIGHT_LIMIT);
        assert_eq!(window(60_000 * MS, 60), FRAMES_IN_FLIGHT_LIMIT, "whatever a client pretends");
    }

    const HZ: u64 = 20;

    /// A client at the end of a path, which passes a frame each so many milliseconds. It acknowledges every
    /// second frame, others after a tenth of a second.
    struct Line {
        flight: Flight,
        start: Instant,
        now_ms: u64,
        window: u32,
        path_ms: u64,
        frame_ms: u64,
        /// When those in flight arrive.
        on_the_way: std::collections::VecDeque<u64>,
        free_at: u64,
        received: u64,
        acks: std::collections::VecDeque<(u64, u64)>,
        /// The most that a frame took from its tick to its arrival since this was looked at.
        oldest_ms: u64,
        skipped: u64,
    }

    impl Line {
        fn new(path_ms: u64, frame_ms: u64) -> Self {
            let start = Instant::now();
            Self {
                flight: Flight::new(start),
                start,
                now_ms: 0,
                window: FRAMES_IN_FLIGHT_MAX,
                path_ms,
                frame_ms,
                on_the_way: [].into(),
                free_at: 0,
                received: 0,
                acks: [].into(),
                oldest_ms: 0,
                skipped: 0,
            }
        }

        fn run(&mut self, seconds: u64) {
            for _ in 0..seconds * 1_000 {
                self.now_ms += 1;
                let now = self.start + Duration::from_millis(self.now_ms);
                if self.now_ms.is_multiple_of(1_000 / HZ) {
                    if self.flight.sent - self.flight.acked < u64::from(self.window) {
                        self.flight.send(|| now);
                        self.free_at = self.free_at.max(self.now_ms) + self.frame_ms;
                        let arrives = self.free_at + self.path_ms / 2;
                        self.oldest_ms = self.oldest_ms.max(arrives - self.now_ms);
                        self.on_the_way.push_back(arrives);
                    } else {
                        self.skipped += 1;
                    }
                }
                while self.on_the_way.pop_front_if(|at| *at <= self.now_ms).is_some() {
                    self.received += 1;
                    let late = if self.received.is_multiple_of(2) { 0 } else { 100 };
                    self.acks.push_back((self.now_ms + late + self.path_ms / 2, self.received));
                }
                let due = self.acks.iter().filter(|(at, _)| *at <= self.now_ms);
                if let Some(frames) = due.map(|(_, frames)| *frames).max() {
                    self.acks.retain(|(at, _)| *at > self.now_ms);
                    if let Some(news) = self.flight.acknowledge(frames, now) {
                        self.window = window(news, HZ);
                    }
                }
            }
        }
    }

    #[test]
    fn a_long_way_that_is_free_gets_every_frame() {
        for path_ms in [1, 80, 300, 900] {
            let mut line = Line::new(path_ms, 1);
            line.run(5);
            (line.skipped, line.oldest_ms) = (0, 0);
            line.run(60);
            assert_eq!((line.skipped, line.oldest_ms), (0, path_ms / 2 + 1), "{path_ms} ms");
        }
    }

    /// It passes half of the frames. What is in flight does not grow by its own queue.
    #[test]
    fn on_a_way_that_is_too_narrow_a_client_stays_as_near_as_at_first() {
        for path_ms in [1, 80, 300] {
            let mut line = Line::new(path_ms, 1);
            line.run(10);
            line.frame_ms = 2 * 1_000 / HZ;
            line.oldest_ms = 0;
            line.run(300);
            let bound = 2 * (path_ms + IN_FLIGHT_BEYOND_RTT_MS) + 300;
            assert!(line.oldest_ms <= bound, "{} ms old, of {bound}, at {path_ms}", line.oldest_ms);
            // Nor where it is so narrow from the beginning.
            let mut line = Line::new(path_ms, 2 * 1_000 / HZ);
            line.run(20);
            line.oldest_ms = 0;
            line.run(300);
            assert!(line.oldest_ms <= 2 * bound, "{} ms old at {path_ms}", line.oldest_ms);
        }
    }

    #[test]
    fn a_way_that_has_become_longer_gets_every_frame_soon() {
        let mut line = Line::new(40, 1);
        line.run(20);
        line.path_ms = 600;
        line.run(15);
        line.skipped = 0;
        line.run(60);
        assert_eq!(line.skipped, 0);
        line.path_ms = 40;
        line.run(2);
        assert_eq!(line.flight.way.known.map(|known| known < 50 * MS), Some(true));
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
        assert_eq!(flight.acknowledge(1, start + 50 * MS), Some(News::Rtt(50 * MS)));
        assert_eq!(flight.stuck_since(), Some(start + 50 * MS), "four are still in flight");
        flight.acknowledge(u64::MAX, start + 60 * MS);
        assert_eq!(flight.stuck_since(), None);
        assert_eq!(flight.acknowledge(5, start + 70 * MS), None, "nothing new");
    }
}
