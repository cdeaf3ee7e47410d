//! What the demonstration does with the engine beside the farm: the base image, which comes from
//! no hub, the way back of the images that were built, and removing all of them.

use std::os::unix::fs::symlink;
use std::process::Command as Blocking;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use super::line::Line;
use super::place::Place;
use crate::process::{find, quietly};

/// The label by which the demonstration's images and containers are found.
const LABEL: &str = "slipway.demo";

/// All images and containers of one demonstration, which are removed when this is dropped.
#[derive(Debug)]
pub(super) struct Images {
    label: String,
}

impl Images {
    /// Those of the demonstration in `place`.
    pub(super) fn of(place: &Place) -> Self {
        Self {
            label: format!("{LABEL}={}", place.path().display()),
        }
    }

    /// Makes an image of one static program, `busybox`, and pushes it as `name`. What is built on
    /// it inherits its label.
    pub(super) async fn make_base(&self, place: &Place, name: &str) -> Result<()> {
        let base = place.make("base")?;
        let bin = place.make("base/bin")?;
        let busybox = find("busybox").context("there is no busybox")?;
        std::fs::copy(&busybox, bin.join("busybox"))?;
        let tools = quietly(Command::new(busybox).arg("--list")).await?;
        for tool in tools.lines().filter(|&tool| tool != "busybox") {
            symlink("busybox", bin.join(tool))?;
        }
        // New in each demonstration, so that its first build finds nothing in the engine's cache.
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        std::fs::write(base.join("made"), format!("{}\n", now.as_millis()))?;

        let archive = base.with_extension("tar");
        let mut tar = Command::new("tar");
        tar.args(["--owner=0", "--group=0", "--numeric-owner", "--create"]);
        tar.arg("--file").arg(&archive);
        quietly(tar.arg("--directory").arg(&base).args(["bin", "made"])).await?;
        let mut import = docker(&["import", "--change", "ENV PATH=/bin", "--change"]);
        import.arg(format!(
            "LABEL \"{}\"",
            self.label.replacen('=', "\"=\"", 1)
        ));
        quietly(import.arg(&archive).arg(name)).await?;
        quietly(&mut docker(&["push", "--quiet", name])).await?;
        // From here on it is in the registry alone, as any base image would be.
        quietly(&mut docker(&["rmi", name])).await?;
        Ok(())
    }

    fn remove(&self) -> Result<()> {
        if find("docker").is_none() {
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

    /// Leaves them in the engine.
    pub(super) fn leave(self) {
        std::mem::forget(self);
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("Images of the demonstration are left: {error:#}");
        }
    }
}

/// Pulls an image that the engine does not have, runs it, and gives what it said.
pub(super) async fn pull_and_run(image: &str) -> Result<String> {
    let held = quietly(&mut docker(&["image", "inspect", image])).await;
    ensure!(held.is_err(), "{image} never left the engine");
    let pull = Line::new("docker", &["pull", "--quiet", image]);
    pull.say();
    let pulled = quietly(&mut run_of(&pull)).await?;
    print!("{pulled}");
    let run = Line::new("docker", &["run", "--rm", "--network=none", image]);
    run.say();
    let said = tokio::time::timeout(Duration::from_secs(60), quietly(&mut run_of(&run))).await;
    let said = said.context("the container does not end")??;
    print!("{said}");
    Ok(said)
}

fn run_of(line: &Line) -> Command {
    let mut command = Command::new(&line.program);
    command.args(&line.arguments);
    command
}

fn docker(arguments: &[&str]) -> Command {
    run_of(&Line::new("docker", arguments))
}
