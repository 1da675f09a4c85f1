//! One bot at its connection: a task that reads, says what its schedule asks for, and comes back by
//! itself.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use referee_client::bot::{Bot, Say};
use referee_client::{Event, LinkId, Output, Status, close_code};
use referee_client_tokio::{RawSocket, Received};
use referee_protocol::Code;
use referee_protocol::limits::LINK_SILENCE_MAX_MS;
use tokio::time::timeout;

use crate::door::Door;
use crate::link::{Air, Came};
use crate::meter::{Greeted, Meter};
use crate::mind::{Mind, Said};
use crate::pattern::{Itinerary, When};
use crate::schedule::Schedule;
use crate::score::Score;
use crate::shared::Phase;
use crate::sockets::{Happened, Sockets};
use crate::tally::Tally;
use crate::thread::Thread;

mod counts;

use counts::{count_place, dropped, refused, settle, uncount};

/// How often a bot plays in a turn-based room, a second, unless the plan says otherwise.
const UNTIMED_HZ: f64 = 2.0;
/// How long a connection may take what is sent, or to be opened.
pub(crate) const PATIENCE: Duration = Duration::from_millis(LINK_SILENCE_MAX_MS);
/// How long a connection that ends may carry its last frames.
const CLOSING_MAX: Duration = Duration::from_secs(1);
/// How long a bot that goes waits for answers to what it said.
const GOING_MAX_US: u64 = 1_000_000;
/// How long a bot that comes while it is measured may take to get in.
const IN_WITHIN_US: u64 = 5_000_000;
/// The reason for a cut that the load test makes.
const CUT: &str = "the load test cut the connection";

/// One bot on one visit to a room.
pub(crate) struct Player {
    /// Its place among the thread's bots.
    pub(crate) place: usize,
    pub(crate) mind: Mind,
    pub(crate) bot: Box<dyn Bot>,
    pub(crate) door: Door,
    /// A number from 0 to 1: where in its period it plays.
    pub(crate) phase: f64,
    /// How often it plays, a second; none: as the room ticks.
    pub(crate) hz: Option<f64>,
    /// Its link, by its place among the run's, and what is on its way there.
    pub(crate) link: Option<usize>,
    pub(crate) air: Option<Air>,
    /// What it says where it replays a match, in place of what the bot wants.
    pub(crate) score: Option<Score>,
    pub(crate) replays: bool,
    /// When it comes; when it goes, in microseconds of the time measured.
    pub(crate) comes: When,
    pub(crate) leaves: Option<u64>,
    pub(crate) itinerary: Itinerary,
    pub(crate) thread: Rc<Thread>,
}

/// What the task holds beside the player.
#[derive(Default)]
struct State {
    meter: Meter,
    schedule: Option<Schedule>,
    sockets: Sockets,
    /// The connection on which the last frame left: it is measured.
    spoken: Option<LinkId>,
    /// What the bot said last: an input, or an action. What it would have said while it was away is
    /// taken to be the same.
    said_input: Option<bool>,
    dialed: u64,
    /// Whether it ever was in, and is now.
    was_in: bool,
    is_in: bool,
    /// Whether it got a seat, and whether it counts as one that only watches.
    seated: bool,
    watches: bool,
    settled: bool,
    checks: (u64, u64),
    over: bool,
    /// When the load test cut its link, until it is back.
    cut_at: Option<u64>,
    /// Whether the score has its beginning.
    in_step: bool,
}

/// What woke the task.
enum Wake {
    Bell,
    Happened(Happened),
}

impl Player {
    /// Plays until the visit or the run is over, or the bot is refused for good. Gives back what it is
    /// to do then.
    pub(crate) async fn play(mut self) -> Itinerary {
        let thread = Rc::clone(&self.thread);
        let mut state = State { meter: Meter::new(self.link), ..State::default() };
        let arrived = thread.wheel.now();
        thread.tally.borrow_mut().visits += 1;
        loop {
            self.cut_when_due(&mut state);
            self.deliver(&mut state);
            self.handle_due(&mut state);
            self.obey(&mut state).await;
            self.note(&mut state);
            let over = state.over || thread.phase.get() >= Phase::Leaving;
            if over || self.may_go(&state) {
                break;
            }
            thread.wheel.set(self.place, self.next_due(&state));
            let wake = tokio::select! {
                happened = next(&mut state.sockets, self.air.as_ref()) => Wake::Happened(happened),
                () = thread.wheel.rung(self.place) => Wake::Bell,
            };
            if let Wake::Happened(happened) = wake {
                self.take(&mut state, happened);
            }
        }
        self.end(state, arrived).await
    }

