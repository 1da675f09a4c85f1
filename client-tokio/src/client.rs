//! The handle a program holds.

use crate::driver::{self, Dialer, Shared};
use crate::options::{Options, Target, UrlError};
use crate::raw::{ByteStream, RawSocket, Trust};
use referee_client::protocol::Value;
use referee_client::{ClientError, Event, Reason, Session, Status};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Why a match was not entered.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL names no match.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The server refused for good.
    #[error(transparent)]
    Refused(#[from] Reason),
}

/// A player in a match. Connects again by itself; dropped, it goes without a word, and the seat is
/// held for its grace time.
#[derive(Debug)]
pub struct Client {
    shared: Arc<Shared>,
    driver: JoinHandle<()>,
}

impl Client {
    /// Enters a match and waits for its first state, however often that takes. The URL is
    /// `ws://host:port/game/match`, `wss://..` or `quic://..`.
    ///
    /// # Errors
    /// When the URL names no match, or the server refuses for good.
    pub async fn connect(url: &str, options: Options) -> Result<Self, ConnectError> {
        Self::start(url, options)?.entered().await
    }

    /// Enters a match over byte streams of the program's own: `dial` makes one whenever a
    /// connection is wanted. Of the URL only `/game/match` counts.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn connect_over<S, F>(
        dial: impl FnMut() -> F + Send + 'static,
        url: &str,
        options: Options,
    ) -> Result<Self, ConnectError>
    where
        S: ByteStream,
        F: Future<Output = std::io::Result<S>> + Send + 'static,
    {
        Self::start_over(dial, url, options)?.entered().await
    }

    async fn entered(self) -> Result<Self, ConnectError> {
        self.wait_until(|session| session.status() == Status::Open).await?;
        Ok(self)
    }

    /// Begins to enter a match and does not wait. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// When the URL names no match.
    pub fn start(url: &str, options: Options) -> Result<Self, UrlError> {
        let target = Target::parse(url)?;
        let (url, origin) = (target.url(), options.origin.clone());
        let trust = Trust { pin: options.pin };
        let dial: Dialer = Box::new(move || {
            let (url, origin) = (url.clone(), origin.clone());
            Box::pin(async move {
                let headers: Vec<_> = origin.iter().map(|o| ("Origin", o.as_str())).collect();
                RawSocket::connect_with(&url, &headers, &trust).await
            })
        });
        Ok(Self::spawn(&target, &options, dial))
    }

    /// [`Self::start`] for [`Self::connect_over`].
    ///
    /// # Errors
    /// When the URL names no match.
    pub fn start_over<S, F>(
        mut dial: impl FnMut() -> F + Send + 'static,
        url: &str,
        options: Options,
    ) -> Result<Self, UrlError>
    where
        S: ByteStream,
        F: Future<Output = std::io::Result<S>> + Send + 'static,
    {
        let target = Target::parse(url)?;
        let dial: Dialer = Box::new(move || {
            let stream = dial();
            Box::pin(async move { Ok(RawSocket::over(stream.await?)) })
        });
        Ok(Self::spawn(&target, &options, dial))
    }

    fn spawn(target: &Target, options: &Options, dial: Dialer) -> Self {
        let shared = Arc::new(Shared::new(Session::new(target.config(options))));
        let driver = tokio::spawn(driver::drive(Arc::clone(&shared), dial));
        Self { shared, driver }
    }

    /// The next thing that happened; none when the session is closed for good and all is told.
    pub async fn next_event(&self) -> Option<Event> {
        self.until(|session| match session.poll_event() {
            Some(event) => Some(Some(event)),
            None if session.status() == Status::Closed => Some(None),
            None => None,
        })
        .await
    }

    /// Waits until the session is as wished; looks after each change. Events stay in their queue.
    ///
    /// # Errors
    /// When the session closes for good before.
    pub async fn wait_until(&self, mut wish: impl FnMut(&Session) -> bool) -> Result<(), Reason> {
        self.until(|session| {
            if wish(session) {
                return Some(Ok(()));
            }
            let closed = session.status() == Status::Closed;
            session.reason().filter(|_| closed).map(|reason| Err(reason.clone()))
        })
        .await
    }

    async fn until<R>(&self, mut answer: impl FnMut(&mut Session) -> Option<R>) -> R {
        loop {
            let mut changed = pin!(self.shared.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            if let Some(answer) = answer(&mut self.shared.session()) {
                return answer;
            }
            poll_fn(|cx| changed.as_mut().poll(cx)).await;
        }
    }

    /// Reads the session: `client.with(|session| session.resource("Count"))`. Keep it short: the
    /// connection waits meanwhile.
    pub fn with<R>(&self, read: impl FnOnce(&Session) -> R) -> R {
        read(&self.shared.session())
    }

    /// Does an action, exactly once: see [`Session::send_action`].
    ///
    /// # Errors
    /// Names the action, the field, the value and the limit.
    pub fn send_action(&self, name: &str, value: &Value) -> Result<(), ClientError> {
        let result = self.shared.session().send_action(name, value);
        self.shared.wake.notify_one();
        result
    }

    /// Sets a sampled input to what it is now: see [`Session::set_input`].
    ///
    /// # Errors
    /// As [`Self::send_action`].
    pub fn set_input(&self, name: &str, value: &Value) -> Result<(), ClientError> {
        let result = self.shared.session().set_input(self.shared.now(), name, value);
        self.shared.wake.notify_one();
        result
    }

    /// Drops the connection as a failing network would; the session resumes by itself.
    pub fn cut(&self) {
        self.shared.cut();
    }

    /// Gives up the seat, and waits until that is said.
    pub async fn leave(mut self) {
        self.shared.session().leave();
        self.shared.wake.notify_one();
        // It cannot be cancelled, and a panic in it has been reported already.
        let _ = (&mut self.driver).await;
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
