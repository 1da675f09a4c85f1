//! What the server says over HTTP when it is not a page: JSON, and refusals with their status.

use std::fmt::Write as _;

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use referee_protocol::{Code, Refusal};
use serde::Serialize;

#[derive(Serialize)]
struct Told<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u32>,
}

/// `{"code", "message"}` with a status, never cached.
pub(super) fn problem(status: StatusCode, code: &str, message: &str) -> Response {
    told(status, &Told { code, message, retry_after_ms: None })
}

fn told(status: StatusCode, told: &Told<'_>) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], Json(told)).into_response()
}

/// A refusal as an answer: its code says the status.
pub(super) fn refused(refusal: &Refusal) -> Response {
    let retry_after_ms = refusal.retry_after_ms;
    let body = Told { code: refusal.code.name(), message: &refusal.message, retry_after_ms };
    let mut response = told(status(refusal.code), &body);
    if let Some(ms) = retry_after_ms {
        let seconds = HeaderValue::from(ms.div_ceil(1000));
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

/// A refusal where a person may be looking: a small page for browsers, JSON for the rest.
pub(super) fn refused_page(refusal: &Refusal, headers: &HeaderMap) -> Response {
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if !accepts.is_some_and(|accepts| accepts.contains("text/html")) {
        return refused(refusal);
    }
    let text = escape(&refusal.message);
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><meta name=\"color-scheme\" content=\"light dark\">\
         <link rel=\"icon\" href=\"data:,\"><title>Not here</title><body style=\"font: 1.1rem/1.5 \
         system-ui; max-width: 34rem; margin: 20vh auto; padding: 0 1.5rem\"><p>{text}</p>\
         <p><a href=\"/\">All games</a></p></body></html>"
    );
    (status(refusal.code), [(header::CACHE_CONTROL, "no-store")], Html(page)).into_response()
}

fn status(code: Code) -> StatusCode {
    match code {
        Code::UnknownGame => StatusCode::NOT_FOUND,
        Code::BadMatchId | Code::BadParams | Code::BadMessage | Code::Version => {
            StatusCode::BAD_REQUEST
        }
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::Host => StatusCode::MISDIRECTED_REQUEST,
        Code::Origin | Code::Refused | Code::Kicked => StatusCode::FORBIDDEN,
        Code::Full | Code::Replaced => StatusCode::CONFLICT,
        Code::TooMany | Code::RoomRate => StatusCode::TOO_MANY_REQUESTS,
        Code::HelloTimeout | Code::Silent | Code::SlowReader | Code::Idle => {
            StatusCode::REQUEST_TIMEOUT
        }
        Code::Left => StatusCode::GONE,
        Code::Failed | Code::Unreadable | Code::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
        Code::Stopped | Code::Busy | Code::GoingDown => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Text as HTML.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' | '<' | '>' | '"' | '\'' => {
                let _ = write!(out, "&#{};", u32::from(character));
            }
            other => out.push(other),
        }
    }
    out
}
