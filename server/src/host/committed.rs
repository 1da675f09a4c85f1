//! Rooms of a thread that are to have a turn because what they waited for is on disk. The journal's
//! thread hands them over: many rooms cost one wake-up of the thread, and not one each.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// What a room's place and the room in it tell each other. It outlives each of them being in memory.
#[derive(Default)]
pub(crate) struct Signals {
    /// The room may be due for a turn.
    pub(crate) wake: Notify,
    /// A tick has run, after which clients may say more.
    pub(crate) ticked: Notify,
    /// The number of the last link, so that none is given to two lives of a room.
    pub(crate) links: AtomicU64,
    /// Where the room is told that what it waited for is on disk: on the thread that has it.
    committed: Mutex<Option<Arc<Committed>>>,
}

impl Signals {
    /// Its thread is that of `committed`.
    pub(crate) fn belong_to(&self, committed: &Arc<Committed>) {
        *self.committed.lock().unwrap_or_else(PoisonError::into_inner) = Some(committed.clone());
    }

    /// What the room waited for is on disk: it gets its turn soon. From any thread.
    pub(crate) fn committed(self: &Arc<Self>) {
        let committed = self.committed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match committed {
            Some(committed) => committed.push(self),
            None => self.wake.notify_one(),
        }
    }
}

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Committed {
    rooms: Mutex<Vec<Arc<Signals>>>,
    some: Notify,
}

impl Committed {
    fn rooms(&self) -> MutexGuard<'_, Vec<Arc<Signals>>> {
        // Nothing in here panics half-way through a change.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a room its turn soon. From any thread.
    pub(crate) fn push(&self, room: &Arc<Signals>) {
        let mut rooms = self.rooms();
        rooms.push(Arc::clone(room));
        let is_first = rooms.len() == 1;
        drop(rooms);
        // Whoever comes before the thread is up is taken along.
        if is_first {
            self.some.notify_one();
        }
    }

    /// Gives the rooms their turns, on their own thread, for as long as it lives.
    pub(super) async fn serve(self: Arc<Self>) {
        loop {
            self.some.notified().await;
            let rooms = std::mem::take(&mut *self.rooms());
            rooms.iter().for_each(|room| room.wake.notify_one());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn all_that_came_get_their_turn_and_nobody_gets_it_twice() {
        let committed = Arc::new(Committed::default());
        let rooms: Vec<Arc<Signals>> = (0..3).map(|_| Arc::default()).collect();
        rooms.iter().for_each(|room| committed.push(room));
        let mut context = Context::from_waker(Waker::noop());
        let mut serve = pin!(committed.clone().serve());
        assert!(serve.as_mut().poll(&mut context).is_pending());
        for room in &rooms {
            assert_eq!(pin!(room.wake.notified()).poll(&mut context), Poll::Ready(()));
            assert_eq!(pin!(room.wake.notified()).poll(&mut context), Poll::Pending);
        }
        // Also those of the next commit.
        committed.push(&rooms[1]);
        assert!(serve.as_mut().poll(&mut context).is_pending());
        assert_eq!(pin!(rooms[1].wake.notified()).poll(&mut context), Poll::Ready(()));
    }
}
