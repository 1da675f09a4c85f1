//! What a connection costs in memory before its Hello: of a client that is polite, and of clients that
//! send as much as they may and never a whole message.

use referee_client_tokio::RawSocket;
use referee_protocol::limits::CLIENT_MESSAGE_MAX_BYTES;
use tokio::io::AsyncWriteExt;

use crate::bare_quic::{ALPN, BareQuic, framed};
use crate::kills::Process;
use crate::site::soon;

/// Connections that are opened. They are there at once when that takes less time than a Hello may; on
/// a machine so slow that it does not, the figure is too low.
const COUNT: u64 = 400;

/// Most memory for one of them, in bytes.
const POLITE_MAX_BYTES: u64 = 64 * 1024;
const RUDE_MAX_BYTES: u64 = 96 * 1024;

/// What each connection costs a server of its own, in bytes.
async fn cost<T>(name: &str, open: impl AsyncFn(u16) -> T) -> u64 {
    let data = std::env::temp_dir().join(format!("referee-{name}-{}", std::process::id()));
    let server = Process::start(0, &data);
    let _first = soon(open(server.port())).await;
    let before = server.resident_bytes();
    let mut held = vec![];
    for _ in 0..COUNT {
        held.push(soon(open(server.port())).await);
    }
    let each = server.resident_bytes().saturating_sub(before) / COUNT;
    println!("{name}: {each} bytes of memory for each connection before its Hello");
    drop(server);
    let _ = std::fs::remove_dir_all(&data);
    each
}

/// A QUIC connection with these bytes on its stream.
async fn quic(port: u16, bytes: &[u8]) -> impl Sized + use<> {
    let client = BareQuic::new(port, &[ALPN]);
    let said = client.say(bytes).await;
    (client, said)
}

/// The longest message, but for its last byte.
fn unfinished() -> Vec<u8> {
    let mut bytes = framed(&vec![1; CLIENT_MESSAGE_MAX_BYTES]);
    bytes.pop();
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quic_connection_before_its_hello_costs_little_memory() {
    let each = cost("quic", async |port| quic(port, &[0]).await).await;
    assert!(each < POLITE_MAX_BYTES, "{each} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quic_connection_that_sends_all_it_may_before_its_hello_costs_little_memory() {
    let each = cost("rude quic", async |port| quic(port, &unfinished()).await).await;
    assert!(each < RUDE_MAX_BYTES, "{each} bytes");
}

/// A piece of a message as a WebSocket's client sends it, under a mask of zeros.
fn piece(opcode: u8, len: u16) -> Vec<u8> {
    let [high, low] = len.to_be_bytes();
    let mut bytes = vec![opcode, 0x80 | 126, high, low, 0, 0, 0, 0];
    bytes.resize(bytes.len() + usize::from(len), 1);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_that_sends_all_it_may_before_its_hello_costs_little_memory() {
    const BINARY_GOES_ON: u8 = 2;
    const CONTINUES: u8 = 0;
    // As long as a message may be, and then as long again: only its end would show that it is too much.
    let most = CLIENT_MESSAGE_MAX_BYTES as u16;
    let mut bytes = [piece(BINARY_GOES_ON, most), piece(CONTINUES, most)].concat();
    bytes.pop();
    let each = cost("rude websocket", async |port| {
        let url = format!("ws://127.0.0.1:{port}/count/a");
        let mut raw = RawSocket::connect(&url, &[]).await.unwrap();
        raw.tcp().unwrap().write_all(&bytes).await.unwrap();
        raw
    });
    let each = each.await;
    assert!(each < RUDE_MAX_BYTES, "{each} bytes");
}
