//! A player that is a program: what a game's bots implement, and what a load test drives.

pub use crate::{Random, Session};
pub use referee_protocol::Value;

/// What a bot does.
#[derive(Clone, PartialEq, Debug)]
pub enum Say {
    /// Sets a sampled input, which holds until it is set anew.
    Input(&'static str, Value),
    /// Does an action.
    Action(&'static str, Value),
}

/// A player that is a program. It sees what any client sees, and acts like one.
pub trait Bot: Send {
    /// Looks at the match and says what to do now, if anything. It is asked by a schedule: as often as
    /// a realtime room ticks, twice a second in a turn-based one, or as the load test was told.
    fn play(&mut self, match_: &Session) -> Option<Say>;

    /// Plays without looking, for load where not every bot reads the state; asked by the same schedule.
    /// A new bot that answers `None` cannot, and is always shown the match.
    fn play_blind(&mut self) -> Option<Say> {
        None
    }
}

impl<B: Bot + ?Sized> Bot for Box<B> {
    fn play(&mut self, match_: &Session) -> Option<Say> {
        (**self).play(match_)
    }

    fn play_blind(&mut self) -> Option<Say> {
        (**self).play_blind()
    }
}
