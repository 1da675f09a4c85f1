//! What is kept of a live room so that it can be made again: its newest snapshot and the entries since,
//! in memory for a panic, in the journal for a crash. In a gated room nothing leaves before what led
//! to it is on disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use referee_protocol::bits::{BitError, read_varint};
use referee_protocol::{Seat, Tick};
use referee_room::entry::{Entry, EntryError};
use referee_room::revive::{Base, Passage, Revived};
use referee_room::{Durability, Output, Room};

use super::Live;
use super::past::{Past, beginning};
use crate::host::committed::Signals;
use crate::host::{left, unix_ms};
use crate::store::{Chunk, JournalKeep, JournalLine, StoredRoom};

/// Outputs of a gated room that may wait for the disk. With so many it waits, too.
const HELD_MAX: usize = 4_096;

/// How long a room that was loaded waits for the disk before its first word, where it is not gated. With
/// a disk that takes nothing it speaks all the same; then whoever hears it, and comes back after a
/// crash, gets everything anew.
const OPENS_WITHIN: Duration = Duration::from_secs(1);

/// When a gated room offers the journal again what it did not take.
const OFFER_AGAIN: Duration = Duration::from_millis(100);

/// What is left of a room that a panic ended: enough to make it again.
pub(crate) struct Remains {
    pub(crate) created_unix_ms: u64,
    pub(crate) base: Base,
    pub(crate) since: Passage,
    pub(crate) past: Past,
    /// The tick that panicked, and its entries.
    pub(crate) broken: Option<(Tick, Vec<Entry>)>,
    /// What is in the store leads up to here: more may follow on it.
    pub(crate) follows: bool,
    /// Which actions had been acknowledged, where not all of it need be on disk.
    pub(crate) acknowledged: Option<Vec<(Seat, u64)>>,
}

impl Remains {
    /// What a chunk tells: when the room was created and what it begins with, where the chunk is
    /// whole, and what happened.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub(crate) fn chunk(chunk: Chunk) -> Result<(Option<(u64, Base)>, Passage), EntryError> {
        let mut bytes = &chunk.bytes[..];
        let begins = match chunk.whole {
            true => Some((read_varint(&mut bytes)?, Base::decode(&mut bytes)?)),
            false => None,
        };
        let (after, upto) = (Tick(chunk.after), Tick(chunk.upto));
        Ok((begins, Passage { after, upto, bytes: bytes.to_vec() }))
    }

    /// What a room begins with after this tick, and whether it follows on what is in the store.
    fn new(created_unix_ms: u64, base: Base, tick: Tick, (past, follows): (Past, bool)) -> Self {
        let since = Passage::empty(tick);
        let (broken, acknowledged) = (None, None);
        Self { created_unix_ms, base, since, past, broken, follows, acknowledged }
    }

    /// What is left of a room that was just created.
    pub(crate) fn created(base: Base, created_unix_ms: u64) -> Self {
        Self::new(created_unix_ms, base, Tick(0), (Past::default(), false))
    }

    /// What the store has of a room, and the journal's passages that come after its base.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub(crate) fn stored(stored: StoredRoom) -> Result<(Self, Vec<Passage>), EntryError> {
        let (mut passages, saved) = (Vec::new(), stored.snapshot.is_some());
        let snapshot = stored.snapshot.map(|snapshot| Base::Snapshot(Arc::new(snapshot)));
        let mut begins = snapshot.map(|base| (stored.tick, stored.created_unix_ms, base));
        for chunk in stored.journal {
            let (base, passage) = Self::chunk(chunk)?;
            // A snapshot that was saved since is nearer.
            let nearer = |(tick, ..): &(u64, _, _)| *tick < passage.after.0;
            if let Some((created_unix_ms, base)) = base
                && begins.as_ref().is_none_or(nearer)
            {
                begins = Some((passage.after.0, created_unix_ms, base));
                passages.clear();
            }
            passages.push(passage);
        }
        // A journal without its beginning.
        let (tick, created_unix_ms, base) = begins.ok_or(BitError::End)?;
        let past = (Past::stored(saved), true);
        Ok((Self::new(created_unix_ms, base, Tick(tick), past), passages))
    }

    /// What is left of a room that was made again from this.
    pub(crate) fn revived(self, revived: Revived) -> (Room, Self) {
        let Revived { room, began, before, base, since, report } = revived;
        let Self { created_unix_ms, past, acknowledged, .. } = self;
        let past = if report.another_build { Past::default() } else { past };
        let past = past.goes_on(created_unix_ms, &began, before);
        // A journal with which the game panics is not followed on, nor one that another build wrote, or
        // may have: what comes next tells everything.
        let same_build = !report.another_build && !report.untold;
        let follows = self.follows && report.panicked.is_empty() && same_build;
        (room, Self { created_unix_ms, base, since, past, broken: None, follows, acknowledged })
    }
}

