//! The directory of a demo, and the environment of its programs.

use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context as _, Result};
use tokio::process::Command;

use super::command_line::CommandLine;
use super::process_list::ProcessList;
use crate::{programs, root, scratch};

/// Stays when the rest is deleted, because an error message points to it.
const LOGS: &str = "logs";

/// A directory that is emptied when this is dropped, except for the logs.
#[derive(Debug)]
pub(super) struct WorkDir {
    directory: PathBuf,
}

impl WorkDir {
    /// Opens the directory `name` as it is.
    pub(super) fn existing(name: &str) -> Result<Self> {
        let directory = scratch()?.join(name);
        Ok(Self { directory })
    }

    /// Creates an empty directory `name`.
    ///
    /// # Errors
    /// If a demo runs there.
    pub(super) fn create(name: &str) -> Result<Self> {
        let work_dir = scratch()?.join(name);
        ProcessList::of(&work_dir).check_idle()?;
        match fs::remove_dir_all(&work_dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error)
                    .with_context(|| format!("could not empty {}", work_dir.display()));
            }
            _ => {}
        }
        fs::create_dir_all(work_dir.join(LOGS))
            .with_context(|| format!("could not create {}", work_dir.display()))?;
        Ok(Self {
            directory: work_dir,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.directory
    }

    /// Creates a directory in it.
    pub(super) fn create_dir(&self, name: &str) -> Result<PathBuf> {
        let path = self.directory.join(name);
        fs::create_dir_all(&path)
            .with_context(|| format!("could not create {}", path.display()))?;
        Ok(path)
    }

    /// The log file of `program`.
    pub(super) fn log(&self, program: &str) -> PathBuf {
        self.directory.join(LOGS).join(format!("{program}.log"))
    }

    /// The path of a file in it, relative to the root of the repository if possible.
    pub(super) fn display(&self, name: &str) -> String {
        display(&self.directory.join(name))
    }

    /// The shell command that prepares the environment for `slipway`.
    pub(super) fn environment(&self) -> Result<String> {
        Ok(format!(
            "export PATH=$PWD/{}:$PATH SLIPWAY_CLI_CONFIG={}",
            display(&programs()?),
            self.display("login.toml")
        ))
    }

    /// A command of a farm program, in the root of the repository.
    pub(super) fn command(&self, line: &CommandLine) -> Result<Command> {
        let mut command = Command::new(programs()?.join(&line.program));
        self.configure(&mut command, line);
        Ok(command)
    }

    /// Sets the arguments of `line` and an environment without the user's own `SLIPWAY_…` variables.
    pub(super) fn configure(&self, command: &mut Command, line: &CommandLine) {
        command.args(&line.arguments).current_dir(root());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SLIPWAY_") {
                command.env_remove(name);
            }
        }
        // Every service is on this machine, so a proxy must not be used.
        command
            .env("NO_PROXY", "127.0.0.1")
            .env("no_proxy", "127.0.0.1");
        if line.program == "slipway" {
            command.env("SLIPWAY_CLI_CONFIG", self.directory.join("login.toml"));
        }
    }

    /// Keeps the directory.
    pub(super) fn detach(self) {
        std::mem::forget(self);
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        let Ok(entries) = fs::read_dir(&self.directory) else {
            return;
        };
        for entry in entries.flatten().filter(|entry| entry.file_name() != LOGS) {
            let path = entry.path();
            let deleted = if path.is_dir() {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            if let Err(error) = deleted {
                eprintln!("could not delete {}: {error}", path.display());
            }
        }
    }
}

fn display(path: &Path) -> String {
    let path = path.strip_prefix(root()).unwrap_or(path);
    path.display().to_string()
}
