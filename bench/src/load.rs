//! The load: clients of a host that send by a schedule and count what comes. All of them share one
//! thread, so that the host has the rest of the machine.

use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::crowd::Crowd;
use crate::quic;
use crate::scenario::Scenario;
use crate::tally::Tally;

/// Clients come at this rate per second: a crowd that comes at once would be another test.
pub(crate) const COMING_PER_SECOND: u32 = 400;

/// All of them must be in after this time beyond the ramp.
const IN_WITHIN: Duration = Duration::from_secs(20);

/// The load sleeps so long between two looks at what came and what is due. One that waited for each
/// message would be woken by every one that the host sends, on the host's own time: players are at
/// other machines.
pub(crate) const TURN: Duration = Duration::from_millis(2);

/// How nice the load's thread is to others, where the system lets it choose: it needs little of the
/// processor, but needs it in time. The host's processes are started by another thread, and do not
/// inherit this.
const NICENESS: i32 = -10;

/// Where the clients go.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// The floor at this port, which sends frames and expects inputs of these lengths, with what a
    /// WebSocket adds to them.
    Floor { port: u16, frame_bytes: usize, input_bytes: usize },
    /// Referee over a WebSocket at this port.
    WebSocket { port: u16 },
    /// Referee over QUIC at this port, with the certificate of this pin.
    Quic { port: u16, pin: Option<[u8; 32]> },
}

/// A load that is on; dropped, its clients go.
pub(crate) struct Load {
    pub(crate) tally: Arc<Tally>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// Lets the clients come and waits until all are in.
    pub(crate) async fn start(scenario: &Scenario, target: &Target) -> Result<Self, String> {
        let tally = Arc::new(Tally::default());
        let (counting, scenario, target) = (Arc::clone(&tally), *scenario, target.clone());
        let thread = Builder::new().name("load".to_owned()).spawn(move || {
            if let Err(fault) = play(&scenario, &target, &counting) {
                counting.fail(fault);
            }
        });
        let load = Self { tally, thread: Some(thread.map_err(|error| error.to_string())?) };
        let ramp = Duration::from_secs(1) * scenario.clients() as u32 / COMING_PER_SECOND;
        match timeout(ramp + IN_WITHIN, load.all_in(scenario.clients())).await {
            Ok(result) => result.map(|()| load),
            Err(_) => {
                let open = load.tally.open();
                Err(format!("only {open} of {} clients came in", scenario.clients()))
            }
        }
    }

    async fn all_in(&self, clients: usize) -> Result<(), String> {
        while self.tally.open() < clients {
            if let Some(fault) = self.tally.fault() {
                return Err(fault);
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.tally.end();
        if let Some(thread) = self.thread.take() {
            // It has told of what went wrong, unless it panicked; then that stands above.
            let _ = thread.join();
        }
    }
}

/// Plays until the load is over, on a thread of its own.
fn play(scenario: &Scenario, target: &Target, tally: &Arc<Tally>) -> Result<(), String> {
    // Without the right to it the load is what it is, and says when it was late.
    let _ = rustix::process::setpriority_process(None, NICENESS);
    match target {
        Target::Floor { .. } | Target::WebSocket { .. } => {
            Crowd::new(scenario, target, tally)?.run()
        }
        Target::Quic { port, pin } => quic::play(scenario, *port, *pin, tally),
    }
}
