//! What a room remembers by name, beyond its match: an ordered map from texts to values.
//!
//! A game has it without registering anything, as soon as a system or a hook takes it. It is part of the
//! state, of its hash and of every snapshot, and no client sees it. The next match under the same id
//! begins with what this one left.

use std::collections::BTreeMap;
use std::ops::Bound;

use bevy_ecs::prelude::*;
use referee_protocol::limits::{
    STORAGE_KEY_MAX_BYTES, STORAGE_KEYS_MAX, STORAGE_MAX_BYTES, STORAGE_VALUE_MAX_BYTES,
};
use referee_protocol::schema::FieldType;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::field::{Field, Hints, LoadError, Loader, Quantiser, Saver, Words};
use crate::game::Game;
use crate::layout::Layout;
use crate::registry::ComponentRow;
use crate::reuse::put;

/// What the storage is called in a snapshot: no type can have this name.
pub(crate) const NAME: &str = "(storage)";

/// How much of a key an error shows, in characters.
const SHOWN_CHARS: usize = 64;

/// What a room remembers by name, in the order of the names' bytes. Take it as a resource: nothing is to be
/// registered. It outlives the match, for the next one under the same id; clients do not see it.
///
/// Values are whatever serde can write, kept as MessagePack: numbers, texts, lists, maps, JSON, and types of
/// your own with `#[derive(Serialize, Deserialize)]`. Do not keep a `HashMap`: its order is another in each
/// run.
///
/// ```
/// use referee_room::prelude::*;
///
/// fn count_wins(mut storage: ResMut<Storage>, winners: Query<&Player, Added<Winner>>) -> Result {
///     for player in &winners {
///         let key = format!("wins/{}", player.name);
///         let wins: u32 = storage.get(&key).unwrap_or(0);
///         storage.set(&key, &(wins + 1))?;
///     }
///     Ok(())
/// }
///
/// fn best(storage: Res<Storage>) -> Option<String> {
///     let best = storage.range::<u32>("wins/").max_by_key(|(_, wins)| *wins)?;
///     Some(best.0.trim_start_matches("wins/").to_owned())
/// }
/// # #[derive(Component, Replicate)] struct Winner;
/// # use referee_room::testkit::TestRoom;
/// # let mut room = TestRoom::new(|game: &mut Game| {
/// #     game.turn_based().keep::<Winner>().systems(count_wins);
/// #     game.on_request(|storage: Res<Storage>| best(storage));
/// # });
/// # let (_, bob) = (room.join("Ann"), room.join("Bob"));
/// # let entity = room.entity(bob);
/// # room.change(|world| { world.entity_mut(entity).insert(Winner); });
/// # assert_eq!(room.request("GET", "", &Value::Null), (200, json!("Bob")));
/// ```
///
/// It is kept as long as the room: until nobody has visited it for 30 days, unless the server says otherwise.
/// A key has at most 256 bytes, a value 16 KiB, all of it 256 KiB and 4,096 keys. A system that hands the
/// error on with `?` is taken back like one that panics.
#[derive(Resource, Clone, Default, Debug)]
pub struct Storage {
    entries: BTreeMap<String, Vec<u8>>,
    /// Of keys and values.
    bytes: usize,
    /// Something is another since [`Storage::take_changed`]. Not saved.
    changed: bool,
}

/// Why something cannot be kept, or be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StorageError {
    /// The key is empty or too long.
    #[error(
        "storage key {key:?}: has {bytes} bytes; 1 to {STORAGE_KEY_MAX_BYTES} are allowed: name it \
         otherwise"
    )]
    Key {
        /// Its beginning.
        key: String,
        /// Its length.
        bytes: usize,
    },
    /// The value is too large.
    #[error(
        "storage key {key:?}: its value has {bytes} bytes; {STORAGE_VALUE_MAX_BYTES} are allowed: keep \
         it under several keys"
    )]
    Value {
        /// The key.
        key: String,
        /// The value's length.
        bytes: usize,
    },
    /// The storage would be too large.
    #[error(
        "storage key {key:?}: with it the storage has {bytes} bytes; {STORAGE_MAX_BYTES} are allowed: \
         remove what is not needed"
    )]
    Bytes {
        /// The key.
        key: String,
        /// The length of all of it.
        bytes: usize,
    },
    /// There are too many keys.
    #[error(
        "storage key {key:?}: it would be one more than the {STORAGE_KEYS_MAX} that are allowed: remove \
         some, or keep several values under one"
    )]
    Keys {
        /// The key.
        key: String,
    },
    /// The value cannot be written.
    #[error("storage key {key:?}: the value cannot be written: {why}")]
    Write {
        /// The key.
        key: String,
        /// What serde says.
        why: String,
    },
    /// What is kept under the key is another type.
    #[error(
        "storage key {key:?}: what is kept there is no {wanted}: {why}; read it as what it was set as, \
         or remove it"
    )]
    Read {
        /// The key.
        key: String,
        /// The type that was asked for.
        wanted: &'static str,
        /// What serde says.
        why: String,
    },
}

