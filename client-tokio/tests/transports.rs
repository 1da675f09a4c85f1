//! QUIC, TLS and byte streams against scripted servers.

#![allow(clippy::unwrap_used, reason = "what helps tests fails like a test")]

mod common;

use common::{count, welcome};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, Endpoint, ServerConfig, VarInt};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use referee_client_tokio::referee_client::protocol::Refusal;
use referee_client_tokio::referee_client::protocol::frame::{Lane, split};
use referee_client_tokio::referee_client::protocol::message::{
    self, ClientControl, Hello, ServerControl,
};
use referee_client_tokio::{
    Client, Code, Options, QuicTransport, RawError, RawSocket, Received, Status, Transports, Trust,
    Value, transports,
};
use rustls::pki_types::PrivateKeyDer;
use sha2::{Digest, Sha256};
use std::future::{Future, IntoFuture};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::accept_async;

/// Nothing here takes so long unless it is broken.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), what).await.expect("it comes soon")
}

/// How a server with a certificate of its own speaks TLS, and the certificate's pin.
fn tls(alpn: &[&[u8]]) -> (rustls::ServerConfig, [u8; 32]) {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let cert = CertificateParams::new(["referee".into()]).unwrap().self_signed(&key).unwrap();
    let pin = Sha256::digest(cert.der()).into();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(vec![cert.der().clone()], key)
    .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    (config, pin)
}

struct Quic {
    endpoint: Endpoint,
    url: String,
    pin: [u8; 32],
}

impl Quic {
    fn new() -> Self {
        let (config, pin) = tls(&[b"referee/1"]);
        let config = QuicServerConfig::try_from(config).unwrap();
        let config = ServerConfig::with_crypto(Arc::new(config));
        let endpoint = Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
        let port = endpoint.local_addr().unwrap().port();
        Self { endpoint, url: format!("quic://localhost:{port}/game/m"), pin }
    }

    fn trust(&self) -> Trust {
        Trust { pin: Some(self.pin) }
    }

    async fn accept(&self) -> (Connection, RawSocket) {
        let connection = soon(self.endpoint.accept()).await.unwrap().await.unwrap();
        let (send, receive) = soon(connection.accept_bi()).await.unwrap();
        (connection, RawSocket::over(tokio::io::join(receive, send)))
    }
}

async fn hello(link: &mut RawSocket) -> Hello {
    let Received::Frame(frame) = soon(link.receive()).await.unwrap() else { panic!("it closed") };
    let (Lane::Control, body) = split(&frame).unwrap() else { panic!("{frame:?}") };
    let ClientControl::Hello(hello) = message::decode(body).unwrap() else { panic!("{frame:?}") };
    hello
}

/// Lets a client in, and waits until it has acknowledged.
async fn let_in(link: &mut RawSocket, counted: u32) {
    let hello = hello(link).await;
    assert_eq!((hello.game.as_deref(), hello.match_id.as_deref()), (Some("game"), Some("m")));
    for frame in welcome(&hello, counted, 0, None) {
        link.send(&frame).await.unwrap();
    }
}

async fn until_left(link: &mut RawSocket) {
    loop {
        match soon(link.receive()).await.unwrap() {
            Received::Frame(frame) if frame == b"\x00\xa5Leave" => return,
            Received::Frame(_) => {}
            closed @ Received::Closed { .. } => panic!("{closed:?}"),
        }
    }
}

#[tokio::test]
async fn a_client_plays_over_quic_and_comes_back() {
    let server = Quic::new();
    let serve = async {
        let (connection, mut link) = server.accept().await;
        let_in(&mut link, 1).await;
        let pressed = loop {
            let Received::Frame(frame) = soon(link.receive()).await.unwrap() else { panic!() };
            if frame[0] == Lane::Action as u8 {
                break frame;
            }
        };
        assert_eq!(pressed, [Lane::Action as u8, 1, 0]);
        connection.close(VarInt::from_u32(4001), b"the room has stopped");
        let (_connection, mut link) = server.accept().await;
        let_in(&mut link, 2).await;
        until_left(&mut link).await;
        let end = soon(link.receive()).await.unwrap();
        assert_eq!(end, Received::Closed { code: None, reason: String::new() });
    };
    let play = async {
        let options = Options { pin: Some(server.pin), ..Options::default() };
        let client = soon(Client::connect(&server.url, options)).await.unwrap();
        assert_eq!(count(&client), Some(Value::Int(1)));
        client.send_action("Press", &Value::Null).unwrap();
        soon(client.wait_until(|s| s.status() == Status::Reconnecting)).await.unwrap();
        let reason = client.with(|s| s.reason().unwrap().to_string());
        assert_eq!(reason, "stopped: the room has stopped");
        soon(client.wait_until(|s| s.status() == Status::Open)).await.unwrap();
        assert_eq!(count(&client), Some(Value::Int(2)));
        soon(client.leave()).await;
    };
    tokio::join!(serve, play);
}

