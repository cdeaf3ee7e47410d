//! Stored bytes that the database knows, but that are gone from the blob store or were cut short.

use std::path::PathBuf;

use reqwest::header::{CONTENT_TYPE, RANGE};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use slipway_domain::JobUuid;
use slipway_farm::Build;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{ApiResponse, Claim};
use crate::slipway_runner::SlipwayRunner;

on_both_back_ends!(
    every_api_answers_503_and_names_what_is_missing,
    only_ranges_with_a_missing_part_of_a_trace_are_refused,
    a_file_that_was_cut_short_is_refused_before_its_first_byte,
    packages_and_sources_that_are_missing_are_named,
    a_report_with_a_missing_trace_ends_the_job,
);

/// The chunks of a trace. Each is longer than what masking has to read around a range.
fn chunks() -> [String; 3] {
    ["first", "second", "third"].map(|word| format!("{word} line\n{}\n", ".".repeat(8000)))
}

/// A finished job with an archive and a trace of three chunks.
struct Finished {
    farm: TestFarm,
    build: Build,
    claim: Claim,
    artifact: i64,
}

impl Finished {
    async fn new(backend: Backend) -> Self {
        let farm = TestFarm::start(backend).await;
        let project = farm.project("acme/api").await;
        let build = farm.build(&project).await;
        let claim = SlipwayRunner::register(&farm).await.claim().await;
        let mut start = 0;
        for chunk in chunks() {
            let end = start + chunk.len();
            let range = format!("{start}-{}", end - 1);
            claim.patch(&range, chunk).await.is(202);
            start = end;
        }
        claim.upload("", "dist.zip", b"an archive").await.is(201);
        claim.succeed().await;
        let artifact = farm.artifacts(claim.id).await.remove(0).id.0;
        Self {
            farm,
            build,
            claim,
            artifact,
        }
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.farm.http.get(self.farm.url(path))
    }

    fn as_admin(&self, path: &str) -> RequestBuilder {
        self.get(path).bearer_auth(&self.farm.admin_token)
    }

    /// Every request for the bytes of the archive.
    fn archive_requests(&self) -> Vec<RequestBuilder> {
        let job = self.claim.id;
        let native = format!("/v1/artifacts/{}/content", self.artifact);
        let v3 = format!("/api/v3/projects/1/builds/{job}/artifacts");
        vec![
            self.as_admin(&native),
            self.as_admin(&native).header(RANGE, "bytes=2-4"),
            self.as_admin(&native).header(RANGE, "bytes=-3"),
            self.as_admin(&v3),
            self.as_admin(&v3).header(RANGE, "bytes=2-"),
            self.claim.request(Method::GET, "artifacts"),
            self.get(&format!("/api/v4/jobs/{job}/artifacts"))
                .header("JOB-TOKEN", &self.claim.token),
        ]
    }

    /// Every request for the whole trace.
    async fn trace_requests(&self) -> Vec<RequestBuilder> {
        let (job, build) = (self.claim.id, self.build.uuid);
        let token = self.farm.farm().log_token(&self.build).await.unwrap();
        let harmont = format!("/v0/jobs/{}/logs", JobUuid::of(build, job));
        vec![
            self.as_admin(&format!("/v1/jobs/{job}/trace")),
            self.as_admin(&format!("/v1/jobs/{job}/trace"))
                .header(RANGE, "bytes=3-"),
            self.as_admin(&format!("/v1/jobs/{job}/trace/stream")),
            self.as_admin(&format!("/api/v3/projects/1/builds/{job}/trace")),
            self.get(&format!("/logs/{build}"))
                .basic_auth("anybody", Some(&self.farm.admin_token)),
            self.get(&harmont).query(&[("token", token.expose())]),
            self.as_admin(&format!("/logarchive/{build}")),
        ]
    }

    /// The files of the chunks of the trace, in order.
    fn chunk_files(&self) -> Vec<PathBuf> {
        let files = self.farm.blob_files();
        let of_chunk = |chunk: &String| {
            let holds = |path: &&PathBuf| std::fs::read(path).unwrap() == chunk.as_bytes();
            files.iter().find(holds).unwrap().clone()
        };
        chunks().iter().map(of_chunk).collect()
    }

    /// Asserts that all requests are refused with a text that names `what` and nothing of the machine.
    async fn assert_missing(&self, requests: Vec<RequestBuilder>, what: &str) {
        for request in requests {
            assert_missing(ApiResponse::to(request).await, what);
        }
    }
}

