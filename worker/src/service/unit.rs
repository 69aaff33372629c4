//! The text of the unit files.

/// The unit for all pools of the machine's settings.
const WORKER: &str = include_str!("../../../deploy/systemd/worker.service");
/// The unit for one pool each.
const OF_A_POOL: &str = include_str!("../../../deploy/systemd/worker@.service");
/// Where the package has the program.
const PACKAGED: &str = "/usr/bin/worker";

/// What a unit on this machine has of its own.
pub(super) struct Unit<'a> {
    pub(super) executable: &'a str,
    /// Pools to name on the command line of `worker.service`; those of the settings if there are none.
    pub(super) pools: &'a [String],
    /// An account that is there already, instead of `worker`.
    pub(super) user: Option<&'a str>,
}

impl Unit<'_> {
    /// `worker.service`.
    pub(super) fn worker(&self) -> String {
        let pools: Vec<String> = self.pools.iter().map(|pool| format!(" --pool {}", word(pool))).collect();
        self.adapted(WORKER, &pools.concat())
    }

    /// `worker@.service`.
    pub(super) fn of_a_pool(&self) -> String {
        self.adapted(OF_A_POOL, "")
    }

    fn adapted(&self, text: &str, arguments: &str) -> String {
        let line = |line: &str| match (line.split_once('='), self.user) {
            (Some(("ExecStart", command)), _) => {
                let rest = command.strip_prefix(PACKAGED).unwrap_or(command);
                Some(format!("ExecStart={}{rest}{arguments}\n", word(self.executable)))
            }
            (Some(("User", _)), Some(user)) => Some(format!("User={user}\n")),
            // The account's own.
            (Some(("Group", _)), Some(_)) => None,
            // Somebody's account has its caches and its code at home.
            (Some(("ProtectHome", _)), Some(_)) => Some("ProtectHome=no\n".to_owned()),
            _ => Some(format!("{line}\n")),
        };
        text.lines().filter_map(line).collect()
    }
}

/// One word of a command line as systemd reads it, in which `%` and `$` have a meaning.
fn word(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    let is_plain = !text.is_empty()
        && text.chars().all(|character| character.is_ascii_alphanumeric() || "/._-+@:,%$".contains(character));
    if is_plain { escaped } else { format!("\"{escaped}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, key: &str) -> Vec<String> {
        text.lines().filter(|line| line.starts_with(&format!("{key}="))).map(str::to_owned).collect()
    }

    #[test]
    fn a_unit_starts_this_program_with_the_pools_that_were_named() {
        let pools = ["reports".to_owned(), "50% \"big\" $x".to_owned()];
        let unit = Unit { executable: "/opt/my tools/worker", pools: &pools, user: None };
        let wanted =
            "ExecStart=\"/opt/my tools/worker\" start --wait-for-api --pool reports --pool \"50%% \\\"big\\\" $$x\"";
        assert_eq!(lines(&unit.worker(), "ExecStart"), [wanted]);
        assert_eq!(
            lines(&unit.of_a_pool(), "ExecStart"),
            ["ExecStart=\"/opt/my tools/worker\" start --wait-for-api --pool %i"]
        );
    }

    #[test]
    fn the_rest_of_a_unit_is_that_of_the_package() {
        let unit = Unit { executable: PACKAGED, pools: &[], user: None };
        assert_eq!(unit.worker(), WORKER);
        assert_eq!(unit.of_a_pool(), OF_A_POOL);
    }

    #[test]
    fn the_account_of_somebody_has_its_group_and_its_home() {
        let unit = Unit { executable: PACKAGED, pools: &[], user: Some("ada") };
        for text in [unit.worker(), unit.of_a_pool()] {
            assert_eq!(lines(&text, "User"), ["User=ada"]);
            assert_eq!(lines(&text, "Group"), Vec::<String>::new());
            assert_eq!(lines(&text, "ProtectHome"), ["ProtectHome=no"]);
        }
    }

    /// Everything but the lines that are marked, so that a change to one is made to the other.
    #[test]
    fn both_units_are_the_same_but_for_what_is_marked() {
        let settings = |text: &str| -> Vec<String> {
            let of_one = ["EnvironmentFile=-/etc/worker/%i.env", "Environment=WORKER_STATE_DIR"];
            let differs = ["Description=", "ExecStart=", "StateDirectory="];
            let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
            let lines = lines.filter(|line| !of_one.iter().chain(&differs).any(|start| line.starts_with(start)));
            lines.map(str::to_owned).collect()
        };
        assert_eq!(settings(WORKER), settings(OF_A_POOL));
        assert_eq!(OF_A_POOL.matches("# Differs").count(), 3);
    }
}
