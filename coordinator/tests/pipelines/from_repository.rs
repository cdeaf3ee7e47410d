//! Definitions that are read from the repository.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_domain::{BuildState, CommitSha, ProjectPath, Slug};
use slipway_farm::{Build, BuildRequest, FarmError, PipelineChange, ProjectAccess, ProjectUpdate};
use slipway_testkit::git::{GitServer, Repo};
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::scripted_runner::pipeline;

on_both_back_ends!(
    jobs_come_from_the_file_at_the_commit,
    stored_definition_stops_reading_the_repository,
    new_projects_read_their_repositories,
    schema_is_served_without_authentication,
);

/// A farm whose projects read their repositories, and such a project.
pub(crate) struct RepositoryFarm {
    pub(crate) farm: TestFarm,
    pub(crate) project: ProjectAccess,
    pub(crate) repo: Repo,
    pub(crate) server: GitServer,
}

impl RepositoryFarm {
    pub(crate) async fn start(backend: Backend) -> Self {
        let server = GitServer::start();
        let repo = server.repo("acme/api");
        let farm = TestFarm::start_with(backend, |config| {
            config.forges.pipelines_from_repository = true;
            config.forges.auto_create = vec!["acme/*".parse().unwrap()];
            config.forges.auto_create_url = format!("{}/{{repository}}.git", server.url());
            let secret = config.data_dir.join("hook-secret");
            std::fs::write(&secret, HOOK_SECRET).unwrap();
            config.forges.gitlab_webhook_secret_file = Some(secret);
        })
        .await;
        let project = farm.project("acme/api").await;
        let change = ProjectUpdate {
            repo_url: Some(repo.url().to_owned()),
            ..ProjectUpdate::default()
        };
        farm.change_project(&project, change).await;
        Self {
            farm,
            project,
            repo,
            server,
        }
    }

    pub(crate) async fn build(&self, sha: &str) -> Result<Build, FarmError> {
        let request = BuildRequest {
            pipeline: Slug::default_pipeline(),
            sha: Some(sha.parse::<CommitSha>().unwrap()),
            git_ref: Some("main".parse().unwrap()),
        };
        let admin = self.farm.admin().await;
        // Read the project again, because its URL may have changed.
        let access = self.farm.project("acme/api").await;
        self.farm
            .farm()
            .create_build(&admin, &access, request)
            .await
    }

