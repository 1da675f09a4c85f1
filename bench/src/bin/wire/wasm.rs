//! How long the replica takes in wasm: the frames of a trace are written to a file, and node looks at
//! the clock.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::Result;
use crate::traffic::Traffic;

/// Microseconds for each frame that follows another, the shortest of some rounds. `decoder` is the folder of
/// the built module.
///
/// # Errors
/// When node fails, also where it comes to another state than was sent.
pub(crate) fn decode_us(
    traffic: &Traffic,
    hz: u16,
    (decoder, script): (&Path, &Path),
    rounds: u32,
) -> Result<f64> {
    let file = decoder.join("frames.bin");
    std::fs::write(&file, recording(traffic, hz))?;
    let mut node = Command::new("node");
    node.arg(script).arg(decoder).arg(&file).arg(rounds.to_string()).stdin(Stdio::null());
    let output = node.stderr(Stdio::inherit()).output().map_err(|e| format!("node: {e}"))?;
    let said = String::from_utf8(output.stdout)?;
    let us = said.trim().parse().ok().filter(|_| output.status.success());
    us.ok_or_else(|| format!("node could not decode the frames: {}", output.status).into())
}

/// As the script reads it.
fn recording(traffic: &Traffic, hz: u16) -> Vec<u8> {
    let mut out = u32::from(hz).to_le_bytes().to_vec();
    out.extend(traffic.hash.to_le_bytes());
    let frames = traffic.frames.iter().filter(|frame| !frame.is_empty());
    for part in std::iter::once(&traffic.schema).chain(frames) {
        out.extend((part.len() as u32).to_le_bytes());
        out.extend_from_slice(part);
    }
    out
}
