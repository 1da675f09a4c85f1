//! What was measured over time: one cell for each stretch of the run.

use std::time::Duration;

use crate::report::Interval;
use crate::time::us;

/// Most cells of a run: as many as a picture can show.
pub(crate) const CELLS_MAX: u64 = 1_200;
/// The shortest stretch.
const SHORTEST: Duration = Duration::from_millis(250);
/// Parts of each power of two that are told apart: times are known to 3 %.
const PARTS: u64 = 32;

/// Times, each kept to 3 % of itself, in as little memory as the longest one needs.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Coarse {
    buckets: Vec<u32>,
    count: u64,
}

impl Coarse {
    pub(crate) fn record(&mut self, us: u64) {
        let bucket = bucket(us);
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] = self.buckets[bucket].saturating_add(1);
        self.count += 1;
    }

    fn merge(&mut self, other: &Self) {
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (sum, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *sum = sum.saturating_add(*more);
        }
        self.count += other.count;
    }

    /// The time in milliseconds below which a part of all lies; none where there are none.
    pub(crate) fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        let wanted = ((self.count as f64 * quantile).ceil() as u64).max(1);
        let mut upto = 0;
        let bucket = self.buckets.iter().position(|count| {
            upto += u64::from(*count);
            upto >= wanted
        })?;
        Some(upper_us(bucket) as f64 / 1_000.0)
    }
}

fn bucket(us: u64) -> usize {
    if us < PARTS {
        return us as usize;
    }
    let octave = u64::from(us.ilog2()) - u64::from(PARTS.ilog2());
    (octave * PARTS + (us >> octave)) as usize
}

/// The longest time of a bucket.
fn upper_us(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * PARTS {
        return bucket;
    }
    let octave = bucket / PARTS - 1;
    ((bucket % PARTS + PARTS + 1) << octave) - 1
}

/// What happened in one stretch of the run.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Cell {
    /// Of what was scheduled in it.
    pub(crate) latency: Coarse,
    /// The generator's, of what it did in it, in microseconds.
    pub(crate) lag_max_us: u64,
    pub(crate) states: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) drops: u64,
    pub(crate) resumes: u64,
}

/// The cells of a run, of equal length, from its beginning.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Series {
    every_us: u64,
    cells: Vec<Cell>,
}

impl Default for Series {
    fn default() -> Self {
        Self::new(Duration::from_secs(60), Duration::from_secs(60))
    }
}

impl Series {
    /// For a run in which so long is measured, and that is not longer than this.
    pub(crate) fn new(measured: Duration, longest: Duration) -> Self {
        // Ten seconds have forty cells, ten minutes six hundred.
        let wished = if measured > Duration::from_secs(60) { 1_000_000 } else { us(SHORTEST) };
        let every_us = wished.max(us(longest).div_ceil(CELLS_MAX));
        Self { every_us, cells: Vec::new() }
    }

    /// The cell of an instant. What comes later than was foreseen belongs to the last one.
    pub(crate) fn at(&mut self, now: u64) -> &mut Cell {
        let place = (now / self.every_us).min(CELLS_MAX) as usize;
        if self.cells.len() <= place {
            self.cells.resize(place + 1, Cell::default());
        }
        &mut self.cells[place]
    }

    /// The p99 latency in milliseconds of the last cell that is over and of which something is known.
    pub(crate) fn recent_p99_ms(&self, now: u64) -> Option<f64> {
        let over = (now / self.every_us) as usize;
        let cells = self.cells.iter().take(over).rev().take(4);
        cells.filter_map(|cell| cell.latency.quantile_ms(0.99)).next()
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.every_us = self.every_us.max(other.every_us);
        if self.cells.len() < other.cells.len() {
            self.cells.resize(other.cells.len(), Cell::default());
        }
        for (cell, more) in self.cells.iter_mut().zip(&other.cells) {
            cell.latency.merge(&more.latency);
            cell.lag_max_us = cell.lag_max_us.max(more.lag_max_us);
            cell.states += more.states;
            cell.bytes_in += more.bytes_in;
            cell.bytes_out += more.bytes_out;
            cell.drops += more.drops;
            cell.resumes += more.resumes;
        }
    }

    /// The cells for a report, in seconds of the time measured, which lasts from `began` to `ended`. A
    /// cell that was not whole at its end is left out, as its rates would be too low.
    pub(crate) fn report(&self, began: u64, ended: u64) -> Vec<Interval> {
        let seconds = self.every_us as f64 / 1e6;
        let whole = (ended / self.every_us) as usize;
        let interval = |(place, cell): (usize, &Cell)| Interval {
            at_s: (place as f64 * self.every_us as f64 - began as f64) / 1e6,
            length_s: seconds,
            count: cell.latency.count,
            p50_ms: cell.latency.quantile_ms(0.5),
            p90_ms: cell.latency.quantile_ms(0.9),
            p99_ms: cell.latency.quantile_ms(0.99),
            max_ms: cell.latency.quantile_ms(1.0),
            lag_max_ms: cell.lag_max_us as f64 / 1_000.0,
            states_per_s: cell.states as f64 / seconds,
            in_bytes_per_s: cell.bytes_in as f64 / seconds,
            out_bytes_per_s: cell.bytes_out as f64 / seconds,
            drops: cell.drops,
            resumes: cell.resumes,
        };
        self.cells.iter().enumerate().take(whole).map(interval).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_kept_to_three_percent() {
        for us in (0..2_000).chain([10_000, 123_456, 600_000_000]) {
            let upper = upper_us(bucket(us));
            assert!(upper >= us && (upper - us) as f64 <= us as f64 * 0.032, "{us}: {upper}");
        }
        let mut times = Coarse::default();
        (1..=100).for_each(|ms| times.record(ms * 1_000));
        let p99 = times.quantile_ms(0.99).unwrap();
        assert!((99.0..102.5).contains(&p99), "{p99}");
        assert_eq!(Coarse::default().quantile_ms(0.5), None);
    }

    #[test]
    fn threads_cells_are_merged_and_told_from_when_it_was_measured() {
        let (mut one, mut two) = (Series::default(), Series::default());
        one.at(100_000).states = 2;
        one.at(600_000).latency.record(5_000);
        two.at(120_000).states = 3;
        two.at(600_000).latency.record(50_000);
        two.at(1_010_000).drops = 1;
        assert_eq!(one.recent_p99_ms(800_000).map(f64::round), Some(5.0));
        assert_eq!(one.recent_p99_ms(700_000), None, "its cell is not over");
        one.merge(&two);
        let told = one.report(500_000, 1_100_000);
        assert_eq!(told.len(), 4, "the fifth was not whole");
        assert_eq!((told[0].at_s, told[0].states_per_s), (-0.5, 20.0));
        assert_eq!((told[2].count, told[2].p50_ms.map(f64::round)), (2, Some(5.0)));
    }

    #[test]
    fn a_long_run_has_no_more_cells_than_a_picture_shows() {
        let mut series = Series::new(Duration::from_secs(36_000), Duration::from_secs(36_000));
        series.at(u64::MAX).drops = 1;
        assert_eq!(series.cells.len() as u64, CELLS_MAX + 1);
        assert_eq!(
            Series::new(Duration::from_secs(300), Duration::from_secs(400)).every_us,
            1_000_000
        );
    }
}
