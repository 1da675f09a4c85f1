//! A room made again: from its newest snapshot, or from how it was created, and from what its journal
//! says happened since. The same for a room that a crash ended, one that a panic ended, and one that
//! somebody wants to look at.

use std::collections::{BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use referee_protocol::bits::{BitError, read_varint, write_varint};
use referee_protocol::frame::Payload;
use referee_protocol::limits::ALARMS_PER_TICK_MAX;
use referee_protocol::{Refusal, Tick};

use crate::Durability;
use crate::entry::{Create, Entry, EntryError, Lost};
use crate::errors::panic_text;
use crate::evolve::{NO_TYPE, Translator};
use crate::journal::{Reader, Record};
use crate::layout::{Types, dropped, same_types};
use crate::room::Room;
use crate::snapshot::{self, RestoreError};
use crate::template::Template;

/// How many ticks may panic while a room is made again. Each costs another run from the beginning.
pub const PANICS_MAX: usize = 3;

const BASE_CREATE: u8 = 0;
const BASE_SNAPSHOT: u8 = 1;

/// What a room begins with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Base {
    /// It is created.
    Create(Create),
    /// It is restored from [`Room::snapshot`].
    Snapshot(Arc<Vec<u8>>),
}

impl Base {
    /// Appends its bytes: 0 and the entry that creates the room, or 1 and the snapshot with its length.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Create(create) => {
                out.push(BASE_CREATE);
                Entry::Create(create.clone()).encode(out);
            }
            Self::Snapshot(snapshot) => {
                out.push(BASE_SNAPSHOT);
                write_varint(out, snapshot.len() as u64);
                out.extend_from_slice(snapshot);
            }
        }
    }

    /// What tells of the build and the types of the game that wrote it, and what follows on it: as
    /// [`Template::type_bytes`]. None where that is not known.
    #[must_use]
    pub fn type_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Create(create) => (!create.types.is_empty()).then_some(&create.types[..]),
            Self::Snapshot(snapshot) => snapshot::type_bytes(snapshot),
        }
    }

    /// The same as the game of a room would write it that has just begun with it.
    fn by(&self, room: &Room) -> Self {
        let types = room.template.type_bytes().clone();
        match self {
            Self::Create(create) => Self::Create(Create { types, ..create.clone() }),
            Self::Snapshot(_) => Self::Snapshot(Arc::new(room.snapshot())),
        }
    }

    /// Reads one off the front of `bytes`.
    ///
    /// # Errors
    /// When the bytes are cut short, malformed, or of a newer version.
    pub fn decode(bytes: &mut &[u8]) -> Result<Self, EntryError> {
        let (&kind, rest) = bytes.split_first().ok_or(BitError::End)?;
        *bytes = rest;
        if kind == BASE_CREATE
            && let Entry::Create(create) = Entry::decode(bytes)?
        {
            return Ok(Self::Create(create));
        }
        if kind != BASE_SNAPSHOT {
            return Err(EntryError::Newer(kind));
        }
        let len = usize::try_from(read_varint(bytes)?).map_err(|_| BitError::End)?;
        let (snapshot, rest) = bytes.split_at_checked(len).ok_or(BitError::End)?;
        *bytes = rest;
        Ok(Self::Snapshot(Arc::new(snapshot.to_vec())))
    }
}

/// A part of a journal: what happened after a tick, up to another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Passage {
    /// The tick before the first record.
    pub after: Tick,
    /// The last tick.
    pub upto: Tick,
    /// The records: see [`crate::journal`].
    pub bytes: Vec<u8>,
}

impl Passage {
    /// Nothing, after a tick.
    #[must_use]
    pub fn empty(after: Tick) -> Self {
        Self { after, upto: after, bytes: Vec::new() }
    }
}

/// Why a room cannot be made again. What is left of it is left as it is.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReviveError {
    /// Its snapshot cannot be read.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// Its journal cannot be read.
    #[error("the journal is damaged: {0}")]
    Journal(#[from] EntryError),
    /// Its journal tells of ticks that it should not have.
    #[error("the journal is damaged: tick {found} stands where at most {upto} may")]
    Beyond {
        /// The tick.
        found: u64,
        /// The last one that may stand there.
        upto: u64,
    },
    /// A part of its journal is not there.
    #[error("the journal goes on after tick {after}, but what is there before ends with {reached}")]
    Gap {
        /// Where the next part begins.
        after: u64,
        /// How far the part before goes.
        reached: u64,
    },
    /// The game refuses to create it.
    #[error("the game refuses to create it again: {0}")]
    Refused(Refusal),
    /// The game panics in it, also without what players did.
    #[error("the game panics in tick {tick} ({running}), also without what players did: {panic}")]
    Panicked {
        /// The tick; 0 while it is created.
        tick: u64,
        /// The system or hook.
        running: String,
        /// What the panic said.
        panic: String,
    },
}

