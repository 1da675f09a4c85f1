//! Where a bot connects, and over what.

use referee_client_tokio::{RawError, RawSocket};

use crate::load::LoadError;
use crate::plan::{Plan, Transport};

/// What must be known of a server to connect to it.
#[derive(Clone, Debug)]
pub(crate) struct Doors {
    /// The beginnings of the URLs.
    websocket: String,
    quic: Option<String>,
}

/// The address of one match over one transport.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    url: String,
}

impl Door {
    /// All doors of a plan's server.
    ///
    /// # Errors
    /// When the server has none for the plan's transport.
    pub(crate) fn all(plan: &Plan) -> Result<Doors, LoadError> {
        let server = plan.url.trim_end_matches('/');
        let websocket = format!("ws{}", server.trim_start_matches("http"));
        if plan.transport != Transport::Ws {
            return Err(LoadError::Plan("QUIC is not built in".into()));
        }
        Ok(Doors { websocket, quic: None })
    }

    pub(crate) async fn dial(&self) -> Result<RawSocket, RawError> {
        RawSocket::connect(&self.url, &[]).await
    }
}

impl Doors {
    /// The door of a bot to its match.
    pub(crate) fn to(&self, plan: &Plan, bot: usize, id: &str) -> Door {
        let quic = self.quic.as_ref().filter(|_| plan.over_quic(bot));
        let begin = quic.unwrap_or(&self.websocket);
        Door { url: format!("{begin}/{}/{id}", plan.game) }
    }
}
