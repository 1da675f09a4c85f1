//! How other programs are started.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program that runs in `folder`, without what `cargo run` has put into our environment for
/// ourselves: build scripts watch some of it, and would build their crates anew.
pub(crate) fn program(name: impl AsRef<Path>, folder: &Path) -> Command {
    let mut command = Command::new(name.as_ref());
    command.current_dir(folder).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_about_us) {
            command.env_remove(name);
        }
    }
    command
}

/// Cargo.
pub(crate) fn cargo(folder: &Path) -> Command {
    program("cargo", folder)
}

fn is_about_us(name: &str) -> bool {
    let prefixes = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
    let names = ["CARGO", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"];
    names.contains(&name) || prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// The first line that a program says, if it can be started and ends well.
pub(crate) fn answer(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.lines().next().unwrap_or_default().trim().to_owned())
}

/// Where a program of this name is in `PATH`.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    std::env::split_paths(&path).map(|folder| folder.join(&file)).find(|file| file.is_file())
}

/// Debian's packages can be installed from here: there is `apt-get`, and we are root.
pub(crate) fn can_apt_install() -> bool {
    let is_root = answer(Command::new("id").arg("-u")).is_some_and(|id| id == "0");
    is_root && find("apt-get").is_some()
}
