//! A machine with three disks in memory, one for each file, that can fail at any operation, be full, and
//! lose its power: then what was not synced may be there, or not, or in part.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use redb::{Database, StorageBackend};

use super::super::compact::Site;
use super::super::journal::log::Log;
use super::super::journal::{self, Journal};
use super::super::sure::{Doubt, Watched};
use super::super::{Open, Parts, Store, StoreConfig, StoreError, file};

/// What a disk writes at once, or not at all.
const SECTOR_BYTES: usize = 512;

/// Numbers that look random and come again with the same seed.
#[derive(Clone, Debug)]
pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

#[derive(Debug)]
enum Op {
    Write(u64, Vec<u8>),
    Len(u64),
}

#[derive(Debug, Default)]
struct Bytes {
    live: Vec<u8>,
    synced: Vec<u8>,
    /// What was done since the last sync.
    unsynced: Vec<Op>,
}

/// What all disks hang on.
#[derive(Debug)]
struct Power {
    /// Operations until the power is out.
    left: AtomicU64,
    /// Operations until one fails.
    good: AtomicU64,
    full: AtomicBool,
}

#[derive(Clone, Debug)]
pub(super) struct Disk {
    bytes: Arc<Mutex<Bytes>>,
    power: Arc<Power>,
    syncs: Arc<AtomicU64>,
    /// Held by who holds up syncs.
    syncing: Arc<Mutex<()>>,
    /// Nothing can be read.
    deaf: Arc<AtomicBool>,
    /// Whether a read is an operation: for the log, which is read back while the store lives. What redb
    /// reads depends on its cache.
    counts_reads: bool,
}

/// A half of the log: small, so that it is often full.
const HALF_BYTES: u64 = 16 << 10;

pub(crate) struct Machine {
    rooms: Disk,
    journal: Disk,
    log: Disk,
    /// Where the file of the rooms is made anew.
    copy: Disk,
    power: Arc<Power>,
}

impl Machine {
    /// Holds an empty store.
    pub(crate) fn new() -> Self {
        let machine = Self::with(vec![], vec![], vec![]);
        let database = Database::builder().create_with_backend(machine.rooms.clone()).unwrap();
        file::initialise(&database).unwrap();
        let store = file::read_meta(&database, Path::new("rooms")).unwrap().store.unwrap();
        let database = Database::builder().create_with_backend(machine.journal.clone()).unwrap();
        journal::file::initialise(&database, store, 1, 1).unwrap();
        journal::log::initialise(&machine.log, store, HALF_BYTES).unwrap();
        machine
    }

    fn with(rooms: Vec<u8>, journal: Vec<u8>, log: Vec<u8>) -> Self {
        let power = Arc::new(Power {
            left: AtomicU64::new(u64::MAX),
            good: AtomicU64::new(u64::MAX),
            full: AtomicBool::new(false),
        });
        let disk = |bytes: Vec<u8>| Disk {
            bytes: Arc::new(Mutex::new(Bytes {
                live: bytes.clone(),
                synced: bytes,
                unsynced: vec![],
            })),
            power: power.clone(),
            syncs: Arc::default(),
            syncing: Arc::default(),
            deaf: Arc::default(),
            counts_reads: false,
        };
        Self {
            rooms: disk(rooms),
            journal: disk(journal),
            log: Disk { counts_reads: true, ..disk(log) },
            copy: disk(vec![]),
            power: power.clone(),
        }
    }

    /// The power goes out after so many operations.
    pub(super) fn cut_after(&self, operations: u64) {
        self.power.left.store(operations, Ordering::SeqCst);
    }

    /// One operation fails after so many, and what comes later works again.
    pub(super) fn fail_after(&self, operations: u64) {
        self.power.good.store(operations, Ordering::SeqCst);
    }

    /// Whether there is power.
    pub(super) fn is_on(&self) -> bool {
        self.power.left.load(Ordering::SeqCst) > 0
    }

    /// From now on nothing can be written; or again.
    pub(crate) fn full(&self, full: bool) {
        self.power.full.store(full, Ordering::SeqCst);
    }

    /// From now on nothing can be read; or again.
    pub(crate) fn deaf(&self, deaf: bool) {
        for disk in [&self.rooms, &self.journal, &self.log, &self.copy] {
            disk.deaf.store(deaf, Ordering::SeqCst);
        }
    }

