//! The site with rooms that only take notes: over the router, and over real sockets.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::IntoResponse;
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use referee_protocol::Code;
use referee_protocol::limits::REQUEST_MAX_BYTES;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tower::ServiceExt;

use super::accept::Peer;
use super::*;
use crate::assets::{Assets, SAMPLE};
use crate::store::StoreConfig;

const PAGE: &str = "<!doctype html><html><head><title>Mine</title></head>\
                    <body><script type=\"module\">let x = 1;</script></body></html>";

/// Rooms that answer every request with what it was.
#[derive(Default)]
struct Notes {
    /// The outcome of each upgrade.
    upgrades: Mutex<Vec<Result<String, Code>>>,
}

impl Rooms for Notes {
    fn games(&self) -> Vec<GameListing> {
        let game = |name: &str, page| GameListing {
            name: name.to_owned(),
            kind: Kind::TurnBased,
            title: None,
            description: Some("A game."),
            page,
        };
        vec![game("mine", Some(PAGE)), game("plain", None)]
    }

    fn metrics(&self) -> String {
        "# EOF\n".to_owned()
    }

    fn public_rooms(&self) -> Vec<RoomListing> {
        vec![RoomListing {
            game: "mine".to_owned(),
            match_id: "open".to_owned(),
            players: 1,
            seats: 2,
        }]
    }

    async fn request(
        &self,
        key: RoomKey,
        from: IpAddr,
        request: RoomRequest,
    ) -> Result<RoomReply, Refusal> {
        if key.match_id.as_str() == "full" {
            let retry_after_ms = Some(1500);
            return Err(Refusal { retry_after_ms, ..Refusal::new(Code::Busy, "no room") });
        }
        let RoomRequest { method, path, body } = request;
        let body = String::from_utf8(body).unwrap();
        let body = json!([key.to_string(), from.to_string(), method, path, body]);
        Ok(RoomReply { status: 201, body: body.to_string().into_bytes() })
    }

    fn upgrade(&self, upgrade: Upgrade) -> Response {
        let Upgrade { key, socket, slot, .. } = upgrade;
        let outcome = key.map(|key| key.to_string()).map_err(|refusal| refusal.code);
        self.upgrades.lock().unwrap().push(outcome);
        tokio::spawn(async move {
            let io = socket.await.unwrap().downcast::<TokioIo<TcpStream>>().unwrap();
            let mut socket = io.io.into_inner();
            socket.write_all(b"yours").await.unwrap();
            drop(slot);
        });
        (StatusCode::SWITCHING_PROTOCOLS, [("connection", "upgrade"), ("upgrade", "websocket")])
            .into_response()
    }
}

/// A store in a folder that is gone after the test.
struct Temp(PathBuf);

impl Temp {
    fn store() -> (Self, Arc<Store>) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("referee-http-{}-{number}", std::process::id());
        let temp = Self(std::env::temp_dir().join(name));
        let store = Store::open(&temp.0, &StoreConfig::default()).unwrap();
        (temp, store)
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

struct Fixture {
    router: Router,
    stop: watch::Sender<bool>,
    _temp: Temp,
}

impl Fixture {
    fn new() -> Self {
        Self::with(Config::default(), Assets::new(SAMPLE))
    }

    fn with(config: Config, assets: Assets) -> Self {
        let (temp, store) = Temp::store();
        let (stop, stopped) = watch::channel(false);
        assets.compress();
        let (config, assets) = (Arc::new(config), Arc::new(assets));
        let site = Site::new(config, Arc::new(Notes::default()), store, stopped, assets);
        Self { router: site::router(Arc::new(site)), stop, _temp: temp }
    }

