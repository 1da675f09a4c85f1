//! What is counted and measured, by one thread; merged at the end. Times are microseconds.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use referee_protocol::Code;

use crate::report::{Bucket, Spread};
use crate::series::Series;

/// The longest time that is told apart from longer ones: ten minutes.
const LONGEST_US: u64 = 600_000_000;

/// Steps of a tenth of a decade from 10 microseconds to [`LONGEST_US`].
const BUCKETS_MAX: u32 = 78;

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

    /// How many there were of which length: buckets whose bounds grow by a tenth of a decade, from the
    /// first to the last that is not empty.
    pub(crate) fn buckets(&self) -> Vec<Bucket> {
        let bound = |step: u32| 10_f64.powf(f64::from(step) / 10.0 + 1.0);
        let bucket = |step| Bucket { upto_ms: bound(step) / 1_000.0, count: 0 };
        let mut buckets: Vec<Bucket> = (0..=BUCKETS_MAX).map(bucket).collect();
        for value in self.0.iter_recorded() {
            let ms = value.value_iterated_to() as f64 / 1_000.0;
            let at = buckets.partition_point(|bucket| bucket.upto_ms < ms).min(buckets.len() - 1);
            buckets[at].count += value.count_at_value();
        }
        let has_some = |bucket: &Bucket| bucket.count > 0;
        let last = buckets.iter().rposition(has_some).map_or(0, |at| at + 1);
        buckets.truncate(last);
        buckets.drain(..buckets.iter().position(has_some).unwrap_or(0));
        buckets
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
    /// The same, by the bots' links.
    pub(crate) by_link: Vec<Times>,
    /// What happened when, over the whole run.
    pub(crate) series: Series,
    /// From the cut of a link by the load test to the state that follows.
    pub(crate) resume: Times,
    pub(crate) cuts: u64,
    /// Visits that began, and those after the first that did not get in though they had the time.
    pub(crate) visits: u64,
    pub(crate) missed: u64,
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
    /// One for a run with these cells, and so many kinds of links.
    pub(crate) fn new(series: Series, links: usize) -> Self {
        Self { series, by_link: vec![Times::default(); links], ..Self::default() }
    }

    pub(crate) fn sent(&mut self, now: u64, bytes: usize) {
        self.series.at(now).bytes_out += bytes as u64;
        if self.measuring {
            self.bytes_out += bytes as u64;
            self.messages_out += 1;
        }
    }

    pub(crate) fn received(&mut self, now: u64, bytes: usize) {
        self.series.at(now).bytes_in += bytes as u64;
        if self.measuring {
            self.bytes_in += bytes as u64;
            self.messages_in += 1;
        }
    }

    /// A state tells a bot with this link of what was scheduled then.
    pub(crate) fn answered(&mut self, link: Option<usize>, scheduled: u64, now: u64) {
        let us = now.saturating_sub(scheduled);
        self.series.at(scheduled).latency.record(us);
        if self.from.is_some_and(|from| from <= scheduled) {
            self.latency.record(us);
            if let Some(of_link) = link.and_then(|link| self.by_link.get_mut(link)) {
                of_link.record(us);
            }
        }
    }

    /// The generator did something this late.
    pub(crate) fn late(&mut self, now: u64, us: u64) {
        let cell = self.series.at(now);
        cell.lag_max_us = cell.lag_max_us.max(us);
    }

    /// No state will tell of it: it counts with its age.
    pub(crate) fn unanswered(&mut self, link: Option<usize>, scheduled: u64, now: u64) {
        self.answered(link, scheduled, now);
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
        self.resume.merge(&other.resume);
        self.series.merge(&other.series);
        self.by_link.resize(self.by_link.len().max(other.by_link.len()), Times::default());
        for (times, more) in self.by_link.iter_mut().zip(&other.by_link) {
            times.merge(more);
        }
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
            (&mut self.cuts, other.cuts),
            (&mut self.visits, other.visits),
            (&mut self.missed, other.missed),
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
        two.by_link.push(Times::default());
        one.answered(None, 1_000, 2_000);
        two.answered(Some(0), 0, 100_000);
        two.drops.insert("lost", 2);
        one.merge(&two);
        let spread = one.latency.spread();
        assert_eq!((spread.count, spread.p50), (2, 1.0));
        assert!((spread.max - 100.0).abs() < 0.1, "{spread:?}");
        assert_eq!(one.drops["lost"], 2);
        assert_eq!(one.by_link[0].spread().count, 1);
    }

    #[test]
    fn nothing_is_measured_before_its_time() {
        let mut tally = Tally::default();
        tally.answered(None, 0, 5);
        tally.received(0, 10);
        assert_eq!((tally.latency.spread().count, tally.bytes_in), (0, 0));
    }

    #[test]
    fn buckets_hold_everything_once() {
        let mut times = Times::default();
        (1..=1_000).for_each(|ms| times.record(ms * 1_000));
        let buckets = times.buckets();
        assert_eq!(buckets.iter().map(|bucket| bucket.count).sum::<u64>(), 1_000);
        assert!(buckets[0].count > 0 && buckets.last().is_some_and(|last| last.count > 0));
        assert!(buckets.windows(2).all(|pair| pair[0].upto_ms < pair[1].upto_ms));
        assert_eq!(Times::default().buckets(), []);
    }
}
