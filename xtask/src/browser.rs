//! The browser tests: node runs them, `tests/browser/harness.mjs` has what they share.

use crate::log::Log;
use crate::project::Project;
use crate::{Result, command, play, tools};
use std::path::{Path, PathBuf};

/// A single test may take so long, in milliseconds: far more than it needs, so that only one that
/// hangs is ended.
const TEST_LIMIT_MS: u32 = 240_000;

/// The tests, and what npm installs for them.
pub(crate) fn folder(project: &Project) -> PathBuf {
    project.root.join("tests/browser")
}

/// All tests on the server with the example games.
pub(crate) fn run(project: &Project, log: &mut Log) -> Result {
    let mut files: Vec<PathBuf> = folder(project)
        .read_dir()?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with(".test.mjs"))
        .collect();
    files.sort();
    run_files(project, &files, &play::server_binary(project), log)
}

/// Some tests on a server of our choice. One file at a time: each starts a browser and a server.
pub(crate) fn run_files(
    project: &Project,
    files: &[PathBuf],
    server: &Path,
    log: &mut Log,
) -> Result {
    if files.is_empty() {
        return Err("there are no browser tests".into());
    }
    let chromium = tools::chromium().ok_or("there is no Chromium; the `tools` step installs it")?;
    let mut node = command::program("node", &project.root);
    node.args(["--test", "--test-reporter=spec", "--test-concurrency=1"]);
    node.arg(format!("--test-timeout={TEST_LIMIT_MS}")).args(files);
    node.env("REFEREE_CHROMIUM", chromium).env("REFEREE_SERVER", server);
    node.env("REFEREE_LOADTEST", play::loadtest_binary(project));
    node.env("REFEREE_SCREENSHOTS", project.target.join("screenshots"));
    log.run(&mut node)
}