/// A room made again, and what it would take to make it once more.
pub struct Revived {
    /// The room. It writes its journal: see [`Room::take_journal`].
    pub room: Room,
    /// What it began with, as this build writes it.
    pub began: Base,
    /// What led from there to `base`.
    pub before: Passage,
    /// The newest snapshot it has come to, or what it began with.
    pub base: Base,
    /// What happened since.
    pub since: Passage,
    /// How it went.
    pub report: Report,
}

/// How it went.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Ticks that ran again.
    pub ticks: u64,
    /// State hashes that were compared.
    pub hashes: u64,
    /// The first tick after which the state was another than it had been.
    pub differs: Option<Tick>,
    /// Ticks that panicked and were run without what players did in them.
    pub panicked: Vec<Tick>,
    /// What the room was made from was written by another build of the game, or by one with other
    /// types: what players did was applied all the same, and no hash was compared.
    pub another_build: bool,
    /// What the room was made from does not say which build wrote it. It does from here on, so what the
    /// room writes now must not follow on what is there.
    pub untold: bool,
    /// Types and fields that were stored and of which the present game knows nothing: what they held is
    /// gone with the next save. Sorted; `Purse`, `Health.poison`.
    pub dropped: Vec<String>,
}

/// A room that is being made again, piece by piece, so that others get their turn.
pub struct Revival {
    template: Arc<Template>,
    base: Base,
    passages: Vec<Passage>,
    secret: [u8; 32],
    room: Option<Room>,
    /// The next passage, and what is left of the one before.
    next: usize,
    records: VecDeque<Record>,
    /// Where entries were written by a game with other types.
    translator: Option<Translator>,
    /// Ticks that are run without what players did in them.
    without: BTreeSet<Tick>,
    /// The last tick that is run.
    until: Tick,
    /// The newest snapshot on the way, and what happened since.
    newest: Option<Arc<Vec<u8>>>,
    before: Passage,
    since: Passage,
    report: Report,
}

impl Revival {
    /// A room that begins with `base` and goes on as the passages say, in order. `secret` is for
    /// [`Room::restore`].
    #[must_use]
    pub fn new(
        template: &Arc<Template>,
        base: Base,
        passages: Vec<Passage>,
        secret: [u8; 32],
    ) -> Self {
        Self {
            template: Arc::clone(template),
            base,
            passages,
            secret,
            room: None,
            next: 0,
            records: VecDeque::new(),
            translator: None,
            without: BTreeSet::new(),
            until: Tick(u64::MAX),
            newest: None,
            before: Passage::empty(Tick(0)),
            since: Passage::empty(Tick(0)),
            report: Report::default(),
        }
    }

    /// Ends with this tick instead of the last one there is.
    #[must_use]
    pub fn until(mut self, tick: Tick) -> Self {
        self.until = tick;
        self
    }

    /// Goes on until the end, or until `pause` says so; it is asked after each tick. Says whether the
    /// end is reached.
    ///
    /// # Errors
    /// Why the room cannot be made.
    pub fn run(&mut self, mut pause: impl FnMut(&Room) -> bool) -> Result<bool, ReviveError> {
        loop {
            let room = match self.room.take() {
                Some(room) => room,
                None => self.begin()?,
            };
            let reached = room.info().tick;
            let room = self.room.insert(room);
            let Some(record) =
                next_record(&mut self.records, &self.passages, &mut self.next, reached)?
            else {
                return Ok(true);
            };
            match record {
                Record::Hash(tick, hash) if tick == reached && !self.report.another_build => {
                    self.report.hashes += 1;
                    if self.report.differs.is_none() && room.state_hash() != hash {
                        self.report.differs = Some(tick);
                    }
                }
                Record::Tick(at, _) if at > self.until => return Ok(true),
                Record::Tick(at, entries) if at > reached => {
                    self.tick(at, entries)?;
                    if self.room.as_ref().is_some_and(&mut pause) {
                        return Ok(false);
                    }
                }
                // The snapshot has it.
                Record::Hash(..) | Record::Tick(..) => {}
            }
        }
    }

