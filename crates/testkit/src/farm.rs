//! A whole farm in a test: the real application on an ephemeral port, with a real database of its own
//! and a clock that the test moves.

mod operator;

use std::path::PathBuf;

use chrono::TimeDelta;
use futures_util::TryStreamExt;
use slipway_coordinator::{Config, Coordinator, Forges, Harmont, Limits, Network, Quay, Traffic};
use slipway_domain::image::push_targets::SharedTargets;
use slipway_domain::pipeline::{Definition, JobDefinition};
use slipway_domain::{AccessToken, CommitSha, Name, Role, Slug, TagSet};
use slipway_farm::{
    Actor, Build, BuildRequest, Clock, FailPoints, Farm, Job, Project, ProjectAccess,
};
use slipway_store::projects::Settings;
use tempfile::TempDir;

use crate::postgres::{Database, migrated_database};

/// The database of a farm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A temporary file.
    Sqlite,
    /// A temporary database on the server in `SLIPWAY_TEST_POSTGRES`.
    Postgres,
}

/// Turns each named function, `async fn(Backend)`, into a test on each back end.
#[macro_export]
macro_rules! on_both_back_ends {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test] async fn $test() { super::$test($crate::Backend::Sqlite).await; })+
        }
        mod postgres {
            $(#[tokio::test] async fn $test() { super::$test($crate::Backend::Postgres).await; })+
        }
    };
}

/// The commit that test builds use by default.
pub const SHA: &str = "9b1d6c0c4f1f4f0e8f1b2c3d4e5f60718293a4b5";

/// A farm that serves on an ephemeral port.
pub struct TestFarm {
    config: Config,
    coordinator: Option<Coordinator>,
    pub clock: Clock,
    /// The points at which a test interrupts the coordinator.
    pub fail_points: FailPoints,
    pub http: reqwest::Client,
    /// The administrator's access token.
    pub admin_token: String,
    /// The registration token of shared runners.
    pub registration_token: String,
    /// The database, if it is on PostgreSQL.
    pub database: Option<Database>,
    _dir: TempDir,
}

impl TestFarm {
    /// Starts a farm that holds polls for half a second.
    pub async fn start(backend: Backend) -> Self {
        Self::start_with(backend, |_| {}).await
    }

