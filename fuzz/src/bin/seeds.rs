//! Writes the seeds of the fuzz bodies anew: after a change of what goes over the wire or to disk.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    for seed in referee_fuzz::record::seeds() {
        let folder = folder.join(seed.body);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(seed.name), &seed.bytes)?;
        println!("{}/{}: {} bytes", seed.body, seed.name, seed.bytes.len());
    }
    Ok(())
}
