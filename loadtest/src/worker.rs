//! One thread of the generator: its runtime, its bots, its measuring.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use referee_client::{Config, Random};
use referee_protocol::{GameName, MatchId};
use tokio::task::LocalSet;

use crate::door::Door;
use crate::link::{self, Air};
use crate::mind::Mind;
use crate::pattern::{Crowd, Itinerary, Visit};
use crate::plan::{Check, Plan};
use crate::player::Player;
use crate::score::Score;
use crate::series::Series;
use crate::shared::{Phase, Shared};
use crate::tally::Tally;
use crate::thread::Thread;
use crate::wheel::Wheel;

/// How long the bots may take to leave.
const LEAVING_MAX: Duration = Duration::from_secs(2);
/// How often the live line hears of the latency.
const TOLD_EVERY: Duration = Duration::from_millis(500);

/// A bot of the run.
pub(crate) struct Guest {
    /// Its number in the run.
    pub(crate) number: usize,
    /// Where it connects.
    pub(crate) door: Door,
}

/// What a thread is told.
pub(crate) struct Job {
    pub(crate) plan: Plan,
    pub(crate) game: GameName,
    /// The thread's bots.
    pub(crate) bots: Vec<Guest>,
    /// When bots come and go.
    pub(crate) crowd: Arc<Crowd>,
    /// Whether the game's bots can play blind.
    pub(crate) blind: bool,
    pub(crate) start: Instant,
    pub(crate) shared: Arc<Shared>,
}

/// Runs the thread's bots until the run is over.
pub(crate) fn work(job: Job) -> std::io::Result<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let plan = &job.plan;
    let thread = Rc::new(Thread {
        wheel: Wheel::new(job.start, job.bots.len()),
        tally: RefCell::new(Tally::new(
            Series::new(plan.duration, plan.longest()),
            plan.links.len(),
        )),
        phase: Cell::default(),
        schema: RefCell::default(),
        cpu_ns: Cell::default(),
        shared: Arc::clone(&job.shared),
        await_measuring: !plan.pattern.is_steady() || plan.replay.is_some(),
    });
    let (bots, job) = (LocalSet::new(), Rc::new(job));
    for place in 0..job.bots.len() {
        let seat = Seat { job: Rc::clone(&job), place };
        bots.spawn_local(mind(seat, Rc::clone(&thread)));
    }
    let turning = turn(&thread);
    runtime.block_on(bots.run_until(turning));
    // Those that are still on their way out have their time; what they do is not measured.
    runtime.block_on(async {
        let _ = tokio::time::timeout(LEAVING_MAX, bots).await;
    });
    let tally = thread.tally.borrow().clone();
    Ok(tally)
}

/// One bot, and whether its code panics.
async fn mind(seat: Seat, thread: Rc<Thread>) {
    let bot = tokio::task::spawn_local(come(seat, Rc::clone(&thread)));
    if bot.await.is_err_and(|error| error.is_panic()) {
        thread.shared.panicked.fetch_add(1, Ordering::Relaxed);
    }
}

/// One bot: its visits one after the other.
async fn come(seat: Seat, thread: Rc<Thread>) {
    let mut itinerary = seat.job.crowd.itinerary(seat.job.bots[seat.place].number);
    while let Some(visit) = itinerary.next_visit() {
        if !come_to(&visit, seat.place, &thread).await {
            break;
        }
        itinerary = seat.player(&visit, itinerary, &thread).play().await;
    }
}

/// Waits until a visit begins; says no where the run is over before.
async fn come_to(visit: &Visit, place: usize, thread: &Thread) -> bool {
    loop {
        if thread.phase.get() >= Phase::Draining {
            return false;
        }
        let comes = thread.instant(visit.comes);
        if thread.wheel.now() >= comes {
            return true;
        }
        thread.wheel.set(place, comes);
        thread.wheel.rung(place).await;
    }
}

/// A place for a bot, and what it takes to make one.
struct Seat {
    job: Rc<Job>,
    place: usize,
}

impl Seat {
    /// The bot on one visit, made when that begins: by then the schema may be known.
    fn player(&self, visit: &Visit, itinerary: Itinerary, thread: &Rc<Thread>) -> Player {
        let (job, plan) = (&self.job, &self.job.plan);
        let (number, door) = (job.bots[self.place].number, &job.bots[self.place].door);
        // Bots of neighbouring numbers are nothing alike.
        let mut random = Random::new(Random::new(plan.seed).bits() ^ number as u64);
        let first = random.bits();
        let seed = if visit.number == 0 { first } else { Random::new(first ^ visit.number).bits() };
        let id = plan.match_of(visit.room, visit.life);
        let config = Config {
            name: format!("Bot {}", number + 1),
            params: plan.params.clone(),
            check: plan.check.includes(number),
            seed,
            ..Config::new(job.game.clone(), MatchId::new(&id).expect("it was checked"))
        };
        let decodes = !job.blind || plan.check.includes(number);
        let link = link::of_bot(&plan.links, number).filter(|at| !plan.links[*at].is_none());
        let score = plan.replay.as_ref().and_then(|match_| Score::of(match_, number / plan.rooms));
        Player {
            place: self.place,
            mind: Mind::of(config, decodes, thread),
            bot: (plan.bot)(seed),
            door: door.to(&id),
            phase: random.unit(),
            hz: plan.hz,
            link: link::of_bot(&plan.links, number),
            air: link.map(|at| Air::new(&plan.links[at], plan.over_quic(number), seed)),
            score,
            replays: plan.replay.is_some(),
            comes: visit.comes,
            leaves: visit.leaves,
            itinerary,
            thread: Rc::clone(thread),
        }
    }
}

/// Keeps time, and the phase, until everybody leaves.
async fn turn(thread: &Thread) {
    let mut told = Instant::now();
    while thread.look() < Phase::Leaving {
        let late = thread.wheel.turn().await;
        {
            let mut tally = thread.tally.borrow_mut();
            tally.late(thread.wheel.now(), late);
            if tally.measuring {
                tally.turns.record(late);
            }
        }
        if told.elapsed() >= TOLD_EVERY {
            told = Instant::now();
            tell(thread);
        }
    }
}

fn tell(thread: &Thread) {
    let tally = thread.tally.borrow();
    let spread = tally.latency.spread();
    let recent = tally.series.recent_p99_ms(thread.wheel.now()).unwrap_or(0.0);
    thread.shared.recent.store((recent * 1_000.0) as u64, Ordering::Relaxed);
    for (told, ms) in thread.shared.latency.iter().zip([spread.p50, spread.p99]) {
        told.store((ms * 1_000.0) as u64, Ordering::Relaxed);
    }
}

/// How many bots of a plan decode what they are sent.
pub(crate) fn decoding(plan: &Plan, blind: bool) -> usize {
    match plan.check {
        _ if !blind => plan.bots(),
        Check::None => 0,
        check => (0..plan.bots()).filter(|bot| check.includes(*bot)).count(),
    }
}
