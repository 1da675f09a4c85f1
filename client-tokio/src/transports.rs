//! What a server speaks, as its `/api/transports` tells it.

use crate::raw::{ByteStream, Place, RawError, Trust, parse_pin};
use serde::Deserialize;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::http::Uri;

/// Where it is told.
const PATH: &str = "/api/transports";
/// Longest answer, head and body, in bytes: it holds one port and one hash.
const ANSWER_MAX_BYTES: u64 = 16 * 1024;
/// How long the answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

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
    /// It is no URL that can be asked.
    #[error("{0:?} is no URL of a server; use http://host:port")]
    Url(String),
    /// The server cannot be reached.
    #[error(transparent)]
    Socket(#[from] RawError),
    /// It took too long.
    #[error("{url} did not answer within {} s", ANSWER_WITHIN.as_secs())]
    Late {
        /// What was asked.
        url: String,
    },
    /// It answered something else.
    #[error("{url} answered what is no list of transports: {problem}")]
    Answer {
        /// What was asked.
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
    let uri: Uri = http_url.parse().map_err(|_| TransportsError::Url(http_url.into()))?;
    let authority = uri.authority().ok_or_else(|| TransportsError::Url(http_url.into()))?;
    let (place, host) = (Place::of(&uri)?, authority.as_str());
    let url = format!("{}://{host}{PATH}", uri.scheme_str().unwrap_or_default());
    let asked = async {
        match uri.scheme_str() {
            Some("http") => Ok(ask(place.tcp().await?, host).await?),
            Some("https") => Ok(ask(place.tls(&Trust::default()).await?, host).await?),
            _ => Err(TransportsError::Url(http_url.into())),
        }
    };
    let answer = timeout(ANSWER_WITHIN, asked).await;
    let answer = answer.map_err(|_| TransportsError::Late { url: url.clone() })??;
    read(&answer).map_err(|problem| TransportsError::Answer { url, problem })
}

/// The whole answer, up to the limit.
async fn ask(mut stream: impl ByteStream, host: &str) -> Result<Vec<u8>, RawError> {
    let request =
        format!("GET {PATH} HTTP/1.0\r\nHost: {host}\r\nAccept: application/json\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX_BYTES).read_to_end(&mut answer).await?;
    Ok(answer)
}

fn read(answer: &[u8]) -> Result<Transports, String> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or("it has no end")?;
    let (head, body) = (String::from_utf8_lossy(&answer[..end]), &answer[end + 4..]);
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        return Err(status.into());
    }
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
        read(format!("HTTP/1.1 200 OK\r\nx: y\r\n\r\n{body}").as_bytes())
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
        assert_eq!(read(b"HTTP/1.1 404 Not Found\r\n\r\n"), Err("HTTP/1.1 404 Not Found".into()));
        assert!(read(b"nothing").is_err());
    }

    #[tokio::test]
    async fn only_a_server_is_asked() {
        for url in ["", "localhost", "ws://localhost:1"] {
            let error = transports(url).await.unwrap_err();
            assert!(matches!(error, TransportsError::Url(_)), "{url}: {error}");
        }
    }
}
