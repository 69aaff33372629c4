//! Who a container runs as.

use crate::engine::Engine;
use crate::error::DockerError;

const PASSWD: &str = "/etc/passwd";

/// The numeric id of a user as the engine understands `user`: a number or a name, perhaps with a group behind it. A name that
/// the container does not know is root's here; the engine then refuses to start it.
pub(crate) async fn uid(engine: &Engine, container: &str, user: &str) -> Result<u64, DockerError> {
    let name = user.split(':').next().unwrap_or_default();
    if name.is_empty() {
        return Ok(0);
    }
    if let Ok(uid) = name.parse() {
        return Ok(uid);
    }
    let passwd = engine.file(container, PASSWD).await?.unwrap_or_default();
    Ok(uid_of(name, &passwd).unwrap_or(0))
}

fn uid_of(name: &str, passwd: &str) -> Option<u64> {
    let mut users = passwd.lines().map(|line| line.split(':'));
    users.find_map(|mut fields| if fields.next() == Some(name) { fields.nth(1)?.parse().ok() } else { None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_looked_up_by_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\n\napp:x:1000:100::/home/app:\nbroken\n";
        assert_eq!(uid_of("app", passwd), Some(1000));
        assert_eq!(uid_of("root", passwd), Some(0));
        assert_eq!(uid_of("nobody", passwd), None);
        assert_eq!(uid_of("broken", passwd), None);
    }
}
