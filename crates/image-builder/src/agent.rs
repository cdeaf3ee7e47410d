//! An SSH agent for one build: it has the key in its memory, and steps can use it without having it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::error::BuildError;

/// What the agent's socket is called.
const SOCKET: &str = "ssh-agent";

/// A running agent. It ends when it is dropped, and some seconds after this process at the latest.
pub(crate) struct Agent {
    socket: PathBuf,
    pid: Pid,
    /// What the agent accompanies: it has nothing to do but to end with this process.
    _company: Child,
}

impl Agent {
    /// Starts an agent with the private `key` of the variable `variable`, and its socket in `dir`.
    pub(crate) async fn start(dir: &Path, variable: &str, key: &str) -> Result<Self, BuildError> {
        let socket = dir.join(SOCKET);
        let unavailable = |error: io::Error| BuildError::SshUnavailable {
            detail: error.to_string(),
        };
        // An agent that is given a command ends with it, and `cat` ends when nobody holds the other
        // end of its input any more, however that came about.
        let mut company = Command::new("ssh-agent")
            .arg("-a")
            .arg(&socket)
            .args(["/bin/sh", "-c", "echo \"$SSH_AGENT_PID\"; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| unavailable(missing("ssh-agent", error)))?;
        let mut line = String::new();
        if let Some(told) = &mut company.stdout {
            let read = BufReader::new(told).read_line(&mut line).await;
            read.map_err(unavailable)?;
        }
        let Ok(pid) = line.trim().parse() else {
            let mut said = String::new();
            if let Some(errors) = &mut company.stderr {
                // What it says of its end is no more than an explanation.
                let _ = errors.read_to_string(&mut said).await;
            }
            return Err(unavailable(io::Error::other(said.trim().to_owned())));
        };
        let agent = Self {
            socket,
            pid: Pid::from_raw(pid),
            _company: company,
        };
        let added = agent.add(key).await.map_err(unavailable)?;
        match added {
            true => Ok(agent),
            false => Err(BuildError::SshKeyInvalid {
                variable: variable.to_owned(),
            }),
        }
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Adds a key; whether it was one.
    async fn add(&self, key: &str) -> io::Result<bool> {
        let mut adding = Command::new("ssh-add")
            .args(["-q", "-"])
            .env("SSH_AUTH_SOCK", &self.socket)
            // Nobody is there who could tell a passphrase.
            .env("SSH_ASKPASS_REQUIRE", "force")
            .env("SSH_ASKPASS", "/bin/false")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| missing("ssh-add", error))?;
        if let Some(mut input) = adding.stdin.take() {
            // A file of a key ends with a line, which many a form has cut off.
            let key = format!("{}\n", key.replace("\r\n", "\n").trim_end());
            // One that reads no further says in the end why.
            let _ = input.write_all(key.as_bytes()).await;
        }
        Ok(adding.wait().await?.success())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It removes its socket itself.
        if let Err(error) = kill(self.pid, Signal::SIGTERM) {
            tracing::warn!(%error, "An SSH agent could not be ended");
        }
    }
}

fn missing(program: &str, error: io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("{program} cannot be started: {error}"),
    )
}
