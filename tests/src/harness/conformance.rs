//! The conformance table: which test covers which item of the checklist of Prefect's worker behaviour.
//!
//! A test covers an item by its name, `c069_…` for item 69. The table is made from the sources, so it cannot claim a test
//! that does not exist.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::sources::{rust_sources, workspace_path};

/// Items that this release covers. The others belong to kinds of infrastructure that it does not have.
const COVERED: &[RangeInclusive<u16>] = &[1..=123];

/// Where the items are written down, in our own words.
const ITEMS: &str = include_str!("../../conformance.tsv");

/// The committed table, relative to the workspace.
pub const TABLE: &str = "docs/conformance.md";

/// One item of the checklist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its number.
    pub number: u16,
    /// `core`, `docker` or `kubernetes`.
    pub area: String,
    /// What a worker has to do.
    pub title: String,
}

/// A test that covers an item.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Coverage {
    /// Its file, relative to the workspace.
    pub file: PathBuf,
    /// Its name.
    pub test: String,
}

/// The tests of each item that has one.
pub type Covered = BTreeMap<u16, Vec<Coverage>>;

/// The items of the data file.
pub fn items() -> Vec<Item> {
    ITEMS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(item).collect()
}

fn item(line: &str) -> Item {
    let mut fields = line.split('\t');
    let item = (|| {
        let (number, area, title) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Item { number: number.parse().ok()?, area: area.to_owned(), title: title.to_owned() })
    })();
    item.filter(|_| fields.next().is_none()).unwrap_or_else(|| panic!("not number, area, title: {line:?}"))
}

/// Whether this release has to cover an item.
pub fn is_due(number: u16) -> bool {
    COVERED.iter().any(|range| range.contains(&number))
}

/// All tests of the workspace that cover an item.
pub fn covered() -> Covered {
    let mut covered = Covered::new();
    for path in rust_sources() {
        let source = fs_err::read_to_string(&path).expect("a file that was just listed can be read");
        let file = workspace_path(&path);
        for (number, test) in source.lines().filter_map(numbered_test) {
            covered.entry(number).or_default().push(Coverage { file: file.clone(), test });
        }
    }
    for tests in covered.values_mut() {
        tests.sort();
    }
    covered
}

/// The item and name of a test, if the line begins a function that is named for an item.
fn numbered_test(line: &str) -> Option<(u16, String)> {
    let line = line.trim_start();
    let line = line.strip_prefix("pub(crate) ").unwrap_or(line);
    let signature = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn "))?;
    let (name, _) = signature.split_once(['(', '<'])?;
    let (digits, rest) = name.strip_prefix('c')?.split_at_checked(3)?;
    rest.strip_prefix('_')?;
    Some((digits.parse().ok()?, name.to_owned()))
}

/// Items of this release that no test covers.
pub fn missing(covered: &Covered) -> Vec<u16> {
    items().iter().map(|item| item.number).filter(|number| is_due(*number) && !covered.contains_key(number)).collect()
}

/// The table as Markdown.
pub fn render(covered: &Covered) -> String {
    let mut text = HEAD.to_owned();
    for item in items() {
        let cell = match covered.get(&item.number) {
            Some(tests) => tests.iter().map(link).collect::<Vec<_>>().join("<br>"),
            None if is_due(item.number) => "**missing**".to_owned(),
            None => "not in this release".to_owned(),
        };
        let Item { number, area, title } = item;
        writeln!(text, "| {number} | {area} | {title} | {cell} |").expect("writing to a string cannot fail");
    }
    text
}

const HEAD: &str = "<!-- Made by `cargo run -p worker-tests --example conformance`; a test fails when it is stale. -->

# Conformance

What Prefect's own worker does on the wire and with its runs, item by item, and the tests that hold this worker to it.
Tests named `c…` run on an API in memory that follows the server's rules; those of the folder `scenarios` mostly run again on
a real Prefect server, in the lanes of `real_server.rs`.

| # | area | a worker … | tests |
| --: | --- | --- | --- |
";

fn link(coverage: &Coverage) -> String {
    let (file, test) = (coverage.file.display(), &coverage.test);
    format!("[`{test}`](../{file})")
}
