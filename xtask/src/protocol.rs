//! The proof that `PROTOCOL.md` is enough: a client in Python, written from that page alone, plays on
//! the release server.

use crate::log::Log;
use crate::project::Project;
use crate::{Result, command, play};

pub(crate) fn run(project: &Project, log: &mut Log) -> Result {
    install_python(project, log)?;
    let mut python = command::program("python3", &project.root);
    // No compiled files beside the sources.
    python.args(["-B", "-m", "unittest", "discover", "--verbose", "-s", "tests/protocol"]);
    log.run(python.env("REFEREE_SERVER", play::server_binary(project)))
}

fn install_python(project: &Project, log: &mut Log) -> Result {
    if command::find("python3").is_some() {
        return Ok(());
    }
    if !command::can_apt_install() {
        return Err("install python3: the client made from PROTOCOL.md runs on it".into());
    }
    for arguments in [&["update"][..], &["install", "-y", "--no-install-recommends", "python3"]] {
        let mut apt = command::program("apt-get", &project.root);
        log.run(apt.env("DEBIAN_FRONTEND", "noninteractive").arg("-q").args(arguments))?;
    }
    Ok(())
}