    /// The room, and how it went. Call once [`Revival::run`] has reached the end.
    ///
    /// # Errors
    /// As for [`Revival::run`], where it has not been called.
    pub fn finish(mut self) -> Result<Revived, ReviveError> {
        while !self.run(|_| false)? {}
        let mut room = match self.room.take() {
            Some(room) => room,
            None => self.begin()?,
        };
        let Self { base: began, before, since, report, .. } = self;
        let unlike = report.differs.is_some() || report.another_build && report.ticks > 0;
        if unlike || !report.panicked.is_empty() {
            room.replication.sever();
        }
        let base = self.newest.map_or_else(|| began.clone(), Base::Snapshot);
        Ok(Revived { room, began, before, base, since, report })
    }

    fn begin(&mut self) -> Result<Room, ReviveError> {
        (self.next, self.records) = (0, VecDeque::new());
        (self.report.hashes, self.report.ticks) = (0, 0);
        let made = catch_unwind(AssertUnwindSafe(|| match &self.base {
            Base::Create(create) => {
                Room::create(&self.template, create).map_err(ReviveError::Refused)
            }
            Base::Snapshot(snapshot) => Ok(Room::restore(&self.template, snapshot, self.secret)?),
        }));
        let mut room = made.map_err(|panic| ReviveError::Panicked {
            tick: 0,
            running: "its creation".to_owned(),
            panic: panic_text(&*panic).to_owned(),
        })??;
        while room.poll_output().is_some() {}
        self.note_build(&room)?;
        room.record();
        let tick = room.info().tick;
        self.newest = None;
        (self.before, self.since) = (Passage::empty(tick), Passage::empty(tick));
        Ok(room)
    }

    /// Where another build wrote what the room is made from, it is from here on as this one writes it: so
    /// what the room writes into its journal now follows on it.
    fn note_build(&mut self, room: &Room) -> Result<(), ReviveError> {
        let now = self.template.type_bytes();
        let Some(written) = self.base.type_bytes() else {
            self.report.untold = true;
            self.base = self.base.by(room);
            return Ok(());
        };
        if written == &now[..] {
            return Ok(());
        }
        if !same_types(written, now) {
            let old = Types::decode(written).map_err(RestoreError::Layouts)?;
            let functions = self.template.migrations();
            let taken = |layout: &_| functions.iter().any(|function| function.takes(layout));
            self.report.dropped = dropped(&old, self.template.types(), taken);
            self.translator = Some(Translator::new(old, self.template.types()));
        }
        self.report.another_build = true;
        self.base = self.base.by(room);
        Ok(())
    }

    /// Runs a tick again. Where it panics in a game that is not gated, everything is run again, this tick
    /// without acts.
    fn tick(&mut self, at: Tick, mut entries: Vec<Entry>) -> Result<(), ReviveError> {
        let Some(mut room) = self.room.take() else { return Ok(()) };
        if self.without.contains(&at) {
            without_acts(&mut entries);
        }
        if let Some(translator) = &self.translator {
            let (types, functions) = (self.template.types(), self.template.migrations());
            let said = translator.translate(types, functions, &mut entries);
            said.map_err(RestoreError::from)?;
        }
        if let Err(error) = run_tick(&mut room, at, entries) {
            // Values of a failed game may fail once more.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(room)));
            // Who was told of a gated act counts on it: it is not left out because a build cannot take it.
            let gated = self.template.durability() == Durability::Gated;
            if gated || self.without.len() >= PANICS_MAX || !self.without.insert(at) {
                return Err(error);
            }
            self.report.panicked.push(at);
            return Ok(());
        }
        while room.take_warning().is_some() {}
        room.take_journal(&mut self.since.bytes);
        self.since.upto = at;
        let outputs = std::iter::from_fn(|| room.poll_output());
        if let Some(snapshot) = outputs.filter_map(|output| output.saved()).last() {
            self.newest = Some(Arc::new(snapshot));
            self.before.bytes.append(&mut self.since.bytes);
            self.before.upto = at;
            self.since = Passage::empty(at);
        }
        self.report.ticks += 1;
        self.room = Some(room);
        Ok(())
    }
}

