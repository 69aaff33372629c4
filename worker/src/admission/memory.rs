//! How much of the memory is in use: of the machine, and of what the control groups around us may use.

use std::path::{Path, PathBuf};

/// Where control groups are mounted.
const MOUNT: &str = "/sys/fs/cgroup";

/// The groups that limit us.
#[derive(Debug)]
pub(super) struct Memory(Vec<Group>);

/// A control group, and what its files are called.
#[derive(Debug)]
struct Group {
    folder: PathBuf,
    files: &'static Files,
}

#[derive(Debug)]
struct Files {
    limit: &'static str,
    used: &'static str,
    /// The name of file pages that can be given up at once, in `memory.stat`.
    reclaimable: &'static str,
}

const VERSION_2: Files = Files { limit: "memory.max", used: "memory.current", reclaimable: "inactive_file" };
const VERSION_1: Files =
    Files { limit: "memory.limit_in_bytes", used: "memory.usage_in_bytes", reclaimable: "total_inactive_file" };

impl Memory {
    /// The groups around this process that have a limit now. Most have none, and are not looked at again.
    pub(super) fn here() -> Self {
        let own = fs_err::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let groups = own.lines().filter_map(membership).flat_map(|(mount, path, files)| groups(&mount, path, files));
        Self(groups.filter(|group| group.limit().is_some()).collect())
    }

    /// Of the scarcest.
    pub(super) fn used_percent(&self) -> Option<u64> {
        let machine = fs_err::read_to_string("/proc/meminfo").ok().and_then(|meminfo| of_machine(&meminfo));
        self.0.iter().filter_map(Group::used_percent).chain(machine).max()
    }
}

impl Group {
    fn limit(&self) -> Option<u64> {
        // Version 2 says `max` where there is none, version 1 a number close to the largest.
        self.number(self.files.limit).filter(|limit| *limit > 0 && *limit < 1 << 60)
    }

    fn used_percent(&self) -> Option<u64> {
        let limit = self.limit()?;
        let stat = fs_err::read_to_string(self.folder.join("memory.stat")).ok()?;
        let reclaimable = stat.lines().find_map(|line| line.strip_prefix(self.files.reclaimable));
        let reclaimable = reclaimable.and_then(|number| number.trim().parse().ok()).unwrap_or(0);
        Some(percent(self.number(self.files.used)?.saturating_sub(reclaimable), limit))
    }

    fn number(&self, file: &str) -> Option<u64> {
        fs_err::read_to_string(self.folder.join(file)).ok()?.trim().parse().ok()
    }
}

/// A line of `/proc/self/cgroup`, if it is about memory: where its groups are, which one is ours, and what files it has.
fn membership(line: &str) -> Option<(PathBuf, &str, &'static Files)> {
    let mut parts = line.splitn(3, ':');
    let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    if number == "0" && controllers.is_empty() {
        return Some((PathBuf::from(MOUNT), path, &VERSION_2));
    }
    let of_memory = controllers.split(',').any(|controller| controller == "memory");
    of_memory.then(|| (Path::new(MOUNT).join("memory"), path, &VERSION_1))
}

/// A group and all around it. In a container the path may be one of the machine outside: then only the mount is there.
fn groups(mount: &Path, path: &str, files: &'static Files) -> Vec<Group> {
    let own = mount.join(path.trim_start_matches('/'));
    let around = own.ancestors().take_while(|folder| folder.starts_with(mount));
    around.map(|folder| Group { folder: folder.to_owned(), files }).collect()
}

fn of_machine(meminfo: &str) -> Option<u64> {
    let kibibytes = |name: &str| -> Option<u64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let (total, available) = (kibibytes("MemTotal:")?, kibibytes("MemAvailable:")?);
    (total > 0).then(|| percent(total.saturating_sub(available), total))
}

const fn percent(used: u64, of: u64) -> u64 {
    used.saturating_mul(100) / of
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_the_machine_is_what_is_not_available() {
        assert_eq!(of_machine("MemTotal:  1000 kB\nMemFree:  10 kB\nMemAvailable:  250 kB\n"), Some(75));
        assert_eq!(of_machine("MemTotal:  1000 kB\n"), None);
    }

    fn group(files: &'static Files, contents: &[(&str, &str)]) -> (tempfile::TempDir, Option<u64>) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in contents {
            fs_err::write(folder.path().join(name), text).unwrap();
        }
        let used = Group { folder: folder.path().to_owned(), files }.used_percent();
        (folder, used)
    }

    #[test]
    fn pages_of_files_are_not_in_use_by_a_group() {
        let stat = ("memory.stat", "anon 5\ninactive_file 100\n");
        let (_folder, used) = group(&VERSION_2, &[("memory.max", "1000\n"), ("memory.current", "700\n"), stat]);
        assert_eq!(used, Some(60));
        let stat = ("memory.stat", "inactive_file 1\ntotal_inactive_file 200\n");
        let limit = ("memory.limit_in_bytes", "1000\n");
        let (_folder, used) = group(&VERSION_1, &[limit, ("memory.usage_in_bytes", "700\n"), stat]);
        assert_eq!(used, Some(50));
    }

    #[test]
    fn a_group_without_a_limit_says_nothing() {
        let rest = [("memory.current", "700\n"), ("memory.stat", "inactive_file 100\n")];
        let (_folder, used) = group(&VERSION_2, &[("memory.max", "max\n"), rest[0], rest[1]]);
        assert_eq!(used, None);
        let (_folder, used) = group(&VERSION_1, &[("memory.limit_in_bytes", "9223372036854771712\n")]);
        assert_eq!(used, None);
    }

    #[test]
    fn all_groups_around_ours_count() {
        let (mount, path, files) = membership("0::/system.slice/worker.service").unwrap();
        let folders: Vec<_> = groups(&mount, path, files).into_iter().map(|group| group.folder).collect();
        let expected = ["/sys/fs/cgroup/system.slice/worker.service", "/sys/fs/cgroup/system.slice", "/sys/fs/cgroup"];
        assert_eq!(folders, expected.map(PathBuf::from));
        assert_eq!(membership("4:cpu,memory:/x").unwrap().0, Path::new("/sys/fs/cgroup/memory"));
        assert!(membership("1:cpu:/x").is_none());
    }
}
