//! The README's example of alarms and storage: it is this game, and does what is said of it.

use referee::prelude::*;
use referee::testkit::TestRoom;

#[derive(Action)]
struct Move;

// README
/// Whoever does not move for two days has lost.
#[derive(Replicate)]
struct Deadline(Seat);

fn moved(moves: Actions<Move>, players: Query<&Player>, mut deadlines: Alarms<Deadline>) {
    for (player, _) in &moves {
        deadlines.cancel(|_| true);
        for next in players.iter().filter(|other| other.entity != player) {
            deadlines.after(Duration::from_secs(2 * 24 * 60 * 60), Deadline(next.seat));
        }
    }
}

fn overdue(
    due: Due<Deadline>,
    players: Query<&Player>,
    mut storage: ResMut<Storage>,
    mut referee: Referee,
) -> Result {
    for Deadline(loser) in &due {
        for winner in players.iter().filter(|player| player.seat != *loser) {
            let key = format!("wins/{}", winner.name);
            let wins: u32 = storage.get(&key).unwrap_or(0);
            storage.set(&key, &(wins + 1))?;
            referee.end(winner.name.as_str());
        }
    }
    Ok(())
}
// README

fn by_mail(game: &mut Game) {
    game.turn_based().gated().max_players(2).keep_seats().action::<Move>().alarm::<Deadline>();
    game.systems((moved, overdue));
    game.on_request(|storage: Res<Storage>| storage.range::<u32>("wins/").count() as u32);
}

#[test]
fn the_readme_shows_this_game() {
    let shown = include_str!("readme.rs").split("// README\n").nth(1).expect("it is between marks");
    assert!(include_str!("../../README.md").contains(shown), "the README shows another one");
}

#[test]
fn who_does_not_move_has_lost_and_it_is_remembered() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let mut room = TestRoom::new(by_mail);
    for matches in 1..=2u32 {
        let (ann, bob) = (room.join("Ann"), room.join("Bob"));
        room.act(ann, Move);
        room.restart_after(DAY);
        room.resume(bob).expect("the seat is kept");
        room.act(bob, Move);
        room.restart_after(DAY);
        assert_eq!(room.room().info().ended, None);
        room.restart_after(2 * DAY);
        assert_eq!(room.room().info().ended.as_deref(), Some("\"Bob\""));
        assert_eq!(room.room().to_json()["storage"], json!({ "wins/Bob": matches }));
        room.play_again(u64::from(matches));
        room.next_match();
    }
    assert_eq!(room.request("GET", "", &Value::Null), (200, json!(1)));
}
