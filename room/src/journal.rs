//! The journal: the entries of every tick that ran, as bytes. A room writes it as it ticks;
//! [`crate::revive`] makes the room again from a snapshot and what the journal says happened since.
//!
//! A journal is a row of records. All numbers are LEB128. A record is `quiet`, how many ticks ran
//! before it that had no entry, each right after the one before; then `step`:
//!
//! | `step` | what it tells |
//! |---|---|
//! | 0 | nothing more: only the quiet ticks |
//! | 1 | the state hash after the last of them, eight bytes, little-endian |
//! | n, from 2 | a tick n - 1 after the last one: the number of its entries, and the entries |

use referee_protocol::Tick;
use referee_protocol::bits::{BitError, read_varint, write_varint};

use crate::entry::{Entry, EntryError};

const STEP_NONE: u64 = 0;
const STEP_HASH: u64 = 1;

/// Which ticks some journal bytes tell of: those after `after`, up to and with `upto`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// The tick before the first one.
    pub after: Tick,
    /// The last tick.
    pub upto: Tick,
}

/// What a room has written since its host last took it.
#[derive(Debug)]
pub(crate) struct Journal {
    /// Somebody takes what is written.
    pub(crate) kept: bool,
    after: Tick,
    upto: Tick,
    quiet: u64,
    bytes: Vec<u8>,
    /// The record of the tick that runs now, and its tick.
    running: Vec<u8>,
    tick: Option<Tick>,
}

impl Journal {
    pub(crate) fn new(after: Tick) -> Self {
        let (bytes, running) = (Vec::new(), Vec::new());
        Self { kept: false, after, upto: after, quiet: 0, bytes, running, tick: None }
    }

    /// A tick begins to run with these entries.
    pub(crate) fn begin(&mut self, at: Tick, entries: &[Entry]) {
        self.tick = Some(at);
        self.running.clear();
        if entries.is_empty() && at.0 == self.upto.0 + 1 {
            return;
        }
        write_varint(&mut self.running, at.0 - self.upto.0 + 1);
        write_varint(&mut self.running, entries.len() as u64);
        entries.iter().for_each(|entry| entry.encode(&mut self.running));
    }

    /// The tick has run.
    pub(crate) fn end(&mut self) {
        let Some(at) = self.tick.take() else { return };
        self.upto = at;
        if !self.kept {
            self.after = at;
        } else if self.running.is_empty() {
            self.quiet += 1;
        } else {
            self.put_quiet();
            self.bytes.append(&mut self.running);
        }
    }

    /// The state hash after the last tick.
    pub(crate) fn mark(&mut self, hash: u64) {
        if !self.kept {
            return;
        }
        self.put_quiet();
        write_varint(&mut self.bytes, STEP_HASH);
        self.bytes.extend_from_slice(&hash.to_le_bytes());
    }

    fn put_quiet(&mut self) {
        write_varint(&mut self.bytes, std::mem::take(&mut self.quiet));
    }

    /// Appends what was written since the last call; none when no tick ran.
    pub(crate) fn take(&mut self, out: &mut Vec<u8>) -> Option<Span> {
        if self.quiet > 0 {
            self.put_quiet();
            write_varint(&mut self.bytes, STEP_NONE);
        }
        out.append(&mut self.bytes);
        let span = Span { after: self.after, upto: self.upto };
        self.after = self.upto;
        (span.after != span.upto).then_some(span)
    }

    /// The tick that began and did not end, and its entries.
    pub(crate) fn broken(&self) -> Option<(Tick, Vec<Entry>)> {
        let at = self.tick?;
        let mut bytes = &self.running[..];
        if bytes.is_empty() {
            return Some((at, Vec::new()));
        }
        let step = read_varint(&mut bytes).map_err(EntryError::from);
        let entries = step.and_then(|_| read_entries(&mut bytes));
        Some((at, entries.expect("the journal wrote these entries itself")))
    }
}

fn read_entries(bytes: &mut &[u8]) -> Result<Vec<Entry>, EntryError> {
    let count = read_varint(bytes)?;
    // As many as there are: a number that lies ends with the bytes.
    (0..count).map(|_| Entry::decode(bytes)).collect()
}

/// What a journal says next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// A tick ran, with these entries in the order in which they came.
    Tick(Tick, Vec<Entry>),
    /// The state's hash after this tick, the last one.
    Hash(Tick, u64),
}

/// Reads journal bytes, record by record. Bytes of several takes may be joined.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    tick: Tick,
    quiet: u64,
    rest: &'a [u8],
    /// The step that comes after the quiet ticks has yet to be read.
    step: bool,
}

