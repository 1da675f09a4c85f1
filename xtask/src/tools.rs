//! Installs what the tests need beside Rust, or says what to install.

use crate::log::Log;
use crate::project::Project;
use crate::{Result, browser, command, setup};
use std::fs;
use std::path::{Path, PathBuf};

/// The oldest node that runs the browser tests.
const NODE_MAJOR: u32 = 20;

/// Everything that the other steps of the test command use.
pub(crate) fn install(project: &Project, log: &mut Log) -> Result {
    check_node(project)?;
    install_playwright(project, log)?;
    install_browser(project, log)?;
    install_python(project, log)?;
    count_syscalls(project, log)?;
    setup::wasm_toolchain(project, log)?;
    Ok(())
}

/// The browser that the tests drive: `REFEREE_CHROMIUM`, or the first one in `PATH`.
pub(crate) fn chromium() -> Option<PathBuf> {
    match std::env::var_os("REFEREE_CHROMIUM") {
        Some(path) => Some(PathBuf::from(path)),
        None => {
            ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(command::find)
        }
    }
}

fn check_node(project: &Project) -> Result {
    let missing =
        || format!("install node {NODE_MAJOR} or newer, with npm: the browser tests use it");
    let version = command::answer(command::program("node", &project.root).arg("--version"))
        .ok_or_else(missing)?;
    let major = version.trim_start_matches('v').split('.').next().and_then(|n| n.parse().ok());
    if major.is_none_or(|major: u32| major < NODE_MAJOR) {
        return Err(format!("{} (found {version})", missing()).into());
    }
    command::find("npm").map(|_| ()).ok_or_else(|| missing().into())
}

/// The lock file names the version; what npm has installed says which one it is.
fn install_playwright(project: &Project, log: &mut Log) -> Result {
    let folder = browser::folder(project);
    let wanted =
        version_in(&folder.join("package-lock.json"), Some("node_modules/playwright-core"));
    let found = version_in(&folder.join("node_modules/playwright-core/package.json"), None);
    if wanted.is_some() && wanted == found {
        return Ok(());
    }
    log.run(command::program("npm", &folder).arg("ci"))
        .map_err(|error| format!("cannot install playwright-core: {error}").into())
}

fn version_in(file: &Path, package: Option<&str>) -> Option<String> {
    let json: serde_json::Value = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    let json = package.map_or(&json, |package| &json["packages"][package]);
    json["version"].as_str().map(str::to_owned)
}

/// The fonts are not decoration: without any, a page shows no text at all.
fn install_browser(project: &Project, log: &mut Log) -> Result {
    let has_fonts = !cfg!(target_os = "linux") || Path::new("/usr/share/fonts/truetype").is_dir();
    if chromium().is_some() && has_fonts {
        return Ok(());
    }
    apt_install(project, log, &["chromium", "fonts-dejavu-core"]).ok_or(
        "install Chromium and a font (Debian: `apt-get install chromium fonts-dejavu-core`), or \
         name the browser in REFEREE_CHROMIUM",
    )?
}

/// The client made from `PROTOCOL.md` runs on it.
fn install_python(project: &Project, log: &mut Log) -> Result {
    if command::find("python3").is_some() {
        return Ok(());
    }
    apt_install(project, log, &["python3"]).ok_or("install python3")?
}

/// The host bench counts system calls with perf where the kernel lets it, else with strace.
pub(crate) fn count_syscalls(project: &Project, log: &mut Log) -> Result {
    if !cfg!(target_os = "linux") || command::find("strace").is_some() {
        return Ok(());
    }
    apt_install(project, log, &["strace"])
        .ok_or("install strace (Debian: `apt-get install strace`): the host bench uses it")?
}

/// Nothing where Debian's packages cannot be installed.
fn apt_install(project: &Project, log: &mut Log, packages: &[&str]) -> Option<Result> {
    if !command::can_apt_install() {
        return None;
    }
    let mut apt = |arguments: &[&str]| {
        let mut apt = command::program("apt-get", &project.root);
        log.run(apt.env("DEBIAN_FRONTEND", "noninteractive").arg("-q").args(arguments))
    };
    let install = [&["install", "-y", "--no-install-recommends"], packages].concat();
    Some(apt(&["update"]).and_then(|()| apt(&install)))
}
