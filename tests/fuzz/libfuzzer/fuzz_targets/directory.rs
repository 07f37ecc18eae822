//! `cargo fuzz run directory`: see docs/fuzzing.md.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| heliograph_fuzz::directory(bytes));
