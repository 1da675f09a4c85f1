//! Stored rooms that could not be loaded: when each may be tried again, and which may not. Kept in
//! memory: the next start tries all of them. Touches no room and no disk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use referee_protocol::{Code, Refusal};

use crate::key::RoomKey;
use crate::metrics::Metrics;

/// How long a room that could not be loaded is left alone at first, in milliseconds. Twice as long
/// after each further try.
const FIRST_DELAY_MS: u64 = 250;
/// So many tries in a row end in a mark.
const TRIES_MAX: u32 = 5;
/// A room that is marked because the disk could not be read is tried once more after so long, in
/// milliseconds: a disk that is back needs no restart. What comes of a game or of the room's own bytes
/// is the same then, so such a mark stays.
const DISK_MARK_MS: u64 = 60_000;
/// Rooms that are remembered. Beyond it, those are forgotten that may be tried again by now; while there
/// are none, a failure is not remembered.
const MARKS_MAX: usize = 16 * 1024;

/// Why a stored room could not be loaded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Trouble {
    /// The disk or the database: it may be over in a while.
    Disk(String),
    /// The game panicked. It may do so each time.
    Game(String),
    /// A turn of the game did not end. Each try would cost another thread.
    Stuck(String),
    /// What is stored is damaged, or not this game's any more.
    Room(String),
}

impl Trouble {
    fn why(&self) -> &str {
        let (Self::Disk(why) | Self::Game(why) | Self::Stuck(why) | Self::Room(why)) = self;
        why
    }
}

struct Mark {
    trouble: Trouble,
    tries: u32,
    /// When it may be tried again; never if there is none.
    again: Option<Instant>,
}

impl Mark {
    fn is_final(&self) -> bool {
        self.tries >= TRIES_MAX || matches!(self.trouble, Trouble::Room(_) | Trouble::Stuck(_))
    }
}

/// See the module's documentation.
pub(crate) struct Marks {
    rooms: Mutex<HashMap<RoomKey, Mark>>,
    metrics: Arc<Metrics>,
}

