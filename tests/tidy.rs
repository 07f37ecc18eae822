//! What a machine can hold of STYLE.md, so that nobody has to argue it.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Files and folders that a reader finds at the top, and nothing else.
const TOP_LEVEL: [&str; 22] = [
    ".ci",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "STYLE.md",
    "base",
    "bench",
    "clippy.toml",
    "deny.toml",
    "docs",
    "examples",
    "relay",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "signal",
    "src",
];

const FILE_LINES_MAX: usize = 600;
const LINE_CHARS_MAX: usize = 100;

/// The only files with `unsafe`: one for each thing that needs it.
const UNSAFE_FILES: [&str; 4] = [
    "bench/src/sys.rs",
    "relay/bench/src/sys.rs",
    "relay/server/src/io/sys.rs",
    "tests/lab/src/sys.rs",
];

#[test]
fn the_top_level_is_what_the_architecture_says() {
    let known =
        |name: &str| TOP_LEVEL.contains(&name) || ["tests", "target", ".git"].contains(&name);
    let strays: Vec<String> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !known(name))
        .collect();
    assert!(strays.is_empty(), "not part of the house: {strays:?}");
    for name in TOP_LEVEL {
        assert!(root().join(name).exists(), "{name} is missing");
    }
}

#[test]
fn files_are_short() {
    check(&["rs"], |file, text| {
        let lines = without_tests(text).lines().count();
        let too_long =
            !file.contains("/tests/") && !file.starts_with("tests/") && lines > FILE_LINES_MAX;
        too_long.then(|| format!("{lines} lines without tests; {FILE_LINES_MAX} is where to split"))
    });
}

#[test]
fn lines_are_short() {
    check(&["rs"], |_, text| {
        let long = |line: &&str| line.chars().count() > LINE_CHARS_MAX;
        let number = text.lines().position(|line| long(&line))?;
        Some(format!("line {} is over {LINE_CHARS_MAX} characters", number + 1))
    });
}

#[test]
fn no_line_ends_in_white_space() {
    check(&["rs", "toml", "md", "js", "mjs", "css", "html", "sh"], |_, text| {
        let number = text.lines().position(|line| line.trim_end() != line)?;
        Some(format!("line {} ends in white space", number + 1))
    });
}

#[test]
fn every_module_says_what_lives_in_it() {
    check(&["rs"], |_, text| {
        let first = text.lines().find(|line| !line.is_empty() && !line.starts_with("#!"))?;
        (!first.starts_with("//!")).then(|| "the file does not begin with a //! head".to_owned())
    });
}

#[test]
fn unsafe_code_has_its_files() {
    check(&["rs"], |file, text| {
        let code = |line: &&str| !line.trim_start().starts_with("//") && line.contains("unsafe {");
        let number = text.lines().position(|line| code(&line))?;
        let allowed = UNSAFE_FILES.contains(&file) || file == "tests/tidy.rs";
        (!allowed).then(|| format!("line {}: unsafe outside {UNSAFE_FILES:?}", number + 1))
    });
}

#[test]
fn no_test_is_switched_off() {
    check(&["rs"], |file, text| {
        let marker = ["#[ig", "nore"].concat();
        let off = file != "tests/tidy.rs" && text.contains(&marker);
        off.then(|| "a test is ignored: mend it or delete it".to_owned())
    });
}

#[test]
fn nothing_is_left_to_do_later() {
    let markers = ["TO", "FIX", "XX"].map(|start| {
        [
            start,
            if start == "TO" {
                "DO"
            } else if start == "FIX" {
                "ME"
            } else {
                "X"
            },
        ]
        .concat()
    });
    check(&["rs", "js", "mjs", "css", "html", "sh", "toml"], |_, text| {
        let found = |line: &&str| markers.iter().any(|marker| line.contains(marker.as_str()));
        let number = text.lines().position(|line| found(&line))?;
        Some(format!("line {}: do it, or write an issue", number + 1))
    });
}

/// The virtual world looks for them in a copy, for minutes: a stale one is seen here at once.
#[test]
fn known_bugs_can_still_be_put_in() {
    for entry in fs::read_dir(root().join("tests/sim/mutants")).unwrap() {
        let patch = entry.unwrap().path();
        let check = Command::new("git")
            .current_dir(root())
            .args(["apply", "--check"])
            .arg(&patch)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&check.stderr);
        assert!(check.status.success(), "make {} anew: {said}", patch.display());
    }
}

#[test]
fn the_halves_do_not_know_each_other_and_cores_do_no_io() {
    let manifest = |path: &str| fs::read_to_string(root().join(path).join("Cargo.toml")).unwrap();
    for (package, banned) in [
        ("base", &["relay-", "signal-", "tokio", "libc"][..]),
        ("bench", &["heliograph-", "relay-", "signal-", "tokio"]),
        ("relay/core", &["signal-", "relay-server", "tokio", "libc", "socket2", "getrandom"]),
        ("relay/server", &["signal-"]),
        ("relay/bench", &["signal-", "relay-server"]),
        ("signal/core", &["relay-", "signal-server", "tokio", "axum", "getrandom"]),
        ("signal/server", &["relay-"]),
        ("signal/bench", &["relay-", "signal-server", "signal-core"]),
        ("signal/client", &["relay-", "signal-server", "axum"]),
        ("tests/lab", &["relay-server", "signal-"]),
    ] {
        let text = manifest(package);
        let (_, dependencies) = text.split_once("[dependencies]").expect("has dependencies");
        let dependencies = dependencies.split("\n[dev-dependencies]").next().unwrap();
        for line in dependencies.lines() {
            let hit = banned.iter().find(|name| line.starts_with(*name));
            assert!(hit.is_none(), "{package}/Cargo.toml: {line}: {hit:?} is not for this folder");
        }
    }
    for core in ["relay/core", "signal/core"] {
        assert!(!manifest(core).contains("clock"), "{core} must not read the machine's clock");
    }
}

#[test]
fn links_in_documents_lead_somewhere() {
    check(&["md"], |file, text| {
        let folder = Path::new(file).parent().unwrap();
        let dead = links(text).find(|link| {
            let path = link.split('#').next().unwrap();
            let elsewhere = link.contains("://") || path.is_empty();
            !elsewhere && !root().join(folder).join(path).exists()
        })?;
        Some(format!("the link to {dead} leads nowhere"))
    });
}

/// The targets of `[text](target)`, code blocks left out.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let prose = text.split("```").step_by(2);
    prose.flat_map(|part| part.split("](").skip(1)).filter_map(|rest| rest.split(')').next())
}

/// Runs `rule` on every file of the repository with one of the endings; it returns what is wrong.
fn check(endings: &[&str], rule: impl Fn(&str, &str) -> Option<String>) {
    let mut files = Vec::new();
    collect(&root(), &mut files);
    let mut wrong = Vec::new();
    let mut read = 0;
    for file in files {
        let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if !endings.contains(&ending) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        read += 1;
        wrong.extend(rule(&name, &text).map(|what| format!("{name}: {what}")));
    }
    assert!(read > 0, "no file has the endings {endings:?}");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if ["target", ".git", "node_modules"].contains(&name) {
            continue;
        }
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]").next().unwrap()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
