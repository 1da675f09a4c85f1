//! The committed seeds, fed to the bodies: as they are, cut anywhere, and damaged.
#![allow(clippy::unwrap_used, reason = "what helps tests fails like a test")]

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use referee_fuzz::{BODIES, Body};

/// Prefixes that are tried of each seed, spread over its length.
const CUTS: usize = 300;

fn folder(body: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(body)
}

fn seeds(body: &str) -> Vec<(String, Vec<u8>)> {
    let mut seeds: Vec<_> = std::fs::read_dir(folder(body))
        .unwrap_or_else(|e| {
            panic!("the seeds of {body}: {e}; `cargo run -p referee-fuzz` makes them")
        })
        .map(|file| file.unwrap().path())
        .map(|path| (format!("{}", path.display()), std::fs::read(&path).unwrap()))
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{body} has no seeds");
    seeds
}

fn all() -> Vec<(&'static str, Body, String, Vec<u8>)> {
    let of = |(name, body): (&'static str, Body)| {
        seeds(name).into_iter().map(move |(file, bytes)| (name, body, file, bytes))
    };
    BODIES.into_iter().flat_map(of).collect()
}

/// What was found and mended begins with `found-`, and may be refused.
#[test]
fn every_seed_of_a_match_is_taken_whole() {
    for (_, body, file, bytes) in all() {
        let taken = body(&bytes);
        assert!(
            taken || file.contains("found-"),
            "{file} is refused. Where the format has changed: `cargo run -p referee-fuzz`"
        );
    }
}

#[test]
fn every_cut_ends_in_an_answer() {
    for (_, body, _, bytes) in all() {
        (0..bytes.len()).step_by(bytes.len() / CUTS + 1).for_each(|end| {
            body(&bytes[..end]);
        });
    }
}

proptest! {
    #[test]
    fn damage_ends_in_an_answer(
        seed: prop::sample::Index,
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        tail: Vec<u8>,
    ) {
        let all = all();
        let (_, body, _, bytes) = seed.get(&all);
        let mut bytes = bytes.clone();
        for (at, to) in hits {
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        body(&bytes);
        bytes.extend(tail);
        body(&bytes);
    }
}
