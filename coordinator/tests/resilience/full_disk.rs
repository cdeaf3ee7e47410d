//! A disk of the coordinator that becomes full and has space again.

use std::collections::HashMap;
use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::json;
use slipway_coordinator::Config;
use slipway_testkit::farm::SHA;
use slipway_testkit::{Backend, SmallDisk, TestFarm, on_both_back_ends, wait_until};

use crate::client::{ApiResponse, Claim};
use crate::slipway_runner::SlipwayRunner;

on_both_back_ends!(
    a_full_disk_is_visible_and_running_jobs_go_on,
    a_write_that_finds_no_space_is_refused_and_leaves_nothing,
    builds_of_every_api_are_refused_while_the_disk_is_full,
);

/// How long the farm may take to notice a change.
const LIMIT: Duration = Duration::from_secs(20);

/// A farm whose blobs, and with SQLite also whose database, are on a small disk.
struct Fixture {
    farm: TestFarm,
    disk: SmallDisk,
}

impl Fixture {
    async fn new(backend: Backend, min_free_mb: u64) -> Self {
        let disk = SmallDisk::new(24);
        let path = disk.path().to_owned();
        let farm = TestFarm::start_with(backend, |config: &mut Config| {
            config.data_dir = path;
            config.registry = Some("registry.test".to_owned());
            config.limits.min_free_mb = min_free_mb;
        });
        Self {
            farm: farm.await,
            disk,
        }
    }

    fn as_admin(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.farm.http.request(method, self.farm.url(path));
        request.bearer_auth(&self.farm.admin_token)
    }

    async fn get(&self, path: &str) -> ApiResponse {
        ApiResponse::to(self.as_admin(Method::GET, path)).await
    }

    async fn is_ready(&self) -> bool {
        self.get("/readyz").await.status == 200
    }

    async fn wait_until_ready(&self, ready: bool) {
        let what = format!("a farm with the readiness {ready}");
        wait_until(LIMIT, &what, async || self.is_ready().await == ready).await;
    }

    /// Brings the disk below the floor of 4 MiB, without filling it to the last byte.
    async fn use_most(&self) {
        let filler = vec![b'x'; 21 << 20];
        std::fs::write(self.disk.path().join("filler"), filler).unwrap();
        self.wait_until_ready(false).await;
    }

    /// The value of a metric.
    async fn metric(&self, name: &str) -> f64 {
        let text = String::from_utf8(self.get("/metrics").await.is(200).body.to_vec()).unwrap();
        let lines = text.lines().filter_map(|line| line.rsplit_once(' '));
        let values: HashMap<&str, &str> = lines.collect();
        values[name].parse().unwrap()
    }

    async fn upload_source(&self, bytes: usize) -> ApiResponse {
        let upload = self.as_admin(Method::POST, "/v1/projects/acme/api/sources");
        let upload = upload.header("Content-Type", "application/gzip");
        ApiResponse::to(upload.body(vec![b'x'; bytes])).await
    }

    async fn claim(&self) -> Claim {
        let project = self.farm.project("acme/api").await;
        self.farm.build(&project).await;
        SlipwayRunner::register(&self.farm).await.claim().await
    }
}

#[track_caller]
fn assert_full(response: ApiResponse) {
    let response = response.is(503);
    assert!(response.header("retry-after").is_some(), "{response:?}");
    let text = String::from_utf8_lossy(&response.body);
    assert!(text.contains("disk of the farm is full"), "{text}");
}