/// See the module's documentation.
pub(super) struct Keep {
    durability: Durability,
    line: Arc<JournalLine>,
    created_unix_ms: u64,
    base: Base,
    /// When the base's next alarm is due, in milliseconds since 1970.
    alarm_unix_ms: Option<u64>,
    since: Passage,
    pub(super) past: Past,
    past_is: JournalKeep,
    follows: bool,
    /// The number of the newest append.
    appended: u64,
    /// Where in `since` begins what the journal was not given yet, and after which tick: a turn is one
    /// chunk, so that it is on disk with one commit.
    ungiven: Option<(Tick, usize)>,
    /// The journal took nothing the last time.
    behind: bool,
    /// That this life of a stored room has begun is not on disk. Until it is, or until then at the
    /// latest, nobody is told anything: a later life could not tell what its clients know.
    opening: Option<Instant>,
    /// In a logged room: up to which tick each append goes that is not on disk.
    ticks: VecDeque<(u64, Tick)>,
    /// Outputs that wait until this append is on disk; none while the journal has not taken it.
    held: VecDeque<(Option<u64>, Output)>,
    /// The base is to be saved.
    unsaved: bool,
    saved: Option<Instant>,
}

impl Keep {
    pub(super) fn new(
        durability: Durability,
        keep: JournalKeep,
        line: Arc<JournalLine>,
        remains: Remains,
        lasting: bool,
    ) -> Self {
        let opens = durability == Durability::Logged && lasting;
        let Remains { created_unix_ms, base, since, past, follows, .. } = remains;
        Self {
            durability,
            line,
            created_unix_ms,
            base,
            alarm_unix_ms: None,
            since,
            past,
            past_is: if durability == Durability::Ephemeral { JournalKeep::None } else { keep },
            follows,
            appended: 0,
            ungiven: None,
            behind: false,
            opening: opens.then(|| Instant::now() + OPENS_WITHIN),
            ticks: VecDeque::new(),
            held: VecDeque::new(),
            unsaved: false,
            saved: None,
        }
    }

    pub(super) fn is_gated(&self) -> bool {
        self.durability == Durability::Gated
    }

    /// Whether what the room says may have to wait for the disk.
    pub(super) fn waits(&self) -> bool {
        self.is_gated() || self.opening.is_some()
    }

    /// Gives the time at which a room that is opening does so at the latest; none when it is open.
    pub(super) fn opens_at(&mut self, now: Instant) -> Option<Instant> {
        let on_disk = self.appended > 0 && self.line.durable() > 0;
        self.opening = self.opening.filter(|latest| !on_disk && *latest > now);
        self.opening
    }

    /// A chunk of the records from this place on, or of all that a room needs.
    fn chunk(&self, life: u64, after: Tick, from: usize) -> Chunk {
        let upto = self.since.upto.0;
        if self.follows {
            let bytes = self.since.bytes[from..].to_vec();
            return Chunk { life, after: after.0, upto, whole: false, bytes };
        }
        let mut bytes = beginning(self.created_unix_ms, &self.base);
        bytes.extend_from_slice(&self.since.bytes);
        Chunk { life, after: self.since.after.0, upto, whole: true, bytes }
    }

    /// The room has rebuilt itself from this snapshot at the end of its last tick.
    fn rebase(&mut self, lasting: bool, snapshot: Vec<u8>) {
        if lasting && self.past_is != JournalKeep::None {
            self.past.add(self.past_is, self.created_unix_ms, &self.base, &self.since);
        }
        self.base = Base::Snapshot(Arc::new(snapshot));
        self.since.after = self.since.upto;
        self.since.bytes.clear();
        self.unsaved = true;
    }

    /// Notes up to which tick an append goes. While the disk does not come on, the last ones count as one.
    fn note(&mut self, number: u64) {
        if self.durability != Durability::Logged {
            return;
        }
        if self.ticks.len() >= HELD_MAX {
            self.ticks.pop_back();
        }
        self.ticks.push_back((number, self.since.upto));
    }

    /// Whether the journal has all that happened.
    fn is_given(&self) -> bool {
        !self.behind && self.ungiven.is_none()
    }

    /// The last tick of what has come onto the disk since this was asked last.
    fn came_onto_disk(&mut self) -> Option<Tick> {
        let (durable, mut upto) = (self.line.durable(), None);
        while let Some((_, tick)) = self.ticks.pop_front_if(|(number, _)| *number <= durable) {
            upto = Some(tick);
        }
        upto
    }

