//! Builds for the browser: the client that the server hands out, and every crate that must stay
//! able to run there.

use crate::log::Log;
use crate::project::Project;
use crate::setup::{Toolchain, WASM_TARGET};
use crate::{Result, command, imports};
use std::fs;
use std::path::{Path, PathBuf};

/// The crates that must build for the browser beside the games: with them, no I/O can creep in.
const PORTABLE: [&str; 5] =
    ["referee-protocol", "referee-room", "referee-client", "referee-client-wasm", "referee"];

/// wasm-bindgen derives the names of its files from it: `referee_bg.wasm` and `referee.js`.
const OUT_NAME: &str = "referee";

/// What wasm-bindgen's module is called in the end: pages import the hand-written `referee.js` of
/// `client-wasm/js`, and that imports this one.
const GLUE: &str = "referee_glue.js";

/// The built client, where the server's build script embeds it.
pub(crate) fn client_folder(project: &Project) -> PathBuf {
    project.root.join("server/client")
}

/// Builds the browser client into `server/client`.
pub(crate) fn build_client(project: &Project, toolchain: Toolchain, log: &mut Log) -> Result {
    let generated = target(project).join("bindgen");
    build_module(project, toolchain, ("referee-client-wasm", OUT_NAME, &generated), log)?;
    assemble(&generated, &project.root.join("client-wasm/js"))?;
    mirror(&generated, &client_folder(project))
}

/// Builds a crate as a module, as the browser client is built, and its JavaScript side, into a folder
/// of its own: `{name}.js`, `{name}_bg.wasm`.
pub(crate) fn build_module(
    project: &Project,
    toolchain: Toolchain,
    (package, name, folder): (&str, &str, &Path),
    log: &mut Log,
) -> Result {
    let target = target(project);
    log.run(
        toolchain
            .cargo(project)
            .args(["build", "-p", package, "--profile", "browser"])
            .args(["--target", WASM_TARGET, "--target-dir"])
            .arg(&target),
    )?;
    let file = format!("{}.wasm", package.replace('-', "_"));
    let module = target.join(WASM_TARGET).join("browser").join(file);
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    log.run(
        command::cargo(&project.root)
            .args(["run", "--quiet", "-p", "xtask-bindgen", "--"])
            .arg(module)
            .arg(folder)
            .arg(name),
    )
}

/// Joins what wasm-bindgen made with the modules and types that are written by hand.
fn assemble(generated: &Path, by_hand: &Path) -> Result {
    for types in ["referee.d.ts", "referee_bg.wasm.d.ts"] {
        fs::remove_file(generated.join(types))?;
    }
    fs::rename(generated.join("referee.js"), generated.join(GLUE))?;
    for file in by_hand.read_dir()?.flatten() {
        fs::copy(file.path(), generated.join(file.file_name()))?;
    }
    Ok(())
}

/// Compiles every crate that must run in a browser, one by one: in one cargo call the features
/// that one crate asks for would be there for all.
pub(crate) fn check_portable(project: &Project, toolchain: Toolchain, log: &mut Log) -> Result {
    let mut faults = Vec::new();
    let games = project.games().map(|game| game.name.as_str());
    for package in PORTABLE.into_iter().chain(games) {
        if let Err(fault) = check_module(project, toolchain, package, log) {
            log.say(&format!("{package}: {fault}"))?;
            faults.push(package);
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(format!("these crates do not run in a browser: {}", faults.join(", ")).into())
}

/// Builds one crate as a module of its own and looks at what it would ask of its surroundings: a
/// symbol that nobody defines becomes an import from "env". The module exports nothing, so compiler
/// and linker must be told to keep its code.
fn check_module(project: &Project, toolchain: Toolchain, package: &str, log: &mut Log) -> Result {
    let target = target(project);
    let mut cargo = toolchain.cargo(project);
    cargo.args(["rustc", "-p", package, "--lib", "--no-default-features"]);
    cargo.args(["--crate-type", "cdylib", "--target", WASM_TARGET, "--target-dir"]);
    cargo.arg(&target).args(["--", "-C", "link-dead-code", "-C", "link-arg=--no-gc-sections"]);
    log.run(&mut cargo)?;
    let file = format!("{}.wasm", package.replace('-', "_"));
    let module = target.join(WASM_TARGET).join("debug").join(file);
    let bytes = fs::read(&module).map_err(|e| format!("cannot read {}: {e}", module.display()))?;
    let unresolved: Vec<String> = imports::imports(&bytes)?
        .into_iter()
        .filter(|import| import.module == "env")
        .map(|import| import.name)
        .collect();
    if unresolved.is_empty() {
        return Ok(());
    }
    Err(format!("imports from \"env\", which no browser has: {}", unresolved.join(", ")).into())
}

/// Browser builds have a target folder of their own: their compiler may be another one, and the
/// two would build each other's build scripts anew.
fn target(project: &Project) -> PathBuf {
    project.target.join("wasm")
}

/// Makes `to` equal to `from`. Files that are equal already stay untouched, so that the server is
/// not built again for nothing.
fn mirror(from: &Path, to: &Path) -> Result {
    fs::create_dir_all(to)?;
    for old in to.read_dir()?.flatten() {
        if !from.join(old.file_name()).exists() {
            if old.path().is_dir() {
                fs::remove_dir_all(old.path())?;
            } else {
                fs::remove_file(old.path())?;
            }
        }
    }
    for new in from.read_dir()?.flatten() {
        let copy = to.join(new.file_name());
        if new.path().is_dir() {
            mirror(&new.path(), &copy)?;
        } else {
            let bytes = fs::read(new.path())?;
            if fs::read(&copy).ok().as_ref() != Some(&bytes) {
                fs::write(&copy, bytes)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirroring_leaves_equal_files_alone_and_removes_strangers() {
        let folder = std::env::temp_dir().join(format!("referee-mirror-{}", std::process::id()));
        let (from, to) = (folder.join("from"), folder.join("to"));
        fs::create_dir_all(from.join("snippets")).unwrap();
        fs::create_dir_all(to.join("old")).unwrap();
        fs::write(from.join("same"), "same").unwrap();
        fs::write(from.join("snippets/new"), "new").unwrap();
        fs::write(to.join("same"), "same").unwrap();
        fs::write(to.join("stranger"), "").unwrap();
        let written = |file: &Path| fs::metadata(file).unwrap().modified().unwrap();
        let before = written(&to.join("same"));

        mirror(&from, &to).unwrap();

        assert_eq!(written(&to.join("same")), before);
        assert_eq!(fs::read_to_string(to.join("snippets/new")).unwrap(), "new");
        assert!(!to.join("stranger").exists() && !to.join("old").exists());
        fs::remove_dir_all(folder).unwrap();
    }
}
