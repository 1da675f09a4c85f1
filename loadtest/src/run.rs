//! A run, from its plan to its report: starts the threads, keeps the phases, sums up.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use referee_protocol::{GameName, MatchId};

use crate::door::Door;
use crate::link;
use crate::live::Line;
use crate::load::LoadError;
use crate::machine;
use crate::pattern::{Crowd, LIVES_MAX};
use crate::plan::Plan;
use crate::report::{Generator, OfLink, Report, Sample, Spread, Told, Traffic};
use crate::samples::Sampler;
use crate::server::{Watch, authority, wait_for};
use crate::shared::{Phase, Shared};
use crate::tally::Tally;
use crate::time::us;
use crate::worker::{Guest, Job, decoding, work};

/// How often the run is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long a server that is only just being started is waited for.
const SERVER_ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// How long answers are waited for at the end.
const DRAIN: Duration = Duration::from_secs(1);

/// Runs a plan.
pub(crate) fn run(plan: Plan) -> Result<Report, LoadError> {
    let blind = check(&plan)?;
    wait_for(&plan.url, SERVER_ANSWERS_WITHIN.min(plan.join_within))
        .map_err(LoadError::NoAnswer)?;
    let shared = Arc::new(Shared::default());
    let crowd = crowd(&plan);
    let start = Instant::now();
    let threads = start_threads(&plan, blind, start, &shared, &crowd)?;
    let sampler =
        Sampler::start((&plan.url, plan.server_pid), &shared, start, plan.ramp() + plan.duration);
    let mut line = Line::new(&plan);
    wait_for_all(&plan, &crowd, &shared, &mut line, start);
    let [joined, watching] =
        [&shared.joined, &shared.watching].map(|count| count.load(Ordering::Relaxed) as usize);
    let mut watch = Watch::begin(&plan.url, plan.server_pid);
    let began = Instant::now();
    shared.begin(us(began - start));
    while joined > 0 && began.elapsed() < plan.duration && goes_on(&plan, &shared) {
        line.show(Phase::Measuring, began.elapsed(), &shared);
        watch.sample();
        std::thread::sleep(LOOK_EVERY.min(plan.duration.saturating_sub(began.elapsed())));
    }
    let ended = Instant::now();
    let open = shared.open.load(Ordering::Relaxed) as usize;
    let (server, notes) = watch.end(open.max(joined + watching));
    shared.enter(Phase::Draining);
    let samples = sampler.end();
    if joined > 0 {
        std::thread::sleep(DRAIN);
    }
    shared.enter(Phase::Leaving);
    line.end();
    let count = threads.len();
    let tally = join(threads)?;
    let panicked = shared.panicked.load(Ordering::Relaxed);
    if panicked > 0 {
        return Err(LoadError::Panicked(panicked));
    }
    if joined == 0 {
        return Err(nobody_in(&plan, watching, tally.why));
    }
    let mut report = sum_up(&plan, &tally, ended - began, blind);
    (report.expected, report.joined, report.watching) = (crowd.before(), joined, watching);
    (report.server, report.notes) = (server, notes);
    report.generator.threads = count;
    report.intervals = tally.series.report(us(began - start), us(ended - start));
    report.samples = from_the_measuring_on(samples, began - start);
    judge(&mut report, &tally);
    Ok(report)
}

/// Whether neither its user nor a bot ended the run.
fn goes_on(plan: &Plan, shared: &Shared) -> bool {
    !plan.stop.is_asked() && shared.panicked.load(Ordering::Relaxed) == 0
}

/// Waits until everybody is in who is to be, or the time for that is over. So it is when bots are refused,
/// and for a while no other one got in.
fn wait_for_all(plan: &Plan, crowd: &Crowd, shared: &Shared, line: &mut Line, start: Instant) {
    let mut until = start + plan.ramp() + plan.join_within;
    let mut all_in = false;
    let mut last = (shared.progress(), Instant::now());
    while Instant::now() < until && goes_on(plan, shared) {
        if !all_in && shared.settled.load(Ordering::Relaxed) >= crowd.before() as u64 {
            all_in = true;
            until = Instant::now() + plan.warm_up;
            continue;
        }
        line.show(Phase::Joining, start.elapsed(), shared);
        let progress = shared.progress();
        if progress != last.0 || start.elapsed() < plan.ramp() || all_in {
            last = (progress, Instant::now());
        } else if last.1.elapsed() >= plan.standstill && shared.refusals().0 > 0 {
            return;
        }
        std::thread::sleep(LOOK_EVERY.min(until.saturating_duration_since(Instant::now())));
    }
}

/// When the plan's bots come and go.
fn crowd(plan: &Plan) -> Arc<Crowd> {
    let times = (plan.ramp(), plan.duration);
    Crowd::new(&plan.pattern, (plan.rooms, plan.bots()), times, plan.seed)
}

