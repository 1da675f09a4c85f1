//! A server with all games under bots of both transports, killed at random moments again and again:
//! every bot comes back to its seat and never sees a state that is wrong, and every room comes to the
//! state its journal says it was in.

use crate::load::{Server, free_port, watch};
use crate::log::Log;
use crate::project::Project;
use crate::{Result, command};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Kills in the test command, and in the deep run.
const KILLS: u32 = 20;
const DEEP_KILLS: u32 = 200;
/// How long a server lives between two kills, in milliseconds.
const ALIVE_MS: std::ops::Range<u64> = 600..2_400;
/// When the first kill comes, in milliseconds: every room has been played in by then. Before anybody has
/// acted in it, a room leaves nothing on disk, and its visitors find a new one.
const FIRST_MS: u64 = 5_000;
/// What must hold of every game.
const HOLD: &str = "seats_lost=0,wrong=0,missing=0";
/// Games, their rooms and players.
const GAMES: [(&str, &str, &str); 3] =
    [("arena", "2", "4"), ("tic-tac-toe", "4", "2"), ("cards", "2", "3")];

pub(crate) fn step(project: &Project, log: &mut Log) -> Result {
    crash(project, KILLS, log)
}

pub(crate) fn deep(project: &Project, log: &mut Log) -> Result {
    crash(project, DEEP_KILLS, log)
}

fn crash(project: &Project, kills: u32, log: &mut Log) -> Result {
    let data = project.target.join("xtask").join("crash");
    if data.exists() {
        std::fs::remove_dir_all(&data)?;
    }
    let mut seed = seed();
    log.say(&format!("{kills} kills, seed {seed}"))?;
    let mut pauses: Vec<Duration> = (0..kills).map(|_| pause(&mut seed)).collect();
    pauses[0] = Duration::from_millis(FIRST_MS);
    let total: Duration = pauses.iter().sum();
    let mut server = Server::start(project, free_port()?, data)?;
    // The bots go on for some seconds after the last kill.
    let seconds = total.as_secs() + u64::from(kills) / 4 + 10;
    let bots = GAMES.map(|game| bots(project, &server, game, seconds));
    let done = AtomicBool::new(false);
    let outcome = std::thread::scope(|scope| {
        let killer = scope.spawn(|| kill(project, &mut server, &pauses, &done));
        let outcome = bots.into_iter().try_for_each(|bots| watch(bots?, log, |_| Ok(())));
        done.store(true, Ordering::Relaxed);
        let killed = killer.join().map_err(|_| "the killing thread panicked")??;
        outcome?;
        match killed == kills {
            true => log.say(&format!("{killed} kills")),
            false => Err(format!("only {killed} of {kills} kills in {seconds} s").into()),
        }
    });
    let said = server.said()?;
    let faults: Vec<&str> = said.lines().filter(|line| line.contains("ERROR")).collect();
    match faults.first() {
        Some(fault) => Err(format!("{} faults, the first: {fault}", faults.len()).into()),
        None => outcome,
    }
}

/// Kills the server after each pause, until the bots are done.
fn kill(
    project: &Project,
    server: &mut Server,
    pauses: &[Duration],
    done: &AtomicBool,
) -> std::result::Result<u32, String> {
    let mut killed = 0;
    for pause in pauses {
        let until = Instant::now() + *pause;
        while Instant::now() < until && !done.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
        }
        if done.load(Ordering::Relaxed) {
            break;
        }
        server.kill_and_start(project).map_err(|error| error.to_string())?;
        killed += 1;
    }
    Ok(killed)
}

fn bots(
    project: &Project,
    server: &Server,
    (game, rooms, players): (&str, &str, &str),
    seconds: u64,
) -> Result<Child> {
    let file = format!("referee-loadtest{}", std::env::consts::EXE_SUFFIX);
    let mut bots = command::program(project.target.join("release").join(file), &project.root);
    bots.args(["--url", &format!("http://127.0.0.1:{}", server.port), "--game", game]);
    bots.args(["--rooms", rooms, "--players", players, "--transport", "mix", "--check", "all"]);
    bots.args(["--duration", &format!("{seconds}s"), "--assert", HOLD]);
    Ok(bots.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
}

fn seed() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let given = std::env::var("REFEREE_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or(since.as_millis() as u64 % 1_000_000)
}

fn pause(seed: &mut u64) -> Duration {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    let span = ALIVE_MS.end - ALIVE_MS.start;
    Duration::from_millis(ALIVE_MS.start + (*seed >> 33) % span)
}
