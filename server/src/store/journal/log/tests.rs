//! The log on a file in memory: what is read again, what is torn, and what is refused.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::super::Pending;
use super::*;

const STORE: StoreId = [7; 16];
const HALF: u64 = 8 << 10;

/// A file in memory.
#[derive(Clone, Debug, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl StorageBackend for Memory {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let at = usize::try_from(offset).unwrap();
        out.copy_from_slice(&self.0.lock().unwrap()[at..at + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.lock().unwrap().resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let at = usize::try_from(offset).unwrap();
        self.0.lock().unwrap()[at..at + data.len()].copy_from_slice(data);
        Ok(())
    }
}

impl Memory {
    fn empty() -> Self {
        let memory = Self::default();
        initialise(&memory, STORE, HALF).unwrap();
        memory
    }

    fn found(&self, floor: u64) -> Result<Vec<(u64, u64)>, String> {
        let read = read(self, Path::new("log"), STORE, floor).map_err(|error| error.to_string())?;
        Ok(read.batches.iter().map(|batch| (batch.slot.epoch, batch.number)).collect())
    }

    fn log(&self, floor: u64) -> Log {
        let found = read(self, Path::new("log"), STORE, floor).unwrap();
        Log::new(Arc::new(self.clone()), STORE, &found, floor)
    }
}

/// Fills the epoch, and gives the number of the next batch.
fn fill(log: &mut Log, mut number: u64, bytes: usize) -> u64 {
    while log.has_room(bytes) {
        log.append(number, &vec![number as u8; bytes]).unwrap();
        number += 1;
    }
    number
}

#[test]
fn what_was_appended_is_read_in_order_and_only_of_epochs_that_count() {
    let memory = Memory::empty();
    assert_eq!(memory.found(1).unwrap(), []);
    let mut log = memory.log(1);
    assert_eq!(log.epoch(), 1);
    assert_eq!(fill(&mut log, 10, 2500), 13, "each takes five of sixteen sectors");
    log.turn();
    log.append(13, &[1, 2, 3]).unwrap();
    assert_eq!(memory.found(1).unwrap(), [(1, 10), (1, 11), (1, 12), (2, 13)]);
    assert_eq!(memory.found(2).unwrap(), [(2, 13)]);
    assert_eq!(memory.found(3).unwrap(), []);
    let read = read(&memory, Path::new("log"), STORE, 2).unwrap();
    assert_eq!((read.batches[0].bytes.as_slice(), read.beyond()), (&[1, 2, 3][..], 3));
    log.turn();
    log.append(14, &[4]).unwrap();
    assert_eq!(memory.found(2).unwrap(), [(2, 13), (3, 14)], "over the first epoch");
    assert_eq!(memory.log(1).epoch(), 4);
    assert_eq!(memory.log(9).epoch(), 9);
}

#[test]
fn of_a_batch_only_its_place_is_kept() {
    fn owns_nothing<T: Copy>() -> usize {
        size_of::<T>()
    }
    assert!(owns_nothing::<Pending>() <= 32);
}

#[test]
fn a_batch_is_read_back_whole_or_not_at_all() {
    let memory = Memory::empty();
    let mut log = memory.log(1);
    let slots = [(5, 700), (6, 0), (7, 3)]
        .map(|(number, len)| log.append(number, &vec![number as u8; len]).unwrap());
    let reader = log.reader();
    let mut buffer = vec![];
    let mut read = |number, slot| match reader.batch(number, slot, &mut buffer) {
        Ok(bytes) => Ok(bytes.to_vec()),
        Err(Fault::Damaged(why) | Fault::Disk(why)) => Err(why),
    };
    assert_eq!(read(5, slots[0]), Ok(vec![5; 700]));
    assert_eq!(read(6, slots[1]), Ok(vec![]));
    assert_eq!(read(7, slots[2]), Ok(vec![7; 3]));
    assert_eq!(reader.part(slots[0], 690..700), Ok(vec![5; 10]));
    let found = super::read(&memory, Path::new("log"), STORE, 1).unwrap();
    assert_eq!(found.batches.iter().map(|batch| batch.slot).collect::<Vec<_>>(), slots);
    assert!(read(6, slots[0]).is_err(), "another batch");
    for slot in [
        Slot { epoch: 3, ..slots[0] },
        Slot { len: 699, ..slots[0] },
        Slot { len: 701, ..slots[0] },
        Slot { at: slots[0].at + SECTOR_BYTES, ..slots[0] },
    ] {
        assert!(read(5, slot).is_err(), "{slot:?} has another batch, or none");
    }
    let begins = usize::try_from(slots[0].at).unwrap();
    for at in begins..begins + FRONT_BYTES + 700 {
        memory.0.lock().unwrap()[at] ^= 8;
        assert!(read(5, slots[0]).is_err(), "byte {at} is another");
        memory.0.lock().unwrap()[at] ^= 8;
    }
    // Over the first epoch.
    log.turn();
    log.turn();
    log.append(8, &[8; 700]).unwrap();
    assert!(read(5, slots[0]).is_err());
}

