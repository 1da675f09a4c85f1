//! A loaded room that has alarms.

use super::*;

#[derive(Replicate)]
struct Ring;

/// Each press has something come due that is due at once, which is counted.
fn rings(game: &mut Game) {
    game.turn_based().max_players(1).replicate::<Count>().action::<Press>().alarm::<Ring>();
    game.systems(
        |presses: Actions<Press>,
         due: Due<Ring>,
         mut alarms: Alarms<Ring>,
         mut count: ResMut<Count>| {
            presses.iter().for_each(|_| alarms.at(1, Ring));
            count.0 += due.iter().count() as u32;
        },
    );
    game.on_request(|request: Request, mut alarms: Alarms<Ring>| {
        let far = request.path == "/far";
        alarms.after(Duration::from_secs(if far { 3_600 } else { 20 }), Ring);
        alarms.now()
    });
}

fn ringing(site: &Site, gated: bool) -> Live {
    ringing_since(site, gated, unix_ms())
}

/// The wall clock said this as the room was created.
fn ringing_since(site: &Site, gated: bool, created_unix_ms: u64) -> Live {
    let game = move |game: &mut Game| {
        rings(game);
        if gated {
            game.gated();
        }
    };
    let template = Template::new("count", game).unwrap();
    let create = Create { unix_ms: created_unix_ms, ..create() };
    let mut room = Room::create(&template, &create).unwrap();
    room.record();
    let remains = Remains::created(Base::Create(create), unix_ms());
    *Live::new(Parts { template, remains, ..parts(site, room, 1, unix_ms()) })
}

fn counted(live: &mut Live) -> Value {
    live.room.to_json()["resources"]["Count"].clone()
}

/// Gives the room its turns when it wants them, until nothing is due within a second.
fn wait(live: &mut Live) {
    loop {
        let left = match live.turn() {
            Next::Soon => continue,
            Next::At(at) => at.saturating_duration_since(Instant::now()),
            Next::Never => return,
        };
        if left > Duration::from_secs(1) {
            return;
        }
        std::thread::sleep(left);
    }
}

#[test]
fn what_is_due_comes_due_at_once_however_much_it_is() {
    let site = site(Config::default());
    let mut live = ringing(&site, false);
    let (link, _wire) = come(&mut live, wish());
    assert_eq!(site.house.metrics.entries("alarm"), 0, "it was created a moment ago");
    for number in 1..=100 {
        live.message(link, &action(number, 0));
    }
    wait(&mut live);
    assert_eq!(counted(&mut live), json!(100));
    assert_eq!(site.house.metrics.entries("alarm"), 2, "64 in one tick");
    assert_eq!(site.house.metrics.alarms.get(), 100);
    assert_eq!(live.turn(), Next::Never);
}

#[test]
fn a_room_wants_its_turn_when_an_alarm_is_due_and_the_wall_clock_is_looked_at_in_between() {
    let site = site(Config::default());
    let mut live = ringing(&site, false);
    let ask = |live: &mut Live, path: &str| {
        let (answer, mut answered) = oneshot::channel();
        let request = RoomRequest { method: "GET".into(), path: path.into(), body: vec![] };
        live.ask(request, answer);
        rest(live);
        let reply = answered.try_recv().unwrap().unwrap();
        String::from_utf8(reply.body).unwrap().parse::<u64>().unwrap()
    };
    let known = ask(&mut live, "/far");
    assert!(unix_ms().abs_diff(known) < 5_000, "it counts on from what it was told");
    let begun = Instant::now();
    let Next::At(at) = live.turn() else { panic!("an alarm waits") };
    assert!(at > begun + Duration::from_secs(50) && at < begun + Duration::from_secs(70));
    ask(&mut live, "");
    let Next::At(at) = live.turn() else { panic!("an alarm waits") };
    assert!(at < begun + Duration::from_secs(30));
    let since = Instant::now();
    let soon = Next::At(since + Duration::from_millis(10));
    assert_eq!(live.asleep_again(since, Next::At(at)), since, "it rests");
    assert!(live.asleep_again(since, soon) > since + Duration::from_secs(5), "it is worth staying");
}

#[tokio::test]
async fn nobody_sees_what_came_of_an_alarm_of_a_gated_game_before_it_is_on_disk() {
    let site = site(Config::default());
    let mut live = ringing(&site, true);
    let (link, wire) = come(&mut live, wish());
    site.house.store.flush().await.unwrap();
    rest(&mut live);
    let states =
        |wire: &Memory| lanes(&wire.take()).iter().filter(|of| **of == Lane::State).count();
    let (mut waited, mut frames) = (0, states(&wire));
    for number in 1..=100 {
        live.acked(link, Ack { frames: frames as u64, event: 0 }, Instant::now());
        live.message(link, &action(number, 0));
        wait(&mut live);
        assert_eq!(counted(&mut live), json!(number));
        // The act that set it may be on disk before. What came of the alarm is told last.
        let seen = states(&wire);
        let closed = !live.keep.is_open();
        site.house.store.flush().await.unwrap();
        rest(&mut live);
        let later = states(&wire);
        frames += seen + later;
        assert!(later > 0 || !closed && seen > 0, "alarm {number}: {seen}, then {later}");
        waited += u32::from(closed);
    }
    assert!(waited > 0, "a disk that takes no time");
}

#[tokio::test]
async fn a_room_is_saved_with_the_time_at_which_it_is_to_be_woken() {
    let site = site(Config::default());
    let mut live = ringing(&site, false);
    let (answer, _answered) = oneshot::channel();
    let request = RoomRequest { method: "GET".into(), path: "/far".into(), body: vec![] };
    live.ask(request, answer);
    rest(&mut live);
    live.seal();
    let stored = site.house.store.load(&key()).unwrap().unwrap();
    assert_eq!(stored.alarm_unix_ms, live.room.next_alarm());
    let left = stored.alarm_unix_ms.unwrap() - unix_ms();
    assert!((3_500_000..=3_600_000).contains(&left), "{left} ms");
}

#[test]
fn an_alarm_comes_after_its_span_though_somebody_set_the_clock() {
    let hour = 3_600_000;
    for set in [unix_ms() + hour, unix_ms() - hour] {
        let site = site(Config::default());
        let mut live = ringing_since(&site, false, set);
        let (answer, mut answered) = oneshot::channel();
        let request = RoomRequest { method: "GET".into(), path: String::new(), body: vec![] };
        live.ask(request, answer);
        rest(&mut live);
        answered.try_recv().unwrap().unwrap();
        assert_eq!(live.room.counters().alarms, 0, "it is not due yet");
        let left_ms = live.room.next_alarm().expect("it waits").saturating_sub(unix_ms());
        assert!((15_000..=20_100).contains(&left_ms), "20 s became {left_ms} ms");
    }
}
