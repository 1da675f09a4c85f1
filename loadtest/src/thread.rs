//! What the bots of one thread of the generator share: the clock, the phase, the measuring.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::light::KnownSchema;
use crate::machine;
use crate::pattern::When;
use crate::shared::{Phase, Shared};
use crate::tally::Tally;
use crate::wheel::Wheel;

/// What the bots of one thread share.
pub(crate) struct Thread {
    pub(crate) wheel: Wheel,
    pub(crate) tally: RefCell<Tally>,
    pub(crate) phase: Cell<Phase>,
    /// The game's schema, once one of them knows it.
    pub(crate) schema: RefCell<Option<Rc<KnownSchema>>>,
    /// The thread's CPU time when measuring began, in nanoseconds.
    pub(crate) cpu_ns: Cell<u64>,
    pub(crate) shared: Arc<Shared>,
    /// Whether bots wait for the moment from which it is measured.
    pub(crate) await_measuring: bool,
}

impl Thread {
    /// When something is, on the wheel; far in the future while that is not known.
    pub(crate) fn instant(&self, when: When) -> u64 {
        match when {
            When::Run(at) => at,
            When::Measured(at) => self.shared.began().map_or(u64::MAX, |began| began + at),
        }
    }

    /// Goes on to the run's phase, if that is a new one; says which it is. Bots look as well: where
    /// they leave no time for anything else, that is what is to be measured.
    pub(crate) fn look(&self) -> Phase {
        let phase = self.shared.phase();
        let before = self.phase.replace(phase);
        if phase == before {
            return phase;
        }
        let mut tally = self.tally.borrow_mut();
        tally.measuring = phase == Phase::Measuring;
        if phase == Phase::Measuring {
            tally.from = Some(self.wheel.now());
            self.cpu_ns.set(machine::thread_cpu_ns());
        } else if before == Phase::Measuring {
            tally.cpu_ns = machine::thread_cpu_ns().saturating_sub(self.cpu_ns.get());
        }
        if phase >= Phase::Draining || self.await_measuring {
            self.wheel.ring_all();
        }
        phase
    }
}
