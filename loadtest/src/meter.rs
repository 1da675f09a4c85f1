//! One bot's measuring: it looks at the frames that go both ways, whoever makes and reads them, and
//! tells how long after its scheduled instant each input or action was told of by a state. Pure: times
//! are arguments, in microseconds.

use std::collections::VecDeque;

use referee_protocol::bits::read_varint;
use referee_protocol::frame::{Lane, Prelude, split};
use referee_protocol::message::{self, ServerControl, Welcome};
use referee_protocol::{Seat, Tick};

use crate::tally::Tally;

/// Most instants that wait for an answer: a minute of connection loss at 60 a second. Beyond them the
/// oldest is counted as unanswered.
const WAITING_MAX: usize = 3_600;

/// Instants of one kind of wish, from the schedule to the state that tells of them.
#[derive(Debug, Default)]
struct Line {
    /// The bot's link, by its place among the run's.
    link: Option<usize>,
    /// Scheduled, on no frame yet.
    wished: Vec<u64>,
    /// On the frame of this number, on its way.
    sent: VecDeque<(u64, u64)>,
    /// The last number that was told of.
    answered: u64,
}

impl Line {
    fn wish(&mut self, at: u64) -> Option<u64> {
        self.wished.push(at);
        (self.wished.len() + self.sent.len() > WAITING_MAX).then(|| self.oldest()).flatten()
    }

    fn oldest(&mut self) -> Option<u64> {
        match self.sent.pop_front() {
            Some((_, at)) => Some(at),
            None => Some(self.wished.remove(0)),
        }
    }

    /// A frame of this number left: everything wished till then rides on it.
    fn left(&mut self, number: u64) {
        self.sent.extend(self.wished.drain(..).map(|at| (number, at)));
    }

    fn answer(&mut self, number: u64, now: u64, tally: &mut Tally) {
        self.answered = self.answered.max(number);
        while let Some((_, at)) = self.sent.pop_front_if(|(sent, _)| *sent <= number) {
            tally.answered(self.link, at, now);
        }
    }

    /// What was on its way is lost: it is wished again, by its old instants.
    fn lose(&mut self) {
        let again: Vec<u64> = self.sent.drain(..).map(|(_, at)| at).collect();
        self.wished.splice(..0, again);
    }

    fn waiting(&self) -> impl Iterator<Item = u64> {
        self.sent.iter().map(|(_, at)| *at).chain(self.wished.iter().copied())
    }
}

/// What a Welcome meant to a bot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Greeted {
    /// It is in, and had no seat before.
    Joined,
    /// It is back in its seat.
    Resumed,
    /// It is back, and not in the seat it had.
    Reseated,
}

/// One bot's measuring.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    inputs: Line,
    actions: Line,
    hz: Option<u16>,
    seat: Option<Seat>,
    /// Of the last state on any connection.
    tick: Tick,
    /// When the last state of this connection came.
    came: Option<u64>,
}

impl Meter {
    /// The measuring of a bot with this link.
    pub(crate) fn new(link: Option<usize>) -> Self {
        let line = || Line { link, ..Line::default() };
        Self { inputs: line(), actions: line(), ..Self::default() }
    }

    /// Whether states have told of everything.
    pub(crate) fn is_idle(&self) -> bool {
        self.inputs.waiting().chain(self.actions.waiting()).next().is_none()
    }

    /// Ticks per second; none in a turn-based room, and before the first Welcome.
    pub(crate) fn hz(&self) -> Option<u16> {
        self.hz
    }

    /// The seat, while there is one.
    pub(crate) fn seat(&self) -> Option<Seat> {
        self.seat
    }

    /// An input (or an action) was to be done at this instant.
    pub(crate) fn wish(&mut self, input: bool, at: u64, now: u64, tally: &mut Tally) {
        let line = if input { &mut self.inputs } else { &mut self.actions };
        if let Some(oldest) = line.wish(at) {
            tally.unanswered(line.link, oldest, now);
        }
    }

    /// A frame leaves.
    pub(crate) fn sent(&mut self, now: u64, frame: &[u8], tally: &mut Tally) {
        tally.sent(now, frame.len());
        let Ok((lane, mut body)) = split(frame) else { return };
        match lane {
            Lane::Input => {
                let numbers = (0..3).map(|_| read_varint(&mut body));
                if let Some(Ok(sample)) = numbers.last() {
                    self.inputs.left(sample);
                }
            }
            Lane::Action => {
                if let Ok(number) = read_varint(&mut body) {
                    self.actions.left(number);
                }
            }
            Lane::Control | Lane::State | Lane::Events | Lane::Ack | Lane::Schema => {}
        }
    }

    /// A frame came. Says what a Welcome meant.
    pub(crate) fn received(
        &mut self,
        now: u64,
        frame: &[u8],
        tally: &mut Tally,
    ) -> Option<Greeted> {
        tally.received(now, frame.len());
        let (lane, body) = split(frame).ok()?;
        match lane {
            Lane::State => self.state(now, body, tally),
            Lane::Control => {
                if let Ok(ServerControl::Welcome(welcome)) = message::decode(body) {
                    return Some(self.welcome(now, &welcome, tally));
                }
            }
            Lane::Events | Lane::Schema | Lane::Input | Lane::Action | Lane::Ack => {}
        }
        None
    }

    fn welcome(&mut self, now: u64, welcome: &Welcome, tally: &mut Tally) -> Greeted {
        let greeted = match (self.seat, welcome.resumed) {
            (Some(_), true) => Greeted::Resumed,
            (Some(_), false) => Greeted::Reseated,
            // Who only watched had no seat to come back to.
            (None, _) => Greeted::Joined,
        };
        if welcome.resumed {
            // What the room had of the connection before counts as done now.
            self.actions.answer(welcome.last_action, now, tally);
        }
        self.actions.lose();
        self.inputs.lose();
        (self.actions.answered, self.inputs.answered) = (welcome.last_action, 0);
        (self.hz, self.seat, self.came) = (welcome.hz, welcome.seat, None);
        tally.hz = tally.hz.or(welcome.hz);
        greeted
    }

    fn state(&mut self, now: u64, body: &[u8], tally: &mut Tally) {
        let Ok(prelude) = Prelude::decode(&mut &body[..], self.tick) else { return };
        if let Some(low) = prelude.action {
            let more = low.wrapping_sub(self.actions.answered as u16);
            self.actions.answer(self.actions.answered + u64::from(more), now, tally);
        }
        if let Some(input) = prelude.input {
            let more = input.sample.wrapping_sub(self.inputs.answered as u8);
            self.inputs.answer(self.inputs.answered + u64::from(more), now, tally);
        }
        let passed = prelude.tick.0.saturating_sub(self.tick.0);
        tally.series.at(now).states += 1;
        if let Some(came) = self.came.filter(|_| tally.measuring) {
            tally.states += 1;
            if let Some(hz) = self.hz {
                tally.skipped += passed.saturating_sub(1);
                let due = passed * 1_000_000 / u64::from(hz.max(1));
                tally.jitter.record((now - came).abs_diff(due));
            }
        }
        (self.tick, self.came) = (prelude.tick, Some(now));
    }

    /// The run is over: what no state has told of is measured by its age.
    pub(crate) fn end(&mut self, now: u64, tally: &mut Tally) {
        for at in self.inputs.waiting().chain(self.actions.waiting()) {
            tally.unanswered(self.inputs.link, at, now);
        }
        *self = Self::new(self.inputs.link);
    }
}

#[cfg(test)]
mod tests;
