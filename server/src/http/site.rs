//! The site: which path leads where.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use hyper::upgrade::OnUpgrade;
use referee_protocol::{Code, GameName, MatchId, Refusal};
use tokio::sync::watch;

use super::accept::{ConnectionSlot, Peer};
use super::answer::{problem, refused, refused_page};
use super::call;
use super::doors::Doors;
use super::page::Page;
use super::{Rooms, Transports, Upgrade};
use crate::assets::Assets;
use crate::config::Config;
use crate::key::RoomKey;
use crate::metrics::text::MEDIA_TYPE;
use crate::store::Store;

const INDEX: &str = include_str!("../../pages/index.html");
const DEFAULT: &str = include_str!("../../pages/default.html");
const MISSING_CLIENT: &str = include_str!("../../pages/missing-client.html");
/// Where a game's bare address leads.
const FIRST_MATCH: &str = "lobby";

/// Everything the handlers need.
pub(super) struct Site<R> {
    pub(super) config: Arc<Config>,
    pub(super) rooms: Arc<R>,
    pub(super) doors: Doors,
    pub(super) transports: Transports,
    store: Arc<Store>,
    stop: watch::Receiver<bool>,
    assets: Arc<Assets>,
    index: Page,
    missing_client: Page,
    games: BTreeMap<GameName, Page>,
}

/// The client that a request comes from.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) address: IpAddr,
    slot: ConnectionSlot,
    /// Why it may not come in by this name.
    refused: Option<Refusal>,
}

impl<R: Rooms> Site<R> {
    pub(super) fn new(
        config: Arc<Config>,
        rooms: Arc<R>,
        store: Arc<Store>,
        stop: watch::Receiver<bool>,
        assets: Arc<Assets>,
    ) -> Self {
        let entry = assets.entry();
        let page = |game: &super::GameListing| Page::new(game.page.unwrap_or(DEFAULT), entry);
        let games = rooms.games();
        let games =
            games.iter().filter_map(|game| Some((GameName::new(&game.name).ok()?, page(game))));
        Self {
            doors: Doors::new(&config),
            transports: Transports::default(),
            index: Page::new(INDEX, entry),
            missing_client: Page::new(MISSING_CLIENT, None),
            games: games.collect(),
            config,
            rooms,
            store,
            stop,
            assets,
        }
    }

    /// The room a path names.
    pub(super) fn key(&self, game: &str, match_id: &str) -> Result<RoomKey, Refusal> {
        let game = self.game(game)?;
        match MatchId::new(match_id) {
            Ok(match_id) => Ok(RoomKey { game, match_id }),
            Err(why) => {
                let message = format!("{match_id:?} is no name for a match: {why}");
                Err(Refusal::new(Code::BadMatchId, message))
            }
        }
    }

    fn game(&self, name: &str) -> Result<GameName, Refusal> {
        let game = GameName::new(name).ok().filter(|name| self.games.contains_key(name));
        game.ok_or_else(|| {
            Refusal::new(Code::UnknownGame, format!("no game called {name:?} is hosted here"))
        })
    }
}

/// The whole site.
pub(super) fn router<R: Rooms>(site: Arc<Site<R>>) -> Router {
    Router::new()
        .route("/", get(index::<R>))
        .route("/api/games", get(games::<R>))
        .route("/api/rooms", get(rooms::<R>))
        .route("/api/transports", get(transports::<R>))
        .route("/assets/{name}", get(asset::<R>))
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready::<R>))
        .route("/metrics", get(metrics::<R>))
        .route("/favicon.ico", get(async || StatusCode::NO_CONTENT))
        .route("/robots.txt", get(async || "User-agent: *\nDisallow: /\n"))
        .route("/{game}", get(game::<R>))
        .route("/{game}/{match}", get(match_page::<R>))
        .route("/{game}/{match}/call", any(call::root::<R>))
        .route("/{game}/{match}/call/{*rest}", any(call::below::<R>))
        .fallback(nothing)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(&site), door::<R>))
        .with_state(site)
}

/// What every request passes: who is it, and by which name did it call us. A socket's refusal is
/// told later, over the socket.
async fn door<R: Rooms>(
    State(site): State<Arc<Site<R>>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(peer) = request.extensions_mut().remove::<Peer>() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let headers = request.headers();
    let address = site.doors.client(peer.address, headers);
    let refused_host = site.doors.check_host(request.uri(), headers).err();
    let listed = site.doors.listed_origin(headers).cloned();
    let preflight = listed.is_some() && request.method() == Method::OPTIONS;
    let mut response = match refused_host {
        Some(refusal) if !wants_socket(headers) => refused(&refusal),
        _ if preflight => StatusCode::NO_CONTENT.into_response(),
        refused => {
            request.extensions_mut().insert(Client { address, slot: peer.slot, refused });
            next.run(request).await
        }
    };
    harden(response.headers_mut());
    if let Some(origin) = listed {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::VARY, HeaderValue::from_static("origin"));
        if preflight {
            let methods = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
            let allowed = HeaderValue::from_static("content-type");
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
        }
    }
    response
}

