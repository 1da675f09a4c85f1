//! SIGTERM and Ctrl-C: the first asks the server to stop, the second, a second later or more, ends it
//! at once.

use std::io;
use std::process::exit;
use std::time::{Duration, Instant};

/// Signals that come so soon after the first belong to it: whoever runs a program may pass on what a
/// whole group of processes was sent.
const ONE_WISH: Duration = Duration::from_secs(1);

/// Exit status of a process that was interrupted twice.
const INTERRUPTED: i32 = 130;

/// Signals that ask for an end, listened for from now on.
pub(crate) struct Signals {
    runtime: tokio::runtime::Runtime,
    both: Both,
}

#[cfg(unix)]
struct Both {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(not(unix))]
struct Both;

impl Signals {
    /// Listens from now on.
    pub(crate) fn new() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let both = {
            let _inside = runtime.enter();
            Both::new()?
        };
        Ok(Self { runtime, both })
    }

    /// Waits for the first; the second ends the process wherever it is.
    pub(crate) fn wait(mut self) {
        self.runtime.block_on(self.both.next());
        let first = Instant::now();
        std::thread::spawn(move || {
            while first.elapsed() < ONE_WISH {
                self.runtime.block_on(self.both.next());
            }
            tracing::warn!("asked to stop twice; rooms that are not yet saved are lost");
            exit(INTERRUPTED);
        });
    }
}

impl Both {
    #[cfg(unix)]
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        // Without a handler nobody could stop the server in order; then it is not waited for.
        let _ = tokio::signal::ctrl_c().await;
    }
}
