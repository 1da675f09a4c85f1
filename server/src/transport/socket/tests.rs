//! Over real sockets: a client from the library on one side, ours on the other.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use referee_protocol::Code;
use referee_protocol::frame::split;
use referee_protocol::limits::CLIENT_MESSAGE_MAX_BYTES;
use referee_protocol::message::{self, ServerControl};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader};

use super::*;
use crate::transport::Peer;
use crate::transport::gather::Gather;
use crate::transport::stream::Moving;
use crate::transport::tcp;

type Client = WebSocketStream<TcpStream>;

/// What a peer was told.
#[derive(Default)]
struct Told {
    messages: RefCell<Vec<Vec<u8>>>,
    fault: RefCell<Option<Refusal>>,
    gone: Cell<bool>,
    written: Cell<u32>,
    paused: Cell<bool>,
    news: Notify,
}

struct Tester {
    told: Rc<Told>,
    wire: Rc<Socket>,
}

impl Peer for Tester {
    fn message(&self, bytes: &[u8]) -> bool {
        self.told.messages.borrow_mut().push(bytes.to_vec());
        self.told.news.notify_one();
        !self.told.paused.get()
    }

    async fn ready(&self) {
        while self.told.paused.get() {
            self.told.news.notified().await;
        }
    }

    fn written(&self) {
        self.told.written.set(self.told.written.get() + 1);
    }

    fn fault(&self, refusal: &Refusal) {
        *self.told.fault.borrow_mut() = Some(refusal.clone());
        self.wire.close(refusal);
    }

    fn gone(&self) {
        self.told.gone.set(true);
        self.told.news.notify_one();
    }
}

async fn pair() -> (TcpStream, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    (server, WebSocketStream::from_raw_socket(client, Role::Client, None).await)
}

/// A served socket, its client, and what its peer was told.
async fn served(limit: usize) -> (Rc<Socket>, Client, Rc<Told>) {
    let (server, client) = pair().await;
    let socket = Socket::new(Stream::tcp(server), Reader::websocket(vec![]), limit);
    let told = Rc::new(Told::default());
    let peer = Tester { told: told.clone(), wire: socket.clone() };
    tokio::task::spawn_local(serve(socket.clone(), peer));
    (socket, client, told)
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let within = async { timeout(Duration::from_secs(20), test).await.expect("the test hangs") };
    LocalSet::new().block_on(&runtime, within);
}

