//! docs/nat-grid.md: its words are written by hand, its tables by the tests that find what is in
//! them.

use heliograph_sim::grid::Pair;
use std::ops::Range;
use std::path::PathBuf;
use std::{env, fs};

/// Pairs of which not the same comes in the virtual world as in the real one, and why. There are
/// none; one that turns up is a bug in either, or gets its reason here.
pub const REASONS: &[(Pair, &str)] = &[];

/// Compares a table of the page with what was found, times left out; or writes it, if the
/// environment has `HELIOGRAPH_WRITE`.
///
/// # Panics
/// If they differ, or the page has no place for the table.
pub fn keep(name: &str, table: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../docs/nat-grid.md");
    let mut page = fs::read_to_string(&path).expect("the page is there");
    let place = place(&page, name).unwrap_or_else(|| panic!("no place for {name}"));
    if env::var_os("HELIOGRAPH_WRITE").is_some() {
        page.replace_range(place, &format!("\n{table}\n"));
        fs::write(path, page).expect("the page can be written");
    } else {
        let shown = timeless(&page[place]);
        assert_eq!(shown, timeless(table), "{name}: HELIOGRAPH_WRITE=1 writes it anew");
    }
}

/// Between `<!-- name -->` and `<!-- end -->`, a line each.
fn place(page: &str, name: &str) -> Option<Range<usize>> {
    let begin = format!("<!-- {name} -->\n");
    let begin = page.find(&begin)? + begin.len();
    Some(begin..begin + page[begin..].find("<!-- end -->")?)
}

/// Without what differs from run to run.
fn timeless(table: &str) -> String {
    let is_time = |word: &&str| word.parse::<f64>().is_ok();
    table.split_whitespace().filter(|word| !is_time(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_found_by_its_name_and_compared_without_times() {
        let page = "<!-- a -->\none 0.1 s\n<!-- end -->\n<!-- b -->\ntwo 0.2 s\n<!-- end -->\n";
        let found = place(page, "b").map(|place| timeless(&page[place]));
        assert_eq!(found, Some(timeless("two 3.4 s")));
        assert_ne!(found, Some(timeless("one 0.2 s")));
        assert_eq!(place(page, "c"), None);
    }
}
