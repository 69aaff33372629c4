//! The marks of a folder: the first is that of its daemons, the others were taken over.

use std::io;

use camino::Utf8Path;
use infra_contract::Owner;
use uuid::Uuid;

use super::write_whole;

pub(super) const FILE: &str = "marks";

/// The owner that a folder stands for, with a new mark if it has none.
pub(super) fn owner(folder: &Utf8Path, name: &str) -> io::Result<Owner> {
    let mut marks = read(folder)?;
    if marks.is_empty() {
        let fresh = Uuid::new_v4().as_fields().0;
        marks.push(format!("{name}-{fresh:08x}"));
        write(folder, marks.iter())?;
    }
    let own = marks.remove(0);
    let owner = Owner::new(own);
    for mark in marks {
        owner.take_over(mark);
    }
    Ok(owner)
}

pub(super) fn read(folder: &Utf8Path) -> io::Result<Vec<String>> {
    match fs_err::read_to_string(folder.join(FILE)) {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

pub(super) fn write<'m>(folder: &Utf8Path, marks: impl Iterator<Item = &'m String>) -> io::Result<()> {
    let lines: Vec<&str> = marks.map(String::as_str).chain([""]).collect();
    write_whole(&folder.join(FILE), &lines.join("\n"))
}
