//! The clients of a host over QUIC: a task for each, since the library is made for tasks.

use std::sync::Arc;
use std::time::Duration;

use referee_client_tokio::{RawSocket, Received, Trust};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep, sleep_until};

use crate::light::{Heard, Light, match_id};
use crate::load::{COMING_PER_SECOND, TURN};
use crate::scenario::Scenario;
use crate::tally::Tally;

/// How long the tasks then have, before the thread sleeps again.
const AWAKE: Duration = Duration::from_millis(1);

/// Lets them play until the load is over.
pub(crate) fn play(
    scenario: &Scenario,
    port: u16,
    pin: Option<[u8; 32]>,
    tally: &Arc<Tally>,
) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let playing = async {
        let mut clients = JoinSet::new();
        for number in 0..scenario.clients() {
            let (tally, scenario) = (Arc::clone(tally), *scenario);
            clients.spawn_local(async move {
                sleep(Duration::from_secs(1) * number as u32 / COMING_PER_SECOND).await;
                if let Err(fault) = client(number, &scenario, port, pin, &tally).await {
                    tally.fail(format!("client {number}: {fault}"));
                }
            });
        }
        while !tally.is_over() {
            // On purpose the whole thread: packets gather meanwhile, and many are read at once.
            std::thread::sleep(TURN);
            sleep(AWAKE).await;
        }
        clients.shutdown().await;
    };
    runtime.block_on(LocalSet::new().run_until(playing));
    Ok(())
}

async fn client(
    number: usize,
    scenario: &Scenario,
    port: u16,
    pin: Option<[u8; 32]>,
    tally: &Tally,
) -> Result<(), String> {
    let (game, room) = (scenario.game, match_id(scenario.room_of(number)));
    let url = format!("quic://127.0.0.1:{port}/{game}/{room}");
    let socket = RawSocket::connect_with(&url, &[], &Trust { pin }).await;
    let mut socket = socket.map_err(|error| format!("cannot connect: {error}"))?;
    let mut light = Light::new(number as u64, scenario);
    send(&mut socket, &Light::hello(number, scenario)).await?;
    while light.hear(&frame(&mut socket).await?)? != Heard::Schema {}
    let period = Duration::from_secs(1) / scenario.inputs_hz;
    // Players are not in step with each other.
    let mut due = Instant::now() + period * (number % 64) as u32 / 64;
    let mut is_in = false;
    loop {
        tokio::select! {
            frame = frame(&mut socket) => {
                let frame = frame?;
                if light.hear(&frame)? == Heard::State {
                    tally.frame(frame.len());
                    if !std::mem::replace(&mut is_in, true) {
                        tally.one_more_in();
                    }
                }
            }
            () = sleep_until(due) => {
                let lag = due.elapsed();
                let sample = light.sample()?;
                if let Some(ping) = sample.ping {
                    send(&mut socket, &ping).await?;
                }
                send(&mut socket, &sample.input).await?;
                tally.input(sample.input.len(), lag);
                due += period;
            }
        }
    }
}

async fn send(socket: &mut RawSocket, frame: &[u8]) -> Result<(), String> {
    socket.send(frame).await.map_err(|error| format!("cannot send: {error}"))
}

/// The next frame. Nothing is lost when it is given up and called again.
async fn frame(socket: &mut RawSocket) -> Result<Vec<u8>, String> {
    match socket.receive().await {
        Ok(Received::Frame(frame)) => Ok(frame),
        Ok(Received::Closed { code, reason }) => Err(format!("closed, code {code:?}: {reason}")),
        Err(error) => Err(format!("cannot receive: {error}")),
    }
}
