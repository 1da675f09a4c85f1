//! Starting everything, and ending it: store, host threads, the edge that accepts connections.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, mpsc};
use std::thread::{Builder, JoinHandle, available_parallelism};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::DuplexStream;
use tokio::sync::watch;

use crate::config::{Config, ConfigError};
use crate::directory::Local;
use crate::games::Games;
use crate::greeting;
use crate::host::{Door, Hosts, House, Loads, Marks, Pulse, Start, StartThread, Wakes, unix_ms};
use crate::http::{self, ConnectionSlot, Edge, QuicListing, Slots, Transports};
use crate::key::RoomKey;
use crate::metrics::Metrics;
use crate::quic::{Keys, Quic, widen};
use crate::shutdown::Signals;
use crate::store::{Store, StoreError};
use crate::tls::{Tls, TlsError};
use crate::token::Tokens;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// Programs of this process that may wait to be let in.
const DIALS_MAX: usize = 1024;
/// Bytes that wait in a connection within this process, each way.
const MEMORY_BYTES: usize = 64 * 1024;
/// Ports that are tried when any will do, to find one that is free for TCP and UDP.
const BIND_ATTEMPTS: u32 = 16;

/// What to do about an address that cannot be listened on.
fn way_out(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address: give --bind one of its own, or 0.0.0.0 for all of them"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 are for the system's own programs: take another with --port"
        }
        _ => "end what listens there, or take another port with --port (0 for any free one)",
    }
}

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
    #[error("cannot listen on {address}: {error}; {}", way_out(error))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// QUIC cannot have its port.
    #[error(
        "cannot use UDP port {address} for QUIC: {error}; end what uses it, take another port with \
         --port (0 for any free one), or go without QUIC with --no-quic"
    )]
    Udp {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// There is no certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The system gave no thread or runtime.
    #[error("the system gave no thread: {0}")]
    Thread(#[from] io::Error),
    /// It took too long to end.
    #[error("the server did not end within {0} ms; rooms that were not yet saved are lost")]
    Late(u64),
}

/// Runs a server until SIGTERM or Ctrl-C. Prints where it can be visited once it can.
///
/// # Errors
/// When it cannot start, or could not save everything at its end.
pub fn run(games: Games, config: Config) -> Result<(), RunError> {
    let signals = Signals::new()?;
    let running = Server::start(games, config)?;
    println!("{}", running.greeting());
    signals.wait();
    tracing::info!("asked to stop");
    running.stop()
}

/// A server that is to be started.
pub struct Server;

/// A server that runs. Dropped, it is told to stop but not waited for.
pub struct Running {
    address: SocketAddr,
    house: Arc<House>,
    hosts: Hosts,
    stop: watch::Sender<bool>,
    slots: Arc<Slots>,
    /// Programs of this process on their way to the edge.
    dials: tokio::sync::mpsc::Sender<Dial>,
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
        let (listener, udp) = bind(&config)?;
        let address = listener.local_addr()?;
        let store = Store::open(&config.data, &config.store)?;
        let count = match config.host_threads {
            0 => available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let tls = Tls::new(&config, &store)?;
        let config = Arc::new(config);
        let metrics = Arc::new(Metrics::default());
        let of_address = config.connections_per_address_max;
        let slots = Slots::new(config.connections_max, of_address, metrics.clone());
        metrics.started.add(unix_ms() / 1_000);
        let house = Arc::new(House {
            unnumbered: AtomicBool::default(),
            directory: Local::new(&config, count),
            marks: Marks::new(metrics.clone()),
            metrics,
            tokens: Tokens::new(store.token_key()),
            wakes: Wakes::default(),
            loads: Loads::new(count),
            config: config.clone(),
            games,
            store: store.clone(),
        });
        let (stop, stopped) = watch::channel(false);
        let (hosts, starts, door) = Hosts::new(house.clone(), count, stopped.clone());
        let mut threads = vec![];
        let (end, ended) = mpsc::channel();
        for start in starts {
            threads.push(spawn_host(start, end.clone())?);
        }
        let tell = end.clone();
        let start_thread: StartThread =
            Arc::new(move |start| spawn_host(start, tell.clone()).map(drop));
        let keys = Keys::new(store.token_key());
        let transports = transports(&tls, address.port());
        let quic = udp.zip(tls.quic).map(|(socket, tls)| Quic::new(socket, tls.config, keys));
        let (dials, dialed) = tokio::sync::mpsc::channel(DIALS_MAX);
        let edge = Edge {
            config,
            rooms: Arc::new(hosts.clone()),
            store,
            stop: stopped,
            slots: slots.clone(),
            tls: tls.tcp,
            transports,
        };
        let hosts_of = hosts.clone();
        let outside = Outside { listener, quic, dialed, hosts: hosts_of, start_thread, edge, door };
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(outside.serve())
        };
        let end = Ended { tell: end, unless: None };
        threads.push(spawn("referee-edge".to_owned(), end, work)?);
        let stop_within_ms = house.config.stop_within_ms;
        Ok(Running { address, house, hosts, stop, slots, dials, ended, threads, stop_within_ms })
    }
}

/// A program of this process that comes in, and its place.
type Dial = (DuplexStream, ConnectionSlot);

/// Everything through which clients come, on the edge thread.
struct Outside {
    listener: TcpListener,
    quic: Option<Quic>,
    dialed: tokio::sync::mpsc::Receiver<Dial>,
    hosts: Hosts,
    start_thread: StartThread,
    edge: Edge<Hosts>,
    door: Door,
}

