//! An `ssh-agent` with one key, for one piece of work.
//!
//! The key is given to it over a pipe: it is on no disk, in no argument and in no environment. The
//! agent goes with the value that stands for it, and with this process, even if that is killed.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

/// Runs the agent until standard input ends, which it does when we do. Neither stays without the
/// other.
const KEEPER: &str = "(ssh-agent -D -t \"$1\" -a \"$2\" 2>&1; kill 0) & read -r _; kill 0";

/// How the agent begins to say where it listens.
const LISTENS: &str = "SSH_AUTH_SOCK=";

/// Why there is no agent with the key.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// There is no OpenSSH client on this host, or it does not work there. The text says why.
    #[error("no SSH agent runs on this host: {0}")]
    Unavailable(String),
    /// What is to be the key is none, or it has a passphrase.
    #[error("the SSH agent does not take the key")]
    RefusedKey,
    /// The host did not let us work, for instance because a directory could not be made.
    #[error("an SSH agent could not be started")]
    Io(#[from] io::Error),
}

/// A running agent that knows one key. It ends when this is dropped.
#[derive(Debug)]
pub struct SshAgent {
    socket: PathBuf,
    _keeper: Keeper,
    // It goes after those who are at work in it.
    place: TempDir,
}

impl SshAgent {
    /// Starts an agent that knows the private `key` for at most `lifetime`, in a directory of its own
    /// in `dir`.
    ///
    /// # Errors
    /// `Unavailable` without an agent on this host, `RefusedKey` for a key that it does not take.
    pub async fn start(dir: &Path, key: &str, lifetime: Duration) -> Result<Self, AgentError> {
        let place = tempfile::Builder::new().prefix("ssh-").tempdir_in(dir)?;
        let socket = place.path().join("agent");
        let agent = Self {
            _keeper: Keeper::start(&socket, lifetime).await?,
            socket,
            place,
        };
        agent.take(key).await?;
        Ok(agent)
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its directory, for what else is needed as long as the agent; goes with it.
    pub fn place(&self) -> &Path {
        self.place.path()
    }

    /// Hands the key over.
    async fn take(&self, key: &str) -> Result<(), AgentError> {
        let mut adding = Command::new("ssh-add")
            .args(["-q", "-"])
            .env("SSH_AUTH_SOCK", &self.socket)
            // Nobody is there who could tell a passphrase.
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
            // A file of a key ends with a line, which many a form has cut off.
            let text = format!("{}\n", key.replace("\r\n", "\n").trim());
            // One that has seen enough closes its end, and how it ends says the rest.
            let _ = stdin.write_all(text.as_bytes()).await;
        }
        match adding.wait().await?.success() {
            true => Ok(()),
            false => Err(AgentError::RefusedKey),
        }
    }
}

/// The shell that runs the agent, in a process group with it.
#[derive(Debug)]
struct Keeper(Child);

impl Keeper {
    /// Starts an agent and waits until it listens at `socket`.
    async fn start(socket: &Path, lifetime: Duration) -> Result<Self, AgentError> {
        let mut command = Command::new("sh");
        command
            .args(["-c", KEEPER, "sh", &lifetime.as_secs().max(1).to_string()])
            .arg(socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        let mut keeper = Self(command.spawn()?);
        let mut said = String::new();
        if let Some(stdout) = keeper.0.stdout.take() {
            let mut lines = BufReader::new(stdout).lines();
            while let Some(line) = lines.next_line().await? {
                if line.starts_with(LISTENS) {
                    return Ok(keeper);
                }
                said = line;
            }
        }
        Err(AgentError::Unavailable(said))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let leader = self.0.id().and_then(|id| i32::try_from(id).ok());
        if let Some(leader) = leader {
            // The group may be gone already, and then there is nothing left to do.
            let _ = killpg(Pid::from_raw(leader), Signal::SIGKILL);
        }
    }
}
