//! A server to test against, and the words tests are written in.

use std::future::{Future, ready};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use referee_client_tokio::{
    Client, Code, ConnectError, Options, RawError, RawSocket, Received, Trust, Value,
};
use referee_protocol::frame::{Lane, split};
use referee_protocol::message::{self, ClientControl, Hello, ServerControl, Welcome};
use referee_protocol::{GameName, Refusal};
use referee_room::{Game, Template};
use referee_server::config::Config;
use referee_server::games::{Games, Hosted};
use referee_server::metrics::Metrics;
use referee_server::run::{RunError, Running, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::games;

/// Nothing in a test takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits, but not for ever.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it takes too long")
}

/// Looks again and again until it is so.
pub(crate) async fn until(mut so: impl FnMut() -> bool) {
    let looking = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    soon(looking).await;
}

/// What carries the frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Transport {
    Memory,
    WebSocket,
    Quic,
}

/// A server in a folder of its own.
pub(crate) struct Site {
    running: Arc<Mutex<Option<Running>>>,
    transport: Transport,
    pub(crate) config: Config,
}

impl Site {
    /// A server with all the test games and default settings, but for what `set` changes.
    pub(crate) fn new(set: impl FnOnce(&mut Config)) -> Self {
        Self::over(Transport::WebSocket, set)
    }

