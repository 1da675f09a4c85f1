//! The clients, in a process of their own: each in a room of its own, over a WebSocket.

use std::io::{BufRead, Write};
use std::time::Instant;

use referee_client_tokio::{RawSocket, Received};
use referee_protocol::frame::{Ack, ActionFrame, Lane, Payload, split};
use referee_protocol::message::{self, ClientControl, Hello};
use tokio::sync::{mpsc, oneshot};

use crate::Result;

/// The match in which all clients are together: the first ones play, the others watch.
pub(crate) const TOGETHER: &str = "together";

/// What the process is told to be.
pub(crate) const ORDER: &str = "clients";

/// Where a client says that it saw what came of its act.
type Seen = oneshot::Sender<()>;

/// Comes in, acts once in each room, says so, and then has each client act once, one after the other, for
/// every line that is read. The match is `{name}-` and the client's number, or that of all.
pub(crate) fn run(port: u16, (game, name): (&str, &str), clients: usize) -> Result {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (lines, mut orders) = mpsc::channel(1);
    std::thread::spawn(move || {
        for _ in std::io::stdin().lock().lines() {
            let _ = lines.blocking_send(());
        }
    });
    runtime.block_on(async {
        let mut all = Vec::new();
        for number in 0..clients {
            let apart = name != TOGETHER;
            let room = if apart { format!("{name}-{number}") } else { name.to_owned() };
            let url = format!("ws://127.0.0.1:{port}/{game}/{room}");
            let mut socket = RawSocket::connect(&url, &[]).await?;
            let hello = Hello { versions: vec![1], ..Hello::default() };
            socket.send(&message::encode(&ClientControl::Hello(hello))).await?;
            let (acts, wanted) = mpsc::channel(1);
            tokio::spawn(live(socket, wanted));
            if apart || number == 0 {
                act(&acts).await?;
            }
            all.push(acts);
        }
        say("in")?;
        while orders.recv().await.is_some() {
            let mut waits = Vec::new();
            for acts in &all {
                let begun = Instant::now();
                act(acts).await?;
                waits.push(format!("{:.4}", begun.elapsed().as_secs_f64() * 1e3));
            }
            say(&waits.join(" "))?;
        }
        Ok(())
    })
}

fn say(line: &str) -> Result {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

async fn act(acts: &mpsc::Sender<Seen>) -> Result {
    let (seen, saw) = oneshot::channel();
    acts.send(seen).await?;
    saw.await.map_err(|_| "a client's connection has ended".into())
}

/// A client: reads what comes, and acts when it is told to.
async fn live(mut socket: RawSocket, mut wanted: mpsc::Receiver<Seen>) {
    let (mut number, mut frames, mut waits) = (0, 0, None::<Seen>);
    loop {
        tokio::select! {
            seen = wanted.recv(), if waits.is_none() && frames > 0 => {
                let Some(seen) = seen else { return };
                number += 1;
                let action = ActionFrame { number, payload: Payload::default() };
                if socket.send(&action.encode()).await.is_err() {
                    return;
                }
                waits = Some(seen);
            }
            came = socket.receive() => {
                let Ok(Received::Frame(frame)) = came else { return };
                if !matches!(split(&frame), Ok((Lane::State, _))) {
                    continue;
                }
                frames += 1;
                if let Some(seen) = waits.take() {
                    let _ = seen.send(());
                }
                if socket.send(&Ack { frames, event: 0 }.encode()).await.is_err() {
                    return;
                }
            }
        }
    }
}
