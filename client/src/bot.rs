//! A player that is a program: what a game's bots implement, and what a load test drives.

use crate::Session;
use referee_protocol::Value;

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
    /// Looks at the match and says what to do now, if anything. In a realtime room it is asked as
    /// often as the load test samples inputs; in a turn-based one after each new state, and every
    /// half second while nothing happens.
    fn play(&mut self, match_: &Session) -> Option<Say>;

    /// Plays without looking, for load where not every bot reads the state. `None`: it cannot, and is
    /// always shown the match.
    fn play_blind(&mut self) -> Option<Say> {
        None
    }
}
