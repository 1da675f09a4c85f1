//! Joining, watching, leaving, dropping, coming back, being removed.

mod common;

use common::{Position, Say, Stick, busy};
use referee_protocol::Code;
use referee_room::prelude::*;
use referee_room::testkit::TestRoom;

#[derive(Resource, Replicate, Default)]
struct Log(#[field(max = 64, of(max = 64))] Vec<String>);

#[derive(Action)]
struct KickMe;
#[derive(Action)]
struct EndIt;

fn logging(game: &mut Game) {
    game.turn_based().max_players(2).spectators(1).replicate::<Log>();
    game.action::<KickMe>().action::<EndIt>().grace(Duration::from_secs(10));
    let log = |text: &str| {
        let text = text.to_owned();
        move |player: Player, mut log: ResMut<Log>| log.0.push(format!("{} {text}", player.name))
    };
    game.on_start(|mut log: ResMut<Log>| log.0.push("start".into()));
    game.on_drop(log("dropped")).on_resume(log("is back")).on_leave(log("left"));
    game.systems(|kicks: Actions<KickMe>, ends: Actions<EndIt>, mut referee: Referee| {
        kicks.iter().for_each(|(player, _)| referee.kick(player, "as you wish"));
        ends.iter().for_each(|_| referee.end(json!({ "winner": 1 })));
    });
}

#[test]
fn a_full_room_takes_spectators_and_then_nobody() {
    let mut room = TestRoom::new(logging);
    let (ann, bob) = (room.join("Ann"), room.join("Bob"));
    assert_eq!((room.seat(ann), room.seat(bob)), (Some(Seat(0)), Some(Seat(1))));
    let cid = room.try_join("Cid").unwrap();
    assert_eq!(room.seat(cid), None);
    assert_eq!(room.seen(cid, "Log"), Some(json!(["start"])));
    let refusal = room.try_join("Dan").unwrap_err();
    assert_eq!(refusal.code, Code::Full);
    assert!(refusal.message.contains("all 2 seats"), "{}", refusal.message);
}

#[test]
fn everyone_sees_every_player() {
    let mut room = TestRoom::new(logging);
    let (ann, bob) = (room.join("Ann"), room.join(""));
    let players = json!([
        { "seat": 0, "name": "Ann", "connected": true },
        { "seat": 1, "name": "Player 2", "connected": true },
    ]);
    for player in [ann, bob] {
        let mut seen = room.seen_on_entities(player, "Player");
        seen.sort_by_key(|player| player["seat"].as_u64());
        assert_eq!(json!(seen), players);
    }
}

#[test]
fn a_dropped_seat_is_held_for_its_grace_and_then_free() {
    let mut room = TestRoom::new(logging);
    let (ann, bob) = (room.join("Ann"), room.join("Bob"));
    room.drop_connection(ann);
    assert!(!room.players()[0].connected);
    room.run(Duration::from_secs(9));
    room.resume(ann).expect("the grace is not over");
    assert!(room.players()[0].connected);
    room.drop_connection(ann);
    room.run(Duration::from_secs(11));
    assert_eq!(room.players().len(), 1);
    assert_eq!(room.resume(ann).unwrap_err().code, Code::Refused);
    let log = json!(["start", "Ann dropped", "Ann is back", "Ann dropped", "Ann left"]);
    assert_eq!(room.seen(bob, "Log"), Some(log));
    let cid = room.join("Cid");
    assert_eq!(room.seat(cid), Some(Seat(0)));
}

#[test]
fn leaving_frees_the_seat_at_once() {
    let mut room = TestRoom::new(logging);
    let (ann, bob) = (room.join("Ann"), room.join("Bob"));
    room.leave(ann);
    assert_eq!(room.seen_on_entities(bob, "Player").len(), 1);
    assert_eq!(room.seen(bob, "Log"), Some(json!(["start", "Ann left"])));
}

#[test]
fn a_newer_connection_replaces_the_older_one() {
    let mut room = TestRoom::new(logging);
    let ann = room.join("Ann");
    // The token comes a second time while the first connection is still there.
    let session = room.room().sessions()[0];
    room.resume(ann).unwrap();
    assert_ne!(room.room().sessions()[0], session);
    assert_eq!(room.players().len(), 1);
    assert!(room.players()[0].connected);
}

#[test]
fn a_game_may_kick() {
    let mut room = TestRoom::new(logging);
    let (ann, bob) = (room.join("Ann"), room.join("Bob"));
    room.act(ann, KickMe);
    assert_eq!((room.ended(ann), room.ended(bob)), (Some(Code::Kicked), None));
    assert_eq!(room.seen_on_entities(bob, "Player").len(), 1);
}

#[test]
fn a_match_ends_with_a_result() {
    let mut room = TestRoom::new(logging);
    let ann = room.join("Ann");
    room.act(ann, EndIt);
    assert_eq!(room.room().info().ended.as_deref(), Some(r#"{"winner":1}"#));
}

#[test]
fn an_idle_player_loses_the_seat() {
    let mut room = TestRoom::new(|game: &mut Game| {
        logging(game);
        game.idle_limit(Duration::from_secs(60));
    });
    let (ann, bob) = (room.join("Ann"), room.join("Bob"));
    room.run(Duration::from_secs(40));
    room.act(bob, EndIt);
    room.run(Duration::from_secs(40));
    assert_eq!((room.ended(ann), room.ended(bob)), (Some(Code::Idle), None));
}

#[test]
fn a_match_starts_when_the_fewest_players_are_there_and_then_may_be_closed() {
    let mut room = TestRoom::new(|game: &mut Game| {
        logging(game);
        game.players(2..=4).late_join(LateJoin::Refuse);
    });
    let ann = room.join("Ann");
    assert_eq!(room.seen(ann, "Log"), Some(json!([])));
    room.join("Bob");
    assert_eq!(room.seen(ann, "Log"), Some(json!(["start"])));
    assert_eq!(room.try_join("Cid").unwrap_err().code, Code::Refused);
}

#[test]
fn on_join_decides() {
    let mut room = TestRoom::new(|game: &mut Game| {
        logging(game);
        game.on_join(|player: Player| match player.name.as_str() {
            "Eve" => Join::Refuse("not you".into()),
            "Cat" => Join::Spectate,
            _ => Join::Seat,
        });
    });
    let refusal = room.try_join("Eve").unwrap_err();
    assert_eq!((refusal.code, refusal.message.as_str()), (Code::Refused, "not you"));
    let cat = room.try_join("Cat").unwrap();
    assert_eq!(room.seat(cat), None);
    room.join("Ann");
}

#[test]
fn kept_seats_are_held_until_the_game_frees_them() {
    let mut room = TestRoom::new(|game: &mut Game| {
        logging(game);
        game.keep_seats();
    });
    let ann = room.join("Ann");
    room.drop_connection(ann);
    room.run(Duration::from_secs(86_400 * 30));
    room.restart();
    room.resume(ann).expect("the seat is kept");
}

#[test]
fn params_set_the_room_up_within_the_games_bounds() {
    let game = |game: &mut Game| {
        game.realtime(30).rate(10..=60).players(2..=16).seats(4);
        game.on_create(|params: Params, mut setup: ResMut<Setup>| -> Result<(), String> {
            if let Some(hz) = params["hz"].as_u64() {
                setup.hz = hz as u16;
            }
            if params["map"] == "moon" {
                return Err("there is no map moon; take earth".into());
            }
            Ok(())
        });
    };
    let mut room = TestRoom::with(game, 1, &json!({ "hz": 60, "public": true })).unwrap();
    let info = room.room().info();
    assert_eq!((info.hz, info.seats, info.public), (Some(60), 4, true));
    let refused = |params| TestRoom::with(game, 1, &params).err().expect("it is refused");
    assert_eq!(refused(json!({ "map": "moon" })).message, "there is no map moon; take earth");
    let fast = refused(json!({ "hz": 500 }));
    assert_eq!(fast.code, Code::BadParams);
    assert!(fast.message.contains("500 Hz") && fast.message.contains("10..=60"));
}

#[test]
fn what_a_resource_begins_with_is_not_lost_to_its_default() {
    #[derive(Resource, Replicate, Default, Debug)]
    struct Lives(u8);
    let room = TestRoom::new(|game: &mut Game| {
        game.begin_with(Lives(3)).replicate::<Lives>();
    });
    assert_eq!(room.resource::<Lives>().0, 3);
}

#[test]
fn numbers_that_visitors_may_ask_for_are_checked_by_name_and_set_the_room_up() {
    #[derive(Resource, Replicate)]
    struct Size(u16);
    let game = |game: &mut Game| {
        game.realtime(30).rate_param("hz", 10..=60).seats_param("players", 2..=16).seats(4);
        game.param("size", 400..=900).begin_with(Size(500)).replicate::<Size>();
        game.on_create(|params: Params, setup: Res<Setup>, mut size: ResMut<Size>| {
            size.0 = params.asked("size").unwrap_or(size.0) + setup.seats;
        });
    };
    let made = |params| {
        let mut room = TestRoom::with(game, 1, &params).unwrap();
        let info = room.room().info();
        (info.hz, info.seats, room.resource::<Size>().0)
    };
    assert_eq!(made(json!(null)), (Some(30), 4, 504));
    assert_eq!(made(json!({ "hz": 60, "players": 2, "size": 400 })), (Some(60), 2, 402));
    assert_eq!(made(json!({ "hz": null, "other": "x" })), (Some(30), 4, 504));
    let refused = |params| TestRoom::with(game, 1, &params).err().expect("it is refused");
    for (name, value) in [("hz", json!(9)), ("players", json!(17)), ("size", json!("big"))] {
        let refusal = refused(json!({ name: value }));
        assert_eq!(refusal.code, Code::BadParams);
        let text = format!("{name} is {value}; a whole number from ");
        assert!(refusal.message.starts_with(&text), "{refusal}");
    }
    for none in [json!([]), json!(60), json!("hz")] {
        let refusal = refused(none.clone());
        let text = format!("params are {none}; write them like {{\"hz\": 10}}");
        assert_eq!((refusal.code, refusal.message), (Code::BadParams, text));
    }
}

#[test]
fn whoever_is_away_sees_nothing_rather_than_what_was() {
    let mut room = TestRoom::new(logging);
    let (ann, bob) = (room.join("Ann"), room.join("Bob"));
    let away = |room: &TestRoom, player| {
        let seen = std::panic::AssertUnwindSafe(|| room.seen(player, "Log"));
        *std::panic::catch_unwind(seen).unwrap_err().downcast::<String>().unwrap()
    };
    room.drop_connection(ann);
    let text = away(&room, ann);
    assert!(text.starts_with("seat 0 sees nothing: its connection was dropped"), "{text}");
    assert!(text.contains("call resume(player)"), "{text}");
    room.resume(ann).unwrap();
    assert_eq!(room.seen(ann, "Log"), room.seen(bob, "Log"));
    room.restart();
    assert!(away(&room, bob).contains("the room went away"));
    room.resume(bob).unwrap();
    assert!(room.seen(bob, "Log").is_some());
    room.act(bob, KickMe);
    assert!(away(&room, bob).contains("the room has ended its connection"));
    assert!(room.replica(bob).entities().count() > 0, "what it saw last");
    room.resume(ann).unwrap();
    room.leave(ann);
    assert!(away(&room, ann).contains("it has left"));
}

#[test]
fn a_player_comes_with_what_it_has() {
    let mut room = TestRoom::new(|game: &mut Game| {
        game.keep::<(Velocity, Until)>().player_has::<(Velocity, Until)>();
    });
    let ann = room.join("Ann");
    assert_eq!(room.component::<Velocity>(ann), &Velocity::default());
    assert_eq!(room.component::<Until>(ann), &Until::default());
}

#[test]
fn what_lasts_until_a_tick_is_over_in_it() {
    #[derive(Resource, Replicate, Default)]
    struct Over(#[field(max = 8)] Vec<bool>);
    let mut room = TestRoom::new(|game: &mut Game| {
        game.realtime(20).replicate::<Over>().keep::<Until>().player_has::<Until>();
        game.systems(|time: Res<Time>, mut over: ResMut<Over>, mut all: Query<&mut Until>| {
            for mut until in &mut all {
                let is_over = until.is_over(&time);
                over.0.push(is_over);
                if is_over {
                    until.0 = time.after(Duration::from_millis(150));
                }
            }
        });
    });
    room.join("Ann");
    room.run_ticks(4);
    assert_eq!(room.resource::<Over>().0, [true, false, false, true, false]);
}

#[test]
fn an_input_stands_from_the_join_on_repeats_and_then_falls_back() {
    let mut room = TestRoom::new(busy);
    let ann = room.join("Ann");
    assert_eq!(room.component::<Stick>(ann), &Stick::default());
    room.input(ann, &Stick { x: Axis(1.0), ..Stick::default() });
    assert_eq!(room.component::<Stick>(ann).x, Axis(1.0));
    let start = room.component::<Position>(ann).x;
    room.run_ticks(5);
    assert!(room.component::<Position>(ann).x > start + 2.0, "a missing sample repeats the last");
    room.run_ticks(12);
    assert_eq!(room.component::<Stick>(ann), &Stick::default(), "but not for ever");
}

#[test]
fn actions_are_applied_once_in_order_over_a_resume() {
    let mut room = TestRoom::new(busy);
    let (ann, bob) = (room.join("Ann"), room.join("Bob"));
    room.act(ann, Say("one".into()));
    // The second is applied, but Ann's link breaks before she hears of it: she sends it again.
    room.cut(ann);
    room.act(ann, Say("two".into()));
    room.drop_connection(ann);
    room.resume(ann).unwrap();
    room.act_numbered(ann, 2, &Say("two".into()));
    room.act_numbered(ann, 3, &Say("three".into()));
    // One that skips a number is not applied either.
    room.act_numbered(ann, 5, &Say("five".into()));
    let texts = |events: Vec<(String, Value)>| {
        events.into_iter().map(|(_, said)| said["text"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(texts(room.events(bob)), ["one", "two", "three"]);
    assert_eq!(texts(room.events(ann)), ["one", "two", "three"], "missed events come exactly once");
}

#[test]
fn a_game_without_spectators_says_so() {
    let mut room = TestRoom::new(busy);
    let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| room.watch("Eve")));
    let text = *refused.unwrap_err().downcast::<String>().unwrap();
    assert!(text.contains("no places for spectators"), "{text}");
}

#[derive(Component, Replicate)]
#[replicate(to = owner)]
struct Trap(u32);

/// What a player hid is not shown to who gets the seat next.
#[test]
fn what_was_one_players_alone_is_nobodys_when_the_seat_is_free() {
    let mut room = TestRoom::new(|game: &mut Game| {
        game.realtime(20).players(0..=2).replicate::<Trap>();
    });
    let (ann, bob) = (room.join("Ann"), room.join("Bob"));
    let seat = room.seat(ann).expect("she plays");
    let groups = InGroups(vec![Group::Player(seat), Group::Player(Seat(1))]);
    room.change(|world| {
        world.spawn((Trap(1), Owner(seat)));
        world.spawn((Trap(2), groups));
    });
    assert_eq!(room.seen_on_entities(ann, "Trap").len(), 2);
    room.leave(ann);
    let dan = room.join("Dan");
    assert_eq!(room.seat(dan), Some(seat), "he sits where she sat");
    assert_eq!(room.seen_on_entities(dan, "Trap"), Vec::<Value>::new());
    room.restart();
    room.resume(dan).expect("he comes back");
    assert_eq!(room.seen_on_entities(dan, "Trap"), Vec::<Value>::new());
    room.resume(bob).expect("he comes back");
    assert_eq!(room.seen_on_entities(bob, "Trap"), [json!(2)], "it was Bob's as well");
}
