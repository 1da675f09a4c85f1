//! One bot at its connection: a task that reads, says what its schedule asks for, and comes back by
//! itself.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use referee_client::bot::{Bot, Say};
use referee_client::{Event, LinkId, Output, Reason, Session, Status, close_code};
use referee_client_tokio::{RawSocket, Received};
use referee_protocol::Code;
use referee_protocol::limits::LINK_SILENCE_MAX_MS;
use tokio::time::timeout;

use crate::door::Door;
use crate::light::{KnownSchema, Light, UNREADABLE};
use crate::machine;
use crate::meter::{Greeted, Meter};
use crate::schedule::Schedule;
use crate::shared::{Phase, Shared};
use crate::sockets::{Happened, Sockets};
use crate::tally::{Tally, name_of};
use crate::wheel::Wheel;

/// How often a bot plays in a turn-based room, a second, unless the plan says otherwise.
const UNTIMED_HZ: f64 = 2.0;
/// How long a connection may take what is sent, or to be opened.
pub(crate) const PATIENCE: Duration = Duration::from_millis(LINK_SILENCE_MAX_MS);
/// How long a connection that ends may carry its last frames.
const CLOSING_MAX: Duration = Duration::from_secs(1);

/// What the bots of one thread share.
pub(crate) struct Thread {
    pub(crate) wheel: Wheel,
    pub(crate) tally: RefCell<Tally>,
    pub(crate) phase: Cell<Phase>,
    /// The game's schema, once one of them knows it.
    pub(crate) schema: RefCell<Option<Rc<KnownSchema>>>,
    /// The thread's CPU time when measuring began, in nanoseconds.
    pub(crate) cpu_ns: Cell<u64>,
    pub(crate) shared: Arc<Shared>,
}

impl Thread {
    /// Goes on to the run's phase, if that is a new one; says which it is. Bots look as well: where
    /// they leave no time for anything else, that is what is to be measured.
    pub(crate) fn look(&self) -> Phase {
        let phase = self.shared.phase();
        let before = self.phase.replace(phase);
        if phase == before {
            return phase;
        }
        let mut tally = self.tally.borrow_mut();
        tally.measuring = phase == Phase::Measuring;
        if phase == Phase::Measuring {
            tally.from = Some(self.wheel.now());
            self.cpu_ns.set(machine::thread_cpu_ns());
        } else if before == Phase::Measuring {
            tally.cpu_ns = machine::thread_cpu_ns().saturating_sub(self.cpu_ns.get());
        }
        if phase >= Phase::Draining {
            self.wheel.ring_all();
        }
        phase
    }
}

/// How a bot stands to what it is sent.
pub(crate) enum Mind {
    /// It decodes everything.
    Full(Box<Session>),
    /// It reads preludes.
    Light(Box<Light>),
}

/// One bot.
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
    /// When it comes, in microseconds.
    pub(crate) comes: u64,
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
}

/// What became of something that a bot said.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    /// It leaves for the room, now or in its tick.
    New,
    /// An input that is what it was: the room holds it already, and nothing leaves for it.
    Held,
}

/// What woke the task.
enum Wake {
    Bell,
    Happened(Happened),
}

impl Player {
    /// Plays until the run is over, or the bot is refused for good.
    pub(crate) async fn play(mut self) {
        let thread = Rc::clone(&self.thread);
        let mut state = State::default();
        if !self.wait_to_come().await {
            return;
        }
        loop {
            self.handle_due(&mut state);
            self.obey(&mut state).await;
            self.note(&mut state);
            if state.over || thread.phase.get() >= Phase::Leaving {
                break;
            }
            thread.wheel.set(self.place, self.next_due(&state));
            let wake = tokio::select! {
                happened = state.sockets.next() => Wake::Happened(happened),
                () = thread.wheel.rung(self.place) => Wake::Bell,
            };
            if let Wake::Happened(happened) = wake {
                self.take(&mut state, happened);
            }
        }
        state.meter.end(thread.wheel.now(), &mut thread.tally.borrow_mut());
        self.leave(&mut state).await;
    }

