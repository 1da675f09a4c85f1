//! `cargo fuzz run told`: see `referee_fuzz::told`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    referee_fuzz::told(bytes);
});
