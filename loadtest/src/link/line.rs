//! One direction of a link: when what is sent now arrives.

use referee_client::Random;

use super::Link;
use crate::time::us;

/// One direction of one bot's link. The same seed and the same frames at the same times: the same
/// arrivals.
#[derive(Debug)]
pub(super) struct Line {
    delay: u64,
    jitter: u64,
    rate: Option<f64>,
    /// When the last byte of what was sent before is on its way.
    free: u64,
    /// When the last frame arrives: no later one does so earlier.
    last: u64,
    stalls: Option<Stalls>,
    random: Random,
}

impl Line {
    pub(super) fn new(link: &Link, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let stalls = (!link.stall.is_zero()).then(|| Stalls {
            length: us(link.stall),
            every: us(link.stall_every) as f64,
            begins: 0,
            ends: 0,
            random: Random::new(random.bits()),
        });
        let (delay, jitter) = (us(link.delay), us(link.jitter));
        Self { delay, jitter, rate: link.rate, free: 0, last: 0, stalls, random }
    }

    /// When a frame of so many bytes arrives that is sent now.
    pub(super) fn arrives(&mut self, now: u64, bytes: usize) -> u64 {
        self.free = self.free.max(now);
        if let Some(rate) = self.rate {
            self.free += (bytes as f64 * 1e6 / rate) as u64;
        }
        let swing = (self.random.unit() * 2.0 - 1.0) * self.jitter as f64;
        let at = self.free + self.delay.saturating_add_signed(swing as i64);
        let at = self.stalls.as_mut().map_or(at, |stalls| stalls.after(at));
        self.last = self.last.max(at);
        self.last
    }

    /// A new connection queues behind nothing of the one before.
    pub(super) fn restart(&mut self, now: u64) {
        (self.free, self.last) = (self.free.min(now), self.last.min(now));
    }
}

/// Times in which nothing gets through.
#[derive(Debug)]
struct Stalls {
    length: u64,
    every: f64,
    begins: u64,
    ends: u64,
    random: Random,
}

impl Stalls {
    /// When what would arrive then does. Asked for times that hardly go back.
    fn after(&mut self, at: u64) -> u64 {
        while self.ends <= at {
            // Losses have no memory: the time between them is exponential.
            let wait = -(1.0 - self.random.unit()).ln() * self.every;
            self.begins = self.ends + wait as u64;
            self.ends = self.begins + self.length;
        }
        if at >= self.begins { self.ends } else { at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        Line::new(&text.parse().unwrap(), 7)
    }

    #[test]
    fn a_delay_is_a_delay() {
        let mut line = line("delay=40ms");
        assert_eq!((line.arrives(0, 100), line.arrives(5_000, 1)), (40_000, 45_000));
    }

    #[test]
    fn jitter_swings_around_the_delay_and_nothing_overtakes() {
        let mut line = line("delay=40ms,jitter=10ms");
        let times: Vec<u64> =
            (0..2_000).map(|n| line.arrives(n * 30_000, 10) - n * 30_000).collect();
        let mean = times.iter().sum::<u64>() / 2_000;
        assert!(mean.abs_diff(40_000) < 500, "{mean}");
        assert!(times.iter().all(|time| (30_000..=50_000).contains(time)));
        let mut last = 0;
        for n in 0..1_000 {
            let at = line.arrives(100_000_000 + n * 100, 10);
            assert!(at >= last);
            last = at;
        }
    }

    #[test]
    fn a_rate_makes_frames_queue() {
        let mut line = line("rate=10kB");
        assert_eq!(line.arrives(0, 100), 10_000);
        assert_eq!(line.arrives(0, 100), 20_000, "behind the first");
        line.restart(1_000);
        assert_eq!(line.arrives(1_000, 100), 11_000, "of another connection");
    }

    #[test]
    fn stalls_hold_everything_up_as_often_as_is_said() {
        let mut line = line("stall=200ms@5s");
        let (mut held, mut worst) = (0, 0);
        for n in 0..60_000_u64 {
            let late = line.arrives(n * 10_000, 10) - n * 10_000;
            held += u64::from(late > 0);
            worst = worst.max(late);
        }
        // 200 ms of 5.2 s each.
        assert!((1_800..2_900).contains(&held), "{held} of 60,000");
        assert!((150_000..=200_000).contains(&worst), "{worst}");
    }

    #[test]
    fn a_seed_says_all() {
        let text = "bad";
        let run = |seed| {
            let mut line = Line::new(&text.parse().unwrap(), seed);
            (0..500).map(|n| line.arrives(n * 20_000, 300)).collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }
}