#[test]
fn a_batch_fits_exactly_or_not() {
    let memory = Memory::empty();
    let mut log = memory.log(1);
    let most = usize::try_from(HALF).unwrap() - FRONT_BYTES;
    assert!(log.could_take(most) && !log.could_take(most + 1));
    log.append(1, &vec![9; most]).unwrap();
    assert!(!log.has_room(0));
    log.turn();
    log.append(2, &vec![8; most]).unwrap();
    assert_eq!(memory.found(1).unwrap(), [(1, 1), (2, 2)]);
    assert_eq!(memory.len().unwrap(), SECTOR_BYTES + 2 * HALF);
}

#[test]
fn one_that_was_not_wholly_written_is_the_last_wherever_it_was_cut() {
    let memory = Memory::empty();
    let mut log = memory.log(1);
    fill(&mut log, 1, 3000);
    log.turn();
    let whole = fill(&mut log, 3, 700) - 1;
    let (end, last) = (usize::try_from(SECTOR_BYTES + log.at).unwrap(), 700 + FRONT_BYTES);
    let begins = end - usize::try_from(record_bytes(700)).unwrap();
    for cut in 0..last {
        let torn = Memory::default();
        let mut bytes = memory.0.lock().unwrap().clone();
        bytes[begins + cut..begins + last].fill(0);
        *torn.0.lock().unwrap() = bytes;
        assert_eq!(torn.found(1).unwrap().last(), Some(&(2, whole - 1)), "cut at {cut}");
    }
}

#[test]
fn one_before_the_last_that_is_damaged_is_named_and_so_is_the_first() {
    for sector in [0, 2, 4] {
        let memory = Memory::empty();
        let mut log = memory.log(1);
        fill(&mut log, 1, 700);
        let at = usize::try_from(SECTOR_BYTES * (1 + sector) + HALF).unwrap() + 50;
        memory.0.lock().unwrap()[at] ^= 1;
        let refused = memory.found(1).unwrap_err();
        assert!(refused.contains("cannot be read"), "{refused}");
        assert_eq!(memory.found(2).unwrap(), [], "what does not count does no harm");
    }
}

#[test]
fn what_a_client_wrote_is_never_taken_for_a_record() {
    let memory = Memory::empty();
    let mut log = memory.log(1);
    log.append(1, &[1; 600]).unwrap();
    let record = memory.0.lock().unwrap()[usize::try_from(SECTOR_BYTES + HALF).unwrap()..].to_vec();
    // The same record as the content of another one, as of a store whose id is not known.
    let other = Memory::default();
    initialise(&other, [8; 16], HALF).unwrap();
    let found = read(&other, Path::new("log"), [8; 16], 1).unwrap();
    let mut log = Log::new(Arc::new(other.clone()), [8; 16], &found, 1);
    let aligned = [&[0; 512 - FRONT_BYTES][..], &record[..1024]].concat();
    log.append(1, &aligned).unwrap();
    let torn = usize::try_from(SECTOR_BYTES + HALF).unwrap();
    other.0.lock().unwrap()[torn] = 0;
    assert!(read(&other, Path::new("log"), [8; 16], 1).unwrap().batches.is_empty());
}

#[test]
fn the_log_of_another_store_or_of_a_newer_build_and_damage_are_refused() {
    let memory = Memory::empty();
    let refused = |store| read(&memory, Path::new("log"), store, 1).err().unwrap().to_string();
    assert!(refused([9; 16]).contains("another store"));
    let newer = Memory::empty();
    {
        let mut bytes = newer.0.lock().unwrap();
        bytes[12] = 2;
        let hashed = hash(&bytes[..HEAD_BYTES - 8]).to_le_bytes();
        bytes[HEAD_BYTES - 8..HEAD_BYTES].copy_from_slice(&hashed);
    }
    assert!(newer.found(1).unwrap_err().contains("format 2"), "{:?}", newer.found(1));
    for at in 0..HEAD_BYTES {
        let damaged = Memory::empty();
        damaged.0.lock().unwrap()[at] ^= 4;
        assert!(damaged.found(1).is_err(), "byte {at}");
    }
    for len in 0..HEAD_BYTES {
        let short = Memory::empty();
        short.0.lock().unwrap().truncate(len);
        assert!(short.found(1).is_err(), "{len} bytes");
    }
}
