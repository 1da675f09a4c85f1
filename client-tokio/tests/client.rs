//! The native client against a scripted server on a real socket.

#![allow(clippy::unwrap_used, reason = "what helps tests fails like a test")]

mod common;

use common::count;
use referee_client_tokio::referee_client::protocol::Refusal;
use referee_client_tokio::referee_client::protocol::frame::{Lane, split};
use referee_client_tokio::referee_client::protocol::message::{
    self, ClientControl, Hello, ServerControl,
};
use referee_client_tokio::{
    Client, Code, ConnectError, Options, RawError, RawSocket, Received, Status, Value,
};

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};

struct Server {
    listener: TcpListener,
}

struct Link(WebSocketStream<TcpStream>);

impl Server {
    async fn new() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/game/m", listener.local_addr().unwrap());
        (Self { listener }, url)
    }

    async fn accept(&self) -> (Link, Hello) {
        let mut link = Link(accept_async(self.listener.accept().await.unwrap().0).await.unwrap());
        let frame = link.receive().await;
        let (Lane::Control, body) = split(&frame).unwrap() else { panic!("{frame:?}") };
        let ClientControl::Hello(hello) = message::decode(body).unwrap() else { panic!() };
        (link, hello)
    }
}

impl Link {
    async fn send(&mut self, frame: Vec<u8>) {
        self.0.send(Message::binary(frame)).await.unwrap();
    }

    async fn receive(&mut self) -> Vec<u8> {
        loop {
            match self.0.next().await.unwrap().unwrap() {
                Message::Binary(frame) => return frame.to_vec(),
                Message::Close(_) => return vec![],
                _ => {}
            }
        }
    }

    /// The next frame on this lane.
    async fn next_on(&mut self, lane: Lane) -> Vec<u8> {
        loop {
            let frame = self.receive().await;
            if frame.first() == Some(&(lane as u8)) {
                return frame;
            }
        }
    }

    async fn welcome(&mut self, hello: &Hello, count: u32, last_action: u64) {
        for frame in common::welcome(hello, count, last_action, None) {
            self.send(frame).await;
        }
    }
}

#[tokio::test]
async fn a_cut_connection_comes_back_with_what_was_unsaid() {
    let (server, url) = Server::new().await;
    let (pressed, was_pressed) = tokio::sync::oneshot::channel();
    let serve = async {
        let (mut link, hello) = server.accept().await;
        assert_eq!(hello.token, None);
        link.welcome(&hello, 1, 0).await;
        assert_eq!(link.next_on(Lane::Action).await, [Lane::Action as u8, 1, 0]);
        pressed.send(()).unwrap();
        let (mut link, hello) = server.accept().await;
        assert_eq!(hello.token.as_deref(), Some("token"));
        assert!(hello.resume.is_some());
        link.welcome(&hello, 2, 0).await;
        assert_eq!(link.next_on(Lane::Action).await, [Lane::Action as u8, 1, 0]);
        let leave = loop {
            let frame = link.next_on(Lane::Control).await;
            if let Ok(ClientControl::Leave) = message::decode(&frame[1..]) {
                break true;
            }
        };
        assert!(leave);
    };
    let play = async {
        let client = Client::connect(&url, Options::default()).await.unwrap();
        assert_eq!(count(&client), Some(Value::Int(1)));
        client.send_action("Press", &Value::Null).unwrap();
        was_pressed.await.unwrap();
        client.cut();
        client.wait_until(|s| s.status() == Status::Reconnecting).await.unwrap();
        client.wait_until(|s| s.status() == Status::Open).await.unwrap();
        assert_eq!(count(&client), Some(Value::Int(2)));
        client.leave().await;
    };
    tokio::join!(serve, play);
}

#[tokio::test]
async fn a_refusal_is_the_answer_to_connect() {
    let (server, url) = Server::new().await;
    let serve = async {
        let (mut link, _) = server.accept().await;
        let refusal = Refusal::new(Code::Full, "all 2 seats are taken");
        link.send(message::encode(&ServerControl::Refused(refusal))).await;
        assert_eq!(link.receive().await, Vec::<u8>::new(), "it closes");
    };
    let (_, refused) = tokio::join!(serve, Client::connect(&url, Options::default()));
    let Err(ConnectError::Refused(reason)) = refused else { panic!("{refused:?}") };
    assert_eq!(reason.to_string(), "full: all 2 seats are taken");
}

#[tokio::test]
async fn a_raw_socket_tells_how_it_was_closed() {
    let (server, url) = Server::new().await;
    let serve = async {
        let mut link = accept_async(server.listener.accept().await.unwrap().0).await.unwrap();
        let frame = link.next().await.unwrap().unwrap();
        link.send(frame).await.unwrap();
        use tokio_tungstenite::tungstenite::protocol::CloseFrame;
        let frame = CloseFrame { code: 4010.into(), reason: "bad".into() };
        link.close(Some(frame)).await.unwrap();
    };
    let ask = async {
        let mut raw = RawSocket::connect(&url, &[("Host", "elsewhere")]).await.unwrap();
        raw.send(&[1, 2]).await.unwrap();
        assert_eq!(raw.receive().await.unwrap(), Received::Frame(vec![1, 2]));
        let closed = Received::Closed { code: Some(4010), reason: "bad".into() };
        assert_eq!(raw.receive().await.unwrap(), closed);
    };
    tokio::join!(serve, ask);
    let bad = RawSocket::connect(&url, &[("Origin", "a\nb")]).await.map(|_| ());
    assert!(matches!(bad, Err(RawError::Request(_))), "{bad:?}");
}
