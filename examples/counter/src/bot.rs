//! A bot that presses.

use referee::bot::{Bot, Say, Session, Value};

/// Presses each time it is asked, looking or not.
#[derive(Debug, Default)]
pub struct Presser;

/// The bot of a seed; they are all alike.
#[must_use]
pub fn bot(_seed: u64) -> Presser {
    Presser
}

impl Bot for Presser {
    fn play(&mut self, _: &Session) -> Option<Say> {
        self.play_blind()
    }

    fn play_blind(&mut self) -> Option<Say> {
        Some(Say::Action("Press", Value::Null))
    }
}
