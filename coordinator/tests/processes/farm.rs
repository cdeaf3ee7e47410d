//! A farm of real processes, and requests to its native API.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use slipway_testkit::postgres::{Database, migrated_database};
use slipway_testkit::processes::CoordinatorProcess;
use slipway_testkit::{Backend, wait_for};

pub(crate) const LIMIT: Duration = Duration::from_secs(90);
pub(crate) const SHA: &str = "9b1d6c0c4f1f4f0e8f1b2c3d4e5f60718293a4b5";

/// The data directory and the database of a farm.
pub(crate) struct FarmDir {
    pub(crate) dir: tempfile::TempDir,
    database: Option<Database>,
}

impl FarmDir {
    pub(crate) async fn new(backend: Backend) -> Self {
        let database = match backend {
            Backend::Sqlite => None,
            Backend::Postgres => Some(migrated_database().await),
        };
        Self {
            dir: tempfile::tempdir().unwrap(),
            database,
        }
    }

    /// The address of the database, if it is not in the directory.
    pub(crate) fn database_url(&self) -> Option<String> {
        self.database.as_ref().map(Database::url)
    }

    pub(crate) async fn coordinator(&self, name: &str, arguments: &[&str]) -> CoordinatorProcess {
        let url = self.database_url();
        let mut all = arguments.to_vec();
        all.extend(url.iter().flat_map(|url| ["--database-url", url.as_str()]));
        CoordinatorProcess::start(self.dir.path(), name, &all).await
    }
}

pub(crate) async fn project(farm: &CoordinatorProcess, variables: &[(&str, &str)]) {
    farm.api(
        Method::POST,
        "/v1/namespaces",
        Some(json!({ "name": "acme" })),
    )
    .await;
    let project =
        json!({ "namespace": "acme", "name": "api", "repo_url": "http://127.0.0.1:1/none.git" });
    farm.api(Method::POST, "/v1/projects", Some(project)).await;
    for (key, value) in variables {
        let path = format!("/v1/projects/acme/api/variables/{key}");
        farm.api(
            Method::PUT,
            &path,
            Some(json!({ "value": value, "public": true })),
        )
        .await;
    }
}

pub(crate) async fn build(farm: &CoordinatorProcess) -> String {
    let build = farm
        .api(
            Method::POST,
            "/v1/projects/acme/api/builds",
            Some(json!({ "sha": SHA })),
        )
        .await;
    build["id"].as_str().unwrap().to_owned()
}

pub(crate) async fn show(farm: &CoordinatorProcess, build: &str) -> Value {
    farm.api(Method::GET, &format!("/v1/builds/{build}"), None)
        .await
}

pub(crate) async fn wait_until_finished(farm: &CoordinatorProcess, build: &str) -> Value {
    let has_ended =
        |build: &Value| !["pending", "running"].contains(&build["state"].as_str().unwrap());
    wait_for(LIMIT, "the build has ended", || async {
        let build = show(farm, build).await;
        has_ended(&build).then_some(build)
    })
    .await
}

pub(crate) async fn trace_of(farm: &CoordinatorProcess, job: &Value) -> String {
    String::from_utf8(farm.bytes(&format!("/v1/jobs/{}/trace", job["id"])).await).unwrap()
}
