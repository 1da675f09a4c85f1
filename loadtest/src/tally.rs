//! What is counted and measured, by one thread; merged at the end. Times are microseconds.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use referee_protocol::Code;

use crate::report::Spread;

/// The longest time that is told apart from longer ones: ten minutes.
const LONGEST_US: u64 = 600_000_000;

/// Times, each kept to a thousandth of itself.
#[derive(Clone, Debug)]
pub(crate) struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST_US, 3).expect("the bounds are fixed"))
    }
}

impl Times {
    pub(crate) fn record(&mut self, us: u64) {
        self.0.saturating_record(us);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    pub(crate) fn spread(&self) -> Spread {
        if self.0.is_empty() {
            return Spread::default();
        }
        let ms = |us: u64| us as f64 / 1000.0;
        let at = |quantile| ms(self.0.value_at_quantile(quantile));
        Spread {
            count: self.0.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: ms(self.0.max()),
            mean: self.0.mean() / 1000.0,
        }
    }
}

/// A code's name, `lost` where there is none.
pub(crate) fn name_of(code: Option<Code>) -> &'static str {
    code.map_or("lost", Code::name)
}

/// Everything one thread found. What is said to be "measured" counts only while it is measured, the
/// rest over the whole run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Whether it is measured now.
    pub(crate) measuring: bool,
    /// Latencies count for instants from this one on.
    pub(crate) from: Option<u64>,
    /// Measured: scheduled instant to the state that tells of it.
    pub(crate) latency: Times,
    pub(crate) jitter: Times,
    /// Measured: scheduled instant to the work being done.
    pub(crate) lag: Times,
    /// Measured: how late the alarm clock was.
    pub(crate) turns: Times,
    pub(crate) connect: Times,
    /// Measured: states that came, and ticks of which none did.
    pub(crate) states: u64,
    pub(crate) skipped: u64,
    /// Measured.
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) messages_in: u64,
    pub(crate) messages_out: u64,
    pub(crate) unanswered: u64,
    /// Measured: inputs that were what they had been.
    pub(crate) held: u64,
    pub(crate) drops: BTreeMap<&'static str, u64>,
    pub(crate) refusals: BTreeMap<&'static str, u64>,
    pub(crate) resumes: u64,
    pub(crate) seats_lost: u64,
    pub(crate) checked: u64,
    pub(crate) wrong: u64,
    /// CPU time of the thread while it was measured, in nanoseconds.
    pub(crate) cpu_ns: u64,
    /// Ticks per second, as a Welcome said.
    pub(crate) hz: Option<u16>,
    /// The last reason for not getting in, as a sentence.
    pub(crate) why: Option<String>,
    /// The last thing a bot said that the game does not take, as a sentence.
    pub(crate) unfit: Option<String>,
}

impl Tally {
    pub(crate) fn sent(&mut self, bytes: usize) {
        if self.measuring {
            self.bytes_out += bytes as u64;
            self.messages_out += 1;
        }
    }

    pub(crate) fn received(&mut self, bytes: usize) {
        if self.measuring {
            self.bytes_in += bytes as u64;
            self.messages_in += 1;
        }
    }

    /// A state tells of what was scheduled then.
    pub(crate) fn answered(&mut self, scheduled: u64, now: u64) {
        if self.from.is_some_and(|from| from <= scheduled) {
            self.latency.record(now.saturating_sub(scheduled));
        }
    }

    /// No state will tell of it: it counts with its age.
    pub(crate) fn unanswered(&mut self, scheduled: u64, now: u64) {
        self.answered(scheduled, now);
        self.unanswered += u64::from(self.from.is_some_and(|from| from <= scheduled));
    }

    /// What was said then had been said before, and needs no state to tell of it.
    pub(crate) fn held(&mut self, scheduled: u64) {
        self.held += u64::from(self.from.is_some_and(|from| from <= scheduled));
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.latency.merge(&other.latency);
        self.jitter.merge(&other.jitter);
        self.lag.merge(&other.lag);
        self.turns.merge(&other.turns);
        self.connect.merge(&other.connect);
        let sums = [
            (&mut self.states, other.states),
            (&mut self.skipped, other.skipped),
            (&mut self.bytes_in, other.bytes_in),
            (&mut self.bytes_out, other.bytes_out),
            (&mut self.messages_in, other.messages_in),
            (&mut self.messages_out, other.messages_out),
            (&mut self.unanswered, other.unanswered),
            (&mut self.held, other.held),
            (&mut self.resumes, other.resumes),
            (&mut self.seats_lost, other.seats_lost),
            (&mut self.checked, other.checked),
            (&mut self.wrong, other.wrong),
            (&mut self.cpu_ns, other.cpu_ns),
        ];
        sums.into_iter().for_each(|(sum, more)| *sum += more);
        add(&mut self.drops, &other.drops);
        add(&mut self.refusals, &other.refusals);
        self.hz = self.hz.or(other.hz);
        if self.why.is_none() {
            self.why.clone_from(&other.why);
        }
        if self.unfit.is_none() {
            self.unfit.clone_from(&other.unfit);
        }
    }
}

fn add(all: &mut BTreeMap<&'static str, u64>, more: &BTreeMap<&'static str, u64>) {
    for (name, count) in more {
        *all.entry(name).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_merged() {
        let (mut one, mut two) = (Tally::default(), Tally::default());
        (one.from, two.from) = (Some(0), Some(0));
        one.answered(1_000, 2_000);
        two.answered(0, 100_000);
        two.drops.insert("lost", 2);
        one.merge(&two);
        let spread = one.latency.spread();
        assert_eq!((spread.count, spread.p50), (2, 1.0));
        assert!((spread.max - 100.0).abs() < 0.1, "{spread:?}");
        assert_eq!(one.drops["lost"], 2);
    }

    #[test]
    fn nothing_is_measured_before_its_time() {
        let mut tally = Tally::default();
        tally.answered(0, 5);
        tally.received(10);
        assert_eq!((tally.latency.spread().count, tally.bytes_in), (0, 0));
    }
}
