//! `cargo xtask tidy`: the rules of this project that no other tool knows, executed.

mod edges;
mod text;

use crate::log::Log;
use crate::project::Project;
use crate::{Result, command};
use std::fs;
use std::path::Path;

/// Prints every fault.
pub(crate) fn run(project: &Project) -> Result {
    let faults = faults(project)?;
    for fault in &faults {
        println!("{fault}");
    }
    verdict(&faults)
}

/// The same, as a step of the test command.
pub(crate) fn step(project: &Project, log: &mut Log) -> Result {
    let faults = faults(project)?;
    for fault in &faults {
        log.say(fault)?;
    }
    verdict(&faults)
}

fn verdict(faults: &[String]) -> Result {
    match faults.len() {
        0 => Ok(()),
        1 => Err("1 fault".into()),
        count => Err(format!("{count} faults").into()),
    }
}

fn faults(project: &Project) -> Result<Vec<String>> {
    let mut faults = edges::faults(&project.packages, &project.root);
    for file in tracked_files(&project.root)? {
        let path = project.root.join(&file);
        // Deleted in the working tree, or a link to a folder.
        let Ok(bytes) = fs::read(&path) else { continue };
        if let Ok(text) = String::from_utf8(bytes) {
            faults.extend(text::faults(&file, &text));
        }
    }
    Ok(faults)
}

/// What is committed, and what would be with the next `git add`.
fn tracked_files(root: &Path) -> Result<Vec<String>> {
    let files = command::program("git", root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .map_err(|error| format!("install git, it lists the files to look at: {error}"))?;
    if !files.status.success() {
        return Err("git cannot list the files: is this a clone?".into());
    }
    let names = String::from_utf8(files.stdout)?;
    Ok(names.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}
