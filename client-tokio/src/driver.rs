//! The task between a session, its sockets and its timer.

use crate::raw::{RawError, RawSocket, Received};
use referee_client::{LinkId, Output, Session, Status, close_code};
use referee_protocol::Code;
use referee_protocol::limits::LINK_SILENCE_MAX_MS;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

/// How long a closing connection may take to carry its last frames.
const CLOSING_MAX: Duration = Duration::from_secs(1);

/// What the handle and the task share.
#[derive(Debug)]
pub(crate) struct Shared {
    session: Mutex<Session>,
    started: Instant,
    /// Wakes the task: the session may have something to send.
    pub(crate) wake: Notify,
    /// Wakes the handle's user: something happened.
    pub(crate) changed: Notify,
    cut: AtomicBool,
}

impl Shared {
    pub(crate) fn new(session: Session) -> Self {
        Self {
            session: Mutex::new(session),
            started: Instant::now(),
            wake: Notify::new(),
            changed: Notify::new(),
            cut: AtomicBool::new(false),
        }
    }

    /// The session. A user's closure that panicked has only read it, so poison says nothing.
    pub(crate) fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }
}

type Dial = Pin<Box<dyn Future<Output = Result<RawSocket, RawError>> + Send>>;
/// Makes a connection whenever one is wanted.
pub(crate) type Dialer = Box<dyn FnMut() -> Dial + Send>;

/// A connection.
enum Socket {
    Dialing(Dial),
    Open(RawSocket),
}

/// The connections: at most two, for at most a moment.
#[derive(Default)]
struct Sockets([Option<(LinkId, Socket)>; 2]);

impl Sockets {
    fn put(&mut self, link: LinkId, socket: Socket) {
        let free = self.0.iter_mut().find(|slot| slot.is_none());
        *free.expect("a session has at most two connections") = Some((link, socket));
    }

    fn open(&mut self, link: LinkId) -> Option<&mut RawSocket> {
        self.0.iter_mut().flatten().find_map(|(id, socket)| match socket {
            Socket::Open(open) if *id == link => Some(open),
            Socket::Open(_) | Socket::Dialing(_) => None,
        })
    }

    fn take(&mut self, link: LinkId) -> Option<Socket> {
        let slot = self.0.iter_mut().find(|slot| slot.as_ref().is_some_and(|(id, _)| *id == link));
        slot.and_then(Option::take).map(|(_, socket)| socket)
    }
}

/// What woke the task.
enum Wake {
    Wish,
    Timer,
    Dialed(LinkId, Result<RawSocket, RawError>),
    Received(LinkId, Result<Received, RawError>),
}

/// Runs until the session is closed for good.
pub(crate) async fn drive(shared: Arc<Shared>, mut dialer: Dialer) {
    let mut sockets = Sockets::default();
    loop {
        if let Err((link, broken)) = obey(&shared, &mut sockets, &mut dialer).await {
            sockets.take(link);
            shared.session().handle_close(shared.now(), link, None, &broken);
            continue;
        }
        shared.changed.notify_waiters();
        let timeout = {
            let session = shared.session();
            if session.status() == Status::Closed {
                return;
            }
            session.poll_timeout()
        };
        let wake = wait(&shared, &mut sockets, timeout).await;
        feed(&shared, &mut sockets, wake);
    }
}

/// Does what the session asks for; an error names the connection that broke over it.
async fn obey(
    shared: &Shared,
    sockets: &mut Sockets,
    dialer: &mut Dialer,
) -> Result<(), (LinkId, String)> {
    loop {
        let output = shared.session().poll_output();
        match output {
            None => return Ok(()),
            Some(Output::Connect { link }) => sockets.put(link, Socket::Dialing(dialer())),
            Some(Output::Send { link, frame }) => {
                let Some(open) = sockets.open(link) else { continue };
                let patience = Duration::from_millis(LINK_SILENCE_MAX_MS);
                match timeout(patience, open.send(&frame)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return Err((link, error.to_string())),
                    Err(_) => return Err((link, "the server took no data for too long".into())),
                }
            }
            Some(Output::Disconnect { link, code }) => {
                let Some(Socket::Open(open)) = sockets.take(link) else { continue };
                let goodbye = tokio::spawn(close(open, code));
                if shared.session().status() == Status::Closed {
                    // Whoever waits for the end waits until it is said.
                    let _ = goodbye.await;
                }
            }
            // The token is read from the session by whoever wants to keep it.
            Some(Output::StoreToken(_)) => {}
        }
    }
}

/// Says goodbye; then, in a task of its own, lets the last frames arrive: a socket dropped at once
/// might reset the connection under them.
async fn close(mut socket: RawSocket, code: Code) {
    let _ = timeout(CLOSING_MAX, socket.close(code.close_code(), code.name())).await;
    tokio::spawn(timeout(CLOSING_MAX, async move {
        while let Ok(Received::Frame(_)) = socket.receive().await {}
    }));
}

async fn wait(shared: &Shared, sockets: &mut Sockets, timeout: Option<u64>) -> Wake {
    let alarm = async {
        match timeout {
            Some(at) => sleep_until(shared.started + Duration::from_millis(at)).await,
            None => std::future::pending().await,
        }
    };
    let [one, two] = &mut sockets.0;
    tokio::select! {
        wake = next(one) => wake,
        wake = next(two) => wake,
        () = alarm => Wake::Timer,
        () = shared.wake.notified() => Wake::Wish,
    }
}

/// What happens next on a connection. Given up, nothing of it is lost.
async fn next(slot: &mut Option<(LinkId, Socket)>) -> Wake {
    match slot {
        None => std::future::pending().await,
        Some((link, Socket::Dialing(dial))) => Wake::Dialed(*link, dial.await),
        Some((link, Socket::Open(open))) => Wake::Received(*link, open.receive().await),
    }
}

fn feed(shared: &Shared, sockets: &mut Sockets, wake: Wake) {
    let now = shared.now();
    let mut session = shared.session();
    if shared.cut.swap(false, Ordering::Relaxed) {
        let cut = std::mem::take(sockets);
        // The second one first, so that the session does not go on with it.
        let mut links: Vec<_> = cut.0.iter().flatten().map(|(link, _)| *link).collect();
        links.sort_by_key(|link| std::cmp::Reverse(link.0));
        for link in links {
            session.handle_close(now, link, None, "the connection was cut");
        }
        return;
    }
    match wake {
        Wake::Wish => {}
        Wake::Timer => session.handle_timeout(now),
        Wake::Dialed(link, Ok(open)) => {
            sockets.take(link);
            sockets.put(link, Socket::Open(open));
            session.handle_open(now, link);
        }
        Wake::Received(link, Ok(Received::Frame(frame))) => session.handle_frame(now, link, &frame),
        Wake::Received(link, Ok(Received::Closed { code, reason })) => {
            sockets.take(link);
            session.handle_close(now, link, code.and_then(close_code), &reason);
        }
        Wake::Dialed(link, Err(error)) | Wake::Received(link, Err(error)) => {
            sockets.take(link);
            session.handle_close(now, link, error.code(), &error.to_string());
        }
    }
}