    /// Builds a commit; returns the names of the jobs.
    async fn jobs(&self, sha: &str) -> Vec<String> {
        let build = self.build(sha).await.unwrap();
        let jobs = self.farm.jobs(&build).await;
        jobs.iter().map(|job| job.name.clone()).collect()
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let request = self.farm.http.request(method, self.farm.url(path));
        let request = request.bearer_auth(&self.farm.admin_token).json(&body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// The number of builds.
    pub(crate) async fn count(&self) -> usize {
        let path = "/v1/projects/acme/api/builds";
        let (_, listed) = self.call(Method::GET, path, Value::Null).await;
        listed["items"].as_array().unwrap().len()
    }
}

pub(crate) const HOOK_SECRET: &str = "a-secret-for-gitlab";
const PIPELINE: &str = "/v1/projects/acme/api/pipelines/default";

async fn jobs_come_from_the_file_at_the_commit(backend: Backend) {
    let fixture = RepositoryFarm::start(backend).await;
    let bare = fixture
        .repo
        .commit(&[("Dockerfile", "FROM scratch\n")], "no file");
    let first = "jobs:\n  base: {image: }\n  test: {needs: [base], script: [x]}\n";
    let with = fixture.repo.commit(&[(".slipway.yml", first)], "two jobs");
    let other = "jobs:\n  only: {script: [x]}\n";
    let later = fixture.repo.commit(&[(".slipway.yml", other)], "one job");
    assert_eq!(fixture.jobs(&with).await, ["base", "test"]);
    assert_eq!(fixture.jobs(&later).await, ["only"]);
    assert_eq!(fixture.jobs(&bare).await, ["image"]);
    // A server that runner out refs only is as good.
    fixture.server.allow_fetch_by_sha(false);
    assert_eq!(fixture.jobs(&with).await, ["base", "test"]);
}

async fn stored_definition_stops_reading_the_repository(backend: Backend) {
    let fixture = RepositoryFarm::start(backend).await;
    let file = "jobs: {brought: {script: [x]}}";
    let sha = fixture.repo.commit(&[(".slipway.yml", file)], "a file");
    assert_eq!(fixture.jobs(&sha).await, ["brought"]);
    let (_, shown) = fixture.call(Method::GET, PIPELINE, Value::Null).await;
    assert_eq!(shown["from_repository"], true);
    let stored = pipeline("jobs: {stored: {script: [x]}}");
    let put = json!({ "definition": stored });
    let (status, shown) = fixture.call(Method::PUT, PIPELINE, put).await;
    assert_eq!((status, &shown["from_repository"]), (200, &json!(false)));
    assert_eq!(fixture.jobs(&sha).await, ["stored"]);
    let on = json!({ "from_repository": true });
    let (status, shown) = fixture.call(Method::PUT, PIPELINE, on).await;
    assert_eq!((status, &shown["from_repository"]), (200, &json!(true)));
    assert_eq!(shown["definition"]["jobs"][0]["name"], "stored");
    assert_eq!(fixture.jobs(&sha).await, ["brought"]);
    let bare = fixture.repo.git(&["rm", "--quiet", ".slipway.yml"]);
    assert_eq!(bare, "");
    let bare = fixture.repo.commit(&[("x", "y")], "no file");
    assert_eq!(fixture.jobs(&bare).await, ["stored"]);
    let (status, refused) = fixture.call(Method::PUT, PIPELINE, json!({})).await;
    assert_eq!(status, 400, "{refused}");
    // Another pipeline may read the repository too.
    let other = "/v1/projects/acme/api/pipelines/nightly";
    let both = json!({ "from_repository": true, "definition": stored });
    let (status, shown) = fixture.call(Method::PUT, other, both).await;
    assert_eq!((status, &shown["from_repository"]), (200, &json!(true)));
    let off = json!({ "from_repository": false });
    let (_, shown) = fixture.call(Method::PUT, other, off).await;
    assert_eq!(shown["from_repository"], false);
    assert_eq!(shown["definition"]["jobs"][0]["name"], "stored");
}

async fn new_projects_read_their_repositories(backend: Backend) {
    let fixture = RepositoryFarm::start(backend).await;
    let repo = fixture.server.repo("acme/unmet");
    let sha = repo.commit(&[(".slipway.yml", "jobs: {brought: {script: [x]}}")], "x");
    let path: ProjectPath = "acme/unmet".parse().unwrap();
    let request = slipway_farm::CommitRequest {
        project: path,
        branch: Some("main".parse().unwrap()),
        sha: Some(sha.parse().unwrap()),
    };
    let admin = fixture.farm.admin().await;
    let (_, build) = fixture
        .farm
        .farm()
        .request_commit(&admin, request)
        .await
        .unwrap();
    assert_eq!(build.state, BuildState::Pending);
    assert_eq!(fixture.farm.jobs(&build).await[0].name, "brought");
    // The operator and the project's maintainers may turn it off.
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let slug = Slug::default_pipeline();
    let pipeline = farm.farm().pipeline(&project, &slug).await.unwrap();
    assert!(!pipeline.from_repository);
    let on = PipelineChange {
        from_repository: Some(true),
        ..PipelineChange::default()
    };
    let put = farm.farm().put_pipeline(&project, &slug, on).await.unwrap();
    assert!(put.from_repository);
}

async fn schema_is_served_without_authentication(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let url = farm.url("/v1/schemas/slipway.yml.json");
    let answer = farm.http.get(url).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/schema+json");
    let schema: Value = answer.json().await.unwrap();
    assert_eq!(schema["title"], ".slipway.yml");
    assert!(schema["properties"]["jobs"].is_object());
}
