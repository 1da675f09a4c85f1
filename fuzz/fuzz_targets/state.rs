//! `cargo fuzz run state`: see `referee_fuzz::state`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    referee_fuzz::state(bytes);
});
