//! Load for Referee servers: thousands of bots that play, and an honest report of what they saw.
//!
//! An author loads a game of their own with a `main` of one line:
//!
//! ```no_run
//! # use referee_client::{Session, bot::{Bot, Say}};
//! # struct Mine; impl Bot for Mine { fn play(&mut self, _: &Session) -> Option<Say> { None } }
//! # fn my_bot(_seed: u64) -> Mine { Mine }
//! fn main() -> std::process::ExitCode {
//!     referee_loadtest::run(|load| load.game("my-game", |seed| my_bot(seed)))
//! }
//! ```
//!
//! With `load.room("my-game", my_game)` as well, `capacity --null` knows how its rooms are made.
//!
//! The same bots make a game's tables: [`train()`] plays whole matches in memory.
//!
//! Tests and benches make a [`Plan`] and call [`run_plan`], which blocks until it has a [`Report`].

mod assertion;
mod capacity;
mod cli;
mod compare;
mod door;
mod html;
mod light;
mod link;
mod live;
mod load;
mod machine;
mod meter;
mod mind;
mod pattern;
mod plan;
mod player;
mod rehearsal;
mod report;
mod run;
mod samples;
mod schedule;
mod score;
mod series;
mod server;
mod shared;
mod sockets;
mod table;
mod tally;
mod thread;
mod time;
mod train;
mod wheel;
mod worker;

pub use assertion::{Assertion, AssertionError, Verdict, judge};
pub use capacity::{
    Bounds, Capacity, HostBy, Level, NullTrial, Scaling, Setting, Simulated, Trial, capacity,
    capacity_table, null_capacity,
};
pub use compare::{Comparison, Difference, Judgement, compare};
pub use html::{capacity_page, comparison_page, run_page};
pub use link::{LINKS_MAX, Link, LinkError};
pub use load::{Load, LoadError, run, run_plan};
pub use pattern::{Arrival, Churn, Pattern, PatternError, Storm};
pub use plan::{Check, LAG_LIMIT, MakeBot, Plan, Progress, Stop, Transport};
pub use referee_client::bot::{Bot, Say};
pub use report::{
    Bucket, Generator, Interval, Mark, OfLink, Report, Sample, Server, Spread, Told, Traffic,
};
pub use score::{Part, Recording, RecordingError};
pub use table::table;
pub use train::{Learnt, MakeGame, TrainError, Training, Trainings, train};
