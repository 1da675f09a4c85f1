//! Which crate may depend on which, as ARCHITECTURE.md draws it.

use crate::project::Package;
use std::path::Path;

/// Each crate outside `examples/`, and all of ours that it may depend on. What a test needs
/// (a dev-dependency) is free.
const EDGES: &[(&str, &[&str])] = &[
    ("referee-protocol", &[]),
    ("referee-macros", &[]),
    ("referee-room", &["referee-protocol", "referee-macros"]),
    ("referee-client", &["referee-protocol"]),
    ("referee-client-wasm", &["referee-client", "referee-protocol"]),
    ("referee-client-tokio", &["referee-client", "referee-protocol"]),
    ("referee-server", &["referee-protocol", "referee-room"]),
    (
        "referee",
        &["referee-room", "referee-protocol", "referee-macros", "referee-client", "referee-server"],
    ),
    (
        "referee-loadtest",
        &[
            "referee-protocol",
            "referee-client",
            "referee-client-tokio",
            "referee-server",
            "referee",
            "counter",
            "tic-tac-toe",
            "arena",
            "cards",
        ],
    ),
    ("referee-bench", &["referee-protocol", "referee-room", "referee-client-tokio", "arena"]),
    ("referee-bench-decoder", &["referee-protocol"]),
    ("referee-bench-fill", &["referee-protocol", "referee-server"]),
    (
        "referee-bench-parked",
        &["referee-protocol", "referee-room", "referee-server", "referee-client-tokio"],
    ),
    ("referee-fuzz", &["referee-protocol", "referee-room", "arena", "cards"]),
    ("xtask", &[]),
    ("xtask-bindgen", &[]),
];

/// The two crates that everything stands on stay light.
const SMALL: [&str; 2] = ["referee-protocol", "referee-room"];

/// A small crate has at most so many direct dependencies; the aim is 8.
const MAX_DEPENDENCIES: usize = 10;

/// Everything that is wrong with the edges.
pub(super) fn faults(packages: &[Package], root: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    for package in packages {
        match allowed(package, packages, root) {
            Some(allowed) => check_edges(package, packages, &allowed, &mut faults),
            None => faults.push(format!(
                "{}: a new crate, say in xtask/src/tidy/edges.rs what it may depend on",
                package.name
            )),
        }
        check_weight(package, &mut faults);
    }
    faults
}

/// A game sees the facade only; the crate that hosts them all (it has no library) sees the games.
fn allowed<'a>(package: &Package, packages: &'a [Package], root: &Path) -> Option<Vec<&'a str>> {
    let examples = root.join("examples");
    let is_game = |p: &Package| p.folder.starts_with(&examples) && p.has_library;
    let named = |name: &str| packages.iter().find(|p| p.name == name).map(|p| p.name.as_str());
    if package.folder.starts_with(&examples) {
        let games = packages.iter().filter(|p| is_game(p) && !package.has_library);
        return Some(named("referee").into_iter().chain(games.map(|p| p.name.as_str())).collect());
    }
    let (_, edges) = EDGES.iter().find(|(name, _)| *name == package.name)?;
    Some(edges.to_vec())
}

fn check_edges(
    package: &Package,
    packages: &[Package],
    allowed: &[&str],
    faults: &mut Vec<String>,
) {
    let is_ours = |name: &str| packages.iter().any(|p| p.name == name);
    for dependency in package.dependencies.iter().filter(|dependency| !dependency.dev) {
        let name = dependency.name.as_str();
        if is_ours(name) && !allowed.contains(&name) {
            faults.push(format!(
                "{} -> {name}: this edge is not in ARCHITECTURE.md (the list is in \
                 xtask/src/tidy/edges.rs)",
                package.name
            ));
        }
    }
}

fn check_weight(package: &Package, faults: &mut Vec<String>) {
    let count = package.dependencies.iter().filter(|dependency| !dependency.dev).count();
    if SMALL.contains(&package.name.as_str()) && count > MAX_DEPENDENCIES {
        faults.push(format!(
            "{}: {count} direct dependencies, at most {MAX_DEPENDENCIES} (the aim is 8)",
            package.name
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Dependency;

    fn package(name: &str, folder: &str, has_library: bool, dependencies: &[&str]) -> Package {
        let dependencies =
            dependencies.iter().map(|name| Dependency { name: (*name).to_owned(), dev: false });
        Package {
            name: name.to_owned(),
            folder: Path::new("p").join(folder),
            has_library,
            dependencies: dependencies.collect(),
        }
    }

    fn check(packages: &[Package]) -> Vec<String> {
        faults(packages, Path::new("p"))
    }

    #[test]
    fn the_drawn_edges_are_allowed() {
        let packages = [
            package("referee-protocol", "protocol", true, &["serde"]),
            package("referee-client", "client", true, &["referee-protocol"]),
            package("referee", "referee", true, &[]),
            package("chess", "examples/chess", true, &["referee"]),
            package("referee-examples", "examples/all", false, &["referee", "chess"]),
        ];
        assert_eq!(check(&packages), Vec::<String>::new());
    }

    #[test]
    fn an_edge_that_is_not_drawn_is_named() {
        let mut packages = [
            package("referee-protocol", "protocol", true, &["referee-room"]),
            package("referee-room", "room", true, &[]),
        ];
        assert!(check(&packages)[0].contains("referee-protocol -> referee-room"));
        packages[0].dependencies[0].dev = true;
        assert_eq!(check(&packages), Vec::<String>::new());
    }

    #[test]
    fn a_game_sees_the_facade_only() {
        let packages = [
            package("referee-room", "room", true, &[]),
            package("checkers", "examples/checkers", true, &[]),
            package("chess", "examples/chess", true, &["referee-room", "checkers"]),
        ];
        let faults = check(&packages);
        assert!(faults[0].contains("chess -> referee-room"), "{faults:?}");
        assert!(faults[1].contains("chess -> checkers"), "{faults:?}");
    }

    #[test]
    fn a_new_crate_must_be_placed() {
        assert!(check(&[package("referee-new", "new", true, &[])])[0].contains("a new crate"));
    }

    #[test]
    fn the_core_stays_light() {
        let names: Vec<String> = (0..11).map(|n| format!("dependency-{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let faults = check(&[package("referee-room", "room", true, &names)]);
        assert!(faults[0].contains("11 direct dependencies"), "{faults:?}");
    }
}