    /// From now on the log cannot be read; or again.
    pub(super) fn deaf_log(&self, deaf: bool) {
        self.log.deaf.store(deaf, Ordering::SeqCst);
    }

    /// No sync of the log returns while this is held.
    pub(super) fn hold_log_syncs(&self) -> MutexGuard<'_, ()> {
        self.log.syncing.lock().unwrap()
    }

    /// Whether something was written into the log and is not synced.
    pub(super) fn log_is_unsynced(&self) -> bool {
        !self.log.bytes.lock().unwrap().unsynced.is_empty()
    }

    /// Where in the log's file these bytes are.
    pub(super) fn find_in_log(&self, bytes: &[u8]) -> Option<usize> {
        let log = self.log.bytes.lock().unwrap();
        log.live.windows(bytes.len()).position(|window| window == bytes)
    }

    /// Changes a byte of the log, as a disk that forgets.
    pub(super) fn damage_log(&self, at: usize) {
        self.log.bytes.lock().unwrap().live[at] ^= 1;
    }

    /// How often the journal's database and its log were synced.
    pub(super) fn journal_syncs(&self) -> (u64, u64) {
        let syncs = |disk: &Disk| disk.syncs.load(Ordering::SeqCst);
        (syncs(&self.journal), syncs(&self.log))
    }

    /// How many batches of about so many bytes the log has room for.
    pub(super) fn batches_in_log(&self, bytes: u64) -> usize {
        usize::try_from(2 * HALF_BYTES / bytes).unwrap()
    }

    /// The size of the journal's database.
    pub(super) fn journal_len(&self) -> usize {
        self.journal.bytes.lock().unwrap().live.len()
    }

    /// The machine when the power comes back, of which only what was synced is left.
    pub(super) fn after_power_cut(&self) -> Self {
        let synced = |disk: &Disk| disk.bytes.lock().unwrap().synced.clone();
        Self::with(synced(&self.rooms), synced(&self.journal), synced(&self.log))
    }

    /// The same, with some of what was not synced.
    pub(super) fn after_torn_power_cut(&self, rng: &mut Rng) -> Self {
        Self::with(self.rooms.torn(rng), self.journal.torn(rng), self.log.torn(rng))
    }

    pub(crate) fn open(&self) -> Arc<Store> {
        self.try_open(&StoreConfig::default()).unwrap()
    }

    pub(crate) fn try_open(&self, config: &StoreConfig) -> Result<Arc<Store>, StoreError> {
        let (of_rooms, of_journal) = (Doubt::default(), Doubt::default());
        let open = |disk: &Disk, doubt| disk.opener(config.cache_bytes, doubt);
        let (open_rooms, open_journal) =
            (open(&self.rooms, of_rooms.clone()), open(&self.journal, of_journal));
        let rooms = open_rooms()?;
        let meta = file::read_meta(&rooms, Path::new("rooms"))?;
        let journal = open_journal()?;
        let mut tail = journal::file::read_tail(&journal, Path::new("journal"), meta.store)?;
        let (file, store) = (Path::new("log"), meta.store.unwrap());
        let found = journal::log::read(&self.log, file, store, tail.floor)?;
        tail.append(file, &found)?;
        let log = Log::new(Arc::new(self.log.clone()), store, &found, tail.floor);
        let opened = journal::Opened { database: journal, open: open_journal, log };
        let journal = Journal::new(opened, tail, config);
        let site = self.site(config.cache_bytes);
        let parts = Parts { rooms, open_rooms, meta, journal, of_rooms, site, folder: None };
        Store::start(parts, config)
    }

    /// Another file that may take the place of that of the rooms: at once, or, without power, not.
    fn site(&self, cache_bytes: usize) -> Site {
        let (made, from, to) = (self.copy.clone(), self.copy.clone(), self.rooms.clone());
        Site {
            make: Box::new(move || {
                *made.bytes.lock().unwrap() = Bytes::default();
                let mut builder = Database::builder();
                let made = builder.set_cache_size(cache_bytes).create_with_backend(made.clone());
                made.map_err(|error| StoreError::Write(error.to_string()))
            }),
            replace: Box::new(move || {
                to.power()?;
                *to.bytes.lock().unwrap() = std::mem::take(&mut from.bytes.lock().unwrap());
                Ok(())
            }),
            discard: Box::new(|| {}),
        }
    }
}