fn harden(headers: &mut HeaderMap) {
    const CONTENT_ONLY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; \
                                frame-ancestors 'none'";
    let fixed: [(HeaderName, &str); 3] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // A page brings its own.
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(CONTENT_ONLY));
}

fn wants_socket(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

async fn index<R: Rooms>(State(site): State<Arc<Site<R>>>) -> Response {
    site.index.plain()
}

async fn games<R: Rooms>(State(site): State<Arc<Site<R>>>) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(site.rooms.games())).into_response()
}

async fn rooms<R: Rooms>(State(site): State<Arc<Site<R>>>) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(site.rooms.public_rooms())).into_response()
}

async fn transports<R: Rooms>(State(site): State<Arc<Site<R>>>) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(site.transports.clone())).into_response()
}

async fn asset<R: Rooms>(
    State(site): State<Arc<Site<R>>>,
    Path(name): Path<String>,
    request: HeaderMap,
) -> Response {
    let Some(asset) = site.assets.get(&name) else {
        return problem(
            StatusCode::NOT_FOUND,
            "not_found",
            &format!("no asset is called {name:?}"),
        );
    };
    let headers = [
        (header::CONTENT_TYPE, asset.media_type),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::VARY, "accept-encoding"),
    ];
    match asset.gzip() {
        Some(gzip) if takes_gzip(&request) => {
            let encoding = [(header::CONTENT_ENCODING, "gzip")];
            (headers, encoding, gzip.clone()).into_response()
        }
        _ => (headers, asset.bytes.clone()).into_response(),
    }
}

/// Whether a browser takes compressed answers. One that names gzip only to refuse it (`q=0`) is not
/// known.
fn takes_gzip(request: &HeaderMap) -> bool {
    let accepted = request.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|accepted| accepted.split(',').any(|e| e.trim() == "gzip"))
}

async fn metrics<R: Rooms>(State(site): State<Arc<Site<R>>>) -> Response {
    let headers = [(header::CONTENT_TYPE, MEDIA_TYPE), (header::CACHE_CONTROL, "no-store")];
    (headers, site.rooms.metrics()).into_response()
}

async fn ready<R: Rooms>(State(site): State<Arc<Site<R>>>) -> Response {
    let going_down = *site.stop.borrow();
    let unready = match site.store.healthy() {
        _ if going_down => "the server is going down".to_owned(),
        Err(why) => why,
        Ok(()) => return ([(header::CACHE_CONTROL, "no-store")], "ready\n").into_response(),
    };
    problem(StatusCode::SERVICE_UNAVAILABLE, "not_ready", &unready)
}

async fn game<R: Rooms>(
    State(site): State<Arc<Site<R>>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    match site.game(&name) {
        Ok(name) => Redirect::to(&format!("/{name}/{FIRST_MATCH}")).into_response(),
        Err(refusal) => refused_page(&refusal, &headers),
    }
}

async fn match_page<R: Rooms>(
    State(site): State<Arc<Site<R>>>,
    Path((game, match_id)): Path<(String, String)>,
    request: Request,
) -> Response {
    let key = site.key(&game, &match_id);
    if wants_socket(request.headers()) {
        return upgrade(&site, key, request);
    }
    match key {
        Err(refusal) => refused_page(&refusal, request.headers()),
        Ok(_) if site.assets.entry().is_none() => {
            (StatusCode::SERVICE_UNAVAILABLE, site.missing_client.plain()).into_response()
        }
        Ok(key) => match site.games.get(&key.game) {
            Some(page) => page.of_match(&key),
            None => StatusCode::NOT_FOUND.into_response(),
        },
    }
}

/// Hands the socket to the rooms, with the room it wants or the reason why it may not have it.
fn upgrade<R: Rooms>(site: &Site<R>, key: Result<RoomKey, Refusal>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let client = parts.extensions.remove::<Client>();
    let (Some(client), Some(socket)) = (client, parts.extensions.remove::<OnUpgrade>()) else {
        let message = "this connection cannot become a WebSocket";
        return problem(StatusCode::BAD_REQUEST, Code::BadMessage.name(), message);
    };
    let foreign = site.doors.check_origin(&parts.uri, &parts.headers).err();
    let key = match client.refused.or(foreign) {
        Some(refusal) => Err(refusal),
        None => key,
    };
    site.rooms.upgrade(Upgrade { key, socket, parts, from: client.address, slot: client.slot })
}

async fn nothing(uri: Uri) -> Response {
    let path = uri.path();
    let trimmed = path.trim_end_matches('/');
    // Two slashes at the front would lead to another server.
    if trimmed.len() < path.len() && trimmed.starts_with('/') && !trimmed.starts_with("//") {
        return Redirect::permanent(trimmed).into_response();
    }
    problem(StatusCode::NOT_FOUND, "not_found", &format!("nothing is at {path}"))
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    let message = format!("{} cannot be asked with {method}", uri.path());
    problem(StatusCode::METHOD_NOT_ALLOWED, Code::BadMessage.name(), &message)
}
