//! How late ticks begin at half of what a core carries, above how late a bare thread is that sleeps until it
//! is due, in the same time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::figures::{Figures, Round};
use crate::Result;
use crate::load::{Load, Target};
use crate::measure::{Bench, fault};
use crate::metrics::{Histogram, counted};
use crate::process::Process;
use crate::scenario::Scenario;
use crate::tally::percentile;

/// The server's own histogram of it.
const LATENESS: &str = "referee_tick_lateness_seconds";
/// The bare thread is due so often: often enough for one in a thousand to be many.
const TIMER_EVERY: Duration = Duration::from_millis(1);

pub(super) fn run(bench: &Bench, figures: &mut Figures) -> Result {
    let half = figures.get("rooms_per_core").map(|rooms| (rooms / 2.0) as usize);
    let rooms = half.unwrap_or(bench.sizes.late_rooms).max(1);
    figures.note("lateness_rooms", rooms as f64);
    let (mut above, mut ticks, mut timers) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=bench.sizes.rounds {
        let late = measure(bench, rooms)?;
        eprintln!(
            "  round {round}: {rooms} rooms, p99.9 {:.2} ms of ticks ({:.0} left out), {:.2} ms of a timer{}",
            late.ticks_ms,
            late.slips,
            late.timer_ms,
            late.invalid.as_ref().map_or_else(String::new, |why| format!(": INVALID, {why}"))
        );
        let of = |value: f64| -> Round { late.invalid.clone().map_or(Ok(value), Err) };
        above.push(of(late.ticks_ms - late.timer_ms));
        ticks.push(of(late.ticks_ms));
        timers.push(of(late.timer_ms));
    }
    figures.put("tick_lateness_p999_ms", above);
    figures.put("tick_lateness_all_p999_ms", ticks);
    figures.put("timer_lateness_p999_ms", timers);
    Ok(())
}

struct Late {
    ticks_ms: f64,
    timer_ms: f64,
    /// Ticks that were left out in the window.
    slips: f64,
    invalid: Option<String>,
}

fn measure(bench: &Bench, rooms: usize) -> Result<Late> {
    let process = Process::referee(&bench.server, &bench.folder.join("data"), None)?;
    let scenario = Scenario::arenas("lateness", rooms);
    let target = Target::WebSocket { port: process.port };
    let load = bench.runtime.block_on(Load::start(&scenario, &target))?;
    sleep(bench.sizes.warm_up);
    let port = process.port;
    let slips = || counted(port, "referee_slips_total");
    let (before, slips_before) = (Histogram::read(port, LATENESS)?, slips()?);
    load.tally.take();
    let timer_ms = timer(bench.sizes.window);
    let seen = load.tally.take();
    let ticks = Histogram::read(port, LATENESS)?.since(&before);
    let slips = slips()? - slips_before;
    let invalid = load.tally.fault().or_else(|| fault(&seen, &scenario, bench.sizes.window));
    drop(load);
    process.end()?;
    Ok(Late { ticks_ms: ticks.quantile(99.9) * 1e3, timer_ms, slips, invalid })
}

/// Sleeps from instant to instant on a thread of its own, and gives how late that woke at p99.9, in
/// milliseconds.
fn timer(window: Duration) -> f64 {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sleeping = scope.spawn(|| {
            let (mut due, mut late_us) = (Instant::now(), Vec::new());
            while !over.load(Ordering::Relaxed) {
                due += TIMER_EVERY;
                sleep(due.saturating_duration_since(Instant::now()));
                let late = due.elapsed();
                late_us.push(late.as_micros() as u32);
                // What was missed meanwhile would count the same lateness many times.
                due += TIMER_EVERY * (late.as_micros() / TIMER_EVERY.as_micros()) as u32;
            }
            late_us
        });
        sleep(window);
        over.store(true, Ordering::Relaxed);
        sleeping.join().map_or(f64::NAN, |late_us| f64::from(percentile(&late_us, 99.9)) / 1e3)
    })
}
