//! What a search comes to, in words.

use super::*;

fn found(levels: &[(usize, bool, bool, &str)]) -> (Capacity, Search) {
    let mut search = Search::new(10, 1_000, 0.05);
    let mut found = Capacity::default();
    found.setting.players = 4;
    for (rooms, held, by_generator, why) in levels {
        let level = Level {
            rooms: *rooms,
            held: *held,
            by_generator: *by_generator,
            why: (*why).into(),
            ..Level::default()
        };
        // Twice, as what is beyond the load is tried.
        search.tell(*rooms, outcome(&level, &Bounds::default()));
        if search.next_level() == Some(*rooms) {
            search.tell(*rooms, outcome(&level, &Bounds::default()));
        }
        found.levels.push(level);
    }
    conclude(&mut found, &search, 1_000);
    (found, search)
}

#[test]
fn the_verdict_says_what_did_not_hold() {
    let (found, _) = found(&[(10, true, false, ""), (20, false, false, "the ticks were late")]);
    assert_eq!((found.rooms, found.is_the_servers), (10, true));
    assert_eq!(
        found.verdict,
        "10 rooms of 4 players (40 players); at 20 rooms the ticks were late"
    );
    let table = capacity_table(&found);
    assert!(table.contains("held") && table.contains("the ticks were late"), "{table}");
}

#[test]
fn a_load_that_ran_out_gives_no_capacity() {
    let (found, _) = found(&[(10, true, false, ""), (20, false, true, "its lag was 9 ms")]);
    assert_eq!((found.rooms, found.is_the_servers), (10, false));
    let said = "the load, not the server, ran out at 20 rooms (its lag was 9 ms)";
    assert!(found.verdict.starts_with("at least 10 rooms") && found.verdict.contains(said));
}

#[test]
fn nothing_that_holds_is_said_as_well() {
    let (found, search) = found(&[(10, false, false, "late"), (5, false, false, "late")]);
    assert_eq!((found.rooms, search.next_level()), (0, Some(2)));
    assert_eq!(found.verdict, "not even 5 rooms of 4 players: late");
}

#[test]
fn a_search_that_makes_no_sense_is_refused() {
    let trial = |from, most, pattern: &str| Trial {
        plan: Plan { pattern: pattern.parse().unwrap(), ..Plan::new("arena", arena::bot) },
        host: HostBy::Running,
        bounds: Bounds::default(),
        from,
        most,
    };
    for (trial, part) in [
        (trial(0, 9, "steady"), "at least one"),
        (trial(9, 3, "steady"), "--most 3 is below --from 9"),
        (trial(1, 3, "churn"), "--pattern"),
    ] {
        let error = capacity(&trial, |_| ()).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}
