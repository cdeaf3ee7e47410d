//! The uploaded file that a job builds, for the runner that has the job.

use bytes::Bytes;
use reqwest::Method;
use serde_json::json;
use slipway_domain::package::stored_location;
use slipway_domain::pipeline::Definition;
use slipway_domain::{JobSpec, RunnerId};
use slipway_farm::PackageRequest;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{ApiResponse, Claim, Runner, RunnerApi};

on_both_back_ends!(
    an_uploaded_package_is_read_by_the_job_that_builds_it,
    an_uploaded_package_is_nobody_elses,
    an_archive_of_an_image_is_asked_of_those_that_make_them,
);

/// A build of an uploaded file, or of a URL.
async fn asked(farm: &TestFarm, content: Option<&'static [u8]>) {
    let access = farm.project("acme/api").await;
    let admin = farm.admin().await;
    let mut request = PackageRequest {
        url: None,
        upload: None,
        location: stored_location(None, None, None),
        tags: vec!["latest".to_owned()],
        pull_robot: None,
    };
    match content {
        Some(content) => {
            let place = farm.farm().make_upload(&admin, "application/x-tar").await;
            let id = place.unwrap().id;
            let pieces = [Ok::<_, std::io::Error>(Bytes::from_static(content))];
            let filled = farm
                .farm()
                .fill_upload(id, futures_util::stream::iter(pieces));
            filled.await.unwrap();
            request.upload = Some(id);
        }
        None => request.url = Some("https://example.com/a.tgz".to_owned()),
    }
    let made = farm.farm().create_package_build(&admin, &access, request);
    made.await.unwrap();
}

async fn farm(backend: Backend) -> TestFarm {
    TestFarm::start_with(backend, |config| {
        config.registry = Some("registry.test".to_owned());
    })
    .await
}

/// What a runner of ours says of itself.
fn info() -> serde_json::Value {
    json!({"name": "slipway-runner", "features": {"heartbeat": true}})
}

/// A job for a runner of ours.
async fn claimed(farm: &TestFarm) -> Claim {
    let (runner, answer) = asks(farm, &info()).await;
    Claim::read(&runner, &answer)
}

/// A runner that says this of itself, and what it is told when it asks for a job.
async fn asks(farm: &TestFarm, info: &serde_json::Value) -> (Runner, ApiResponse) {
    let api = RunnerApi::new(farm);
    let body = json!({"token": farm.registration_token, "info": info});
    let made = api.json(Method::POST, "/runners/register.json", &body);
    let made = made.await.is(201).json();
    let runner = Runner {
        id: RunnerId(made["id"].as_i64().unwrap()),
        token: made["token"].as_str().unwrap().to_owned(),
        api,
    };
    let body = json!({"token": runner.token, "info": info});
    let answer = runner
        .api
        .json(Method::POST, "/builds/register.json", &body)
        .await;
    (runner, answer)
}

async fn package(farm: &TestFarm, id: impl std::fmt::Display, token: &str) -> ApiResponse {
    let api = RunnerApi::new(farm);
    let request = api.request(Method::GET, &format!("/builds/{id}/package"));
    api.send(request.header("BUILD-TOKEN", token)).await
}

fn token(claim: &Claim) -> String {
    claim.payload["token"].as_str().unwrap().to_owned()
}

async fn an_uploaded_package_is_read_by_the_job_that_builds_it(backend: Backend) {
    let farm = farm(backend).await;
    asked(&farm, Some(b"the bytes")).await;
    // A stock runner could not build it, and is not given it.
    let stock = RunnerApi::new(&farm).register_runner(&farm).await;
    stock.poll().await.no_job();
    let claim = claimed(&farm).await;
    let answer = package(&farm, claim.id, &token(&claim)).await.is(200);
    assert_eq!(answer.body, "the bytes");
    assert_eq!(answer.header("content-type"), Some("application/x-tar"));
    assert_eq!(answer.header("content-length"), Some("9"));
    // Once the job is over, there is nothing to build.
    claim.put(json!({"state": "success"})).await.is(200);
    package(&farm, claim.id, &token(&claim)).await.is(404);
}

async fn an_uploaded_package_is_nobody_elses(backend: Backend) {
    let farm = farm(backend).await;
    asked(&farm, Some(b"the bytes")).await;
    let claim = claimed(&farm).await;
    package(&farm, claim.id, "").await.is(403);
    package(&farm, 9999, &token(&claim)).await.is(404);
    // The project's builds run one at a time.
    claim.put(json!({"state": "success"})).await.is(200);
    asked(&farm, None).await;
    let other = claimed(&farm).await;
    package(&farm, claim.id, &token(&other)).await.is(403);
    package(&farm, other.id, &token(&other)).await.is(404);
}

async fn an_archive_of_an_image_is_asked_of_those_that_make_them(backend: Backend) {
    let farm = farm(backend).await;
    let project = farm.project("acme/api").await;
    let mut definition = Definition::single_image();
    if let JobSpec::ImageBuild(image) = &mut definition.jobs[0].spec {
        image.archive = vec!["api:v1".to_owned()];
    }
    farm.build_defined(&project, definition).await;
    let stock = RunnerApi::new(&farm).register_runner(&farm).await;
    stock.poll().await.no_job();
    // One of ours from before there were archives.
    let (_, answer) = asks(&farm, &info()).await;
    answer.no_job();
    let mut newer = info();
    newer["features"]["image_archives"] = json!(true);
    let (runner, answer) = asks(&farm, &newer).await;
    let claim = Claim::read(&runner, &answer);
    let own = &claim.payload["own"];
    assert_eq!(own["spec"]["archive"], json!(["api:v1"]));
    assert_eq!(own["max_file_bytes"], 1 << 30);
}