    /// Like [`TestFarm::start`], with a configuration that `adjust` changes.
    pub async fn start_with(backend: Backend, adjust: impl FnOnce(&mut Config)) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().expect("a temporary directory");
        let database = match backend {
            Backend::Sqlite => None,
            Backend::Postgres => Some(migrated_database().await),
        };
        let url = database
            .as_ref()
            .map(|database| database.url().parse().expect("a database URL"));
        let mut config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            data_dir: dir.path().to_owned(),
            database_url: url,
            database_url_file: None,
            blob_url: None,
            public_url: None,
            registry: None,
            allow_push_to: SharedTargets::default(),
            seal_key_file: None,
            log_key_file: None,
            limits: Limits {
                poll_wait_s: std::time::Duration::from_millis(500),
                ..Limits::default()
            },
            forges: Forges {
                // Most tests use repository URLs that no server answers.
                pipelines_from_repository: false,
                ..Forges::default()
            },
            network: Network {
                // The servers of tests are on loopback.
                allow_net: crate::outbound::loopback(),
                ..Network::default()
            },
            traffic: Traffic::default(),
            harmont: Harmont::default(),
            quay: Quay::default(),
        };
        adjust(&mut config);
        let clock = Clock::manual();
        let fail_points = FailPoints::for_test();
        let coordinator = start(&config, &clock, &fail_points).await;
        let read = |name: &str| read_token(config.data_dir.join(name));
        Self {
            coordinator: Some(coordinator),
            clock,
            fail_points,
            http: crate::http().build().expect("a client"),
            admin_token: read("admin-token"),
            registration_token: read("registration-token"),
            config,
            database,
            _dir: dir,
        }
    }

    /// Starts a second coordinator with the same database, blobs and key. PostgreSQL only.
    pub async fn second_coordinator(&self) -> Coordinator {
        start(&self.config, &self.clock, &FailPoints::default()).await
    }

    /// [`TestFarm::second_coordinator`] on a host with a clock of its own.
    pub async fn second_coordinator_with(&self, clock: &Clock) -> Coordinator {
        start(&self.config, clock, &FailPoints::default()).await
    }

    /// Stops the coordinator and starts it again with the same files.
    pub async fn restart(&mut self) {
        if let Some(running) = self.coordinator.take() {
            running.stop().await.expect("the coordinator stops");
        }
        // Those of a coordinator that has crashed would stop the new one.
        self.fail_points = FailPoints::for_test();
        self.coordinator = Some(start(&self.config, &self.clock, &self.fail_points).await);
    }

    fn running(&self) -> &Coordinator {
        self.coordinator.as_ref().expect("the farm runs")
    }

    /// The URL of a path of the farm.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running().address)
    }

    /// The farm that the routes use.
    pub fn farm(&self) -> &Farm {
        &self.running().farm
    }

    /// Moves the clock ahead.
    pub fn advance(&self, seconds: i64) {
        self.clock.advance(TimeDelta::seconds(seconds));
    }

    /// Sets the time of day ahead, or back if negative, while no time passes.
    pub fn jump(&self, seconds: i64) {
        self.clock.jump(TimeDelta::seconds(seconds));
    }

    /// Ends the jobs whose leases have expired; returns how many.
    pub async fn expire_leases(&self) -> usize {
        self.farm().expire_leases().await.expect("leases expire")
    }

    /// The administrator.
    pub async fn admin(&self) -> Actor {
        let token = AccessToken::presented(&self.admin_token);
        self.farm()
            .authenticate(&token)
            .await
            .expect("the administrator")
    }

    /// The project `namespace/name`, with an unreachable repository. Creates it if necessary.
    pub async fn project(&self, path: &str) -> ProjectAccess {
        let admin = self.admin().await;
        let (namespace, name) = path.split_once('/').expect("namespace/name");
        let (namespace, name): (Name, Name) = (
            namespace.parse().expect("a name"),
            name.parse().expect("a name"),
        );
        if let Ok(access) = self
            .farm()
            .project(&admin, &namespace, &name, Role::Owner)
            .await
        {
            return access;
        }
        if self
            .farm()
            .namespace(&admin, &namespace, Role::Owner)
            .await
            .is_err()
        {
            self.farm()
                .create_namespace(&admin, &namespace)
                .await
                .expect("a namespace");
        }
        let owner = self
            .farm()
            .namespace(&admin, &namespace, Role::Owner)
            .await
            .expect("a namespace");
        let main = "main".parse().expect("a branch");
        let settings = Settings::of_source("http://127.0.0.1:1/none.git", main);
        let project: Project = self
            .farm()
            .create_project(&admin, &owner, &name, settings)
            .await
            .expect("a project");
        self.farm()
            .project_by_id(&admin, project.id, Role::Owner)
            .await
            .expect("access to it")
    }

    /// The number of stored blobs.
    pub fn stored_blobs(&self) -> usize {
        self.blob_files().len()
    }

    /// The files of all stored blobs, in no particular order.
    pub fn blob_files(&self) -> Vec<PathBuf> {
        fn files_below(folder: &std::path::Path) -> Vec<PathBuf> {
            let Ok(entries) = std::fs::read_dir(folder) else {
                return Vec::new();
            };
            let files = |path: PathBuf| {
                if path.is_dir() {
                    files_below(&path)
                } else {
                    vec![path]
                }
            };
            let entries = entries.map(|entry| entry.expect("an entry").path());
            entries.flat_map(files).collect()
        }
        files_below(&self.config.data_dir.join("blobs"))
    }

    /// Creates a build of [`SHA`] on `main` in the project's default pipeline.
    pub async fn build(&self, access: &ProjectAccess) -> Build {
        let request = BuildRequest {
            pipeline: Slug::default_pipeline(),
            sha: Some(SHA.parse::<CommitSha>().expect("a sha")),
            git_ref: Some("main".parse().expect("a branch")),
        };
        self.farm()
            .create_build(&self.admin().await, access, request)
            .await
            .expect("a build")
    }

    /// Creates a build with one job for each of `jobs`, given as a name and the names it needs.
    pub async fn build_of(&self, access: &ProjectAccess, jobs: &[(&str, &[&str])]) -> Build {
        self.build_defined(access, jobs_named(jobs)).await
    }

    /// Creates a build with one job that requires `tags`, separated by commas.
    pub async fn build_with_tags(&self, access: &ProjectAccess, tags: &str) -> Build {
        let mut definition = Definition::single_image();
        for job in &mut definition.jobs {
            job.tags = TagSet::from_list(tags).expect("tags");
        }
        self.build_defined(access, definition).await
    }

    /// Creates a build of a definition, which becomes the project's default pipeline.
    pub async fn build_defined(&self, access: &ProjectAccess, definition: Definition) -> Build {
        let slug = Slug::default_pipeline();
        self.farm()
            .put_pipeline(access, &slug, definition)
            .await
            .expect("a pipeline");
        self.build(access).await
    }

    /// The jobs of a build with all attempts, in the order of their creation.
    pub async fn jobs(&self, build: &Build) -> Vec<Job> {
        self.farm().jobs_of(build.id).await.expect("jobs")
    }

    /// The whole trace of a job.
    pub async fn trace(&self, job: slipway_domain::JobId) -> Vec<u8> {
        let chunks = self
            .farm()
            .trace_bytes(job, 0..u64::MAX)
            .await
            .expect("a trace");
        let chunks: Vec<bytes::Bytes> = chunks.try_collect().await.expect("bytes");
        chunks.concat()
    }
}

/// A pipeline with one image build for each of `jobs`, given as a name and the names it needs.
pub fn jobs_named(jobs: &[(&str, &[&str])]) -> Definition {
    let template = Definition::single_image().jobs.remove(0);
    let named = jobs.iter().map(|(name, needs)| JobDefinition {
        name: name.parse().expect("a name"),
        needs: needs
            .iter()
            .map(|need| need.parse().expect("a name"))
            .collect(),
        ..template.clone()
    });
    Definition {
        jobs: named.collect(),
    }
}

async fn start(config: &Config, clock: &Clock, fail_points: &FailPoints) -> Coordinator {
    slipway_coordinator::start(config, clock.clone(), fail_points.clone())
        .await
        .expect("the coordinator starts")
}

fn read_token(path: PathBuf) -> String {
    let text = std::fs::read_to_string(&path);
    text.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .trim()
        .to_owned()
}