    /// The visit is over.
    async fn end(mut self, mut state: State, arrived: u64) -> Itinerary {
        let thread = Rc::clone(&self.thread);
        let now = thread.wheel.now();
        {
            let mut tally = thread.tally.borrow_mut();
            state.meter.end(now, &mut tally);
            let late = matches!(self.comes, When::Measured(_)) && !state.was_in;
            tally.missed += u64::from(late && now - arrived >= IN_WITHIN_US);
        }
        if thread.phase.get() < Phase::Leaving {
            uncount(&state, &thread.shared);
        }
        if std::mem::replace(&mut state.is_in, false) {
            thread.shared.open.fetch_sub(1, Ordering::Relaxed);
        }
        self.leave(&mut state).await;
        self.itinerary
    }

    /// When the visit ends, on the wheel.
    fn going(&self) -> Option<u64> {
        self.leaves.map(|at| self.thread.instant(When::Measured(at)))
    }

    /// Whether it is time to go, and nothing that was said waits for an answer any more.
    fn may_go(&self, state: &State) -> bool {
        let now = self.thread.wheel.now();
        let Some(going) = self.going().filter(|going| *going <= now) else { return false };
        state.meter.is_idle() || now >= going + GOING_MAX_US
    }

    /// Cuts all connections, where that is due.
    fn cut_when_due(&mut self, state: &mut State) {
        let Some(began) = self.thread.shared.began() else { return };
        let now = self.thread.wheel.now();
        let due = self.itinerary.take_cut(now.saturating_sub(began));
        if !due || !state.is_in || self.thread.phase.get() >= Phase::Draining {
            return;
        }
        self.thread.tally.borrow_mut().cuts += 1;
        state.cut_at = Some(now);
        for link in state.sockets.take_all() {
            if let Some(air) = &mut self.air {
                air.end(now, link);
            }
            self.mind.handle_close(now / 1_000, link, None, CUT);
        }
    }

    /// Hands over what has arrived by now.
    fn deliver(&mut self, state: &mut State) {
        let now = self.thread.wheel.now();
        while let Some(came) = self.air.as_mut().and_then(|air| air.came(now)) {
            self.arrived(state, came);
        }
    }

    fn now_ms(&self) -> u64 {
        self.thread.wheel.now() / 1_000
    }

    /// When the bot is to be woken, in microseconds.
    fn next_due(&self, state: &State) -> u64 {
        let timeout = self.mind.poll_timeout().map(|ms| ms.saturating_mul(1_000));
        let plays = self.plays(self.thread.wheel.now());
        let play = state.schedule.filter(|_| plays).map(|schedule| schedule.due());
        let began = self.thread.shared.began();
        let said = self.score.as_ref().filter(|_| plays && state.in_step).zip(began);
        let said = said.map(|(score, began)| began + score.due());
        let going = self.going().map(|at| if plays { at } else { at + GOING_MAX_US });
        let cut = self.itinerary.next_cut().map(|at| self.thread.instant(When::Measured(at)));
        let air = self.air.as_ref().and_then(Air::next_due);
        [timeout, play, said, going, cut, air].into_iter().flatten().min().unwrap_or(u64::MAX)
    }

    /// Whether new things are said.
    fn plays(&self, now: u64) -> bool {
        self.thread.phase.get() < Phase::Draining && self.going().is_none_or(|at| now < at)
    }

    /// Does what is due: plays, and what the session wants done in time.
    fn handle_due(&mut self, state: &mut State) {
        let thread = Rc::clone(&self.thread);
        let phase = thread.look();
        let now = thread.wheel.now();
        let mut tally = thread.tally.borrow_mut();
        if phase < Phase::Draining && self.plays(now) {
            self.keep_schedule(state, now, &mut tally);
            self.keep_score(state, now, &mut tally);
        }
        let now_ms = now / 1_000;
        if self.mind.poll_timeout().is_some_and(|at| at <= now_ms) {
            self.mind.handle_timeout(now_ms);
        }
    }

