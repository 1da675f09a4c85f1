//! A server to load, with the example games.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use referee_loadtest::{Plan, Report};
use referee_room::{Game, Template};
use referee_server::config::Config;
use referee_server::games::{Games, Hosted, game_name};
use referee_server::run::{RunError, Running, Server};
use referee_server::store::{JournalKeep, StoreConfig};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server in a folder of its own.
pub(crate) struct Site {
    running: Option<Running>,
    config: Config,
}

fn hosted() -> Games {
    let host = |name: &str, game: fn(&mut Game)| {
        let template = Template::new(name, game).unwrap();
        let hosted = Hosted { template, title: None, description: None, page: None };
        (game_name(name).unwrap(), hosted)
    };
    [
        host("arena", arena::arena),
        host("cards", cards::cards),
        host("counter", counter::counter),
        host("tic-tac-toe", tic_tac_toe::tic_tac_toe),
    ]
    .into()
}

pub(crate) fn folder() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("referee-load-{}-{number}", std::process::id()))
}

impl Site {
    /// A server in test mode.
    pub(crate) fn new() -> Self {
        Self::of(Config::default())
    }

    /// One that keeps whole matches.
    pub(crate) fn keeping_journals() -> Self {
        let store = StoreConfig { journal_keep: JournalKeep::Match, ..StoreConfig::default() };
        Self::of(Config { store, ..Config::default() })
    }

    pub(crate) fn of(config: Config) -> Self {
        let data = folder();
        let config = Config { port: 0, host_threads: 1, test_mode: true, data, ..config };
        let running = Server::start(hosted(), config.clone()).unwrap();
        Self { running: Some(running), config }
    }

    pub(crate) fn port(&self) -> u16 {
        self.running.as_ref().unwrap().address().port()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// Stops it as SIGTERM does, and starts it again where it was.
    pub(crate) fn restart(&mut self) {
        self.while_stopped(|_, _| ());
    }

    /// The same, with something done on its folder in between.
    pub(crate) fn while_stopped<R>(&mut self, act: impl FnOnce(&Games, &Config) -> R) -> R {
        self.config.port = self.port();
        self.running.take().unwrap().stop().unwrap();
        let done = act(&hosted(), &self.config);
        let deadline = Instant::now() + PATIENCE;
        while self.running.is_none() {
            match Server::start(hosted(), self.config.clone()) {
                Ok(running) => self.running = Some(running),
                // Somebody else's connection may have the port for a moment.
                Err(RunError::Listen { .. }) if Instant::now() < deadline => {}
                Err(error) => panic!("{error}"),
            }
        }
        done
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(self.running.take());
        let _ = std::fs::remove_dir_all(&self.config.data);
    }
}

/// Eight bots of a game, for a second. A lag of ten seconds is no fault here: tests share a machine.
pub(crate) fn eight(url: &str, game: &str) -> Plan {
    let plan = match game {
        "arena" => Plan::new(game, arena::bot),
        "cards" => Plan::new(game, cards::bot),
        "counter" => Plan::new(game, counter::bot),
        "tic-tac-toe" => Plan::new(game, tic_tac_toe::bot),
        other => panic!("no bots for {other}"),
    };
    Plan {
        url: url.into(),
        rooms: 4,
        players: 2,
        duration: Duration::from_secs(1),
        ramp: Some(Duration::from_millis(50)),
        hz: Some(20.0),
        lag_limit: Duration::from_secs(10),
        ..plan
    }
}

/// What every good run looks like.
#[track_caller]
pub(crate) fn is_good(report: &Report) {
    assert_eq!((report.joined, report.drops, report.wrong), (8, 0, 0), "{report:#?}");
    assert!(report.latency_ms.count > 0 && report.connect_ms.count == 8, "{report:#?}");
    assert!(report.states > 0 && report.traffic.out_bytes_per_s > 0.0, "{report:#?}");
    assert!(report.valid && report.generator.lag_ms.count > 0, "{report:#?}");
    assert_eq!(report.unanswered, 0, "{report:#?}");
}
