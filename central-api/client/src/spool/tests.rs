use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::*;

fn root() -> (TempDir, Utf8PathBuf) {
    let root = TempDir::new().unwrap();
    let path = Utf8PathBuf::from_path_buf(root.path().to_owned()).unwrap();
    (root, path)
}

/// With two lines of one letter in a file, and room for six.
fn open(folder: &Utf8Path) -> Spool {
    Spool::with_limits(folder.to_owned(), 8, 24)
}

fn append_all(spool: &mut Spool, mut lines: &[&str]) -> Vec<String> {
    let mut dropped = Vec::new();
    while !lines.is_empty() {
        let written = spool.append(lines);
        assert!(written > 0);
        lines = &lines[written..];
        dropped.extend(spool.make_room());
    }
    dropped
}

fn deliver_all(spool: &mut Spool) -> Vec<String> {
    let mut delivered = Vec::new();
    loop {
        let lines = spool.read();
        if lines.is_empty() {
            return delivered;
        }
        spool.confirm(u64::try_from(lines.len()).unwrap());
        delivered.extend(lines);
    }
}

fn files(folder: &Utf8Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn lines_are_read_in_order_by_the_next_process_and_then_nothing_is_left() {
    let (_root, path) = root();
    let folder = path.join("state/logs");
    let mut spool = open(&folder);
    assert!(!folder.exists(), "it is made when there is something to keep");
    append_all(&mut spool, &[r#""a""#, r#""b""#, r#""c""#]);
    append_all(&mut spool, &[r#""d""#]);
    drop(spool);
    let mut spool = open(&folder);
    assert_eq!(spool.lines(), 4);
    append_all(&mut spool, &[r#""e""#]);
    assert_eq!(deliver_all(&mut spool), [r#""a""#, r#""b""#, r#""c""#, r#""d""#, r#""e""#]);
    assert!(!folder.exists());
    append_all(&mut spool, &[r#""f""#]);
    assert_eq!(deliver_all(&mut spool), [r#""f""#], "it is made again");
}

#[test]
fn what_was_confirmed_is_not_read_again() {
    let (_root, folder) = root();
    let mut spool = Spool::open(folder.clone());
    append_all(&mut spool, &["1", "2", "3"]);
    assert_eq!(spool.read(), ["1", "2", "3"]);
    spool.confirm(1);
    append_all(&mut spool, &["4"]);
    spool.confirm(1);
    assert_eq!(spool.lines(), 2);
    assert_eq!(deliver_all(&mut Spool::open(folder)), ["3", "4"]);
}

#[test]
fn nobody_else_may_read_it() {
    let (_root, path) = root();
    let folder = path.join("state/logs");
    append_all(&mut open(&folder), &["1"]);
    let mode = |path: &Utf8Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(folder.parent().unwrap())), (0o700, 0o700));
    let file = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    assert_eq!(mode(Utf8Path::from_path(&file).unwrap()), 0o600);
}

#[test]
fn a_line_torn_by_the_end_of_a_process_is_skipped_and_nothing_is_written_behind_it() {
    let (_root, folder) = root();
    let mut spool = open(&folder);
    append_all(&mut spool, &["1", "2"]);
    let file = spool.segments[0].path(&folder);
    drop(spool);
    let mut torn = OpenOptions::new().append(true).open(&file).unwrap();
    torn.write_all(b"{\"message\":\"ha").unwrap();
    let mut spool = open(&folder);
    append_all(&mut spool, &["3"]);
    assert_eq!(deliver_all(&mut spool), ["1", "2", "3"]);
}

#[test]
fn the_oldest_lines_are_dropped_when_it_is_full() {
    let (_root, folder) = root();
    let mut spool = open(&folder);
    let lines = ["111", "222", "333", "444", "555", "666", "777", "888"];
    assert_eq!(append_all(&mut spool, &lines), ["111", "222"]);
    assert_eq!((spool.lines(), files(&folder)), (6, 3));
    assert_eq!(spool.read(), ["333", "444"]);
    assert_eq!(append_all(&mut spool, &["999"]), ["555", "666"], "what is being delivered stays");
    spool.confirm(2);
    assert_eq!(deliver_all(&mut spool), ["777", "888", "999"]);
}

#[test]
fn a_line_longer_than_a_file_is_kept() {
    let (_root, folder) = root();
    let mut spool = open(&folder);
    let long = "1".repeat(15);
    append_all(&mut spool, &["1", &long, "2"]);
    assert_eq!(deliver_all(&mut spool), ["1", &long, "2"]);
}

#[test]
fn what_other_processes_left_is_adopted_in_the_order_of_its_age() {
    let (_root, path) = root();
    let (first, second, ours) = (path.join("a"), path.join("b"), path.join("ours"));
    append_all(&mut open(&first), &["111", "222", "333"]);
    append_all(&mut open(&second), &["444"]);
    let mut spool = open(&ours);
    spool.adopt(&second).unwrap();
    spool.adopt(&first).unwrap();
    spool.adopt(&path.join("never")).unwrap();
    append_all(&mut spool, &["555"]);
    assert!(!first.exists() && !second.exists());
    assert_eq!(deliver_all(&mut spool), ["111", "222", "333", "444", "555"]);
}

#[test]
fn files_of_two_processes_that_were_begun_at_the_same_time_are_both_adopted() {
    let (_root, path) = root();
    let (left, ours) = (path.join("left"), path.join("ours"));
    for (folder, line) in [(&left, "1\n"), (&ours, "2\n")] {
        fs::create_dir(folder).unwrap();
        fs::write(Segment::new(7).path(folder), line).unwrap();
    }
    let mut spool = open(&ours);
    spool.adopt(&left).unwrap();
    assert_eq!(deliver_all(&mut spool), ["2", "1"]);
}

#[test]
fn a_folder_that_cannot_be_written_takes_nothing_until_it_can() {
    let (_root, path) = root();
    let folder = path.join("state");
    fs::write(&folder, "a file where the folder should be").unwrap();
    let mut spool = open(&folder.join("logs"));
    assert_eq!(spool.append(&["1"]), 0);
    assert!(spool.is_told);
    assert_eq!((spool.append(&["1"]), spool.lines(), spool.read().len()), (0, 0, 0));
    fs::remove_file(&folder).unwrap();
    append_all(&mut spool, &["1"]);
    assert!(!spool.is_told);
    assert_eq!(deliver_all(&mut spool), ["1"]);
}

#[test]
fn a_write_that_fails_takes_nothing_and_costs_nothing() {
    let (_root, folder) = root();
    let mut spool = open(&folder);
    append_all(&mut spool, &["1"]);
    // It can be neither written nor cut.
    spool.writing = Some(File::open(spool.segments[0].path(&folder)).unwrap());
    assert_eq!((spool.append(&["2"]), spool.lines()), (0, 1));
    append_all(&mut spool, &["2"]);
    assert_eq!(files(&folder), 2);
    assert_eq!(deliver_all(&mut spool), ["1", "2"]);
}

#[test]
fn a_file_that_was_taken_away_costs_its_own_lines_only() {
    let (_root, folder) = root();
    let mut spool = open(&folder);
    append_all(&mut spool, &["111", "222", "333"]);
    fs::remove_file(spool.segments[0].path(&folder)).unwrap();
    assert_eq!(deliver_all(&mut spool), ["333"]);
}