    async fn wait_to_come(&self) -> bool {
        let thread = &self.thread;
        while thread.wheel.now() < self.comes {
            if thread.phase.get() >= Phase::Leaving {
                return false;
            }
            thread.wheel.set(self.place, self.comes);
            thread.wheel.rung(self.place).await;
        }
        true
    }

    fn now_ms(&self) -> u64 {
        self.thread.wheel.now() / 1_000
    }

    /// When the bot is to be woken, in microseconds.
    fn next_due(&self, state: &State) -> u64 {
        let timeout = self.mind.poll_timeout().map(|ms| ms.saturating_mul(1_000));
        let plays = self.thread.phase.get() < Phase::Draining;
        let play = state.schedule.filter(|_| plays).map(|schedule| schedule.due());
        [timeout, play].into_iter().flatten().min().unwrap_or(u64::MAX)
    }

    /// Does what is due: plays, and what the session wants done in time.
    fn handle_due(&mut self, state: &mut State) {
        let thread = Rc::clone(&self.thread);
        let phase = thread.look();
        let now = thread.wheel.now();
        let mut tally = thread.tally.borrow_mut();
        if phase < Phase::Draining {
            self.keep_schedule(state, now, &mut tally);
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
            if open && tally.measuring {
                tally.lag.record(now - at);
            }
        }
        if let Err(unfit) = said {
            tally.unfit = Some(unfit);
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
                    let Some(socket) = state.sockets.open(link) else { continue };
                    state.spoken = Some(link);
                    state.meter.sent(&frame, &mut self.thread.tally.borrow_mut());
                    let broken = match timeout(PATIENCE, socket.send(&frame)).await {
                        Ok(Ok(())) => continue,
                        Ok(Err(error)) => error.to_string(),
                        Err(_) => "the server took no data for too long".into(),
                    };
                    state.sockets.take(link);
                    self.mind.handle_close(self.now_ms(), link, None, &broken);
                }
                Output::Disconnect { link, code } => {
                    if let Some(socket) = state.sockets.take(link) {
                        tokio::task::spawn_local(close(socket, code));
                    }
                }
                Output::StoreToken(_) => {}
            }
        }
    }

    fn take(&mut self, state: &mut State, happened: Happened) {
        let now = self.now_ms();
        match happened {
            Happened::Dialed(link, Some(Ok(socket))) => {
                state.sockets.opened(link, socket);
                self.mind.handle_open(now, link);
            }
            Happened::Dialed(link, None) => {
                state.sockets.take(link);
                self.mind.handle_close(now, link, None, "the server did not answer");
            }
            Happened::Received(link, Ok(Received::Frame(frame))) => self.heard(state, link, &frame),
            Happened::Received(link, Ok(Received::Closed { code, reason })) => {
                state.sockets.take(link);
                self.mind.handle_close(now, link, code.and_then(close_code), &reason);
            }
            Happened::Dialed(link, Some(Err(error))) | Happened::Received(link, Err(error)) => {
                state.sockets.take(link);
                self.mind.handle_close(now, link, error.code(), &error.to_string());
            }
        }
    }

    fn heard(&mut self, state: &mut State, link: LinkId, frame: &[u8]) {
        let now = self.thread.wheel.now();
        if state.spoken == Some(link) {
            let mut tally = self.thread.tally.borrow_mut();
            if let Some(greeted) = state.meter.received(now, frame, &mut tally) {
                tally.resumes += u64::from(greeted == Greeted::Resumed);
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
                match std::mem::replace(&mut state.is_in, false) {
                    true => dropped(&reason, &thread.shared, &mut tally),
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
        (state.was_in, state.is_in) = (true, true);
        if first {
            tally.connect.record(now.saturating_sub(state.dialed));
        }
        let seated_now = state.meter.seat().is_some() && !state.seated;
        count_place(state, &self.thread.shared);
        settle(state, &self.thread.shared);
        if self.thread.schema.borrow().is_none() {
            *self.thread.schema.borrow_mut() = self.mind.known_schema();
        }
        if seated_now {
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

/// Counts a bot once: as seated from its first seat on, till then as one that only watches.
fn count_place(state: &mut State, shared: &Shared) {
    if state.seated {
        return;
    }
    let watched = std::mem::replace(&mut state.watches, state.meter.seat().is_none());
    state.seated = !state.watches;
    match (watched, state.watches) {
        (false, true) => shared.watching.fetch_add(1, Ordering::Relaxed),
        (true, false) => shared.watching.fetch_sub(1, Ordering::Relaxed),
        _ => 0,
    };
    shared.joined.fetch_add(u64::from(state.seated), Ordering::Relaxed);
}

fn settle(state: &mut State, shared: &Shared) {
    if !std::mem::replace(&mut state.settled, true) {
        shared.settled.fetch_add(1, Ordering::Relaxed);
    }
}

fn refused(reason: Reason, shared: &Shared, tally: &mut Tally) {
    *tally.refusals.entry(name_of(reason.code)).or_default() += 1;
    note_unreadable(&reason, shared, tally);
    tally.why = Some(reason.to_string());
}

fn dropped(reason: &Reason, shared: &Shared, tally: &mut Tally) {
    *tally.drops.entry(name_of(reason.code)).or_default() += 1;
    shared.drops.fetch_add(1, Ordering::Relaxed);
    note_unreadable(reason, shared, tally);
}

/// What could not be read is a wrong state, of a kind.
fn note_unreadable(reason: &Reason, shared: &Shared, tally: &mut Tally) {
    if reason.message.starts_with(UNREADABLE) {
        tally.wrong += 1;
        shared.wrong.fetch_add(1, Ordering::Relaxed);
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

impl Mind {
    fn is_open(&self) -> bool {
        match self {
            Self::Full(session) => session.status() == Status::Open,
            Self::Light(light) => light.is_open(),
        }
    }

    fn say(&mut self, now: u64, say: &Say) -> Result<Said, String> {
        match (self, say) {
            (Self::Light(light), say) => light.say(say)?,
            (Self::Full(session), Say::Input(name, value)) => {
                let before = session.metrics().inputs;
                session.set_input(now, name, value).map_err(|error| error.to_string())?;
                if session.metrics().inputs == before && !session.input_waits(name) {
                    return Ok(Said::Held);
                }
            }
            (Self::Full(session), Say::Action(name, value)) => {
                session.send_action(name, value).map_err(|error| error.to_string())?;
            }
        }
        Ok(Said::New)
    }

    fn known_schema(&self) -> Option<Rc<KnownSchema>> {
        match self {
            Self::Full(session) => session.schema_bytes().and_then(KnownSchema::read),
            Self::Light(light) => light.schema().cloned(),
        }
    }

    fn checks(&self) -> (u64, u64) {
        match self {
            Self::Full(session) => session.checks(),
            Self::Light(_) => (0, 0),
        }
    }

    fn leave(&mut self) {
        match self {
            Self::Full(session) => session.leave(),
            Self::Light(light) => light.leave(),
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        match self {
            Self::Full(session) => session.poll_output(),
            Self::Light(light) => light.poll_output(),
        }
    }

    fn poll_event(&mut self) -> Option<Event> {
        match self {
            Self::Full(session) => session.poll_event(),
            Self::Light(light) => light.poll_event(),
        }
    }

    fn poll_timeout(&self) -> Option<u64> {
        match self {
            Self::Full(session) => session.poll_timeout(),
            Self::Light(light) => light.poll_timeout(),
        }
    }

    fn handle_timeout(&mut self, now: u64) {
        match self {
            Self::Full(session) => session.handle_timeout(now),
            Self::Light(light) => light.handle_timeout(now),
        }
    }

    fn handle_open(&mut self, now: u64, link: LinkId) {
        match self {
            Self::Full(session) => session.handle_open(now, link),
            Self::Light(light) => light.handle_open(now, link),
        }
    }

    fn handle_frame(&mut self, now: u64, link: LinkId, frame: &[u8]) {
        match self {
            Self::Full(session) => session.handle_frame(now, link, frame),
            Self::Light(light) => light.handle_frame(now, link, frame),
        }
    }

    fn handle_close(&mut self, now: u64, link: LinkId, code: Option<Code>, text: &str) {
        match self {
            Self::Full(session) => session.handle_close(now, link, code, text),
            Self::Light(light) => light.handle_close(now, link, code, text),
        }
    }
}