/// Makes a room again that panicked in a tick, and runs that tick without the one act that broke it, or,
/// where leaving out one does not help, without all. The tick is not in what the room is made from, but
/// still to be taken from its journal.
///
/// # Errors
/// As for [`Revival::run`]: also when the tick panics without acts.
pub fn after_panic(
    template: &Arc<Template>,
    (base, since): (Base, Passage),
    (at, entries): (Tick, Vec<Entry>),
    secret: [u8; 32],
) -> Result<Revived, ReviveError> {
    let attempt = |entries: Vec<Entry>| {
        let (base, since) = (base.clone(), vec![since.clone()]);
        let mut revived = Revival::new(template, base, since, secret).finish()?;
        run_tick(&mut revived.room, at, entries)?;
        Ok(revived)
    };
    let runs = |entries: Vec<Entry>| match attempt(entries) {
        Ok(_) => Ok(true),
        Err(ReviveError::Panicked { .. }) => Ok(false),
        Err(error) => Err(error),
    };
    let acts: Vec<usize> = (0..entries.len()).filter(|place| entries[*place].is_act()).collect();
    let good = halve(0, acts.len(), |count| {
        let first = |(place, _): &(usize, &Entry)| !acts[count..].contains(place);
        runs(entries.iter().enumerate().filter(first).map(|(_, entry)| entry.clone()).collect())
    })?;
    if let Some(culprit) = acts.get(good) {
        let mut others = entries.clone();
        if let Entry::Alarm { unix_ms, .. } = others[*culprit] {
            let most = ALARMS_PER_TICK_MAX + 1;
            let one = |nth| Entry::Alarm { unix_ms, lost: Lost::One(nth as u16) };
            let nth = halve(1, most, |nth| {
                let mut others = entries.clone();
                others[*culprit] = one(nth);
                runs(others)
            })?;
            others[*culprit] = one(nth);
        } else {
            leave_out(&mut others, |place| place == *culprit);
        }
        match attempt(others) {
            Err(ReviveError::Panicked { .. }) => {}
            outcome => return outcome,
        }
    }
    let mut rest = entries;
    without_acts(&mut rest);
    attempt(rest)
}

/// The largest number for which something runs, where it does for `good` and does not for `bad`.
fn halve(
    mut good: usize,
    mut bad: usize,
    runs: impl Fn(usize) -> Result<bool, ReviveError>,
) -> Result<usize, ReviveError> {
    while bad > good + 1 {
        let middle = usize::midpoint(good, bad);
        if runs(middle)? { good = middle } else { bad = middle }
    }
    Ok(good)
}

/// Runs a tick, and catches its panic. The room is of no use after one.
fn run_tick(room: &mut Room, at: Tick, entries: Vec<Entry>) -> Result<(), ReviveError> {
    let ran = catch_unwind(AssertUnwindSafe(|| {
        entries.into_iter().for_each(|entry| room.repeat(entry));
        room.tick(at);
    }));
    ran.map_err(|panic| {
        let running = room.running().unwrap_or("the room itself").to_owned();
        ReviveError::Panicked { tick: at.0, running, panic: panic_text(&*panic).to_owned() }
    })
}

/// What is left of a tick's entries without what players did.
fn without_acts(entries: &mut Vec<Entry>) {
    let acts: Vec<bool> = entries.iter().map(Entry::is_act).collect();
    leave_out(entries, |place| acts[place]);
}

/// Leaves out acts. An action's number is used up, so that its client does not send it again, and what was
/// due by an alarm is not due again; an input or a request is as if it had not come.
fn leave_out(entries: &mut Vec<Entry>, which: impl Fn(usize) -> bool) {
    let mut place = 0;
    entries.retain_mut(|entry| {
        place += 1;
        match entry {
            _ if !which(place - 1) => true,
            Entry::Action { payload, .. } => {
                *payload = Payload { kind: NO_TYPE, bits: Default::default() };
                true
            }
            Entry::Alarm { lost, .. } => {
                *lost = Lost::All;
                true
            }
            _ => false,
        }
    });
}

/// The next record of the passages, of which some may lie before what was `reached`.
fn next_record(
    records: &mut VecDeque<Record>,
    passages: &[Passage],
    next: &mut usize,
    reached: Tick,
) -> Result<Option<Record>, ReviveError> {
    while records.is_empty() {
        let Some(passage) = passages.get(*next) else { return Ok(None) };
        *next += 1;
        if passage.upto < reached {
            continue;
        }
        if passage.after > reached {
            return Err(ReviveError::Gap { after: passage.after.0, reached: reached.0 });
        }
        let mut reader = Reader::new(passage.after, &passage.bytes);
        while let Some(record) = reader.read()? {
            if let Record::Tick(found, _) = &record
                && *found > passage.upto
            {
                return Err(ReviveError::Beyond { found: found.0, upto: passage.upto.0 });
            }
            records.push_back(record);
        }
    }
    Ok(records.pop_front())
}
