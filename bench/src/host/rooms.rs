//! The most arenas of four that a server with one core carries: inputs are told of within 100 ms at p99, and
//! at least 95 % of the ticks reach the clients. The load has the other cores.

use std::thread::sleep;

use super::figures::Figures;
use crate::Result;
use crate::cores::{self, Back};
use crate::load::{Load, Target};
use crate::measure::{Bench, LAG_MAX_MS};
use crate::metrics::counted;
use crate::process::Process;
use crate::scenario::Scenario;

/// From when an input was due to a state that tells of it, in milliseconds.
const WAIT_P99_MAX_MS: f64 = 100.0;
/// Ticks that ran, and states that came, as a share of those that should have.
const KEPT_MIN: f64 = 0.95;
/// The search ends when what held and what did not are this near, as a share of the first.
const PRECISION: f64 = 0.05;
/// A level that does not hold is tried again: another program may have had the core.
const ATTEMPTS: usize = 2;

/// What a level came to.
#[derive(Clone, PartialEq, Debug)]
enum Outcome {
    Held,
    /// The server did not keep up.
    Missed(String),
    /// The load did not.
    Exhausted(String),
}

pub(super) fn run(bench: &Bench, figures: &mut Figures) -> Result {
    let all = cores::allowed()?;
    let [server, load @ ..] = &all[..] else { return Err("this process has no core".into()) };
    if load.is_empty() {
        let why = "there is one core, and the load needs another".to_owned();
        figures.put("rooms_per_core", [Err(why)]);
        return Ok(());
    }
    let _back = Back::later()?;
    let mut search = Search::new(bench.sizes.rooms_from, bench.sizes.rooms_most);
    while let Some(rooms) = search.next() {
        let outcome = patiently(bench, rooms, *server, load)?;
        search.tell(rooms, outcome);
    }
    figures.note("rooms_per_core_at_least", search.held as f64);
    figures.put("rooms_per_core", [search.found()]);
    Ok(())
}

fn patiently(bench: &Bench, rooms: usize, server: usize, load: &[usize]) -> Result<Outcome> {
    let mut outcome = Outcome::Held;
    for _ in 0..ATTEMPTS {
        outcome = level(bench, rooms, server, load)?;
        if outcome == Outcome::Held {
            break;
        }
    }
    Ok(outcome)
}

fn level(bench: &Bench, rooms: usize, server: usize, load: &[usize]) -> Result<Outcome> {
    cores::take(&[server])?;
    let started = Process::referee(&bench.server, &bench.folder.join("data"), None);
    cores::take(load)?;
    let process = started?;
    let scenario = Scenario::arenas("rooms", rooms);
    let target = Target::WebSocket { port: process.port };
    let load = match bench.runtime.block_on(Load::start(&scenario, &target)) {
        Ok(load) => load,
        Err(why) => return Ok(Outcome::Missed(why)),
    };
    sleep(bench.sizes.warm_up);
    let ticks = || counted(process.port, "referee_ticks_total");
    load.tally.take();
    let before = ticks()?;
    sleep(bench.sizes.window);
    let seen = load.tally.take();
    let ran = ticks()? - before;
    let fault = load.tally.fault();
    let expected = scenario.expected(bench.sizes.window);
    let seen = Level {
        kept: ran * scenario.players as f64 / expected,
        delivered: seen.delivered() as f64 / expected,
        wait_p99_ms: seen.wait_p99_ms(),
        lag_p99_ms: seen.lag_p99_ms(),
    };
    drop(load);
    process.end()?;
    let outcome = fault.map_or_else(|| seen.judged(), Outcome::Missed);
    let Level { kept, delivered, wait_p99_ms, lag_p99_ms } = seen;
    eprintln!(
        "  {rooms} rooms: {:.1} % of ticks, {:.1} % of states, {wait_p99_ms:.1} ms at p99, load late \
         {lag_p99_ms:.1} ms: {outcome:?}",
        kept * 100.0,
        delivered * 100.0
    );
    Ok(outcome)
}

/// What was seen of a level.
#[derive(Clone, Copy, Debug)]
struct Level {
    kept: f64,
    delivered: f64,
    wait_p99_ms: f64,
    lag_p99_ms: f64,
}