fn from_the_measuring_on(samples: Vec<(Duration, Sample)>, began: Duration) -> Vec<Sample> {
    let at_s = |at: Duration| at.as_secs_f64() - began.as_secs_f64();
    samples.into_iter().map(|(at, sample)| Sample { at_s: at_s(at), ..sample }).collect()
}

/// Checks a plan. Says whether its bots can play blind.
pub(crate) fn check(plan: &Plan) -> Result<bool, LoadError> {
    let wrong = |text: String| Err(LoadError::Plan(text));
    if plan.bots() == 0 {
        return wrong("0 bots are asked for; at least one room with one player is needed".into());
    }
    match authority(&plan.url) {
        Some(("http" | "https", _)) => {}
        _ => return wrong(format!("{:?} is no server; write it like http://host:port", plan.url)),
    }
    if plan.hz.is_some_and(|hz| !(hz > 0.0 && hz <= 1_000.0)) {
        return wrong("the rate of inputs must be above 0 and at most 1,000 a second".into());
    }
    if let Err(error) = GameName::new(&plan.game) {
        return wrong(format!("{:?} is no game name: {error}", plan.game));
    }
    if let Err(error) = MatchId::new(&plan.match_of(plan.rooms - 1, LIVES_MAX)) {
        return wrong(format!("{:?} begins no match id: {error}", plan.room_prefix));
    }
    link::check(&plan.links).map_err(LoadError::Plan)?;
    plan.pattern.check(plan.duration).map_err(LoadError::Plan)?;
    if let Some(recording) = plan.replay.as_ref().filter(|match_| match_.game != plan.game) {
        let (theirs, ours) = (&recording.game, &plan.game);
        return wrong(format!(
            "the recorded match is of {theirs}, not of {ours}: take --game {theirs}"
        ));
    }
    // What a recorded match says needs no look at the present one.
    Ok(plan.replay.is_some() || (plan.bot)(plan.seed).play_blind().is_some())
}

fn start_threads(
    plan: &Plan,
    blind: bool,
    start: Instant,
    shared: &Arc<Shared>,
    crowd: &Arc<Crowd>,
) -> Result<Vec<JoinHandle<std::io::Result<Tally>>>, LoadError> {
    let failed = |why: String| LoadError::Plan(why);
    let game = GameName::new(&plan.game).map_err(|error| failed(error.to_string()))?;
    let doors = Door::all(plan)?;
    let count = plan.worker_threads();
    let mut threads = Vec::new();
    for thread in 0..count {
        let guest = |number| Guest { number, door: doors.to(plan, number) };
        let bots = (thread..plan.bots()).step_by(count).map(guest).collect();
        let (plan, game) = (plan.clone(), game.clone());
        let (shared, crowd) = (Arc::clone(shared), Arc::clone(crowd));
        let job = Job { plan, game, bots, crowd, blind, start, shared };
        let named = Builder::new().name(format!("referee-load-{thread}"));
        let spawned = named.spawn(move || work(job));
        threads.push(spawned.map_err(|error| LoadError::Thread(error.to_string()))?);
    }
    Ok(threads)
}

fn join(threads: Vec<JoinHandle<std::io::Result<Tally>>>) -> Result<Tally, LoadError> {
    let mut all = Tally::default();
    for thread in threads {
        match thread.join() {
            Ok(Ok(tally)) => all.merge(&tally),
            Ok(Err(error)) => return Err(LoadError::Thread(error.to_string())),
            Err(_) => return Err(LoadError::Thread("a bot panicked; its message is above".into())),
        }
    }
    Ok(all)
}

fn nobody_in(plan: &Plan, watching: usize, why: Option<String>) -> LoadError {
    let why = match watching {
        0 => why.unwrap_or_else(|| "nothing was heard in time".into()),
        _ => only_watch(watching),
    };
    LoadError::NobodyIn { url: plan.url.clone(), game: plan.game.clone(), why }
}

fn only_watch(bots: usize) -> String {
    format!(
        "{bots} bots only watch: their rooms had no free seat; take fewer --players, or rooms with \
         more seats (--params)"
    )
}

