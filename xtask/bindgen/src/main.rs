//! Makes the JavaScript side of a built wasm module: `xtask-bindgen MODULE.wasm OUT_DIR OUT_NAME`.
//!
//! A program of its own because the library behind it takes a minute to compile, and only the
//! browser client needs it: the other commands of `cargo xtask` must not wait for it.

use std::process::ExitCode;
use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [module, out_dir, out_name] = arguments.as_slice() else {
        eprintln!("xtask-bindgen: expected MODULE.wasm OUT_DIR OUT_NAME");
        return ExitCode::FAILURE;
    };
    match generate(module, out_dir, out_name) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask-bindgen: {module}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn generate(module: &str, out_dir: &str, out_name: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut bindgen = Bindgen::new();
    bindgen
        .input_path(module)
        .out_name(out_name)
        .web(true)?
        .typescript(true)
        .remove_name_section(true)
        .remove_producers_section(true)
        // Otherwise `init()` without an argument does not know where its module is.
        .omit_default_module_path(false);
    bindgen.generate(out_dir)?;
    Ok(())
}
