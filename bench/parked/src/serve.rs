//! A server with the bench's games. It says its port first, then answers each line that is read: how late the
//! ticks of the light rooms were since the line before. It ends with its input.

use std::io::{BufRead, Write};
use std::path::Path;

use referee_server::config::Config;
use referee_server::run::Server;

use crate::{Result, games, stamps};

/// What the process is told to be.
pub(crate) const ORDER: &str = "serve";

/// Rooms without clients go soon: thousands are made.
const GRACE_MS: u64 = 100;

pub(crate) fn run(dir: &Path, park_after_ms: u64) -> Result {
    let running = Server::start(games::all(), config(dir, park_after_ms))?;
    say(&running.address().port().to_string())?;
    for line in std::io::stdin().lock().lines() {
        line?;
        say(&stamps::take().to_string())?;
    }
    running.stop()?;
    Ok(())
}

fn say(line: &str) -> Result {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// One load comes from one address, as fast as it can.
fn config(dir: &Path, park_after_ms: u64) -> Config {
    Config {
        port: 0,
        quic: false,
        data: dir.to_owned(),
        park_after_ms,
        room_grace_ms: GRACE_MS,
        rooms_max: 100_000,
        new_rooms_per_second: 1_000_000,
        new_rooms_burst: 1_000_000,
        messages_per_second: 1_000_000,
        messages_burst: 1_000_000,
        ..Config::default()
    }
}
