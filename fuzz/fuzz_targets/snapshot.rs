//! `cargo fuzz run snapshot`: see `referee_fuzz::snapshot`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    referee_fuzz::snapshot(bytes);
});
