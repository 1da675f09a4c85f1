//! A realtime room on a thread with too much to do.

use referee_protocol::frame::Ack;

use super::*;
use crate::host::load::WINDOW;

/// Something changes in every tick.
fn busy(game: &mut Game) {
    game.realtime(20).replicate::<Count>();
    game.systems(|mut count: ResMut<Count>| count.0 += 1);
}

#[test]
fn its_clients_get_states_in_as_few_ticks_as_the_thread_wishes_once_its_cost_is_known() {
    let site = site(Config::default());
    let template = Template::new("busy", busy).unwrap();
    let room = Room::create(&template, &create()).unwrap();
    let mut live = Live::new(Parts { template, ..parts(&site, room, 1, unix_ms()) });
    let (link, wire) = come(&mut live, wish());
    let begun = Instant::now();
    let mut frames = 0;
    // Ticks in which the client gets a state, of the next twenty.
    let mut told = |live: &mut Live| -> Vec<u64> {
        let last = live.room.last_tick().0;
        let ticks = (last + 1..=last + 20).filter(|tick| {
            live.tick(Tick(*tick), Instant::now());
            let states = lanes(&wire.take()).iter().filter(|lane| **lane == Lane::State).count();
            frames += states as u64;
            live.message(link, &Ack { frames, event: 0 }.encode());
            states > 0
        });
        ticks.collect()
    };
    assert_eq!(told(&mut live).len(), 20);
    live.send_every(4);
    assert_eq!(told(&mut live).len(), 20, "not known yet");
    live.cost(begun + 2 * WINDOW);
    let fewer = told(&mut live);
    assert_eq!(fewer.len(), 5);
    assert!(fewer.iter().all(|tick| tick % 4 == 0), "{fewer:?}");
    live.send_every(1);
    live.cost(begun + 4 * WINDOW);
    assert_eq!(told(&mut live).len(), 20);
}
