//! What does not go over is named, with what is stored, what is wanted and the way out; and what is
//! wrong with a game's own words about its past is found when it starts.

use referee_room::prelude::*;
use referee_room::snapshot::RestoreError;
use referee_room::testkit::TestRoom;
use referee_room::{Room, Template};

/// Types as they were, and as they are under the same names.
macro_rules! versions {
    (old { $($old:item)* } new { $($new:item)* }) => {
        mod old {
            #[allow(unused_imports, reason = "not every one has components")]
            use referee_room::prelude::*;
            $(#[allow(dead_code, reason = "only their form counts")] $old)*
        }
        $(#[allow(dead_code, reason = "only their form counts")] $new)*
    };
}

/// What a room that the old game left says to the new one.
#[track_caller]
fn refusal(old: impl Fn(&mut Game) + Send + Sync + 'static, new: fn(&mut Game)) -> String {
    let mut room = TestRoom::new(old);
    let ann = room.join("Ann");
    let before = room.room().snapshot();
    let error = room.update(new).expect_err("it is refused");
    assert!(matches!(error, RestoreError::Evolve(_)), "{error}");
    // It is as it was, and goes on under its own version.
    room.restart();
    room.resume(ann).expect("its seat is held");
    assert!(!before.is_empty());
    let said = error.to_string();
    assert!(said.contains("the build that saved"), "{said}");
    said
}

#[track_caller]
fn says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{said:?} should contain {part:?}");
    }
}

#[test]
fn a_field_of_another_type_is_refused() {
    versions! {
        old {
        #[derive(Resource, Replicate, Default)]
        pub(super) struct Score { pub(super) points: u32 }
        }
        new {
        #[derive(Resource, Replicate, Default)]
        struct Score { points: f32 }
        }
    }
    let old = |game: &mut Game| {
        game.turn_based().replicate::<old::Score>();
    };
    let said = refusal(old, |game| {
        game.turn_based().replicate::<Score>();
    });
    let parts = ["Score.points: stored is u32, wanted is f32", "game.migrate(|old: Score| ..)"];
    says(&said, &parts);
}

