//! The README's bot, letter by letter, and a way for a test to get hold of it.
#![allow(dead_code, reason = "its main is that of a program of its own")]

use referee::bot::{Bot, Say, Session, Value};

/// Flies towards the middle.
struct Homer;

impl Bot for Homer {
    fn play(&mut self, game: &Session) -> Option<Say> {
        let at = game.me()?.component("Position")?;
        let (x, y) = (500.0 - at.number_of("x")?, 500.0 - at.number_of("y")?);
        let far = x.hypot(y).max(1.0);
        let (x, y) = ((x / far).into(), (y / far).into());
        let stick = [("x", x), ("y", y), ("aim", 0.0.into()), ("fire", false.into())];
        Some(Say::Input("Stick", Value::record(stick)))
    }
}

fn main() -> std::process::ExitCode {
    referee_loadtest::run(|load| load.game("arena", |_seed| Homer))
}

pub(crate) fn bot(_seed: u64) -> impl Bot {
    Homer
}