    /// Whether all that happened is on disk and told.
    pub(super) fn is_at_rest(&self) -> bool {
        let durable = self.line.durable() >= self.appended;
        self.held.is_empty() && self.ticks.is_empty() && self.is_given() && durable
    }

    /// Whether the newest snapshot is of the last tick, and saved.
    pub(super) fn is_sealed(&self) -> bool {
        !self.unsaved && self.since.after == self.since.upto
    }

    /// What the room is made from again where the store has nothing of it, which is sealed.
    pub(super) fn kept(&mut self) -> Remains {
        let base = match &self.base {
            // No more memory than it takes.
            Base::Snapshot(snapshot) => Base::Snapshot(Arc::new(snapshot.as_slice().to_vec())),
            Base::Create(create) => Base::Create(create.clone()),
        };
        Remains {
            created_unix_ms: self.created_unix_ms,
            base,
            since: self.since.clone(),
            past: std::mem::take(&mut self.past),
            broken: None,
            follows: self.follows,
            acknowledged: None,
        }
    }

    /// How large the newest snapshot is, in bytes; 0 while there is none.
    pub(super) fn base_bytes(&self) -> usize {
        match &self.base {
            Base::Snapshot(snapshot) => snapshot.len(),
            Base::Create(_) => 0,
        }
    }

    /// Whether more than may wait does.
    pub(super) fn is_full(&self) -> bool {
        self.held.len() >= HELD_MAX
    }

    /// Whether what the last tick did may be told.
    pub(super) fn is_open(&self) -> bool {
        let durable = || self.is_given() && self.line.durable() >= self.appended;
        match self.waits() {
            true => self.held.is_empty() && durable(),
            false => self.held.is_empty(),
        }
    }

    /// Holds an output, if it has to wait. Gives it back otherwise.
    pub(super) fn hold(&mut self, output: Output) -> Option<Output> {
        if self.is_open() {
            return Some(output);
        }
        self.held.push_back((self.is_given().then_some(self.appended), output));
        None
    }

    /// The next output that need not wait any more.
    pub(super) fn release(&mut self) -> Option<Output> {
        let durable = self.line.durable();
        let (number, _) = self.held.front()?;
        if self.waits() && number.is_none_or(|number| number > durable) {
            return None;
        }
        self.held.pop_front().map(|(_, output)| output)
    }
}

impl Live {
    /// Takes down what the last tick did, and gives it to the journal at the end of the turn. Where the room
    /// rebuilt itself in that tick, it goes on from there: before another tick runs, which would be taken
    /// for one that the snapshot has.
    pub(super) fn journal(&mut self) {
        if self.is_disowned() {
            return;
        }
        self.take_down();
        if let Some(snapshot) = self.room.take_save() {
            self.keep.rebase(self.room.is_lasting(), snapshot);
            self.keep.alarm_unix_ms = self.room.next_alarm();
        }
    }

    fn take_down(&mut self) {
        let from = self.keep.since.bytes.len();
        let Some(span) = self.room.take_journal(&mut self.keep.since.bytes) else { return };
        self.keep.since.upto = span.upto;
        match self.keep.durability {
            Durability::Gated | Durability::Logged if self.room.is_lasting() => {
                self.keep.ungiven.get_or_insert((span.after, from));
                if !self.room.is_settling() {
                    self.give();
                }
            }
            // Nothing that is worth keeping is lost with it.
            Durability::Logged => drop(self.guarded(|room| room.durable(span.upto))),
            Durability::Gated | Durability::Ephemeral => {}
        }
    }

    /// Tells a logged room that all of it is on disk; or, where not all need be, which actions its clients
    /// had been told are. From here on it is told how far it is.
    pub(super) fn begins_on_disk(&mut self, acknowledged: Option<&[(Seat, u64)]>) {
        if self.keep.durability != Durability::Logged {
            return;
        }
        let tick = self.room.info().tick;
        self.guarded(|room| match acknowledged {
            Some(acknowledged) => room.acknowledge_only(acknowledged),
            None => room.durable(tick),
        });
    }

    /// Tells the room how far it is on disk, where its clients keep actions for that.
    pub(super) fn note_durable(&mut self) {
        if let Some(upto) = self.keep.came_onto_disk() {
            self.guarded(|room| room.durable(upto));
        }
    }

    /// Gives the journal what it does not have yet.
    pub(super) fn give(&mut self) {
        if let Some((after, from)) = self.keep.ungiven
            && !self.is_disowned()
        {
            self.append(after, from);
        }
    }

