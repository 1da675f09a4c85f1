//! Proves that a game needs nothing of this workspace: the README's game becomes a crate in a
//! folder of its own, is built against `referee`, and is played in a page.

use crate::log::Log;
use crate::project::Project;
use crate::{Result, browser, command};
use std::fs;
use std::path::{Path, PathBuf};

/// The crate's name, and so its program's.
const NAME: &str = "readme-game";

/// A source file of the crate.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    path: &'static str,
    text: String,
}

pub(crate) fn run(project: &Project, log: &mut Log) -> Result {
    let readme = fs::read_to_string(project.root.join("README.md"))
        .map_err(|error| format!("cannot read README.md: {error}"))?;
    let folder = std::env::temp_dir().join(format!("referee-{NAME}-{}", std::process::id()));
    let outcome = write_crate(project, &folder, &sources(&readme)?)
        .and_then(|()| build(project, &folder, log))
        .and_then(|server| play(project, &server, log));
    // A folder that stays behind in the system's temporary folder harms nobody.
    fs::remove_dir_all(&folder).ok();
    outcome
}

/// The README's Rust blocks as files. A block says which one it is in its first line
/// (`// src/main.rs`); one that does not is the program if it has a `main`, else the library.
fn sources(readme: &str) -> Result<Vec<Source>> {
    let wanted = rust_blocks(readme)
        .into_iter()
        .filter(|block| block.contains("pub fn counter") || block.contains("referee::run"));
    let mut sources: Vec<Source> = Vec::new();
    for text in wanted {
        let path = match text.lines().next().map(str::trim) {
            Some("// src/lib.rs") => "src/lib.rs",
            Some("// src/main.rs") => "src/main.rs",
            _ if text.contains("fn main()") => "src/main.rs",
            _ => "src/lib.rs",
        };
        match sources.iter_mut().find(|source| source.path == path) {
            Some(source) => source.text += &text,
            None => sources.push(Source { path, text }),
        }
    }
    let has_program = sources.iter().any(|source| source.path == "src/main.rs");
    let has_game = sources.iter().any(|source| source.text.contains("pub fn counter"));
    if !has_program || !has_game {
        return Err("README.md must hold, in ```rust blocks, the counter game (`pub fn counter`) \
                    and the `main` that calls `referee::run`"
            .into());
    }
    Ok(sources)
}

fn rust_blocks(markdown: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in markdown.lines() {
        match &mut open {
            None if line.starts_with("```rust") => open = Some(String::new()),
            None => {}
            Some(block) if !line.starts_with("```") => {
                block.push_str(line);
                block.push('\n');
            }
            Some(_) => blocks.extend(open.take()),
        }
    }
    blocks
}

/// The lock file goes along so that the crate takes the versions that are here already.
fn write_crate(project: &Project, folder: &Path, sources: &[Source]) -> Result {
    let has_library = sources.iter().any(|source| source.path == "src/lib.rs");
    let library = if has_library { "[lib]\nname = \"counter\"\n" } else { "" };
    let referee = project.root.join("referee");
    let manifest = format!(
        "[package]\nname = \"{NAME}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n{library}\
         [dependencies]\nreferee = {{ path = {referee:?} }}\n"
    );
    fs::create_dir_all(folder.join("src"))?;
    fs::write(folder.join("Cargo.toml"), manifest)?;
    fs::copy(project.root.join("Cargo.lock"), folder.join("Cargo.lock"))?;
    for source in sources {
        fs::write(folder.join(source.path), &source.text)?;
    }
    Ok(())
}

/// In the workspace's target folder and with its debug settings, so that the dependencies that
/// were built for the server serve here, too.
fn build(project: &Project, folder: &Path, log: &mut Log) -> Result<PathBuf> {
    let mut build = command::cargo(folder);
    build.args(["build", "--release"]).env("CARGO_TARGET_DIR", &project.target);
    log.run(build.env("CARGO_PROFILE_RELEASE_DEBUG", "line-tables-only"))?;
    Ok(project.target.join("release").join(format!("{NAME}{}", std::env::consts::EXE_SUFFIX)))
}

fn play(project: &Project, server: &Path, log: &mut Log) -> Result {
    let test = project.root.join("tests/outside/outside.test.mjs");
    browser::run_files(project, &[test], server, log)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAME: &str = "pub fn counter(game: &mut Game) {}\n";
    const MAIN: &str = "fn main() -> referee::Result { referee::run(|s| s) }\n";

    fn block(text: &str) -> String {
        format!("Words.\n```rust\n{text}```\n")
    }

    fn source(path: &'static str, text: &str) -> Source {
        Source { path, text: text.to_owned() }
    }

    #[test]
    fn one_block_with_a_main_is_the_program() {
        let both = format!("{GAME}{MAIN}");
        let other = block("let x = 1;\n");
        let expected = [source("src/main.rs", &both)];
        assert_eq!(sources(&format!("{other}{}", block(&both))).unwrap(), expected);
    }

    #[test]
    fn two_blocks_are_a_library_and_a_program() {
        let game = format!("// src/lib.rs\n{GAME}");
        let expected = [source("src/lib.rs", &game), source("src/main.rs", MAIN)];
        assert_eq!(sources(&(block(&game) + &block(MAIN))).unwrap(), expected);
    }

    #[test]
    fn without_a_main_or_a_game_it_says_what_is_missing() {
        let readmes = [block(GAME), block(MAIN), String::new()];
        for readme in readmes {
            assert!(sources(&readme).unwrap_err().to_string().contains("referee::run"));
        }
    }
}