impl Outside {
    /// Until the server goes down and everybody at the door has left.
    async fn serve(self) -> io::Result<()> {
        let Self { listener, quic, mut dialed, hosts, start_thread, edge, door } = self;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let (config, slots) = (edge.config.clone(), edge.slots.clone());
        let (mut stop, quic_stop) = (edge.stop.clone(), edge.stop.clone());
        let waking = hosts.wake(edge.stop.clone());
        let watching = hosts.watch_threads(start_thread, edge.stop.clone());
        let memory = async {
            while let Some((stream, slot)) = tokio::select! {
                dial = dialed.recv() => dial,
                _ = stop.wait_for(|stop| *stop) => None,
            } {
                hosts.welcome_memory(stream, slot);
            }
        };
        let quic = async {
            match quic {
                Some(quic) => quic.serve(&config, hosts.clone(), slots, quic_stop).await,
                None => Ok(()),
            }
        };
        let http = async {
            http::serve(listener, edge).await;
            door.close().await;
        };
        let (quic, (), (), (), ()) = tokio::join!(quic, memory, http, waking, watching);
        quic
    }
}

fn transports(tls: &Tls, port: u16) -> Transports {
    let hex = |pin: [u8; 32]| pin.iter().map(|byte| format!("{byte:02x}")).collect();
    let quic = tls.quic.as_ref().map(|quic| QuicListing { port, pin: quic.pin.map(hex) });
    Transports { quic }
}

/// The TCP port, and the UDP port of the same number if QUIC is spoken.
fn bind(config: &Config) -> Result<(TcpListener, Option<UdpSocket>), RunError> {
    let mut left = BIND_ATTEMPTS;
    loop {
        let listener = listen(config.address())?;
        if !config.quic {
            return Ok((listener, None));
        }
        left -= 1;
        match bind_udp(listener.local_addr()?) {
            Ok(socket) => return Ok((listener, Some(socket))),
            // Any port will do: another one may be free for both.
            Err(_) if config.port == 0 && left > 0 => {}
            Err(error) => return Err(error),
        }
    }
}

fn bind_udp(address: SocketAddr) -> Result<UdpSocket, RunError> {
    let open = || {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        widen(&socket);
        socket.bind(&address.into())?;
        Ok(socket.into())
    };
    open().map_err(|error| RunError::Udp { address, error })
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionRefused, why.to_owned())
}

fn spawn(
    name: String,
    end: Ended,
    work: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.clone()).spawn(move || {
        let _ended = end;
        if let Err(error) = work() {
            tracing::error!(thread = %name, %error, "a thread could not work");
        }
    })
}

/// Starts a host thread.
fn spawn_host(start: Start, tell: mpsc::Sender<()>) -> io::Result<JoinHandle<()>> {
    let name = format!("referee-host-{}", start.number());
    let end = Ended { tell, unless: Some(start.pulse()) };
    spawn(name, end, move || start.run())
}

/// Says that a thread has ended, also when it panicked. Another one says it for a thread that was given up.
struct Ended {
    tell: mpsc::Sender<()>,
    unless: Option<Arc<Pulse>>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        if self.unless.as_ref().is_some_and(|pulse| pulse.is_given_up()) {
            return;
        }
        // Nobody listens any more when the server was not waited for.
        let _ = self.tell.send(());
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

    /// A connection within this process: what is written there is read by the server, and the other
    /// way round. Each message follows its length, as on a QUIC stream.
    ///
    /// # Errors
    /// When all connections are taken, too many wait to be let in, or the server goes down.
    pub fn dial(&self) -> io::Result<DuplexStream> {
        let slot = self.slots.take(IpAddr::V4(Ipv4Addr::LOCALHOST), true);
        let slot = slot.map_err(|why| refused(&why.to_string()))?;
        let (ours, theirs) = tokio::io::duplex(MEMORY_BYTES);
        let sent = self.dials.try_send((ours, slot));
        sent.map_err(|_| refused("the server lets nobody in now; try again later"))?;
        Ok(theirs)
    }

    /// Brings a client into a room, `game/match`, that has no connection: what it is sent is thrown away, it
    /// says nothing, and it stays. For measurements of what rooms cost without their sockets. Blocks.
    ///
    /// # Errors
    /// When it may not come in.
    pub fn hold(&self, room: &str) -> io::Result<()> {
        let key = RoomKey::parse(room).ok_or_else(|| refused("no room is called so"))?;
        self.hosts.hold(key).map_err(|refusal| io::Error::other(refusal.to_string()))
    }

    /// Asks a room to go to another of the host threads, which are `2 * host_threads`: those that rooms come to,
    /// and as many for heavy rooms. Rooms do so by themselves where it is better for all. One that is not
    /// loaded stays where it is.
    ///
    /// # Errors
    /// When no room or thread is called so.
    pub fn migrate(&self, room: &str, thread: usize) -> io::Result<()> {
        let key = RoomKey::parse(room).ok_or_else(|| refused("no room is called so"))?;
        match self.hosts.migrate(key, thread) {
            true => Ok(()),
            false => Err(refused("there is no such host thread")),
        }
    }

    /// The lines that tell where it can be visited, and by whom.
    #[must_use]
    pub fn greeting(&self) -> String {
        let names: Vec<_> = self.house.games.keys().map(|name| name.as_str()).collect();
        let own = greeting::own_addresses();
        greeting::lines(&names, &self.house.config, self.address.port(), &own)
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
            // A thread that panicked has said so, and saved what it could. One that was given up may
            // never end.
            if thread.is_finished() {
                let _ = thread.join();
            }
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
    fn an_address_that_is_taken_is_named_with_the_way_out() {
        let first = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        let error = listen(address).unwrap_err().to_string();
        assert!(error.contains(&address.to_string()) && error.contains("--port"), "{error}");
    }
}
