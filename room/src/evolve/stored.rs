//! A stored state taken apart by the layouts that are stored with it: what each part is called, and its
//! bytes. No game is needed for it.

use serde_json::{Map, Value, json as js};

use super::reader;
use crate::field::{Field, LoadError, Loader};
use crate::layout::{Layout, TypeOf, Types, json, span};
use crate::snapshot::{RestoreError, body};
use crate::storage::Storage;

type Loaded<T> = Result<T, LoadError>;

/// A value with its ages.
#[derive(Clone, Copy)]
pub(super) struct Aged<'a> {
    /// How long ago it was added and last changed: two numbers.
    pub(super) ages: &'a [u8],
    pub(super) bytes: &'a [u8],
}

/// A timer or an alarm that waits.
pub(super) struct Waiting<'a> {
    /// The tick, or milliseconds since 1970.
    pub(super) at: u64,
    pub(super) number: u64,
    pub(super) bytes: &'a [u8],
}

/// A sample that waits: tick, number and words.
pub(super) type Sampled = (u64, u64, Vec<u32>);

pub(super) struct StoredSeat<'a> {
    pub(super) seat: u64,
    pub(super) entity: u64,
    pub(super) connected: bool,
    pub(super) last_action: u64,
    /// All before its inputs.
    pub(super) bytes: &'a [u8],
    /// For each registered input: the tick whose sample stands, plus 1, and what waits.
    pub(super) inputs: Vec<(u64, Vec<Sampled>)>,
}

pub(super) struct Stored<'a> {
    pub(super) ids: Vec<u64>,
    pub(super) tick: u64,
    pub(super) started: bool,
    pub(super) ended: Option<String>,
    /// Clocks, ages of systems and what the room is like, which are the same in every game.
    pub(super) room: &'a [u8],
    pub(super) seats: Vec<StoredSeat<'a>>,
    /// For each type.
    pub(super) timers: Vec<Vec<Waiting<'a>>>,
    /// What the wall clock said last, and in which tick, where there are alarms.
    pub(super) wall: Option<(u64, u64)>,
    pub(super) alarms: Vec<Vec<Waiting<'a>>>,
    /// In the order of the types that are resources.
    pub(super) resources: Vec<Aged<'a>>,
    pub(super) storage: Option<Aged<'a>>,
    /// For each entity its components: the place among the types that are none, and the value.
    pub(super) entities: Vec<Vec<(usize, Aged<'a>)>>,
}

/// Takes a state apart.
///
/// # Errors
/// When it is damaged.
pub(super) fn read<'a>(types: &Types, has_storage: bool, state: &'a [u8]) -> Loaded<Stored<'a>> {
    let mut from = reader(state);
    let ids = (0..from.count()?).map(|_| from.varint()).collect::<Loaded<Vec<_>>>()?;
    let before = from.rest();
    let tick = read_clocks(&mut from)?;
    for _ in 0..2 {
        for _ in 0..from.count()? {
            from.varint()?; // systems, then hooks
        }
    }
    from.raw(2 + 2 + 1 + 1)?; // seats, hz, public, whole_map
    let (started, _lasting) = (bool::load(&mut from)?, bool::load(&mut from)?);
    let ended = Option::<String>::load(&mut from)?;
    let room = &before[..before.len() - from.rest().len()];
    let seats = (0..from.count()?).map(|_| read_seat(&mut from)).collect::<Loaded<_>>()?;
    let timers = read_waiting(&types.timers, &mut from)?;
    let wall = match types.alarms.is_empty() {
        true => None,
        false => Some((from.varint()?, from.varint()?)),
    };
    let alarms = read_waiting(&types.alarms, &mut from)?;
    let resources = types.components.iter().filter(|of| of.resource);
    let resources = resources.map(|of| read_aged(&of.layout, &mut from)).collect::<Loaded<_>>()?;
    let storage = has_storage.then(|| read_aged(&Storage::layout(), &mut from)).transpose()?;
    let components: Vec<&TypeOf> = types.components.iter().filter(|of| !of.resource).collect();
    let entities =
        ids.iter().map(|_| read_entity(&components, &mut from)).collect::<Loaded<_>>()?;
    if !from.rest().is_empty() {
        return Err(LoadError::Number);
    }
    #[rustfmt::skip]
    let stored = Stored {
        ids, tick, started, ended, room, seats, timers, wall, alarms, resources, storage, entities,
    };
    Ok(stored)
}

/// Gives the tick.
fn read_clocks(from: &mut Loader<'_>) -> Loaded<u64> {
    let tick = from.varint()?;
    for _ in 0..3 {
        from.varint()?; // ticks that ran, the last identity, the next timer
    }
    from.raw(32 + 16 + 8)?; // the generator, the public seed
    Ok(tick)
}

fn read_seat<'a>(from: &mut Loader<'a>) -> Loaded<StoredSeat<'a>> {
    let begin = from.rest();
    let (seat, entity, _generation) = (from.varint()?, from.varint()?, from.varint()?);
    let connected = bool::load(from)?;
    for _ in 0..3 {
        from.varint()?; // session, dropped, active
    }
    let last_action = from.varint()?;
    let bytes = &begin[..begin.len() - from.rest().len()];
    let inputs = (0..from.count()?).map(|_| read_samples(from)).collect::<Loaded<_>>()?;
    Ok(StoredSeat { seat, entity, connected, last_action, bytes, inputs })
}

