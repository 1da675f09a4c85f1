//! Where the workspace is and what it consists of, as cargo itself says it.

use crate::{Result, command};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The workspace.
pub(crate) struct Project {
    pub(crate) root: PathBuf,
    /// Cargo's target folder.
    pub(crate) target: PathBuf,
    pub(crate) packages: Vec<Package>,
}

/// One crate of the workspace.
pub(crate) struct Package {
    pub(crate) name: String,
    /// The folder of its `Cargo.toml`.
    pub(crate) folder: PathBuf,
    /// It has a library that other crates, or wasm, can be built from (a macro crate has not).
    pub(crate) has_library: bool,
    pub(crate) dependencies: Vec<Dependency>,
}

/// A line of a crate's `Cargo.toml`.
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// A dev-dependency: it reaches no one who depends on the crate.
    pub(crate) dev: bool,
}

impl Project {
    pub(crate) fn load() -> Result<Self> {
        let root = root()?;
        let metadata = command::cargo(&root)
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .output()
            .map_err(|error| format!("cannot start cargo: {error}"))?;
        if !metadata.status.success() {
            let said = String::from_utf8_lossy(&metadata.stderr);
            return Err(format!("cargo metadata failed: {}", said.trim()).into());
        }
        let metadata: Value = serde_json::from_slice(&metadata.stdout)?;
        let mut packages: Vec<Package> = list(&metadata["packages"]).map(Package::read).collect();
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { root, target: PathBuf::from(text(&metadata["target_directory"])), packages })
    }

    /// The game crates under `examples/`: those with a library.
    pub(crate) fn games(&self) -> impl Iterator<Item = &Package> {
        let examples = self.root.join("examples");
        self.packages.iter().filter(move |p| p.folder.starts_with(&examples) && p.has_library)
    }
}

impl Package {
    fn read(package: &Value) -> Self {
        let manifest = Path::new(text(&package["manifest_path"]));
        let mut kinds = list(&package["targets"]).flat_map(|target| list(&target["kind"]));
        Self {
            name: text(&package["name"]).to_owned(),
            folder: manifest.parent().unwrap_or(manifest).to_owned(),
            has_library: kinds.any(|kind| matches!(text(kind), "lib" | "rlib" | "cdylib")),
            dependencies: list(&package["dependencies"])
                .map(|dependency| Dependency {
                    name: text(&dependency["name"]).to_owned(),
                    dev: dependency["kind"] == "dev",
                })
                .collect(),
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Cargo names this crate's folder when it runs us; a binary that is started by hand looks upwards.
fn root() -> Result<PathBuf> {
    let started_in = match std::env::var_os("CARGO_MANIFEST_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => std::env::current_dir()?,
    };
    started_in
        .ancestors()
        .find(|folder| folder.join("xtask/Cargo.toml").is_file())
        .map(Path::to_owned)
        .ok_or_else(|| format!("{} is not inside the project", started_in.display()).into())
}
