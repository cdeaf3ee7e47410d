//! Where a demonstration keeps its data, and what its programs know of the world.

use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context as _, Result};
use tokio::process::Command;

use super::ledger::Ledger;
use super::line::Line;
use crate::{root, scratch};

/// What stays when the rest is removed: a failure points at it.
const LOGS: &str = "logs";

/// A directory, which is emptied when this is dropped, but for the logs.
#[derive(Debug)]
pub(super) struct Place {
    directory: PathBuf,
}

impl Place {
    /// The directory of that name as it is.
    pub(super) fn find(name: &str) -> Result<Self> {
        let directory = scratch()?.join(name);
        Ok(Self { directory })
    }

    /// The directory of that name, empty.
    ///
    /// # Errors
    /// When a demonstration runs there.
    pub(super) fn take(name: &str) -> Result<Self> {
        let place = scratch()?.join(name);
        Ledger::of(&place).check_idle()?;
        match fs::remove_dir_all(&place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot empty {}", place.display()));
            }
            _ => {}
        }
        fs::create_dir_all(place.join(LOGS))
            .with_context(|| format!("cannot make {}", place.display()))?;
        Ok(Self { directory: place })
    }

    /// The directory itself.
    pub(super) fn path(&self) -> &Path {
        &self.directory
    }

    /// A directory in it, which is made.
    pub(super) fn make(&self, name: &str) -> Result<PathBuf> {
        let path = self.directory.join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// Where what `program` says is kept.
    pub(super) fn log(&self, program: &str) -> PathBuf {
        self.directory.join(LOGS).join(format!("{program}.log"))
    }

    /// Something in it, as it is named on a command line that is typed in the repository.
    pub(super) fn shown(&self, name: &str) -> String {
        shown(&self.directory.join(name))
    }

    /// The command line for `slipway`: what it needs beyond its arguments.
    pub(super) fn environment(&self) -> Result<String> {
        Ok(format!(
            "export PATH=$PWD/{}:$PATH SLIPWAY_CONFIG={}",
            shown(&programs()?),
            self.shown("login.toml")
        ))
    }

    /// A command of the farm's own programs, at the root of the repository.
    pub(super) fn command(&self, line: &Line) -> Result<Command> {
        let mut command = Command::new(programs()?.join(&line.program));
        self.adapt(&mut command, line);
        Ok(command)
    }

    /// Gives `command` the arguments of `line`, and an environment without what the user's own farm
    /// is called there.
    pub(super) fn adapt(&self, command: &mut Command, line: &Line) {
        command.args(&line.arguments).current_dir(root());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SLIPWAY_") {
                command.env_remove(name);
            }
        }
        // All that it talks to is on this machine.
        command
            .env("NO_PROXY", "127.0.0.1")
            .env("no_proxy", "127.0.0.1");
        if line.program == "slipway" {
            command.env("SLIPWAY_CONFIG", self.directory.join("login.toml"));
        }
    }

    /// Leaves everything in it.
    pub(super) fn leave(self) {
        std::mem::forget(self);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Ok(entries) = fs::read_dir(&self.directory) else {
            return;
        };
        for entry in entries.flatten().filter(|entry| entry.file_name() != LOGS) {
            let path = entry.path();
            let removed = match path.is_dir() {
                true => fs::remove_dir_all(&path),
                false => fs::remove_file(&path),
            };
            if let Err(error) = removed {
                eprintln!("{} is left: {error}", path.display());
            }
        }
    }
}

/// Where cargo puts the programs.
pub(super) fn programs() -> Result<PathBuf> {
    let scratch = scratch()?;
    let target = scratch.parent().context("no target directory")?;
    Ok(target.join("debug"))
}

fn shown(path: &Path) -> String {
    let path = path.strip_prefix(root()).unwrap_or(path);
    path.display().to_string()
}
