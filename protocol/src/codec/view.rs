//! A view: what one group shows, now and at the last few sends. The room keeps one to tell its
//! clients of it, a client one to know it: both change it by the same calls, and so each stands for
//! the other's.

mod cells;
mod slot;

use std::collections::VecDeque;

pub(super) use cells::Seen;
pub use cells::component_bytes;
use cells::same;
use cells::{Cells, Words};
use slot::Now;
pub(super) use slot::{Mark, Slot};
use smallvec::SmallVec;

use crate::ids::WireId;
use crate::limits::{COMPONENT_BYTES, ENTITY_BYTES};

/// Memory that a view keeps of what it has forgotten, to use it again, while it counts no more than so many
/// bytes.
const SPARE_BYTES: usize = 8 * 1024 * 1024;

/// A send of a group, counted from 1: one for each block.
pub type Send = u32;

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
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Slots by id, those of entities that have left included until no baseline knows them.
    order: Vec<(WireId, u32)>,
    now: Now,
    logs: VecDeque<Log>,
    depth: u32,
    marks: u32,
    /// How many entities are shown.
    shown: usize,
    /// Ids that left and came back as another entity's since they were asked for, and whether the one
    /// before was gone.
    reborn: Vec<(WireId, bool)>,
    /// What its slots count, in bytes, and the most that they may where it is read.
    bytes: usize,
    most: usize,
}

