//! What the command line takes, and what its exit code says.

use super::*;
use clap::CommandFactory;
use referee_client::Session;
use referee_client::bot::{Bot, Say};
use std::sync::Arc;

struct Idle;

impl Bot for Idle {
    fn play(&mut self, _: &Session) -> Option<Say> {
        None
    }
}

fn games(names: &[&str]) -> BTreeMap<String, MakeBot> {
    let bot: MakeBot = Arc::new(|_| Box::new(Idle));
    names.iter().map(|name| ((*name).to_owned(), bot.clone())).collect()
}

fn cli(arguments: &str) -> Cli {
    Cli::try_parse_from(std::iter::once("load").chain(arguments.split_whitespace())).unwrap()
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn what_is_said_becomes_a_plan() {
    let arguments = "--game a --rooms 3 --players 4 --duration 1500ms --transport mix --ramp 2s \
                     --check all --seed 9 --hz 20 --url http://h:1/ --assert p99=2ticks,drops=0";
    let cli = cli(arguments);
    let plan = cli.plan(&games(&["a", "b"])).unwrap();
    assert_eq!((plan.bots(), plan.seed, plan.hz), (12, 9, Some(20.0)));
    assert_eq!((plan.duration, plan.ramp()), (Duration::from_millis(1500), Duration::from_secs(2)));
    assert_eq!((plan.transport, plan.check), (Transport::Mix, Check::All));
    assert_eq!((plan.url.as_str(), cli.assert.len()), ("http://h:1", 2));
}

#[test]
fn a_game_must_be_named_where_there_are_more() {
    assert!(cli("").plan(&games(&["a", "b"])).unwrap_err().contains("--game a or --game b"));
    assert_eq!(cli("").plan(&games(&["a"])).unwrap().game, "a");
    assert!(cli("--game c").plan(&games(&["a"])).unwrap_err().contains("no bot for \"c\""));
}

#[test]
fn times_have_units() {
    assert_eq!(duration("90s"), duration("1.5m"));
    for bad in ["5", "s", "-1s", "5 parsecs", "1e300h"] {
        assert!(duration(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_exit_code_tells_failed_from_invalid() {
    let valid = Report { valid: true, ..Report::default() };
    let code = |arguments: &str, report: &Report| cli(arguments).verdict(report);
    assert_eq!(code("--assert drops=0", &valid), ExitCode::SUCCESS);
    let dropped = Report { drops: 1, ..valid.clone() };
    assert_eq!(code("--assert drops=0", &dropped), ExitCode::from(FAILED));
    let mut stalled = valid.clone();
    stalled.generator.lag_ms.max = 9.0;
    assert_eq!(code("--assert max=1s", &stalled), ExitCode::from(INVALID));
    assert_eq!(code("--assert drops=0", &stalled), ExitCode::SUCCESS);
    let invalid = Report { valid: false, ..valid };
    assert_eq!(code("--assert drops=0,p99=5ms", &invalid), ExitCode::from(INVALID));
}
