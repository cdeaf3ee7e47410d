//! The farm of the demo: an engine, a registry, a git server, a coordinator and two runners.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use super::command_line::CommandLine;
use super::images::Images;
use super::process_list::{ENGINE, ProcessList};
use super::source::Source;
use super::work_dir::WorkDir;
use crate::process::{ChildProcess, Lifetime, free_port, service};
use crate::services::Registry;
use crate::setup::{self, Docker};
use crate::{probe, process, programs};

/// The network of the demo's own servers.
const LOOPBACK: &str = "127.0.0.0/8";
/// The descriptions of the runners.
const RUNNERS: [&str; 2] = ["runner-1", "runner-2"];

/// What is installed and running before the farm starts.
#[derive(Debug)]
pub(super) struct Prepared {
    images: Images,
    docker: Docker,
    work_dir: WorkDir,
}

/// Everything that runs, in the order in which it is stopped.
#[derive(Debug)]
pub(super) struct Farm {
    runners: Vec<ChildProcess>,
    coordinator: ChildProcess,
    port: u16,
    pub(super) source: Source,
    images: Images,
    pub(super) registry: Registry,
    docker: Docker,
    pub(super) work_dir: WorkDir,
}

/// Installs what is missing, and makes sure that an engine runs.
pub(super) async fn prepare(work_dir: WorkDir, lifetime: Lifetime) -> Result<Prepared> {
    println!("\nChecking the requirements: Docker, git, a registry, and busybox for a base image.");
    for (program, package) in [
        ("busybox", "busybox-static"),
        ("git", "git"),
        ("docker-registry", "docker-registry"),
    ] {
        setup::program(program, package).await?;
    }
    let docker = setup::docker(lifetime).await?;
    setup::program("docker", "docker.io").await?;
    if let Some(running) = docker.running() {
        ProcessList::of(work_dir.path()).add(ENGINE, running)?;
    }
    println!(
        "Docker {}.",
        if docker.was_started_here() {
            "was not running, and was started"
        } else {
            "answers"
        }
    );
    // A demo that was killed may have left images; dropping the value deletes them.
    drop(Images::of(&work_dir));
    Ok(Prepared {
        images: Images::of(&work_dir),
        docker,
        work_dir,
    })
}

impl Farm {
    /// Starts everything, and waits until it is ready to build.
    pub(super) async fn start(prepared: Prepared, lifetime: Lifetime) -> Result<Self> {
        // Bindings drop in reverse order if the start fails, so bind in the order of stopping last.
        let Prepared {
            work_dir,
            docker,
            images,
        } = prepared;
        let process_list = ProcessList::of(work_dir.path());
        let registry = Registry::open_in(
            &work_dir.create_dir("registry")?,
            lifetime,
            &work_dir.log("registry"),
        )
        .await?;
        process_list.add("registry", registry.running())?;
        let base = format!("{}/demo/base", registry.address());
        images
            .push_base(&work_dir, &base)
            .await
            .context("could not create the base image")?;
        let source = Source::start(&work_dir, lifetime, &base).await?;
        process_list.add("git", source.running())?;
        println!(
            "A registry is at {}, a repository at {}.\n",
            registry.address(),
            source.url()
        );

        println!("$ {}", work_dir.environment()?);
        let port = free_port()?;
        let coordinator = start_coordinator(&work_dir, lifetime, port, &registry.address()).await?;
        process_list.add("coordinator", &coordinator)?;
        let mut farm = Self {
            runners: Vec::new(),
            coordinator,
            port,
            source,
            images,
            registry,
            docker,
            work_dir,
        };
        for name in RUNNERS {
            let runner = farm.start_runner(name, lifetime).await?;
            process_list.add(name, &runner)?;
            farm.runners.push(runner);
        }
        Ok(farm)
    }

