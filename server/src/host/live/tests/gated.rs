//! A gated room: what comes of an act waits for the disk.

use super::*;

fn gated(game: &mut Game) {
    count(game);
    game.gated();
}

/// The counts among what was sent: one for each state frame is enough, since each says a new one.
fn states(wire: &Memory) -> usize {
    lanes(&wire.take()).into_iter().filter(|lane| *lane == Lane::State).count()
}

#[tokio::test]
async fn nobody_sees_an_act_of_a_gated_game_before_it_is_on_disk() {
    let site = site(Config::default());
    let template = Template::new("count", gated).unwrap();
    let mut room = Room::create(&template, &create()).unwrap();
    room.record();
    let mut live = Live::new(Parts { template, ..parts(&site, room, 1, unix_ms()) });
    let (link, wire) = come(&mut live, wish());
    site.house.store.flush().await.unwrap();
    rest(&mut live);
    assert_eq!(states(&wire), 1);
    let mut waited = 0;
    for number in 1..=200 {
        live.acked(link, Ack { frames: number, event: 0 }, Instant::now());
        live.message(link, &action(number, 0));
        rest(&mut live);
        let seen = states(&wire);
        // It opens by itself and does not close: still closed means that it was when it was looked at.
        if !live.keep.is_open() {
            waited += 1;
            assert_eq!(seen, 0, "act {number} is not on disk");
        }
        site.house.store.flush().await.unwrap();
        rest(&mut live);
        assert_eq!(seen + states(&wire), 1, "act {number} is on disk");
    }
    assert!(waited > 0, "a disk that takes no time");
    let stored = site.house.store.load(&key()).unwrap().unwrap();
    let (remains, passages) = Remains::stored(stored).unwrap();
    let again = Revival::new(&live.template, remains.base, passages, [2; 32]).finish().unwrap();
    assert_eq!(again.room.snapshot(), live.room.snapshot());
}

#[tokio::test]
async fn what_the_journal_does_not_take_is_told_once_it_does() {
    let mut config = Config::default();
    config.store.journal_queue_max_bytes = 0;
    let site = site(config);
    let template = Template::new("count", gated).unwrap();
    let mut room = Room::create(&template, &create()).unwrap();
    room.record();
    let mut live = Live::new(Parts { template, ..parts(&site, room, 1, unix_ms()) });
    let (link, wire) = come(&mut live, wish());
    let mut shown = states(&wire);
    for number in 1..=50 {
        live.acked(link, Ack { frames: number, event: 0 }, Instant::now());
        live.message(link, &action(number, 0));
        rest(&mut live);
        shown += states(&wire);
    }
    // One chunk is taken whatever its size when nothing else waits; the others are offered again.
    for _ in 0..50 {
        site.house.store.flush().await.unwrap();
        rest(&mut live);
        shown += states(&wire);
    }
    assert!(live.keep.is_open(), "all of it is on disk");
    assert!(shown > 1);
    let stored = site.house.store.load(&key()).unwrap().unwrap();
    let (remains, passages) = Remains::stored(stored).unwrap();
    let again = Revival::new(&live.template, remains.base, passages, [2; 32]).finish().unwrap();
    assert_eq!(again.room.snapshot(), live.room.snapshot());
}
