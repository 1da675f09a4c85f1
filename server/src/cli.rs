//! The command line that every game's binary has, and the log it asks for.

use std::io::IsTerminal;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::config::Config;
use crate::games::Games;
use crate::store::{JournalKeep, StoreConfig};
use crate::tools::{self, ToolError};

/// Hosts multiplayer games: open the address it prints, share the link of a match, play.
#[derive(Clone, PartialEq, Eq, Debug, Parser)]
#[command(name = "referee", version, args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:\n  \
    Play on this machine:              (no arguments)\n  \
    Play with others on your network:  --bind 0.0.0.0\n  \
    Behind a proxy with a name:        --host play.example.com --trust-proxy 127.0.0.1")]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Clone, PartialEq, Eq, Debug, Subcommand)]
enum Command {
    /// Host the games (what happens without a command)
    Serve(Serve),
    /// Play a stored match again and compare the state hashes written on the way; no server may run
    /// on the folder
    Replay {
        /// The match: GAME/MATCH
        room: String,
        #[command(flatten)]
        stored: Stored,
    },
    /// Print what the players of a stored match said and when, as JSON, for load tests (referee-loadtest
    /// --replay); no server may run on the folder
    Export {
        /// The match: GAME/MATCH
        room: String,
        #[command(flatten)]
        stored: Stored,
    },
    /// Print the state of a stored match as JSON, hidden parts included; no server may run on the folder
    Inspect {
        /// The match: GAME/MATCH
        room: String,
        /// As it was at the end of this tick, if that is kept [default: the last one]
        #[arg(long, value_name = "TICK")]
        tick: Option<u64>,
        #[command(flatten)]
        stored: Stored,
    },
}

/// Where stored matches are.
#[derive(Clone, PartialEq, Eq, Debug, Args)]
pub struct Stored {
    /// The folder that keeps the rooms
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
}

/// What a process is to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Task {
    /// Host the games.
    Serve(Serve),
    /// Print what a tool says of a stored match.
    Tool(Tool),
}

/// What is to be done with a stored match.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tool {
    room: String,
    what: What,
    data: PathBuf,
}

/// What a tool does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    /// Play the match again.
    Replay,
    /// Tell what players said.
    Export,
    /// Show the state, at the end of a tick or of the match.
    Inspect(Option<u64>),
}

impl Tool {
    /// Does it. Gives what is to be printed.
    ///
    /// # Errors
    /// When the match is not there, or is not as it should be.
    pub fn run(&self, games: &Games) -> Result<String, ToolError> {
        let config = Config { data: self.data.clone(), ..Config::default() };
        match self.what {
            What::Inspect(tick) => tools::inspect(games, &config, &self.room, tick),
            What::Export => tools::export(games, &config, &self.room),
            What::Replay => tools::replay(games, &config, &self.room),
        }
    }
}

/// What `serve` is told.
#[derive(Clone, PartialEq, Eq, Debug, Args)]
pub struct Serve {
    /// The port to listen on; 0 takes any free one
    #[arg(long, value_name = "PORT", default_value_t = 7777)]
    port: u16,
    /// The address to listen on; 0.0.0.0 for all of this machine's
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    bind: IpAddr,
    /// A name under which the server may be called, beside IP addresses and localhost; repeatable
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// An origin whose pages may connect, beside the server's own; repeatable
    #[arg(long, value_name = "ORIGIN")]
    origin: Vec<String>,
    /// The proxy whose X-Forwarded-For says who a client is
    #[arg(long, value_name = "ADDRESS")]
    trust_proxy: Option<IpAddr>,
    /// The certificate for https, wss and QUIC, its chain behind it (PEM); without one: http and ws,
    /// and QUIC with a certificate made here, which clients pin
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The key of the certificate (PEM)
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Speak no QUIC, and leave the UDP port alone
    #[arg(long)]
    no_quic: bool,
    /// The folder that keeps the rooms
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// How much of a room's past is kept for replays: none, the last so many minutes, or all of the
    /// match
    #[arg(long, value_name = "none|MINUTES|match", default_value = "none", value_parser = keep)]
    keep_journal: JournalKeep,
    /// New rooms one address may make per second, over some seconds; more for load tests
    #[arg(long, value_name = "ROOMS", default_value_t = Config::default().new_rooms_per_second)]
    new_rooms_per_second: u32,
    /// Messages a client may send per second, over some seconds; more for load tests
    #[arg(long, value_name = "MESSAGES", default_value_t = Config::default().messages_per_second)]
    messages_per_second: u32,
    /// Connections one address may have; more for load tests, which come from one
    #[arg(long, value_name = "CONNECTIONS", default_value_t = Config::default().connections_per_address_max)]
    connections_per_address: usize,
    /// After so many seconds without an act a turn-based room is put out of memory, its connections open,
    /// until the next one; 0 keeps it
    #[arg(long, value_name = "SECONDS", default_value_t = Config::default().park_after_ms / 1_000)]
    park_after: u64,
    /// Seconds that one turn of a room may take before the room is ended and its thread given up; 0 for never
    #[arg(long, value_name = "SECONDS", default_value_t = Config::default().turn_max_ms / 1_000)]
    turn_max: u64,
    /// Write no journal: a crash costs every game what came since its last snapshot, also a gated one
    #[arg(long)]
    no_journal: bool,
    /// For tests: clients that ask are sent the hash of what they should see after each state
    #[arg(long)]
    test_mode: bool,
    /// What to log to stderr: a level, or target=level,..; RUST_LOG says the same [default: info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

impl Cli {
    /// What the process was started with. Ends it after `--help`, or when that cannot be read.
    #[must_use]
    pub fn of_process() -> Self {
        Self::parse()
    }

