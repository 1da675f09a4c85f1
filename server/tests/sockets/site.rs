//! A server to test against, and the words tests are written in.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use referee_client_tokio::{Client, Code, Options, RawError, RawSocket, Received, Value};
use referee_protocol::frame::{Lane, split};
use referee_protocol::message::{self, ClientControl, Hello, ServerControl, Welcome};
use referee_protocol::{GameName, Refusal};
use referee_room::{Game, Template};
use referee_server::config::Config;
use referee_server::games::{Games, Hosted};
use referee_server::metrics::Metrics;
use referee_server::run::{RunError, Running, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
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

/// A server in a folder of its own.
pub(crate) struct Site {
    running: Option<Running>,
    config: Config,
}

impl Site {
    /// A server with all the test games and default settings, but for what `set` changes.
    pub(crate) fn new(set: impl FnOnce(&mut Config)) -> Self {
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
        let running = Some(start(&config, games::count));
        Self { running, config }
    }

    /// With a short grace for rooms.
    pub(crate) fn brief() -> Self {
        Self::new(|config| config.room_grace_ms = 50)
    }

    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().expect("it runs")
    }

    pub(crate) fn metrics(&self) -> Arc<Metrics> {
        self.running().metrics()
    }

    pub(crate) fn authority(&self) -> String {
        self.running().address().to_string()
    }

    pub(crate) fn port(&self) -> u16 {
        self.running().address().port()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("ws://{}/{path}", self.authority())
    }

    /// Stops the server as SIGTERM does.
    pub(crate) async fn stop(&mut self) {
        let running = self.running.take().expect("it runs");
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
                self.running = Some(running);
                true
            }
            Err(RunError::Listen { .. }) => false,
            Err(error) => panic!("{error}"),
        })
        .await;
    }

    /// Starts it again with another game for `count`.
    pub(crate) fn start_with(&mut self, count: fn(&mut Game)) {
        self.running = Some(start(&self.config, count));
    }

    /// A client in a room, with its first state.
    pub(crate) async fn join(&self, path: &str) -> Client {
        self.join_as(path, Options::default()).await
    }

    pub(crate) async fn join_as(&self, path: &str, options: Options) -> Client {
        soon(Client::connect(&self.url(path), options)).await.expect("it is let in")
    }

    /// Why a client is refused for good.
    pub(crate) async fn refused(&self, path: &str, options: Options) -> Code {
        match soon(Client::connect(&self.url(path), options)).await {
            Err(referee_client_tokio::ConnectError::Refused(reason)) => {
                reason.code.expect("a code")
            }
            other => panic!("{other:?}"),
        }
    }

    /// A bare connection that has said nothing.
    pub(crate) async fn raw(&self, path: &str) -> RawSocket {
        self.raw_with(path, &[]).await.expect("the handshake is done")
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
        soon(raw.send(&hello())).await.unwrap();
        let welcome = welcome(&mut raw).await;
        (raw, welcome)
    }

    /// Status and body of a request over HTTP.
    pub(crate) async fn http(&self, method: &str, path: &str) -> (u16, String) {
        let authority = self.authority();
        let asking = async {
            let mut stream = TcpStream::connect(&authority).await.unwrap();
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

    /// Waits until no room is loaded.
    pub(crate) async fn empty(&self) {
        let metrics = self.metrics();
        until(|| metrics.rooms.get() == 0).await;
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            let _ = running.stop();
        }
        let _ = std::fs::remove_dir_all(&self.config.data);
    }
}

fn start(config: &Config, count: fn(&mut Game)) -> Running {
    Server::start(hosted(count), config.clone()).expect("it starts")
}

fn hosted(count: fn(&mut Game)) -> Games {
    let mut hosted = Games::new();
    let mut host = |name: &str, game: fn(&mut Game)| {
        let template = Template::new(name, game).expect("the test's game is sound");
        let shown = Hosted { template, title: None, description: None, page: None };
        hosted.insert(GameName::new(name).unwrap(), shown);
    };
    host("count", count);
    host("single", games::single);
    host("bomb", games::bomb);
    host("flood", games::flood);
    host("ticker", games::ticker);
    host("teller", games::teller);
    hosted
}

pub(crate) fn hello() -> Vec<u8> {
    said(Hello { versions: vec![1], ..Hello::default() })
}

pub(crate) fn said(hello: Hello) -> Vec<u8> {
    message::encode(&ClientControl::Hello(hello))
}

/// The next control message.
pub(crate) async fn control(raw: &mut RawSocket) -> ServerControl {
    loop {
        match soon(raw.receive()).await.expect("the connection lives") {
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
