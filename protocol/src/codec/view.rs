//! A view: what one group shows, now and at the last few sends. The room keeps one to tell its
//! clients of it, a client one to know it: both change it by the same calls, and so each stands for
//! the other's.

use std::collections::VecDeque;

use crate::ids::WireId;

/// A send of a group, counted from 1: one for each block.
pub type Send = u32;

/// A value from a send on.
#[derive(Clone, Default)]
struct Version {
    send: Send,
    shown: bool,
    words: Vec<u32>,
}

/// One component of an entity.
#[derive(Clone)]
pub(super) struct Cell {
    pub(super) component: u16,
    /// From oldest to newest.
    versions: VecDeque<Version>,
}

impl Cell {
    /// The value at a send, where it was shown.
    pub(super) fn at(&self, send: Send) -> Option<&[u32]> {
        let version = self.versions.iter().rev().find(|version| version.send <= send)?;
        version.shown.then_some(&version.words[..])
    }

    /// Sets the value from a send on; forgets what it was before `oldest`.
    fn set(&mut self, send: Send, oldest: Send, words: Option<&[u32]>) {
        let mut version = match self.versions.back() {
            Some(newest) if newest.send == send => self.versions.pop_back().unwrap_or_default(),
            _ if self.versions.get(1).is_some_and(|second| second.send <= oldest) => {
                self.versions.pop_front().unwrap_or_default()
            }
            _ => Version::default(),
        };
        version.send = send;
        version.shown = words.is_some();
        version.words.clear();
        version.words.extend_from_slice(words.unwrap_or(&[]));
        self.versions.push_back(version);
    }
}

/// An entity that is or was shown.
#[derive(Clone)]
pub(super) struct Slot {
    pub(super) id: WireId,
    /// From which send on it was shown, or not. From oldest to newest.
    life: VecDeque<(Send, bool)>,
    /// Sorted by component.
    pub(super) cells: Vec<Cell>,
    /// A mark of the coding that goes on.
    pub(super) mark: u32,
}

impl Slot {
    pub(super) fn is_in(&self, send: Send) -> bool {
        self.life.iter().rev().find(|(from, _)| *from <= send).is_some_and(|(_, shown)| *shown)
    }

    fn is_shown(&self) -> bool {
        self.life.back().is_some_and(|(_, shown)| *shown)
    }

    fn show(&mut self, send: Send, oldest: Send, shown: bool) {
        if self.life.back().is_some_and(|(at, _)| *at == send) {
            self.life.pop_back();
        }
        while self.life.get(1).is_some_and(|(at, _)| *at <= oldest) {
            self.life.pop_front();
        }
        self.life.push_back((send, shown));
    }

    /// Whether no baseline knows it.
    fn is_forgotten(&self, oldest: Send) -> bool {
        self.life.back().is_some_and(|(at, shown)| !shown && *at <= oldest)
    }

    pub(super) fn cell(&self, component: u16) -> Option<&Cell> {
        let at = self.cells.binary_search_by_key(&component, |cell| cell.component).ok()?;
        self.cells.get(at)
    }

    pub(super) fn at(&self, component: u16, send: Send) -> Option<&[u32]> {
        self.cell(component)?.at(send)
    }
}

/// One send.
#[derive(Clone, Default)]
struct Log {
    send: Send,
    tick: u64,
    touched: Vec<u32>,
}

/// What a group shows.
#[derive(Clone)]
pub struct View {
    pub(super) slots: Vec<Slot>,
    free: Vec<u32>,
    /// Slots by id, those of entities that have left included until no baseline knows them.
    pub(super) order: Vec<(WireId, u32)>,
    now: Send,
    logs: VecDeque<Log>,
    /// How many sends back a baseline may lie.
    depth: u32,
    pub(super) mark: u32,
}

impl View {
    /// An empty view that remembers so many sends (2 or more).
    #[must_use]
    pub fn new(depth: u32) -> Self {
        let logs = VecDeque::from([Log::default()]);
        let (slots, free, order) = (Vec::new(), Vec::new(), Vec::new());
        Self { slots, free, order, now: 0, logs, depth: depth.max(2), mark: 0 }
    }

    /// The last send; 0 before the first.
    #[must_use]
    pub fn now(&self) -> Send {
        self.now
    }

    /// The tick of a send that is remembered.
    pub(super) fn tick(&self, send: Send) -> Option<u64> {
        self.logs.iter().rev().find(|log| log.send == send).map(|log| log.tick)
    }

    /// The oldest send that is remembered.
    #[must_use]
    pub fn oldest(&self) -> Send {
        self.now.saturating_sub(self.depth)
    }

    /// Begins the next send: what is set from now on is new in it.
    pub fn begin(&mut self, tick: u64) {
        self.now += 1;
        let oldest = self.oldest();
        let mut log = match self.logs.front() {
            Some(front) if front.send < oldest => {
                let front = self.logs.pop_front().unwrap_or_default();
                self.sweep(&front.touched);
                front
            }
            _ => Log::default(),
        };
        log.touched.clear();
        (log.send, log.tick) = (self.now, tick);
        self.logs.push_back(log);
    }

