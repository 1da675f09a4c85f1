//! What a game says of its fields beside their ranges: how they move, how they turn.

use referee_room::prelude::*;
use referee_room::testkit::{TestPlayer, TestRoom};
use referee_room::{Template, field};

#[derive(Component, Replicate, Clone, Copy)]
struct Velocity(#[field(range = -64.0..=64.0, step = 0.125)] Vec2);

#[derive(Component, Replicate, Clone, Copy)]
#[replicate(moves_by = Velocity)]
struct Position(#[field(range = 0.0..=1000.0, step = 0.0625)] Vec2);

/// The same without the hint.
#[derive(Component, Replicate, Clone, Copy)]
struct Place(#[field(range = 0.0..=1000.0, step = 0.0625)] Vec2);

#[derive(Component, Replicate, Clone, Copy)]
struct Turn(#[field(bits = 12)] Quat);

const HZ: u16 = 20;

/// A hundred things that fly and change their course now and then.
fn flies<P: Component<Mutability = bevy_ecs::component::Mutable> + field::Replicate + Copy>(
    new: fn(Vec2) -> P,
    at: fn(&mut P) -> &mut Vec2,
) -> impl Fn(&mut Game) {
    move |game| {
        game.realtime(HZ).replicate::<Velocity>().replicate::<P>();
        game.on_create(move |mut commands: Commands, mut rng: ResMut<Rng>| {
            for _ in 0..100 {
                let mut along = |range| rng.between(range);
                let (x, y) = (along(300.0..700.0), along(300.0..700.0));
                let way = Vec2::new(along(-20.0..20.0), along(-20.0..20.0));
                commands.spawn((Velocity(way), new(Vec2::new(x, y))));
            }
            Ok::<(), String>(())
        });
        game.systems(
            move |mut all: Query<(&mut Velocity, &mut P)>,
                  mut rng: ResMut<Rng>,
                  time: Res<Time>| {
                for (mut way, mut place) in &mut all {
                    if rng.chance(0.03) {
                        way.0 = way.0.perp();
                    }
                    *at(&mut place) += way.0 * time.delta;
                }
            },
        );
    }
}

/// Bytes of state a second: every state is compared with the room by the test kit.
fn bytes(game: impl Fn(&mut Game) + Send + Sync + 'static) -> usize {
    let mut room = TestRoom::new(game);
    let ann = room.join("Ann");
    room.run(Duration::from_secs(2));
    let before = room.frames(ann).len();
    room.run(Duration::from_secs(5));
    room.frames(ann)[before..].iter().map(Vec::len).sum::<usize>() / 5
}

#[test]
fn what_moves_by_its_velocity_costs_less_and_arrives_the_same() {
    let hinted = bytes(flies(Position, |position| &mut position.0));
    let plain = bytes(flies(Place, |place| &mut place.0));
    assert!(hinted * 4 < plain * 3, "{hinted} bytes a second with the hint, {plain} without");
}

#[test]
fn a_velocity_that_no_client_gets_is_named_at_start_up() {
    let game = |game: &mut Game| {
        game.realtime(HZ).replicate::<Position>().keep::<Velocity>();
    };
    let error = Template::new("flies", game).err().expect("it is refused").to_string();
    assert!(error.contains("Position moves by Velocity"), "{error}");
}

fn turning(game: &mut Game) {
    game.realtime(HZ).replicate::<Turn>().player(|| Turn(Quat::IDENTITY));
    game.systems(|mut turns: Query<&mut Turn>, time: Res<Time>| {
        for mut turn in &mut turns {
            turn.0 = Quat::from_rotation_z(time.tick.0 as f32 * 0.1) * Quat::from_rotation_x(0.3);
        }
    });
}

fn seen(room: &TestRoom, player: TestPlayer) -> Quat {
    let turn = &room.seen_on_entities(player, "Turn")[0];
    let part = |name: &str| turn[name].as_f64().expect("a number") as f32;
    Quat::from_xyzw(part("x"), part("y"), part("z"), part("w"))
}

#[test]
fn an_orientation_arrives_within_its_steps_and_outlives_a_restart() {
    let mut room = TestRoom::new(turning);
    let ann = room.join("Ann");
    for _ in 0..50 {
        room.run(Duration::from_millis(50));
        let is = room.component::<Turn>(ann).0;
        assert!(is.angle_between(seen(&room, ann)) < 0.002, "{is} is seen as {}", seen(&room, ann));
    }
    room.restart();
    room.resume(ann).unwrap();
    let is = room.component::<Turn>(ann).0;
    assert!(is.angle_between(seen(&room, ann)) < 0.002, "{is} is seen as {}", seen(&room, ann));
}

/// Some things that wander, of three looks each that hardly ever change: few, so that a block learns little
/// of that by itself.
macro_rules! looks {
    ($module:ident, $($hint:tt)*) => {
        mod $module {
            use super::*;

            #[derive(Component, Replicate, Clone, Copy)]
            $($hint)*
            struct Hue(#[field(max = 200)] u8);
            #[derive(Component, Replicate, Clone, Copy)]
            $($hint)*
            struct Hat(#[field(max = 200)] u8);
            #[derive(Component, Replicate, Clone, Copy)]
            $($hint)*
            struct Mood(#[field(max = 200)] u8);

            pub(super) fn wander(game: &mut Game) {
                game.realtime(HZ).replicate::<(Place, Hue, Hat, Mood)>();
                game.on_create(|mut commands: Commands| {
                    for at in 0..6 {
                        let place = Place(Vec2::splat(100.0 + at as f32));
                        commands.spawn((place, Hue(at), Hat(at), Mood(at)));
                    }
                    Ok::<(), String>(())
                });
                type All<'a> = (&'a mut Place, &'a mut Hue, &'a mut Hat, &'a mut Mood);
                game.systems(|mut all: Query<All>, mut rng: ResMut<Rng>| {
                    for (mut place, mut hue, mut hat, mut mood) in &mut all {
                        place.0.x += rng.between(-2.0..2.0);
                        for look in [&mut hue.0, &mut hat.0, &mut mood.0] {
                            if rng.chance(0.002) {
                                *look = rng.below(200) as u8;
                            }
                        }
                    }
                });
            }
        }
    };
}
looks!(hinted, #[replicate(rarely)]);
looks!(plain,);

#[test]
fn what_rarely_changes_costs_less_where_it_says_so() {
    let (hinted, plain) = (bytes(hinted::wander), bytes(plain::wander));
    assert!(hinted * 100 < plain * 98, "{hinted} bytes a second with the hint, {plain} without");
}