/// The code a client was told before the close, and the close code.
async fn end_of(client: &mut Client) -> (Code, u16) {
    let mut told = None;
    loop {
        match client.next().await.expect("a close comes first").unwrap() {
            Message::Binary(bytes) => {
                let (_, body) = split(&bytes).unwrap();
                if let Ok(ServerControl::Refused(refusal)) = message::decode(body) {
                    told = Some(refusal.code);
                }
            }
            Message::Close(close) => {
                return (told.expect("told why"), close.unwrap().code.into());
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn parts_arrive_as_one_message_of_any_length() {
    run(async {
        let (socket, mut client, _) = served(1 << 20).await;
        for len in [0, 1, 125, 126, 65_535, 65_536, 300_000] {
            let body = vec![7; len];
            socket.try_send(&[IoSlice::new(b"ab"), IoSlice::new(&body)]).unwrap();
            let message = client.next().await.unwrap().unwrap().into_data();
            assert_eq!(message.len(), len + 2);
            assert_eq!((&message[..2], &message[2..]), (&b"ab"[..], &body[..]));
        }
    });
}

#[test]
fn pongs_leave_between_messages_never_within() {
    run(async {
        let (socket, mut client, told) = served(64 << 20).await;
        let body = vec![1; 4 << 20];
        assert_eq!(socket.try_send(&[IoSlice::new(&body)]), Ok(Sent::Held));
        client.send(Message::Ping(Bytes::from_static(b"hi"))).await.unwrap();
        // The ping is taken while most of the message still waits.
        told.news.notified().await;
        socket.try_send(&[IoSlice::new(b"end")]).unwrap();
        let mut kinds = vec![];
        while kinds.len() < 3 {
            kinds.push(match client.next().await.unwrap().unwrap() {
                Message::Binary(bytes) => bytes.len(),
                Message::Pong(_) => 0,
                other => panic!("{other:?}"),
            });
        }
        kinds.sort_unstable();
        assert_eq!(kinds, [0, 3, 4 << 20]);
    });
}

#[test]
fn a_client_that_does_not_read_fills_its_bound_and_no_more() {
    run(async {
        let (socket, mut client, _) = served(100_000).await;
        let body = vec![1; 10_000];
        let full = (0..10_000).find_map(|_| socket.try_send(&[IoSlice::new(&body)]).err());
        assert!(matches!(full, Some(SendError::Full { limit: 100_000, .. })), "{full:?}");
        assert!(socket.stalled_since().is_some());
        socket.close(&Refusal::new(Code::SlowReader, "too slow"));
        assert_eq!(end_of(&mut client).await, (Code::SlowReader, 4015));
    });
}

const READER_BUFFER_BYTES: usize = 64 * 1024;

/// What lies in the kernel for a reader that stalls, at most: what may be unsent, the piece of up to 64
/// KiB with which the kernel notices, and what the reader's own system takes (it allots twice what
/// it is told).
const IN_KERNEL_MAX_BYTES: usize =
    tcp::UNSENT_MAX_BYTES as usize + 64 * 1024 + 2 * READER_BUFFER_BYTES;

#[test]
fn little_lies_in_the_kernel_for_a_reader_that_stalls() {
    run(async {
        let reader = tokio::net::TcpSocket::new_v4().unwrap();
        reader.set_recv_buffer_size(READER_BUFFER_BYTES as u32).unwrap();
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = reader.connect(server.local_addr().unwrap()).await.unwrap();
        let stream = Moving::Tcp(server.accept().await.unwrap().0.into_std().unwrap());
        let socket = Socket::new(stream.land().unwrap(), Reader::websocket(vec![]), 1 << 20);
        let frame = vec![1; 1_000];
        let mut sent = 0;
        // The room makes no more from the first frame on that waits.
        while socket.try_send(&[IoSlice::new(&frame)]) == Ok(Sent::Out) {
            sent += frame.len();
            assert!(sent <= IN_KERNEL_MAX_BYTES, "{sent} bytes are old by now");
            tokio::task::yield_now().await;
        }
        // All of it arrives once it reads.
        let mut read = vec![0; 1 << 20];
        let mut taken = 0;
        while taken < sent {
            taken += client.read(&mut read).await.unwrap();
            socket.flush();
        }
    });
}

#[test]
fn what_waited_leaves_once_the_client_reads() {
    run(async {
        let (socket, mut client, told) = served(64 << 20).await;
        let body = vec![1; 1 << 20];
        for _ in 0..16 {
            socket.try_send(&[IoSlice::new(&body)]).unwrap();
        }
        for _ in 0..16 {
            assert_eq!(client.next().await.unwrap().unwrap().len(), 1 << 20);
        }
        assert_eq!(socket.stalled_since(), None);
        assert!(!socket.has_waiting());
        assert_eq!(told.written.get(), 1, "its peer hears of it once");
    });
}

#[test]
fn a_client_that_lets_bytes_trickle_makes_no_progress() {
    run(async {
        // A pipe, since a kernel would not pass on single bytes.
        let (near, mut far) = tokio::io::duplex(64);
        let socket = Socket::new(Stream::memory(near), Reader::framed(), 1 << 20);
        assert_eq!(socket.try_send(&[IoSlice::new(&[1; 64 * 1024])]), Ok(Sent::Held));
        let begun = socket.stalled_since().expect("it waits");
        let mut take = async |bytes: usize| {
            for _ in 0..bytes / 64 {
                far.read_exact(&mut [0; 64]).await.unwrap();
                tokio::task::yield_now().await;
                socket.flush();
            }
        };
        take(PROGRESS_MIN_BYTES / 2).await;
        assert_eq!(socket.stalled_since(), Some(begun), "single bytes are none");
        take(PROGRESS_MIN_BYTES).await;
        assert!(socket.stalled_since() > Some(begun), "so many are");
        take(64 * 1024 - 3 * PROGRESS_MIN_BYTES / 2).await;
        assert_eq!(socket.stalled_since(), None, "nothing waits");
    });
}

#[test]
fn bad_input_is_a_fault_with_a_code() {
    run(async {
        let (_socket, mut client, told) = served(1 << 20).await;
        client.send(Message::text("hello")).await.unwrap();
        assert_eq!(end_of(&mut client).await, (Code::BadMessage, 4010));
        assert_eq!(told.fault.borrow().as_ref().unwrap().code, Code::BadMessage);

        let (_socket, mut client, _) = served(1 << 20).await;
        let large = vec![0; CLIENT_MESSAGE_MAX_BYTES + 1];
        client.send(Message::binary(large)).await.unwrap();
        assert_eq!(end_of(&mut client).await, (Code::TooLarge, 4011));

        // In pieces as well.
        let (_socket, mut client, _) = served(1 << 20).await;
        for opcode in [Data::Binary, Data::Continue] {
            let header = FrameHeader {
                is_final: false,
                opcode: OpCode::Data(opcode),
                ..FrameHeader::default()
            };
            let piece = Bytes::from(vec![0; CLIENT_MESSAGE_MAX_BYTES - 10]);
            client.send(Message::Frame(Frame::from_payload(header, piece))).await.unwrap();
        }
        assert_eq!(end_of(&mut client).await, (Code::TooLarge, 4011));

        let (_socket, mut client, _) = served(1 << 20).await;
        client.get_mut().write_all(b"GET / HTTP/1.1\r\nthis is no frame\r\n\r\n").await.unwrap();
        assert_eq!(end_of(&mut client).await, (Code::BadMessage, 4010));
    });
}

#[test]
fn a_peer_may_pause_its_client() {
    run(async {
        let (_socket, mut client, told) = served(1 << 20).await;
        told.paused.set(true);
        for n in 0..3 {
            client.send(Message::binary(vec![n])).await.unwrap();
        }
        told.news.notified().await;
        assert_eq!(told.messages.borrow().len(), 1);
        told.paused.set(false);
        told.news.notify_one();
        while told.messages.borrow().len() < 3 {
            told.news.notified().await;
        }
        assert_eq!(*told.messages.borrow(), [[0], [1], [2]]);
    });
}

#[test]
fn a_close_is_answered_and_a_break_is_noticed() {
    run(async {
        let (_socket, mut client, told) = served(1 << 20).await;
        client.close(None).await.unwrap();
        assert!(matches!(client.next().await, Some(Ok(Message::Close(_)))));
        assert!(client.next().await.is_none());
        assert!(told.gone.get());

        let (_socket, client, told) = served(1 << 20).await;
        drop(client);
        told.news.notified().await;
        assert!(told.gone.get());
    });
}

#[test]
fn a_probe_is_answered_by_the_other_end_itself() {
    run(async {
        let (socket, mut client, told) = served(1 << 20).await;
        socket.probe();
        socket.try_send(&[IoSlice::new(b"next")]).unwrap();
        assert!(matches!(client.next().await, Some(Ok(Message::Ping(_)))));
        assert_eq!(client.next().await.unwrap().unwrap().into_data(), "next");
        told.news.notified().await;
        assert_eq!(*told.messages.borrow(), [b""], "a pong");
    });
}

#[test]
fn what_was_read_moves_with_the_socket() {
    run(async {
        let (server, mut client) = pair().await;
        let mut server = Stream::tcp(server);
        for text in ["one", "two", "three"] {
            client.feed(Message::binary(text)).await.unwrap();
        }
        client.flush().await.unwrap();
        let mut reader = Reader::websocket(vec![]);
        assert_eq!(reader.wait(&mut server).await.unwrap(), "one");
        let server = server.depart().unwrap().land().unwrap();
        let socket = Socket::new(server, reader, 1 << 20);
        let told = Rc::new(Told::default());
        let peer = Tester { told: told.clone(), wire: socket.clone() };
        tokio::task::spawn_local(serve(socket, peer));
        while told.messages.borrow().len() < 2 {
            told.news.notified().await;
        }
        assert_eq!(*told.messages.borrow(), [&b"two"[..], b"three"]);
    });
}

#[test]
fn a_refused_socket_is_told_why() {
    run(async {
        let (server, mut client) = pair().await;
        let long = "ä".repeat(200);
        let refused = tokio::task::spawn_local(refuse(
            Stream::tcp(server),
            Framing::WebSocket,
            Refusal::new(Code::Full, long),
        ));
        assert_eq!(end_of(&mut client).await, (Code::Full, 4023));
        drop(client);
        refused.await.unwrap();
    });
}

/// A time at which no ping is awaited of a socket that was just made.
fn later() -> Instant {
    Instant::now() + Duration::from_secs(1)
}

/// The room reads it from now on, and may have found something already. Says whether it does.
fn begins(socket: &Socket, gather: &Arc<Gather>, now: Instant) -> bool {
    socket.collect(gather, now, |_| panic!("nothing came"));
    socket.gathered.get()
}

/// What the room takes before its next tick, once there is something.
async fn collected(socket: &Socket, gather: &Arc<Gather>) -> Vec<Vec<u8>> {
    let mut taken = vec![];
    for looks in 1.. {
        gather.look(Instant::now() + Duration::from_secs(looks));
        socket.collect(gather, later(), |message| {
            taken.push(message.to_vec());
            true
        });
        if !taken.is_empty() || !socket.gathered.get() {
            break;
        }
        tokio::task::yield_now().await;
    }
    taken
}

#[test]
fn a_room_that_reads_a_socket_gets_what_came_when_it_asks_and_nobody_is_told_before() {
    run(async {
        let (socket, mut client, told) = served(1 << 20).await;
        let gather = Gather::new().unwrap();
        client.send(Message::binary(vec![1])).await.unwrap();
        told.news.notified().await;
        assert!(begins(&socket, &gather, later()));
        for number in 2..5 {
            client.send(Message::binary(vec![number])).await.unwrap();
            assert_eq!(collected(&socket, &gather).await, [[number]]);
        }
        assert_eq!(*told.messages.borrow(), [[1]], "the room has the others");
        // Back with its task, which is woken again.
        socket.watch();
        let sent = socket.try_send(&[IoSlice::new(b"a")]);
        assert_eq!(sent, Ok(Sent::Out), "also before the runtime has looked at it");
        client.send(Message::binary(vec![9])).await.unwrap();
        told.news.notified().await;
        assert_eq!(*told.messages.borrow(), [[1], [9]]);
    });
}

#[test]
fn a_message_that_came_before_the_room_reads_is_not_lost_and_a_ping_is_answered() {
    run(async {
        let (socket, mut client, told) = served(1 << 20).await;
        let gather = Gather::new().unwrap();
        client.send(Message::binary(vec![1])).await.unwrap();
        client.send(Message::Ping(Bytes::from_static(b"hi"))).await.unwrap();
        let mut taken = collected(&socket, &gather).await;
        while taken.len() < 2 {
            taken.extend(collected(&socket, &gather).await);
        }
        assert_eq!(taken, [vec![1], vec![]], "a ping is a sign of life");
        assert!(told.messages.borrow().is_empty());
        assert!(matches!(client.next().await.unwrap().unwrap(), Message::Pong(_)));
    });
}

#[test]
fn what_is_no_plain_message_goes_to_the_task() {
    run(async {
        // The rest of a long message does not wait for ticks.
        let (socket, mut client, told) = served(1 << 20).await;
        let gather = Gather::new().unwrap();
        assert!(begins(&socket, &gather, later()));
        let long = vec![7; CLIENT_MESSAGE_MAX_BYTES];
        client.send(Message::binary(long.clone())).await.unwrap();
        assert!(collected(&socket, &gather).await.is_empty());
        told.news.notified().await;
        assert_eq!(*told.messages.borrow(), [long]);
        // One that is not so long the room takes itself.
        assert!(begins(&socket, &gather, later()));
        for len in [255, 256, 257, 1_000] {
            client.send(Message::binary(vec![8; len])).await.unwrap();
            assert_eq!(collected(&socket, &gather).await, [vec![8; len]]);
        }
        // Nor does the end.
        assert!(begins(&socket, &gather, later()));
        client.close(None).await.unwrap();
        assert!(collected(&socket, &gather).await.is_empty());
        told.news.notified().await;
        assert!(told.gone.get());
        assert!(!begins(&socket, &gather, later()), "it lingers");
        assert!(socket.found.borrow().is_none(), "nobody reads it while it does");
        assert!(!begins(&socket, &gather, later()), "it lingers");
        assert!(socket.found.borrow().is_none(), "nobody reads it while it does");

        let (socket, mut client, told) = served(1 << 20).await;
        assert!(begins(&socket, &gather, later()));
        client.send(Message::text("hello")).await.unwrap();
        assert!(collected(&socket, &gather).await.is_empty());
        assert!(!begins(&socket, &gather, later()), "its task has to see to it first");
        assert_eq!(end_of(&mut client).await, (Code::BadMessage, Code::BadMessage.close_code()));
        assert!(told.fault.borrow().is_some());
    });
}

#[test]
fn a_client_that_says_more_than_the_room_takes_waits_apart() {
    run(async {
        let (socket, mut client, told) = served(1 << 20).await;
        let gather = Gather::new().unwrap();
        assert!(begins(&socket, &gather, later()));
        told.paused.set(true);
        for number in 1..=3 {
            client.send(Message::binary(vec![number])).await.unwrap();
        }
        let mut taken = vec![];
        while taken.is_empty() {
            gather.look(later());
            socket.collect(&gather, later(), |message| {
                taken.push(message.to_vec());
                false
            });
            tokio::task::yield_now().await;
        }
        assert_eq!(taken, [[1]]);
        assert!(!begins(&socket, &gather, later()), "until the room takes more");
        told.paused.set(false);
        told.news.notify_one();
        while told.messages.borrow().len() < 2 {
            told.news.notified().await;
        }
        assert_eq!(*told.messages.borrow(), [[2], [3]]);
        assert!(begins(&socket, &gather, later()));
    });
}

#[test]
fn a_client_that_does_not_read_is_no_matter_of_ticks() {
    run(async {
        let (socket, mut client, told) = served(64 << 20).await;
        let gather = Gather::new().unwrap();
        assert!(begins(&socket, &gather, later()));
        let body = vec![1; 4 << 20];
        assert_eq!(socket.try_send(&[IoSlice::new(&body)]), Ok(Sent::Held));
        let message = client.next().await.unwrap().unwrap();
        assert_eq!(message.into_data().len(), body.len());
        while told.written.get() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(begins(&socket, &gather, later()), "all has left");
    });
}

#[test]
fn around_its_pings_a_client_is_heard_at_once() {
    run(async {
        let (socket, _client, _) = served(1 << 20).await;
        let gather = Gather::new().unwrap();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let reads = |ms| begins(&socket, &gather, at(ms));
        assert!(!reads(100), "the first ping follows the first answer");
        socket.pinged(at(100));
        assert!((150..1_950).step_by(50).all(reads));
        assert!(!reads(1_950), "the next one is near");
        assert!(!reads(2_350));
        assert!(reads(2_351), "none came: it pings as it likes");
        assert!(reads(9_000));
    });
}
