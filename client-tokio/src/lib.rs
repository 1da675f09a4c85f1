//! Referee's client for native programs and bots: [`referee_client::Session`] over tokio and
//! WebSocket, QUIC or any byte stream. All that decides anything is in the session; here are the
//! sockets and the timer.
//!
//! ```no_run
//! # async fn play() -> Result<(), Box<dyn std::error::Error>> {
//! use referee_client_tokio::{Client, Event, Options, Value};
//!
//! let client = Client::connect("ws://localhost:7777/counter/lobby", Options::default()).await?;
//! client.send_action("Press", &Value::Null)?;
//! while let Some(event) = client.next_event().await {
//!     if let Event::State { tick } = event {
//!         println!("tick {}: {:?}", tick.0, client.with(|session| session.resource("Count")));
//!     }
//! }
//! # Ok(()) }
//! ```

mod client;
mod driver;
mod http;
mod options;
mod raw;
mod transports;

pub use client::{Client, ConnectError};
pub use http::{HttpError, http_get};
pub use options::{Options, Scheme, Target, UrlError};
pub use raw::{ByteStream, FramingError, RawError, RawSocket, Received, Trust};
pub use referee_client;
pub use referee_client::protocol::{Code, Seat, Tick, Value};
pub use referee_client::{ClientError, EntityView, Event, Reason, Session, Status};
pub use transports::{QuicTransport, Transports, TransportsError, transports};