    async fn ask(&self, request: Request<Body>) -> Answer {
        let mut request = request;
        let address = "1.2.3.4".parse().unwrap();
        let slot = Slots::new(1, 1, Arc::default()).take(address, false).unwrap();
        request.extensions_mut().insert(Peer { address, slot });
        request.headers_mut().entry(header::HOST).or_insert("localhost:7777".parse().unwrap());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(path).body(Body::empty()).unwrap()).await
    }
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    #[track_caller]
    fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!((self.status, &self.json()["code"]), (status, &json!(code)), "{}", self.text());
        assert!(self.json()["message"].is_string());
        assert_eq!(self.header("cache-control"), "no-store");
    }
}

/// What stands between two texts.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}"));
    rest.split_once(after).unwrap().0
}

#[tokio::test]
async fn a_match_has_its_games_page() {
    let fixture = Fixture::new();
    let page = fixture.get("/mine/some-match").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    let head = between(page.text(), "<head>", "<title>Mine");
    assert!(head.starts_with("<script type=\"importmap\">"), "{head}");
    let meta = r#"<meta name="referee" content='{"game":"mine","match":"some-match"}'>"#;
    assert!(head.ends_with(meta), "{head}");
    assert_eq!(page.header("cache-control"), "no-cache");

    let default = fixture.get("/plain/x").await;
    assert!(default.text().contains(r#"content='{"game":"plain","match":"x"}'"#));
    assert!(default.text().len() > 5000, "the default page");
}

#[tokio::test]
async fn the_client_is_reached_from_the_import_map_and_kept_for_ever() {
    let fixture = Fixture::new();
    let page = fixture.get("/mine/x").await;
    let map = between(page.text(), "<script type=\"importmap\">", "</script>");
    let map: Value = serde_json::from_str(map).unwrap();
    let entry = fixture.get(map["imports"]["referee"].as_str().unwrap()).await;
    assert_eq!(entry.header("content-type"), "text/javascript; charset=utf-8");
    assert_eq!(entry.header("cache-control"), "public, max-age=31536000, immutable");
    let wasm = between(entry.text(), "URL(\"./", "\"");
    let wasm = fixture.get(&format!("/assets/{wasm}")).await;
    assert_eq!((wasm.header("content-type"), wasm.text()), ("application/wasm", "\0asm"));

    let old = fixture.get("/assets/referee-0000000000000000.js").await;
    old.assert_problem(404, "not_found");
    fixture.get("/assets/referee.js").await.assert_problem(404, "not_found");
}

#[tokio::test]
async fn assets_travel_compressed_to_browsers_that_take_it() {
    const LONG: &[(&str, &[u8])] = &[("referee.js", &[b' '; 10_000])];
    let fixture = Fixture::with(Config::default(), Assets::new(LONG));
    let page = fixture.get("/mine/x").await;
    let map = between(page.text(), "<script type=\"importmap\">", "</script>");
    let map: Value = serde_json::from_str(map).unwrap();
    let path = map["imports"]["referee"].as_str().unwrap();
    let ask = |accepts: &str| {
        let request = Request::get(path).header("host", "localhost");
        fixture.ask(request.header("accept-encoding", accepts).body(Body::empty()).unwrap())
    };
    let packed = ask("br, gzip").await;
    assert_eq!(
        (packed.header("content-encoding"), packed.header("vary")),
        ("gzip", "accept-encoding")
    );
    assert!(packed.body.len() < 200, "{} bytes", packed.body.len());
    let mut plain = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&packed.body[..]), &mut plain)
        .unwrap();
    assert_eq!(plain.len(), 10_000);
    assert_eq!(ask("br").await.body.len(), 10_000);
}