impl Disk {
    fn opener(&self, cache_bytes: usize, doubt: Doubt) -> Open {
        let disk = self.clone();
        Box::new(move || {
            let opened = Watched::new(disk.clone(), &doubt).map_err(redb::Error::Io);
            let opened = opened.and_then(|backend| {
                let mut builder = Database::builder();
                let opened = builder.set_cache_size(cache_bytes).create_with_backend(backend);
                opened.map_err(redb::Error::from)
            });
            opened.map_err(|error| StoreError::Read(error.to_string()))
        })
    }

    /// One more operation. Without power, and when it is the one that fails, it is done in part, or
    /// not.
    fn power(&self) -> io::Result<()> {
        let take = |left: u64| left.checked_sub(1);
        let left = self.power.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take);
        left.map_err(|_| io::Error::other("the power is out"))?;
        match self.power.good.fetch_sub(1, Ordering::SeqCst) {
            0 => Err(io::Error::other("a bad block")),
            _ => Ok(()),
        }
    }

    fn space(&self) -> io::Result<()> {
        match self.power.full.load(Ordering::SeqCst) {
            true => Err(io::Error::new(io::ErrorKind::StorageFull, "no space left")),
            false => Ok(()),
        }
    }

    /// What was synced, and of the rest each operation wholly, not at all, or in some sectors.
    fn torn(&self, rng: &mut Rng) -> Vec<u8> {
        let bytes = self.bytes.lock().unwrap();
        let mut torn = bytes.synced.clone();
        for op in &bytes.unsynced {
            match (op, rng.below(4)) {
                (_, 0) => {}
                (Op::Write(at, data), 1) => {
                    for (nth, sector) in data.chunks(SECTOR_BYTES).enumerate() {
                        if rng.below(2) == 0 {
                            write(&mut torn, *at + (nth * SECTOR_BYTES) as u64, sector);
                        }
                    }
                }
                (op, _) => op.apply(&mut torn),
            }
        }
        torn
    }
}

impl Op {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(at, data) => write(bytes, *at, data),
            Self::Len(len) => bytes.resize(usize::try_from(*len).unwrap(), 0),
        }
    }
}

/// Beyond the end it makes the file longer, as after a change of length that was lost.
fn write(bytes: &mut Vec<u8>, at: u64, data: &[u8]) {
    let at = usize::try_from(at).unwrap();
    if bytes.len() < at + data.len() {
        bytes.resize(at + data.len(), 0);
    }
    bytes[at..at + data.len()].copy_from_slice(data);
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().unwrap().live.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.deaf.load(Ordering::SeqCst) {
            return Err(io::Error::other("no answer"));
        }
        if self.counts_reads {
            self.power()?;
        }
        let at = usize::try_from(offset).unwrap();
        let bytes = self.bytes.lock().unwrap();
        let found = bytes.live.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.space()?;
        self.power()?;
        let mut bytes = self.bytes.lock().unwrap();
        let op = Op::Len(len);
        op.apply(&mut bytes.live);
        bytes.unsynced.push(op);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.space()?;
        let _held = self.syncing.lock().unwrap();
        let powered = self.power();
        self.syncs.fetch_add(1, Ordering::SeqCst);
        let Bytes { synced, unsynced, .. } = &mut *self.bytes.lock().unwrap();
        match powered {
            Ok(()) => unsynced.drain(..).for_each(|op| op.apply(synced)),
            // As Linux does it: what was not written is forgotten, and read as if it had been.
            Err(_) if self.power.left.load(Ordering::SeqCst) > 0 => unsynced.clear(),
            Err(_) => {}
        }
        powered
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.space()?;
        let powered = self.power();
        let op = Op::Write(offset, data.to_vec());
        let mut bytes = self.bytes.lock().unwrap();
        if powered.is_ok() {
            assert!(bytes.live.len() >= usize::try_from(offset).unwrap() + data.len());
            op.apply(&mut bytes.live);
        }
        // What the power went out under may still have been on its way.
        bytes.unsynced.push(op);
        powered
    }
}
