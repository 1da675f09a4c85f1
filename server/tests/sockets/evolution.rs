//! Rooms of a game that has changed, on a store that an earlier build of it left: by a stop, and by a kill.

use referee_client_tokio::{Client, Code, Options, Value};
use referee_protocol::{GameName, MatchId};
use referee_server::config::Config;
use referee_server::key::RoomKey;
use referee_server::store::{JournalKeep, Store};
use referee_server::tools;

use crate::games::{grown, recount};
use crate::kills::Process;
use crate::site::{Site, all_games, counts, end, hello_to, hosted, press, soon, token, until};

/// What is seen of the room after it went over.
async fn tallies(client: &Client, pressed: i128, left: i128) {
    let tally = |value: Value| {
        let number = |name| value.number_of(name).map(|number| number as i128);
        (number("pressed"), number("left"))
    };
    let seen = client.wait_until(|session| {
        session.resource("Tally").map(tally) == Some((Some(pressed), Some(left)))
    });
    if tokio::time::timeout(std::time::Duration::from_secs(30), seen).await.is_err() {
        let seen = client.with(|session| (session.status(), session.resource("Tally")));
        panic!("{seen:?} is seen, not {pressed} and {left}");
    }
}

/// A store with rooms of the first build: `stopped` was saved with three presses, `killed` was made by
/// a process that was killed after three, `both` was saved after one and killed after three. Gives the
/// tokens of their players. These are gone: they would come back by themselves where they were.
async fn left() -> (Site, [Option<String>; 3]) {
    let mut site = Site::new(|config| config.store.journal_keep = JournalKeep::Match);
    let pressed = async |client: &Client, from: i128, to: i128| {
        for count in from..to {
            press(client);
            counts(client, count + 1).await;
        }
    };
    let stopped = site.join("sure/stopped").await;
    pressed(&stopped, 0, 3).await;
    let both = site.join("sure/both").await;
    pressed(&both, 0, 1).await;
    let (stopped, both) = (gone(stopped), gone(both));
    site.stop().await;
    // A room that is parked is saved: these are not.
    let process = Process::start_parking(0, &site.config.data, 0);
    let url = |path: &str| format!("ws://127.0.0.1:{}/{path}", process.port());
    let killed = soon(Client::connect(&url("sure/killed"), Options::default())).await.unwrap();
    pressed(&killed, 0, 3).await;
    let both = soon(Client::connect(&url("sure/both"), with(&both))).await.unwrap();
    counts(&both, 1).await;
    pressed(&both, 1, 3).await;
    let (killed, both) = (gone(killed), gone(both));
    drop(process);
    (site, [stopped, killed, both])
}

/// What a player who is gone without a word comes back with.
fn gone(client: Client) -> Option<String> {
    token(&client)
}

fn with(token: &Option<String>) -> Options {
    Options { token: token.clone(), ..Options::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_see_what_became_of_their_rooms() {
    let (mut site, mut tokens) = left().await;
    // What was saved goes over as it was; what is in the journal alone is played by the new build.
    // A room without a snapshot is made anew by it, and begins with what its types begin with.
    let rooms = [("sure/stopped", 3, 7), ("sure/killed", 6, 0), ("sure/both", 5, 7)];
    // Once the rooms go over; then all is as the new build writes it.
    for added in [0, 10, 20] {
        site.start_with(grown);
        for ((path, pressed, left), token) in rooms.into_iter().zip(&mut tokens) {
            let player = site.join_as(path, with(token)).await;
            assert!(player.with(|session| session.seat()).is_some(), "the seat is held");
            tallies(&player, pressed + added, left).await;
            player.send_action("Push", &Value::record([("times", 10.into())])).expect("it fits");
            tallies(&player, pressed + added + 10, left).await;
            *token = gone(player);
        }
        site.stop().await;
    }
    let said =
        tools::replay(&hosted(grown), &site.config, "sure/both").expect("it is played again");
    assert!(said.contains("all equal") && !said.contains("another build of"), "{said}");
    assert!(said.contains("what came before was played by another build"), "{said}");
}

/// What the store has of a room, in bytes.
fn stored(config: &Config, name: &str) -> (Option<Vec<u8>>, Vec<Vec<u8>>) {
    let store = Store::open(&config.data, &config.store).expect("it opens");
    let game = GameName::new("sure").expect("a name");
    let key = RoomKey { game, match_id: MatchId::new(name).expect("a name") };
    let stored = store.load(&key).expect("it is read").expect("it is there");
    store.close().expect("it closes");
    (stored.snapshot, stored.journal.into_iter().map(|chunk| chunk.bytes).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_does_not_go_over_is_refused_and_left_as_it_is() {
    let (mut site, tokens) = left().await;
    let names = ["stopped", "both"];
    let before = names.map(|name| stored(&site.config, name));
    site.start_with(recount);
    for name in names {
        let path = format!("sure/{name}");
        let mut raw = site.raw(&path).await;
        soon(raw.send(&hello_to(&path))).await.unwrap();
        let refusal = end(&mut raw).await;
        assert_eq!(refusal.code, Code::Unreadable);
        for part in [&*path, "Count.presses: stored is u32, wanted is f32", "game.migrate"] {
            assert!(refusal.message.contains(part), "{refusal}");
        }
    }
    let metrics = site.metrics();
    until(|| metrics.rooms_marked.get() == 2).await;
    // Other rooms live on: new ones of the game, and those of other games. What has no snapshot begins
    // anew, and what was done in it is applied.
    site.join("sure/new").await;
    site.join("single/a").await;
    let killed = site.join_as("sure/killed", with(&tokens[1])).await;
    assert!(killed.with(|session| session.seat()).is_some());
    site.stop().await;
    assert_eq!(names.map(|name| stored(&site.config, name)), before);
    // It is shown by the types that are stored with it, with the reason.
    let games = hosted(recount);
    let shown = tools::inspect(&games, &site.config, "sure/stopped", None).expect("it is shown");
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("it is JSON");
    assert_eq!(shown["resources"]["Count"], 3);
    let reason = shown["cannot_go_on"].as_str().expect("a text");
    assert!(reason.contains("Count.presses"), "{reason}");
    // All of that match is kept from its creation on: then no value has to go over.
    let said = tools::replay(&games, &site.config, "sure/both").expect("it is played");
    assert!(said.contains("another build of the game played it"), "{said}");
    // Under its own build it plays on as if nothing had been.
    site.start();
    for (name, token) in [("stopped", &tokens[0]), ("both", &tokens[2])] {
        counts(&site.join_as(&format!("sure/{name}"), with(token)).await, 3).await;
    }
    site.stop().await;
    let said = tools::replay(&all_games(), &site.config, "sure/both").expect("it is played again");
    assert!(said.contains("all equal"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_under_another_build_says_what_it_does() {
    let (site, _) = left().await;
    let said = tools::replay(&hosted(grown), &site.config, "sure/both").expect("it is played");
    assert!(said.contains("another build of the game played it"), "{said}");
    assert!(said.contains("no state hash is compared"), "{said}");
    let shown =
        tools::inspect(&hosted(grown), &site.config, "sure/both", None).expect("it is shown");
    assert!(shown.contains("\"pressed\""), "{shown}");
}
