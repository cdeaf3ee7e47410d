//! Direct use of the engine by the demo: creating a base image without a public registry, pulling and
//! running the built images, and deleting all of them.

use std::os::unix::fs::symlink;
use std::process::Command as Blocking;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use super::command_line::CommandLine;
use super::work_dir::WorkDir;
use crate::process::{find_program, output_of};

/// The label of the demo's images and containers.
const LABEL: &str = "slipway.demo";

/// All images and containers of one demo. They are deleted when this is dropped.
#[derive(Debug)]
pub(super) struct Images {
    label: String,
}

impl Images {
    /// The images of the demo in `work_dir`.
    pub(super) fn of(work_dir: &WorkDir) -> Self {
        Self {
            label: format!("{LABEL}={}", work_dir.path().display()),
        }
    }

    /// Creates an image of one static program, `busybox`, and pushes it as `name`. Images built on it
    /// inherit its label.
    pub(super) async fn push_base(&self, work_dir: &WorkDir, name: &str) -> Result<()> {
        let base = work_dir.create_dir("base")?;
        let bin = work_dir.create_dir("base/bin")?;
        let busybox = find_program("busybox").context("busybox is not installed")?;
        std::fs::copy(&busybox, bin.join("busybox"))?;
        let tools = output_of(Command::new(busybox).arg("--list")).await?;
        for tool in tools.lines().filter(|&tool| tool != "busybox") {
            symlink("busybox", bin.join(tool))?;
        }
        // Different in each demo, so that the first build finds nothing in the engine's cache.
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        std::fs::write(base.join("made"), format!("{}\n", now.as_millis()))?;

        let archive = base.with_extension("tar");
        let mut tar = Command::new("tar");
        tar.args(["--owner=0", "--group=0", "--numeric-owner", "--create"]);
        tar.arg("--file").arg(&archive);
        output_of(tar.arg("--directory").arg(&base).args(["bin", "made"])).await?;
        let mut import = docker(&["import", "--change", "ENV PATH=/bin", "--change"]);
        import.arg(format!(
            "LABEL \"{}\"",
            self.label.replacen('=', "\"=\"", 1)
        ));
        output_of(import.arg(&archive).arg(name)).await?;
        output_of(&mut docker(&["push", "--quiet", name])).await?;
        // The runner has to pull it from the registry, like any base image.
        output_of(&mut docker(&["rmi", name])).await?;
        Ok(())
    }

    fn remove(&self) -> Result<()> {
        if find_program("docker").is_none() {
            return Ok(());
        }
        let label = format!("label={}", self.label);
        for (list, remove) in [
            (["ps", "--all"], ["rm", "--force"]),
            (["images", "--no-trunc"], ["rmi", "--force"]),
        ] {
            let mut listed = Blocking::new("docker");
            listed.args(list).args(["--quiet", "--filter", &label]);
            let listed = listed.output()?;
            let text = String::from_utf8_lossy(&listed.stdout);
            let mut ids: Vec<&str> = text.lines().collect();
            ids.sort_unstable();
            ids.dedup();
            if ids.is_empty() {
                continue;
            }
            let removed = Blocking::new("docker").args(remove).args(&ids).output()?;
            let why = String::from_utf8_lossy(&removed.stderr);
            ensure!(removed.status.success(), "{}", why.trim());
        }
        Ok(())
    }

    /// Keeps the images in the engine.
    pub(super) fn detach(self) {
        std::mem::forget(self);
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("could not delete the images of the demo: {error:#}");
        }
    }
}

/// Pulls an image that the engine does not have, runs it, and returns its output.
pub(super) async fn pull_and_run(image: &str) -> Result<String> {
    let local = output_of(&mut docker(&["image", "inspect", image])).await;
    ensure!(local.is_err(), "{image} is still in the engine");
    let pull = CommandLine::new("docker", &["pull", "--quiet", image]);
    pull.print();
    let pulled = output_of(&mut command_of(&pull)).await?;
    print!("{pulled}");
    let run = CommandLine::new("docker", &["run", "--rm", "--network=none", image]);
    run.print();
    let output =
        tokio::time::timeout(Duration::from_secs(60), output_of(&mut command_of(&run))).await;
    let output = output.context("the container did not end")??;
    print!("{output}");
    Ok(output)
}

fn command_of(line: &CommandLine) -> Command {
    let mut command = Command::new(&line.program);
    command.args(&line.arguments);
    command
}

fn docker(arguments: &[&str]) -> Command {
    command_of(&CommandLine::new("docker", arguments))
}