fn read_samples(from: &mut Loader<'_>) -> Loaded<(u64, Vec<Sampled>)> {
    let last = from.varint()?;
    let sample = |from: &mut Loader<'_>| {
        let (tick, number) = (from.varint()?, from.varint()?);
        let words = (0..from.count()?).map(|_| Ok(u32::from_le_bytes(from.array()?)));
        Ok((tick, number, words.collect::<Loaded<Vec<_>>>()?))
    };
    let waiting = (0..from.count()?).map(|_| sample(from)).collect::<Loaded<_>>()?;
    Ok((last, waiting))
}

fn read_waiting<'a>(types: &[TypeOf], from: &mut Loader<'a>) -> Loaded<Vec<Vec<Waiting<'a>>>> {
    let one = |of: &TypeOf, from: &mut Loader<'a>| {
        let (at, number) = (from.varint()?, from.varint()?);
        Ok(Waiting { at, number, bytes: span(&of.layout, from)? })
    };
    let all = types.iter().map(|of| (0..from.count()?).map(|_| one(of, from)).collect());
    all.collect()
}

fn read_aged<'a>(layout: &Layout, from: &mut Loader<'a>) -> Loaded<Aged<'a>> {
    let begin = from.rest();
    from.varint()?;
    from.varint()?;
    let ages = &begin[..begin.len() - from.rest().len()];
    Ok(Aged { ages, bytes: span(layout, from)? })
}

fn read_entity<'a>(
    components: &[&TypeOf],
    from: &mut Loader<'a>,
) -> Loaded<Vec<(usize, Aged<'a>)>> {
    let mask = from.raw(components.len().div_ceil(8))?;
    let here = (0..components.len()).filter(|at| mask[at / 8] >> (at % 8) & 1 == 1);
    here.map(|at| Ok((at, read_aged(&components[at].layout, from)?))).collect()
}

/// See [`crate::inspect::stored`].
pub(crate) fn to_json(snapshot: &[u8]) -> Result<Value, RestoreError> {
    let body = body(snapshot)?;
    let (types, has_storage) = body.layouts()?;
    let stored = read(&types, has_storage, body.state)?;
    let value = |of: &TypeOf, bytes: &[u8]| json(&of.layout, &mut reader(bytes));
    let resources = types.components.iter().filter(|of| of.resource).zip(&stored.resources);
    let resources = resources.map(|(of, aged)| Ok((of.name.clone(), value(of, aged.bytes)?)));
    let resources = resources.collect::<Loaded<Map<_, _>>>()?;
    let components: Vec<&TypeOf> = types.components.iter().filter(|of| !of.resource).collect();
    let entity = |id: u64, parts: &[(usize, Aged<'_>)]| {
        let named = |(at, aged): &(usize, Aged<'_>)| {
            let of = components[*at];
            Ok((of.name.clone(), value(of, aged.bytes)?))
        };
        let mut fields = parts.iter().map(named).collect::<Loaded<Map<_, _>>>()?;
        fields.insert("id".to_owned(), js!(id));
        Ok(Value::Object(fields))
    };
    let entities = stored.ids.iter().zip(&stored.entities);
    let entities = entities.map(|(id, parts)| entity(*id, parts)).collect::<Loaded<Vec<_>>>()?;
    let seats = stored.seats.iter().map(|seat| {
        js!({
            "seat": seat.seat,
            "player": seat.entity,
            "connected": seat.connected,
            "last_action": seat.last_action,
        })
    });
    let mut state = js!({
        "tick": stored.tick,
        "hash": format!("{:016x}", referee_protocol::hash::hash(body.state)),
        "started": stored.started,
        "ended": stored.ended,
        "seats": seats.collect::<Vec<_>>(),
        "resources": resources,
        "entities": entities,
        "timers": waiting_json(&types.timers, &stored.timers)?,
        "alarms": waiting_json(&types.alarms, &stored.alarms)?,
    });
    if let Some(aged) = stored.storage {
        state["storage"] = Storage::load(&mut reader(aged.bytes))?.to_json();
    }
    Ok(state)
}

fn waiting_json(types: &[TypeOf], waiting: &[Vec<Waiting<'_>>]) -> Loaded<Value> {
    let one = |of: &TypeOf, waiting: &Waiting<'_>| {
        Ok(js!({ "at": waiting.at, "value": json(&of.layout, &mut reader(waiting.bytes))? }))
    };
    let all = types.iter().zip(waiting).filter(|(_, waiting)| !waiting.is_empty());
    let all = all.map(|(of, waiting)| {
        let list = waiting.iter().map(|waiting| one(of, waiting)).collect::<Loaded<Vec<_>>>()?;
        Ok((of.name.clone(), js!(list)))
    });
    Ok(Value::Object(all.collect::<Loaded<Map<_, _>>>()?))
}