    /// One whose clients come over this transport.
    pub(crate) fn over(transport: Transport, set: impl FnOnce(&mut Config)) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("referee-sockets-{}-{number}", std::process::id());
        let mut config = Config {
            port: 0,
            host_threads: 2,
            data: std::env::temp_dir().join(name),
            new_rooms_burst: 1000,
            ..Config::default()
        };
        set(&mut config);
        let running = Arc::new(Mutex::new(Some(start(&config, games::count))));
        Self { running, transport, config }
    }

    fn with<R>(&self, ask: impl FnOnce(&Running) -> R) -> R {
        ask(self.running.lock().unwrap().as_ref().expect("it runs"))
    }

    pub(crate) fn metrics(&self) -> Arc<Metrics> {
        self.with(Running::metrics)
    }

    /// Has a room go to another host thread.
    pub(crate) fn migrate(&self, room: &str, thread: usize) {
        self.with(|running| running.migrate(room, thread)).expect("it goes");
    }

    /// What it prints once it can be visited.
    pub(crate) fn greeting(&self) -> String {
        self.with(Running::greeting)
    }

    pub(crate) fn authority(&self) -> String {
        self.with(|running| running.address().to_string())
    }

    pub(crate) fn port(&self) -> u16 {
        self.with(|running| running.address().port())
    }

    pub(crate) fn url(&self, path: &str) -> String {
        let scheme = if self.transport == Transport::Quic { "quic" } else { "ws" };
        format!("{scheme}://{}/{path}", self.authority())
    }

    /// The hash of the certificate that QUIC clients pin.
    pub(crate) async fn pin(&self) -> Option<[u8; 32]> {
        let url = format!("http://{}", self.authority());
        let told = soon(referee_client_tokio::transports(&url)).await.expect("it tells");
        told.quic.expect("QUIC is on").pin
    }

    /// A client that comes in over the site's transport.
    pub(crate) fn joining(
        &self,
        path: &str,
        mut options: Options,
    ) -> impl Future<Output = Result<Client, ConnectError>> + Send + use<> {
        let (url, transport) = (self.url(path), self.transport);
        let (running, http) = (self.running.clone(), format!("http://{}", self.authority()));
        async move {
            match transport {
                Transport::Memory => {
                    Client::connect_over(move || ready(dial(&running)), &url, options).await
                }
                Transport::WebSocket => Client::connect(&url, options).await,
                Transport::Quic => {
                    let told = referee_client_tokio::transports(&http).await.expect("it tells");
                    options.pin = told.quic.expect("QUIC is on").pin;
                    Client::connect(&url, options).await
                }
            }
        }
    }

    /// Stops the server as SIGTERM does.
    pub(crate) async fn stop(&mut self) {
        let running = self.running.lock().unwrap().take().expect("it runs");
        let stopped = tokio::task::spawn_blocking(move || running.stop()).await;
        stopped.expect("it ends").expect("it saves all");
    }

    /// Starts it again.
    pub(crate) fn start(&mut self) {
        self.start_with(games::count);
    }

    /// Starts it again where it was, so that its clients find it.
    pub(crate) async fn start_at(&mut self, port: u16) {
        self.config.port = port;
        // Somebody else's connection may have the port for a moment.
        let (games, config) = (hosted(games::count), self.config.clone());
        until(|| match Server::start(games.clone(), config.clone()) {
            Ok(running) => {
                *self.running.lock().unwrap() = Some(running);
                true
            }
            Err(RunError::Listen { .. } | RunError::Udp { .. }) => false,
            Err(error) => panic!("{error}"),
        })
        .await;
    }

    /// Starts it again with another game for `count`, and for `sure`, which is the same and gated.
    pub(crate) fn start_with(&mut self, count: fn(&mut Game)) {
        *self.running.lock().unwrap() = Some(start(&self.config, count));
    }

    /// A client in a room, with its first state.
    pub(crate) async fn join(&self, path: &str) -> Client {
        self.join_as(path, Options::default()).await
    }

    pub(crate) async fn join_as(&self, path: &str, options: Options) -> Client {
        soon(self.joining(path, options)).await.expect("it is let in")
    }

    /// Why a client is refused for good.
    pub(crate) async fn refused(&self, path: &str, options: Options) -> Code {
        match soon(self.joining(path, options)).await {
            Err(ConnectError::Refused(reason)) => reason.code.expect("a code"),
            other => panic!("{other:?}"),
        }
    }

    /// A bare connection that has said nothing.
    pub(crate) async fn raw(&self, path: &str) -> RawSocket {
        let mut raw = match self.transport {
            Transport::WebSocket => self.raw_with(path, &[]).await,
            Transport::Memory => Ok(RawSocket::over(dial(&self.running).unwrap())),
            Transport::Quic => {
                let trust = Trust { pin: self.pin().await };
                soon(RawSocket::connect_with(&self.url(path), &[], &trust)).await
            }
        }
        .expect("the handshake is done");
        if self.transport == Transport::Quic {
            // A stream is there for the other end once something came over it.
            soon(raw.send(&[])).await.unwrap();
        }
        raw
    }

    pub(crate) async fn raw_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<RawSocket, RawError> {
        soon(RawSocket::connect(&self.url(path), headers)).await
    }

    /// A bare connection that is in.
    pub(crate) async fn raw_in(&self, path: &str) -> (RawSocket, Welcome) {
        let mut raw = self.raw(path).await;
        soon(raw.send(&hello_to(path))).await.unwrap();
        let welcome = welcome(&mut raw).await;
        (raw, welcome)
    }

    /// Status and body of a request over HTTP.
    pub(crate) async fn http(&self, method: &str, path: &str) -> (u16, String) {
        request(&self.authority(), method, path).await
    }

    /// Waits until no room is loaded.
    pub(crate) async fn empty(&self) {
        let metrics = self.metrics();
        until(|| metrics.rooms.get() == 0).await;
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let running = self.running.lock().unwrap().take();
        if let Some(running) = running {
            let _ = running.stop();
        }
        let _ = std::fs::remove_dir_all(&self.config.data);
    }
}

