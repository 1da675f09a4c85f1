//! The deep run of the fuzz bodies: cargo-fuzz goes on from the committed seeds, for a while each.

use std::fs;

use crate::log::Log;
use crate::project::Project;
use crate::{Result, command};

/// The cargo-fuzz that `fuzz/Cargo.toml` was written for.
const CARGO_FUZZ: &str = "0.13.2";
/// How long it goes on with each body, in seconds.
const SECONDS: u32 = 120;
/// The longest input that it makes, in bytes: some times the longest seed.
const INPUT_MAX_BYTES: u32 = 1 << 16;
/// The most that a body may take in memory, in MiB.
const MEMORY_MAX_MIB: u32 = 1024;

/// What it finds, it leaves in `fuzz/artifacts`, and says how to run that again.
pub(crate) fn deep(project: &Project, log: &mut Log) -> Result {
    let cargo = || command::cargo(&project.root);
    if command::answer(cargo().args(["fuzz", "--version"])).is_none() {
        log.run(cargo().args(["install", "cargo-fuzz", "--locked", "--version", CARGO_FUZZ]))?;
    }
    let seeds = project.root.join("fuzz/seeds");
    let mut bodies: Vec<_> = fs::read_dir(&seeds)?.collect::<std::io::Result<_>>()?;
    bodies.sort_by_key(fs::DirEntry::file_name);
    for body in bodies {
        let found = project.target.join("fuzz/found").join(body.file_name());
        fs::create_dir_all(&found)?;
        let mut fuzz = cargo();
        fuzz.args(["fuzz", "run", "--fuzz-dir", "fuzz", "--features", "libfuzzer"]);
        fuzz.arg("--target-dir").arg(project.target.join("fuzz/build"));
        // What a sanitizer finds is in `unsafe` code, of which there is next to none; it wants a nightly.
        fuzz.args(["--sanitizer", "none"]).arg(body.file_name()).arg(&found).arg(body.path());
        fuzz.arg("--").arg(format!("-max_total_time={SECONDS}"));
        fuzz.arg(format!("-max_len={INPUT_MAX_BYTES}"));
        fuzz.arg(format!("-rss_limit_mb={MEMORY_MAX_MIB}"));
        log.run(&mut fuzz)?;
    }
    Ok(())
}
