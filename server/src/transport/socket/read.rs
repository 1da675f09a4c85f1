//! Who reads a socket. The task that looks after it does, woken by whatever comes; or its room does, just before
//! it ticks, and nobody is woken in between: what a client says counts from the next tick on all the same.
//!
//! The room takes plain messages. All else is for the task, which has the socket back then: bytes that wait for
//! the network, a message that did not come as a whole, a client that says too much, the end.

use std::io::IoSlice;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use referee_protocol::limits::PING_EVERY_MS;
use tokio::task::coop::consume_budget;

use super::{End, Reader, Socket};
use crate::transport::Peer;
use crate::transport::gather::Gather;

/// Messages one client may hand over, or parts of them, before others get their turn.
const SHARE: usize = 32;

/// A ping is awaited from so long before it is due, which is longer than a tick of a room that reads its
/// sockets itself...
const PING_EARLY: Duration = Duration::from_millis(150);
/// ... until so long after.
const PING_LATE: Duration = Duration::from_millis(250);

/// What was taken of a client.
pub(super) enum Took {
    /// All there was.
    All,
    /// All the room takes for now.
    Enough,
    /// All the client's share; there may be more.
    Share,
}

impl Socket {
    /// Its room is about to tick, and reads it, where nothing speaks against that: gets what has come. Around
    /// the time at which the client pings its task reads it: who asks how long the way is does not want to be
    /// told how long a tick is.
    pub(crate) fn collect(
        &self,
        gather: &Arc<Gather>,
        now: Instant,
        tell: impl FnMut(&[u8]) -> bool,
    ) {
        let awaits_ping = self.awaits_ping(now);
        if !self.gathered.get() && (awaits_ping || !self.gather(gather)) {
            return;
        }
        self.collect_now(tell);
        if awaits_ping {
            self.watch();
        }
    }

    /// Says whether the room reads it now.
    fn gather(&self, gather: &Arc<Gather>) -> bool {
        let is_handed_back = self.paused.get() || self.found.borrow().is_some();
        let is_apart = is_handed_back || self.called_back.get() || self.has_waiting();
        if is_apart || self.is_over() || !self.stream.borrow_mut().gather(gather) {
            return false;
        }
        self.gathered.set(true);
        self.wake.notify_one();
        true
    }

    fn awaits_ping(&self, now: Instant) -> bool {
        let Some(due) = self.ping_due.get() else { return false };
        if now > due + PING_LATE {
            self.ping_due.set(None);
            return false;
        }
        due <= now + PING_EARLY
    }

    /// The client has pinged, and will again after a while.
    pub(super) fn await_ping(&self, now: Instant) {
        self.ping_due.set(Some(now + Duration::from_millis(PING_EVERY_MS)));
    }

    /// The task that looks after it reads it from now on.
    pub(crate) fn watch(&self) {
        if self.gathered.replace(false) {
            self.stream.borrow_mut().watch();
            self.wake.notify_one();
        }
    }

    fn collect_now(&self, tell: impl FnMut(&[u8]) -> bool) {
        if !self.is_due() || self.is_over() {
            return;
        }
        match self.take(tell) {
            Ok(Took::All) => {}
            took => {
                *self.found.borrow_mut() = Some(took);
                self.watch();
            }
        }
    }

    /// Whether its room reads it, and there may be more to read.
    fn is_due(&self) -> bool {
        self.gathered.get() && self.stream.borrow_mut().is_due()
    }

    /// Takes what has come, and answers as the framing does.
    fn take(&self, tell: impl FnMut(&[u8]) -> bool) -> Result<Took, End> {
        let mut reader = self.reader.borrow_mut();
        let took = self.take_share(&mut reader, tell);
        let replies = reader.replies();
        if !replies.is_empty() {
            let _ = self.write(&[IoSlice::new(&replies)], self.limit);
        }
        took
    }

    fn take_share(
        &self,
        reader: &mut Reader,
        mut tell: impl FnMut(&[u8]) -> bool,
    ) -> Result<Took, End> {
        for _ in 0..SHARE {
            let next = reader.next(&mut self.stream.borrow_mut())?;
            let Some(message) = next else {
                // The room is not woken by the rest of a message.
                if self.is_due() {
                    continue;
                }
                return Ok(Took::All);
            };
            if !tell(&message) {
                return Ok(Took::Enough);
            }
            if self.is_over() {
                return Ok(Took::All);
            }
        }
        Ok(Took::Share)
    }
}

/// Looks after a socket until it is closed from either end, and reads it wherever its room does not. Says
/// whether the connection is to move to another thread instead.
pub(crate) async fn serve(socket: Rc<Socket>, peer: impl Peer) -> bool {
    while !socket.is_over() {
        if socket.called_back.get() && socket.found.borrow().is_none() {
            return true;
        }
        if socket.has_waiting() {
            socket.watch();
        }
        if !socket.paused.get() && !socket.gathered.get() {
            let took = socket.found.take();
            match took.unwrap_or_else(|| socket.take(|message| peer.message(message))) {
                // Fragments are no messages, and a socket may always have more of them: after a while
                // others get their turn.
                Ok(Took::All) => consume_budget().await,
                Ok(Took::Enough) => socket.paused.set(true),
                Ok(Took::Share) => {
                    tokio::task::yield_now().await;
                    continue;
                }
                Err(End::Gone) => {
                    peer.gone();
                    break;
                }
                Err(End::Fault(refusal)) => {
                    peer.fault(&refusal);
                    break;
                }
            }
        }
        if socket.is_over() {
            break;
        }
        let reads = !socket.paused.get() && !socket.gathered.get();
        // In this order each time: to draw one costs, and nothing here keeps others waiting.
        tokio::select! {
            biased;
            () = socket.ready(reads) => {
                if socket.flush() {
                    peer.written();
                }
            }
            () = socket.wake.notified() => {}
            () = peer.ready(), if socket.paused.get() => socket.paused.set(false),
            mark = socket.look() => {
                if socket.has_heard(mark) && !peer.message(&[]) {
                    socket.paused.set(true);
                }
            }
        }
    }
    // Its room does not read it any more.
    socket.paused.set(true);
    socket.watch();
    if socket.out.borrow().broken {
        peer.gone();
        return false;
    }
    // What comes once at the end takes no memory before.
    Box::pin(socket.linger()).await;
    false
}
