//! The proof that `PROTOCOL.md` is enough: a client in Python, written from that page alone, plays on
//! the release server.

use crate::log::Log;
use crate::project::Project;
use crate::{Result, command, play};

pub(crate) fn run(project: &Project, log: &mut Log) -> Result {
    let mut python = command::program("python3", &project.root);
    // No compiled files beside the sources.
    python.args(["-B", "-m", "unittest", "discover", "--verbose", "-s", "tests/protocol"]);
    log.run(python.env("REFEREE_SERVER", play::server_binary(project)))
}
