//! What rooms cost that are out of memory, and how soon they are back: a program of its own measures it, which
//! has the server in its process.

use std::process::Command;

use super::Bench;
use super::report::Report;
use crate::Result;

pub(super) fn run(bench: &Bench, report: &mut Report) -> Result {
    let folder = bench.empty("parked")?;
    let mut program = Command::new(&bench.parked);
    let sizes = &bench.sizes;
    let [rooms, sockets, wakes] = [sizes.parked, sizes.parked_sockets, sizes.wakes];
    eprintln!("  {rooms} rooms are made and parked");
    let output =
        program.arg(&folder).args([rooms, sockets, wakes].map(|n| n.to_string())).output()?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("parked rooms were not measured: {error}").into());
    }
    for (name, value) in read(&String::from_utf8_lossy(&output.stdout))? {
        eprintln!("  {name} {value}");
        report.put(name, value);
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// The figures: a name and a number in each line.
fn read(said: &str) -> Result<Vec<(String, f64)>> {
    let figure = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    let figures = said.lines().map(|line| figure(line).ok_or_else(|| line.to_owned()));
    let figures: std::result::Result<Vec<_>, String> = figures.collect();
    figures.map_err(|line| format!("{line:?} is no figure").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read() {
        let figures = read("wake_ms_p50 0.5\nparked_rooms 100\n").unwrap();
        assert_eq!(figures, [("wake_ms_p50".to_owned(), 0.5), ("parked_rooms".to_owned(), 100.0)]);
        assert!(read("a figure").is_err());
    }
}
