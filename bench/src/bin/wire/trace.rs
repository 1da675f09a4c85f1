//! The recorded worlds, unpacked. Their forms stand in `bench/data/README.md`.

use std::path::Path;
use std::sync::Arc;

use referee_room::prelude::*;

use crate::Result;

/// What an arena's slot was at a tick; none while nobody was in it.
pub(crate) type Flyer = Option<Body>;

/// One thing of the arena.
#[derive(Clone, Copy)]
pub(crate) struct Body {
    pub(crate) at: Vec2,
    pub(crate) velocity: Vec2,
    /// None: a shot.
    pub(crate) pilot: Option<Pilot>,
}

/// What a player has and a shot has not.
#[derive(Clone, Copy)]
pub(crate) struct Pilot {
    pub(crate) aim: f32,
    pub(crate) health: u8,
    pub(crate) score: u16,
    pub(crate) state: u8,
}

/// A cube: largest, a, b, c, x, y, z, interacting.
pub(crate) type Cube = [i32; 8];

/// The slots of each tick.
pub(crate) type Frames<T> = Arc<Vec<Vec<T>>>;

const FLYERS: usize = 164;
const PLAYERS: usize = 100;
const FLYER_BYTES: usize = 25;
const CUBES: usize = 901;
const CUBE_BYTES: usize = 32;
/// Of the cubes' first frames, those that the trace's readme skips.
const CUBES_SKIPPED: usize = 6;

/// An arena's trace.
pub(crate) fn arena(file: &Path) -> Result<Frames<Flyer>> {
    Ok(Arc::new(frames(&unpack(file)?, FLYERS, FLYER_BYTES, flyer)))
}

/// The cubes' trace, in two halves.
pub(crate) fn cubes(file: &Path) -> Result<[Frames<Cube>; 2]> {
    let mut first = frames(&unpack(file)?, CUBES, CUBE_BYTES, |_, bytes| cube(bytes));
    first.drain(..CUBES_SKIPPED);
    let second = first.split_off(first.len() / 2);
    Ok([Arc::new(first), Arc::new(second)])
}

fn unpack(file: &Path) -> Result<Vec<u8>> {
    let packed = std::fs::read(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let mut bytes = Vec::new();
    lzma_rs::xz_decompress(&mut &packed[..], &mut bytes)
        .map_err(|e| format!("{}: {e:?}", file.display()))?;
    Ok(bytes)
}

fn frames<T>(
    bytes: &[u8],
    slots: usize,
    slot_bytes: usize,
    read: impl Fn(usize, &[u8]) -> T,
) -> Vec<Vec<T>> {
    let slots_of = |frame: &[u8]| {
        frame.chunks_exact(slot_bytes).enumerate().map(|(n, bytes)| read(n, bytes)).collect()
    };
    bytes.chunks_exact(slots * slot_bytes).map(slots_of).collect()
}

fn flyer(slot: usize, bytes: &[u8]) -> Flyer {
    let number = |at| f32::from_bits(u32::from_le_bytes(four(bytes, at)));
    let pair = |at| Vec2::new(number(at), number(at + 4));
    let pilot = || Pilot {
        aim: number(17),
        health: bytes[21],
        score: u16::from_le_bytes([bytes[22], bytes[23]]),
        state: bytes[24],
    };
    let body = || Body { at: pair(1), velocity: pair(9), pilot: (slot < PLAYERS).then(pilot) };
    (bytes[0] != 0).then(body)
}

fn cube(bytes: &[u8]) -> Cube {
    std::array::from_fn(|n| i32::from_le_bytes(four(bytes, 4 * n)))
}

fn four(bytes: &[u8], at: usize) -> [u8; 4] {
    std::array::from_fn(|n| bytes[at + n])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_nobody_a_player_or_a_shot() {
        let mut slot = vec![0; FLYER_BYTES];
        assert!(flyer(0, &slot).is_none());
        slot[0] = 1;
        slot[1..5].copy_from_slice(&2.5f32.to_le_bytes());
        slot[22..24].copy_from_slice(&300u16.to_le_bytes());
        let body = flyer(PLAYERS - 1, &slot).expect("it is alive");
        assert_eq!(
            (body.at, body.pilot.map(|pilot| pilot.score)),
            (Vec2::new(2.5, 0.0), Some(300))
        );
        assert!(flyer(PLAYERS, &slot).is_some_and(|body| body.pilot.is_none()));
    }
}
