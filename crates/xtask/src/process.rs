//! Child processes, which end with the task that started them unless they are detached.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

/// A child process. Dropping this sends the stop signal, then SIGKILL if the process does not end.
#[derive(Debug)]
pub(crate) struct ChildProcess {
    child: Child,
    stop_signal: Signal,
    /// Time between the stop signal and SIGKILL.
    grace: Duration,
}

impl ChildProcess {
    /// Starts `command`; `stop_signal` asks it to end.
    pub(crate) fn start(
        mut command: Command,
        stop_signal: Signal,
        grace: Duration,
    ) -> Result<Self> {
        let program = command.as_std().get_program().to_owned();
        let child = command
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("could not start {}", program.display()))?;
        Ok(Self {
            child,
            stop_signal,
            grace,
        })
    }

    /// The process, to wait for it or to read its output.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The process id, until the process has been waited for.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Kills the process with SIGKILL, as a power cut would, and waits for its end.
    pub(crate) async fn kill(mut self) -> Result<()> {
        self.child.kill().await.context("could not kill a process")
    }

    /// Leaves the process running. Only [`Lifetime::Detached`] processes survive this task.
    pub(crate) fn detach(self) {
        std::mem::forget(self);
    }

    /// Returns an error if the process has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("the process ended: {status}"),
            None => Ok(()),
        }
    }
}

impl Drop for ChildProcess {
    #[expect(
        clippy::disallowed_methods,
        reason = "`drop` cannot await the end of a child"
    )]
    fn drop(&mut self) {
        let (Ok(None), Some(id)) = (self.child.try_wait(), self.child.id()) else {
            return;
        };
        let pid = Pid::from_raw(id.cast_signed());
        let limit = Instant::now() + self.grace;
        let mut is_alive = kill(pid, self.stop_signal).is_ok();
        while is_alive && Instant::now() < limit {
            is_alive = matches!(self.child.try_wait(), Ok(None));
            std::thread::sleep(Duration::from_millis(20));
        }
        if is_alive {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}

/// How long a service lives.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lifetime {
    /// It ends with this process, even if this process is killed.
    Bound,
    /// Like `Bound`, and it runs as another user.
    BoundAs(&'static str),
    /// It may survive this process.
    Detached,
}

/// Prepares `program` as a service that writes its output to `log`.
///
/// It gets a process group of its own, so Ctrl-C does not reach it: services end in the order in which
/// they are stopped.
pub(crate) fn service(
    program: impl AsRef<OsStr>,
    lifetime: Lifetime,
    log: &Path,
) -> Result<Command> {
    let out = File::create(log).with_context(|| format!("could not write {}", log.display()))?;
    let mut command = match lifetime {
        Lifetime::Detached => Command::new(program),
        Lifetime::Bound | Lifetime::BoundAs(_) => {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "SIGTERM"]);
            if let Lifetime::BoundAs(user) = lifetime {
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

/// Runs `command`, prints nothing, and returns its standard output.
///
/// # Errors
/// If it fails, with the last lines of its standard error.
pub(crate) async fn output_of(command: &mut Command) -> Result<String> {
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
        .with_context(|| format!("could not start {program}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{program}: {}: {}", output.status, last_lines(&stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The last three lines of `text`, joined into one.
pub(crate) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(3)..].join(" | ")
}

/// The path of a command. Also searches `sbin`, which is not in every user's `PATH`.
pub(crate) fn find_program(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A free port on the loopback interface.
pub(crate) fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?
        .local_addr()?
        .port())
}