    /// Plays once for all instants that have come: each counts from its own.
    fn keep_schedule(&mut self, state: &mut State, now: u64, tally: &mut Tally) {
        let Some(schedule) = &mut state.schedule else { return };
        let Some(first) = schedule.take(now) else { return };
        let late = std::iter::from_fn(|| schedule.take(now));
        let open = self.mind.is_open();
        let say = match &self.mind {
            Mind::Full(session) if open => self.bot.play(session),
            Mind::Light(_) if open => self.bot.play_blind(),
            _ => None,
        };
        if open {
            state.said_input = say.as_ref().map(|say| matches!(say, Say::Input(..)));
        }
        let said = say.map_or(Ok(Said::New), |say| self.mind.say(now / 1_000, &say));
        for at in std::iter::once(first).chain(late) {
            match state.said_input {
                // It would count the time to whatever is said next.
                Some(_) if said == Ok(Said::Held) => tally.held(at),
                Some(input) => state.meter.wish(input, at, now, tally),
                None => {}
            }
            if open {
                tally.late(now, now - at);
            }
            if open && tally.measuring {
                tally.lag.record(now - at);
            }
        }
        if let Err(unfit) = said {
            tally.unfit = Some(unfit);
        }
    }

    /// Says what a recorded match has for now, each at its own instant.
    fn keep_score(&mut self, state: &mut State, now: u64, tally: &mut Tally) {
        let (Some(score), Some(began)) = (&mut self.score, self.thread.shared.began()) else {
            return;
        };
        let (passed, open) = (now.saturating_sub(began), self.mind.is_open());
        if state.meter.seat().is_none() {
            return;
        }
        if !std::mem::replace(&mut state.in_step, true) {
            score.skip_to(passed);
        }
        while let Some((due, say)) = score.take(passed) {
            let (at, is_input) = (began + due, matches!(say, Say::Input(..)));
            if open {
                tally.late(now, now - at);
            }
            if open && tally.measuring {
                tally.lag.record(now - at);
            }
            match self.mind.say(now / 1_000, say) {
                Ok(Said::Held) => tally.held(at),
                Ok(Said::New) => state.meter.wish(is_input, at, now, tally),
                Err(unfit) => tally.unfit = Some(unfit),
            }
        }
    }

    /// Does what the session asks for.
    async fn obey(&mut self, state: &mut State) {
        while let Some(output) = self.mind.poll_output() {
            match output {
                Output::Connect { link } => {
                    if !state.was_in {
                        state.dialed = self.thread.wheel.now();
                    }
                    state.sockets.dial(link, self.door.clone().dial());
                }
                Output::Send { link, frame } => {
                    if state.sockets.open(link).is_none() {
                        continue;
                    }
                    let now = self.thread.wheel.now();
                    state.spoken = Some(link);
                    state.meter.sent(now, &frame, &mut self.thread.tally.borrow_mut());
                    match &mut self.air {
                        Some(air) => air.send(now, link, frame),
                        None => self.write(state, link, &frame).await,
                    }
                }
                Output::Disconnect { link, code } => {
                    let now = self.thread.wheel.now();
                    let said = self.air.as_mut().map(|air| air.end(now, link));
                    for frame in said.into_iter().flatten() {
                        self.write(state, link, &frame).await;
                    }
                    if let Some(socket) = state.sockets.take(link) {
                        tokio::task::spawn_local(close(socket, code));
                    }
                }
                Output::StoreToken(_) => {}
            }
        }
        let now = self.thread.wheel.now();
        while let Some((link, frame)) = self.air.as_mut().and_then(|air| air.gone(now)) {
            self.write(state, link, &frame).await;
        }
    }

    /// Writes a frame into its connection, if that is there.
    async fn write(&mut self, state: &mut State, link: LinkId, frame: &[u8]) {
        let Some(socket) = state.sockets.open(link) else { return };
        let broken = match timeout(PATIENCE, socket.send(frame)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the server took no data for too long".into(),
        };
        state.sockets.take(link);
        self.mind.handle_close(self.now_ms(), link, None, &broken);
    }

    fn take(&mut self, state: &mut State, happened: Happened) {
        let came = match happened {
            Happened::Dialed(link, Some(Ok(socket))) => {
                state.sockets.opened(link, socket);
                Came::Opened(link)
            }
            Happened::Dialed(link, None) => {
                Came::Closed(link, None, "the server did not answer".into())
            }
            Happened::Received(link, Ok(Received::Frame(frame))) => Came::Frame(link, frame),
            Happened::Received(link, Ok(Received::Closed { code, reason })) => {
                Came::Closed(link, code.and_then(close_code), reason)
            }
            Happened::Dialed(link, Some(Err(error))) | Happened::Received(link, Err(error)) => {
                Came::Closed(link, error.code(), error.to_string())
            }
        };
        if let Came::Closed(link, ..) = &came {
            state.sockets.take(*link);
        }
        match &mut self.air {
            Some(air) => air.receive(self.thread.wheel.now(), came),
            None => self.arrived(state, came),
        }
    }

