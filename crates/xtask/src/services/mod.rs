//! The services that tests use. Each is a separate instance on a free loopback port, with its data in
//! a temporary directory, and stops when its value is dropped.

mod engines;
mod node;
mod postgres;
mod registry;
mod s3;

use std::process::ExitCode;

use anyhow::{Result, ensure};
use tokio::process::Command;

pub(crate) use engines::{Engine, EngineKind};
pub(crate) use postgres::Postgres;
pub(crate) use registry::Registry;
pub(crate) use s3::S3;

use crate::process::{Lifetime, output_of};
use crate::setup::{self, Docker};
use crate::{python, root, scratch};

/// Clients of the APIs and their dependencies: the last version of python-gitlab that speaks v3,
/// Schemathesis, and a validator and a client generator for OpenAPI.
const CLIENTS: &[&str] = &[
    "python-gitlab==1.4.0",
    "schemathesis==4.32.5",
    "openapi-spec-validator==0.9.0",
    "openapi-python-client==0.29.1",
    "anyio==4.16.0",
    "certifi==2026.10.18",
    "charset-normalizer==3.5.2",
    "click==8.5.1",
    "graphql-core==3.3.2",
    "harfile==0.6.0",
    "hypothesis==6.170.15",
    "hypothesis-graphql==0.13.5",
    "idna==3.20",
    "iniconfig==2.3.1",
    "jsonschema_rs==0.60.3",
    "markdown-it-py==4.3.0",
    "MarkupSafe==3.0.4",
    "mdurl==0.1.2",
    "packaging==26.3",
    "pluggy==1.7.0",
    "Pygments==2.21.0",
    "pyrate-limiter==4.5.1",
    "pytest==9.2.0",
    "PyYAML==6.0.3",
    "requests==2.34.2",
    "rich==15.0.0",
    "six==1.17.0",
    "sortedcontainers==2.4.0",
    "typing_extensions==4.16.0",
    "urllib3==2.8.0",
    "Werkzeug==3.1.9",
    "annotated-doc==0.0.7",
    "annotated-types==0.8.0",
    "attrs==26.1.0",
    "h11==0.16.0",
    "httpcore==1.0.9",
    "httpx==0.28.1",
    "Jinja2==3.1.6",
    "jsonschema==4.26.0",
    "jsonschema-path==0.5.0",
    "jsonschema-specifications==2025.9.1",
    "lazy-object-proxy==1.13.0",
    "openapi-schema-validator==0.9.0",
    "pathable==0.6.0",
    "pydantic==2.14.4",
    "pydantic-settings==2.16.3",
    "pydantic_core==2.50.5",
    "python-dotenv==1.2.4",
    "referencing==0.37.0",
    "rfc3339-validator==0.1.4",
    "rpds-py==2026.9.1",
    "ruamel.yaml==0.19.1",
    "ruff==0.17.6",
    "shellingham==1.5.4",
    "typer==0.27.3",
    "typing-inspection==0.4.5",
];

/// Programs that are built with published libraries: the variable that names each, its source, and
/// its file name.
const PUBLISHED_PROGRAMS: [(&str, &str, &str); 2] = [
    (
        "SLIPWAY_TEST_PUBLISHED_RUNNER",
        "coordinator/tests/runner_v4/published_runner",
        "published-runner",
    ),
    (
        "SLIPWAY_TEST_PUBLISHED_HARMONT_CLIENT",
        "coordinator/tests/harmont/published_client",
        "published-client",
    ),
];

/// Options of the services task.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Starts only this engine and the registries, for the tests that use nothing else.
    #[arg(long, value_enum)]
    engine: Option<EngineKind>,
}

/// Starts the services for tests that are run by hand, and waits for Ctrl-C.
pub(crate) async fn run(args: &Args) -> Result<ExitCode> {
    let services = if args.engine.is_some() {
        Services::start_kinds(&[ServiceKind::Docker]).await
    } else {
        Services::start().await
    };
    for (kind, reason) in &services.missing {
        println!("{} tests cannot run: {reason}", kind.module());
    }
    for (name, value) in &services.environment {
        println!("export {name}='{value}'");
    }
    let engine = match args.engine {
        Some(kind) => Some(Engine::start(kind).await?),
        None => None,
    };
    if let Some(engine) = &engine {
        println!("export DOCKER_HOST='{}'", engine.host());
    }
    println!("# Stop with Ctrl-C.");
    std::future::pending().await
}

/// A kind of test that needs a service or a program from outside this repository.
///
/// Such tests are in a module that is named after the kind, or their names begin with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServiceKind {
    Postgres,
    S3,
    /// A Docker Engine, and registries.
    Docker,
    /// Published Python programs: API clients, and Schemathesis.
    Python,
    /// Git over OpenSSH.
    Remotes,
    /// Programs built with published libraries: a GitLab runner, and a client of Harmont.
    Published,
    /// A published generator of TypeScript clients.
    Node,
    /// The program of today's `docker build`, used with the engine of this machine.
    Buildx,
}

impl ServiceKind {
    pub(crate) const ALL: [Self; 8] = [
        Self::Postgres,
        Self::S3,
        Self::Docker,
        Self::Python,
        Self::Remotes,
        Self::Published,
        Self::Node,
        Self::Buildx,
    ];

    /// The name of the test module.
    pub(crate) fn module(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::S3 => "s3",
            Self::Docker => "docker",
            Self::Python => "python",
            Self::Remotes => "remotes",
            Self::Published => "published",
            Self::Node => "node",
            Self::Buildx => "buildx",
        }
    }

    /// A nextest filter for these tests.
    pub(crate) fn filter(self) -> String {
        let module = self.module();
        format!("test(/(^|::){module}(::|_)/)")
    }
}

