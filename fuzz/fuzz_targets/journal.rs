//! `cargo fuzz run journal`: see `referee_fuzz::journal`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    referee_fuzz::journal(bytes);
});
