//! Rotations: quaternions as their three smallest parts. Which is the largest stands first (0 to 3: x,
//! y, z, w), then the others in order, each from -1/sqrt(2) to 1/sqrt(2) in equal steps; the largest
//! is made positive, since a quaternion and its opposite turn alike. After Glenn Fiedler, "Snapshot
//! Compression", 2015.
//!
//! Only `+ - * / sqrt` on 32-bit floats, which are the same bits on every machine and in wasm.

use std::f32::consts::FRAC_1_SQRT_2;

/// A quaternion: x, y, z, w.
pub type Quaternion = [f32; 4];

/// Words of a rotation.
pub const ROTATION_WORDS: usize = 4;

/// The rotation that these words stand for.
#[must_use]
pub fn from_words(words: &[u32], bits: u32) -> Quaternion {
    let largest = words[0].min(3) as usize;
    let top = ((1u32 << bits) - 1) as f32;
    let mut parts = [0.0; 4];
    let (mut sum, mut at) = (0.0, 1);
    for (place, part) in parts.iter_mut().enumerate() {
        if place != largest {
            *part = (words[at] as f32 / top * 2.0 - 1.0) * FRAC_1_SQRT_2;
            sum += *part * *part;
            at += 1;
        }
    }
    parts[largest] = (1.0 - sum).max(0.0).sqrt();
    parts
}

/// The words of a rotation. What is no rotation becomes none at all: x, y, z 0.
#[must_use]
pub fn to_words(rotation: Quaternion, bits: u32) -> [u32; ROTATION_WORDS] {
    let length = rotation.iter().map(|part| part * part).sum::<f32>().sqrt();
    let unit = rotation.map(|part| part / length);
    if !unit.iter().all(|part| part.is_finite()) {
        return to_words([0.0, 0.0, 0.0, 1.0], bits);
    }
    let largest =
        (0..4).fold(0, |best, at| if unit[at].abs() > unit[best].abs() { at } else { best });
    let [a, b, c] = parts_beside(unit, largest, bits);
    [largest as u32, a, b, c]
}

/// The other parts, where this one is left out.
pub(super) fn parts_beside(rotation: Quaternion, largest: usize, bits: u32) -> [u32; 3] {
    let sign = if rotation[largest] < 0.0 { -1.0 } else { 1.0 };
    let top = ((1u32 << bits) - 1) as f32;
    let mut out = [0; 3];
    let others = (0..4).filter(|at| *at != largest);
    for (out, at) in out.iter_mut().zip(others) {
        let part = rotation[at] * sign / FRAC_1_SQRT_2;
        *out = ((part * 0.5 + 0.5) * top + 0.5).clamp(0.0, top) as u32;
    }
    out
}

/// The rotation that lies `part` (0 to 1) of the shorter way from one to another.
#[must_use]
pub fn between(from: Quaternion, to: Quaternion, part: f32) -> Quaternion {
    let dot: f32 = from.iter().zip(&to).map(|(a, b)| a * b).sum();
    let sign = if dot < 0.0 { -1.0 } else { 1.0 };
    let mut mixed = [0.0; 4];
    for ((mixed, from), to) in mixed.iter_mut().zip(from).zip(to) {
        *mixed = from + (to * sign - from) * part;
    }
    let length = mixed.iter().map(|part| part * part).sum::<f32>().sqrt();
    if length > 0.0 { mixed.map(|part| part / length) } else { from }
}

/// Where a rotation goes on to, that came from `older` to `old`, if it takes `ratio` times as long.
pub(super) fn onward(older: Quaternion, old: Quaternion, ratio: f32) -> Quaternion {
    let dot: f32 = older[0] * old[0] + older[1] * old[1] + older[2] * old[2] + older[3] * old[3];
    let sign = if dot < 0.0 { -1.0 } else { 1.0 };
    let at = |n: usize| {
        let older = older[n] * sign;
        if ratio == 1.0 {
            2.0 * dot * sign * old[n] - older
        } else {
            old[n] + (old[n] - older) * ratio
        }
    };
    let to = [at(0), at(1), at(2), at(3)];
    let length = (to[0] * to[0] + to[1] * to[1] + to[2] * to[2] + to[3] * to[3]).sqrt();
    if length > 0.0 { to.map(|part| part / length) } else { old }
}
