//! `cargo fuzz run proxy_header`: see docs/fuzzing.md.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| heliograph_fuzz::proxy_header(bytes));