impl View {
    /// An empty view that remembers so many sends (2 or more) before the last.
    #[must_use]
    pub fn new(depth: u32) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            order: Vec::new(),
            now: Now::default(),
            logs: VecDeque::from([Log::default()]),
            depth: depth.max(2),
            marks: 0,
            shown: 0,
            reborn: Vec::new(),
            bytes: 0,
            most: usize::MAX,
        }
    }

    /// The last send; 0 before the first.
    #[must_use]
    pub fn now(&self) -> Send {
        self.now.send
    }

    /// The tick of a send that is remembered.
    #[must_use]
    pub fn tick(&self, send: Send) -> Option<u64> {
        self.logs.iter().rev().find(|log| log.send == send).map(|log| log.tick)
    }

    /// The last send up to a tick, where that is remembered.
    #[must_use]
    pub fn send_at(&self, tick: u64) -> Option<Send> {
        self.logs.iter().rev().find(|log| log.tick <= tick).map(|log| log.send)
    }

    /// Whether something was set after a send.
    #[must_use]
    pub fn changed_since(&self, send: Send) -> bool {
        self.touched_since(send).next().is_some()
    }

    /// The memory that it counts, in bytes: [`ENTITY_BYTES`] for each entity, and [`component_bytes`] for
    /// each of its components, shown or remembered.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// A block that is read may make it count no more than so many bytes.
    pub fn bound(&mut self, bytes: usize) {
        self.most = bytes;
    }

    /// Whether what was read is more than it may count.
    pub(super) fn is_too_large(&self) -> bool {
        self.bytes > self.most
    }

    /// Remembers so many sends from now on, if those are more than so far.
    pub fn deepen(&mut self, depth: u32) {
        self.depth = self.depth.max(depth);
    }

    /// The tick of the last send.
    #[must_use]
    pub fn last_tick(&self) -> u64 {
        self.now.tick
    }

    /// Whether a send may be a baseline still.
    #[must_use]
    pub fn remembers(&self, send: Send) -> bool {
        send >= self.now.oldest && send <= self.now.send
    }

    /// Begins the next send: what is set from now on is new in it.
    pub fn begin(&mut self, tick: u64) {
        self.begin_at(self.now.send + 1, tick);
    }

    /// Begins a later send than the last: those between were lost.
    pub fn begin_at(&mut self, send: Send, tick: u64) {
        // A view that remembers more than it did does not know of earlier sends by that.
        let oldest = send.saturating_sub(self.depth).max(self.now.oldest);
        self.now = Now { send, tick, oldest };
        let mut log = Log::default();
        while self.logs.front().is_some_and(|front| front.send < self.now.oldest) {
            log = self.logs.pop_front().unwrap_or_default();
            self.sweep(&log.touched);
        }
        log.touched.clear();
        (log.send, log.tick) = (send, tick);
        self.logs.push_back(log);
    }

    /// A view that was written down when its last send was of this tick. What was shown then is told by
    /// [`View::enter_since`] and [`View::set_since`], and may be the baseline of all who were in step.
    #[must_use]
    pub fn again(depth: u32, tick: u64) -> Self {
        let mut view = Self::new(depth);
        // Its last send changed nothing: all of it was there in the one before.
        view.now = Now { send: 1, tick: tick.saturating_sub(1), oldest: 1 };
        view.logs = VecDeque::from([Log { send: 1, tick: view.now.tick, touched: Vec::new() }]);
        view
    }

    /// Shows an entity that came into view in this tick. Gives its slot; none where it is shown.
    pub fn enter_since(&mut self, id: WireId, tick: u64) -> Option<u32> {
        let now = std::mem::replace(&mut self.now.tick, tick);
        let slot = self.enter_new(id);
        self.now.tick = now;
        slot
    }

    /// Sets what a component of the entity in a slot became in this tick; none where it was hidden.
    pub fn set_since(&mut self, at: u32, component: u16, tick: u64, words: Option<&[u32]>) {
        let now = Now { tick, ..self.now };
        let cells = &mut self.slots[at as usize].cells;
        if let Err(place) = cells.place(component) {
            cells.insert(place, component);
            let more = COMPONENT_BYTES + cells.set(place, &now, words);
            self.count(at, more);
        }
    }

    /// What is kept in a slot counts so many bytes more.
    fn count(&mut self, at: u32, more: usize) {
        self.slots[at as usize].bytes += more;
        self.bytes += more;
    }

    /// What is shown, to be written down: each entity's id, its slot, and when it came into view.
    pub fn entered(&self) -> impl Iterator<Item = (WireId, u32, u64)> {
        let slots = self.order.iter().map(|(_, at)| (*at, self.slot(*at)));
        slots.filter_map(|(at, slot)| {
            let (_, tick, shown) = slot.life.last()?;
            shown.then_some((slot.id, at, *tick))
        })
    }

    /// What became of the components of the entity in a slot, by number, and when.
    pub fn set_in_slot(&self, at: u32) -> impl Iterator<Item = (u16, u64, Option<&[u32]>)> {
        let cells = self.slot(at).cells.iter();
        cells.filter_map(|cell| cell.last().map(|(tick, words)| (cell.component(), tick, words)))
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        let most = self.most;
        *self = Self::new(self.depth);
        self.most = most;
    }

    /// Frees what left so long ago that no baseline knows it.
    fn sweep(&mut self, touched: &[u32]) {
        let oldest = self.now.oldest;
        if !touched.iter().any(|at| self.slots[*at as usize].is_forgotten(oldest)) {
            return;
        }
        let (slots, free, bytes) = (&mut self.slots, &mut self.free, &mut self.bytes);
        self.order.retain(|(_, at)| {
            let slot = &mut slots[*at as usize];
            let forgotten = slot.is_forgotten(oldest);
            if forgotten {
                slot.life.clear();
                if *bytes > SPARE_BYTES {
                    slot.cells = Cells::default();
                    *bytes -= slot.bytes - ENTITY_BYTES;
                    slot.bytes = ENTITY_BYTES;
                }
                free.push(*at);
            }
            !forgotten
        });
    }

    fn slot_of(&self, id: WireId) -> Option<u32> {
        let place = self.order.binary_search_by_key(&id, |(known, _)| *known).ok()?;
        let at = self.order[place].1;
        self.slots[at as usize].is_shown().then_some(at)
    }

    /// Whether an entity is shown.
    #[must_use]
    pub fn shows(&self, id: WireId) -> bool {
        self.slot_of(id).is_some()
    }

    /// How many entities it shows, the room's own among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shown
    }

    /// Whether it shows nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shown == 0
    }

    /// How many entities it remembers, shown or not.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.order.len()
    }

    /// Takes the ids that went from one entity to another since they were last taken, and whether the
    /// one before was gone.
    pub fn take_reborn(&mut self) -> Vec<(WireId, bool)> {
        std::mem::take(&mut self.reborn)
    }

    /// Shows an entity from this send on, without components. Does nothing where it is shown. Gives its
    /// slot, which stays the same while it is shown.
    pub fn enter(&mut self, id: WireId) -> u32 {
        match self.slot_of(id) {
            Some(at) => at,
            None => self.enter_new(id).expect("it is not shown"),
        }
    }

    /// Shows an entity that is not shown.
    pub(super) fn enter_new(&mut self, id: WireId) -> Option<u32> {
        let at = match self.order.binary_search_by_key(&id, |(known, _)| *known) {
            Ok(place) => self.order[place].1,
            Err(place) => {
                let at = self.slot_for(id);
                self.order.insert(place, (id, at));
                at
            }
        };
        let slot = &self.slots[at as usize];
        if slot.is_shown() {
            return None;
        }
        // A client keeps what it knows of an entity by its id.
        let before = |sends| slot.is_in(self.now.send.saturating_sub(sends));
        if before(1) || before(2) {
            self.reborn.push((id, slot.gone));
        }
        self.show_in(at, true);
        Some(at)
    }

    /// Shows an entity that may be shown already: forgets what it showed, where it is a new one.
    pub(super) fn enter_again(&mut self, id: WireId, new: bool) -> Option<u32> {
        if !new {
            return self.slot_of(id);
        }
        self.leave(id);
        self.enter_new(id)
    }

    fn slot_for(&mut self, id: WireId) -> u32 {
        let Some(at) = self.free.pop() else {
            let (life, cells) = (SmallVec::new(), Cells::default());
            self.slots.push(Slot {
                id,
                life,
                gone: false,
                cells,
                marked: 0,
                mark: Mark::default(),
                bytes: ENTITY_BYTES,
            });
            self.bytes += ENTITY_BYTES;
            return self.slots.len() as u32 - 1;
        };
        let slot = &mut self.slots[at as usize];
        (slot.id, slot.gone) = (id, false);
        slot.life.clear();
        // The memory of its cells is used again.
        slot.cells.forget();
        at
    }

    /// Shows nothing from this send on.
    pub(super) fn leave_all(&mut self) {
        for place in 0..self.order.len() {
            let at = self.order[place].1;
            if self.slots[at as usize].is_shown() {
                self.show_in(at, false);
            }
        }
    }

    /// Shows an entity no longer: it is out of sight.
    pub fn leave(&mut self, id: WireId) {
        self.go(id, false);
    }

    /// Shows an entity no longer: it is gone, or out of sight only.
    pub fn go(&mut self, id: WireId, gone: bool) {
        if let Some(at) = self.slot_of(id) {
            self.show_in(at, false);
            self.slots[at as usize].gone = gone;
        }
    }

    /// An entity that was shown leaves, as a block says.
    pub(super) fn remove(&mut self, at: u32, gone: bool) {
        self.show_in(at, false);
        self.slots[at as usize].gone = gone;
        let mark = Mark { gone: true, ..self.mark_of(at) };
        self.mark(at, mark);
    }

    fn show_in(&mut self, at: u32, shown: bool) {
        let slot = &mut self.slots[at as usize];
        slot.gone = false;
        match (slot.is_shown(), shown) {
            (false, true) => self.shown += 1,
            (true, false) => self.shown -= 1,
            _ => {}
        }
        slot.show(&self.now, shown);
        // What it showed is of no use to a reader who may not have heard of it.
        let more = slot.cells.hide(&self.now);
        self.count(at, more);
        self.touch(at);
    }

    /// Sets or hides a component of an entity that is shown. Gives whether that is new.
    pub fn set(&mut self, id: WireId, component: u16, words: Option<&[u32]>) -> bool {
        self.slot_of(id).is_some_and(|at| self.set_in(at, component, words))
    }

    /// Sets or hides a component of the entity in a slot. Gives whether that is new.
    pub fn set_in(&mut self, at: u32, component: u16, words: Option<&[u32]>) -> bool {
        let (cells, mut more) = (&mut self.slots[at as usize].cells, 0);
        let is = |place| cells.get(place).and_then(|cell| cell.at(self.now.send));
        let place = match cells.place(component) {
            Ok(place) if same(is(place), words) => return false,
            Ok(place) => place,
            Err(_) if words.is_none() => return false,
            Err(place) => {
                cells.insert(place, component);
                more = COMPONENT_BYTES;
                place
            }
        };
        more += cells.set(place, &self.now, words);
        self.count(at, more);
        self.touch(at);
        true
    }

    /// Gives an entity that is shown another id, under which it is a new one. Gives its slot.
    pub fn rename(&mut self, old: WireId, new: WireId) -> u32 {
        let to = self.enter(new);
        let Some(from) = self.slot_of(old) else { return to };
        let now = self.now.send;
        for (component, words) in self.was_in(from, now) {
            self.set_in(to, component, words.as_deref());
        }
        self.show_in(from, false);
        to
    }

    /// What the components of the entity in a slot were at a send, by number.
    fn was_in(&self, at: u32, send: Send) -> SmallVec<[(u16, Option<Words>); 6]> {
        let cells = self.slot(at).cells.iter();
        cells.map(|cell| (cell.component(), cell.at(send).map(Words::from_slice))).collect()
    }

    /// Makes what is now what it was at a send: a reader may have heard of other sends since.
    pub(super) fn revert(&mut self, base: Send) {
        let touched: Vec<u32> = self
            .logs
            .iter()
            .filter(|log| log.send > base && log.send < self.now.send)
            .flat_map(|log| log.touched.iter().copied())
            .collect();
        for at in touched {
            let was = self.slots[at as usize].is_in(base);
            if was != self.slots[at as usize].is_shown() {
                self.show_in(at, was);
            }
            for (component, words) in self.was_in(at, base) {
                self.set_in(at, component, words.as_deref());
            }
        }
    }

    fn touch(&mut self, at: u32) {
        if let Some(log) = self.logs.back_mut()
            && log.touched.last() != Some(&at)
        {
            log.touched.push(at);
        }
    }

    /// Slots touched after a send, some of them several times.
    pub(super) fn touched_since(&self, send: Send) -> impl Iterator<Item = u32> {
        let logs = self.logs.iter().rev().take_while(move |log| log.send > send);
        logs.flat_map(|log| log.touched.iter().copied())
    }

    pub(super) fn slot(&self, at: u32) -> &Slot {
        &self.slots[at as usize]
    }

    /// Slots by id.
    pub(super) fn in_order(&self) -> impl Iterator<Item = u32> {
        self.order.iter().map(|(_, at)| *at)
    }

    /// Takes all marks away.
    pub(super) fn begin_marks(&mut self) {
        self.marks = self.marks.wrapping_add(1);
    }

    pub(super) fn is_marked(&self, at: u32) -> bool {
        self.slots[at as usize].marked == self.marks
    }

    pub(super) fn mark(&mut self, at: u32, mark: Mark) {
        let slot = &mut self.slots[at as usize];
        (slot.marked, slot.mark) = (self.marks, mark);
    }

    pub(super) fn mark_of(&self, at: u32) -> Mark {
        let slot = &self.slots[at as usize];
        if slot.marked == self.marks { slot.mark } else { Mark::default() }
    }

    /// What is shown: entities by id.
    pub fn entities(&self) -> impl Iterator<Item = WireId> {
        let slots = self.order.iter().map(|(_, at)| &self.slots[*at as usize]);
        slots.filter(|slot| slot.is_shown()).map(|slot| slot.id)
    }

    /// What left in the last two sends, and whether it is gone: an absolute block is told in two.
    pub fn just_left(&self) -> impl Iterator<Item = (WireId, bool)> {
        self.just_touched().filter(|slot| !slot.is_shown()).map(|slot| (slot.id, slot.gone))
    }

    /// What came in the last two sends.
    pub fn just_entered(&self) -> impl Iterator<Item = WireId> {
        let since = self.now.send.saturating_sub(2);
        let new = move |slot: &&Slot| {
            slot.is_shown() && slot.life.last().is_some_and(|(at, ..)| *at > since)
        };
        self.just_touched().filter(new).map(|slot| slot.id)
    }

    fn just_touched(&self) -> impl Iterator<Item = &Slot> {
        self.touched_since(self.now.send.saturating_sub(2)).map(|at| self.slot(at))
    }

    /// A component of an entity that is shown.
    #[must_use]
    pub fn component(&self, id: WireId, component: u16) -> Option<&[u32]> {
        self.slot(self.slot_of(id)?).at(component, self.now.send)
    }

    /// The components of an entity that is shown, by number.
    pub fn components(&self, id: WireId) -> impl Iterator<Item = (u16, &[u32])> {
        let slot = self.slot_of(id).map(|at| self.slot(at));
        let cells = slot.into_iter().flat_map(|slot| slot.cells.iter());
        cells.filter_map(|cell| Some((cell.component(), cell.at(self.now.send)?)))
    }

    /// A component of the entity in a slot.
    #[must_use]
    pub fn component_in(&self, at: u32, component: u16) -> Option<&[u32]> {
        self.slot(at).at(component, self.now.send)
    }

    /// The components of the entity in a slot, by number.
    pub fn components_in(&self, at: u32) -> impl Iterator<Item = (u16, &[u32])> {
        let cells = self.slot(at).cells.iter();
        cells.filter_map(|cell| Some((cell.component(), cell.at(self.now.send)?)))
    }

    /// Everything that is shown: entities by id, their components by number.
    pub fn shown(&self) -> impl Iterator<Item = (WireId, u16, &[u32])> {
        let slots = self.order.iter().map(|(_, at)| &self.slots[*at as usize]);
        slots.filter(|slot| slot.is_shown()).flat_map(|slot| {
            let cells = slot.cells.iter();
            let shown = cells.filter_map(|cell| Some((cell.component(), cell.at(self.now.send)?)));
            shown.map(|(component, words)| (slot.id, component, words))
        })
    }
}
