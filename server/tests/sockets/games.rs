//! Small games, each for one thing to test.
#![allow(elided_lifetimes_in_paths, reason = "games are written without them")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use referee_room::prelude::*;

#[derive(Resource, Replicate, Default)]
struct Count(u32);

#[derive(Action)]
struct Press;

#[derive(Action)]
struct Finish;

/// Counts what is pressed or asked.
pub(crate) fn count(game: &mut Game) {
    game.turn_based().spectators(64);
    game.replicate::<Count>().action::<Press>().action::<Finish>();
    game.systems(
        |mut count: ResMut<Count>,
         presses: Actions<Press>,
         ends: Actions<Finish>,
         mut referee: Referee| {
            count.0 += presses.len() as u32;
            if !ends.is_empty() {
                referee.end(count.0);
            }
        },
    );
    game.on_request(|request: Request, mut count: ResMut<Count>| {
        count.0 += u32::from(request.method == "POST");
        count.0
    });
}

/// Has one seat.
pub(crate) fn single(game: &mut Game) {
    game.turn_based().max_players(1);
}

/// What `count` became in a later build, which reads what the first one kept: what was pressed under
/// the first one counts twice where it is applied again.
pub(crate) fn grown(game: &mut Game) {
    game.turn_based().spectators(64).replicate::<grown::Tally>().action::<grown::Push>();
    game.action::<Finish>();
    game.systems(|mut tally: ResMut<grown::Tally>, pushes: Actions<grown::Push>| {
        tally.pressed += pushes.iter().map(|(_, push)| u64::from(push.times)).sum::<u64>();
    });
}

mod grown {
    use referee_room::prelude::*;

    #[derive(Resource, Replicate, Default)]
    #[was("Count")]
    pub(super) struct Tally {
        #[was("0")]
        pub(super) pressed: u64,
        #[field(default = 7)]
        left: u8,
    }

    #[derive(Action)]
    #[was("Press")]
    pub(super) struct Push {
        #[field(default = 2)]
        pub(super) times: u8,
    }
}

/// What `count` became in a later build that cannot read what the first one kept.
pub(crate) fn recount(game: &mut Game) {
    game.turn_based().replicate::<recount::Count>().action::<Press>().action::<Finish>();
}

mod recount {
    use referee_room::prelude::*;

    #[derive(Resource, Replicate, Default)]
    pub(super) struct Count {
        #[was("0")]
        presses: f32,
    }
}

/// Panics when told to, or when made with the wrong params; others it refuses. It is saved when its
/// players have gone, and not before: how many ticks their acts take is a matter of luck.
pub(crate) fn bomb(game: &mut Game) {
    game.turn_based().replicate::<Count>().action::<Press>().action::<Finish>();
    game.snapshot_ticks(1_000);
    game.on_create(|params: Params| {
        assert!(params.get("bad").is_none(), "bad params");
        match params.get("odd") {
            Some(odd) => Err(format!("{odd} is odd")),
            None => Ok(()),
        }
    });
    game.systems(|mut count: ResMut<Count>, presses: Actions<Press>, ends: Actions<Finish>| {
        count.0 += presses.len() as u32;
        assert!(ends.is_empty(), "boom");
    });
}

/// Panics when told to, and whenever it is about to be saved for good.
pub(crate) fn stubborn(game: &mut Game) {
    game.turn_based().replicate::<Count>().action::<Press>().action::<Finish>();
    game.systems(|mut count: ResMut<Count>, presses: Actions<Press>, ends: Actions<Finish>| {
        count.0 += presses.len() as u32;
        assert!(ends.is_empty(), "boom");
    });
    game.on_stop(|count: Res<Count>| assert_eq!(count.0, u32::MAX, "not now"));
}

/// What a screen of noise is: large, and another in every tick.
#[derive(Resource, Replicate, Default)]
struct Noise {
    #[field(max = 4096)]
    words: Vec<u32>,
}

/// Sends about 16 KiB to everyone, 60 times a second.
pub(crate) fn flood(game: &mut Game) {
    game.realtime(60).replicate::<Noise>().replicate::<Count>();
    game.systems(|mut noise: ResMut<Noise>, mut count: ResMut<Count>, mut rng: ResMut<Rng>| {
        noise.words = (0..4096).map(|_| rng.bits() as u32).collect();
        count.0 += 1;
    });
}

/// Counts its own ticks.
pub(crate) fn ticker(game: &mut Game) {
    game.realtime(50).replicate::<Count>();
    game.systems(|mut count: ResMut<Count>| count.0 += 1);
}

