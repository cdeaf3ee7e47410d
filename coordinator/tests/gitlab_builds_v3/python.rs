//! python-gitlab, a published client, uses the whole API.
//!
//! See `docs/protocols/gitlab-builds-v3.md#client-versions`.

use std::io::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use slipway_domain::When;
use slipway_domain::pipeline::Definition;
use slipway_domain::{AccessToken, Role, Slug};
use slipway_farm::{BuildRequest, ProjectUpdate};
use slipway_testkit::{Backend, GitServer, on_both_back_ends, wait_until};
use tokio::process::Command;
use zip::write::SimpleFileOptions;

use crate::client::RunnerApi;
use crate::fixture::Fixture;

on_both_back_ends!(python_gitlab_uses_the_whole_api);

/// The number of builds without a manual job.
const BUILDS: usize = 45;

/// The trace of the job that succeeds.
const TRACE: &str = "one\n\u{1b}[32mtwo\u{1b}[0m\n";

async fn python_gitlab_uses_the_whole_api(backend: Backend) {
    let fixture = Fixture::start(backend).await;
    let git = GitServer::start();
    let repo = git.repo("grp/proj");
    let sha = repo.commit(&[("Dockerfile", "FROM scratch\n")], "Fix it\n\nAll of it.");
    let prepared = prepare(&fixture, repo.url(), &sha).await;
    let author = repo.git(&["log", "-1", "--format=%an"]);
    let prepared = merged(prepared, json!({"author": author, "title": "Fix it"}));
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/gitlab_builds_v3/python_gitlab.py"
    );
    let python = std::env::var("SLIPWAY_TEST_PYTHON").unwrap();
    let mut command = Command::new(python);
    let output = command.arg(script).arg(prepared.to_string()).output().await;
    let output = output.unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Creates builds in every state, and returns what the script has to know about them.
async fn prepare(fixture: &Fixture, repo_url: &str, sha: &str) -> Value {
    let farm = &fixture.farm;
    let change = ProjectUpdate {
        repo_url: Some(repo_url.to_owned()),
        ..ProjectUpdate::default()
    };
    farm.change_project(&fixture.project, change).await;
    let mut definition = Definition::single_image();
    definition.jobs[0].name = "unit".parse().unwrap();
    put_pipeline(fixture, definition.clone()).await;
    for _ in 0..BUILDS {
        create_build(fixture).await;
    }
    let mut manual_job = definition.jobs[0].clone();
    manual_job.name = "deploy".parse().unwrap();
    manual_job.when = When::Manual;
    definition.jobs.push(manual_job);
    put_pipeline(fixture, definition).await;
    let last = create_build(fixture).await;
    let manual = farm.jobs(&last).await[1].id;

    let body = json!({"description": "box-7"});
    let api = RunnerApi::new(farm);
    let runner = api.register(&farm.registration_token, body).await;
    let succeeded = runner.claim().await;
    let range = format!("0-{}", TRACE.len());
    succeeded.patch(&range, TRACE).await.is(202);
    let zip = archive();
    let uploaded = succeeded.upload("expire_in=7+days", "artifacts.zip", &zip);
    uploaded.await.is(201);
    succeeded.succeed().await;
    let failed = runner.claim().await;
    failed.put(json!({"state": "failed"})).await.is(200);
    let running = runner.claim().await;
    wait_until(
        Duration::from_secs(20),
        "the commit is fetched",
        async || {
            let path = format!("/projects/1/builds/{}", succeeded.id);
            !fixture.developer.get(&path).await.json()["commit"].is_null()
        },
    )
    .await;
    json!({
        "url": farm.url(""), "repo_url": repo_url, "branch": "main", "sha": sha,
        "username": "dora", "developer": fixture.developer.token, "admin": fixture.admin.token,
        "count": BUILDS + 2, "trace": TRACE, "runner": runner.id.0,
        "succeeded": succeeded.id.0, "failed": failed.id.0, "running": running.id.0,
        "pending": running.id.0 + 1, "manual": manual.0,
    })
}

async fn put_pipeline(fixture: &Fixture, definition: Definition) {
    let farm = fixture.farm.farm();
    let slug = Slug::default_pipeline();
    let put = farm.put_pipeline(&fixture.project, &slug, definition).await;
    put.unwrap();
}

/// Creates a build of the head of `main` as the developer.
async fn create_build(fixture: &Fixture) -> slipway_farm::Build {
    let farm = fixture.farm.farm();
    let token = AccessToken::presented(&fixture.developer.token);
    let developer = farm.authenticate(&token).await.unwrap();
    let id = fixture.project.id();
    let access = farm.project_by_id(&developer, id, Role::Developer).await;
    let access = access.unwrap();
    let request = BuildRequest {
        pipeline: Slug::default_pipeline(),
        sha: None,
        git_ref: Some("main".parse().unwrap()),
    };
    let created = farm.create_build(&developer, &access, request);
    created.await.unwrap()
}

/// A zip archive that is longer than one chunk of the client.
fn archive() -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("out.txt", SimpleFileOptions::default())
        .unwrap();
    let noise: Vec<u8> = (0u32..2000)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    zip.write_all(&noise).unwrap();
    zip.finish().unwrap().into_inner()
}

fn merged(mut into: Value, from: Value) -> Value {
    if let (Value::Object(into), Value::Object(from)) = (&mut into, from) {
        into.extend(from);
    }
    into
}
