//! What comes to the door: handshakes and Hellos, good and bad.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use referee_client_tokio::{Client, Code, Options, Received};
use referee_protocol::frame::Ack;
use referee_protocol::limits::{CLIENT_MESSAGE_MAX_BYTES, LINK_SILENCE_MAX_MS};
use referee_protocol::message::Hello;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::site::{Site, counts, end, hello, press, said, soon, until};

/// The code with which a connection ends whose first message this is.
async fn first(site: &Site, frame: &[u8]) -> Code {
    let mut raw = site.raw("count/a").await;
    soon(raw.send(frame)).await.unwrap();
    end(&mut raw).await.code
}

#[tokio::test]
async fn a_first_message_that_is_no_good_hello_is_refused_with_a_code() {
    let site = Site::new(|_| {});
    let versions = vec![1];
    assert_eq!(first(&site, &[]).await, Code::HelloTimeout, "a ping says nothing");
    assert_eq!(first(&site, b"\x00garbage").await, Code::BadMessage);
    assert_eq!(first(&site, &Ack::default().encode()).await, Code::BadMessage);
    let newer = Hello { versions: vec![9999], ..Hello::default() };
    assert_eq!(first(&site, &said(newer)).await, Code::Version);
    let params = Some("{".to_owned());
    let hello = Hello { versions, params, ..Hello::default() };
    assert_eq!(first(&site, &said(hello)).await, Code::BadParams);
    let large = vec![0; CLIENT_MESSAGE_MAX_BYTES + 1];
    assert_eq!(first(&site, &large).await, Code::TooLarge);
    assert_eq!(site.metrics().rooms_made.get(), 0, "no room was made for any of them");
}

#[tokio::test]
async fn text_and_bytes_that_are_no_frames_are_refused_with_a_code() {
    let site = Site::new(|_| {});
    let mut raw = site.raw("count/a").await;
    soon(raw.send_text("hello")).await.unwrap();
    assert_eq!(end(&mut raw).await.code, Code::BadMessage);
    let mut raw = site.raw("count/a").await;
    soon(raw.tcp().unwrap().write_all(b"GET / HTTP/1.1\r\n\r\n")).await.unwrap();
    assert_eq!(end(&mut raw).await.code, Code::BadMessage);
    // In a room the same; the others there do not notice.
    let player = site.join("count/a").await;
    let (mut raw, _) = site.raw_in("count/a").await;
    soon(raw.send(&[77; 9])).await.unwrap();
    assert_eq!(end(&mut raw).await.code, Code::BadMessage);
    let (mut raw, _) = site.raw_in("count/a").await;
    soon(raw.send(&vec![0; CLIENT_MESSAGE_MAX_BYTES + 1])).await.unwrap();
    assert_eq!(end(&mut raw).await.code, Code::TooLarge);
    let (mut raw, _) = site.raw_in("count/a").await;
    soon(raw.send(&hello())).await.unwrap();
    assert_eq!(end(&mut raw).await.code, Code::BadMessage, "a second hello");
    press(&player);
    counts(&player, 1).await;
}

#[tokio::test]
async fn what_is_not_here_is_refused_over_the_opened_socket() {
    let site = Site::new(|_| {});
    assert_eq!(site.refused("chess/a", Options::default()).await, Code::UnknownGame);
    let mut raw = site.raw("count/a.b").await;
    assert_eq!(end(&mut raw).await.code, Code::BadMatchId);
    let mut raw = site.raw(&format!("count/{}", "x".repeat(65))).await;
    assert_eq!(end(&mut raw).await.code, Code::BadMatchId);
}

#[tokio::test]
async fn foreign_pages_and_names_are_refused_over_the_opened_socket() {
    let site = Site::new(|config| config.origins = vec!["https://friend.example".into()]);
    let code = async |name, value: &str| {
        let mut raw = site.raw_with("count/a", &[(name, value)]).await.unwrap();
        end(&mut raw).await.code
    };
    assert_eq!(code("Origin", "https://evil.example").await, Code::Origin);
    assert_eq!(code("Host", "evil.example").await, Code::Host);
    let own = format!("http://{}", site.authority());
    for origin in [own, "https://friend.example".to_owned()] {
        let options = Options { origin: Some(origin), ..Options::default() };
        site.join_as("count/a", options).await;
    }
}

