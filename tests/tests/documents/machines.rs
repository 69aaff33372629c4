//! Machines with systemd, for a document about services; and what it brings to them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use docker_bed::Machine;
use worker_tests::harness::{debian_package, worker_binary};

use crate::sandbox::{EDITED, executable};
use crate::shell::Shell;

/// The versions whose packages the document installs.
const VERSIONS: [&str; 2] = ["0.1.0-1", "0.2.0-1"];

/// The one that the document is about, and another one.
pub(crate) fn boot(home: &Path) -> Vec<(Machine, Shell)> {
    let folder = home.join("machine");
    released(&folder);
    let programs = home.join("machine-programs");
    // Whoever reads the document has a terminal, an editor, and says yes.
    executable(&programs.join("sudo"), "exec \"$@\"");
    let edited = folder.join(EDITED);
    executable(
        &programs.join("editor"),
        &format!("sed -i '/^### Anything between here/r {}' \"$1\"", edited.display()),
    );
    let systemctl = "[ \"$1\" = edit ] || exec /usr/bin/systemctl \"$@\"\n\
                     exec script --quiet --return --command \"/usr/bin/systemctl $*\" /dev/null";
    executable(&programs.join("systemctl"), systemctl);
    (0..2).map(|number| enter(home, &folder, &programs, number)).collect()
}

fn enter(home: &Path, folder: &Path, programs: &Path, number: u32) -> (Machine, Shell) {
    let machine = Machine::boot(home);
    machine.writes("/etc/apt/apt.conf.d/yes", "APT::Get::Assume-Yes \"true\";\n");
    // What the document has pip make, as far as the doctor looks at it.
    machine.writes("/opt/flows/.venv/bin/python", "#!/bin/sh\necho 3.8.0\n");
    machine.does("chmod 755 /opt/flows/.venv/bin/python");
    let variables = [
        format!("PATH={}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", programs.display()),
        format!("SYSTEMD_EDITOR={}", programs.join("editor").display()),
        "TERM=dumb".to_owned(),
    ];
    let mut options = vec!["--workdir", folder.to_str().unwrap()];
    options.extend(variables.iter().flat_map(|variable| ["--env", variable]));
    let mut program = machine.entered(&options);
    program.extend(["bash", "-euo", "pipefail", "-c"].map(OsString::from));
    let environment = BTreeMap::from([("PATH".into(), std::env::var_os("PATH").unwrap_or_default())]);
    let variables = home.join(format!("variables-{number}"));
    (machine, Shell { program, environment, folder: folder.to_owned(), variables, running: Vec::new() })
}

/// What `scripts/dist` makes, of the worker under test.
fn released(folder: &Path) {
    let dist = folder.join("dist");
    for version in VERSIONS {
        let made = debian_package(version, &folder.join(version));
        fs_err::create_dir_all(&dist).unwrap();
        fs_err::rename(&made, dist.join(made.file_name().unwrap())).unwrap();
    }
    fs_err::create_dir(dist.join("amd64")).unwrap();
    for program in ["worker", "worker-supervisor"] {
        fs_err::copy(worker_binary().with_file_name(program), dist.join("amd64").join(program)).unwrap();
    }
}
