//! The search: levels that double until one does not hold, then halves between. Pure.

/// What a level came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// It held or not.
    Told {
        /// Whether it held.
        held: bool,
        /// Whether something was near its bound.
        near: bool,
    },
    /// The load itself ran out: nothing is known of the server.
    Exhausted,
}

/// Where outcomes are counted.
const HELD: usize = 1;
const EXHAUSTED: usize = 2;

/// A search for the most that holds.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Search {
    first: usize,
    most: usize,
    precision: f64,
    /// The most that held; 0: none yet.
    held: usize,
    /// The least that did not.
    failed: Option<usize>,
    /// The least at which the load ran out.
    exhausted: Option<usize>,
    /// The level that is tried again, and how often it did not hold, held, and the load ran out.
    again: Option<(usize, [u8; 3])>,
}

impl Search {
    /// From this level on, up to that; done when what held and what did not are as near as a part of
    /// the first.
    pub(super) fn new(first: usize, most: usize, precision: f64) -> Self {
        let (held, failed, exhausted, again) = (0, None, None, None);
        Self { first, most, precision, held, failed, exhausted, again }
    }

    /// The most that held; 0: none.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// The least that did not hold.
    pub(super) fn failed(&self) -> Option<usize> {
        self.failed
    }

    /// The least at which the load ran out.
    pub(super) fn exhausted(&self) -> Option<usize> {
        self.exhausted
    }

    /// The level to try; none: the search is over.
    pub(super) fn next_level(&self) -> Option<usize> {
        if let Some((level, _)) = self.again {
            return Some(level);
        }
        let above = [self.failed, self.exhausted].into_iter().flatten().min();
        match above {
            None if self.held == 0 => Some(self.first),
            None if self.held >= self.most => None,
            None => Some((self.held * 2).min(self.most)),
            Some(above) => {
                let apart = ((self.held as f64 * self.precision) as usize).max(1);
                let middle = self.held + (above - self.held) / 2;
                (above - self.held > apart && middle > 0).then_some(middle)
            }
        }
    }

    /// What the level came to. What was near, or beyond the load, is tried again until two tries agree:
    /// a machine's hiccup must not decide.
    pub(super) fn tell(&mut self, level: usize, outcome: Outcome) {
        let (of, surely) = match outcome {
            Outcome::Told { held, near } => (usize::from(held), !near),
            Outcome::Exhausted => (EXHAUSTED, false),
        };
        let (_, mut counts) = self.again.take().unwrap_or((level, [0; 3]));
        counts[of] += 1;
        let first = counts.iter().sum::<u8>() == 1;
        match (first && surely) || counts[of] == 2 {
            true => self.settle(level, of),
            false => self.again = Some((level, counts)),
        }
    }

    fn settle(&mut self, level: usize, of: usize) {
        let least = |before: Option<usize>| Some(before.map_or(level, |least| least.min(level)));
        match of {
            EXHAUSTED => self.exhausted = least(self.exhausted),
            HELD => self.held = self.held.max(level),
            _ => self.failed = least(self.failed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches where so many rooms hold and the load reaches so far; says what was tried.
    fn tried(mut search: Search, holds: usize, reach: usize) -> (Vec<usize>, Search) {
        let mut levels = Vec::new();
        while let Some(level) = search.next_level() {
            levels.push(level);
            assert!(levels.len() < 40, "{levels:?}");
            let outcome = match level {
                level if level > reach => Outcome::Exhausted,
                level => Outcome::Told { held: level <= holds, near: level.abs_diff(holds) < 3 },
            };
            search.tell(level, outcome);
        }
        (levels, search)
    }

    #[test]
    fn it_doubles_and_then_halves() {
        let (levels, search) = tried(Search::new(10, 10_000, 0.05), 130, usize::MAX);
        assert_eq!(levels[..5], [10, 20, 40, 80, 160]);
        assert!((124..=130).contains(&search.held()), "{levels:?}");
        assert!(search.failed() > Some(130) && levels.len() < 12, "{levels:?}");
    }

    #[test]
    fn what_is_near_is_tried_until_two_agree() {
        let mut search = Search::new(8, 100, 0.01);
        let near = |held| Outcome::Told { held, near: true };
        search.tell(8, near(true));
        assert_eq!((search.next_level(), search.held()), (Some(8), 0));
        search.tell(8, near(false));
        assert_eq!(search.next_level(), Some(8));
        search.tell(8, near(true));
        assert_eq!((search.next_level(), search.held()), (Some(16), 8));
        search.tell(16, Outcome::Told { held: false, near: false });
        assert_eq!((search.failed(), search.next_level()), (Some(16), Some(12)));
    }

    #[test]
    fn where_the_load_runs_out_nothing_is_said_of_the_server() {
        let (levels, search) = tried(Search::new(10, 10_000, 0.05), 1_000, 100);
        assert!((95..=100).contains(&search.held()), "{levels:?}");
        assert_eq!((search.failed(), levels[4..6].to_vec()), (None, vec![160, 160]), "twice");
        assert!(search.exhausted() > Some(100));
    }

    #[test]
    fn a_hiccup_of_the_load_decides_nothing() {
        let mut search = Search::new(8, 100, 0.01);
        let sure = Outcome::Told { held: true, near: false };
        search.tell(8, Outcome::Exhausted);
        assert_eq!(search.next_level(), Some(8));
        search.tell(8, sure);
        assert_eq!(search.next_level(), Some(8), "one against one");
        search.tell(8, sure);
        assert_eq!((search.held(), search.exhausted(), search.next_level()), (8, None, Some(16)));
    }

    #[test]
    fn it_goes_down_from_a_first_level_that_is_too_much() {
        let (levels, search) = tried(Search::new(64, 1_000, 0.05), 5, usize::MAX);
        assert_eq!((levels[..4].to_vec(), search.held()), (vec![64, 32, 16, 8], 5));
        let (_, nothing) = tried(Search::new(64, 1_000, 0.05), 0, usize::MAX);
        assert_eq!((nothing.held(), nothing.failed()), (0, Some(1)));
    }

    #[test]
    fn it_ends_at_the_most() {
        let (levels, search) = tried(Search::new(10, 50, 0.05), 1_000, usize::MAX);
        assert_eq!((levels, search.held()), (vec![10, 20, 40, 50], 50));
    }
}
