//! A bot's connections: one, or for a moment two, while a session finds out which of them lives.

use std::future::Future;
use std::pin::Pin;

use referee_client::LinkId;
use referee_client_tokio::{RawError, RawSocket, Received};
use tokio::time::timeout;

use crate::player::PATIENCE;

type Dialed = Result<RawSocket, RawError>;

enum Socket {
    Dialing(Pin<Box<dyn Future<Output = Option<Dialed>>>>),
    Open(Box<RawSocket>),
}

/// The connections there are.
#[derive(Default)]
pub(crate) struct Sockets([Option<(LinkId, Socket)>; 2]);

/// What happened on a connection.
pub(crate) enum Happened {
    /// It was opened, or not; none: it took too long.
    Dialed(LinkId, Option<Dialed>),
    /// Something came.
    Received(LinkId, Result<Received, RawError>),
}

impl Sockets {
    /// Begins to open a connection. The future's outcome comes by [`Self::next`].
    pub(crate) fn dial(&mut self, link: LinkId, dialing: impl Future<Output = Dialed> + 'static) {
        let within = Box::pin(async { timeout(PATIENCE, dialing).await.ok() });
        self.put(link, Socket::Dialing(within));
    }

    /// Holds a connection that was opened.
    pub(crate) fn opened(&mut self, link: LinkId, socket: RawSocket) {
        self.take(link);
        self.put(link, Socket::Open(Box::new(socket)));
    }

    fn put(&mut self, link: LinkId, socket: Socket) {
        let free = self.0.iter_mut().find(|slot| slot.is_none());
        *free.expect("a session has at most two connections") = Some((link, socket));
    }

    pub(crate) fn open(&mut self, link: LinkId) -> Option<&mut RawSocket> {
        self.0.iter_mut().flatten().find_map(|(id, socket)| match socket {
            Socket::Open(open) if *id == link => Some(&mut **open),
            Socket::Open(_) | Socket::Dialing(_) => None,
        })
    }

    /// Gives up a connection; gives it back where it is open.
    pub(crate) fn take(&mut self, link: LinkId) -> Option<Box<RawSocket>> {
        let slot = self.0.iter_mut().find(|slot| slot.as_ref().is_some_and(|(id, _)| *id == link));
        match slot.and_then(Option::take) {
            Some((_, Socket::Open(open))) => Some(open),
            _ => None,
        }
    }

    /// Gives up all connections; says which there were, the last one first, so that a session does not
    /// go on with it.
    pub(crate) fn take_all(&mut self) -> Vec<LinkId> {
        let all = std::mem::take(&mut self.0);
        let mut links: Vec<_> = all.iter().flatten().map(|(link, _)| *link).collect();
        links.sort_by_key(|link| std::cmp::Reverse(link.0));
        links
    }

    /// What happens next. Given up, nothing is lost.
    pub(crate) async fn next(&mut self) -> Happened {
        let [one, two] = &mut self.0;
        tokio::select! {
            happened = of(one) => happened,
            happened = of(two) => happened,
        }
    }
}

async fn of(slot: &mut Option<(LinkId, Socket)>) -> Happened {
    match slot {
        None => std::future::pending().await,
        Some((link, Socket::Dialing(dialing))) => Happened::Dialed(*link, dialing.await),
        Some((link, Socket::Open(open))) => Happened::Received(*link, open.receive().await),
    }
}
