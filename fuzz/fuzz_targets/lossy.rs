//! `cargo fuzz run lossy`: see `referee_fuzz::lossy`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    referee_fuzz::lossy(bytes);
});