    fn arrived(&mut self, state: &mut State, came: Came) {
        let now = self.now_ms();
        match came {
            Came::Opened(link) => self.mind.handle_open(now, link),
            Came::Frame(link, frame) => self.heard(state, link, &frame),
            Came::Closed(link, code, reason) => self.mind.handle_close(now, link, code, &reason),
        }
    }

    fn heard(&mut self, state: &mut State, link: LinkId, frame: &[u8]) {
        let now = self.thread.wheel.now();
        if state.spoken == Some(link) {
            let mut tally = self.thread.tally.borrow_mut();
            if let Some(greeted) = state.meter.received(now, frame, &mut tally) {
                tally.resumes += u64::from(greeted == Greeted::Resumed);
                tally.series.at(now).resumes += u64::from(greeted == Greeted::Resumed);
                tally.seats_lost += u64::from(greeted == Greeted::Reseated);
            }
        }
        self.mind.handle_frame(now / 1_000, link, frame);
    }

    /// Counts what happened to the session.
    fn note(&mut self, state: &mut State) {
        let thread = Rc::clone(&self.thread);
        let mut tally = thread.tally.borrow_mut();
        while let Some(event) = self.mind.poll_event() {
            let Event::Status { status, reason } = event else { continue };
            if status == Status::Open {
                self.opened(state, &mut tally);
                continue;
            }
            if let Some(reason) = reason {
                // An attempt that fails is no second loss.
                let was_in = std::mem::replace(&mut state.is_in, false);
                if was_in {
                    thread.shared.open.fetch_sub(1, Ordering::Relaxed);
                }
                match was_in {
                    true if state.cut_at.is_some() => {}
                    true => {
                        tally.series.at(thread.wheel.now()).drops += 1;
                        dropped(&reason, &thread.shared, &mut tally);
                    }
                    false => refused(reason, &thread.shared, &mut tally),
                }
            }
            if status == Status::Closed {
                state.over = true;
                settle(state, &thread.shared);
            }
        }
        let checks = self.mind.checks();
        tally.checked += checks.0 - state.checks.0;
        tally.wrong += checks.1 - state.checks.1;
        thread.shared.wrong.fetch_add(checks.1 - state.checks.1, Ordering::Relaxed);
        state.checks = checks;
    }

    fn opened(&mut self, state: &mut State, tally: &mut Tally) {
        let now = self.thread.wheel.now();
        let first = !state.was_in;
        state.was_in = true;
        if !std::mem::replace(&mut state.is_in, true) {
            self.thread.shared.open.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(cut) = state.cut_at.take() {
            tally.resume.record(now.saturating_sub(cut));
        }
        if first {
            tally.connect.record(now.saturating_sub(state.dialed));
        }
        let seated_now = state.meter.seat().is_some() && !state.seated;
        count_place(state, &self.thread.shared);
        settle(state, &self.thread.shared);
        if self.thread.schema.borrow().is_none() {
            *self.thread.schema.borrow_mut() = self.mind.known_schema();
        }
        if seated_now && !self.replays {
            let hz = self.hz.or(state.meter.hz().map(f64::from)).unwrap_or(UNTIMED_HZ);
            let start = now + (self.phase * 1e6 / hz) as u64;
            state.schedule = Some(Schedule::new(start, hz));
        }
    }

    async fn leave(&mut self, state: &mut State) {
        self.mind.leave();
        self.obey(state).await;
    }
}

/// What happens next on a bot's connections; nothing, while too much is on its way to it.
async fn next(sockets: &mut Sockets, air: Option<&Air>) -> Happened {
    match air {
        Some(air) if air.is_full() => std::future::pending().await,
        _ => sockets.next().await,
    }
}

/// Says goodbye, and lets the last frames arrive: a socket dropped at once might reset the connection
/// under them.
async fn close(mut socket: Box<RawSocket>, code: Code) {
    let ending = async {
        if socket.close(code.close_code(), code.name()).await.is_ok() {
            while let Ok(Received::Frame(_)) = socket.receive().await {}
        }
    };
    let _ = timeout(CLOSING_MAX, ending).await;
}