#[track_caller]
fn assert_missing(response: ApiResponse, what: &str) {
    let response = response.is(503);
    assert!(response.header("retry-after").is_some(), "{response:?}");
    let text = String::from_utf8_lossy(&response.body);
    assert!(text.contains(what) && text.contains("missing"), "{text}");
    for private in ["traces/", "artifacts/", "uploads/", "sources/", "/tmp"] {
        assert!(!text.contains(private), "{text}");
    }
}

async fn assert_ok(requests: Vec<RequestBuilder>) {
    for request in requests {
        let response = ApiResponse::to(request).await;
        assert!(matches!(response.status, 200 | 206), "{response:?}");
    }
}

async fn every_api_answers_503_and_names_what_is_missing(backend: Backend) {
    let job = Finished::new(backend).await;
    assert_ok(job.archive_requests()).await;
    assert_ok(job.trace_requests().await).await;
    job.farm.lose_blobs();
    let of_job = format!("of job {}", job.claim.id);
    let archive = format!("the file `dist.zip` {of_job}");
    job.assert_missing(job.archive_requests(), &archive).await;
    let trace = format!("a part of the trace {of_job}");
    job.assert_missing(job.trace_requests().await, &trace).await;
    job.farm.find_blobs();
    assert_ok(job.archive_requests()).await;
    assert_ok(job.trace_requests().await).await;
}

async fn only_ranges_with_a_missing_part_of_a_trace_are_refused(backend: Backend) {
    let job = Finished::new(backend).await;
    let path = format!("/v1/jobs/{}/trace", job.claim.id);
    let first = chunks()[0].len();
    std::fs::remove_file(&job.chunk_files()[1]).unwrap();
    let what = format!("the trace of job {}", job.claim.id);
    job.assert_missing(job.trace_requests().await, &what).await;
    let range = |from: usize, to: usize| {
        let request = job.as_admin(&path);
        ApiResponse::to(request.header(RANGE, format!("bytes={from}-{to}")))
    };
    assert_eq!(range(0, 4).await.is(206).body, "first");
    assert_missing(range(0, first).await, &what);
    assert_missing(range(first + 2, first + 3).await, &what);
}

async fn a_file_that_was_cut_short_is_refused_before_its_first_byte(backend: Backend) {
    let job = Finished::new(backend).await;
    for path in job.farm.blob_files() {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_len(4).unwrap();
    }
    let job_name = format!("of job {}", job.claim.id);
    job.assert_missing(job.archive_requests(), &job_name).await;
    job.assert_missing(job.trace_requests().await, &job_name)
        .await;
}

async fn packages_and_sources_that_are_missing_are_named(backend: Backend) {
    let farm = TestFarm::start_with(backend, |config| {
        config.registry = Some("registry.test".to_owned());
    });
    let farm = farm.await;
    farm.project("acme/api").await;
    let as_admin = |method, path: &str| {
        let request = farm.http.request(method, farm.url(path));
        request.bearer_auth(&farm.admin_token)
    };
    let created = as_admin(Method::POST, "/api/v1/filedrop/");
    let created = created.json(&json!({"mimeType": "text/plain"}));
    let upload = ApiResponse::to(created).await.is(200).json();
    let file = upload["file_id"].as_str().unwrap();
    let put = farm.http.put(upload["url"].as_str().unwrap());
    let put = put.header(CONTENT_TYPE, "text/plain").body("FROM scratch");
    ApiResponse::to(put).await.is(200);
    let build = as_admin(Method::POST, "/api/v1/repository/acme/api/build/");
    let build = ApiResponse::to(build.json(&json!({ "file_id": file }))).await;
    let build: Value = build.is(201).json();
    let claim = SlipwayRunner::register(&farm).await.claim().await;
    farm.lose_blobs();
    let package = ApiResponse::to(claim.request(Method::GET, "package")).await;
    assert_missing(package, &format!("the package of job {}", claim.id));
    let url = build["archive_url"].as_str().unwrap();
    let download = ApiResponse::to(farm.http.get(url)).await;
    assert_missing(download, &format!("the uploaded file {file}"));
}

async fn a_report_with_a_missing_trace_ends_the_job(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    // A stock runner reports its image in the trace.
    let claim = Claim::of_new_build(&farm).await;
    claim.patch("0-4", "hello").await.is(202);
    farm.lose_blobs();
    claim.succeed().await;
    assert!(farm.job(claim.id).await.state.is_done());
}
