//! The user that runs are executed as.

use serde::{Deserialize, Serialize};

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// A user of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunAs {
    /// Its name.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// Its own group.
    pub gid: u32,
    /// All of its groups.
    pub groups: Vec<u32>,
    /// Its home directory.
    pub home: String,
}

/// There is no such user.
#[derive(Debug, thiserror::Error)]
pub enum UnknownUser {
    /// The users of the machine cannot be read.
    #[error("the users of this machine cannot be read")]
    Unreadable(#[from] std::io::Error),
    /// It is not among them.
    #[error("there is no user `{0}` in /etc/passwd")]
    Unknown(String),
    /// It is root, which nothing keeps apart.
    #[error("the user `{0}` is root")]
    Root(String),
}

impl RunAs {
    /// Looks for a user by name or number. Users of a directory service are not found.
    ///
    /// # Errors
    /// There is none, or it is root.
    pub fn find(user: &str) -> Result<Self, UnknownUser> {
        Self::among(user, &fs_err::read_to_string(PASSWD)?, &fs_err::read_to_string(GROUP)?)
    }

    fn among(user: &str, passwd: &str, group: &str) -> Result<Self, UnknownUser> {
        let entries = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let found = entries.filter_map(|entry| match entry.as_slice() {
            [name, _, uid, gid, _, home, ..] => Some(Self {
                name: (*name).to_owned(),
                uid: uid.parse().ok()?,
                gid: gid.parse().ok()?,
                groups: Vec::new(),
                home: (*home).to_owned(),
            }),
            _ => None,
        });
        let number = user.parse().ok();
        let mut found: Vec<Self> = found.filter(|entry| entry.name == user || Some(entry.uid) == number).collect();
        let Some(found) = found.pop() else { return Err(UnknownUser::Unknown(user.to_owned())) };
        if found.uid == 0 {
            return Err(UnknownUser::Root(user.to_owned()));
        }
        let more = group.lines().filter_map(|line| {
            let mut fields = line.split(':').skip(2);
            let gid: u32 = fields.next()?.parse().ok()?;
            fields.next()?.split(',').any(|member| member == found.name).then_some(gid)
        });
        let mut groups: Vec<u32> = more.chain([found.gid]).collect();
        groups.sort_unstable();
        groups.dedup();
        Ok(Self { groups, ..found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nflows:x:1200:1200:Flows,,,:/srv/flows:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nflows:x:1200:\ndata:x:1300:other,flows\n";

    #[test]
    fn a_user_is_found_by_name_or_number_with_its_groups() {
        for user in ["flows", "1200"] {
            let found = RunAs::among(user, PASSWD, GROUP).unwrap();
            assert_eq!((found.name.as_str(), found.uid, found.home.as_str()), ("flows", 1200, "/srv/flows"));
            assert_eq!(found.groups, [1200, 1300]);
        }
        assert!(matches!(RunAs::among("nobody", PASSWD, GROUP), Err(UnknownUser::Unknown(_))));
        assert!(matches!(RunAs::among("0", PASSWD, GROUP), Err(UnknownUser::Root(_))));
    }
}
