//! Carries out the commands of the documents, each document from its beginning in a sandbox of its own.

use std::collections::BTreeSet;
use std::path::Path;

use worker_tests::harness::workspace_root;

use crate::blocks::{Block, of_document};
use crate::sandbox::{EDITED, Sandbox};
use crate::{form, marks};

/// The languages that a block may have. One of none is a picture.
const LANGUAGES: [&str; 9] = ["sh", "console", "toml", "yaml", "json", "ini", "dockerfile", "text", ""];

macro_rules! documents {
    ($($name:ident: $path:literal),+ $(,)?) => {
        /// The documents whose commands are carried out.
        const EXECUTED: &[&str] = &[$($path),+];

        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            executed($path).await;
        })+
    };
}

documents! {
    readme: "README.md",
    benchmarks: "docs/benchmarks.md",
    code: "docs/code.md",
    docker: "docs/docker.md",
    helm: "docs/helm.md",
    install: "docs/install.md",
    kubernetes: "docs/kubernetes.md",
    measurements: "docs/measurements.md",
    migrating: "docs/migrating.md",
    observability: "docs/observability.md",
    operating: "docs/operating.md",
    pools: "docs/pools.md",
    security: "docs/security.md",
    chart: "deploy/helm/worker/README.md",
}

async fn executed(document: &str) {
    let mut sandbox = Sandbox::prepare(document).await;
    let mut wrong = Vec::new();
    let blocks = of_document(Path::new(document));
    for (number, block) in blocks.iter().enumerate() {
        for name in block.remarks("file") {
            sandbox.writes(name, &block.text);
        }
        sandbox.goes_to(block.remarks("on").next());
        if let Some(settings) = blocks.iter().skip(number).find(|block| block.language == "ini") {
            sandbox.writes(EDITED, &settings.text);
        }
        wrong.extend(carried_out(document, block, &mut sandbox).await);
    }
    wrong.extend(sandbox.ends().await);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn carried_out(document: &str, block: &Block, sandbox: &mut Sandbox) -> Vec<String> {
    let mut wrong = Vec::new();
    for command in block.commands() {
        if marks::of(block).any(|mark| mark.excuses(&command)) {
            continue;
        }
        let ended = sandbox.does(&command.text).await;
        let said = format!("{document}:{}: `{}`", command.line, command.text);
        let missing = form::missing(&command.shown, &ended.output);
        if !missing.is_empty() {
            wrong.push(format!("{said} does not print {missing:#?} but\n{}", ended.output));
        } else if !ended.is_well && command.shown.is_empty() {
            wrong.push(format!("{said} failed:\n{}", ended.output));
        }
    }
    wrong
}

#[test]
fn the_commands_of_each_document_are_carried_out() {
    let (mut with_commands, mut wrong) = (BTreeSet::new(), Vec::new());
    for path in crate::documents() {
        let document = path.strip_prefix(workspace_root()).unwrap();
        for block in of_document(document) {
            let at = format!("{}:{}", document.display(), block.line);
            if !block.commands().is_empty() {
                with_commands.insert(document.to_str().unwrap().to_owned());
            }
            if !LANGUAGES.contains(&block.language.as_str()) {
                wrong.push(format!("{at}: nobody knows the language {}", block.language));
            }
            if block.language.is_empty() && looks_like_commands(&block.text) {
                wrong.push(format!("{at}: commands without the language `sh` or `console`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let executed: BTreeSet<String> = EXECUTED.iter().map(|path| (*path).to_owned()).collect();
    assert_eq!(with_commands, executed);
}

/// Whether a block without a language begins a line with a program that documents call.
fn looks_like_commands(text: &str) -> bool {
    let programs = ["worker ", "$ ", "sudo ", "curl ", "cargo ", "kubectl ", "docker ", "prefect ", "scripts/"];
    text.lines().any(|line| programs.iter().any(|program| line.starts_with(program)))
}
