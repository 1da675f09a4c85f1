//! `/{game}/{match}/call[/..]`: requests into rooms.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use referee_protocol::limits::REQUEST_MAX_BYTES;
use referee_protocol::{Code, Refusal};
use serde::de::IgnoredAny;
use tokio::time::timeout;

use super::answer::{problem, refused};
use super::site::{Client, Site};
use super::{RoomReply, RoomRequest, Rooms};

/// The methods a room is asked with. HEAD is none: it would change the room like a GET, unseen.
const METHODS: [Method; 5] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// `/call` itself.
pub(super) async fn root<R: Rooms>(
    State(site): State<Arc<Site<R>>>,
    Path((game, match_id)): Path<(String, String)>,
    request: Request,
) -> Response {
    call(&site, &game, &match_id, String::new(), request).await.unwrap_or_else(|refused| refused)
}

/// What lies below `/call`.
pub(super) async fn below<R: Rooms>(
    State(site): State<Arc<Site<R>>>,
    Path((game, match_id, rest)): Path<(String, String, String)>,
    request: Request,
) -> Response {
    let path = format!("/{rest}");
    call(&site, &game, &match_id, path, request).await.unwrap_or_else(|refused| refused)
}

async fn call<R: Rooms>(
    site: &Site<R>,
    game: &str,
    match_id: &str,
    path: String,
    request: Request,
) -> Result<Response, Response> {
    let (parts, body) = request.into_parts();
    let told = |refusal: Refusal| refused(&refusal);
    site.doors.check_origin(&parts.uri, &parts.headers).map_err(told)?;
    let key = site.key(game, match_id).map_err(told)?;
    if !METHODS.contains(&parts.method) {
        let allow = METHODS.map(|method| method.to_string()).join(", ");
        let message = format!("a room is asked with {allow}; this was {}", parts.method);
        let refusal = problem(StatusCode::METHOD_NOT_ALLOWED, "bad_message", &message);
        return Err(([(header::ALLOW, allow)], refusal).into_response());
    }
    let client = parts.extensions.get::<Client>().expect("the outermost layer puts it in");
    let body_within = Duration::from_millis(site.config.body_within_ms);
    let body = read(body, &parts.headers, body_within).await?;
    let request = RoomRequest { method: parts.method.to_string(), path, body };
    let answer = site.rooms.request(key, client.address, request);
    match timeout(Duration::from_millis(site.config.answer_within_ms), answer).await {
        Ok(Ok(reply)) => Ok(replied(reply)),
        Ok(Err(refusal)) => Err(refused(&refusal)),
        Err(_) => {
            let ms = site.config.answer_within_ms;
            let message = format!("the room did not answer within {ms} ms");
            Err(problem(StatusCode::GATEWAY_TIMEOUT, Code::Busy.name(), &message))
        }
    }
}

/// Reads a body that must be JSON or empty.
async fn read(body: Body, headers: &HeaderMap, within: Duration) -> Result<Vec<u8>, Response> {
    let too_large = || {
        let message = format!("the body has more than {REQUEST_MAX_BYTES} bytes");
        refused(&Refusal::new(Code::TooLarge, message))
    };
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|len| len.to_str().ok());
    let announced = announced.and_then(|len| len.parse::<u64>().ok());
    if announced.is_some_and(|len| len > REQUEST_MAX_BYTES as u64) {
        return Err(too_large());
    }
    let body = match timeout(within, Limited::new(body, REQUEST_MAX_BYTES).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large()),
        Ok(Err(error)) => {
            let message = format!("the body cannot be read: {error}");
            return Err(refused(&Refusal::new(Code::BadMessage, message)));
        }
        Err(_) => {
            let message = format!("the body did not come within {} ms", within.as_millis());
            return Err(problem(StatusCode::REQUEST_TIMEOUT, Code::Silent.name(), &message));
        }
    };
    if !body.is_empty()
        && let Err(error) = serde_json::from_slice::<IgnoredAny>(&body)
    {
        let message = format!("the body is not JSON: {error}");
        return Err(refused(&Refusal::new(Code::BadMessage, message)));
    }
    Ok(body.into())
}

fn replied(reply: RoomReply) -> Response {
    // What a game says is no reason to fail: a status that is none becomes "it failed".
    let status = StatusCode::from_u16(reply.status).ok().filter(|status| status.as_u16() >= 200);
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), headers, reply.body).into_response()
}
