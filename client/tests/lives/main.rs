//! A match through everything that may happen to it: connections that break at any point, and a server
//! that crashes and loses the last moment. Afterwards each client sees what its player is to see, was
//! told each event of what became of the match once and in order, and each of its actions was done
//! once. Each run has a number; the message of a failure says it.

mod game;
mod site;

use site::{Bug, Class, Site};

/// How many runs of each kind.
fn runs() -> u64 {
    std::env::var("REFEREE_SEEDS").ok().and_then(|n| n.parse().ok()).map_or(40, |n: u64| n * 10)
}

/// A run with this number, with something broken in it or not.
fn run(seed: u64, class: Class, bug: Option<Bug>) -> Result<(), String> {
    let mut site = Site::new(seed, class, bug);
    site.gather();
    for _ in 0..160 {
        site.step();
        site.misfortune();
    }
    site.heal()?;
    site.judge()
}

fn all(class: Class) {
    for seed in 0..runs() {
        run(seed, class, None).unwrap_or_else(|why| panic!("the run with seed {seed}: {why}"));
    }
}

#[test]
fn nothing_is_lost_or_told_twice_where_all_waits_for_the_disk() {
    all(Class::Gated);
}

#[test]
fn what_a_crash_takes_back_is_taken_back_everywhere() {
    all(Class::Logged);
}

#[test]
fn what_is_broken_is_found() {
    for bug in [Bug::LivesAreOne, Bug::ActionsAreForgotten, Bug::EventsComeAgain] {
        let found = (0..60).any(|seed| run(seed, Class::Logged, Some(bug)).is_err());
        assert!(found, "{bug:?} was not found");
    }
}
