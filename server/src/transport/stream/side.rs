//! Readiness for streams that are polled: what a socket has from its runtime. Such a stream
//! remembers one waker for each direction, made once; whichever task then waits is woken by it.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// One direction of a stream.
pub(super) struct Side {
    flag: Arc<Flag>,
    waker: Waker,
}

struct Flag {
    ready: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl Side {
    /// Ready, as far as is known.
    pub(super) fn new() -> Self {
        let flag = Arc::new(Flag { ready: AtomicBool::new(true), task: AtomicWaker::new() });
        Self { waker: Waker::from(Arc::clone(&flag)), flag }
    }

    /// Tries what may not be possible yet: then it is `WouldBlock`, and the side is not ready until
    /// the stream says so.
    pub(super) fn attempt<T>(
        &self,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        // Before the attempt, so that a wake that comes during it counts.
        self.flag.ready.store(false, Ordering::Release);
        match poll(&mut Context::from_waker(&self.waker)) {
            Poll::Ready(result) => {
                self.flag.ready.store(true, Ordering::Release);
                result
            }
            Poll::Pending => Err(ErrorKind::WouldBlock.into()),
        }
    }

    /// Whether an attempt may work now; else the task is woken when it may.
    pub(super) fn poll_ready(&self, cx: &Context<'_>) -> Poll<()> {
        self.flag.task.register(cx.waker());
        if self.flag.ready.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Both directions.
pub(super) struct Sides {
    pub(super) read: Side,
    pub(super) write: Side,
}

impl Sides {
    pub(super) fn new() -> Self {
        Self { read: Side::new(), write: Side::new() }
    }

    /// Whether one of the directions that are wished for is ready.
    pub(super) fn poll_ready(&self, cx: &Context<'_>, wish: super::Wish) -> Poll<()> {
        let read = wish.read && self.read.poll_ready(cx).is_ready();
        let write = wish.write && self.write.poll_ready(cx).is_ready();
        if read || write { Poll::Ready(()) } else { Poll::Pending }
    }
}
