//! A real `sshd` on loopback that serves the repositories of a [`GitServer`], and nothing else.
//!
//! Each connection gets its own `sshd`, as with `inetd`, so that no server is left when a test ends.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use crate::git::{GitServer, Repo};

/// An SSH server. It stops when this is dropped.
#[derive(Debug)]
pub struct SshServer {
    directory: TempDir,
    address: SocketAddr,
    user: String,
    is_stopping: Arc<AtomicBool>,
}

impl SshServer {
    /// Starts a server for the repositories of `git`. No key is authorized yet.
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
            is_stopping: Arc::default(),
            directory,
        };
        server.change_host_key();
        std::fs::write(server.path("authorized_keys"), "").expect("a file");
        server.write_config(git);
        if server.user == "root" {
            // sshd needs this directory for privilege separation.
            std::fs::create_dir_all("/run/sshd").expect("a directory for sshd");
        }
        let (config, is_stopping) = (server.path("config"), Arc::clone(&server.is_stopping));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if is_stopping.load(Ordering::SeqCst) {
                    return;
                }
                serve(OwnedFd::from(stream), &config);
            }
        });
        server
    }

    /// The URL to clone a repository from.
    #[must_use]
    pub fn url(&self, repo: &Repo) -> String {
        let path = repo.served().display();
        format!("ssh://{}@{}{path}", self.user, self.address)
    }

    /// Authorizes a key; `public` is its public half in OpenSSH's format.
    pub fn allow(&self, public: &str) {
        let line = format!(
            "command=\"{}\",restrict {public}\n",
            self.path("serve").display()
        );
        std::fs::write(self.path("authorized_keys"), line).expect("a file");
    }

    /// The line for `known_hosts`.
    #[must_use]
    pub fn known_hosts(&self) -> String {
        let key = std::fs::read_to_string(self.path("host.pub")).expect("a host key");
        let (ip, port) = (self.address.ip(), self.address.port());
        format!("[{ip}]:{port} {}", key.trim())
    }

    /// Replaces the host key, as if another server answered.
    pub fn change_host_key(&self) {
        for name in ["host", "host.pub"] {
            // The files do not exist the first time.
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
        // The same rules as over HTTP.
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
        self.is_stopping.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection, whether this one succeeds or not.
        let _ = std::net::TcpStream::connect(self.address);
    }
}

/// Creates a key pair, `path` and `path.pub`, and returns both halves as text, the private one first.
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
    let mut child = child.expect("sshd must be installed");
    std::thread::spawn(move || child.wait());
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("OpenSSH must be installed");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