fn sum_up(plan: &Plan, tally: &Tally, measured: Duration, blind: bool) -> Report {
    let seconds = measured.as_secs_f64().max(1e-9);
    let a_second = |count: u64| count as f64 / seconds;
    let owned = |map: &std::collections::BTreeMap<&str, u64>| {
        map.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    };
    Report {
        kind: "run".into(),
        told: told(plan),
        decoding: decoding(plan, blind),
        measured_s: seconds,
        tick_ms: tally.hz.map(|hz| 1_000.0 / f64::from(hz)),
        connect_ms: tally.connect.spread(),
        latency_ms: tally.latency.spread(),
        latency_buckets: tally.latency.buckets(),
        by_link: by_link(plan, tally),
        marks: plan.pattern.marks(plan.duration),
        cuts: tally.cuts,
        resume_ms: tally.resume.spread(),
        visits: tally.visits,
        missed: tally.missed,
        unanswered: tally.unanswered,
        inputs_held: tally.held,
        jitter_ms: tally.jitter.spread(),
        states: tally.states,
        states_skipped: tally.skipped,
        traffic: Traffic {
            in_bytes_per_s: a_second(tally.bytes_in),
            in_messages_per_s: a_second(tally.messages_in),
            out_bytes_per_s: a_second(tally.bytes_out),
            out_messages_per_s: a_second(tally.messages_out),
        },
        drops: tally.drops.values().sum(),
        drops_by_code: owned(&tally.drops),
        refusals_by_code: owned(&tally.refusals),
        resumes: tally.resumes,
        seats_lost: tally.seats_lost,
        states_checked: tally.checked,
        wrong: tally.wrong,
        generator: Generator {
            lag_ms: lag(tally),
            lag_limit_ms: plan.lag_limit.as_secs_f64() * 1_000.0,
            threads: 0,
            cpu_percent: tally.cpu_ns as f64 / 1e7 / seconds,
            rss_bytes: machine::rss_bytes(std::process::id()).unwrap_or(0),
        },
        ..Report::default()
    }
}

/// How late the generator was: in its bots' work, or in looking what is due, whichever is worse at each
/// percentile.
fn lag(tally: &Tally) -> Spread {
    let (work, turns) = (tally.lag.spread(), tally.turns.spread());
    Spread {
        count: work.count.max(turns.count),
        p50: work.p50.max(turns.p50),
        p90: work.p90.max(turns.p90),
        p99: work.p99.max(turns.p99),
        p999: work.p999.max(turns.p999),
        max: work.max.max(turns.max),
        mean: work.mean.max(turns.mean),
    }
}

/// The latencies of each of the plan's links.
fn by_link(plan: &Plan, tally: &Tally) -> Vec<OfLink> {
    let of = |(at, given): (usize, &link::Link)| OfLink {
        link: given.name.clone(),
        means: given.describe(),
        bots: (0..plan.bots()).filter(|bot| link::of_bot(&plan.links, *bot) == Some(at)).count(),
        latency_ms: tally.by_link.get(at).map(crate::tally::Times::spread).unwrap_or_default(),
    };
    plan.links.iter().enumerate().map(of).collect()
}

fn pattern(plan: &Plan) -> String {
    match &plan.replay {
        None => plan.pattern.describe(),
        Some(recording) => format!(
            "{}; a recorded match of {} seats and {:.0} s, over and over",
            plan.pattern.describe(),
            recording.seats.len(),
            recording.length_ms as f64 / 1_000.0
        ),
    }
}

fn told(plan: &Plan) -> Told {
    Told {
        url: plan.url.clone(),
        game: plan.game.clone(),
        transport: plan.transport.name().into(),
        rooms: plan.rooms,
        players: plan.players,
        bots: plan.bots(),
        check: plan.check.name().into(),
        duration_s: plan.duration.as_secs_f64(),
        ramp_s: plan.ramp().as_secs_f64(),
        pattern: pattern(plan),
        hz: plan.hz,
        params: plan.params.clone(),
        seed: plan.seed,
    }
}

/// Whether the times can be believed, and what else a reader should know.
fn judge(report: &mut Report, tally: &Tally) {
    let (lag, limit) = (report.generator.lag_ms.p99, report.generator.lag_limit_ms);
    report.valid = lag <= limit;
    if !report.valid {
        report.invalid_because = Some(format!(
            "the generator was the bottleneck: its own lag was {lag:.1} ms at p99, the limit is \
             {limit} ms; give it more threads or a machine of its own, or take fewer bots"
        ));
    }
    if report.watching > 0 {
        report.notes.push(only_watch(report.watching));
    }
    let missing = (report.missing() as usize).saturating_sub(report.watching);
    if missing > 0 {
        let why = tally.why.as_deref().unwrap_or("nothing was heard in time");
        report.notes.push(format!("{missing} bots did not get in: {why}"));
    }
    if report.told.check != "none" && report.states_checked == 0 {
        report.notes.push(
            "no state was compared with the server's hash: start the server with --test-mode for that"
                .into(),
        );
    }
    if let Some(unfit) = &tally.unfit {
        report.notes.push(format!("a bot said what the game does not take: {unfit}"));
    }
    if report.latency_ms.count == 0 {
        report.notes.push("no bot did anything: there is no latency to measure".into());
    }
}
