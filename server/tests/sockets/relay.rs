//! A network in between that stalls, and then hands over all that it kept.

use std::time::Duration;

use referee_client_tokio::{RawSocket, Received};
use referee_protocol::Tick;
use referee_protocol::frame::{Ack, Lane, Prelude, split};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::site::{Site, hello, soon, welcome};

/// Within which a client shows the newest state once its network works again.
const CAUGHT_UP_WITHIN: Duration = Duration::from_millis(500);

/// Most frames that were under way when the network stalled: what a round trip of up to 100 ms and
/// 200 ms more hold at 60 Hz, and what leaves while they arrive.
const UNDER_WAY_MAX: usize = 24;

/// Passes on what comes, or keeps it while it stalls.
struct Relay {
    authority: String,
    stalled: watch::Sender<bool>,
}

impl Relay {
    async fn to(site: &Site) -> Self {
        let (stalled, stall) = watch::channel(false);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let server = site.authority();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (near_in, near_out) = near.into_split();
                let far = TcpStream::connect(&server).await.unwrap();
                let (far_in, far_out) = far.into_split();
                tokio::spawn(pass(far_in, near_out, stall.clone()));
                tokio::spawn(pass(near_in, far_out, stall.clone()));
            }
        });
        Self { authority, stalled }
    }
}

/// One way. It always reads: to the server it looks as if everything left.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut stall: watch::Receiver<bool>,
) {
    let (mut kept, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        if !*stall.borrow_and_update() && !kept.is_empty() {
            if to.write_all(&kept).await.is_err() {
                return;
            }
            kept.clear();
        }
        tokio::select! {
            read = from.read(&mut piece) => match read {
                Ok(0) | Err(_) => return,
                Ok(len) => kept.extend_from_slice(&piece[..len]),
            },
            changed = stall.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

/// A client that reads what comes and acknowledges every second frame, as clients do.
struct Reader {
    raw: RawSocket,
    frames: u64,
    tick: Tick,
}

impl Reader {
    async fn new(url: &str) -> Self {
        let mut raw = soon(RawSocket::connect(url, &[])).await.unwrap();
        soon(raw.send(&hello())).await.unwrap();
        welcome(&mut raw).await;
        Self { raw, frames: 0, tick: Tick(0) }
    }

    /// The tick of the next state.
    async fn next(&mut self) -> Tick {
        loop {
            let frame = match soon(self.raw.receive()).await.expect("the connection lives") {
                Received::Frame(frame) => frame,
                closed @ Received::Closed { .. } => panic!("{closed:?}"),
            };
            let (Lane::State, mut body) = split(&frame).unwrap() else { continue };
            let prelude = Prelude::decode(&mut body, self.tick).unwrap();
            assert!(prelude.tick > self.tick, "time goes on");
            self.tick = prelude.tick;
            self.frames += 1;
            if self.frames.is_multiple_of(2) {
                let ack = Ack { frames: self.frames, event: 0 };
                soon(self.raw.send(&ack.encode())).await.unwrap();
            }
            return self.tick;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_stall_the_newest_state_is_there_at_once_and_no_backlog_is_played_back() {
    let site = Site::new(|_| {});
    let relay = Relay::to(&site).await;
    let near = site.join("flood/a").await;
    let mut far = Reader::new(&format!("ws://{}/flood/a", relay.authority)).await;
    let settled = far.next().await.0 + 60;
    while far.next().await.0 < settled {}

    relay.stalled.send_replace(true);
    let before = near.with(|session| session.tick());
    soon(near.wait_until(|session| session.tick().0 >= before.0 + 80)).await.unwrap();
    let newest = near.with(|session| session.tick());
    relay.stalled.send_replace(false);

    let released = Instant::now();
    let mut seen = 0;
    while far.next().await < newest {
        seen += 1;
    }
    let took = released.elapsed();
    let missed = newest.0 - before.0;
    assert!(seen <= UNDER_WAY_MAX, "{seen} old states were played back of {missed}");
    assert!(took <= CAUGHT_UP_WITHIN, "it took {took:?}");
    assert!(site.metrics().skips.get() > 40, "the others were never made");
}
