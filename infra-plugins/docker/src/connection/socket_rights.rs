//! What lets a user use the engine's socket.

use std::os::unix::fs::MetadataExt as _;

use camino::Utf8Path;

const GROUPS: &str = "/etc/group";
const GROUP_MAY_WRITE: u32 = 0o020;
const ROOT: u32 = 0;

/// What to do about a socket that the worker's user may not use.
pub(super) fn hint(socket: &Utf8Path) -> String {
    let Ok(metadata) = fs_err::metadata(socket) else { return for_another_user() };
    let groups = fs_err::read_to_string(GROUPS).unwrap_or_default();
    for_group(metadata.gid(), metadata.mode(), &groups)
}

fn for_group(gid: u32, mode: u32, groups: &str) -> String {
    if gid == ROOT || mode & GROUP_MAY_WRITE == 0 {
        return for_another_user();
    }
    let Some(group) = name_of(gid, groups) else {
        // In a container the engine's group seldom has a name.
        return format!(
            "Add the worker's user to the group with number {gid}, which owns the socket (for a worker in a container: \
             `--group-add {gid}`), and start the worker again"
        );
    };
    format!(
        "Add the worker's user to group '{group}' (`usermod -aG {group} USER`) and start the worker again, or point \
         DOCKER_HOST at a rootless engine"
    )
}

fn for_another_user() -> String {
    "Run the worker as a user who may use the socket, or point DOCKER_HOST at a rootless engine".to_owned()
}

/// The name of a group in text like that of `/etc/group`.
fn name_of(gid: u32, groups: &str) -> Option<&str> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let number: u32 = fields.nth(1)?.parse().ok()?;
        (number == gid).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_that_owns_the_socket_is_named() {
        let groups = "root:x:0:\nbroken\ndocker:x:106:me,you\n";
        for (gid, mode, hint) in [
            (106, 0o140_660, "`usermod -aG docker USER`"),
            (107, 0o140_660, "`--group-add 107`"),
            (106, 0o140_600, "Run the worker as a user who may"),
            (0, 0o140_660, "Run the worker as a user who may"),
        ] {
            let found = for_group(gid, mode, groups);
            assert!(found.contains(hint), "{found}");
        }
        assert!(hint(Utf8Path::new("/nowhere.sock")).contains("Run the worker as a user who may"));
    }
}