#[derive(Event)]
struct Tale(#[field(max = 4000)] String);

/// Tells everyone 2.9 MB a second that must not be lost.
pub(crate) fn teller(game: &mut Game) {
    game.realtime(60).event::<Tale>();
    game.systems(|mut tales: Events<Tale>| {
        (0..12).for_each(|_| tales.all(Tale("x".repeat(4000))));
    });
}

/// Counts what is pressed in all matches under one id.
pub(crate) fn keeper(game: &mut Game) {
    game.turn_based().replicate::<Count>().action::<Press>().action::<Finish>();
    game.on_start(|mut count: ResMut<Count>, storage: Res<Storage>| {
        count.0 = storage.get("pressed").unwrap_or(0);
    });
    game.systems(
        |mut count: ResMut<Count>,
         presses: Actions<Press>,
         ends: Actions<Finish>,
         mut storage: ResMut<Storage>,
         mut referee: Referee|
         -> Result {
            count.0 += presses.len() as u32;
            storage.set("pressed", &count.0)?;
            if !ends.is_empty() {
                referee.end(count.0);
            }
            Ok(())
        },
    );
}

#[derive(Replicate)]
struct Ring;

/// Rings so many milliseconds after a request that says so in its path, and counts that. A request to
/// `/end/N` has the match ended by it, one to `/bomb/N` has it panic.
fn reminds(game: &mut Game) {
    game.replicate::<Count>().alarm::<Ring>().alarm::<Bell>().alarm::<Bomb>();
    game.on_request(
        |request: Request,
         mut rings: Alarms<Ring>,
         mut bells: Alarms<Bell>,
         mut bombs: Alarms<Bomb>,
         count: Res<Count>| {
            let after = |text: &str| text.parse().ok().map(Duration::from_millis);
            if let Some(span) = request.path.strip_prefix("/end/").and_then(after) {
                bells.after(span, Bell);
            } else if let Some(span) = request.path.strip_prefix("/bomb/").and_then(after) {
                bombs.after(span, Bomb);
            } else if let Some(span) = request.path.strip_prefix('/').and_then(after) {
                rings.after(span, Ring);
            }
            count.0
        },
    );
    game.systems(
        |rings: Due<Ring>,
         bells: Due<Bell>,
         bombs: Due<Bomb>,
         mut count: ResMut<Count>,
         mut referee: Referee| {
            assert!(bombs.is_empty(), "boom");
            count.0 += rings.iter().count() as u32;
            if !bells.is_empty() {
                referee.end("time is up");
            }
        },
    );
}

#[derive(Replicate)]
struct Bell;

#[derive(Replicate)]
struct Bomb;

/// Rings so many milliseconds after a request that says so in its path, and counts that.
pub(crate) fn timed(game: &mut Game) {
    game.turn_based().replicate::<Count>().timer::<Ring>();
    game.on_request(|request: Request, mut rings: Timers<Ring>, count: Res<Count>| {
        let ms = request.path.strip_prefix('/').and_then(|text| text.parse().ok());
        if let Some(ms) = ms {
            rings.after(Duration::from_millis(ms), Ring);
        }
        count.0
    });
    game.systems(|rings: Due<Ring>, mut count: ResMut<Count>| {
        count.0 += rings.iter().count() as u32;
    });
}

pub(crate) fn reminder(game: &mut Game) {
    reminds(game.turn_based());
}

/// What it answers is on disk.
pub(crate) fn sure_reminder(game: &mut Game) {
    reminds(game.turn_based().gated());
}

pub(crate) fn live_reminder(game: &mut Game) {
    reminds(game.realtime(30));
}

#[derive(Resource, Replicate, Default)]
struct Weight(u32);

/// Counts what is pressed. Its ticks take as many milliseconds as it is asked for.
pub(crate) fn runner(game: &mut Game) {
    game.realtime(20).replicate::<Count>().replicate::<Weight>().action::<Press>();
    game.systems(|mut count: ResMut<Count>, presses: Actions<Press>, weight: Res<Weight>| {
        count.0 += presses.len() as u32;
        std::thread::sleep(Duration::from_millis(u64::from(weight.0)));
    });
    game.on_request(|request: Request, mut weight: ResMut<Weight>| {
        weight.0 = request.path.trim_start_matches('/').parse().unwrap_or(0);
        weight.0
    });
}

/// How long the ticks of [`crowded`] take.
pub(crate) static CROWDED_MS: AtomicU64 = AtomicU64::new(0);

/// Counts what is pressed. The ticks of all its rooms take as long as is wished.
pub(crate) fn crowded(game: &mut Game) {
    game.realtime(20).replicate::<Count>().action::<Press>();
    game.systems(|mut count: ResMut<Count>, presses: Actions<Press>| {
        count.0 += presses.len() as u32;
        std::thread::sleep(Duration::from_millis(CROWDED_MS.load(Ordering::SeqCst)));
    });
}

/// Whether [`spinner`] spins.
pub(crate) static SPINS: AtomicBool = AtomicBool::new(false);

/// Does not come out of an act while it spins.
pub(crate) fn spinner(game: &mut Game) {
    game.turn_based().action::<Press>();
    game.systems(|presses: Actions<Press>| {
        while !presses.is_empty() && SPINS.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
}

/// Never comes out of an act.
pub(crate) fn spinner_for_ever(game: &mut Game) {
    game.turn_based().action::<Press>();
    game.systems(|presses: Actions<Press>| {
        while !presses.is_empty() {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
}

/// What a planned stop does not save is lost.
pub(crate) fn short(game: &mut Game) {
    game.turn_based().ephemeral().replicate::<Count>().action::<Press>();
    game.systems(|mut count: ResMut<Count>, presses: Actions<Press>| {
        count.0 += presses.len() as u32;
    });
}

/// Counts what is pressed; a crash may cost the last of it.
pub(crate) fn tally(game: &mut Game) {
    game.turn_based().logged().seats(64).replicate::<Count>().action::<Press>();
    game.systems(|mut count: ResMut<Count>, presses: Actions<Press>| {
        count.0 += presses.len() as u32;
    });
}