    /// Frees what left so long ago that no baseline knows it.
    fn sweep(&mut self, touched: &[u32]) {
        let oldest = self.oldest();
        if !touched.iter().any(|at| self.slots[*at as usize].is_forgotten(oldest)) {
            return;
        }
        let (slots, free) = (&mut self.slots, &mut self.free);
        self.order.retain(|(_, at)| {
            let slot = &mut slots[*at as usize];
            let forgotten = slot.is_forgotten(oldest);
            if forgotten {
                slot.life.clear();
                free.push(*at);
            }
            !forgotten
        });
    }

    fn place(&self, id: WireId) -> Result<usize, usize> {
        self.order.binary_search_by_key(&id, |(known, _)| *known)
    }

    /// The slot of an entity that is shown.
    pub(super) fn slot_of(&self, id: WireId) -> Option<u32> {
        let at = self.order[self.place(id).ok()?].1;
        self.slots[at as usize].is_shown().then_some(at)
    }

    /// Whether an entity is shown.
    #[must_use]
    pub fn shows(&self, id: WireId) -> bool {
        self.slot_of(id).is_some()
    }

    /// Shows an entity from this send on, without components. Does nothing where it is shown.
    pub fn enter(&mut self, id: WireId) {
        let (now, oldest) = (self.now, self.oldest());
        let at = match self.place(id) {
            Ok(at) => self.order[at].1,
            Err(place) => {
                let at = self.slot_for(id);
                self.order.insert(place, (id, at));
                at
            }
        };
        let slot = &mut self.slots[at as usize];
        if slot.is_shown() {
            return;
        }
        slot.show(now, oldest, true);
        slot.cells.iter_mut().for_each(|cell| cell.set(now, oldest, None));
        self.touch(at);
    }

    fn slot_for(&mut self, id: WireId) -> u32 {
        let Some(at) = self.free.pop() else {
            self.slots.push(Slot { id, life: VecDeque::new(), cells: Vec::new(), mark: 0 });
            return self.slots.len() as u32 - 1;
        };
        let slot = &mut self.slots[at as usize];
        (slot.id, slot.mark) = (id, 0);
        slot.life.clear();
        slot.cells.clear();
        at
    }

    /// Shows an entity no longer.
    pub fn leave(&mut self, id: WireId) {
        if let Some(at) = self.slot_of(id) {
            self.show_in(at, false);
        }
    }

    pub(super) fn show_in(&mut self, at: u32, shown: bool) {
        let (now, oldest) = (self.now, self.oldest());
        self.slots[at as usize].show(now, oldest, shown);
        self.touch(at);
    }

    /// Sets a component of an entity that is shown. Gives whether that is new.
    pub fn set(&mut self, id: WireId, component: u16, words: Option<&[u32]>) -> bool {
        let Some(slot) = self.slot_of(id) else { return false };
        self.set_in(slot, component, words)
    }

    pub(super) fn set_in(&mut self, slot: u32, component: u16, words: Option<&[u32]>) -> bool {
        let (now, oldest) = (self.now, self.oldest());
        let cells = &mut self.slots[slot as usize].cells;
        let at = match cells.binary_search_by_key(&component, |cell| cell.component) {
            Ok(at) if cells[at].at(now) == words => return false,
            Ok(at) => at,
            Err(_) if words.is_none() => return false,
            Err(at) => {
                cells.insert(at, Cell { component, versions: VecDeque::new() });
                at
            }
        };
        cells[at].set(now, oldest, words);
        self.touch(slot);
        true
    }

    fn touch(&mut self, slot: u32) {
        if let Some(log) = self.logs.back_mut()
            && log.touched.last() != Some(&slot)
        {
            log.touched.push(slot);
        }
    }

    /// Slots touched after a send, with repetition.
    pub(super) fn touched_since(&self, send: Send) -> impl Iterator<Item = u32> {
        let logs = self.logs.iter().filter(move |log| log.send > send);
        logs.flat_map(|log| log.touched.iter().copied())
    }

    /// Slots touched after a send and before this one.
    pub(super) fn touched_between(&self, send: Send) -> impl Iterator<Item = u32> {
        let logs = self.logs.iter().filter(move |log| log.send > send && log.send < self.now);
        logs.flat_map(|log| log.touched.iter().copied())
    }

    /// What is shown: entities by id, their components by number.
    pub fn shown(&self) -> impl Iterator<Item = (WireId, u16, &[u32])> {
        let alive = self.order.iter().map(|(_, at)| &self.slots[*at as usize]);
        alive.filter(|slot| slot.is_shown()).flat_map(|slot| {
            let shown = slot.cells.iter().filter_map(|cell| Some((cell.component, cell.at(self.now)?)));
            shown.map(|(component, words)| (slot.id, component, words))
        })
    }
}
