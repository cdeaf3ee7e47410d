//! Check 60, and more: a published client drives the whole consumer API.

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
use crate::support::World;

on_both_back_ends!(check_60_python_gitlab_drives_the_whole_api);

/// How many builds there are besides the one with a job to be started by hand.
const BUILDS: usize = 45;
/// What the job that succeeds prints.
const TRACE: &str = "one\n\u{1b}[32mtwo\u{1b}[0m\n";

async fn check_60_python_gitlab_drives_the_whole_api(backend: Backend) {
    let world = World::start(backend).await;
    let git = GitServer::start();
    let repo = git.repo("grp/proj");
    let sha = repo.commit(&[("Dockerfile", "FROM scratch\n")], "Fix it\n\nAll of it.");
    let given = prepared(&world, repo.url(), &sha).await;
    let author = repo.git(&["log", "-1", "--format=%an"]);
    let given = merged(given, json!({"author": author, "title": "Fix it"}));
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/builds_v3/python_gitlab.py"
    );
    let python = std::env::var("SLIPWAY_TEST_PYTHON").unwrap();
    let mut command = Command::new(python);
    let ran = command.arg(script).arg(given.to_string()).output().await;
    let ran = ran.unwrap();
    assert!(
        ran.status.success(),
        "{}{}",
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
}

/// Makes builds in every state, and says which is which.
async fn prepared(world: &World, repo_url: &str, sha: &str) -> Value {
    let farm = &world.farm;
    let change = ProjectUpdate {
        repo_url: Some(repo_url.to_owned()),
        ..ProjectUpdate::default()
    };
    farm.change_project(&world.project, change).await;
    let mut definition = Definition::single_image();
    definition.jobs[0].name = "unit".parse().unwrap();
    put_pipeline(world, definition.clone()).await;
    for _ in 0..BUILDS {
        build(world).await;
    }
    let mut by_hand = definition.jobs[0].clone();
    by_hand.name = "deploy".parse().unwrap();
    by_hand.when = When::Manual;
    definition.jobs.push(by_hand);
    put_pipeline(world, definition).await;
    let last = build(world).await;
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
    wait_until(Duration::from_secs(20), "the commit is known", async || {
        let path = format!("/projects/1/builds/{}", succeeded.id);
        !world.developer.get(&path).await.json()["commit"].is_null()
    })
    .await;
    json!({
        "url": farm.url(""), "repo_url": repo_url, "branch": "main", "sha": sha,
        "username": "dora", "developer": world.developer.token, "admin": world.admin.token,
        "count": BUILDS + 2, "trace": TRACE, "runner": runner.id.0,
        "succeeded": succeeded.id.0, "failed": failed.id.0, "running": running.id.0,
        "pending": running.id.0 + 1, "manual": manual.0,
    })
}

async fn put_pipeline(world: &World, definition: Definition) {
    let farm = world.farm.farm();
    let slug = Slug::default_pipeline();
    let put = farm.put_pipeline(&world.project, &slug, definition).await;
    put.unwrap();
}

/// A build of the head of `main`, asked for by the developer.
async fn build(world: &World) -> slipway_farm::Build {
    let farm = world.farm.farm();
    let token = AccessToken::presented(&world.developer.token);
    let developer = farm.authenticate(&token).await.unwrap();
    let id = world.project.id();
    let access = farm.project_by_id(&developer, id, Role::Developer).await;
    let access = access.unwrap();
    let request = BuildRequest {
        pipeline: Slug::default_pipeline(),
        sha: None,
        git_ref: Some("main".parse().unwrap()),
    };
    let made = farm.create_build(&developer, &access, request);
    made.await.unwrap()
}

/// A zip file with one file in it, which is long enough to come in pieces.
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
