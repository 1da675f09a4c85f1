//! How often a tick that has been like this for long asks for memory. The counting library is loaded
//! into a second process of this program, which plays the trace; a tick is the room's own and what
//! it sends.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Result;
use crate::games::Play;
use crate::stage::Stage;
use crate::traffic::REBUILD_TICKS;

/// Ticks that run before it counts.
const WARM_TICKS: u64 = 1000;
/// Names the file of the counts to the library, and to the second process.
const COUNTS: &str = "REFEREE_COUNTS";
/// Where in that file it stands whether each allocation is to be told of.
const TELLS_AT: u64 = 32;
/// Where the project's own code is, and how many of its calls are shown.
const OWN: [&str; 3] = ["/room/src/", "/protocol/src/", "/bin/wire/"];
const OWN_MAX: usize = 4;
/// Places that are shown.
const PLACES_MAX: usize = 25;

/// What was counted in the ticks that do not rebuild the room.
pub(crate) struct Allocations {
    /// In a tick, as a mean.
    pub(crate) mean: f64,
    /// In the first tick after a rebuild, and in the others.
    pub(crate) first: f64,
    pub(crate) others: f64,
}

/// Has a second process count.
pub(crate) fn count(library: &Path, folder: &Path, data: &Path) -> Result<Allocations> {
    let mut second = second(library, folder, data)?;
    let output = second.arg("--allocations").stderr(Stdio::inherit()).output()?;
    let said = String::from_utf8(output.stdout)?;
    let mut numbers = said.split_whitespace().map(str::parse);
    let mut next = || numbers.next().and_then(|n| n.ok()).ok_or("the second process failed");
    Ok(Allocations { mean: next()?, first: next()?, others: next()? })
}

fn second(library: &Path, folder: &Path, data: &Path) -> Result<Command> {
    let mut second = Command::new(std::env::current_exe()?);
    second.arg("--data").arg(data).stdin(Stdio::null());
    second.env("LD_PRELOAD", library).env(COUNTS, folder.join("allocations"));
    Ok(second)
}

/// Where in the code the memory is asked for: how often, and the calls that lead there.
pub(crate) fn places(library: &Path, folder: &Path, data: &Path) -> Result<String> {
    let mut second = second(library, folder, data)?;
    let output = second.args(["--allocations", "--tell"]).output()?;
    if !output.status.success() {
        return Err("the second process failed".into());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let mut times: BTreeMap<Vec<&str>, u32> = BTreeMap::new();
    for told in said.split("\n\n").filter(|told| !told.trim().is_empty()) {
        *times.entry(told.lines().filter_map(offset).collect()).or_default() += 1;
    }
    let names = names(times.keys().flatten().copied())?;
    let mut by_place: BTreeMap<String, u32> = BTreeMap::new();
    for (calls, count) in &times {
        *by_place.entry(way(calls, &names)).or_default() += count;
    }
    let mut places: Vec<(u32, String)> = by_place.into_iter().map(|(way, n)| (n, way)).collect();
    places.sort_unstable_by(|a, b| b.cmp(a));
    let lines = places.into_iter().take(PLACES_MAX);
    Ok(lines.map(|(count, way)| format!("{count:>6} times\n{way}")).collect())
}

/// The place in our own program that a line names: `program(+0x1234) [0x..]`.
fn offset(line: &str) -> Option<&str> {
    let (program, rest) = line.split_once("(+")?;
    (!program.ends_with(".so") && !program.contains(".so.")).then_some(())?;
    rest.split_once(')').map(|(offset, _)| offset)
}

/// What stands at these places: functions with file and line, inlined ones first.
fn names<'a>(
    offsets: impl Iterator<Item = &'a str>,
) -> Result<BTreeMap<&'a str, Vec<(String, String)>>> {
    let mut offsets: Vec<&str> = offsets.collect();
    offsets.sort_unstable();
    offsets.dedup();
    let mut addr2line = Command::new("addr2line");
    addr2line.args(["-a", "-C", "-f", "-i", "-e"]).arg(std::env::current_exe()?).args(&offsets);
    let output = addr2line.output().map_err(|e| format!("addr2line (binutils): {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (mut names, mut place) = (BTreeMap::new(), offsets.into_iter());
    let mut lines = text.lines().peekable();
    while lines.next().is_some() {
        let Some(offset) = place.next() else { break };
        let mut found = Vec::new();
        while lines.peek().is_some_and(|line| !line.starts_with("0x")) {
            let function = lines.next().unwrap_or_default().to_owned();
            found.push((function, lines.next().unwrap_or_default().to_owned()));
        }
        names.insert(offset, found);
    }
    Ok(names)
}

/// The calls that lead to an allocation: the innermost in the ECS, and those in the project's own
/// code.
fn way(calls: &[&str], names: &BTreeMap<&str, Vec<(String, String)>>) -> String {
    let all = calls.iter().filter_map(|offset| names.get(offset)).flatten();
    let is_ours = |(_, at): &&(String, String)| OWN.iter().any(|folder| at.contains(folder));
    let in_ecs = all.clone().take_while(|call| !is_ours(call));
    let in_ecs = in_ecs.filter(|(_, at)| at.contains("/bevy_ecs-")).take(1);
    let shown = in_ecs.chain(all.clone().filter(is_ours).take(OWN_MAX));
    shown.map(|(function, at)| format!("       {}  {function}\n", ending(at))).collect()
}

/// The last parts of a path.
fn ending(path: &str) -> &str {
    path.rmatch_indices('/').nth(3).map_or(path, |(at, _)| &path[at + 1..])
}

/// The second process: prints mean, first and others. Has the library tell each allocation where
/// `tells` says so.
pub(crate) fn run(play: &Play, tables: Option<&'static [u8]>, tells: Tells) -> Result {
    let name = std::env::var_os(COUNTS).ok_or("the counting library is not there")?;
    let counts = OpenOptions::new().read(true).write(true).open(name)?;
    let mut stage = Stage::new(play, tables);
    let (mut first, mut others) = ((0, 0), (0, 0));
    for tick in 1.. {
        let after_rebuild = tick % REBUILD_TICKS;
        let counted = tick > WARM_TICKS && after_rebuild != 0;
        let told = counted && tells == Tells::Each;
        let before = so_far(&counts)?;
        counts.write_all_at(&u64::from(told).to_le_bytes(), TELLS_AT)?;
        let ran = stage.run();
        counts.write_all_at(&[0; 8], TELLS_AT)?;
        let asked = so_far(&counts)? - before;
        if ran.is_none() {
            break;
        }
        if counted {
            let sum = if after_rebuild == 1 { &mut first } else { &mut others };
            *sum = (sum.0 + asked, sum.1 + 1);
        }
    }
    let mean = |(asked, ticks): (u64, u64)| asked as f64 / ticks.max(1) as f64;
    let all = (first.0 + others.0, first.1 + others.1);
    println!("{} {} {}", mean(all), mean(first), mean(others));
    Ok(())
}

/// Whether each allocation is told of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tells {
    Nothing,
    Each,
}

fn so_far(counts: &File) -> Result<u64> {
    let mut bytes = [0; 8];
    counts.read_exact_at(&mut bytes, 0)?;
    Ok(u64::from_le_bytes(bytes))
}
