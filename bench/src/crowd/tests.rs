//! A crowd against a host that is made by hand.

use super::*;
use crate::scenario::ARENA;
use std::net::TcpListener;
use std::sync::Arc;

const TWO: Scenario =
    Scenario { name: "1x2", game: ARENA, rooms: 1, players: 2, hz: 20, inputs_hz: 20 };

#[test]
fn frames_are_counted_when_they_are_whole() {
    assert_eq!(whole_frames(99, 100), (0, 99));
    assert_eq!(whole_frames(250, 100), (2, 50));
}

/// Looks again and again until it is so.
fn until(mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !so() {
        assert!(Instant::now() < deadline, "it takes too long");
        sleep(Duration::from_millis(1));
    }
}

#[test]
fn clients_come_count_what_is_whole_and_send_by_their_schedule() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = Target::Floor { port, frame_bytes: 10, input_bytes: 7 };
    let tally = Arc::new(Tally::default());
    let load = Arc::clone(&tally);
    let thread = std::thread::spawn(move || Crowd::new(&TWO, &target, &load).unwrap().run());
    let mut streams: Vec<TcpStream> = (0..2).map(|_| listener.accept().unwrap().0).collect();
    for stream in &mut streams {
        // Its room, then two inputs.
        stream.read_exact(&mut [0; 2 + 2 * 7]).unwrap();
        for piece in [&[1; 25][..], &[1; 5]] {
            stream.write_all(piece).unwrap();
        }
    }
    let mut frames = 0;
    until(|| {
        frames += tally.take().delivered();
        frames == 6
    });
    assert_eq!(tally.open(), 2);
    tally.end();
    assert_eq!(thread.join().unwrap(), Ok(()));
}

#[test]
fn a_host_that_goes_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = Target::WebSocket { port };
    let tally = Arc::new(Tally::default());
    let load = Arc::clone(&tally);
    let thread = std::thread::spawn(move || Crowd::new(&TWO, &target, &load).unwrap().run());
    let (mut stream, _) = listener.accept().unwrap();
    stream.read_exact(&mut [0; 100]).unwrap();
    stream.write_all(b"HTTP/1.1 503 Busy\r\n\r\n").unwrap();
    let fault = thread.join().unwrap().unwrap_err();
    assert!(fault.contains("client 0") && fault.contains("503"), "{fault}");
}
