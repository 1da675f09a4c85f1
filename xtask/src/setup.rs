//! Finds a compiler for wasm32-unknown-unknown, and installs one where there is none.

use crate::log::Log;
use crate::project::Project;
use crate::{Result, command};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the browser's modules are compiled for.
pub(crate) const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// Which cargo can build for the browser.
#[derive(Clone, Copy)]
pub(crate) enum Toolchain {
    /// The one that builds everything else, too.
    Default,
    /// `cargo +web`: the one that `wasm-setup.sh` puts together out of Debian's packages.
    Debian,
}

impl Toolchain {
    /// Cargo, as this toolchain.
    pub(crate) fn cargo(self, project: &Project) -> Command {
        let mut cargo = command::cargo(&project.root);
        if matches!(self, Self::Debian) {
            cargo.arg("+web");
        }
        cargo
    }
}

/// Instant when there is one; otherwise rustup gets it, and where rustup can download nothing
/// Debian's packages are the way.
pub(crate) fn wasm_toolchain(project: &Project, log: &mut Log) -> Result<Toolchain> {
    if default_compiler_has_target(&project.root) {
        return Ok(Toolchain::Default);
    }
    let script = script(project);
    if command::answer(command::program(&script, &project.root).arg("--check")).is_some() {
        return Ok(Toolchain::Debian);
    }
    let Err(refusal) = add_with_rustup(project, log) else {
        return Ok(Toolchain::Default);
    };
    log.say(&refusal.to_string())?;
    if !command::can_apt_install() || command::find("rustup").is_none() {
        return Err(format!(
            "the {WASM_TARGET} target is missing: run `rustup target add {WASM_TARGET}` where \
             there is a network, or run this command as root on Debian 12 or newer"
        )
        .into());
    }
    log.run(&mut command::program(&script, &project.root))?;
    Ok(Toolchain::Debian)
}

fn script(project: &Project) -> PathBuf {
    project.root.join("xtask/wasm-setup.sh")
}

fn default_compiler_has_target(root: &Path) -> bool {
    let mut ask = command::program("rustc", root);
    ask.args(["--print", "target-libdir", "--target", WASM_TARGET]);
    command::answer(&mut ask).is_some_and(|folder| holds_core(Path::new(&folder)))
}

fn holds_core(folder: &Path) -> bool {
    let Ok(files) = folder.read_dir() else { return false };
    files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("libcore-"))
}

fn add_with_rustup(project: &Project, log: &mut Log) -> Result {
    let mut rustup = command::program("rustup", &project.root);
    // Without a network it should say so at once.
    rustup.args(["target", "add", WASM_TARGET]).env("RUSTUP_MAX_RETRIES", "0");
    log.run(&mut rustup)?;
    // A `rustc` in front of rustup's in PATH would not have got it.
    if default_compiler_has_target(&project.root) {
        return Ok(());
    }
    Err("rustup has added the target to another compiler than the one in PATH".into())
}
