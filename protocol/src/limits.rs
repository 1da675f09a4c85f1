//! Every limit of the protocol: its name, its unit, its reason. Relations between them are checked
//! at compile time at the end of the file.

/// The protocol versions this build speaks, best first.
pub const VERSIONS: &[u16] = &[1];

/// Longest game name and match id, in bytes.
pub const ID_MAX_BYTES: usize = 64;
/// Longest player name, in bytes of UTF-8.
pub const PLAYER_NAME_MAX_BYTES: usize = 64;
/// Largest parameters a first visitor may send, in bytes of JSON.
pub const PARAMS_MAX_BYTES: usize = 4 * 1024;
/// Largest resume token, in bytes.
pub const TOKEN_MAX_BYTES: usize = 128;
/// Largest message a client may send, in bytes, its lane byte included.
pub const CLIENT_MESSAGE_MAX_BYTES: usize = 16 * 1024;
/// Largest message a server may send, in bytes: a full state of the largest room.
pub const SERVER_MESSAGE_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Largest encoded schema, in bytes.
pub const SCHEMA_MAX_BYTES: usize = 32 * 1024;
/// Largest body of a request into a room and of its answer, in bytes.
pub const REQUEST_MAX_BYTES: usize = 64 * 1024;

/// Most registered component and resource types of a game that are sent.
pub const COMPONENTS_MAX: usize = 256;
/// Most input, action and event types of a game, each.
pub const MESSAGE_TYPES_MAX: usize = 256;
/// Deepest nesting of a field type.
pub const TYPE_DEPTH_MAX: usize = 16;
/// Most words one value may take once quantised (a word is 32 bits).
pub const VALUE_WORDS_MAX: usize = 64 * 1024;
/// Most entities one client may see.
pub const ENTITIES_MAX: usize = 65_536;
/// What an entity counts in [`STATE_MAX_BYTES`] and [`SHOWN_MAX_BYTES`], in bytes, in each group that
/// shows it: about the memory that it takes.
pub const ENTITY_BYTES: usize = 192;
/// What a component of it counts, in bytes.
pub const COMPONENT_BYTES: usize = 176;
/// Words of a component that count nothing more.
pub const COMPONENT_WORDS: usize = 4;
/// What each word beyond those counts, in bytes: it is kept as it was at the last few sends.
pub const WORD_BYTES: usize = 12;
/// Most memory that a client gives to what it knows of a room, in bytes: few bytes on the wire can tell of
/// many entities. What left a moment ago counts, too.
pub const STATE_MAX_BYTES: usize = 96 * 1024 * 1024;
/// Most that a room shows, over all its groups, in bytes as they count for its clients: four components of
/// a few words for as many entities as there may be.
pub const SHOWN_MAX_BYTES: usize = 64 * 1024 * 1024;
/// Most groups one client may subscribe to.
pub const SUBSCRIPTIONS_MAX: usize = 64;

/// State frames a link may have in flight before ticks are skipped for it, whatever its round trip.
pub const FRAMES_IN_FLIGHT_MAX: u32 = 4;
/// State that may be in flight beyond one round trip, in milliseconds: what a client may delay its
/// acknowledgement by, and as much again for the network's own moods.
pub const IN_FLIGHT_BEYOND_RTT_MS: u64 = 2 * ACK_EVERY_MS;
/// State frames a link may have in flight over the longest path: 600 ms of round trip at 60 Hz.
pub const FRAMES_IN_FLIGHT_LIMIT: u32 = 48;
/// A client acknowledges at least every this many state frames.
pub const ACK_EVERY_FRAMES: u32 = 4;
/// A client acknowledges at least this often while it receives state, in milliseconds.
pub const ACK_EVERY_MS: u64 = 100;
/// What was sent stays a baseline for this long on links that lose, in milliseconds: longer than an
/// acknowledgement takes. A client that was not heard of for longer gets everything anew.
pub const LADDER_MS: u64 = 1_000;
/// About how far apart the baselines for such links lie, in milliseconds: the more clients share one,
/// and the older they are.
pub const LADDER_STEP_MS: u64 = 120;
/// Most ticks between two such baselines: what a head has room for.
pub const LADDER_STEP_MAX: u64 = 14;
/// Most times a group is coded in one tick for links that lose, however many there are.
pub const LADDER_BLOCKS_MAX: usize = 4;
/// Events kept for a seat until its client has acknowledged them, in bytes of their frames.
pub const EVENTS_KEPT_MAX_BYTES: usize = 256 * 1024;
/// Most words of the events that wait at a client for the state of their tick: as many as there are bits of
/// them. Some words take no bit on the wire.
pub const EVENT_WORDS_MAX: usize = 8 * EVENTS_KEPT_MAX_BYTES;
/// Actions a client keeps until they are applied.
pub const ACTIONS_KEPT_MAX: usize = 1024;
/// Actions of one seat the room accepts between two ticks.
pub const ACTIONS_PER_TICK_MAX: usize = 256;
/// How far ahead of its tick an input sample may arrive, in milliseconds.
pub const INPUT_AHEAD_MAX_MS: u64 = 250;
/// How long a missing input sample repeats the last one before the default stands, in milliseconds.
pub const INPUT_REPEAT_MS: u64 = 500;