impl Storage {
    /// What is kept under a key; none where nothing is.
    ///
    /// # Panics
    /// When another type is kept there: so it is not taken for nothing, and written over. See
    /// [`Storage::read`].
    #[must_use]
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        self.read(key).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`Storage::get`], for what may be of another type, as an earlier version of the game left it.
    ///
    /// # Errors
    /// When another type is kept there.
    pub fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StorageError> {
        self.entries.get(key).map(|bytes| decode(key, bytes)).transpose()
    }

    /// Keeps a value under a key, in place of what was there.
    ///
    /// # Errors
    /// When a limit would be exceeded: then all stays as it was.
    pub fn set<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<(), StorageError> {
        let shown = || key.chars().take(SHOWN_CHARS).collect::<String>();
        if key.is_empty() || key.len() > STORAGE_KEY_MAX_BYTES {
            return Err(StorageError::Key { key: shown(), bytes: key.len() });
        }
        let new = rmp_serde::to_vec_named(value)
            .map_err(|error| StorageError::Write { key: shown(), why: error.to_string() })?;
        if new.len() > STORAGE_VALUE_MAX_BYTES {
            return Err(StorageError::Value { key: shown(), bytes: new.len() });
        }
        let old = self.entries.get(key);
        if old.is_none() && self.entries.len() >= STORAGE_KEYS_MAX {
            return Err(StorageError::Keys { key: shown() });
        }
        let bytes = self.bytes - old.map_or(0, |old| size(key, old)) + size(key, &new);
        if bytes > STORAGE_MAX_BYTES {
            return Err(StorageError::Bytes { key: shown(), bytes });
        }
        if old != Some(&new) {
            (self.bytes, self.changed) = (bytes, true);
            self.entries.insert(key.to_owned(), new);
        }
        Ok(())
    }

    /// Forgets what is kept under a key. Says whether there was anything.
    pub fn remove(&mut self, key: &str) -> bool {
        let Some(old) = self.entries.remove(key) else { return false };
        self.bytes -= size(key, &old);
        self.changed = true;
        true
    }

    /// All keys that begin so, in the order of their bytes, with their values: `range::<u32>("wins/")`. An
    /// empty beginning gives all there is.
    ///
    /// # Panics
    /// When another type is kept under one of them: ask for [`Value`] where there are several.
    pub fn range<T: DeserializeOwned>(&self, begins: &str) -> impl Iterator<Item = (&str, T)> {
        let from = (Bound::Included(begins), Bound::Unbounded);
        let all =
            self.entries.range::<str, _>(from).take_while(move |(k, _)| k.starts_with(begins));
        all.map(|(key, bytes)| {
            (&**key, decode(key, bytes).unwrap_or_else(|error| panic!("{error}")))
        })
    }

    /// Whether anything is kept under a key.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How large it is, keys and values, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.bytes
    }

    /// Whether anything was changed since the last call.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// All of it for the next match; empty where there is nothing.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if !self.is_empty() {
            self.save(&mut Saver::new(&mut bytes, &|_| 0));
        }
        bytes
    }

    /// What an earlier match left.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, LoadError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let mut from = Loader::new(bytes, &|_| Entity::PLACEHOLDER);
        let storage = Self::load(&mut from)?;
        if from.rest().is_empty() { Ok(storage) } else { Err(LoadError::Number) }
    }

    /// All of it as JSON. What JSON cannot say (bytes, maps with other keys than texts) is shown as the
    /// MessagePack that is kept, in hex.
    pub(crate) fn to_json(&self) -> Value {
        let json = |bytes: &[u8]| -> Value {
            rmp_serde::from_slice(bytes).unwrap_or_else(|_| {
                bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
            })
        };
        self.entries.iter().map(|(key, bytes)| (key.clone(), json(bytes))).collect()
    }
}

impl Game {
    /// Puts an empty [`Storage`] in.
    pub(crate) fn add_storage(&mut self) {
        let id = self.world.register_component::<Storage>();
        put(&mut self.world, Storage::default());
        let row = ComponentRow::plain::<Storage>(id, FieldType::Unit, true);
        self.components.push(ComponentRow { name: NAME.to_owned(), ..row });
    }
}

/// What [`Room::storage`](crate::room::Room::storage) gave, as JSON.
///
/// # Errors
/// When the bytes are none.
pub fn to_json(bytes: &[u8]) -> Result<Value, LoadError> {
    Storage::from_bytes(bytes).map(|storage| storage.to_json())
}

fn size(key: &str, value: &[u8]) -> usize {
    key.len() + value.len()
}

fn decode<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, StorageError> {
    rmp_serde::from_slice(bytes).map_err(|error| StorageError::Read {
        key: key.to_owned(),
        wanted: std::any::type_name::<T>(),
        why: error.to_string(),
    })
}

/// Only the exact half: it is never sent.
impl Field for Storage {
    fn shape(_: &Hints) -> Result<FieldType, String> {
        Ok(FieldType::Unit)
    }