    /// What to do.
    #[must_use]
    pub fn into_task(self) -> Task {
        let tool = |room, what, stored: Stored| Task::Tool(Tool { room, what, data: stored.data });
        match self.command {
            Some(Command::Serve(serve)) => Task::Serve(serve),
            Some(Command::Replay { room, stored }) => tool(room, What::Replay, stored),
            Some(Command::Export { room, stored }) => tool(room, What::Export, stored),
            Some(Command::Inspect { room, tick, stored }) => {
                tool(room, What::Inspect(tick), stored)
            }
            None => Task::Serve(self.serve),
        }
    }
}

impl Serve {
    /// The settings; what the command line does not say is the default.
    #[must_use]
    pub fn config(&self) -> Config {
        Config {
            port: self.port,
            bind: self.bind,
            hosts: self.host.clone(),
            origins: self.origin.clone(),
            trust_proxy: self.trust_proxy,
            tls_cert: self.tls_cert.clone(),
            tls_key: self.tls_key.clone(),
            quic: !self.no_quic,
            data: self.data.clone(),
            store: StoreConfig { journal_keep: self.keep_journal, ..StoreConfig::default() },
            journal: !self.no_journal,
            new_rooms_per_second: self.new_rooms_per_second,
            messages_per_second: self.messages_per_second,
            messages_burst: self.messages_per_second.saturating_mul(2),
            connections_per_address_max: self.connections_per_address,
            test_mode: self.test_mode,
            park_after_ms: self.park_after.saturating_mul(1_000),
            turn_max_ms: self.turn_max.saturating_mul(1_000),
            ..Config::default()
        }
    }

    /// Sends what the server says about itself to stderr. A program that has set up its own log
    /// before keeps that.
    ///
    /// # Errors
    /// When the filter cannot be read.
    pub fn start_log(&self) -> Result<(), String> {
        let said = self.log.clone().or_else(|| std::env::var(EnvFilter::DEFAULT_ENV).ok());
        let filter = said.unwrap_or_else(|| "info".to_owned());
        let filter = EnvFilter::try_new(&filter).map_err(|error| {
            format!("the log filter {filter:?} cannot be read ({error}); try --log debug")
        })?;
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false);
        // The only failure is that there is a log already.
        let _ = log.compact().try_init();
        Ok(())
    }
}

/// What `--keep-journal` says.
fn keep(text: &str) -> Result<JournalKeep, String> {
    match (text, text.parse()) {
        ("none", _) => Ok(JournalKeep::None),
        ("match", _) => Ok(JournalKeep::Match),
        (_, Ok(minutes @ 1..)) => Ok(JournalKeep::Minutes(minutes)),
        _ => Err("it must be none, a number of minutes from 1 on, or match".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(arguments: &str) -> Result<Serve, clap::Error> {
        let arguments = std::iter::once("game").chain(arguments.split_whitespace());
        Cli::try_parse_from(arguments).map(|cli| match cli.into_task() {
            Task::Serve(serve) => serve,
            Task::Tool(tool) => panic!("{tool:?}"),
        })
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serving_is_what_happens_without_a_command() {
        let arguments = "--port 0 --bind ::1 --host a.b --host c.d --data elsewhere";
        let plain = parse(arguments).unwrap();
        assert_eq!(parse(&format!("serve {arguments}")).unwrap(), plain);
        let config = plain.config();
        assert_eq!(config.address().to_string(), "[::1]:0");
        assert_eq!(config.hosts, ["a.b", "c.d"]);
        assert_eq!(config.data, PathBuf::from("elsewhere"));
        assert_eq!(parse("").unwrap().config().address().to_string(), "127.0.0.1:7777");
        let rate = |arguments| parse(arguments).unwrap().config().new_rooms_per_second;
        assert_eq!(rate("--new-rooms-per-second 900"), 900);
        assert_eq!(rate(""), Config::default().new_rooms_per_second);
        let keep = |arguments| parse(arguments).unwrap().config().store.journal_keep;
        assert_eq!(keep(""), JournalKeep::None);
        assert_eq!(keep("--keep-journal none"), JournalKeep::None);
        assert_eq!(keep("--keep-journal 15"), JournalKeep::Minutes(15));
        assert_eq!(keep("--keep-journal match"), JournalKeep::Match);
        let park = |arguments| parse(arguments).unwrap().config().park_after_ms;
        assert_eq!(park(""), Config::default().park_after_ms);
        assert_eq!((park("--park-after 5"), park("--park-after 0")), (5_000, 0));
        let of_address = |arguments| parse(arguments).unwrap().config().connections_per_address_max;
        assert_eq!(of_address("--connections-per-address 9000"), 9_000);
        assert_eq!(of_address(""), Config::default().connections_per_address_max);
        assert!(parse("").unwrap().config().quic && !parse("--no-quic").unwrap().config().quic);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (arguments, part) in [
            ("--port x", "--port"),
            ("--bind here", "--bind"),
            ("--keep-journal 0", "minutes from 1 on"),
            ("--keep-journal all", "--keep-journal"),
            ("go", "go"),
        ] {
            let error = parse(arguments).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let serve = parse("--log a=b=c").unwrap();
        assert!(serve.start_log().is_err_and(|error| error.contains("--log")));
    }
}
