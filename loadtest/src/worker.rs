//! One thread of the generator: its runtime, its bots, its measuring.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use referee_client::{Config, Random, Session};
use referee_protocol::{GameName, MatchId};
use tokio::task::LocalSet;

use crate::door::Door;
use crate::light::Light;
use crate::plan::{Check, Plan};
use crate::player::{Mind, Player, Thread};
use crate::shared::{Phase, Shared};
use crate::tally::Tally;
use crate::wheel::Wheel;

/// How long the bots may take to leave.
const LEAVING_MAX: Duration = Duration::from_secs(2);
/// How often the live line hears of the latency.
const TOLD_EVERY: Duration = Duration::from_millis(500);

/// What a thread is told.
pub(crate) struct Job {
    pub(crate) plan: Plan,
    pub(crate) game: GameName,
    /// The doors of the thread's bots, and the bots' numbers in the run.
    pub(crate) bots: Vec<(usize, MatchId, Door)>,
    /// Whether the game's bots can play blind.
    pub(crate) blind: bool,
    pub(crate) start: Instant,
    pub(crate) shared: Arc<Shared>,
}

/// Runs the thread's bots until the run is over.
pub(crate) fn work(job: Job) -> std::io::Result<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = Rc::new(Thread {
        wheel: Wheel::new(job.start, job.bots.len()),
        tally: RefCell::default(),
        phase: Cell::default(),
        schema: RefCell::default(),
        cpu_ns: Cell::default(),
        shared: Arc::clone(&job.shared),
    });
    let bots = LocalSet::new();
    for place in 0..job.bots.len() {
        let (job_thread, player) = (Rc::clone(&thread), seat(&job, place, &thread));
        bots.spawn_local(come(player, job_thread));
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

async fn come(player: impl FnOnce() -> Player, thread: Rc<Thread>) {
    // Made only when it is its turn: by then the schema may be known.
    let player = player();
    player.play().await;
    drop(thread);
}

/// How to make the bot in this place.
fn seat(job: &Job, place: usize, thread: &Rc<Thread>) -> impl FnOnce() -> Player + 'static {
    let (number, id, door) = job.bots[place].clone();
    let (plan, game, blind) = (job.plan.clone(), job.game.clone(), job.blind);
    let thread = Rc::clone(thread);
    move || {
        // Bots of neighbouring numbers are nothing alike.
        let mut random = Random::new(Random::new(plan.seed).bits() ^ number as u64);
        let seed = random.bits();
        let config = Config {
            name: format!("Bot {}", number + 1),
            params: plan.params.clone(),
            check: plan.check.includes(number),
            seed,
            ..Config::new(game, id)
        };
        let decodes = !blind || plan.check.includes(number);
        let comes = plan.ramp().as_micros() as u64 * number as u64 / plan.bots() as u64;
        Player {
            place,
            mind: Mind::of(config, decodes, &thread),
            bot: (plan.bot)(seed),
            door,
            phase: random.unit(),
            hz: plan.hz,
            comes,
            thread,
        }
    }
}

impl Mind {
    fn of(config: Config, decodes: bool, thread: &Thread) -> Self {
        let known = thread.schema.borrow().clone();
        if decodes {
            let schema = known.map(|known| known.bytes.clone());
            Self::Full(Box::new(Session::new(Config { schema, ..config })))
        } else {
            Self::Light(Box::new(Light::new(config, known)))
        }
    }
}

/// Keeps time, and the phase, until everybody leaves.
async fn turn(thread: &Thread) {
    let mut told = Instant::now();
    while thread.look() < Phase::Leaving {
        let late = thread.wheel.turn().await;
        if thread.tally.borrow().measuring {
            thread.tally.borrow_mut().turns.record(late);
        }
        if told.elapsed() >= TOLD_EVERY {
            told = Instant::now();
            tell(thread);
        }
    }
}

fn tell(thread: &Thread) {
    let spread = thread.tally.borrow().latency.spread();
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
