//! The task between a session, its socket and its timer.

use crate::raw::{RawError, RawSocket, Received};
use referee_client::{Output, Session, Status, close_code};
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

/// The one connection there may be.
enum Socket {
    None,
    Dialing(Dial),
    Open(RawSocket),
}

/// What woke the task.
enum Wake {
    Wish,
    Timer,
    Dialed(Result<RawSocket, RawError>),
    Received(Result<Received, RawError>),
}

/// Runs until the session is closed for good.
pub(crate) async fn drive(shared: Arc<Shared>, mut dialer: Dialer) {
    let mut socket = Socket::None;
    loop {
        if let Err(broken) = obey(&shared, &mut socket, &mut dialer).await {
            socket = Socket::None;
            shared.session().handle_close(shared.now(), None, &broken);
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
        let wake = wait(&shared, &mut socket, timeout).await;
        feed(&shared, &mut socket, wake);
    }
}

/// Does what the session asks for; an error means that the connection broke over it.
async fn obey(shared: &Shared, socket: &mut Socket, dialer: &mut Dialer) -> Result<(), String> {
    loop {
        let output = shared.session().poll_output();
        match output {
            None => return Ok(()),
            Some(Output::Connect) => *socket = Socket::Dialing(dialer()),
            Some(Output::Send(frame)) => {
                let Socket::Open(open) = &mut *socket else { continue };
                let patience = Duration::from_millis(LINK_SILENCE_MAX_MS);
                match timeout(patience, open.send(&frame)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return Err(error.to_string()),
                    Err(_) => return Err("the server took no data for too long".into()),
                }
            }
            Some(Output::Disconnect { code }) => {
                if let Socket::Open(open) = std::mem::replace(socket, Socket::None) {
                    let goodbye = tokio::spawn(close(open, code));
                    if shared.session().status() == Status::Closed {
                        // Whoever waits for the end waits until it is said.
                        let _ = goodbye.await;
                    }
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

async fn wait(shared: &Shared, socket: &mut Socket, timeout: Option<u64>) -> Wake {
    let alarm = async {
        match timeout {
            Some(at) => sleep_until(shared.started + Duration::from_millis(at)).await,
            None => std::future::pending().await,
        }
    };
    let io = async {
        match socket {
            Socket::None => std::future::pending().await,
            Socket::Dialing(dial) => Wake::Dialed(dial.await),
            Socket::Open(open) => Wake::Received(open.receive().await),
        }
    };
    tokio::select! {
        wake = io => wake,
        () = alarm => Wake::Timer,
        () = shared.wake.notified() => Wake::Wish,
    }
}

fn feed(shared: &Shared, socket: &mut Socket, wake: Wake) {
    let now = shared.now();
    let mut session = shared.session();
    if shared.cut.swap(false, Ordering::Relaxed) {
        *socket = Socket::None;
        session.handle_close(now, None, "the connection was cut");
        return;
    }
    match wake {
        Wake::Wish => {}
        Wake::Timer => session.handle_timeout(now),
        Wake::Dialed(Ok(open)) => {
            *socket = Socket::Open(open);
            session.handle_open(now);
        }
        Wake::Received(Ok(Received::Frame(frame))) => session.handle_frame(now, &frame),
        Wake::Received(Ok(Received::Closed { code, reason })) => {
            *socket = Socket::None;
            session.handle_close(now, code.and_then(close_code), &reason);
        }
        Wake::Dialed(Err(error)) | Wake::Received(Err(error)) => {
            *socket = Socket::None;
            session.handle_close(now, error.code(), &error.to_string());
        }
    }
}
