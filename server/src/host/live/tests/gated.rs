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

/// How many chunks the journal was given so far.
async fn chunks(site: &Site) -> u64 {
    site.house.store.flush().await.unwrap();
    site.house.store.stats().journal.chunks_written
}

#[tokio::test]
async fn an_act_and_what_comes_of_it_are_one_chunk() {
    let site = site(Config::default());
    let template = Template::new("count", gated).unwrap();
    let mut room = Room::create(&template, &create()).unwrap();
    room.record();
    let mut live = Live::new(Parts { template, ..parts(&site, room, 1, unix_ms()) });
    let (link, _wire) = come(&mut live, wish());
    live.message(link, &action(1, 0));
    rest(&mut live);
    let (before, ticks) = (chunks(&site).await, live.ticks);
    live.message(link, &action(2, 0));
    rest(&mut live);
    assert_eq!(live.ticks - ticks, 2, "the act, and a tick in which nothing changes any more");
    assert_eq!(chunks(&site).await - before, 1);
}

#[tokio::test]
async fn what_a_turn_did_before_it_panicked_is_in_the_journal() {
    let site = site(Config::default());
    let game = |game: &mut Game| {
        game.turn_based().gated().max_players(1).replicate::<Count>().action::<Press>();
        game.systems(|mut count: ResMut<Count>, presses: Actions<Press>| {
            assert!(count.0 < 3, "boom");
            count.0 += presses.len() as u32;
        });
    };
    let template = Template::new("count", game).unwrap();
    let mut room = Room::create(&template, &create()).unwrap();
    room.record();
    let mut live = Live::new(Parts { template, ..parts(&site, room, 1, unix_ms()) });
    let (link, _wire) = come(&mut live, wish());
    for number in 1..=3 {
        live.message(link, &action(number, 0));
        rest(&mut live);
    }
    assert!(live.failed(), "in the tick after the third act");
    let remains = live.take_remains().unwrap();
    assert!(remains.follows);
    site.house.store.flush().await.unwrap();
    let stored = site.house.store.load(&key()).unwrap().unwrap();
    let (_, passages) = Remains::stored(stored).unwrap();
    assert_eq!(passages.last().map(|passage| passage.upto), Some(remains.since.upto));
}
