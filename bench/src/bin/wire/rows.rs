//! The rows: what is measured of which world, and what is good.

use std::path::Path;
use std::time::Duration;

use referee_protocol::codec::Training;

use crate::Result;
use crate::crowd::{self, Seen, Sends, Sight};
use crate::games::{self, Play};
use crate::report::{Report, Row};
use crate::traffic::{self, Times, Traffic};
use crate::{allocations, audience, jitter, trace, wasm};

/// How many sends an acknowledged datagram's reference lies back: 150 ms in the arena, 100 ms with
/// the cubes.
const ARENA_BACK: u32 = 3;
const CUBES_BACK: u32 = 6;

/// Rounds in which times are taken.
const ROUNDS: u32 = 5;

/// The same, in a crowd.
const CROWD_ROUNDS: u32 = 3;
/// Rounds in node: its compiler needs some before the code is as quick as it gets.
const WASM_ROUNDS: u32 = 20;

/// The recorded worlds, and tables that were made from them.
pub(crate) struct Worlds {
    arena: Play,
    arena_tables: &'static [u8],
    cubes: Play,
    cubes_tables: &'static [u8],
}

/// What was measured of them with their tables.
pub(crate) struct Measured {
    arena: Traffic,
    cubes: Traffic,
}

impl Worlds {
    /// Reads and trains.
    pub(crate) fn read(data: &Path) -> Result<Self> {
        let train = games::arena(&trace::arena(&data.join("arena-train.bin.xz"))?);
        let [first, second] = trace::cubes(&data.join("cubes.bin.xz"))?;
        Ok(Self {
            arena: arena(data)?,
            arena_tables: traffic::train(&train, &[ARENA_BACK]),
            cubes: games::cubes(&second),
            cubes_tables: traffic::train(&games::cubes(&first), &[CUBES_BACK]),
        })
    }
}

/// The arena that is measured.
pub(crate) fn arena(data: &Path) -> Result<Play> {
    Ok(games::arena(&trace::arena(&data.join("arena.bin.xz"))?))
}

/// What the state costs on the wire.
pub(crate) fn bytes(worlds: &Worlds, report: &mut Report) -> Measured {
    let arena = |tables| traffic::measure(&worlds.arena, tables, ARENA_BACK);
    let trained = arena(Some(worlds.arena_tables));
    let default = arena(None);
    for (traffic, what, keys, good) in [
        (
            &trained,
            "arena, trained",
            ["arena_trained_ref1_bytes", "arena_trained_ref3_bytes"],
            [(100.0, 92.0), (180.0, 168.0)],
        ),
        (
            &default,
            "arena, default tables",
            ["arena_default_ref1_bytes", "arena_default_ref3_bytes"],
            [(130.0, 110.0), (220.0, 195.0)],
        ),
    ] {
        let what = (format!("{what}, "), "B per tick");
        push_bytes(report, (traffic, ARENA_BACK), &what, (keys, good, 1.0));
    }
    let cubes = traffic::measure(&worlds.cubes, Some(worlds.cubes_tables), CUBES_BACK);
    let keys = ["cubes_trained_ref1_kbps", "cubes_trained_ref6_kbps"];
    let kbps_per_byte = f64::from(worlds.cubes.hz) * 8.0 / 1000.0;
    let what = ("cubes, trained, ".to_owned(), "kbit/s");
    let good = [(105.0, 96.0), (205.0, 194.0)];
    push_bytes(report, (&cubes, CUBES_BACK), &what, (keys, good, kbps_per_byte));
    Measured { arena: trained, cubes }
}

