//! `cargo fuzz run said`: see `referee_fuzz::said`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    referee_fuzz::said(bytes);
});
