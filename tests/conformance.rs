//! docs/conformance.md, made of the requirements in tests/conformance/ and the tests that show
//! them. With `UPDATE_CONFORMANCE=1` in the environment it is written anew, otherwise compared.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Each RFC with its title.
const RFCS: [(&str, &str); 2] = [("8489", "STUN"), ("8656", "TURN")];

/// The levels of requirements: RFC 2119's two, and sentences without such a word.
const LEVELS: [&str; 3] = ["MUST", "SHOULD", "rule"];

/// Names of tests and the files they are in.
type Tests = BTreeMap<String, String>;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Requirements {
    requirement: Vec<Requirement>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Requirement {
    section: String,
    level: String,
    text: String,
    #[serde(default)]
    tests: Vec<String>,
    not_met: Option<String>,
    not_applicable: Option<String>,
    note: Option<String>,
}

#[test]
fn the_table_of_requirements_is_up_to_date() {
    let tests = all_tests();
    let mut text = HEAD.to_owned();
    for (rfc, title) in RFCS {
        let path = root().join(format!("tests/conformance/rfc{rfc}.toml"));
        let file: Requirements = toml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let wrong: Vec<String> =
            file.requirement.iter().filter_map(|row| fault(row, &tests)).collect();
        assert!(wrong.is_empty(), "tests/conformance/rfc{rfc}.toml:\n{}", wrong.join("\n"));
        write_table(&mut text, rfc, title, &file.requirement, &tests);
    }
    let path = root().join("docs/conformance.md");
    if std::env::var_os("UPDATE_CONFORMANCE").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let is_same = fs::read_to_string(&path).unwrap() == text;
    assert!(is_same, "docs/conformance.md is old: run this test with UPDATE_CONFORMANCE=1");
}

/// What is wrong with a row.
fn fault(row: &Requirement, tests: &Tests) -> Option<String> {
    let place = format!("§{} {:?}", row.section, row.text);
    if !LEVELS.contains(&row.level.as_str()) {
        return Some(format!("{place}: the level is one of {LEVELS:?}"));
    }
    if let Some(name) = row.tests.iter().find(|name| !tests.contains_key(*name)) {
        return Some(format!("{place}: there is no test {name}"));
    }
    let has_result = match (&row.not_met, &row.not_applicable) {
        (None, None) => !row.tests.is_empty(),
        (Some(_), None) => true,
        (None, Some(_)) => row.tests.is_empty(),
        (Some(_), Some(_)) => false,
    };
    (!has_result).then(|| format!("{place}: tests, not_met, or not_applicable"))
}

fn write_table(text: &mut String, rfc: &str, title: &str, rows: &[Requirement], tests: &Tests) {
    let count = |result: &str| rows.iter().filter(|row| row.result() == result).count();
    let sums = ["met", "partly met", "not met", "not applicable"]
        .map(|result| format!("{} {result}", count(result)));
    writeln!(text, "\n## RFC {rfc}: {title}\n").unwrap();
    writeln!(text, "{} requirements: {}.\n", rows.len(), sums.join(", ")).unwrap();
    text.push_str("| § | level | requirement | result | shown by |\n|---|---|---|---|---|\n");
    for row in rows {
        let reason = [&row.not_met, &row.not_applicable, &row.note];
        let reason = reason.into_iter().flatten().next();
        let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        let shown: Vec<String> =
            row.tests.iter().map(|name| format!("[{name}](../{})", tests[name])).collect();
        let (section, level) = (&row.section, &row.level);
        let (what, result, shown) = (cell(&row.text), row.result(), shown.join(", "));
        let reason = cell(&reason);
        writeln!(text, "| {section} | {level} | {what} | {result}{reason} | {shown} |").unwrap();
    }
}

impl Requirement {
    fn result(&self) -> &'static str {
        match (&self.not_met, &self.not_applicable) {
            (None, None) => "met",
            (Some(_), _) if self.tests.is_empty() => "not met",
            (Some(_), _) => "partly met",
            (None, Some(_)) => "not applicable",
        }
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Every function with an attribute that makes it a test.
fn all_tests() -> Tests {
    let mut tests = Tests::new();
    for folder in ["base", "relay", "signal", "src", "tests"] {
        collect(&root().join(folder), &mut tests);
    }
    tests
}

fn collect(folder: &Path, tests: &mut Tests) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_source = path.extension().is_some_and(|ending| ending == "rs");
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !["target", "node_modules", "corpus"].contains(&name) {
            collect(&path, tests);
        } else if is_source {
            let text = fs::read_to_string(&path).unwrap();
            let file = path.strip_prefix(root()).unwrap().to_str().unwrap();
            tests.extend(tests_in(&text).map(|name| (name.to_owned(), file.to_owned())));
        }
    }
}

fn tests_in(text: &str) -> impl Iterator<Item = &str> {
    let mut is_test = false;
    text.lines().filter_map(move |line| {
        let line = line.trim_start();
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        }
        let (_, after) = line.split_once("fn ")?;
        let (name, _) = after.split_once('(')?;
        std::mem::take(&mut is_test).then_some(name)
    })
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

const HEAD: &str = "\
# Conformance

What RFC 8489 (STUN) and RFC 8656 (TURN) ask of a server, sentence by sentence, and the test that
shows it. Level *rule* is a sentence without MUST or SHOULD that still says what a server does. A
requirement that isn't met stands here as such, with the reason; *partly met* has tests for the part
that is. What the RFCs ask of clients is left out.

`cargo test --test conformance` holds this page to `tests/conformance/` and to the tests' names; the
tests themselves run with all others. `UPDATE_CONFORMANCE=1 cargo test --test conformance` writes
the page.
";