type Limits = ([&'static str; 2], [(f64, f64); 2], f64);

/// A row for the room's own frames, and one for a link whose reference lies further back.
fn push_bytes(
    report: &mut Report,
    (traffic, back): (&Traffic, u32),
    (what, unit): &(String, &str),
    (keys, good, scale): Limits,
) {
    report.push(Row {
        key: Some(keys[0]),
        what: format!("{what}reference 1, {unit}"),
        value: traffic.frame_bytes * scale,
        good: Some(good[0]),
        note: format!(
            "the room's state frames, whole; without heads {:.1}; {:.0} entities, tables {} B",
            traffic.body_bytes * scale,
            traffic.entities,
            traffic.tables_bytes
        ),
    });
    report.push(Row {
        key: Some(keys[1]),
        what: format!("{what}reference {back}, {unit}"),
        value: traffic.back_bytes * scale,
        good: Some(good[1]),
        note: "the room's frames on a link like that of datagrams, whole; each send is a rung"
            .into(),
    });
}

/// How often a group is coded for a hundred clients over a bad network.
pub(crate) fn jittered(worlds: &Worlds, report: &mut Report) {
    let seen = jitter::play(&worlds.arena, worlds.arena_tables);
    report.push(Row {
        key: Some("encodings_per_group_jittered"),
        what: "arena, 100 clients by datagrams, encodings per tick".into(),
        value: seen.encodings,
        good: Some((4.0, 3.0)),
        note: format!(
            "of the one group; at most {} in a tick; 20 to 200 ms each way, 20 ms jitter, 2 % lost each \
             way; {:.1} B for a client and tick; {:.1} % of what arrives builds on what was lost",
            seen.most, seen.bytes, seen.unfounded_per_cent
        ),
    });
}

/// What a tick costs with few and with many clients that see the same.
pub(crate) fn audience(worlds: &Worlds, quick: bool, report: &mut Report) {
    let rounds = if quick { 1 } else { 3 };
    let shared = audience::measure(&worlds.arena, Some(worlds.arena_tables), rounds);
    let us = |took: &Duration| took.as_nanos() as f64 / 1000.0;
    let each = shared.took.iter().map(|(clients, took)| format!("{clients}: {:.0}", us(took)));
    let each = each.collect::<Vec<_>>().join(", ");
    let (first, last) = (&shared.took[0], &shared.took[shared.took.len() - 1]);
    let further = (us(&last.1) - us(&first.1)) * 1000.0 / (last.0 - first.0) as f64;
    report.push(Row {
        key: Some("blocks_per_tick_1000_clients"),
        what: "arena, 1,000 clients in one view, blocks a tick".into(),
        value: shared.blocks,
        good: Some((1.0, 1.0)),
        note: format!(
            "us of the room's tick with the frames of all, by clients: {each}; that is {further:.0} ns for \
             the frame of each further one"
        ),
    });
}

/// What is recorded comes to the same state in wasm as here, to the bit: also where orientations go on
/// turning by floats.
pub(crate) fn same_in_wasm(
    worlds: &Worlds,
    measured: &Measured,
    (decoder, script): (&Path, &Path),
) -> Result {
    for (play, traffic) in [(&worlds.arena, &measured.arena), (&worlds.cubes, &measured.cubes)] {
        wasm::decode_us(traffic, play.hz, (decoder, script), 1)?;
    }
    Ok(())
}

/// What coding takes.
pub(crate) fn times(worlds: &Worlds, measured: &Measured, report: &mut Report) {
    let cubes = (&worlds.cubes, worlds.cubes_tables, measured.cubes.entities);
    let arena = (&worlds.arena, worlds.arena_tables, measured.arena.entities);
    for ((play, tables, entities), what, key, good) in [
        (cubes, "cubes", "cubes_encode_ns_per_entity", (80.0, 50.0)),
        (arena, "arena", "arena_encode_ns_per_entity", (250.0, 150.0)),
    ] {
        let Times { room, encode, decode } = traffic::time(play, Some(tables), ROUNDS);
        let each = |time: Duration| time.as_nanos() as f64 / entities;
        report.push(Row {
            key: Some(key),
            what: format!("{what}, encode, ns per entity of the world"),
            value: each(encode),
            good: Some(good),
            note: format!(
                "the block of a tick; the room's whole tick with its frame {:.0}; decode {:.0}",
                each(room),
                each(decode)
            ),
        });
    }
}

/// What decoding takes in wasm.
pub(crate) fn decode(
    worlds: &Worlds,
    measured: &Measured,
    wasm: (&Path, &Path),
    report: &mut Report,
) -> Result {
    report.push(Row {
        key: Some("arena_decode_wasm_us"),
        what: "arena, decode in wasm, us per tick".into(),
        value: wasm::decode_us(&measured.arena, worlds.arena.hz, wasm, WASM_ROUNDS)?,
        good: Some((150.0, 50.0)),
        note: "the replica alone, built as the browser client is, in node".into(),
    });
    Ok(())
}

/// What a steady room asks of the allocator.
pub(crate) fn allocations(
    (counts, folder, data): (&Path, &Path, &Path),
    report: &mut Report,
) -> Result {
    let counted = allocations::count(counts, folder, data)?;
    report.push(Row {
        key: Some("allocations_per_tick"),
        what: "arena, allocations per tick that does not rebuild".into(),
        value: counted.mean,
        good: Some((0.0, 0.0)),
        note: format!(
            "after 1,000 ticks, the trace's system and one client's frame included; {:.1} in the \
             first tick after a rebuild, {:.1} in the others",
            counted.first, counted.others
        ),
    });
    Ok(())
}

/// A thousand players, each of whom sees what is near.
pub(crate) fn crowd(data: &Path, report: &mut Report) -> Result {
    let frames = trace::arena(&data.join("arena.bin.xz"))?;
    let train = trace::arena(&data.join("arena-train.bin.xz"))?;
    let tables = |sight| {
        let seen = crowd::play(&train, sight, Sends::Decoded, None);
        let mut training = Training::default();
        training.add(&seen.learnt);
        Some(&*training.tables(&seen.schema).leak())
    };
    let plain = [Sight::Near, Sight::Everything];
    let plain = plain.map(|sight| crowd::play(&frames, sight, Sends::Decoded, None));
    let near = crowd::play(&frames, Sight::Near, Sends::Decoded, tables(Sight::Near));
    let all = crowd::play(&frames, Sight::Everything, Sends::Decoded, tables(Sight::Everything));
    let plain = plain[0].bytes / plain[0].visible / plain[1].bytes * plain[1].visible;
    let (each, whole) = (near.bytes / near.visible, all.bytes / all.visible);
    report.push(Row {
        key: Some("aoi_bytes_ratio"),
        what: "1,000 players, grid, bytes per thing seen and tick".into(),
        value: each / whole,
        good: Some((2.2, 1.7)),
        note: format!(
            "times those of one block for everyone; {:.1} B for {:.1} things seen, {:.0} B for {:.0}; \
             of these {:.1} B heads of frames, before {:.1} blocks; default tables: {plain:.2}",
            near.bytes,
            near.visible,
            all.bytes,
            all.visible,
            near.head_bytes,
            near.blocks
        ),
    });
    let ms = |seen: &Seen| {
        let total: Duration = seen.ticks.iter().sum();
        total.as_secs_f64() * 1000.0 / seen.ticks.len() as f64
    };
    let held = (0..CROWD_ROUNDS).map(|_| crowd::play(&frames, Sight::Near, Sends::Held, None));
    let held = held.min_by(|a, b| ms(a).total_cmp(&ms(b))).ok_or("no round")?;
    let made = (0..CROWD_ROUNDS).map(|_| crowd::play(&frames, Sight::Near, Sends::Made, None));
    let made = made.min_by(|a, b| ms(a).total_cmp(&ms(b))).ok_or("no round")?;
    report.push(Row {
        key: Some("aoi_tick_ms_1000"),
        what: "1,000 players, grid, whole tick without sends, ms".into(),
        value: ms(&held),
        good: Some((8.0, 4.0)),
        note: format!(
            "every client is held, so that no block is made; with all blocks and frames {:.1}; the \
             game's system takes {:.2}",
            ms(&made),
            held.system.as_secs_f64() * 1000.0
        ),
    });
    Ok(())
}
