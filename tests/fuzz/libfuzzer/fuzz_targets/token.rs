//! `cargo fuzz run token`: see docs/fuzzing.md.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| heliograph_fuzz::token(bytes));
