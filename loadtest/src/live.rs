//! The live line: how far a run is.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::plan::{Plan, Progress};
use crate::shared::{Phase, Shared};

/// How often a plain line is written.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// How often the bar is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// How often a picture of the latency gets a new column, and how many it has.
const COLUMN_EVERY: Duration = Duration::from_millis(500);
const COLUMNS: usize = 24;

/// The live line of a run, on stderr.
pub(crate) struct Line {
    bar: Option<ProgressBar>,
    lines: bool,
    bots: usize,
    duration: Duration,
    shown: Option<(Phase, Instant)>,
    /// The p99 latencies of the last moments, in milliseconds.
    recent: VecDeque<f64>,
    column: Option<Instant>,
}

impl Line {
    pub(crate) fn new(plan: &Plan) -> Self {
        let bar = (plan.progress == Progress::Bar).then(|| {
            let style = ProgressStyle::with_template("[{bar:30}] {msg}\n{prefix}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(1_000).with_style(style)
        });
        let lines = plan.progress == Progress::Lines;
        Self {
            bar,
            lines,
            bots: plan.bots(),
            duration: plan.duration,
            shown: None,
            recent: VecDeque::new(),
            column: None,
        }
    }

    pub(crate) fn show(&mut self, phase: Phase, passed: Duration, shared: &Shared) {
        let every = if self.lines { LINE_EVERY } else { DRAW_EVERY };
        if self.shown.is_some_and(|(of, shown)| of == phase && shown.elapsed() < every) {
            return;
        }
        self.shown = Some((phase, Instant::now()));
        let text = text(phase, passed, self.duration, self.bots, shared);
        if self.lines {
            eprintln!("{text}");
        }
        self.add_column(shared);
        if let Some(bar) = &self.bar {
            let part = match phase {
                Phase::Joining => shared.joined.load(Ordering::Relaxed) as f64 / self.bots as f64,
                _ => passed.as_secs_f64() / self.duration.as_secs_f64().max(1e-9),
            };
            bar.set_position((part * 1_000.0) as u64);
            bar.set_message(text);
            bar.set_prefix(picture(&self.recent));
        }
    }

    fn add_column(&mut self, shared: &Shared) {
        if self.column.is_some_and(|at| at.elapsed() < COLUMN_EVERY) {
            return;
        }
        self.column = Some(Instant::now());
        if self.recent.len() == COLUMNS {
            self.recent.pop_front();
        }
        self.recent.push_back(shared.recent.load(Ordering::Relaxed) as f64 / 1_000.0);
    }

    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The last moments' p99 latencies as a row of bars, from 0 to the highest.
fn picture(recent: &VecDeque<f64>) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = recent.iter().copied().fold(0.0, f64::max);
    if most <= 0.0 {
        return String::new();
    }
    let bar = |ms: &f64| BARS[((ms / most * 7.0).round() as usize).min(7)];
    let last = recent.back().copied().unwrap_or(0.0);
    let bars: String = recent.iter().map(bar).collect();
    format!("p99 of the last moments {bars} {last:.1} ms, highest {most:.1} ms")
}

fn text(phase: Phase, passed: Duration, of: Duration, bots: usize, shared: &Shared) -> String {
    let number = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
    let joined = number(&shared.joined);
    if phase == Phase::Joining {
        let so_far = format!("{joined} of {bots} bots are in, {:.0} s", passed.as_secs_f64());
        return match shared.refusals() {
            (0, _) => so_far,
            (times, why) => format!("{so_far}; not let in {times} times, the last time: {why}"),
        };
    }
    let ms = |us: u64| us as f64 / 1_000.0;
    format!(
        "{:.0} of {:.0} s, {} of {bots} bots, latency p50 {:.1} ms, p99 {:.1} ms, {} drops, {} wrong",
        passed.as_secs_f64(),
        of.as_secs_f64(),
        number(&shared.open),
        ms(number(&shared.latency[0])),
        ms(number(&shared.latency[1])),
        number(&shared.drops),
        number(&shared.wrong),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_moments_are_shown_as_bars() {
        assert_eq!(picture(&VecDeque::from([0.0])), "");
        let picture = picture(&VecDeque::from([10.0, 20.0, 40.0]));
        assert_eq!(picture, "p99 of the last moments ▃▅█ 40.0 ms, highest 40.0 ms");
    }

    #[test]
    fn the_line_says_how_far_it_is() {
        let shared = Shared::default();
        shared.joined.store(30, Ordering::Relaxed);
        shared.latency[1].store(41_300, Ordering::Relaxed);
        let seconds = Duration::from_secs;
        let joining = text(Phase::Joining, seconds(2), seconds(10), 60, &shared);
        assert_eq!(joining, "30 of 60 bots are in, 2 s");
        let measuring = text(Phase::Measuring, seconds(2), seconds(10), 60, &shared);
        assert!(
            measuring.contains("2 of 10 s") && measuring.contains("p99 41.3 ms"),
            "{measuring}"
        );
    }
}