impl Marks {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self { rooms: Mutex::default(), metrics }
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<RoomKey, Mark>> {
        // Nothing in here panics half-way through a change.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a visitor is told without trying; none when the room may be tried.
    pub(crate) fn refusal(&self, room: &RoomKey, now: Instant) -> Option<Refusal> {
        let rooms = self.rooms();
        let mark = rooms.get(room)?;
        if mark.again.is_some_and(|again| again <= now) {
            return None;
        }
        Some(refuse(room, mark, now))
    }

    /// A try to load the room failed. Says so to the log, and gives what its visitors are told.
    pub(crate) fn failed(&self, room: &RoomKey, trouble: Trouble, now: Instant) -> Refusal {
        self.metrics.loads_failed.up();
        let mut rooms = self.rooms();
        let before = rooms.remove(room);
        let was_final = before.as_ref().is_some_and(Mark::is_final);
        let tries = before.map_or(0, |mark| mark.tries).saturating_add(1);
        let mut mark = Mark { trouble, tries, again: None };
        mark.again = match mark.trouble {
            Trouble::Disk(_) if mark.is_final() => Some(now + Duration::from_millis(DISK_MARK_MS)),
            _ if mark.is_final() => None,
            _ => Some(now + Duration::from_millis(FIRST_DELAY_MS << (tries - 1))),
        };
        log(room, &mark, was_final);
        let refusal = refuse(room, &mark, now);
        self.count(was_final, &mark);
        if rooms.len() >= MARKS_MAX {
            rooms.retain(|_, mark| mark.again.is_none_or(|again| again > now));
        }
        if rooms.len() < MARKS_MAX {
            rooms.insert(room.clone(), mark);
        } else if mark.is_final() {
            self.metrics.rooms_marked.down();
        }
        refusal
    }

    fn count(&self, was_final: bool, mark: &Mark) {
        match (was_final, mark.is_final()) {
            (false, true) => self.metrics.rooms_marked.up(),
            (true, false) => self.metrics.rooms_marked.down(),
            _ => {}
        }
    }

    /// The room was loaded: the disk's troubles with it are over. The game may still panic in the next
    /// tick, as it did before.
    pub(crate) fn loaded(&self, room: &RoomKey) {
        self.forget(room, |trouble| matches!(trouble, Trouble::Disk(_)));
    }

    /// The room lived, and not only for a moment.
    pub(crate) fn lived(&self, room: &RoomKey) {
        self.forget(room, |_| true);
    }

    fn forget(&self, room: &RoomKey, which: impl Fn(&Trouble) -> bool) {
        let mut rooms = self.rooms();
        if rooms.get(room).is_some_and(|mark| which(&mark.trouble))
            && rooms.remove(room).is_some_and(|mark| mark.is_final())
        {
            self.metrics.rooms_marked.down();
        }
    }
}

/// One line for each failure; of a room that stays marked only the first time.
fn log(room: &RoomKey, mark: &Mark, was_final: bool) {
    let (why, tries) = (mark.trouble.why(), mark.tries);
    match mark.is_final() {
        false => {
            tracing::warn!(%room, tries, why, "a stored room could not be loaded; it is tried again")
        }
        true if was_final => {}
        true => tracing::error!(
            %room, tries, why,
            "a stored room cannot be loaded: its visitors are refused from now on, and it is left as it \
             is. Stop the server and look at it with inspect {room}, start the build that saved it, or \
             play under another match id; each start tries it again"
        ),
    }
}

fn refuse(room: &RoomKey, mark: &Mark, now: Instant) -> Refusal {
    let why = mark.trouble.why();
    if let Trouble::Stuck(_) = mark.trouble {
        let text = format!("the match {room} has ended: {why}; what was saved of it is kept");
        return Refusal::new(Code::Unreadable, text);
    }
    if mark.is_final() {
        let text = format!("the stored match {room} cannot be read, and is left as it is: {why}");
        return Refusal::new(Code::Unreadable, text);
    }
    let (code, text) = match mark.trouble {
        Trouble::Game(_) => {
            let game = &room.game;
            let text = format!("the game {game} failed in this match; what was saved is kept");
            (Code::Failed, text)
        }
        Trouble::Disk(_) | Trouble::Room(_) | Trouble::Stuck(_) => {
            let text = format!(
                "the stored match {room} could not be read: {why}; it is left as it is, try again in a \
                 while"
            );
            (Code::Busy, text)
        }
    };
    let left = mark.again.map(|again| again.saturating_duration_since(now));
    let retry_after_ms = left.map(|left| left.as_millis() as u32 + 1);
    Refusal { retry_after_ms, ..Refusal::new(code, text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> RoomKey {
        RoomKey::parse("g/a").unwrap()
    }

    fn marks() -> Marks {
        Marks::new(Arc::default())
    }

    fn disk() -> Trouble {
        Trouble::Disk("a bad block".into())
    }

    #[test]
    fn a_room_is_tried_again_after_growing_delays_and_then_marked() {
        let (marks, mut now) = (marks(), Instant::now());
        for delay in [250, 500, 1_000, 2_000] {
            let refusal = marks.failed(&room(), disk(), now);
            assert_eq!((refusal.code, refusal.retry_after_ms), (Code::Busy, Some(delay + 1)));
            now += Duration::from_millis(u64::from(delay) - 100);
            let refusal = marks.refusal(&room(), now).unwrap();
            assert_eq!(refusal.retry_after_ms, Some(101), "{refusal}");
            now += Duration::from_millis(100);
            assert_eq!(marks.refusal(&room(), now), None, "it may be tried");
        }
        let refusal = marks.failed(&room(), disk(), now);
        assert_eq!((refusal.code, refusal.retry_after_ms), (Code::Unreadable, None));
        assert!(refusal.message.contains("g/a") && refusal.message.contains("a bad block"));
        assert_eq!(marks.metrics.rooms_marked.get(), 1);
        assert_eq!(marks.metrics.loads_failed.get(), 5);
    }

    #[test]
    fn a_disk_that_is_back_needs_no_restart() {
        let (marks, mut now) = (marks(), Instant::now());
        (0..TRIES_MAX).for_each(|_| drop(marks.failed(&room(), disk(), now)));
        let lapse = Duration::from_millis(DISK_MARK_MS);
        assert!(marks.refusal(&room(), now + lapse - Duration::from_millis(1)).is_some());
        now += lapse;
        assert_eq!(marks.refusal(&room(), now), None);
        marks.failed(&room(), disk(), now);
        assert!(marks.refusal(&room(), now).is_some(), "once, and not again and again");
        now += lapse;
        marks.loaded(&room());
        assert_eq!((marks.refusal(&room(), now), marks.metrics.rooms_marked.get()), (None, 0));
    }

    #[test]
    fn what_is_damaged_is_marked_at_once_and_for_good() {
        let (marks, now) = (marks(), Instant::now());
        let refusal = marks.failed(&room(), Trouble::Room("torn".into()), now);
        assert_eq!((refusal.code, refusal.retry_after_ms), (Code::Unreadable, None));
        let later = now + Duration::from_secs(1 << 30);
        assert_eq!(marks.refusal(&room(), later), Some(refusal));
        assert_eq!(marks.refusal(&RoomKey::parse("g/b").unwrap(), now), None, "another room");
    }

    #[test]
    fn a_game_that_panics_is_counted_also_over_loads_that_work_until_it_lives() {
        let (marks, now) = (marks(), Instant::now());
        let panic = || Trouble::Game("boom".into());
        for _ in 1..TRIES_MAX {
            assert_eq!(marks.failed(&room(), panic(), now).code, Code::Failed);
            marks.loaded(&room());
        }
        assert_eq!(marks.failed(&room(), panic(), now).code, Code::Unreadable);
        marks.lived(&room());
        assert_eq!(marks.failed(&room(), panic(), now).code, Code::Failed);
        assert_eq!(marks.metrics.rooms_marked.get(), 0);
    }

    #[test]
    fn rooms_that_are_remembered_have_a_bound() {
        let (marks, now) = (marks(), Instant::now());
        let nth = |n: usize| RoomKey::parse(&format!("g/{n}")).unwrap();
        for n in 0..MARKS_MAX {
            marks.failed(&nth(n), disk(), now);
        }
        marks.failed(&room(), Trouble::Room("torn".into()), now);
        assert_eq!(marks.refusal(&room(), now), None, "not remembered");
        let later = now + Duration::from_millis(FIRST_DELAY_MS);
        marks.failed(&room(), Trouble::Room("torn".into()), later);
        assert!(marks.refusal(&room(), later).is_some());
        assert_eq!(marks.metrics.rooms_marked.get(), 1);
    }
}