#[tokio::test]
async fn a_handshake_that_is_none_is_answered_in_json() {
    let site = Site::new(|_| {});
    let mut stream = TcpStream::connect(site.authority()).await.unwrap();
    let host = site.authority();
    let head = format!(
        "GET /count/a HTTP/1.1\r\nhost: {host}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let n = soon(stream.read(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..n]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("\"code\":\"bad_message\""), "{answer}");
}

#[tokio::test]
async fn a_hello_may_come_in_pieces_and_with_more_behind_it() {
    let site = Site::new(|_| {});
    let mut raw = site.raw("count/a").await;
    soon(raw.send(&hello())).await.unwrap();
    // Said before the welcome, and read on the room's thread: it is not lost on the way.
    let ping = referee_protocol::message::ClientControl::Ping { nonce: 5 };
    soon(raw.send(&referee_protocol::message::encode(&ping))).await.unwrap();
    let mut seen = vec![];
    while seen.len() < 2 {
        seen.push(crate::site::control(&mut raw).await);
    }
    use referee_protocol::message::ServerControl::{Pong, Welcome};
    assert!(seen.iter().any(|m| matches!(m, Pong { nonce: 5, .. })), "{seen:?}");
    assert!(seen.iter().any(|m| matches!(m, Welcome(_))), "{seen:?}");
}

#[tokio::test]
async fn a_close_is_answered() {
    let site = Site::new(|_| {});
    let (mut raw, _) = site.raw_in("count/a").await;
    soon(raw.close(1000, "bye")).await.unwrap();
    loop {
        match soon(raw.receive()).await {
            Ok(Received::Frame(_)) => {}
            Ok(Received::Closed { code, .. }) => {
                assert!(matches!(code, Some(1000) | None), "{code:?}");
                return;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// An address of this machine under which others in its network know it.
fn own_address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent: the system only says from where it would be.
    socket.connect("198.51.100.1:9").expect("this machine is in a network");
    socket.local_addr().unwrap().ip()
}

#[tokio::test]
async fn others_in_the_network_play_when_they_are_let_in_and_else_the_line_names_the_flag() {
    let own = own_address();
    assert!(!own.is_loopback());
    let open = Site::new(|config| config.bind = Ipv4Addr::UNSPECIFIED.into());
    let url = format!("ws://{own}:{}/count/a", open.port());
    let player = soon(Client::connect(&url, Options::default())).await.expect("it is let in");
    press(&player);
    counts(&player, 1).await;
    let greeting = open.greeting();
    assert!(greeting.ends_with(&format!("reach it at http://{own}:{}", open.port())), "{greeting}");

    let closed = Site::new(|_| {});
    let error = soon(TcpStream::connect((own, closed.port()))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let greeting = closed.greeting();
    let (place, reach) = greeting.split_once('\n').unwrap();
    assert!(place.ends_with(&format!("open http://localhost:{}", closed.port())), "{place}");
    assert!(reach.contains("Only this machine") && reach.contains("--bind 0.0.0.0"), "{reach}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_open_connection_is_noticed_in_time() {
    let site = Site::new(|_| {});
    let player = site.join("count/a").await;
    let (mut raw, _) = site.raw_in("count/a").await;
    let begun = tokio::time::Instant::now();
    let metrics = site.metrics();
    // Nothing more comes of it: no pong, not even an end.
    until(|| metrics.ends(Code::Silent) == 1).await;
    // The step of the wheel, and what a busy machine may need.
    let most = Duration::from_millis(LINK_SILENCE_MAX_MS + 250 + 750);
    assert!(begun.elapsed() < most, "it took {:?}", begun.elapsed());
    assert_eq!(end(&mut raw).await.code, Code::Silent);
    press(&player);
    counts(&player, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_for_hello_have_a_bound() {
    let site = Site::new(|config| config.hellos_waiting_max = 2);
    let _waiting = (site.raw("count/a").await, site.raw("count/a").await);
    let metrics = site.metrics();
    until(|| metrics.hellos_waiting.get() == 2).await;
    let mut third = site.raw("count/a").await;
    assert_eq!(end(&mut third).await.code, Code::Busy);
}
