//! The live line: how far a run is.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::plan::{Plan, Progress};
use crate::shared::{Phase, Shared};

/// How often a plain line is written.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// How often the bar is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// The live line of a run, on stderr.
pub(crate) struct Line {
    bar: Option<ProgressBar>,
    lines: bool,
    bots: usize,
    duration: Duration,
    shown: Option<(Phase, Instant)>,
}

impl Line {
    pub(crate) fn new(plan: &Plan) -> Self {
        let bar = (plan.progress == Progress::Bar).then(|| {
            let style = ProgressStyle::with_template("[{bar:30}] {msg}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(1_000).with_style(style)
        });
        let lines = plan.progress == Progress::Lines;
        Self { bar, lines, bots: plan.bots(), duration: plan.duration, shown: None }
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
        if let Some(bar) = &self.bar {
            let part = match phase {
                Phase::Joining => shared.joined.load(Ordering::Relaxed) as f64 / self.bots as f64,
                _ => passed.as_secs_f64() / self.duration.as_secs_f64().max(1e-9),
            };
            bar.set_position((part * 1_000.0) as u64);
            bar.set_message(text);
        }
    }

    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn text(phase: Phase, passed: Duration, of: Duration, bots: usize, shared: &Shared) -> String {
    let number = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
    let joined = number(&shared.joined);
    if phase == Phase::Joining {
        return format!("{joined} of {bots} bots are in, {:.0} s", passed.as_secs_f64());
    }
    let ms = |us: u64| us as f64 / 1_000.0;
    format!(
        "{:.0} of {:.0} s, {joined} bots, latency p50 {:.1} ms, p99 {:.1} ms, {} drops, {} wrong",
        passed.as_secs_f64(),
        of.as_secs_f64(),
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
