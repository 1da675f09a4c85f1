//! What a server answers over HTTP, where a small answer is all that is wanted.

use crate::raw::{ByteStream, Place, RawError, Trust};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::http::Uri;

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
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
    /// It answered with another status than 200, or with no HTTP.
    #[error("{url} answered {answer}")]
    Answer {
        /// What was asked.
        url: String,
        /// How the answer begins.
        answer: String,
    },
}

/// The body of what a server answers to `GET path`, at most so many bytes of the whole answer. The URL is
/// `http://host:port`, or `https://..` with a certificate that the system believes; a path in it is ignored.
///
/// # Errors
/// When the server cannot be reached, or answers with anything but 200.
pub async fn http_get(http_url: &str, path: &str, max_bytes: u64) -> Result<Vec<u8>, HttpError> {
    let no_url = || HttpError::Url(http_url.into());
    let uri: Uri = http_url.parse().map_err(|_| no_url())?;
    let host = uri.authority().ok_or_else(no_url)?.as_str();
    let place = Place::of(&uri)?;
    let url = format!("{}://{host}{path}", uri.scheme_str().unwrap_or_default());
    let asked = async {
        match uri.scheme_str() {
            Some("http") => Ok(ask(place.tcp().await?, (host, path), max_bytes).await?),
            Some("https") => {
                let stream = place.tls(&Trust::default()).await?;
                Ok(ask(stream, (host, path), max_bytes).await?)
            }
            _ => Err(no_url()),
        }
    };
    let answer = timeout(ANSWER_WITHIN, asked).await;
    let answer = answer.map_err(|_| HttpError::Late { url: url.clone() })??;
    body(&answer).map_err(|answer| HttpError::Answer { url, answer })
}

/// The whole answer, up to the limit. HTTP 1.0 has no chunks.
async fn ask(
    mut stream: impl ByteStream,
    (host, path): (&str, &str),
    max_bytes: u64,
) -> Result<Vec<u8>, RawError> {
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(max_bytes).read_to_end(&mut answer).await?;
    Ok(answer)
}

/// What stands behind the head of an answer of status 200. Else how the answer begins.
fn body(answer: &[u8]) -> Result<Vec<u8>, String> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.ok_or("what has no end, and may be no HTTP")?;
    let head = String::from_utf8_lossy(&answer[..end]);
    let status = head.lines().next().unwrap_or_default();
    match status.split(' ').nth(1) {
        Some("200") => Ok(answer[end + 4..].to_vec()),
        _ => Err(format!("{status:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_200_has_a_body() {
        assert_eq!(body(b"HTTP/1.1 200 OK\r\nx: y\r\n\r\nhello"), Ok(b"hello".to_vec()));
        let not_found = body(b"HTTP/1.1 404 Not Found\r\n\r\n").unwrap_err();
        assert_eq!(not_found, "\"HTTP/1.1 404 Not Found\"");
        assert!(body(b"nothing").unwrap_err().contains("no HTTP"));
    }

    #[tokio::test]
    async fn only_a_server_is_asked() {
        for url in ["", "localhost", "ws://localhost:1"] {
            let error = http_get(url, "/", 1).await.unwrap_err();
            assert!(matches!(error, HttpError::Url(_)), "{url}: {error}");
        }
    }
}