#[test]
fn a_number_that_may_not_fit_is_refused_wherever_it_stands() {
    versions! {
        old {
        #[derive(Replicate, Default)]
        pub(super) struct Item { id: i32 }
        #[derive(Component, Replicate, Default)]
        pub(super) struct Pack { #[field(max = 4)] pub(super) items: Vec<Item> }
        }
        new {
        #[derive(Replicate, Default)]
        struct Item { id: u32 }
        #[derive(Component, Replicate, Default)]
        struct Pack { #[field(max = 4)] items: Vec<Item> }
        }
    }
    fn pack(count: usize) -> old::Pack {
        old::Pack { items: (0..count).map(|_| old::Item::default()).collect() }
    }
    let old = |game: &mut Game| {
        game.turn_based().replicate::<old::Pack>().player(|_: Player| pack(2));
    };
    let said = refusal(old, |game| {
        game.turn_based().replicate::<Pack>();
    });
    says(&said, &["Pack.items[0].id: stored is i32, wanted is u32", "|old: Item|"]);
    // Where there is none, nothing is lost.
    let mut room = TestRoom::new(|game: &mut Game| {
        game.turn_based().replicate::<old::Pack>().player(|_: Player| pack(0));
    });
    room.join("Ann");
    room.update(|game: &mut Game| {
        game.turn_based().replicate::<Pack>();
    })
    .expect("it is read");
}

#[test]
fn a_new_field_without_a_default_is_refused() {
    versions! {
        old {
        #[derive(Component, Replicate)]
        pub(super) struct Card { pub(super) rank: u8 }
        }
        new {
        #[derive(Replicate)]
        enum Suit { Hearts, Spades }
        #[derive(Component, Replicate)]
        struct Card { rank: u8, suit: Suit }
        }
    }
    let old = |game: &mut Game| {
        game.turn_based().replicate::<old::Card>().player(|_: Player| old::Card { rank: 3 });
    };
    let said = refusal(old, |game| {
        game.turn_based().replicate::<Card>();
    });
    says(&said, &["Card.suit: nothing is stored, wanted is Suit", "#[field(default = ..)]"]);
}

#[test]
fn a_variant_that_is_gone_is_refused_where_it_is_stored() {
    versions! {
        old {
        #[derive(Component, Replicate, Clone, Copy)]
        pub(super) enum Phase { Begin, Middle, End }
        }
        new {
        #[derive(Component, Replicate)]
        enum Phase { End, Begin }
        }
    }
    let old = |phase: old::Phase| {
        move |game: &mut Game| {
            game.turn_based().replicate::<old::Phase>().player(move |_: Player| phase);
        }
    };
    let new = |game: &mut Game| {
        game.turn_based().replicate::<Phase>();
    };
    let said = refusal(old(old::Phase::Middle), new);
    says(&said, &["Phase: stored is the variant Middle, wanted is Phase", "#[was(\"Middle\")]"]);
    for (phase, name) in [(old::Phase::Begin, "Begin"), (old::Phase::End, "End")] {
        let mut room = TestRoom::new(old(phase));
        let ann = room.join("Ann");
        room.update(new).expect("it is read");
        room.resume(ann).expect("its seat is held");
        assert_eq!(room.seen_on_entities(ann, "Phase"), [json!(name)]);
    }
}

#[test]
fn a_function_that_panics_is_named() {
    versions! {
        old {
        #[derive(Resource, Replicate, Default)]
        pub(super) struct Score { pub(super) points: u32 }
        }
        new {
        #[derive(Resource, Replicate, Default)]
        struct Score { share: f32 }
        }
    }
    let old = |game: &mut Game| {
        game.turn_based().replicate::<old::Score>();
    };
    let said = refusal(old, |game| {
        game.turn_based().replicate::<Score>();
        game.migrate(|old: old::Score| Score { share: (100 / old.points) as f32 });
    });
    says(
        &said,
        &["Score: stored is Score { points: u32 }", "Score { share: f32 }", "divide by zero"],
    );
}

#[test]
fn another_number_of_values_is_refused() {
    versions! {
        old {
        #[derive(Resource, Replicate, Default)]
        pub(super) struct Board { cells: [u8; 9] }
        }
        new {
        #[derive(Resource, Replicate, Default)]
        struct Board { cells: [u8; 16] }
        }
    }
    let old = |game: &mut Game| {
        game.turn_based().replicate::<old::Board>();
    };
    let said = refusal(old, |game| {
        game.turn_based().replicate::<Board>();
    });
    says(&said, &["Board.cells: stored is 9 of u8, wanted is 16 of u8"]);
}

#[test]
fn a_room_of_another_kind_of_time_is_refused() {
    versions! {
        old {
        #[derive(Resource, Replicate, Default)]
        pub(super) struct Score { points: u32 }
        }
        new {
        }
    }
    let old = |game: &mut Game| {
        game.turn_based().replicate::<old::Score>();
    };
    let said = refusal(old, |game| {
        game.realtime(20).replicate::<old::Score>();
    });
    says(&said, &["turn_based", "realtime"]);
}

#[test]
fn functions_go_on_from_one_another() {
    versions! {
        old {
        #[derive(Resource, Replicate, Default)]
        pub(super) struct Score { pub(super) points: u8 }
        }
        new {
        #[derive(Replicate)]
        #[was("Score")]
        struct ScoreV2 { share: f32 }
        #[derive(Resource, Replicate, Default)]
        struct Score { #[field(max = 16)] text: String, extra: u8 }
        }
    }
    let mut room = TestRoom::new(|game: &mut Game| {
        game.turn_based().replicate::<old::Score>();
        game.on_start(|mut score: ResMut<old::Score>| score.points = 50);
    });
    room.update(|game: &mut Game| {
        game.turn_based().replicate::<Score>();
        game.migrate(|old: old::Score| ScoreV2 { share: f32::from(old.points) / 100.0 });
        game.migrate(|old: ScoreV2| Score { text: format!("{}", old.share), extra: 1 });
    })
    .expect("it is read");
    let score = room.resource::<Score>();
    assert_eq!((&*score.text, score.extra), ("0.5", 1));
}

#[track_caller]
fn mistakes(game: fn(&mut Game), parts: &[&str]) {
    let error = Template::new("test", game).err().expect("it has mistakes").to_string();
    says(&error, parts);
}

#[test]
fn mistakes_in_what_a_game_says_of_its_past_are_found_at_the_start() {
    versions! {
        old {
        #[derive(Resource, Replicate, Default)]
        pub(super) struct Score { points: u8 }
        #[derive(Resource, Replicate, Default)]
        #[was("Score")]
        pub(super) struct Points { points: u8 }
        #[derive(Resource, Replicate, Default)]
        #[was("Score")]
        pub(super) struct Marks { points: u16 }
        }
        new {
        #[derive(Component, Replicate)]
        #[was("Score")]
        struct Stars { points: u8 }
        }
    }
    mistakes(
        |game| {
            game.replicate::<old::Score>().replicate::<old::Points>();
        },
        &["Points: it was Score, but so is, or was, Score", "call the new type otherwise"],
    );
    mistakes(
        |game| {
            game.replicate::<old::Marks>().replicate::<old::Points>();
        },
        &["Points: it was Score, but so is, or was, Marks"],
    );
    assert!(
        Template::new("test", |game: &mut Game| {
            game.replicate::<old::Points>().replicate::<Stars>();
        })
        .is_ok(),
        "a component is no resource"
    );
    mistakes(
        |game| {
            game.migrate(|_: old::Score| old::Points::default());
        },
        &["migrate: Score { points: u8 } and Points { points: u8 } lie the same", "another name"],
    );
    mistakes(
        |game| {
            game.migrate(|_: old::Points| old::Marks::default());
            game.migrate(|_: old::Points| 3u8);
        },
        &["two functions take Points"],
    );
    mistakes(
        |game| {
            game.migrate(|old: u8| f32::from(old));
        },
        &["u8, which may be anything"],
    );
}

#[test]
fn a_snapshot_is_not_changed_by_being_refused() {
    let snapshot = super::saved();
    let before = snapshot.clone();
    let template = Template::new("test", |game: &mut Game| {
        versions! {
            old {
            }
            new {
            #[derive(Resource, Replicate, Default)]
            struct Purse { coins: f32 }
            }
        }
        game.realtime(20).replicate::<Purse>();
    });
    let template = template.unwrap_or_else(|error| panic!("{error}"));
    assert!(Room::restore(&template, &snapshot, [0; 32]).is_err());
    assert_eq!(snapshot, before);
}