/// A realtime room sends each client a frame at least this often, in milliseconds.
pub const STATE_SILENCE_MAX_MS: u64 = 200;

/// Removals a group remembers for clients that fell behind or come back.
pub const REMOVALS_KEPT_MAX: usize = 4096;
/// Ticks a turn-based room runs at once while its state keeps changing.
pub const SETTLE_TICKS_MAX: u32 = 64;
/// Longest key in a room's storage, in bytes.
pub const STORAGE_KEY_MAX_BYTES: usize = 256;
/// Largest value in a room's storage, in bytes as it is kept.
pub const STORAGE_VALUE_MAX_BYTES: usize = 16 * 1024;
/// Largest storage of a room, keys and values, in bytes: it is part of each snapshot and each hash.
pub const STORAGE_MAX_BYTES: usize = 256 * 1024;
/// Most keys in a room's storage.
pub const STORAGE_KEYS_MAX: usize = 4096;
/// Alarms of a room that come due in one tick at most.
pub const ALARMS_PER_TICK_MAX: usize = 64;
/// Default seats of a room.
pub const SEATS_DEFAULT: u16 = 64;
/// Most seats of a room.
pub const SEATS_MAX: u16 = 4096;
/// Most spectators of a room.
pub const SPECTATORS_MAX: u16 = 4096;

/// A client pings this often, in milliseconds, so that both ends notice a dead link.
pub const PING_EVERY_MS: u64 = 2_000;
/// A link on which nothing was heard for this long is dead, in milliseconds.
pub const LINK_SILENCE_MAX_MS: u64 = 6_000;
/// Silence of a realtime room after which its client opens a second connection, in milliseconds:
/// more than two frames of [`STATE_SILENCE_MAX_MS`] are missing.
pub const LINK_QUIET_MS: u64 = 500;
/// A client whose realtime room is silent for that long pings it this often until it speaks, in
/// milliseconds: over QUIC a server that was started anew answers to that, and to nothing else, that it
/// does not know the connection.
pub const LINK_QUIET_PING_MS: u64 = 250;
/// Least time between two second connections of a client, in milliseconds: a network that stutters
/// must not become a storm of handshakes.
pub const LINK_SECOND_EVERY_MS: u64 = 1_000;
/// A client whose timer goes off this much too late was not awake and could not hear, in
/// milliseconds: more than a busy machine delays a timer, less than [`LINK_QUIET_MS`].
pub const LINK_ASLEEP_MS: u64 = 100;
/// Time from the first byte to a complete Hello, in milliseconds.
pub const HELLO_WITHIN_MS: u64 = 5_000;
/// Default grace: how long a dropped seat is held, in milliseconds.
pub const SEAT_GRACE_MS: u64 = 30_000;

const _: () = assert!(PARAMS_MAX_BYTES + TOKEN_MAX_BYTES + 512 <= CLIENT_MESSAGE_MAX_BYTES);
const _: () = assert!(SCHEMA_MAX_BYTES < SERVER_MESSAGE_MAX_BYTES);
const _: () = assert!(ENTITIES_MAX * (ENTITY_BYTES + 4 * COMPONENT_BYTES) <= SHOWN_MAX_BYTES);
const _: () = assert!(SHOWN_MAX_BYTES + SHOWN_MAX_BYTES / 2 <= STATE_MAX_BYTES);
const _: () = assert!(STATE_SILENCE_MAX_MS * 2 < LINK_QUIET_MS);
const _: () = assert!(LINK_ASLEEP_MS < LINK_QUIET_MS && LINK_QUIET_MS < PING_EVERY_MS);
const _: () = assert!(PING_EVERY_MS * 2 < LINK_SILENCE_MAX_MS);
const _: () = assert!(LINK_SILENCE_MAX_MS < SEAT_GRACE_MS);
const _: () = assert!(LADDER_STEP_MS * 4 < LADDER_MS);
const _: () = assert!(SEATS_DEFAULT <= SEATS_MAX);
const _: () = assert!(STORAGE_KEY_MAX_BYTES + STORAGE_VALUE_MAX_BYTES <= STORAGE_MAX_BYTES);
const _: () = assert!(ACK_EVERY_FRAMES <= FRAMES_IN_FLIGHT_MAX);
const _: () = assert!(FRAMES_IN_FLIGHT_MAX <= FRAMES_IN_FLIGHT_LIMIT);
