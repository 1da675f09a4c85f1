//! How a bot counts: in or out, dropped or refused.

use std::sync::atomic::Ordering;

use referee_client::Reason;

use super::State;
use crate::light::UNREADABLE;
use crate::shared::Shared;
use crate::tally::{Tally, name_of};

/// Counts a bot once: as seated from its first seat on, till then as one that only watches.
pub(super) fn count_place(state: &mut State, shared: &Shared) {
    if state.seated {
        return;
    }
    let watched = std::mem::replace(&mut state.watches, state.meter.seat().is_none());
    state.seated = !state.watches;
    match (watched, state.watches) {
        (false, true) => shared.watching.fetch_add(1, Ordering::Relaxed),
        (true, false) => shared.watching.fetch_sub(1, Ordering::Relaxed),
        _ => 0,
    };
    shared.joined.fetch_add(u64::from(state.seated), Ordering::Relaxed);
}

/// A bot goes before the run is over.
pub(super) fn uncount(state: &State, shared: &Shared) {
    match (state.seated, state.watches) {
        (true, _) => shared.joined.fetch_sub(1, Ordering::Relaxed),
        (false, true) => shared.watching.fetch_sub(1, Ordering::Relaxed),
        (false, false) => 0,
    };
}

pub(super) fn settle(state: &mut State, shared: &Shared) {
    if !std::mem::replace(&mut state.settled, true) {
        shared.settled.fetch_add(1, Ordering::Relaxed);
    }
}

pub(super) fn refused(reason: Reason, shared: &Shared, tally: &mut Tally) {
    *tally.refusals.entry(name_of(reason.code)).or_default() += 1;
    note_unreadable(&reason, shared, tally);
    let why = reason.to_string();
    shared.refused(&why);
    tally.why = Some(why);
}

pub(super) fn dropped(reason: &Reason, shared: &Shared, tally: &mut Tally) {
    *tally.drops.entry(name_of(reason.code)).or_default() += 1;
    shared.drops.fetch_add(1, Ordering::Relaxed);
    note_unreadable(reason, shared, tally);
}

/// What could not be read is a wrong state, of a kind.
fn note_unreadable(reason: &Reason, shared: &Shared, tally: &mut Tally) {
    if reason.message.starts_with(UNREADABLE) {
        tally.wrong += 1;
        shared.wrong.fetch_add(1, Ordering::Relaxed);
    }
}
