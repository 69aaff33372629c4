//! What of the documents is not run here, and why. The list is written down, so that it grows only on purpose.

use std::collections::BTreeSet;
use std::path::Path;

use worker_tests::harness::workspace_root;

use crate::blocks::{Block, Command, of_document};

/// A mark `not run: REASON: PROGRAM, PROGRAM`.
pub(crate) struct Mark<'a> {
    reason: &'a str,
    programs: Vec<&'a str>,
}

/// The reasons that there are, and the programs that each of them excuses. What a reason does not excuse can be run.
const REASONS: [(&str, &[&str]); 3] = [
    // Other steps of the gate, and builds and measurements of the whole. That what they name is there is tested.
    (
        "minutes",
        &[
            "./quickstart",
            "./scripts/test",
            "cargo",
            "just",
            "scripts/bench",
            "scripts/dist",
            "scripts/measure",
            "scripts/measure-docker",
        ],
    ),
    // Registries of images and of Python packages.
    ("network", &["docker", "python3"]),
    // A cluster with a release of the chart in it, or a plugin of Helm. The chart has tests of its own.
    ("cluster", &["helm", "kubectl"]),
];

/// All marks: DOCUMENT: PROGRAM: REASON.
const MARKS: [&str; 26] = [
    "README.md: ./quickstart: minutes",
    "README.md: ./scripts/test: minutes",
    "README.md: cargo: minutes",
    "README.md: helm: cluster",
    "deploy/helm/worker/README.md: helm: cluster",
    "docs/benchmarks.md: just: minutes",
    "docs/benchmarks.md: scripts/bench: minutes",
    "docs/helm.md: docker: network",
    "docs/helm.md: helm: cluster",
    "docs/helm.md: helm: cluster",
    "docs/helm.md: kubectl: cluster",
    "docs/install.md: docker: network",
    "docs/install.md: docker: network",
    "docs/install.md: docker: network",
    "docs/install.md: docker: network",
    "docs/install.md: python3: network",
    "docs/install.md: scripts/dist: minutes",
    "docs/install.md: scripts/dist: minutes",
    "docs/install.md: scripts/dist: minutes",
    "docs/kubernetes.md: kubectl: cluster",
    "docs/kubernetes.md: kubectl: cluster",
    "docs/measurements.md: cargo: minutes",
    "docs/measurements.md: cargo: minutes",
    "docs/measurements.md: scripts/measure-docker: minutes",
    "docs/measurements.md: scripts/measure: minutes",
    "docs/observability.md: cargo: minutes",
];

/// The marks of a block.
pub(crate) fn of(block: &Block) -> impl Iterator<Item = Mark<'_>> {
    block.remarks("not run").map(|remark| {
        let (reason, programs) = remark.split_once(": ").expect("a mark has a reason and programs");
        Mark { reason, programs: programs.split(", ").collect() }
    })
}

impl Mark<'_> {
    /// Whether a command is excused: it calls a program that the mark names.
    pub(crate) fn excuses(&self, command: &Command) -> bool {
        command.programs().iter().any(|program| self.programs.contains(program))
    }
}

/// The marks of a document, as they stand in [`MARKS`], and what is wrong with them.
fn marks(document: &Path) -> (Vec<String>, Vec<String>) {
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    let blocks = of_document(document);
    for (block, mark) in blocks.iter().flat_map(|block| of(block).map(move |mark| (block, mark))) {
        let at = format!("{}:{}", document.display(), block.line);
        let Some((_, excused)) = REASONS.iter().find(|(reason, _)| *reason == mark.reason) else {
            wrong.push(format!("{at}: there is no reason {}", mark.reason));
            continue;
        };
        let commands = block.commands();
        let called: BTreeSet<&str> = commands.iter().flat_map(Command::programs).collect();
        for program in &mark.programs {
            found.push(format!("{}: {program}: {}", document.display(), mark.reason));
            if !excused.contains(program) {
                wrong.push(format!("{at}: {program} can be run whatever is said of {}", mark.reason));
            }
            if !called.contains(program) {
                wrong.push(format!("{at}: {program} is marked and not called"));
            }
        }
        let missing = commands.iter().filter(|command| mark.excuses(command)).flat_map(missing);
        wrong.extend(missing.map(|name| format!("{at}: there is no {name}")));
    }
    (found, wrong)
}

/// What a command names of this workspace and is not there: scripts, and the examples of cargo.
fn missing(command: &Command) -> Vec<String> {
    let words: Vec<&str> = command.text.split_whitespace().collect();
    let scripts = words.iter().filter(|word| word.starts_with("scripts/") || word.starts_with("./scripts/"));
    let mut wanted: Vec<String> = scripts.map(|script| (*script).to_owned()).collect();
    for (word, next) in words.iter().zip(words.iter().skip(1)) {
        if *word == "--example" {
            wanted.push(format!("examples/{next}.rs"));
        }
    }
    let folders = ["", "tests", "code-storage", "config", "worker"];
    let is_there = |name: &String| folders.iter().any(|folder| workspace_root().join(folder).join(name).is_file());
    wanted.retain(|name| !is_there(name));
    wanted
}

#[test]
fn what_is_not_run_is_marked_for_a_reason_and_written_down() {
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for document in crate::documents() {
        let document = document.strip_prefix(workspace_root()).unwrap();
        let (marks, complaints) = marks(document);
        found.extend(marks);
        wrong.extend(complaints);
    }
    found.sort();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(found, MARKS, "a command of the documents is no longer run, or one is again");
}