#[tokio::test]
async fn a_page_may_run_its_own_scripts_only() {
    let page = Fixture::new().get("/mine/x").await;
    let policy = page.header("content-security-policy");
    let scripts = between(policy, "script-src ", ";");
    assert!(scripts.starts_with("'self' 'wasm-unsafe-eval' 'sha256-"), "{scripts}");
    assert_eq!(scripts.matches("'sha256-").count(), 2, "the import map and its own");
    assert!(policy.contains("connect-src 'self' ws: wss:"), "{policy}");
    for path in ["/", "/mine/x", "/api/games", "/nothing/here", "/healthz"] {
        let answer = Fixture::new().get(path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert!(answer.header("content-security-policy").contains("default-src"), "{path}");
    }
}

#[tokio::test]
async fn without_a_built_client_pages_say_what_to_do() {
    let fixture = Fixture::with(Config::default(), Assets::new(&[]));
    let page = fixture.get("/mine/x").await;
    assert_eq!(page.status, 503);
    assert!(page.text().contains("cargo xtask wasm"));
    assert_eq!(fixture.get("/").await.status, 200);
    assert_eq!(fixture.get("/mine/x/call").await.status, 201);
}

#[tokio::test]
async fn the_index_is_asked_for_anew_and_lists_come_as_json() {
    let fixture = Fixture::new();
    let index = fixture.get("/").await;
    assert_eq!((index.status, index.header("cache-control")), (200, "no-cache"));
    let games = fixture.get("/api/games").await;
    let expected = json!([
        {"name": "mine", "kind": "turn_based", "description": "A game."},
        {"name": "plain", "kind": "turn_based", "description": "A game."},
    ]);
    assert_eq!((games.json(), games.header("cache-control")), (expected, "no-store"));
    let rooms = fixture.get("/api/rooms").await.json();
    assert_eq!(rooms, json!([{"game": "mine", "match": "open", "players": 1, "seats": 2}]));
}

#[tokio::test]
async fn what_is_not_there_says_so() {
    let fixture = Fixture::new();
    let lobby = fixture.get("/mine").await;
    assert_eq!((lobby.status, lobby.header("location")), (303, "/mine/lobby"));
    let slash = fixture.get("/mine/x/").await;
    assert_eq!((slash.status, slash.header("location")), (308, "/mine/x"));
    fixture.get("//evil.com/").await.assert_problem(404, "not_found");
    fixture.get("/yours").await.assert_problem(404, "unknown_game");
    fixture.get("/yours/x").await.assert_problem(404, "unknown_game");
    fixture.get("/mine/a%20b").await.assert_problem(400, "bad_match_id");
    fixture.get(&format!("/mine/{}", "x".repeat(65))).await.assert_problem(400, "bad_match_id");
    fixture.get("/mine/x/y").await.assert_problem(404, "not_found");
    fixture.get("/api/secrets").await.assert_problem(404, "unknown_game");
    let post = Request::post("/mine/x").body(Body::empty()).unwrap();
    fixture.ask(post).await.assert_problem(405, "bad_message");

    let browser = Request::get("/mine/%3Cscript%3E").header("accept", "text/html,*/*");
    let page = fixture.ask(browser.body(Body::empty()).unwrap()).await;
    assert_eq!((page.status, page.header("content-type")), (400, "text/html; charset=utf-8"));
    assert!(!page.text().contains("<script>"), "{}", page.text());
}

#[tokio::test]
async fn requests_reach_rooms_and_answers_come_back() {
    let fixture = Fixture::new();
    let get = fixture.get("/mine/x/call").await;
    assert_eq!(get.status, 201);
    assert_eq!(get.json(), json!(["mine/x", "1.2.3.4", "GET", "", ""]));
    assert_eq!(get.header("content-type"), "application/json");
    assert_eq!(get.header("cache-control"), "no-store");
    let post = Request::post("/mine/x/call/a/b").body(Body::from("{\"n\": 1}")).unwrap();
    let post = fixture.ask(post).await;
    assert_eq!(post.json(), json!(["mine/x", "1.2.3.4", "POST", "/a/b", "{\"n\": 1}"]));

    let busy = fixture.get("/mine/full/call").await;
    busy.assert_problem(503, "busy");
    assert_eq!((busy.header("retry-after"), &busy.json()["retry_after_ms"]), ("2", &json!(1500)));
    fixture.get("/yours/x/call").await.assert_problem(404, "unknown_game");
    let head = Request::head("/mine/x/call").body(Body::empty()).unwrap();
    assert_eq!(fixture.ask(head).await.status, 405);
}

#[tokio::test]
async fn bodies_are_bounded_and_json() {
    let fixture = Fixture::new();
    let post = |body: Body| Request::post("/mine/x/call").body(body).unwrap();
    let text = |len: usize| format!("\"{}\"", "x".repeat(len - 2));
    assert_eq!(fixture.ask(post(Body::from(text(REQUEST_MAX_BYTES)))).await.status, 201);
    let large = fixture.ask(post(Body::from(text(REQUEST_MAX_BYTES + 1)))).await;
    large.assert_problem(413, "too_large");
    assert!(large.text().contains(&REQUEST_MAX_BYTES.to_string()));
    // Announced as large: refused before anything of it is read.
    let mut announced = post(Body::empty());
    announced.headers_mut().insert(header::CONTENT_LENGTH, "1000000".parse().unwrap());
    fixture.ask(announced).await.assert_problem(413, "too_large");
    fixture.ask(post(Body::from("{nonsense"))).await.assert_problem(400, "bad_message");
}

#[tokio::test]
async fn a_body_that_never_comes_is_not_waited_for() {
    struct Never;
    impl hyper::body::Body for Never {
        type Data = bytes::Bytes;
        type Error = std::convert::Infallible;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
            std::task::Poll::Pending
        }
    }
    let request = Request::post("/mine/x/call").body(Body::new(Never)).unwrap();
    let config = Config { body_within_ms: 1, ..Config::default() };
    let fixture = Fixture::with(config, Assets::new(SAMPLE));
    fixture.ask(request).await.assert_problem(408, "silent");
}

