//! What QUIC has of its own: pins, resets, address checks, clients that say nothing.

use quinn::ConnectionError;
use referee_client_tokio::{Code, Options, RawSocket, Received, Status, Trust};

use referee_protocol::limits::CLIENT_MESSAGE_MAX_BYTES;

use crate::bare_quic::{ALPN, BareQuic, framed};
use crate::site::{Site, Transport, counts, end, hello, hello_to, press, soon, until};

fn site() -> Site {
    Site::over(Transport::Quic, |_| {})
}

#[tokio::test]
async fn the_certificate_that_was_pinned_outlives_a_restart() {
    let mut site = site();
    let pin = site.pin().await;
    assert!(pin.is_some());
    site.stop().await;
    site.start();
    assert_eq!(site.pin().await, pin);
    site.join("count/a").await;
}

#[tokio::test]
async fn a_server_without_quic_says_so_and_leaves_the_port_alone() {
    let site = Site::new(|config| config.quic = false);
    assert_eq!(site.http("GET", "api/transports").await, (200, "{\"quic\":null}".into()));
    std::net::UdpSocket::bind(site.authority()).unwrap();
}

#[tokio::test]
async fn a_udp_port_that_is_taken_is_named_with_the_way_out() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let config = referee_server::config::Config {
        port,
        data: std::env::temp_dir().join(format!("referee-taken-{}", std::process::id())),
        ..Default::default()
    };
    let error = referee_server::run::Server::start(crate::site::all_games(), config);
    let error = error.err().unwrap().to_string();
    assert!(error.contains(&format!("UDP port 127.0.0.1:{port}")), "{error}");
    assert!(error.contains("--no-quic") && error.contains("--port"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn above_the_rate_a_client_shows_its_address_and_comes_in_all_the_same() {
    let site = Site::over(Transport::Quic, |config| {
        config.quic_handshakes_per_second = 1;
        config.quic_handshakes_burst = 1;
    });
    for _ in 0..4 {
        site.join("count/a").await;
    }
    assert!(site.metrics().quic_retries.get() >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_opens_no_stream_is_let_go_with_the_reason() {
    let site = site();
    let trust = Trust { pin: site.pin().await };
    let url = site.url("count/a");
    let mut raw = soon(RawSocket::connect_with(&url, &[], &trust)).await.unwrap();
    let metrics = site.metrics();
    until(|| metrics.hellos_waiting.get() == 1).await;
    let closed = soon(raw.receive()).await.unwrap();
    let late = Some(Code::HelloTimeout.close_code());
    assert!(matches!(&closed, Received::Closed { code, .. } if *code == late), "{closed:?}");
    until(|| metrics.hellos_waiting.get() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_find_no_place_are_refused_by_the_transport() {
    let site = Site::over(Transport::Quic, |config| {
        config.connections_max = 2;
        config.connections_per_address_max = 2;
    });
    let trust = Trust { pin: site.pin().await };
    let _held = (site.join("count/a").await, site.join("count/a").await);
    let url = site.url("count/a");
    let third = soon(RawSocket::connect_with(&url, &[], &trust)).await.unwrap_err();
    assert_eq!(third.code(), Some(Code::Busy), "{third}");
    assert_eq!(site.metrics().ends(Code::Busy), 1);
}

/// TLS's alert for it, as QUIC carries alerts.
const NO_APPLICATION_PROTOCOL: u64 = 0x100 + 120;

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_another_protocol_is_refused_in_the_handshake() {
    let site = site();
    for alpn in [&[&b"referee/2"[..]][..], &[b"h3"], &[]] {
        let error = soon(BareQuic::new(site.port(), alpn).connect()).await.unwrap_err();
        let ConnectionError::ConnectionClosed(close) = &error else { panic!("{error:?}") };
        assert_eq!(u64::from(close.error_code), NO_APPLICATION_PROTOCOL, "{error}");
    }
    soon(BareQuic::new(site.port(), &[b"referee/2", ALPN]).connect()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_is_offered_no_early_data() {
    let site = site();
    let client = BareQuic::new(site.port(), &[ALPN]);
    let first = soon(client.say(&framed(&hello_to("count/a")))).await;
    // What a client needs to come back arrives after the handshake, with the answer at the latest.
    until(|| site.metrics().players.get() == 1).await;
    first.connection.close(0u32.into(), b"");
    match client.connect().into_0rtt() {
        Ok(_) => panic!("a Hello that somebody replays would count"),
        Err(connecting) => drop(soon(connecting).await.expect("it comes in all the same")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_back_is_in_its_seat() {
    let site = site();
    let player = site.join_as("count/a", Options::default()).await;
    press(&player);
    counts(&player, 1).await;
    player.cut();
    press(&player);
    counts(&player, 2).await;
    assert_eq!(player.with(|session| session.status()), Status::Open);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_for_hello_are_bounded() {
    let site = Site::over(Transport::Quic, |config| config.hellos_waiting_max = 2);
    let trust = Trust { pin: site.pin().await };
    let _waiting = (site.raw("count/a").await, site.raw("count/a").await);
    let url = site.url("count/a");
    let third = soon(RawSocket::connect_with(&url, &[], &trust)).await.unwrap_err();
    assert_eq!(third.code(), Some(Code::Busy), "{third}");
    assert_eq!(site.metrics().ends(Code::Busy), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_message_that_is_no_good_hello_is_refused_with_a_code() {
    for transport in [Transport::Quic, Transport::Memory] {
        let site = Site::over(transport, |_| {});
        let code = async |message: Vec<u8>| {
            let mut raw = site.raw("count/a").await;
            soon(raw.send(&message)).await.unwrap();
            end(&mut raw).await.code
        };
        assert_eq!(code(b"\x00garbage".to_vec()).await, Code::BadMessage, "{transport:?}");
        assert_eq!(code(vec![0; CLIENT_MESSAGE_MAX_BYTES + 1]).await, Code::TooLarge);
        assert_eq!(code(hello()).await, Code::BadMessage, "it names no room");
        assert_eq!(code(hello_to("chess/a")).await, Code::UnknownGame);
        assert_eq!(code(hello_to("count/a.b")).await, Code::BadMatchId);
        // In a room the same; the others there do not notice.
        let player = site.join("count/a").await;
        let (mut raw, _) = site.raw_in("count/a").await;
        soon(raw.send(&[77; 9])).await.unwrap();
        assert_eq!(end(&mut raw).await.code, Code::BadMessage);
        press(&player);
        counts(&player, 1).await;
    }
}