impl<'a> Reader<'a> {
    /// Reads what was written after a tick.
    #[must_use]
    pub fn new(after: Tick, bytes: &'a [u8]) -> Self {
        Self { tick: after, quiet: 0, rest: bytes, step: false }
    }

    /// The next record; none at the end.
    ///
    /// # Errors
    /// When the bytes are cut short, malformed or of a newer version.
    pub fn read(&mut self) -> Result<Option<Record>, EntryError> {
        loop {
            if self.quiet > 0 {
                self.quiet -= 1;
                return Ok(Some(Record::Tick(self.advance(1)?, Vec::new())));
            }
            if std::mem::take(&mut self.step) {
                match read_varint(&mut self.rest)? {
                    STEP_NONE => {}
                    STEP_HASH => return Ok(Some(Record::Hash(self.tick, self.hash()?))),
                    step => {
                        let at = self.advance(step - 1)?;
                        return Ok(Some(Record::Tick(at, read_entries(&mut self.rest)?)));
                    }
                }
            }
            if self.rest.is_empty() {
                return Ok(None);
            }
            self.quiet = read_varint(&mut self.rest)?;
            self.step = true;
        }
    }

    fn advance(&mut self, ticks: u64) -> Result<Tick, EntryError> {
        self.tick = Tick(self.tick.0.checked_add(ticks).ok_or(BitError::Number)?);
        Ok(self.tick)
    }

    fn hash(&mut self) -> Result<u64, EntryError> {
        let (hash, rest) = self.rest.split_first_chunk().ok_or(BitError::End)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use referee_protocol::SessionId;

    fn new(after: u64) -> Journal {
        Journal { kept: true, ..Journal::new(Tick(after)) }
    }

    fn read(after: u64, bytes: &[u8]) -> Vec<Record> {
        let mut reader = Reader::new(Tick(after), bytes);
        std::iter::from_fn(|| reader.read().unwrap()).collect()
    }

    fn ran(journal: &mut Journal, at: u64, entries: &[Entry]) {
        journal.begin(Tick(at), entries);
        journal.end();
    }

    #[test]
    fn golden_bytes() {
        let mut journal = new(4);
        ran(&mut journal, 5, &[]);
        ran(&mut journal, 6, &[Entry::Drop { session: SessionId(9) }]);
        journal.mark(1);
        ran(&mut journal, 9, &[]);
        ran(&mut journal, 10, &[]);
        let mut bytes = vec![];
        assert_eq!(journal.take(&mut bytes), Some(Span { after: Tick(4), upto: Tick(10) }));
        let expected = [1, 2, 1, 2, 9, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0];
        assert_eq!(bytes, expected);
        assert_eq!(journal.take(&mut bytes), None);
        assert_eq!(bytes, expected, "nothing has happened since");
        let drop = Record::Tick(Tick(6), vec![Entry::Drop { session: SessionId(9) }]);
        let quiet = |at| Record::Tick(Tick(at), vec![]);
        assert_eq!(
            read(4, &bytes),
            [quiet(5), drop, Record::Hash(Tick(6), 1), quiet(9), quiet(10)]
        );
    }

    #[test]
    fn a_tick_that_broke_off_is_told_and_not_written() {
        let mut journal = new(0);
        ran(&mut journal, 1, &[]);
        journal.begin(Tick(2), &[Entry::Seal]);
        assert_eq!(journal.broken(), Some((Tick(2), vec![Entry::Seal])));
        let mut bytes = vec![];
        assert_eq!(journal.take(&mut bytes), Some(Span { after: Tick(0), upto: Tick(1) }));
        assert_eq!(read(0, &bytes), [Record::Tick(Tick(1), vec![])]);
        journal.begin(Tick(2), &[]);
        assert_eq!(journal.broken(), Some((Tick(2), vec![])));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            steps in proptest::collection::vec((1u64..5, 0usize..3, any::<bool>(), any::<bool>()), 0..40),
        ) {
            let (mut journal, mut bytes, mut expected) = (new(7), vec![], vec![]);
            let mut at = 7;
            for (step, count, mark, take) in steps {
                at += step;
                let entries = vec![Entry::Leave { session: SessionId(at) }; count];
                ran(&mut journal, at, &entries);
                expected.push(Record::Tick(Tick(at), entries));
                if mark {
                    journal.mark(at);
                    expected.push(Record::Hash(Tick(at), at));
                }
                if take {
                    journal.take(&mut bytes);
                }
            }
            journal.take(&mut bytes);
            prop_assert_eq!(read(7, &bytes), expected);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let mut reader = Reader::new(Tick(0), &bytes);
            // Quiet ticks may be many; they cost nothing to whoever stops.
            for _ in 0..100 {
                if !matches!(reader.read(), Ok(Some(_))) {
                    break;
                }
            }
        }
    }
}
