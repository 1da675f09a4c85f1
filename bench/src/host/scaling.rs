//! What two threads do that play arenas without sockets, against one; as a share of what two processes do
//! that only count, against one, in the same run. What rooms send is made and thrown away.

use std::process::{Command, Stdio};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use referee_client_tokio::referee_client::Random;
use referee_protocol::frame::{Ack, Lane, Payload, lane};
use referee_protocol::{LinkId, Schema, Seat, SessionId, Tick, TypeDef};
use referee_room::entry::{Create, Join};
use referee_room::output::{Joined, Output};
use referee_room::room::Link;
use referee_room::{Entry, Room, Template};

use super::figures::{Figures, Round};
use crate::measure::Bench;
use crate::scenario::{ARENA, Scenario};
use crate::{Result, random};

/// Players of a room.
const PLAYERS: u64 = 4;
/// Ticks in which rooms fill before they are timed.
const WARM_UP_TICKS: u64 = 40;
/// Players say something in every so manieth tick: 10 times a second.
const INPUT_EVERY: u64 = 2;
/// The processes' word for what they are to do.
const COUNT: &str = "count";

pub(super) fn run(bench: &Bench, figures: &mut Figures) -> Result {
    let (rooms, window) = (bench.sizes.null_rooms, bench.sizes.window / 3);
    let (mut shares, mut ones, mut twos, mut processes) = (vec![], vec![], vec![], vec![]);
    for round in 1..=bench.sizes.rounds {
        let (one, two) = (play(1, rooms, window)?, play(2, rooms, window)?);
        let (counted, twice) = (counting(1, window)?, counting(2, window)?);
        let (threads, of_processes) = (two / one, twice / counted);
        eprintln!(
            "  round {round}: {one:.0} ticks/s on one thread, {two:.0} on two: x {threads:.3}; processes \
             x {of_processes:.3}"
        );
        shares.push(judged(threads / of_processes, of_processes));
        ones.push(Ok(one));
        twos.push(Ok(two));
        processes.push(Ok(of_processes));
    }
    figures.put("two_thread_scaling", shares);
    figures.put("null_ticks_per_s_1", ones);
    figures.put("null_ticks_per_s_2", twos);
    figures.put("two_process_scaling", processes);
    Ok(())
}

/// Two processes that have less than one core and a half between them say that others had the rest.
const PROCESSES_MIN: f64 = 1.5;

fn judged(share: f64, of_processes: f64) -> Round {
    match of_processes < PROCESSES_MIN {
        true => Err(format!(
            "two processes reached {of_processes:.2} of one: others had the cores, or there is one"
        )),
        false => Ok(share),
    }
}

/// Ticks a second of so many threads with so many rooms each.
fn play(threads: usize, rooms: usize, window: Duration) -> Result<f64> {
    let ready = Barrier::new(threads);
    let rates: Vec<Result<f64, String>> = std::thread::scope(|scope| {
        let start = |thread: usize| {
            let ready = &ready;
            scope.spawn(move || play_rooms((thread * rooms) as u64, rooms, window, ready))
        };
        let running: Vec<_> = (0..threads).map(start).collect();
        let end = |thread: std::thread::ScopedJoinHandle<'_, Result<f64, String>>| {
            thread.join().unwrap_or_else(|_| Err("a room panicked".to_owned()))
        };
        running.into_iter().map(end).collect()
    });
    let rates: Result<Vec<f64>, String> = rates.into_iter().collect();
    Ok(rates?.iter().sum())
}

fn play_rooms(first: u64, rooms: usize, window: Duration, ready: &Barrier) -> Result<f64, String> {
    let made = (first..first + rooms as u64).map(Simulation::new).collect::<Result<Vec<_>, _>>();
    // Both begin at once, also where one has failed.
    ready.wait();
    let (mut rooms, begun, mut ticks) = (made?, Instant::now(), 0_u64);
    while begun.elapsed() < window {
        rooms.iter_mut().for_each(Simulation::turn);
        ticks += rooms.len() as u64;
    }
    Ok(ticks as f64 / begun.elapsed().as_secs_f64())
}

/// A room and its players.
struct Simulation {
    room: Room,
    random: Random,
    input: TypeDef,
    players: Vec<Player>,
}

#[derive(Clone, Copy, Default)]
struct Player {
    seat: Option<Seat>,
    sample: u64,
    ack: Ack,
}

