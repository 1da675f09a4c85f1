//! `cargo fuzz run block`: see `referee_fuzz::block`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    referee_fuzz::block(bytes);
});
