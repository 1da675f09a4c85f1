//! What a server speaks, as its `/api/transports` tells it.

use crate::http::{HttpError, http_get};
use crate::raw::parse_pin;
use serde::Deserialize;

/// Where it is told.
const PATH: &str = "/api/transports";
/// Longest answer, head and body, in bytes: it holds one port and one hash.
const ANSWER_MAX_BYTES: u64 = 16 * 1024;

/// What a server speaks besides WebSocket.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Transports {
    /// QUIC; none when it is off.
    pub quic: Option<QuicTransport>,
}

/// Where QUIC is spoken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuicTransport {
    /// The UDP port, on the host that was asked.
    pub port: u16,
    /// The SHA-256 of the server's certificate, where it is self-signed ([`crate::Options::pin`]).
    pub pin: Option<[u8; 32]>,
}

/// Why a server's transports are not known.
#[derive(Debug, thiserror::Error)]
pub enum TransportsError {
    /// There is no answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// It answered something else.
    #[error("{url} answered what is no list of transports: {problem}")]
    Answer {
        /// Who was asked.
        url: String,
        /// What is wrong with the answer.
        problem: String,
    },
}

#[derive(Deserialize)]
struct Body {
    quic: Option<Quic>,
}

#[derive(Deserialize)]
struct Quic {
    port: u16,
    pin: Option<String>,
}

/// Asks the server of this URL (`http://host:port`, or `https://..` with a certificate that the
/// system believes; a path is ignored) what it speaks besides WebSocket.
///
/// # Errors
/// When it cannot be reached, or answers something else.
pub async fn transports(http_url: &str) -> Result<Transports, TransportsError> {
    let body = http_get(http_url, PATH, ANSWER_MAX_BYTES).await?;
    read(&body).map_err(|problem| TransportsError::Answer { url: http_url.into(), problem })
}

fn read(body: &[u8]) -> Result<Transports, String> {
    let body: Body = serde_json::from_slice(body).map_err(|problem| problem.to_string())?;
    let Some(quic) = body.quic else { return Ok(Transports::default()) };
    let pin = match quic.pin {
        None => None,
        Some(pin) => {
            Some(parse_pin(&pin).ok_or_else(|| format!("the pin {pin:?} is not 64 hex digits"))?)
        }
    };
    Ok(Transports { quic: Some(QuicTransport { port: quic.port, pin }) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(body: &str) -> Result<Transports, String> {
        read(body.as_bytes())
    }

    #[test]
    fn answers_are_read() {
        assert_eq!(ok("{\"quic\": null}"), Ok(Transports::default()));
        let quic = |pin| Ok(Transports { quic: Some(QuicTransport { port: 7777, pin }) });
        assert_eq!(ok("{\"quic\": {\"port\": 7777}, \"more\": 1}"), quic(None));
        let pin = "0a".repeat(32);
        assert_eq!(
            ok(&format!("{{\"quic\": {{\"port\": 7777, \"pin\": \"{pin}\"}}}}")),
            quic(Some([10; 32]))
        );
        assert!(
            ok("{\"quic\": {\"port\": 7777, \"pin\": \"ab\"}}").unwrap_err().contains("64 hex")
        );
        assert!(ok("{\"quic\": {\"port\": 70000}}").is_err());
        assert!(read(b"nothing").is_err());
    }
}