    fn quantise(&self, _: &FieldType, _: &mut Quantiser<'_>) {}

    fn restore(_: &FieldType, _: &mut Words<'_>) -> Option<Self> {
        None
    }

    fn save(&self, out: &mut Saver<'_>) {
        out.varint(self.entries.len() as u64);
        for (key, bytes) in &self.entries {
            out.block(key.as_bytes());
            out.block(bytes);
        }
    }

    fn load(from: &mut Loader<'_>) -> Result<Self, LoadError> {
        let mut storage = Self::default();
        for _ in 0..from.count()? {
            let key = String::from_utf8(from.block()?.to_vec()).map_err(|_| LoadError::Text)?;
            let value = from.block()?.to_vec();
            storage.bytes += size(&key, &value);
            if storage.entries.insert(key, value).is_some() {
                return Err(LoadError::Number); // each key is there once
            }
        }
        Ok(storage)
    }

    fn layout() -> Layout {
        Layout::List(Box::new(Layout::tuple([Layout::Text, Layout::Bytes])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(storage: &mut Storage, key: &str, value: &str, parts: &[&str]) {
        let before = storage.to_bytes();
        let said = storage.set(key, value).expect_err("it is too much").to_string();
        for part in parts {
            assert!(said.contains(part), "{said} should contain {part}");
        }
        assert_eq!(storage.to_bytes(), before, "all stays as it was");
    }

    #[test]
    fn every_limit_is_named_with_the_way_out() {
        let mut storage = Storage::default();
        refused(&mut storage, "", "x", &["\"\"", "0 bytes", "256", "name it otherwise"]);
        let long = "k".repeat(257);
        refused(&mut storage, &long, "x", &["kkk", "257 bytes", "256"]);
        let large = "v".repeat(16 * 1024);
        refused(&mut storage, "a", &large, &["\"a\"", "16387 bytes", "16384", "several keys"]);
        let full = "v".repeat(16_000);
        for number in 0..16 {
            storage.set(&format!("full/{number}"), &full).expect("it fits");
        }
        refused(&mut storage, "more", &full, &["\"more\"", "262144", "remove"]);
        storage.set("full/3", "little").expect("in place of what was there");
        storage.set("more", &full).expect("now it fits");
        let mut many = Storage::default();
        for number in 0..4096 {
            many.set(&number.to_string(), &1).expect("it fits");
        }
        refused(&mut many, "more", "x", &["\"more\"", "4096"]);
        assert!(many.remove("7") && !many.remove("7"));
        many.set("more", &1).expect("one has gone");
        assert_eq!(
            (many.len(), many.to_bytes().len()),
            (4096, 2 + 4096 * 3 + many.size_bytes() - 4096)
        );
    }

    #[test]
    fn keys_are_in_the_order_of_their_bytes() {
        let mut storage = Storage::default();
        for (key, value) in
            [("wins/b", 2u32), ("wins/", 0), ("wins0", 9), ("wins/a", 1), ("lost/a", 7)]
        {
            storage.set(key, &value).expect("it fits");
        }
        let wins: Vec<_> = storage.range::<u32>("wins/").collect();
        assert_eq!(wins, [("wins/", 0), ("wins/a", 1), ("wins/b", 2)]);
        assert_eq!(storage.range::<u32>("").count(), 5);
        assert_eq!(storage.get::<u64>("wins/b"), Some(2), "as any whole number");
        assert_eq!(storage.get::<u32>("wins/c"), None);
    }

    #[test]
    fn what_is_of_another_type_is_not_taken_for_nothing() {
        let mut storage = Storage::default();
        storage.set("a", "text").expect("it fits");
        let said = storage.read::<u32>("a").expect_err("it is a text").to_string();
        assert!(said.contains("\"a\"") && said.contains("u32"), "{said}");
    }

    #[test]
    fn what_is_set_to_the_same_again_is_no_change() {
        let mut storage = Storage::default();
        storage.set("a", &1).expect("it fits");
        assert!(storage.take_changed());
        storage.set("a", &1).expect("it fits");
        assert!(!storage.take_changed() && !storage.remove("b"));
        assert!(storage.remove("a") && storage.take_changed());
        assert_eq!((storage.size_bytes(), storage.to_bytes()), (0, vec![]));
    }

    #[test]
    fn it_is_shown_as_json() {
        let mut storage = Storage::default();
        storage.set("a", &("x", 1.5f32, [Some(1), None])).expect("it fits");
        storage.set("b", &BTreeMap::from([(1, 2)])).expect("it fits");
        assert_eq!(
            storage.to_json(),
            serde_json::json!({"a": ["x", 1.5, [1, null]], "b": "810102"})
        );
        let again = Storage::from_bytes(&storage.to_bytes()).expect("it wrote that itself");
        assert_eq!(
            (again.to_json(), again.size_bytes()),
            (storage.to_json(), storage.size_bytes())
        );
    }
}