    /// The URL of the coordinator.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Waits until a program of the farm has ended, and returns an error that names it.
    pub(super) async fn wait_for_exit(&mut self) -> anyhow::Error {
        loop {
            let coordinator = [("the coordinator", &mut self.coordinator)];
            let runners = RUNNERS.into_iter().zip(&mut self.runners);
            for (name, running) in coordinator.into_iter().chain(runners) {
                if let Err(exited) = running.check() {
                    return exited.context(format!("{name} has ended"));
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn start_runner(&self, name: &str, lifetime: Lifetime) -> Result<ChildProcess> {
        let config = self.work_dir.display(&format!("{name}.toml"));
        let token = self.work_dir.display("coordinator/registration-token");
        let url = self.url();
        let files = ["--registration-token-file", &token, "--config", &config];
        let mut register = vec!["register", "--url", &url, "--description", name];
        register.extend(files);
        let line = CommandLine::new("slipway-runner", &register);
        line.print();
        process::output_of(&mut self.work_dir.command(&line)?)
            .await
            .with_context(|| format!("could not register {name}"))?;

        let line = CommandLine::new(
            "slipway-runner",
            &["run", "--config", &config, "--allow-net", LOOPBACK],
        );
        line.print_in_background();
        start(&self.work_dir, &line, lifetime, name)
    }

    /// Prints where everything is that is left running.
    pub(super) fn describe(&self) {
        println!("Everything is left running:\n");
        for (what, location) in [
            ("coordinator", self.url()),
            ("OpenAPI", format!("{}/v1/openapi.json", self.url())),
            ("registry", self.registry.address()),
            ("repository", self.source.url()),
            ("work tree", self.work_dir.display("git/work")),
            (
                "administrator",
                self.work_dir.display("coordinator/admin-token"),
            ),
            (
                "registration",
                self.work_dir.display("coordinator/registration-token"),
            ),
            ("logs", self.work_dir.display("logs")),
        ] {
            println!("  {what:<14}  {location}");
        }
        if self.docker.was_started_here() {
            println!("  {:<14}  was started, and is left running too", "Docker");
        }
        let environment = self.work_dir.environment().unwrap_or_default();
        println!("\nContinue with\n\n  {environment}\n  slipway runners\n");
        println!("and stop everything with\n\n  cargo xtask demo --stop");
    }

    /// Leaves everything running.
    pub(super) fn detach(self) {
        for running in self.runners {
            running.detach();
        }
        self.coordinator.detach();
        self.source.detach();
        self.images.detach();
        self.registry.detach();
        self.docker.detach();
        self.work_dir.detach();
    }
}

async fn start_coordinator(
    work_dir: &WorkDir,
    lifetime: Lifetime,
    port: u16,
    registry: &str,
) -> Result<ChildProcess> {
    let (listen, data) = (format!("127.0.0.1:{port}"), work_dir.display("coordinator"));
    let mut serve = vec!["serve", "--listen", &listen, "--data-dir", &data];
    // The git server and the registry are on this host.
    serve.extend(["--registry", registry, "--allow-net", LOOPBACK]);
    let line = CommandLine::new("slipway-coordinator", &serve);
    line.print_in_background();
    let mut running = start(work_dir, &line, lifetime, "coordinator")?;
    let ready = || async {
        let status = probe::http(port, "GET", "/readyz").await?;
        ensure!(
            status == 200,
            "the coordinator answered with status {status}"
        );
        Ok(())
    };
    let log = work_dir.log("coordinator");
    probe::until_ready(&mut running, &log, Duration::from_secs(30), ready)
        .await
        .context("the coordinator did not start")?;
    Ok(running)
}

/// Starts a program of the farm as a service.
fn start(
    work_dir: &WorkDir,
    line: &CommandLine,
    lifetime: Lifetime,
    name: &str,
) -> Result<ChildProcess> {
    let mut command = service(
        programs()?.join(&line.program),
        lifetime,
        &work_dir.log(name),
    )?;
    work_dir.configure(&mut command, line);
    ChildProcess::start(command, Signal::SIGTERM, Duration::from_secs(20))
}