    fn append(&mut self, after: Tick, from: usize) {
        let keep = &mut self.keep;
        keep.ungiven = None;
        let chunk = keep.chunk(self.incarnation.0, after, from);
        match self.house.store.append(&self.key, &keep.line, chunk, keep.waits()) {
            Some(number) => {
                keep.note(number);
                (keep.appended, keep.follows, keep.behind) = (number, true, false);
                let waiting = keep.held.iter_mut().filter(|(at, _)| at.is_none());
                waiting.for_each(|(at, _)| *at = Some(number));
            }
            // What comes next does not follow on what is there: it has to tell everything.
            None => (keep.follows, keep.behind) = (false, true),
        }
    }

    /// Offers the journal again what it did not take, where somebody waits for it. Gives the time at
    /// which to do so again.
    pub(super) fn offer_again(&mut self, now: Instant) -> Option<Instant> {
        if self.keep.behind && self.keep.is_gated() {
            self.append(self.keep.since.after, 0);
        }
        (self.keep.behind && self.keep.is_gated()).then(|| now + OFFER_AGAIN)
    }

    /// When the newest snapshot is to be saved, if there is one.
    pub(crate) fn save_due(&self, now: Instant) -> Option<Instant> {
        if !self.has_unsaved() {
            return None;
        }
        let every = Duration::from_millis(self.house.config.save_every_ms);
        Some(self.keep.saved.map_or(now, |saved| saved + every))
    }

    /// Saves the newest snapshot, if the room is worth keeping. False when the store takes no more;
    /// then it is still to be saved.
    pub(crate) fn save_now(&mut self) -> bool {
        let keep = &mut self.keep;
        let Base::Snapshot(snapshot) = &keep.base else { return true };
        if self.presence.pulse.is_given_up() {
            return true;
        }
        if !std::mem::take(&mut keep.unsaved) {
            return true;
        }
        // A room that failed since has not made it worse.
        if !self.failed && !self.room.is_lasting() {
            return true;
        }
        keep.saved = Some(Instant::now());
        let room = StoredRoom {
            created_unix_ms: keep.created_unix_ms,
            incarnation: self.incarnation.0,
            saved_unix_ms: unix_ms(),
            tick: keep.since.after.0,
            alarm_unix_ms: keep.alarm_unix_ms,
            snapshot: Some(snapshot.to_vec()),
            history: keep.past.waiting(self.incarnation.0),
            ..StoredRoom::default()
        };
        if self.house.store.save(self.key.clone(), room) {
            keep.past.saved();
        } else {
            keep.unsaved = true;
        }
        !keep.unsaved
    }

    /// What an earlier match left is kept for as long as somebody visits the next one, also where of that
    /// nothing is worth keeping yet.
    pub(super) fn renew_storage(&mut self) {
        if !self.failed && !self.room.is_lasting() && !self.room.storage().is_empty() {
            // It is of the life before: what this one writes, should it be worth it, does not follow on it.
            self.keep_storage(self.incarnation.0.saturating_sub(1));
        }
    }

    /// Removes the room from the store, but for what its storage holds. False when the store takes no
    /// more.
    pub(crate) fn leave_storage(&mut self) -> bool {
        self.keep_storage(self.incarnation.0)
    }

    /// Leaves the storage, in place of all that lives up to this one did.
    fn keep_storage(&mut self, life: u64) -> bool {
        if self.is_disowned() {
            return true;
        }
        let storage = self.room.storage();
        if storage.is_empty() {
            return self.house.store.delete(self.key.clone());
        }
        let room = StoredRoom {
            created_unix_ms: self.keep.created_unix_ms,
            incarnation: life,
            saved_unix_ms: unix_ms(),
            tick: self.keep.since.upto.0,
            snapshot: Some(left::encode(&storage)),
            ..StoredRoom::default()
        };
        self.house.store.save_alone(self.key.clone(), room)
    }

    /// Whether the newest snapshot is still to be saved.
    pub(crate) fn has_unsaved(&self) -> bool {
        self.keep.unsaved
    }

    /// What is left of a room that failed in a tick.
    pub(super) fn remains(&mut self) -> Option<Remains> {
        let broken = self.room.broken_tick()?;
        let keep = &mut self.keep;
        Some(Remains {
            created_unix_ms: keep.created_unix_ms,
            base: keep.base.clone(),
            since: keep.since.clone(),
            past: std::mem::take(&mut keep.past),
            broken: Some(broken),
            follows: keep.follows,
            acknowledged: Some(self.room.acknowledged()),
        })
    }
}

/// A room's line into the journal, which gives it its turn when something it waits for is on disk. A
/// realtime room that is not gated gets its turn anyway.
pub(crate) fn line(room: &Arc<Signals>, realtime: bool) -> Arc<JournalLine> {
    let room = Arc::clone(room);
    let tell = move || room.committed();
    if realtime { JournalLine::new(tell) } else { JournalLine::told_of_all(tell) }
}
