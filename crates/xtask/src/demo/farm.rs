//! The farm that is shown: an engine, a registry, a git server, a coordinator and two runners.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use super::images::Images;
use super::ledger::{ENGINE, Ledger};
use super::line::Line;
use super::place::{Place, programs};
use super::source::Source;
use crate::process::{Bond, Running, free_port, service};
use crate::services::Registry;
use crate::setup::{self, Docker};
use crate::{probe, process};

/// The runners, by their descriptions.
const RUNNERS: [&str; 2] = ["runner-1", "runner-2"];

/// What is installed and runs before the farm does.
#[derive(Debug)]
pub(super) struct Ground {
    images: Images,
    docker: Docker,
    place: Place,
}

/// All that runs, in the order in which it is stopped.
#[derive(Debug)]
pub(super) struct Farm {
    runners: Vec<Running>,
    coordinator: Running,
    port: u16,
    pub(super) source: Source,
    images: Images,
    pub(super) registry: Registry,
    docker: Docker,
    pub(super) place: Place,
}

/// Installs what is missing, and sees to it that an engine answers.
pub(super) async fn prepare(place: Place, bond: Bond) -> Result<Ground> {
    println!(
        "\nLooking for what is needed: Docker, git, a registry, and busybox for a base image."
    );
    for (program, package) in [
        ("busybox", "busybox-static"),
        ("git", "git"),
        ("docker-registry", "docker-registry"),
    ] {
        setup::program(program, package).await?;
    }
    let docker = setup::docker(bond).await?;
    setup::program("docker", "docker.io").await?;
    if let Some(running) = docker.running() {
        Ledger::of(place.path()).add(ENGINE, running)?;
    }
    println!(
        "Docker {}.",
        match docker.is_ours() {
            true => "was not running, and was started",
            false => "answers",
        }
    );
    // One that was killed may have left some.
    drop(Images::of(&place));
    Ok(Ground {
        images: Images::of(&place),
        docker,
        place,
    })
}

impl Farm {
    /// Starts everything, and leaves it ready to build.
    pub(super) async fn start(ground: Ground, bond: Bond) -> Result<Self> {
        // The order matters: what is taken apart last goes first when the start fails.
        let Ground {
            place,
            docker,
            images,
        } = ground;
        let ledger = Ledger::of(place.path());
        let registry =
            Registry::open_in(&place.make("registry")?, bond, &place.log("registry")).await?;
        ledger.add("registry", registry.running())?;
        let base = format!("{}/demo/base", registry.address());
        images
            .make_base(&place, &base)
            .await
            .context("there is no base image")?;
        let source = Source::start(&place, bond, &base).await?;
        ledger.add("git", source.running())?;
        println!(
            "A registry is at {}, a repository at {}.\n",
            registry.address(),
            source.url()
        );

        println!("$ {}", place.environment()?);
        let port = free_port()?;
        let coordinator = start_coordinator(&place, bond, port, &registry.address()).await?;
        ledger.add("coordinator", &coordinator)?;
        let mut farm = Self {
            runners: Vec::new(),
            coordinator,
            port,
            source,
            images,
            registry,
            docker,
            place,
        };
        for name in RUNNERS {
            let runner = farm.start_runner(name, bond).await?;
            ledger.add(name, &runner)?;
            farm.runners.push(runner);
        }
        Ok(farm)
    }

    /// Where the coordinator is.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Waits until one of its programs has ended, and says which.
    pub(super) async fn breaks(&mut self) -> anyhow::Error {
        loop {
            let coordinator = [("the coordinator", &mut self.coordinator)];
            let runners = RUNNERS.into_iter().zip(&mut self.runners);
            for (name, running) in coordinator.into_iter().chain(runners) {
                if let Err(gone) = running.check() {
                    return gone.context(format!("{name} is gone"));
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn start_runner(&self, name: &str, bond: Bond) -> Result<Running> {
        let config = self.place.shown(&format!("{name}.toml"));
        let token = self.place.shown("coordinator/registration-token");
        let url = self.url();
        let words = ["--registration-token-file", &token, "--config", &config];
        let mut register = vec!["register", "--url", &url, "--description", name];
        register.extend(words);
        let line = Line::new("slipway-runner", &register);
        line.say();
        process::quietly(&mut self.place.command(&line)?)
            .await
            .with_context(|| format!("{name} cannot be registered"))?;

        let line = Line::new("slipway-runner", &["run", "--config", &config]);
        line.say_in_background();
        start(&self.place, &line, bond, name)
    }

    /// Says where everything is that is left running.
    pub(super) fn describe(&self) {
        println!("Everything is left running:\n");
        for (what, place) in [
            ("coordinator", self.url()),
            ("API, described", format!("{}/v1/openapi.json", self.url())),
            ("registry", self.registry.address()),
            ("repository", self.source.url()),
            ("its work tree", self.place.shown("git/work")),
            ("administrator", self.place.shown("coordinator/admin-token")),
            (
                "registration",
                self.place.shown("coordinator/registration-token"),
            ),
            ("logs", self.place.shown("logs")),
        ] {
            println!("  {what:<14}  {place}");
        }
        if self.docker.is_ours() {
            println!("  {:<14}  was started, and is left running too", "Docker");
        }
        let environment = self.place.environment().unwrap_or_default();
        println!("\nGo on with\n\n  {environment}\n  slipway runners\n");
        println!("and stop it with\n\n  cargo xtask demo --stop");
    }

    /// Lets everything run on.
    pub(super) fn leave(self) {
        for running in self.runners {
            running.leave();
        }
        self.coordinator.leave();
        self.source.leave();
        self.images.leave();
        self.registry.leave();
        self.docker.leave();
        self.place.leave();
    }
}

async fn start_coordinator(
    place: &Place,
    bond: Bond,
    port: u16,
    registry: &str,
) -> Result<Running> {
    let (listen, data) = (format!("127.0.0.1:{port}"), place.shown("coordinator"));
    let mut serve = vec!["serve", "--listen", &listen, "--data-dir", &data];
    serve.extend(["--registry", registry]);
    let line = Line::new("slipway-coordinator", &serve);
    line.say_in_background();
    let mut running = start(place, &line, bond, "coordinator")?;
    let ready = || async {
        let status = probe::http(port, "GET", "/readyz").await?;
        ensure!(status == 200, "it answers {status}");
        Ok(())
    };
    let log = place.log("coordinator");
    probe::until_ready(&mut running, &log, Duration::from_secs(30), ready)
        .await
        .context("the coordinator does not start")?;
    Ok(running)
}

/// Starts a program of the farm as a service.
fn start(place: &Place, line: &Line, bond: Bond, name: &str) -> Result<Running> {
    let mut command = service(programs()?.join(&line.program), bond, &place.log(name))?;
    place.adapt(&mut command, line);
    Running::start(command, Signal::SIGTERM, Duration::from_secs(20))
}
