//! Child processes, which do not outlive the chore that started them unless it is told to leave them.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

/// A child process, which is asked to end when this is dropped, and then made to.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    ask: Signal,
    /// How long it may take to end once asked.
    grace: Duration,
}

impl Running {
    /// Starts `command`, to be ended by `ask`.
    pub(crate) fn start(mut command: Command, ask: Signal, grace: Duration) -> Result<Self> {
        let program = command.as_std().get_program().to_owned();
        let child = command
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { child, ask, grace })
    }

    /// The process itself, to wait for it or to read from it.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Its process id, while it has not been waited for.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Lets it run on. It has to be [`Bond::Free`] to do so beyond our own end.
    pub(crate) fn leave(self) {
        std::mem::forget(self);
    }

    /// Fails when the process has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("it ended: {status}"),
            None => Ok(()),
        }
    }
}

impl Drop for Running {
    #[expect(
        clippy::disallowed_methods,
        reason = "a drop cannot wait for the signal that a child ended"
    )]
    fn drop(&mut self) {
        let (Ok(None), Some(id)) = (self.child.try_wait(), self.child.id()) else {
            return;
        };
        let pid = Pid::from_raw(id.cast_signed());
        let limit = Instant::now() + self.grace;
        let mut asked = kill(pid, self.ask).is_ok();
        while asked && Instant::now() < limit {
            asked = matches!(self.child.try_wait(), Ok(None));
            std::thread::sleep(Duration::from_millis(20));
        }
        if asked {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}

/// How a service hangs together with the process that starts it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bond {
    /// It ends even when this process is killed.
    Tied,
    /// The same, as another user.
    TiedAs(&'static str),
    /// It may be left running.
    Free,
}

/// `program` as a service: all it prints goes to `log`.
///
/// It does not hear Ctrl-C, so that services end in the order in which they are stopped.
pub(crate) fn service(program: impl AsRef<OsStr>, bond: Bond, log: &Path) -> Result<Command> {
    let out = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = match bond {
        Bond::Free => Command::new(program),
        Bond::Tied | Bond::TiedAs(_) => {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "SIGTERM"]);
            if let Bond::TiedAs(user) = bond {
                command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
            }
            command.arg("--").arg(program);
            command
        }
    };
    command
        .process_group(0)
        .stdout(out.try_clone()?)
        .stderr(out);
    Ok(command)
}

/// Runs `command` to its end without showing what it prints, and gives its standard output.
///
/// # Errors
/// When it fails, with the end of what it said.
pub(crate) async fn quietly(command: &mut Command) -> Result<String> {
    let program = command
        .as_std()
        .get_program()
        .to_string_lossy()
        .into_owned();
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program}: {}: {}", output.status, last_lines(&said));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The last few lines of `text`, joined into one.
pub(crate) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(3)..].join(" | ")
}

/// Where a command is, also when the directories of the administrator are not searched.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// Whether this process may do everything.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A port that nobody listens on just now.
pub(crate) fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?
        .local_addr()?
        .port())
}
