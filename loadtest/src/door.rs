//! Where a bot connects, and over what.

use referee_client_tokio::{HttpError, RawError, RawSocket, TransportsError, Trust, transports};

use crate::load::LoadError;
use crate::plan::{Plan, Transport};
use crate::server::authority;

/// What must be known of a server to connect to it.
#[derive(Clone, Debug)]
pub(crate) struct Doors {
    /// The beginnings of the URLs.
    websocket: String,
    /// With the hash of the certificate, where that is self-signed.
    quic: Option<(String, Option<[u8; 32]>)>,
}

/// The address of a game, or of one match, over one transport.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    url: String,
    pin: Option<[u8; 32]>,
}

impl Door {
    /// All doors of a plan's server.
    ///
    /// # Errors
    /// When the server has none for the plan's transport.
    pub(crate) fn all(plan: &Plan) -> Result<Doors, LoadError> {
        let server = plan.url.trim_end_matches('/');
        let websocket = format!("ws{}", server.trim_start_matches("http"));
        if plan.transport == Transport::Ws {
            return Ok(Doors { websocket, quic: None });
        }
        let failed = |why: String| LoadError::Plan(format!("QUIC cannot be used: {why}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| LoadError::Thread(error.to_string()))?;
        let asked = runtime.block_on(transports(server));
        let spoken = asked.map_err(|error| failed(format!("{error}{}", way_out(&error))))?;
        let off = || failed("the server has it off; use --transport ws".into());
        let quic = spoken.quic.ok_or_else(off)?;
        let host = host(server).ok_or_else(|| failed(format!("{server} names no host")))?;
        let begin = format!("quic://{host}:{}", quic.port);
        Ok(Doors { websocket, quic: Some((begin, quic.pin)) })
    }

    /// Opens a connection.
    pub(crate) async fn dial(self) -> Result<RawSocket, RawError> {
        RawSocket::connect_with(&self.url, &[], &Trust { pin: self.pin }).await
    }
}

/// What a user may do who is not answered.
fn way_out(error: &TransportsError) -> &'static str {
    match error {
        TransportsError::Http(HttpError::Socket(RawError::Tls(_))) => "",
        TransportsError::Http(HttpError::Socket(_)) => {
            "; start a server with `cargo xtask play`, or name yours with --url"
        }
        _ => "; is it a Referee server that --url names?",
    }
}

/// The host of a URL, without its port.
fn host(url: &str) -> Option<&str> {
    let (_, authority) = authority(url)?;
    let port = authority.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
    Some(port.map_or(authority, |(host, _)| host))
}

impl Doors {
    /// The door of a bot.
    pub(crate) fn to(&self, plan: &Plan, bot: usize) -> Door {
        let quic = self.quic.as_ref().filter(|_| plan.over_quic(bot));
        let (begin, pin) = match quic {
            Some((begin, pin)) => (begin, *pin),
            None => (&self.websocket, None),
        };
        Door { url: format!("{begin}/{}", plan.game), pin }
    }
}

impl Door {
    /// The same to a match.
    pub(crate) fn to(&self, id: &str) -> Self {
        Self { url: format!("{}/{id}", self.url), pin: self.pin }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_no_port() {
        assert_eq!(host("http://h:1"), Some("h"));
        assert_eq!(host("http://[::1]:7777"), Some("[::1]"));
        assert_eq!(host("https://play.example/"), Some("play.example"));
    }
}
