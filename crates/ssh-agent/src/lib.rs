//! Starts an `ssh-agent` that holds one key.
//!
//! The key is passed through a pipe, so it is never in a file, an argument or an environment
//! variable. The agent ends when its [`SshAgent`] is dropped, and also when this process ends, even
//! if it is killed.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use slipway_process_group::ProcessGroup;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

/// The shell script that runs the agent until standard input closes, which happens when this
/// process ends. If either ends, `kill 0` ends the other.
const SCRIPT: &str = "(ssh-agent -D -t \"$1\" -a \"$2\" 2>&1; kill 0) & read -r _; kill 0";

/// The start of the line that the agent prints once it listens.
const LISTENING: &str = "SSH_AUTH_SOCK=";

/// Why an agent could not be started.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// `ssh-agent` or `ssh-add` is missing, or does not work on this host. The text is its output.
    #[error("could not run ssh-agent on this host: {0}")]
    Unavailable(String),
    /// The key is not a private key, or it has a passphrase.
    #[error("ssh-agent refused the key; expected a private key without a passphrase")]
    RefusedKey,
    /// The operating system refused an operation, such as creating a directory.
    #[error("could not start ssh-agent")]
    Io(#[from] io::Error),
}

/// A running agent that holds one key. It ends when this is dropped.
#[derive(Debug)]
pub struct SshAgent {
    socket: PathBuf,
    _process: AgentProcess,
    // Fields are dropped in order: the processes that use the directory end before it is deleted.
    dir: TempDir,
}

impl SshAgent {
    /// Starts an agent in a new directory below `dir`. It holds the private `key` for at most
    /// `lifetime`.
    ///
    /// # Errors
    /// Returns `Unavailable` if this host has no working agent, and `RefusedKey` if the agent does
    /// not accept the key.
    pub async fn start(dir: &Path, key: &str, lifetime: Duration) -> Result<Self, AgentError> {
        let dir = tempfile::Builder::new().prefix("ssh-").tempdir_in(dir)?;
        let socket = dir.path().join("agent");
        let agent = Self {
            _process: AgentProcess::start(&socket, lifetime).await?,
            socket,
            dir,
        };
        agent.add(key).await?;
        Ok(agent)
    }

    /// The socket that it listens at.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The agent's directory, for other files with the same lifetime. It is deleted with the agent.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    async fn add(&self, key: &str) -> Result<(), AgentError> {
        let mut adding = Command::new("ssh-add")
            .args(["-q", "-"])
            .env("SSH_AUTH_SOCK", &self.socket)
            // Without this, `ssh-add` would ask for a passphrase at the terminal and wait.
            .env("SSH_ASKPASS_REQUIRE", "force")
            .env("SSH_ASKPASS", "/bin/false")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| AgentError::Unavailable(format!("ssh-add: {error}")))?;
        if let Some(mut stdin) = adding.stdin.take() {
            // OpenSSH requires the final newline, which web forms often remove, and does not accept
            // the line ends of Windows.
            let text = format!("{}\n", key.replace("\r\n", "\n").trim());
            // It fails if `ssh-add` stopped reading; the exit status below explains why.
            let _ = stdin.write_all(text.as_bytes()).await;
        }
        if adding.wait().await?.success() {
            Ok(())
        } else {
            Err(AgentError::RefusedKey)
        }
    }
}

/// The shell that runs the agent, and the agent in the same process group.
#[derive(Debug)]
struct AgentProcess {
    // Dropped before the child: the group is killed while its leader's id is still taken.
    _group: ProcessGroup,
    /// Holds the pipe to the standard input of the shell open.
    _shell: Child,
}

impl AgentProcess {
    /// Starts an agent and waits until it listens at `socket`.
    async fn start(socket: &Path, lifetime: Duration) -> Result<Self, AgentError> {
        let mut command = Command::new("sh");
        command
            .args(["-c", SCRIPT, "sh", &lifetime.as_secs().max(1).to_string()])
            .arg(socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        let mut shell = command.spawn()?;
        let group = ProcessGroup::led_by(shell.id());
        let stdout = shell.stdout.take();
        let process = Self {
            _group: group,
            _shell: shell,
        };
        let mut last_line = String::new();
        if let Some(stdout) = stdout {
            let mut lines = BufReader::new(stdout).lines();
            while let Some(line) = lines.next_line().await? {
                if line.starts_with(LISTENING) {
                    return Ok(process);
                }
                last_line = line;
            }
        }
        Err(AgentError::Unavailable(last_line))
    }
}
