//! Every input that a fuzzer once found worth keeping, on the stable toolchain.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::path::Path;

#[test]
fn every_committed_input_is_survived() {
    for (name, check) in heliograph_fuzz::CHECKS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let mut inputs = 0;
        for entry in fs::read_dir(&folder).unwrap() {
            check(&fs::read(entry.unwrap().path()).unwrap());
            inputs += 1;
        }
        assert!(inputs > 10, "{} has only {inputs} inputs", folder.display());
    }
}

#[test]
fn nothing_at_all_is_survived() {
    for (_, check) in heliograph_fuzz::CHECKS {
        check(&[]);
    }
}
