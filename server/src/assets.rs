//! The browser client inside the binary, under names that hold the hash of the content: a browser
//! may keep such a file for ever, and a new build is a new name.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, LazyLock, OnceLock};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use referee_protocol::hash::hash;

/// The built client: `(path below server/client, content)`. Empty when it was not built.
const CLIENT: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/client.rs"));

/// The module that pages import as "referee"; without it the client is not built.
const ENTRY: &str = "referee.js";

/// A file a browser may load.
#[derive(Clone, Debug)]
pub struct Asset {
    /// Its media type.
    pub media_type: &'static str,
    /// Its content.
    pub bytes: Bytes,
    /// Its content compressed, once it is.
    gzip: OnceLock<Option<Bytes>>,
}

impl Asset {
    /// Its content compressed, where that is shorter, as soon as it is done.
    #[must_use]
    pub fn gzip(&self) -> Option<&Bytes> {
        self.gzip.get()?.as_ref()
    }
}

/// All files a browser may load, by their hashed names.
#[derive(Debug, Default)]
pub struct Assets {
    files: BTreeMap<String, Asset>,
    entry: Option<String>,
}

impl Assets {
    /// The files that were embedded when this crate was built. The first call begins to compress them,
    /// beside everything else: a server that comes back lets nobody wait for it.
    #[must_use]
    pub fn embedded() -> Arc<Self> {
        static EMBEDDED: LazyLock<Arc<Assets>> = LazyLock::new(|| {
            let assets = Arc::new(Assets::new(CLIENT));
            let of_thread = Arc::clone(&assets);
            let thread = std::thread::Builder::new().name("referee-gzip".to_owned());
            if let Err(error) = thread.spawn(move || of_thread.compress()) {
                tracing::warn!(%error, "no thread for it: browsers load the client uncompressed");
            }
            assets
        });
        Arc::clone(&EMBEDDED)
    }

    /// These files: their paths below the client's folder, and contents.
    pub(crate) fn new(client: &[(&str, &'static [u8])]) -> Self {
        let sources = client.iter().copied().collect();
        let mut naming = Naming { sources, done: BTreeMap::new(), files: BTreeMap::new() };
        for (name, _) in client {
            naming.name(name);
        }
        let entry = naming.done.get(ENTRY).cloned();
        Self { files: naming.files, entry }
    }

    /// Compresses all files. It takes a while, in which they can be had as they are.
    pub(crate) fn compress(&self) {
        for Asset { bytes, gzip: packed, .. } in self.files.values() {
            packed.get_or_init(|| gzip(bytes).filter(|gzip| gzip.len() < bytes.len()));
        }
    }

    /// The file with this hashed name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Asset> {
        self.files.get(name)
    }

    /// The hashed name of the module that pages import as "referee"; none when the client was not
    /// built.
    #[must_use]
    pub fn entry(&self) -> Option<&str> {
        self.entry.as_deref()
    }
}

fn gzip(bytes: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// Gives files their hashed names. A file's hash covers the hashed names it refers to, so those are
/// found first.
struct Naming<'a> {
    sources: BTreeMap<&'a str, &'static [u8]>,
    /// Empty while a file is at work: files that refer to each other in a circle keep the text.
    done: BTreeMap<&'a str, String>,
    files: BTreeMap<String, Asset>,
}

impl<'a> Naming<'a> {
    fn name(&mut self, path: &'a str) {
        if self.done.contains_key(path) {
            return;
        }
        self.done.insert(path, String::new());
        let source = self.sources[path];
        let (bytes, media_type) = match path.rsplit_once('.') {
            Some((_, "js")) => (self.rewrite(source), "text/javascript; charset=utf-8"),
            _ => (Bytes::from_static(source), "application/wasm"),
        };
        let file = path.rsplit('/').next().unwrap_or(path);
        let (stem, kind) = file.rsplit_once('.').unwrap_or((file, "bin"));
        let hashed = format!("{stem}-{:016x}.{kind}", hash(&bytes));
        self.done.insert(path, hashed.clone());
        self.files.insert(hashed, Asset { media_type, bytes, gzip: OnceLock::new() });
    }

    /// A module with the names of the other files in it replaced by their hashed ones.
    fn rewrite(&mut self, source: &'static [u8]) -> Bytes {
        let Ok(text) = std::str::from_utf8(source) else { return Bytes::from_static(source) };
        let mut text = text.to_owned();
        let others: Vec<&str> = self.sources.keys().copied().collect();
        for other in others {
            // As a module refers to a file beside it: imported, or joined to its own address.
            let shapes = [("\"./", "\""), ("'./", "'"), ("\"", "\""), ("'", "'")];
            let quoted = shapes.map(|(open, close)| (format!("{open}{other}{close}"), open, close));
            if !quoted.iter().any(|(quoted, ..)| text.contains(quoted)) {
                continue;
            }
            self.name(other);
            let hashed = &self.done[other];
            if hashed.is_empty() {
                continue;
            }
            for (quoted, open, close) in &quoted {
                text = text.replace(quoted, &format!("{open}{hashed}{close}"));
            }
        }
        Bytes::from(text)
    }
}

#[cfg(test)]
pub(crate) const SAMPLE: &[(&str, &[u8])] = &[
    ("glue.js", b"import { a } from './snippets/x-1/inline0.js'; new URL('referee_bg.wasm', u);"),
    ("referee.js", b"import init from \"./glue.js\"; new URL(\"./referee_bg.wasm\", u);"),
    ("referee_bg.wasm", b"\0asm"),
    ("snippets/x-1/inline0.js", b"export const a = 'referee_bg';"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn text<'a>(assets: &'a Assets, start: &str) -> (&'a str, &'a str) {
        let (name, asset) = assets.files.iter().find(|(name, _)| name.starts_with(start)).unwrap();
        (name, std::str::from_utf8(&asset.bytes).unwrap())
    }

    #[test]
    fn modules_name_each_other_by_their_hashes() {
        let assets = Assets::new(SAMPLE);
        let (wasm, _) = text(&assets, "referee_bg-");
        let (inline, _) = text(&assets, "inline0-");
        let (glue, glue_text) = text(&assets, "glue-");
        let expected = format!("import {{ a }} from './{inline}'; new URL('{wasm}', u);");
        assert_eq!(glue_text, expected);
        let (module, module_text) = text(&assets, "referee-");
        let expected = format!("import init from \"./{glue}\"; new URL(\"./{wasm}\", u);");
        assert_eq!(module_text, expected);
        assert_eq!(assets.entry(), Some(module));
        assert_eq!(module.len(), "referee-0123456789abcdef.js".len());
    }

    #[test]
    fn a_change_deep_down_changes_every_name_above() {
        let mut changed = SAMPLE.to_vec();
        changed[2].1 = b"\0asm, newer";
        let (old, new) = (Assets::new(SAMPLE), Assets::new(&changed));
        assert_ne!(old.entry(), new.entry());
        assert_eq!(text(&old, "inline0-"), text(&new, "inline0-"));
    }

    #[test]
    fn without_a_built_client_there_is_no_entry() {
        assert_eq!(Assets::new(&[]).entry(), None);
        assert!(Assets::new(&[]).files.is_empty());
    }

    #[test]
    fn a_circle_ends() {
        let circle: &[(&str, &[u8])] = &[("a.js", b"'./b.js'"), ("b.js", b"'./a.js'")];
        assert_eq!(Assets::new(circle).files.len(), 2);
    }
}
