//! A database file opened for trial: what is written goes to memory and is forgotten. Opening a
//! database writes to it, and a repair much more; this way a file that is refused in the end was
//! not touched. Knows nothing of what is in the file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

const PAGE_BYTES: usize = 4096;

type Page = [u8; PAGE_BYTES];

/// A file, and what was written over it.
#[derive(Debug)]
pub(super) struct Draft(Mutex<State>);

#[derive(Debug)]
struct State {
    file: File,
    /// How much of the file still counts: what was cut off does not come back.
    file_len: u64,
    len: u64,
    /// The pages written so far. They are few: a repair reads everything and writes its summary.
    pages: BTreeMap<u64, Box<Page>>,
}

impl Draft {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self(Mutex::new(State { file, file_len: len, len, pages: BTreeMap::new() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn page(&mut self, number: u64) -> io::Result<Page> {
        if let Some(page) = self.pages.get(&number) {
            return Ok(**page);
        }
        let mut page = [0; PAGE_BYTES];
        let start = number * PAGE_BYTES as u64;
        let there = self.file_len.saturating_sub(start).min(PAGE_BYTES as u64) as usize;
        if there > 0 {
            self.file.seek(SeekFrom::Start(start))?;
            self.file.read_exact(&mut page[..there])?;
        }
        Ok(page)
    }

    fn check(&self, offset: u64, len: usize) -> io::Result<()> {
        match offset.checked_add(len as u64) {
            Some(end) if end <= self.len => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl StorageBackend for Draft {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state();
        state.check(offset, out.len())?;
        for part in parts(offset, out.len()) {
            out[part.of_data].copy_from_slice(&state.page(part.number)?[part.of_page]);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state();
        state.len = len;
        state.file_len = state.file_len.min(len);
        let (last, kept) = (len / PAGE_BYTES as u64, (len % PAGE_BYTES as u64) as usize);
        drop(state.pages.split_off(&(last + 1)));
        if let Some(page) = state.pages.get_mut(&last) {
            page[kept..].fill(0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.check(offset, data.len())?;
        for part in parts(offset, data.len()) {
            let mut page = state.page(part.number)?;
            page[part.of_page].copy_from_slice(&data[part.of_data]);
            state.pages.insert(part.number, Box::new(page));
        }
        Ok(())
    }
}

/// What of some data lies on one page.
struct Part {
    number: u64,
    of_page: Range<usize>,
    of_data: Range<usize>,
}

fn parts(offset: u64, len: usize) -> impl Iterator<Item = Part> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let from = (at % PAGE_BYTES as u64) as usize;
        let count = (PAGE_BYTES - from).min(len - done);
        let part = Part {
            number: at / PAGE_BYTES as u64,
            of_page: from..from + count,
            of_data: done..done + count,
        };
        done += count;
        (count > 0).then_some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_the_file_stays() {
        let path = std::env::temp_dir().join(format!("referee-draft-{}", std::process::id()));
        let original: Vec<u8> = (0..10_000u32).map(|at| at as u8 | 1).collect();
        std::fs::write(&path, &original).unwrap();
        let draft = Draft::of(&path).unwrap();
        let mut expected = original.clone();
        let check = |expected: &[u8]| {
            assert_eq!(draft.len().unwrap(), expected.len() as u64);
            let mut all = vec![0; expected.len()];
            draft.read(0, &mut all).unwrap();
            assert!(all == expected);
            assert!(draft.read(1, &mut all).is_err(), "beyond the end");
        };
        check(&expected);
        draft.write(4000, &[0; 5000]).unwrap();
        expected[4000..9000].fill(0);
        check(&expected);
        assert!(draft.write(9_999, &[0; 2]).is_err(), "beyond the end");
        for len in [12_000, 8_500, 20_000, 100, 9_000] {
            draft.set_len(len).unwrap();
            expected.resize(usize::try_from(len).unwrap(), 0);
            check(&expected);
        }
        assert!(std::fs::read(&path).unwrap() == original);
        std::fs::remove_file(&path).unwrap();
    }
}
