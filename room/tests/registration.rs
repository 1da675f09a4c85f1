//! Mistakes in a game are found at start-up, and named.

use referee_room::prelude::*;
use referee_room::{GameError, Template};

#[derive(Resource, Replicate, Default)]
struct Score(u32);

#[derive(Resource, Replicate)]
struct NoDefault(u32);

#[derive(Component, Replicate)]
struct Name(String);

#[derive(Component, Replicate)]
struct Speed(#[field(range = 0.0..=1.0)] f32);

#[derive(Component, Default)]
struct Forgotten;

#[derive(Action)]
struct Act;

#[derive(Component, Replicate)]
#[component(on_add = hooked)]
struct Hooked;

fn hooked(_: bevy_ecs::world::DeferredWorld<'_>, _: bevy_ecs::lifecycle::HookContext) {}

mod other {
    use referee_room::prelude::*;
    #[derive(Resource, Replicate, Default)]
    pub(super) struct Score(u32);
}

fn problem(game: fn(&mut Game)) -> String {
    let error: GameError = Template::new("shop", game).err().expect("the game has a mistake");
    assert!(error.to_string().starts_with("the game shop cannot be hosted:"));
    error.problems.join("; ")
}

#[test]
fn what_a_system_uses_must_be_registered() {
    let text = problem(|game| {
        game.systems(|things: Query<&Forgotten>| {
            let _ = things.iter().count();
        });
    });
    assert!(text.contains("Forgotten") && text.contains(".keep::<Forgotten>()"), "{text}");
    let text = problem(|game| {
        game.systems(|acts: Actions<Act>| {
            let _ = acts.len();
        });
    });
    assert!(text.contains(".action::<Act>()"), "{text}");
}

/// It has no owner.
#[derive(Resource, Replicate, Default)]
#[replicate(to = owner)]
struct Secret(u32);

#[test]
fn a_resource_that_nobody_would_see_is_a_mistake() {
    let text = problem(|game| {
        game.replicate::<Secret>();
    });
    assert!(text.contains("Secret: a resource has no owner"), "{text}");
}

#[test]
fn types_are_complete() {
    let text = problem(|game| {
        let _ = game.replicate::<Name>();
    });
    assert!(text.starts_with("Name: ") && text.contains("#[field(max = ..)]"), "{text}");
    let text = problem(|game| {
        let _ = game.replicate::<Speed>();
    });
    assert!(text.starts_with("Speed: ") && text.contains("step"), "{text}");
    let text = problem(|game| {
        let _ = game.replicate::<NoDefault>();
    });
    assert!(text.starts_with("NoDefault: ") && text.contains("Default"), "{text}");
    let text = problem(|game| {
        let _ = game.replicate::<Hooked>();
    });
    assert!(text.starts_with("Hooked: ") && text.contains("hooks of its own"), "{text}");
}

#[test]
fn a_type_is_registered_once_and_names_are_unique() {
    let text = problem(|game| {
        let _ = game.replicate::<Score>().keep::<Score>();
    });
    assert!(text.contains("Score: it is registered twice"), "{text}");
    let text = problem(|game| {
        let _ = game.replicate::<Score>().replicate::<other::Score>();
    });
    assert!(text.contains("2 types of this name"), "{text}");
}

#[test]
fn several_types_in_one_call_are_as_each_in_its_own_and_in_the_same_order() {
    #[derive(Component, Replicate)]
    struct Place(u8);
    #[derive(Component, Replicate)]
    struct Hidden(u8);
    #[derive(Action)]
    struct Bid;
    #[derive(Event)]
    struct Sold;
    #[derive(Event)]
    struct Bought;
    let of = |game: fn(&mut Game)| Template::new("shop", game).expect("the game is right");
    let each = of(|game| {
        game.replicate::<Place>().replicate::<Score>().keep::<Hidden>();
        game.action::<Act>().action::<Bid>().event::<Sold>().event::<Bought>();
    });
    let all = of(|game| {
        game.replicate::<(Place, Score)>().keep::<(Hidden,)>();
        game.action::<(Act, Bid)>().event::<(Sold, Bought)>();
    });
    assert_eq!(all.schema_hash(), each.schema_hash());
    let nested = of(|game| {
        game.replicate::<((Place, Score),)>().keep::<Hidden>();
        game.action::<((Act,), Bid)>().event::<(Sold, (Bought,))>();
    });
    assert_eq!(nested.schema_hash(), each.schema_hash());
    let text = problem(|game| {
        let _ = game.replicate::<(Score, Name, Score)>();
    });
    assert!(text.contains("Name: ") && text.contains("Score: it is registered twice"), "{text}");
}

#[test]
fn a_resource_without_a_default_begins_with_what_is_said_before() {
    let said = Template::new("shop", |game: &mut Game| {
        game.begin_with(NoDefault(3)).replicate::<NoDefault>();
    });
    assert!(said.is_ok());
    let late = problem(|game| {
        let _ = game.replicate::<NoDefault>().begin_with(NoDefault(3));
    });
    assert!(late.contains(".begin_with(..) before"), "{late}");
}

#[test]
fn what_visitors_may_ask_for_lies_within_the_bounds_of_the_game() {
    let text = problem(|game| {
        let _ = game.turn_based().rate_param("hz", 10..=60);
    });
    assert!(text.contains("rate_param(\"hz\"): call .realtime(..) before"), "{text}");
    let text = problem(|game| {
        let _ = game.realtime(30).rate_param("hz", 40..=60);
    });
    assert!(text.contains("realtime(30)"), "{text}");
    let text = problem(|game| {
        let _ = game.seats_param("players", 0..=4);
    });
    assert!(text.contains("at least 1 seat"), "{text}");
    let text = problem(|game| {
        let _ = game.players(3..=4).seats_param("players", 2..=4);
    });
    assert!(text.contains("the fewest players, 3"), "{text}");
    let text = problem(|game| {
        let _ = game.seats_param("players", 2..=9999);
    });
    assert!(text.contains("4096"), "{text}");
    let text = problem(|game| {
        let _ = game.param("size", std::ops::RangeInclusive::new(9, 8));
    });
    assert!(text.contains("param size: the range 9..=8 is empty"), "{text}");
}

#[test]
fn numbers_lie_within_their_bounds() {
    assert!(
        problem(|game| {
            let _ = game.realtime(1000);
        })
        .contains("1 to 240")
    );
    assert!(
        problem(|game| {
            let _ = game.players(0..=9999);
        })
        .contains("4096")
    );
    assert!(
        problem(|game| {
            let _ = game.realtime(30).rate(40..=60);
        })
        .contains("realtime(30)")
    );
    assert!(
        problem(|game| {
            let _ = game.players(2..=4).seats(9);
        })
        .contains("players(2..=4)")
    );
}

#[test]
fn systems_that_want_another_order_than_the_written_one_are_named() {
    fn deal() {}
    fn play() {}
    let text = problem(|game| {
        game.systems((deal.after(play), play));
    });
    assert!(text.contains("as they are written") && text.contains("play"), "{text}");
}

#[test]
fn several_problems_are_told_at_once() {
    let text = problem(|game| {
        let _ = game.replicate::<Name>().replicate::<Speed>().realtime(0);
    });
    assert_eq!(text.matches("; ").count(), 2, "{text}");
}

#[test]
fn a_fault_is_told_once() {
    #[derive(Resource, Replicate, Default)]
    struct Energy(#[field(range = 0..=100)] u32);
    let text = problem(|game| {
        game.replicate::<Energy>();
        game.systems(|mut energy: ResMut<Energy>| energy.0 += 1);
    });
    assert!(text.starts_with("Energy: an integer knows min and max"), "{text}");
    assert!(!text.contains("; Energy"), "{text}");
}

#[test]
fn parameters_that_contradict_each_other_are_a_problem_like_any_other() {
    let text = problem(|game| {
        game.replicate::<Score>();
        game.systems(|mut a: ResMut<Score>, b: Res<Score>| a.0 = b.0);
    });
    assert!(text.starts_with("it panics while it registers: "), "{text}");
}

#[test]
fn a_list_of_texts_says_where_their_maximum_goes() {
    #[derive(Resource, Replicate, Default)]
    struct Names(#[field(max = 4)] Vec<String>);
    let text = problem(|game| {
        let _ = game.replicate::<Names>();
    });
    assert!(text.contains("what the list holds") && text.contains("of(..)"), "{text}");
}
