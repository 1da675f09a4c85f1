//! What the command line takes, and what its exit code says.

use super::*;
use crate::report::Report;
use clap::CommandFactory;
use referee_client::Session;
use referee_client::bot::{Bot, Say};

struct Idle;

impl Bot for Idle {
    fn play(&mut self, _: &Session) -> Option<Say> {
        None
    }
}

fn games(names: &[&str]) -> Load {
    let mut load = Load::default();
    names.iter().for_each(|name| load.game(name, |_| Idle));
    load
}

fn parse(arguments: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("load").chain(arguments.split_whitespace()))
}

fn cli(arguments: &str) -> run::Run {
    parse(arguments).unwrap().run
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
fn patterns_and_links_are_said_on_the_line() {
    let arguments = "--pattern churn:stay=5s --pattern flash:at=2s+storm:at=3s --link 30%:mobile \
                     --link delay=5ms";
    let plan = cli(arguments).plan(&games(&["a"])).unwrap();
    assert!(plan.pattern.churn.is_some() && plan.pattern.storm.is_some());
    assert_eq!((plan.links.len(), plan.links[0].share), (2, Some(0.3)));
    let bad = cli("--pattern wave").plan(&games(&["a"])).unwrap_err();
    assert!(bad.contains("wave") && bad.contains("flash:at"), "{bad}");
    assert!(parse("--link modem").unwrap_err().to_string().contains("lan, wifi"));
}

#[test]
fn the_other_commands_are_known() {
    let line = "capacity --game a --server s --server-cores 1 --server-arg --no-quic --p99 50ms";
    assert!(matches!(parse(line).unwrap().command, Some(Command::Capacity(_))));
    assert!(matches!(parse("compare a b --html c").unwrap().command, Some(Command::Compare(_))));
    for (bad, part) in [
        ("capacity --server-cores 1", "--server"),
        ("capacity --null --server x", "--null"),
        ("compare a", "B.json"),
        ("capacity --ticks-kept 95", "25%"),
    ] {
        assert!(parse(bad).unwrap_err().to_string().contains(part), "{bad}");
    }
    let nowhere = Files { json: Some("/nowhere/at/all.json".into()), html: None };
    assert!(nowhere.check().unwrap_err().contains("there is no folder /nowhere/at"));
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
