//! What has come for some sockets, over one epoll.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, Event};
use rustix::io::Errno;

/// Sockets that are looked at together.
const EVENTS_MAX: usize = 1_024;

/// Waits for so long at most; gives the numbers of those for which something came.
pub(crate) fn wait(
    of: &OwnedFd,
    wait: Duration,
) -> Result<impl Iterator<Item = usize> + use<>, String> {
    let (tv_sec, tv_nsec) = (wait.as_secs() as i64, i64::from(wait.subsec_nanos()));
    let mut events: Vec<Event> = Vec::with_capacity(EVENTS_MAX);
    let into = rustix::buffer::spare_capacity(&mut events);
    match epoll::wait(of, into, Some(&Timespec { tv_sec, tv_nsec })) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.to_string()),
    }
    Ok(events.into_iter().map(|event| event.data.u64() as usize))
}