impl Level {
    /// What the server says of its ticks counts also where the load was late: it has its own core.
    fn judged(&self) -> Outcome {
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        if self.kept < KEPT_MIN {
            return Outcome::Missed(format!("{} of the ticks ran", percent(self.kept)));
        }
        if self.lag_p99_ms > LAG_MAX_MS {
            return Outcome::Exhausted(format!(
                "the load was {:.1} ms late at p99",
                self.lag_p99_ms
            ));
        }
        if self.delivered < KEPT_MIN {
            return Outcome::Missed(format!("{} of the states came", percent(self.delivered)));
        }
        match self.wait_p99_ms < WAIT_P99_MAX_MS {
            true => Outcome::Held,
            false => Outcome::Missed(format!("inputs took {:.1} ms at p99", self.wait_p99_ms)),
        }
    }
}

/// Doubles until a level does not hold, then halves what lies between.
#[derive(Debug)]
struct Search {
    from: usize,
    most: usize,
    held: usize,
    failed: Option<(usize, Outcome)>,
}

impl Search {
    fn new(from: usize, most: usize) -> Self {
        Self { from, most, held: 0, failed: None }
    }

    fn next(&self) -> Option<usize> {
        match &self.failed {
            None if self.held == 0 => Some(self.from),
            None => Some((self.held * 2).min(self.most)).filter(|next| *next > self.held),
            Some((failed, _)) => {
                let between = failed - self.held;
                let near = (self.held as f64 * PRECISION).max(1.0);
                (between as f64 > near).then(|| self.held + between / 2)
            }
        }
    }

    fn tell(&mut self, rooms: usize, outcome: Outcome) {
        match outcome {
            Outcome::Held => self.held = rooms,
            other => self.failed = Some((rooms, other)),
        }
    }

    fn found(&self) -> Result<f64, String> {
        let held = self.held;
        match &self.failed {
            Some((failed, Outcome::Exhausted(why))) => {
                Err(format!("at least {held}: at {failed} {why}"))
            }
            None => Err(format!("at least {held}: no more were tried")),
            Some((failed, Outcome::Missed(why))) if held == 0 => {
                Err(format!("not even {failed}: {why}"))
            }
            Some(_) => Ok(held as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(most: usize, outcome: impl Fn(usize) -> Outcome) -> Search {
        let mut search = Search::new(50, most);
        while let Some(rooms) = search.next() {
            let outcome = outcome(rooms);
            search.tell(rooms, outcome);
        }
        search
    }

    #[test]
    fn a_search_ends_near_what_holds() {
        for carried in [1, 49, 50, 51, 333, 800] {
            let found = search(1_000, |rooms| match rooms <= carried {
                true => Outcome::Held,
                false => Outcome::Missed("late".to_owned()),
            });
            let held = found.held as f64;
            assert!(held <= carried as f64 && held >= carried as f64 / 1.06 - 1.0, "{found:?}");
            assert!(found.found().is_ok(), "{found:?}");
        }
    }

    #[test]
    fn what_the_load_could_not_carry_is_no_figure() {
        let found = search(1_000, |rooms| match rooms <= 120 {
            true => Outcome::Held,
            false => Outcome::Exhausted("the load was late".to_owned()),
        });
        assert!(found.found().unwrap_err().contains("at least 1"), "{found:?}");
        let all = search(100, |_| Outcome::Held);
        assert!(all.found().unwrap_err().contains("no more were tried"));
        let none = search(100, |_| Outcome::Missed("late".to_owned()));
        assert!(none.found().unwrap_err().contains("not even"), "{none:?}");
    }

    #[test]
    fn a_level_must_keep_everything() {
        let good = Level { kept: 1.0, delivered: 1.0, wait_p99_ms: 60.0, lag_p99_ms: 3.0 };
        assert_eq!(good.judged(), Outcome::Held);
        let missed = |level: Level| matches!(level.judged(), Outcome::Missed(_));
        assert!(missed(Level { kept: 0.94, lag_p99_ms: 90.0, ..good }));
        assert!(missed(Level { delivered: 0.94, ..good }));
        assert!(missed(Level { wait_p99_ms: 101.0, ..good }));
        assert!(missed(Level { wait_p99_ms: f64::NAN, ..good }));
        let late = Level { lag_p99_ms: 30.0, ..good }.judged();
        assert!(matches!(late, Outcome::Exhausted(_)));
    }
}