impl Simulation {
    fn new(number: u64) -> Result<Self, String> {
        // Of its own for each room: threads share nothing.
        let template: Arc<Template> =
            Template::new(ARENA, arena::arena).map_err(|error| error.to_string())?;
        let schema = Schema::decode(template.schema_bytes()).map_err(|error| error.to_string())?;
        let input = schema.inputs.into_iter().next().ok_or("the arena has no input")?;
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        let params = Scenario::arenas("null", 1).params(0).into_bytes();
        let create = Create { params, seed, ..Create::default() };
        let room = Room::create(&template, &create).map_err(|error| error.to_string())?;
        let mut this = Self { room, random: Random::new(number), input, players: Vec::new() };
        (0..PLAYERS).for_each(|player| this.join(player));
        // Rooms make themselves anew every 60 ticks; on a server they do not do so together.
        (0..WARM_UP_TICKS + number % 60).for_each(|_| this.turn());
        match this.players.iter().all(|player| player.seat.is_some()) {
            true => Ok(this),
            false => Err("a player found no seat".to_owned()),
        }
    }

    fn join(&mut self, number: u64) {
        let (session, link) = (SessionId(number + 1), LinkId(number + 1));
        self.players.push(Player::default());
        self.room.link(link, Link::Open { session, resume: None });
        self.room.handle(Entry::Join(Join {
            session,
            name: format!("Null {number}"),
            attributes: std::collections::BTreeMap::new(),
            generation: session.0,
            watch: false,
        }));
        self.turn();
    }

    fn turn(&mut self) {
        let tick = self.room.info().tick.0 + 1;
        if tick.is_multiple_of(INPUT_EVERY) {
            self.say();
        }
        self.room.tick(Tick(tick));
        let mut acks = Vec::with_capacity(self.players.len());
        while let Some(output) = self.room.poll_output() {
            match output {
                Output::Joined { session, outcome: Joined::Seated { seat, last_event, .. } } => {
                    let player = &mut self.players[session.0 as usize - 1];
                    (player.seat, player.ack.event) = (Some(seat), last_event);
                }
                Output::Send { link, frame } => {
                    let head = frame.head.as_slice().first();
                    let first = head.or_else(|| frame.parts.first().and_then(|part| part.first()));
                    if first.copied().and_then(lane) == Some(Lane::State) {
                        let player = &mut self.players[link.0 as usize - 1];
                        player.ack.frames += 1;
                        acks.push((link, player.ack));
                    }
                }
                _ => {}
            }
        }
        acks.into_iter().for_each(|(link, ack)| self.room.link(link, Link::Ack(ack)));
    }

    fn say(&mut self) {
        for player in &mut self.players {
            let Some(seat) = player.seat else { continue };
            player.sample += 1;
            let (mut words, value) = (Vec::new(), random::value(&mut self.random, &self.input.ty));
            value.to_words(&self.input.ty, &mut words).expect("it was made for this type");
            let payload = Payload::from_words(0, &self.input.ty, &words);
            let sample = player.sample;
            self.room.handle(Entry::Input { seat, sample, tick: Tick(0), payload });
        }
    }
}

/// How far so many processes count in a second, all together.
fn counting(processes: usize, window: Duration) -> Result<f64> {
    let start = || {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([COUNT, &window.as_millis().to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()
    };
    let running = (0..processes).map(|_| start()).collect::<std::io::Result<Vec<_>>>()?;
    let mut all = 0.0;
    for child in running {
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        all += said.trim().parse::<f64>().map_err(|_| format!("a process said {said:?}"))?;
    }
    Ok(all)
}

/// Counts for so many milliseconds, and says how far in a second.
pub(crate) fn count(ms: u64) {
    let (begun, mut n) = (Instant::now(), 0_u64);
    while begun.elapsed() < Duration::from_millis(ms) {
        (0..1_000).for_each(|_| n = std::hint::black_box(n + 1));
    }
    println!("{}", n as f64 / begun.elapsed().as_secs_f64());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_played_without_sockets_and_the_same_each_time() {
        let played = || {
            let mut simulation = Simulation::new(1).unwrap();
            (0..50).for_each(|_| simulation.turn());
            assert!(simulation.players.iter().all(|player| player.ack.frames > 50));
            simulation.room.state_hash()
        };
        assert_eq!(played(), played());
    }

    #[test]
    fn two_processes_without_two_cores_tell_nothing() {
        assert!(judged(0.95, 1.9).is_ok());
        assert!(judged(0.95, 1.2).unwrap_err().contains("1.20"));
    }
}
