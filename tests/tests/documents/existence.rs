//! What the documents say is there: the pages and headings that they link to, the commands and options that they show.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use worker_tests::harness::worker_binary;

use crate::documents;

/// The text outside of code, line by line.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// The targets of the links in a line.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
}

/// The names by which headings are linked to, as GitHub and others make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let slug = |heading: &str| -> String {
        let kept = heading
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c))
            .collect::<String>();
        kept.replace(' ', "-")
    };
    headings.map(slug).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        for target in
            prose(&text).flat_map(links).filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        {
            let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
            let path = if file.is_empty() { document.clone() } else { document.parent().unwrap().join(file) };
            let leads = match anchor {
                None => path.exists(),
                Some(anchor) => std::fs::read_to_string(&path).is_ok_and(|text| anchors(&text).contains(anchor)),
            };
            if !leads {
                broken.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The lines of shell examples that call the worker, as words: what follows a pipe or a comment is not the worker's.
fn commands(text: &str) -> Vec<Vec<String>> {
    let mut is_shell = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            is_shell = !is_shell && language == "sh";
            continue;
        }
        let line = line.trim();
        let line = line.strip_prefix("sudo ").unwrap_or(line);
        if is_shell && line.starts_with("worker ") {
            let words = line.split_whitespace().take_while(|word| !word.starts_with(['#', '|', '>', '&', ';']));
            found.push(words.map(str::to_owned).collect());
        }
    }
    found
}

/// The help of the command that the words begin with, and how many of them name it.
fn help(helps: &mut BTreeMap<Vec<String>, Option<String>>, words: &[String]) -> Option<(String, usize)> {
    let names = words
        .iter()
        .skip(1)
        .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-'));
    let names: Vec<String> = names.cloned().collect();
    (1..=names.len()).rev().find_map(|length| {
        let path: Vec<String> = names.iter().take(length).cloned().collect();
        let text = helps.entry(path.clone()).or_insert_with(|| {
            let asked = Command::new(worker_binary()).args(&path).arg("--help").output().unwrap();
            asked.status.success().then(|| String::from_utf8(asked.stdout).unwrap())
        });
        text.clone().map(|text| (text, length))
    })
}

#[test]
fn commands_and_options_exist() {
    let mut wrong = Vec::new();
    let mut looked_at = 0;
    let mut helps = BTreeMap::new();
    for document in documents() {
        for words in commands(&std::fs::read_to_string(&document).unwrap()) {
            looked_at += 1;
            let said = format!("{}: {}", document.display(), words.join(" "));
            let Some((help, _)) = help(&mut helps, &words) else {
                wrong.push(format!("{said}: no such command"));
                continue;
            };
            for option in words.iter().filter(|word| word.starts_with("--") && word.len() > 2) {
                let name = option.split('=').next().unwrap();
                let is_there = help
                    .split(|c: char| c.is_whitespace() || [',', '[', ']', '='].contains(&c))
                    .any(|word| word == name);
                if !is_there {
                    wrong.push(format!("{said}: no option {name}"));
                }
            }
        }
    }
    assert!(looked_at > 30, "the examples are elsewhere: {looked_at}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
