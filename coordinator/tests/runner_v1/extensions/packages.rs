//! Uploaded build contexts and image archives, which only slipway-runner supports.
//!
//! See `docs/protocols/runner-v1.md#packages`.

use bytes::Bytes;
use reqwest::Method;
use serde_json::{Value, json};
use slipway_domain::package::stored_location;
use slipway_domain::pipeline::Definition;
use slipway_domain::{JobSpec, RunnerId};
use slipway_farm::{PackageRequest, RequestedUpload};
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{ApiResponse, Claim, Runner, RunnerApi};

on_both_back_ends!(
    package_is_downloaded_by_the_job_that_builds_it,
    package_is_refused_to_other_jobs,
    image_archive_job_requires_the_image_archives_feature,
);

/// Creates a build of an uploaded package, or of a URL if there is no content.
async fn create_package_build(farm: &TestFarm, content: Option<&'static [u8]>) {
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
            let upload = farm.farm().create_upload(&admin, "application/x-tar").await;
            let id = upload.unwrap().id;
            let chunks = [Ok::<_, std::io::Error>(Bytes::from_static(content))];
            let filled = farm
                .farm()
                .fill_upload(id, futures_util::stream::iter(chunks));
            filled.await.unwrap();
            request.upload = Some(RequestedUpload::Id(id));
        }
        None => request.url = Some("https://example.com/a.tgz".to_owned()),
    }
    let build = farm.farm().create_package_build(&admin, &access, request);
    build.await.unwrap();
}

async fn farm_with_registry(backend: Backend) -> TestFarm {
    TestFarm::start_with(backend, |config| {
        config.registry = Some("registry.test".to_owned());
    })
    .await
}

/// The `info` of slipway-runner.
fn slipway_runner_info() -> Value {
    json!({"name": "slipway-runner", "features": {"heartbeat": true}})
}

/// Registers a slipway-runner and claims a job.
async fn claim_with_slipway_runner(farm: &TestFarm) -> Claim {
    let (runner, response) = register_and_poll(farm, &slipway_runner_info()).await;
    Claim::read(&runner, &response)
}

/// Registers a runner with this `info` and returns it with the response to its first poll.
pub(super) async fn register_and_poll(farm: &TestFarm, info: &Value) -> (Runner, ApiResponse) {
    let api = RunnerApi::new(farm);
    let body = json!({"token": farm.registration_token, "info": info});
    let created = api.json(Method::POST, "/runners/register.json", &body);
    let created = created.await.is(201).json();
    let runner = Runner {
        id: RunnerId(created["id"].as_i64().unwrap()),
        token: created["token"].as_str().unwrap().to_owned(),
        api,
    };
    let body = json!({"token": runner.token, "info": info});
    let response = runner
        .api
        .json(Method::POST, "/builds/register.json", &body)
        .await;
    (runner, response)
}

async fn download_package(farm: &TestFarm, id: impl std::fmt::Display, token: &str) -> ApiResponse {
    let api = RunnerApi::new(farm);
    let request = api.request(Method::GET, &format!("/builds/{id}/package"));
    api.send(request.header("BUILD-TOKEN", token)).await
}

async fn package_is_downloaded_by_the_job_that_builds_it(backend: Backend) {
    let farm = farm_with_registry(backend).await;
    create_package_build(&farm, Some(b"the bytes")).await;
    // Stock runners cannot build packages, so the job is not offered to them.
    let stock = RunnerApi::new(&farm).register_runner(&farm).await;
    stock.poll().await.no_job();
    let claim = claim_with_slipway_runner(&farm).await;
    let response = download_package(&farm, claim.id, &claim.token)
        .await
        .is(200);
    assert_eq!(response.body, "the bytes");
    assert_eq!(response.header("content-type"), Some("application/x-tar"));
    assert_eq!(response.header("content-length"), Some("9"));
    // After the job has finished, the package is no longer served.
    claim.put(json!({"state": "success"})).await.is(200);
    download_package(&farm, claim.id, &claim.token)
        .await
        .is(404);
}

async fn package_is_refused_to_other_jobs(backend: Backend) {
    let farm = farm_with_registry(backend).await;
    create_package_build(&farm, Some(b"the bytes")).await;
    let claim = claim_with_slipway_runner(&farm).await;
    download_package(&farm, claim.id, "").await.is(403);
    download_package(&farm, 9999, &claim.token).await.is(404);
    // Builds of a project run one at a time, so the first must finish before the second is claimed.
    claim.put(json!({"state": "success"})).await.is(200);
    create_package_build(&farm, None).await;
    let other = claim_with_slipway_runner(&farm).await;
    download_package(&farm, claim.id, &other.token)
        .await
        .is(403);
    download_package(&farm, other.id, &other.token)
        .await
        .is(404);
}

async fn image_archive_job_requires_the_image_archives_feature(backend: Backend) {
    let farm = farm_with_registry(backend).await;
    let project = farm.project("acme/api").await;
    let mut definition = Definition::single_image();
    if let JobSpec::ImageBuild(image) = &mut definition.jobs[0].spec {
        image.archive = vec!["api:v1".to_owned()];
    }
    farm.build_defined(&project, definition).await;
    let stock = RunnerApi::new(&farm).register_runner(&farm).await;
    stock.poll().await.no_job();
    // An older slipway-runner that does not announce image archives.
    let (_, response) = register_and_poll(&farm, &slipway_runner_info()).await;
    response.no_job();
    let mut newer = slipway_runner_info();
    newer["features"]["image_archives"] = json!(true);
    let (runner, response) = register_and_poll(&farm, &newer).await;
    let claim = Claim::read(&runner, &response);
    let own = &claim.payload["own"];
    assert_eq!(own["spec"]["archive"], json!(["api:v1"]));
    assert_eq!(own["max_file_bytes"], 1 << 30);
}