async fn a_full_disk_is_visible_and_running_jobs_go_on(backend: Backend) {
    let fixture = Fixture::new(backend, 4).await;
    let claim = fixture.claim().await;
    claim.patch("0-5", "before").await.is(202);
    assert_eq!(fixture.metric("slipway_disk_full").await, 0.0);
    let free = "slipway_disk_free_bytes{disk=\"blobs\"}";
    let before = fixture.metric(free).await;
    let status = fixture.get("/v1/status").await.is(200).json();
    assert_eq!(status["accepts_data"], true);
    assert_eq!(status["reason"], json!(null));

    fixture.use_most().await;
    let why = fixture.get("/readyz").await.is(503);
    let why = String::from_utf8_lossy(&why.body).into_owned();
    assert!(why.contains("less than the floor of 4 MiB"), "{why}");
    assert_eq!(fixture.metric("slipway_disk_full").await, 1.0);
    assert!(fixture.metric(free).await < before);
    let status = fixture.get("/v1/status").await.is(200).json();
    assert_eq!(status["accepts_data"], false);
    assert!(
        status["reason"].as_str().unwrap().contains("MiB left"),
        "{status}"
    );
    let blobs = &status["disks"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&blobs["name"], &blobs["full"]),
        (&json!("blobs"), &json!(true))
    );

    assert_full(claim.patch("6-10", "after").await);
    assert_full(claim.upload("", "a.zip", b"an archive").await);
    assert_full(fixture.upload_source(10).await);
    // The refused trace is a sign of life, and so is a heartbeat.
    for _ in 0..3 {
        fixture.farm.advance(10);
        assert_full(claim.patch("6-10", "after").await);
        assert_eq!(fixture.farm.expire_leases().await, 0);
    }
    claim.put(json!({"state": "running"})).await.is(200);
    assert_eq!(fixture.farm.trace(claim.id).await, b"before");

    fixture.disk.free();
    fixture.wait_until_ready(true).await;
    assert_eq!(fixture.metric("slipway_disk_full").await, 0.0);
    claim.patch("6-10", "after").await.is(202);
    claim.upload("", "a.zip", b"an archive").await.is(201);
    fixture.upload_source(10).await.is(201);
    claim.succeed().await;
    assert_eq!(fixture.farm.trace(claim.id).await, b"beforeafter");
}

async fn a_write_that_finds_no_space_is_refused_and_leaves_nothing(backend: Backend) {
    // Nothing is refused before a write fails.
    let fixture = Fixture::new(backend, 0).await;
    let claim = fixture.claim().await;
    claim.patch("0-5", "before").await.is(202);
    let stored = fixture.farm.stored_blobs();
    fixture.disk.fill();
    for _ in 0..2 {
        assert_full(claim.patch("6-10", "after").await);
        assert_full(claim.upload("", "a.zip", &vec![b'x'; 100_000]).await);
        assert_full(fixture.upload_source(100_000).await);
    }
    assert!(!fixture.is_ready().await);
    assert_eq!(fixture.farm.stored_blobs(), stored);
    fixture.disk.free();
    fixture.wait_until_ready(true).await;
    assert_eq!(fixture.farm.trace(claim.id).await, b"before");
    claim.patch("6-10", "after").await.is(202);
    claim.succeed().await;
    assert_eq!(fixture.farm.trace(claim.id).await, b"beforeafter");
}

async fn builds_of_every_api_are_refused_while_the_disk_is_full(backend: Backend) {
    let fixture = Fixture::new(backend, 4).await;
    fixture.farm.project("acme/api").await;
    let create = async || {
        let native = json!({"sha": SHA, "ref": "main"});
        let conveyor = json!({"repository": "acme/api", "branch": "main", "sha": SHA});
        let quay = json!({"archive_url": "http://127.0.0.1:1/a.tar.gz"});
        let harmont = json!({
            "branch": "main", "commit": SHA,
            "pipeline_ir": "{\"version\":\"0\",\"steps\":[{\"type\":\"command\",\"key\":\"a\",\"cmd\":\"true\"}]}",
        });
        let requests = [
            (
                fixture.as_admin(Method::POST, "/v1/projects/acme/api/builds"),
                native,
            ),
            (
                fixture
                    .farm
                    .http
                    .post(fixture.farm.url("/builds"))
                    .basic_auth("anybody", Some(&fixture.farm.admin_token)),
                conveyor,
            ),
            (
                fixture.as_admin(Method::POST, "/api/v1/repository/acme/api/build/"),
                quay,
            ),
            (
                fixture.as_admin(
                    Method::POST,
                    "/api/v0/organizations/acme/pipelines/api/builds",
                ),
                harmont,
            ),
        ];
        let mut answers = Vec::new();
        for (request, body) in requests {
            answers.push(ApiResponse::to(request.json(&body)).await);
        }
        answers
    };
    fixture.use_most().await;
    for answer in create().await {
        assert_full(answer);
    }
    fixture.disk.free();
    fixture.wait_until_ready(true).await;
    for answer in create().await {
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    }
}
