//! A real `sshd` on loopback that serves the repositories of a [`GitServer`], and nothing else.
//!
//! Each connection gets a server of its own, as from `inetd`, so that the port is free by then and
//! nothing is left when a test ends.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use crate::git::{GitServer, Repo};

/// An sshd, which ends with this value.
#[derive(Debug)]
pub struct SshServer {
    directory: TempDir,
    address: SocketAddr,
    user: String,
    is_over: Arc<AtomicBool>,
}

impl SshServer {
    /// Starts a server of the repositories of `git`, which lets nobody in.
    ///
    /// # Panics
    /// When OpenSSH is not installed, or there is no port for it.
    #[must_use]
    pub fn start(git: &GitServer) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("slipway-sshd-")
            .tempdir()
            .expect("a directory for sshd");
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let server = Self {
            address: listener.local_addr().expect("an address"),
            user: run(Command::new("id").arg("-un")),
            is_over: Arc::default(),
            directory,
        };
        server.change_host_key();
        std::fs::write(server.path("authorized_keys"), "").expect("a file");
        server.write_config(git);
        if server.user == "root" {
            // Where sshd locks up the half of it that strangers talk to.
            std::fs::create_dir_all("/run/sshd").expect("a directory for sshd");
        }
        let (config, is_over) = (server.path("config"), Arc::clone(&server.is_over));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                serve(OwnedFd::from(stream), &config);
            }
        });
        server
    }

    /// What to clone a repository from.
    #[must_use]
    pub fn url(&self, repo: &Repo) -> String {
        let path = repo.served().display();
        format!("ssh://{}@{}{path}", self.user, self.address)
    }

    /// Lets the holder of a key in; `public` is its public half as OpenSSH writes it.
    ///
    /// # Panics
    /// When its file cannot be written.
    pub fn allow(&self, public: &str) {
        let line = format!(
            "command=\"{}\",restrict {public}\n",
            self.path("serve").display()
        );
        std::fs::write(self.path("authorized_keys"), line).expect("a file");
    }

    /// The line by which clients know it.
    ///
    /// # Panics
    /// When its key cannot be read.
    #[must_use]
    pub fn known_hosts(&self) -> String {
        let key = std::fs::read_to_string(self.path("host.pub")).expect("a host key");
        let (ip, port) = (self.address.ip(), self.address.port());
        format!("[{ip}]:{port} {}", key.trim())
    }

    /// Gives it another host key, as if somebody stood in its place.
    ///
    /// # Panics
    /// When no key can be made.
    pub fn change_host_key(&self) {
        for name in ["host", "host.pub"] {
            // There is none at first.
            let _ = std::fs::remove_file(self.path(name));
        }
        make_key(&self.path("host"), "ed25519");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write_config(&self, git: &GitServer) {
        let path = |name| self.path(name).display().to_string();
        let config = format!(
            "HostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nPidFile none\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin forced-commands-only\nAcceptEnv GIT_PROTOCOL\nLogLevel ERROR\n",
            path("host"),
            path("authorized_keys"),
        );
        std::fs::write(self.path("config"), config).expect("a file");
        // Who asks by ssh is held to the same rules as who asks by HTTP.
        let script = format!(
            "#!/bin/sh\nexport PATH='{}' HOME='{}' GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_COUNT=1 \
             GIT_CONFIG_KEY_0=uploadpack.allowAnySHA1InWant GIT_CONFIG_VALUE_0=true\n\
             exec git shell -c \"$SSH_ORIGINAL_COMMAND\"\n",
            std::env::var("PATH").unwrap_or_default(),
            git.home().display(),
        );
        let serve = self.path("serve");
        std::fs::write(&serve, script).expect("a file");
        run(Command::new("chmod").arg("0755").arg(serve));
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Whatever comes of it, the thread looks up.
        let _ = std::net::TcpStream::connect(self.address);
    }
}

/// Makes a key pair, `path` and `path.pub`, and gives both halves as text, the private one first.
///
/// # Panics
/// When `ssh-keygen` is not installed, or does not know the kind.
pub fn make_key(path: &Path, kind: &str) -> (String, String) {
    let args = ["-q", "-N", "", "-C", "test", "-t", kind, "-f"];
    run(Command::new("ssh-keygen").args(args).arg(path));
    let read = |path: &Path| std::fs::read_to_string(path).expect("a key");
    let public = path.with_added_extension("pub");
    (read(path), read(&public).trim().to_owned())
}

fn serve(stream: OwnedFd, config: &Path) {
    let stdin = stream.try_clone().expect("a socket");
    let child = Command::new("/usr/sbin/sshd")
        .args(["-i", "-f"])
        .arg(config)
        .stdin(Stdio::from(stdin))
        .stdout(Stdio::from(stream))
        .stderr(Stdio::null())
        .spawn();
    let mut child = child.expect("sshd has to be installed");
    std::thread::spawn(move || child.wait());
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("OpenSSH has to be installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