#[tokio::test]
async fn foreign_names_and_foreign_pages_stay_outside() {
    let fixture = Fixture::new();
    let with = |path: &str, name: &str, value: &str| {
        Request::get(path).header(name, value).body(Body::empty()).unwrap()
    };
    let host = fixture.ask(with("/", "host", "evil.com")).await;
    host.assert_problem(421, "host");
    assert!(host.text().contains("--host evil.com"));
    let origin = fixture.ask(with("/mine/x/call", "origin", "http://evil.com")).await;
    origin.assert_problem(403, "origin");
    assert!(origin.text().contains("--origin http://evil.com"));
    let own = fixture.ask(with("/mine/x/call", "origin", "http://localhost:7777")).await;
    assert_eq!(own.status, 201);
    assert_eq!(own.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn pages_of_listed_origins_may_read_answers() {
    let origins = vec!["https://friend.example".to_owned()];
    let fixture = Fixture::with(Config { origins, ..Config::default() }, Assets::new(SAMPLE));
    let from = |method: &str| {
        let request = Request::builder().method(method).uri("/mine/x/call");
        request.header("origin", "https://friend.example").body(Body::empty()).unwrap()
    };
    let post = fixture.ask(from("POST")).await;
    assert_eq!(post.status, 201);
    assert_eq!(post.header("access-control-allow-origin"), "https://friend.example");
    let preflight = fixture.ask(from("OPTIONS")).await;
    assert_eq!(preflight.status, 204);
    assert!(preflight.header("access-control-allow-methods").contains("POST"));
}

#[tokio::test]
async fn readiness_follows_the_stop() {
    let fixture = Fixture::new();
    assert_eq!(fixture.get("/healthz").await.status, 200);
    assert_eq!(fixture.get("/readyz").await.status, 200);
    fixture.stop.send(true).unwrap();
    fixture.get("/readyz").await.assert_problem(503, "not_ready");
    assert_eq!(fixture.get("/healthz").await.status, 200);
}

/// The whole thing on a socket.
struct Live {
    address: SocketAddr,
    rooms: Arc<Notes>,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
    _temp: Temp,
}

impl Live {
    async fn new(config: Config) -> Self {
        let (temp, store) = Temp::store();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let rooms = Arc::new(Notes::default());
        let slots =
            Slots::new(config.connections_max, config.connections_per_address_max, Arc::default());
        let edge = Edge {
            config: Arc::new(config),
            rooms: Arc::clone(&rooms),
            store,
            stop: stopped,
            slots,
            tls: None,
            transports: Transports::default(),
        };
        let server = serve(listener, edge);
        Self { address, rooms, stop, server: tokio::spawn(server), _temp: temp }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and reads until the server closes.
    async fn exchange(&self, bytes: &[u8]) -> String {
        let mut socket = self.connect().await;
        socket.write_all(bytes).await.unwrap();
        read_to_end(&mut socket).await
    }
}

async fn read_to_end(socket: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset after the answer is an end as well.
    let _ = socket.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

const UPGRADE: &str = "host: localhost\r\nconnection: upgrade\r\nupgrade: WebSocket\r\n\r\n";

#[tokio::test]
async fn sockets_are_handed_to_the_rooms() {
    let live = Live::new(Config::default()).await;
    for path in ["/mine/x", "/yours/x", "/mine/a.b"] {
        let answer = live.exchange(format!("GET {path} HTTP/1.1\r\n{UPGRADE}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 101 ") && answer.ends_with("yours"), "{answer}");
    }
    let evil = format!("GET /mine/x HTTP/1.1\r\norigin: http://evil.com\r\n{UPGRADE}");
    live.exchange(evil.as_bytes()).await;
    let named = UPGRADE.replace("localhost", "evil.com");
    live.exchange(format!("GET /mine/x HTTP/1.1\r\n{named}").as_bytes()).await;
    let expected = [
        Ok("mine/x".to_owned()),
        Err(Code::UnknownGame),
        Err(Code::BadMatchId),
        Err(Code::Origin),
        Err(Code::Host),
    ];
    assert_eq!(*live.rooms.upgrades.lock().unwrap(), expected);
}

#[tokio::test]
async fn bad_heads_are_answered_or_dropped() {
    let live = Live::new(Config { head_within_ms: 50, ..Config::default() }).await;
    let garbage = live.exchange(b"\x16\x03\x01 this is no HTTP\r\n\r\n").await;
    assert!(garbage.is_empty() || garbage.starts_with("HTTP/1.1 400"), "{garbage}");
    let long = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(40_000));
    let long = live.exchange(long.as_bytes()).await;
    assert!(long.is_empty() || long.starts_with("HTTP/1.1 431"), "{long}");
    // A head that does not end: the server closes, however long the client would wait.
    live.exchange(b"GET / HTTP/1.1\r\nhost: local").await;
    live.exchange(b"").await;
    let good = live.exchange(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(good.starts_with("HTTP/1.1 200"), "{good}");
}

#[tokio::test]
async fn a_full_server_says_so_and_recovers() {
    let live = Live::new(Config { connections_max: 1, ..Config::default() }).await;
    let mut first = live.connect().await;
    first.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    first.read_exact(&mut [0; 12]).await.unwrap();
    let mut second = live.connect().await;
    let refused = read_to_end(&mut second).await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("\"busy\""), "{refused}");
    drop(first);
    // The server notices the end of the first when it does.
    while !live
        .exchange(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await
        .starts_with("HTTP/1.1 200")
    {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stop_ends_idle_connections_and_the_accept_loop() {
    let live = Live::new(Config::default()).await;
    let mut idle = live.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    idle.read_exact(&mut [0; 12]).await.unwrap();
    live.stop.send(true).unwrap();
    read_to_end(&mut idle).await;
    live.server.await.unwrap();
    assert!(TcpStream::connect(live.address).await.is_err(), "nobody listens");
}