/// The services that run, and the reasons why others do not.
#[derive(Debug, Default)]
pub(crate) struct Services {
    /// Environment variables for the tests.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// The kinds of tests that cannot run, with the reason.
    pub(crate) missing: Vec<(ServiceKind, String)>,
    _postgres: Option<Postgres>,
    _s3: Option<S3>,
    _registries: Option<[Registry; 2]>,
    _docker: Option<Docker>,
}

/// Installs programs that the tests start themselves.
async fn install_remotes() -> Result<()> {
    for package in ["openssh-client", "openssh-server"] {
        setup::package(package).await?;
    }
    Ok(())
}

impl Services {
    /// Starts every service that can be started.
    pub(crate) async fn start() -> Self {
        Self::start_kinds(&ServiceKind::ALL).await
    }

    async fn start_kinds(kinds: &[ServiceKind]) -> Self {
        let mut services = Self::default();
        for kind in kinds.iter().copied() {
            let started = match kind {
                ServiceKind::Postgres => services.start_postgres().await,
                ServiceKind::S3 => services.start_s3().await,
                ServiceKind::Docker => services.start_docker().await,
                ServiceKind::Python => services.install_clients().await,
                ServiceKind::Remotes => install_remotes().await,
                ServiceKind::Published => services.build_published_programs().await,
                ServiceKind::Node => services.install_node().await,
                ServiceKind::Buildx => services.download_buildx().await,
            };
            if let Err(error) = started {
                services.missing.push((kind, format!("{error:#}")));
            }
        }
        services
    }

    /// Why tests of a kind cannot run, if they cannot.
    pub(crate) fn missing_reason(&self, kind: ServiceKind) -> Option<&str> {
        let mut missing = self.missing.iter();
        let (_, reason) = missing.find(|(missing, _)| *missing == kind)?;
        Some(reason)
    }

    /// Starts nothing; every kind is missing for `reason`.
    pub(crate) fn none(reason: &str) -> Self {
        Self {
            missing: ServiceKind::ALL
                .map(|kind| (kind, reason.to_owned()))
                .into(),
            ..Self::default()
        }
    }

    async fn start_postgres(&mut self) -> Result<()> {
        let postgres = Postgres::start().await?;
        println!("PostgreSQL is at {}", postgres.url());
        self.environment
            .push(("SLIPWAY_TEST_POSTGRES", postgres.url()));
        self._postgres = Some(postgres);
        Ok(())
    }

    async fn start_s3(&mut self) -> Result<()> {
        let s3 = S3::start().await?;
        println!("S3 is at {}", s3.url());
        self.environment.extend([
            ("SLIPWAY_TEST_S3", s3.url()),
            ("AWS_ACCESS_KEY_ID", "slipway".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "slipway".to_owned()),
        ]);
        self._s3 = Some(s3);
        Ok(())
    }

    async fn install_clients(&mut self) -> Result<()> {
        let home = python::environment("clients", CLIENTS).await?;
        let python = home.join("bin/python").display().to_string();
        self.environment.push(("SLIPWAY_TEST_PYTHON", python));
        Ok(())
    }

    async fn install_node(&mut self) -> Result<()> {
        let home = node::install().await?.display().to_string();
        self.environment.push(("SLIPWAY_TEST_NODE", home));
        Ok(())
    }

    async fn download_buildx(&mut self) -> Result<()> {
        ensure!(self._docker.is_some(), "no Docker Engine runs");
        let buildx = engines::buildx().await?.display().to_string();
        self.environment.push(("SLIPWAY_TEST_BUILDX", buildx));
        Ok(())
    }

    /// Builds programs outside the workspace, so that their dependencies do not become Slipway's.
    async fn build_published_programs(&mut self) -> Result<()> {
        for (variable, source, name) in PUBLISHED_PROGRAMS {
            let target = scratch()?.join("published");
            let mut build = Command::new("cargo");
            build.args(["build", "--quiet", "--locked", "--manifest-path"]);
            build.arg(root().join(source).join("Cargo.toml"));
            build.env("CARGO_PROFILE_DEV_DEBUG", "false");
            output_of(build.arg("--target-dir").arg(&target)).await?;
            let program = target.join("debug").join(name).display().to_string();
            self.environment.push((variable, program));
        }
        Ok(())
    }

    async fn start_docker(&mut self) -> Result<()> {
        // Tests build their base image from one static binary, because no image is pulled.
        setup::package("busybox-static").await?;
        let docker = setup::docker(Lifetime::Bound).await?;
        let open = Registry::open().await?;
        let closed = Registry::with_password().await?;
        println!(
            "Docker {}; registries at {} and, with a password, {}",
            if docker.was_started_here() {
                "was started"
            } else {
                "answers"
            },
            open.address(),
            closed.address()
        );
        self.environment.extend([
            ("SLIPWAY_TEST_REGISTRY", open.address()),
            ("SLIPWAY_TEST_AUTH_REGISTRY", closed.address()),
            ("SLIPWAY_TEST_AUTH_REGISTRY_USER", registry::USER.to_owned()),
            (
                "SLIPWAY_TEST_AUTH_REGISTRY_PASSWORD",
                registry::PASSWORD.to_owned(),
            ),
        ]);
        self._docker = Some(docker);
        self._registries = Some([open, closed]);
        Ok(())
    }
}