#[tokio::test]
async fn quic_ends_as_a_websocket_does() {
    let server = Quic::new();
    let refused = message::encode(&ServerControl::Refused(Refusal::new(Code::Full, "no seat")));
    let serve = async {
        let (connection, mut link) = server.accept().await;
        soon(link.receive()).await.unwrap();
        link.send(&refused).await.unwrap();
        link.close(0, "").await.unwrap();
        // The client answers the end with an end; only then the connection is closed.
        let end = soon(link.receive()).await.unwrap();
        assert_eq!(end, Received::Closed { code: None, reason: String::new() });
        connection.close(VarInt::from_u32(4023), b"no");
        // Until it has left.
        soon(server.endpoint.wait_idle()).await;
    };
    let ask = async {
        let mut raw =
            soon(RawSocket::connect_with(&server.url, &[], &server.trust())).await.unwrap();
        raw.send(&[1]).await.unwrap();
        assert_eq!(soon(raw.receive()).await.unwrap(), Received::Frame(refused.clone()));
        let closed = Received::Closed { code: Some(4023), reason: "no".into() };
        assert_eq!(soon(raw.receive()).await.unwrap(), closed);
        assert!(raw.send(&[1]).await.is_err());
    };
    tokio::join!(serve, ask);
}

#[tokio::test]
async fn another_certificate_than_the_pinned_one_is_refused() {
    let server = Quic::new();
    let serve = async {
        let incoming = soon(server.endpoint.accept()).await.unwrap();
        assert!(soon(incoming.into_future()).await.is_err());
    };
    let ask = async {
        let trust = Trust { pin: Some([7; 32]) };
        let error = soon(RawSocket::connect_with(&server.url, &[], &trust)).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, RawError::Tls(_)), "{text}");
        assert!(text.contains(&"07".repeat(32)) && text.contains("/api/transports"), "{text}");
    };
    tokio::join!(serve, ask);
}

#[tokio::test]
async fn many_connections_share_one_socket() {
    let server = Quic::new();
    let serve = async {
        let (one, _link) = server.accept().await;
        let (two, _link) = server.accept().await;
        assert_eq!(one.remote_address(), two.remote_address());
    };
    let ask = async {
        let mut open = vec![];
        for _ in 0..2 {
            let trust = server.trust();
            let raw = RawSocket::connect_with(&server.url, &[], &trust);
            let mut raw = soon(raw).await.unwrap();
            raw.send(&[1]).await.unwrap();
            open.push(raw);
        }
        open
    };
    tokio::join!(serve, ask);
}

#[tokio::test]
async fn frames_travel_over_websocket_and_tls() {
    let (config, pin) = tls(&[]);
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://localhost:{}/game/m", listener.local_addr().unwrap().port());
    let serve = async {
        let stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        let mut link = accept_async(stream).await.unwrap();
        use futures_util::{SinkExt, StreamExt};
        let frame = link.next().await.unwrap().unwrap();
        link.send(frame).await.unwrap();
        assert!(acceptor.accept(listener.accept().await.unwrap().0).await.is_err());
        assert!(acceptor.accept(listener.accept().await.unwrap().0).await.is_err());
    };
    let ask = async {
        let trust = Trust { pin: Some(pin) };
        let mut raw = soon(RawSocket::connect_with(&url, &[], &trust)).await.unwrap();
        raw.send(&[1, 2]).await.unwrap();
        assert_eq!(soon(raw.receive()).await.unwrap(), Received::Frame(vec![1, 2]));
        let other = Trust { pin: Some([0; 32]) };
        let error = soon(RawSocket::connect_with(&url, &[], &other)).await.unwrap_err();
        assert!(error.to_string().contains("is pinned"), "{error}");
        // Nobody the system knows has signed this certificate.
        let error = soon(RawSocket::connect(&url, &[])).await.unwrap_err().to_string();
        assert!(error.contains("pin"), "{error}");
    };
    tokio::join!(soon(serve), ask);
}

