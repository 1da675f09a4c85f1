//! A bot that plays well: it wins where it can, prevents what it must, and begins a new round when one
//! is over. Now and then it errs, so that not every round is a draw.

use referee::bot::{Bot, Random, Say, Session, Value};

use crate::LINES;

/// One move in so many is any free cell.
const ERRS_ONE_IN: u64 = 6;

/// A player of a seed.
#[derive(Debug)]
pub struct Strategist {
    random: Random,
}

/// The bot of a seed.
#[must_use]
pub fn bot(seed: u64) -> Strategist {
    Strategist { random: Random::new(seed) }
}

/// The cells, by the names of the marks on them.
type Cells = [Option<String>; 9];

impl Bot for Strategist {
    fn play(&mut self, match_: &Session) -> Option<Say> {
        let board = match_.resource("Board")?;
        let mine = match_.me()?.component("Mark")?.variant()?.to_owned();
        // Alone there is nobody to play with.
        if match_.entities().filter(|entity| entity.has("Mark")).count() < 2 {
            return None;
        }
        if board.field("outcome").is_some_and(|outcome| *outcome != Value::Null) {
            // Either may ask; if both did at once, a round would be skipped.
            return (mine == "X").then_some(Say::Action("Rematch", Value::Null));
        }
        if board.field("turn")?.variant()? != mine {
            return None;
        }
        let cell = self.choose(&cells(&board)?, &mine)?;
        let cell = Value::Int(cell as i128);
        Some(Say::Action("Place", Value::Struct(vec![("cell".into(), cell)])))
    }
}

fn cells(board: &Value) -> Option<Cells> {
    let cells = board.field("cells")?.items()?.iter();
    let marks: Vec<_> = cells.map(|cell| cell.variant().map(str::to_owned)).collect();
    marks.try_into().ok()
}

impl Strategist {
    fn choose(&mut self, cells: &Cells, mine: &str) -> Option<usize> {
        let free: Vec<usize> = (0..9).filter(|at| cells[*at].is_none()).collect();
        let err = self.random.below(ERRS_ONE_IN) == 0;
        let is_mine = |mark: &str| mark == mine;
        let best = completes(cells, is_mine).or_else(|| completes(cells, |mark| mark != mine));
        if let Some(cell) = best.filter(|_| !err) {
            return Some(cell);
        }
        // The centre is in four lines, a corner in three, an edge in two.
        let worth = |at: &usize| LINES.iter().filter(|line| line.contains(at)).count();
        let most = free.iter().map(worth).max()?;
        let good: Vec<usize> = free.iter().copied().filter(|at| err || worth(at) == most).collect();
        Some(good[self.random.below(good.len() as u64) as usize])
    }
}

/// The free cell that completes a line of such marks.
fn completes(cells: &Cells, is_so: impl Fn(&str) -> bool) -> Option<usize> {
    LINES.iter().find_map(|line| {
        let so = line.iter().filter(|at| cells[**at].as_deref().is_some_and(&is_so)).count();
        let free = line.iter().copied().find(|at| cells[*at].is_none());
        free.filter(|_| so == 2)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(text: &str) -> Cells {
        let mark = |c: char| (c != '.').then(|| c.to_string());
        let marks: Vec<_> = text.chars().filter(|c| *c != ' ').map(mark).collect();
        marks.try_into().unwrap()
    }

    /// What bots of many seeds choose, most often first.
    fn favourite(text: &str) -> usize {
        let mut counts = [0; 9];
        (0..200).for_each(|seed| counts[bot(seed).choose(&board(text), "X").unwrap()] += 1);
        (0..9).max_by_key(|at| counts[*at]).unwrap()
    }

    #[test]
    fn it_wins_before_it_prevents() {
        assert_eq!(favourite("XX. OO. ..."), 2);
        assert_eq!(favourite("X.. OO. ..X"), 5);
        assert_eq!(favourite("... ... ..."), 4, "the centre");
    }

    #[test]
    fn it_chooses_free_cells_with_some_variety() {
        let mut chosen = std::collections::BTreeSet::new();
        for seed in 0..100 {
            chosen.insert(bot(seed).choose(&board("... .O. ..."), "X").unwrap());
        }
        assert!(!chosen.contains(&4) && chosen.len() >= 4, "{chosen:?}");
        assert_eq!(bot(1).choose(&board("XOX OXO OXO"), "X"), None);
    }
}
