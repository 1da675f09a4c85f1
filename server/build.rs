//! Embeds the pages and, where it was built, the browser client: the binary needs no file beside
//! it, also in a game that lives outside this workspace.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let client = root.join("client");
    println!("cargo::rerun-if-changed=build.rs");
    let mut files = Vec::new();
    if client.is_dir() {
        println!("cargo::rerun-if-changed=client");
        collect(&client, &client, &mut files)?;
    } else {
        // A path that is not there would count as changed each time. The folder around it changes
        // when it appears.
        println!("cargo::rerun-if-changed=.");
    }
    // The order of a folder's entries is not the same everywhere.
    files.sort();
    let mut list = String::from("&[\n");
    for (name, path) in files {
        writeln!(list, "    ({name:?}, include_bytes!({path:?})),").map_err(io::Error::other)?;
    }
    list.push(']');
    let file = out.join("client.rs");
    // The same text again must not make the crate build again.
    if fs::read_to_string(&file).is_ok_and(|old| old == list) {
        return Ok(());
    }
    fs::write(file, list)
}

/// The files that a browser loads, with their paths below `root`; types and the like stay out.
fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, files)?;
        } else if path.extension().is_some_and(|kind| kind == "js" || kind == "wasm") {
            let below = path.strip_prefix(root).expect("it was found below it");
            let name = below.to_string_lossy().replace('\\', "/");
            files.push((name, path));
        }
    }
    Ok(())
}
