//! Repositories behind a real `sshd` with keys of its own.

use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::origin::{Site, names, read};
use camino::Utf8Path;
use code_storage::CodeError;
use serde_json::json;

/// A server for as long as the test runs: one `sshd` for each connection.
async fn serve(site: &Site) -> u16 {
    for key in ["host", "known", "stranger"] {
        let file = site.root.join(key);
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", file.as_str()]));
    }
    // The directory that sshd insists on if it is started by root.
    drop(fs_err::create_dir_all("/run/sshd"));
    let config = site.root.join("sshd_config");
    fs_err::write(
        &config,
        format!(
            "HostKey {0}/host\nAuthorizedKeysFile {0}/known.pub\nStrictModes no\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nUsePAM no\n",
            site.root
        ),
    )
    .unwrap();
    let sshd = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"];
    let sshd = sshd.into_iter().find(|path| Utf8Path::new(path).exists()).expect("openssh-server is installed");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let stream = stream.into_std().unwrap();
            stream.set_nonblocking(false).unwrap();
            let socket = || OwnedFd::from(stream.try_clone().unwrap());
            let mut child = tokio::process::Command::new(sshd)
                .args(["-i", "-f", config.as_str()])
                .stdin(socket())
                .stdout(socket())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap();
            tokio::spawn(async move { child.wait().await });
        }
    });
    port
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Puts an `ssh` on the `PATH` that has a key and the keys of known hosts of the test's own.
fn replace_ssh(site: &mut Site, key: &str) {
    let programs = site.root.join("programs");
    fs_err::create_dir_all(&programs).unwrap();
    let config = site.root.join("ssh_config");
    fs_err::write(
        &config,
        format!(
            "UserKnownHostsFile {0}/known_hosts\nGlobalKnownHostsFile /dev/null\nIdentityFile {0}/{key}\n\
             IdentitiesOnly yes\nIdentityAgent none\n",
            site.root
        ),
    )
    .unwrap();
    let ssh = programs.join("ssh");
    let script = format!("#!/bin/sh\necho \"$*\" >> {0}/ssh-calls\nexec /usr/bin/ssh -F {config} \"$@\"\n", site.root);
    fs_err::write(&ssh, script).unwrap();
    fs_err::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755)).unwrap();
    site.options.env.insert("PATH".to_owned(), format!("{programs}:/usr/local/bin:/usr/bin:/bin"));
}

fn trust(site: &Site, port: u16) {
    let key = read(&site.root.join("host.pub"));
    fs_err::write(site.root.join("known_hosts"), format!("[127.0.0.1]:{port} {key}")).unwrap();
}

#[tokio::test]
async fn a_known_host_lets_a_known_key_in_and_nothing_is_asked_or_taken_on_trust() {
    for mut site in [Site::new(), Site::with_cache()] {
        site.options.attempts = 1;
        let origin = site.repository("code");
        let port = serve(&site).await;
        let user = run(Command::new("id").arg("-un"));
        let url = format!("ssh://{user}@127.0.0.1:{port}{}", origin.path);
        let inputs = || json!({"repository": url});
        let directory = site.run_directory("run");

        replace_ssh(&mut site, "known");
        let failed = site.git_clone(&directory, inputs()).await.unwrap_err();
        assert!(matches!(failed, CodeError::HostKey { .. }), "{failed}");
        assert!(failed.hint().contains("known_hosts"));

        trust(&site, port);
        replace_ssh(&mut site, "stranger");
        let failed = site.git_clone(&directory, inputs()).await.unwrap_err();
        assert!(matches!(failed, CodeError::SshRefused { .. }), "{failed}");
        assert_eq!(names(&directory), Vec::<String>::new());

        replace_ssh(&mut site, "known");
        let pulled = site.git_clone(&directory, inputs()).await.unwrap();
        assert_eq!(pulled.checkouts[0].revision, origin.head());
        let calls = read(&site.root.join("ssh-calls"));
        assert!(calls.lines().all(|call| call.contains("BatchMode=yes") && call.contains("StrictHostKeyChecking=yes")));
    }
}

#[tokio::test]
async fn the_operators_own_command_for_ssh_decides() {
    let mut site = Site::new();
    let origin = site.repository("code");
    let port = serve(&site).await;
    replace_ssh(&mut site, "known");
    let config = site.root.join("gitconfig");
    fs_err::write(&config, "[core]\n\tsshCommand = ssh -o StrictHostKeyChecking=accept-new\n").unwrap();
    site.options.env.insert("GIT_CONFIG_GLOBAL".to_owned(), config.into_string());
    let user = run(Command::new("id").arg("-un"));
    let inputs = json!({"repository": format!("ssh://{user}@127.0.0.1:{port}{}", origin.path)});
    site.git_clone(&site.run_directory("run"), inputs).await.unwrap();
    assert!(!read(&site.root.join("ssh-calls")).contains("BatchMode"));
}