#[tokio::test]
async fn a_client_plays_over_any_byte_stream() {
    let (dialed, mut accepted) = mpsc::channel::<DuplexStream>(1);
    let serve = async {
        let mut link = RawSocket::over(accepted.recv().await.unwrap());
        let_in(&mut link, 1).await;
        drop(link);
        let mut link = RawSocket::over(accepted.recv().await.unwrap());
        let_in(&mut link, 2).await;
        until_left(&mut link).await;
    };
    let play = async {
        let dial = move || {
            let dialed = dialed.clone();
            async move {
                let (near, far) = duplex(4096);
                let gone = |_| std::io::Error::other("the server is gone");
                dialed.send(far).await.map_err(gone)?;
                Ok(near)
            }
        };
        let entered = Client::connect_over(dial, "ws://memory/game/m", Options::default());
        let client = soon(entered).await.unwrap();
        soon(client.wait_until(|s| s.resource("Count") == Some(Value::Int(2)))).await.unwrap();
        soon(client.leave()).await;
    };
    tokio::join!(serve, play);
}

#[tokio::test]
async fn a_connection_that_falls_silent_is_replaced_by_a_second_one() {
    let (dialed, mut accepted) = mpsc::channel::<DuplexStream>(2);
    let serve = async {
        // It stays open, takes what comes, and says nothing more.
        let mut mute = RawSocket::over(accepted.recv().await.unwrap());
        let first = hello(&mut mute).await;
        for frame in welcome(&first, 1, 0, Some(20)) {
            mute.send(&frame).await.unwrap();
        }
        let mut link = RawSocket::over(accepted.recv().await.unwrap());
        let again = hello(&mut link).await;
        assert_eq!((again.token.as_deref(), again.resume.is_some()), (Some("token"), true));
        for frame in welcome(&again, 2, 0, Some(20)) {
            link.send(&frame).await.unwrap();
        }
        until_left(&mut link).await;
        // The first was closed, not forgotten.
        while let Received::Frame(_) = soon(mute.receive()).await.unwrap() {}
    };
    let play = async {
        let dial = move || {
            let (near, far) = duplex(4096);
            let sent = dialed.try_send(far).map_err(std::io::Error::other);
            std::future::ready(sent.map(|()| near))
        };
        let entered = Client::connect_over(dial, "ws://memory/game/m", Options::default());
        let client = soon(entered).await.unwrap();
        soon(client.wait_until(|s| s.resource("Count") == Some(Value::Int(2)))).await.unwrap();
        soon(client.leave()).await;
    };
    tokio::join!(serve, play);
}

#[tokio::test]
async fn a_server_tells_what_it_speaks() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 1024];
        let length = stream.read(&mut request).await.unwrap();
        let request = String::from_utf8_lossy(&request[..length]).into_owned();
        let body = format!("{{\"quic\": {{\"port\": 9, \"pin\": \"{}\"}}}}", "ff".repeat(32));
        stream.write_all(format!("HTTP/1.0 200 OK\r\n\r\n{body}").as_bytes()).await.unwrap();
        request
    };
    let url = format!("http://{address}/counter/lobby");
    let (request, told) = tokio::join!(serve, soon(transports(&url)));
    let quic = QuicTransport { port: 9, pin: Some([0xff; 32]) };
    assert_eq!(told.unwrap(), Transports { quic: Some(quic) });
    assert!(request.starts_with("GET /api/transports HTTP/1.0\r\n"), "{request}");
    assert!(request.contains(&format!("\r\nHost: {address}\r\n")), "{request}");
}

#[tokio::test]
async fn where_nothing_listens_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = soon(RawSocket::connect(&format!("ws://{address}/a/b"), &[])).await.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with(&format!("nothing answers at {address}: ")), "{text}");
}