/// Status and body of a request over HTTP to a server.
pub(crate) async fn request(authority: &str, method: &str, path: &str) -> (u16, String) {
    let asking = async {
        let mut stream = TcpStream::connect(authority).await.unwrap();
        let head = format!(
            "{method} /{path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\
             content-length: 0\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = soon(asking).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

pub(crate) fn all_games() -> Games {
    hosted(games::count)
}

fn start(config: &Config, count: fn(&mut Game)) -> Running {
    Server::start(hosted(count), config.clone()).expect("it starts")
}

pub(crate) fn hosted(count: fn(&mut Game)) -> Games {
    let mut hosted = Games::new();
    let mut show = |name: &str, template| {
        let shown = Hosted { template, title: None, description: None, page: None };
        hosted.insert(GameName::new(name).unwrap(), shown);
    };
    let sure = move |game: &mut Game| {
        count(game);
        game.gated();
    };
    show("sure", Template::new("sure", sure).expect("the test's game is sound"));
    let mut host = |name: &str, game: fn(&mut Game)| {
        show(name, Template::new(name, game).expect("the test's game is sound"));
    };
    host("count", count);
    host("single", games::single);
    host("bomb", games::bomb);
    host("stubborn", games::stubborn);
    host("keeper", games::keeper);
    host("timed", games::timed);
    host("reminder", games::reminder);
    host("sure_reminder", games::sure_reminder);
    host("live_reminder", games::live_reminder);
    host("flood", games::flood);
    host("ticker", games::ticker);
    host("teller", games::teller);
    host("runner", games::runner);
    host("crowded", games::crowded);
    host("short", games::short);
    host("tally", games::tally);
    host("spinner", games::spinner);
    host("spinner_for_ever", games::spinner_for_ever);
    hosted
}

pub(crate) fn hello() -> Vec<u8> {
    said(Hello { versions: vec![1], ..Hello::default() })
}

/// A Hello to this room.
pub(crate) fn hello_to(path: &str) -> Vec<u8> {
    said(named(path, Hello { versions: vec![1], ..Hello::default() }))
}

/// A Hello with the room in it, as transports without a URL want it.
pub(crate) fn named(path: &str, hello: Hello) -> Hello {
    let (game, match_id) = path.split_once('/').expect("game/match");
    Hello { game: Some(game.to_owned()), match_id: Some(match_id.to_owned()), ..hello }
}

fn dial(running: &Mutex<Option<Running>>) -> std::io::Result<DuplexStream> {
    let running = running.lock().unwrap();
    running.as_ref().map_or_else(|| Err(std::io::ErrorKind::NotConnected.into()), Running::dial)
}

pub(crate) fn said(hello: Hello) -> Vec<u8> {
    message::encode(&ClientControl::Hello(hello))
}

/// The next control message.
pub(crate) async fn control(raw: &mut RawSocket) -> ServerControl {
    loop {
        match soon(raw.receive()).await.expect("the connection lives") {
            Received::Frame(frame) if frame.is_empty() => {}
            Received::Frame(frame) => {
                if let (Lane::Control, body) = split(&frame).unwrap() {
                    return message::decode(body).unwrap();
                }
            }
            closed @ Received::Closed { .. } => panic!("{closed:?}"),
        }
    }
}

pub(crate) async fn welcome(raw: &mut RawSocket) -> Welcome {
    match control(raw).await {
        ServerControl::Welcome(welcome) => welcome,
        other => panic!("{other:?}"),
    }
}

/// Why a connection ends. The close must carry the same code as the message before it.
pub(crate) async fn end(raw: &mut RawSocket) -> Refusal {
    let mut told = None;
    loop {
        match soon(raw.receive()).await.expect("a close, not a break") {
            Received::Frame(frame) if frame.is_empty() => {}
            Received::Frame(frame) => {
                if let (Lane::Control, body) = split(&frame).unwrap()
                    && let Ok(ServerControl::Refused(refusal)) = message::decode(body)
                {
                    told = Some(refusal);
                }
            }
            Received::Closed { code, .. } => {
                let told: Refusal = told.expect("the reason comes before the close");
                assert_eq!(code, Some(told.code.close_code()));
                return told;
            }
        }
    }
}

/// The code with which a connection ends that may have no stream yet: then the close alone says it.
pub(crate) async fn end_code(raw: &mut RawSocket) -> Option<Code> {
    loop {
        match soon(raw.receive()).await.expect("a close, not a break") {
            Received::Frame(_) => {}
            Received::Closed { code, .. } => {
                return code.and_then(referee_client::close_code);
            }
        }
    }
}

/// Waits until a client sees this count.
pub(crate) async fn counts(client: &Client, count: i128) {
    let seen = client.wait_until(|session| session.resource("Count") == Some(Value::Int(count)));
    if timeout(PATIENCE, seen).await.is_err() {
        panic!("{:?} is seen, not {count}", client.with(|session| session.resource("Count")));
    }
}

pub(crate) fn press(client: &Client) {
    client.send_action("Press", &Value::Null).expect("it fits");
}

pub(crate) fn token(client: &Client) -> Option<String> {
    client.with(|session| session.token().map(str::to_owned))
}

/// Options that come back to this client's seat.
pub(crate) fn back(client: &Client) -> Options {
    Options { token: token(client), ..Options::default() }
}
