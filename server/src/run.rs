//! Starting everything, and ending it: store, host threads, the edge that accepts connections.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};
use std::thread::{Builder, JoinHandle, available_parallelism};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::watch;

use crate::config::{Config, ConfigError};
use crate::directory::Local;
use crate::games::Games;
use crate::host::{Hosts, House};
use crate::http;
use crate::metrics::Metrics;
use crate::shutdown::Signals;
use crate::store::{Store, StoreError};
use crate::token::Tokens;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// Why a server did not start, or did not end as it should.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No game was given.
    #[error("no game is hosted: give the server at least one")]
    NoGames,
    /// The settings cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}: {error}; end what listens there, or take another port with \
         --port (0 for any free one)"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The system gave no thread or runtime.
    #[error("the system gave no thread: {0}")]
    Thread(#[from] io::Error),
    /// It took too long to end.
    #[error("the server did not end within {0} ms; rooms that were not yet saved are lost")]
    Late(u64),
}

/// Runs a server until SIGTERM or Ctrl-C. Prints one line once it can be visited.
///
/// # Errors
/// When it cannot start, or could not save everything at its end.
pub fn run(games: Games, config: Config) -> Result<(), RunError> {
    let signals = Signals::new()?;
    let names: Vec<_> = games.keys().map(ToString::to_string).collect();
    let host = shown_host(&config);
    let running = Server::start(games, config)?;
    println!("Referee hosts {}: open http://{host}:{}", names.join(", "), running.address().port());
    signals.wait();
    tracing::info!("asked to stop");
    running.stop()
}

/// The host under which a person at this machine reaches the server.
fn shown_host(config: &Config) -> String {
    let bind = config.bind;
    match config.hosts.first() {
        Some(name) if !bind.is_loopback() => name.clone(),
        _ if bind.is_loopback() || bind.is_unspecified() => "localhost".to_owned(),
        _ if bind.is_ipv6() => format!("[{bind}]"),
        _ => bind.to_string(),
    }
}

/// A server that is to be started.
pub struct Server;

/// A server that runs. Dropped, it is told to stop but not waited for.
pub struct Running {
    address: SocketAddr,
    house: Arc<House>,
    hosts: Hosts,
    stop: watch::Sender<bool>,
    /// Threads that have ended.
    ended: mpsc::Receiver<()>,
    threads: Vec<JoinHandle<()>>,
    stop_within_ms: u64,
}

impl Server {
    /// Starts a server and returns once it can be visited.
    ///
    /// # Errors
    /// When the settings, the store or the address cannot be used.
    pub fn start(games: Games, config: Config) -> Result<Running, RunError> {
        config.check()?;
        if games.is_empty() {
            return Err(RunError::NoGames);
        }
        let listener = listen(config.address())?;
        let address = listener.local_addr()?;
        let store = Store::open(&config.data, &config.store)?;
        let count = match config.host_threads {
            0 => available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let config = Arc::new(config);
        let house = Arc::new(House {
            directory: Local::new(&config, count),
            metrics: Arc::new(Metrics::default()),
            tokens: Tokens::new(store.token_key()),
            config: config.clone(),
            games,
            store: store.clone(),
        });
        let (stop, stopped) = watch::channel(false);
        let (hosts, starts, door) = Hosts::new(house.clone(), count, stopped.clone());
        let mut threads = vec![];
        let (end, ended) = mpsc::channel();
        for (number, start) in starts.into_iter().enumerate() {
            let name = format!("referee-host-{number}");
            threads.push(spawn(name, end.clone(), move || start.run())?);
        }
        let rooms = Arc::new(hosts.clone());
        let edge = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                http::serve(listener, config, rooms, store, stopped).await;
                door.close().await;
                Ok(())
            })
        };
        threads.push(spawn("referee-edge".to_owned(), end, edge)?);
        let stop_within_ms = house.config.stop_within_ms;
        Ok(Running { address, house, hosts, stop, ended, threads, stop_within_ms })
    }
}

fn spawn(
    name: String,
    end: mpsc::Sender<()>,
    work: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.clone()).spawn(move || {
        let _ended = Ended(end);
        if let Err(error) = work() {
            tracing::error!(thread = %name, %error, "a thread could not work");
        }
    })
}

/// Says that a thread has ended, also when it panicked.
struct Ended(mpsc::Sender<()>);

impl Drop for Ended {
    fn drop(&mut self) {
        // Nobody listens any more when the server was not waited for.
        let _ = self.0.send(());
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, RunError> {
    let open = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A server that was just stopped leaves connections behind that hold its port for a while.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    open().map_err(|error| RunError::Listen { address, error })
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it counts.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        self.house.metrics.clone()
    }

    /// Takes no more connections, seals and saves every room, tells every client, and waits until
    /// all that is done. Blocks.
    ///
    /// # Errors
    /// When it took longer than the settings allow, or not everything could be saved.
    pub fn stop(mut self) -> Result<(), RunError> {
        self.ask_to_stop();
        let deadline = Instant::now() + Duration::from_millis(self.stop_within_ms);
        for _ in 0..self.threads.len() {
            let left = deadline.saturating_duration_since(Instant::now());
            self.ended.recv_timeout(left).map_err(|_| RunError::Late(self.stop_within_ms))?;
        }
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so, and saved what it could.
            let _ = thread.join();
        }
        self.house.store.close()?;
        Ok(())
    }

    fn ask_to_stop(&self) {
        self.stop.send_replace(true);
        self.hosts.stop();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.ask_to_stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_where_this_machine_finds_the_server() {
        let host = |bind: &str, hosts: &[&str]| {
            let hosts = hosts.iter().map(ToString::to_string).collect();
            shown_host(&Config { bind: bind.parse().unwrap(), hosts, ..Config::default() })
        };
        assert_eq!(host("127.0.0.1", &[]), "localhost");
        assert_eq!(host("127.0.0.1", &["play.example"]), "localhost");
        assert_eq!(host("0.0.0.0", &[]), "localhost");
        assert_eq!(host("0.0.0.0", &["play.example"]), "play.example");
        assert_eq!(host("192.168.1.5", &[]), "192.168.1.5");
        assert_eq!(host("fd00::5", &[]), "[fd00::5]");
    }

    #[test]
    fn an_address_that_is_taken_is_named_with_the_way_out() {
        let first = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        let error = listen(address).unwrap_err().to_string();
        assert!(error.contains(&address.to_string()) && error.contains("--port"), "{error}");
    }
}
