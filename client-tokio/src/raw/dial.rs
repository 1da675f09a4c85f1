//! Where a URL leads, and TCP to there, in the open or encrypted.

use super::RawError;
use super::tls::{self, Trust};
use rustls::pki_types::ServerName;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::http::Uri;

/// A host and a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// A name or an address, IPv6 without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Place {
    /// The place that a URL names, with the port of the scheme where it has none.
    pub(crate) fn of(uri: &Uri) -> Result<Self, RawError> {
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| RawError::Request(format!("{uri} names no host")))?;
        // An IPv6 address stands in brackets in a URL, and without them elsewhere.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let default = match uri.scheme_str() {
            Some("ws" | "http") => 80,
            _ => 443,
        };
        Ok(Self { host, port: uri.port_u16().unwrap_or(default) })
    }

    /// TCP that sends each frame at once: a game waits for no second one.
    pub(crate) async fn tcp(&self) -> Result<TcpStream, RawError> {
        let stream = TcpStream::connect((&self.host[..], self.port))
            .await
            .map_err(|error| self.unreachable(&error.to_string()))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    pub(crate) async fn tls(&self, trust: &Trust) -> Result<TlsStream<TcpStream>, RawError> {
        let config = Arc::new(tls::client_config(trust, &[])?);
        let name = ServerName::try_from(self.host.clone())
            .map_err(|_| RawError::Request(format!("{:?} is no name of a host", self.host)))?;
        let tcp = self.tcp().await?;
        let handshake = TlsConnector::from(config).connect(name, tcp).await;
        handshake.map_err(|error| RawError::Tls(tls::explain(&error.to_string())))
    }

    /// That nothing answers there, and what may have to be done about it.
    pub(crate) fn unreachable(&self, problem: &str) -> RawError {
        let Self { host, port } = self;
        let way_out = if self.is_loopback() {
            String::new()
        } else {
            let address = host.parse::<IpAddr>().map(|_| format!(" (or --bind {host})"));
            format!(
                "; a server is reached from other machines only if it was started with \
                 --bind 0.0.0.0{}",
                address.unwrap_or_default()
            )
        };
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        RawError::Unreachable(format!("nothing answers at {host}:{port}: {problem}{way_out}"))
    }

    fn is_loopback(&self) -> bool {
        let host = self.host.to_ascii_lowercase();
        let is_local_name = host == "localhost" || host.ends_with(".localhost");
        is_local_name || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_here_may_need_another_bind() {
        let text = |host: &str| {
            let uri: Uri = format!("ws://{host}/a/b").parse().unwrap();
            Place::of(&uri).unwrap().unreachable("refused").to_string()
        };
        assert_eq!(text("127.0.0.1:7777"), "nothing answers at 127.0.0.1:7777: refused");
        assert_eq!(text("[::1]:1"), "nothing answers at [::1]:1: refused");
        assert!(!text("localhost").contains("--bind"));
        let far = text("192.168.1.20:7777");
        assert!(far.contains("--bind 0.0.0.0 (or --bind 192.168.1.20)"), "{far}");
        let named = text("game.example");
        assert!(named.ends_with("--bind 0.0.0.0"), "{named}");
    }
}
