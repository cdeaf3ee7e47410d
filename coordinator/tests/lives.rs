//! The farm from the outside: it starts, serves and stops, and keeps what it was told.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer")]

use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

on_both_back_ends!(
    a_restart_keeps_everything,
    the_farm_says_how_it_is,
    the_description_names_the_public_address,
);

async fn the_farm_says_how_it_is(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    farm.build(&project).await;
    for path in ["/healthz", "/readyz"] {
        let answer = farm.http.get(farm.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
    let metrics = farm
        .http
        .get(farm.url("/metrics"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(metrics.contains("\nslipway_jobs_pending 1\n"), "{metrics}");
    assert!(metrics.contains("\nslipway_jobs_running 0\n"), "{metrics}");
}

async fn the_description_names_the_public_address(backend: Backend) {
    let public = "https://slipway.example";
    let farm =
        TestFarm::start_with(backend, |config| config.public_url = Some(public.into())).await;
    let answer = farm
        .http
        .get(farm.url("/v1/openapi.json"))
        .send()
        .await
        .unwrap();
    let described: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(described["servers"][0]["url"], public);
}

async fn a_restart_keeps_everything(backend: Backend) {
    let mut farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let build = farm.build(&project).await;
    farm.restart().await;
    let jobs = farm.jobs(&build).await;
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].state.name(), "pending");
}

mod lost_database {
    use std::time::Duration;

    use super::*;
    use slipway_testkit::wait_until;

    mod postgres {
        use super::*;

        /// Connections that the server has ended are replaced, and nothing was forgotten.
        #[tokio::test]
        async fn a_database_that_was_away_is_used_again() {
            let farm = TestFarm::start(Backend::Postgres).await;
            let project = farm.project("acme/api").await;
            let build = farm.build(&project).await;
            for _ in 0..3 {
                farm.database.as_ref().unwrap().cut_connections().await;
                wait_until(Duration::from_secs(20), "the farm is ready", || async {
                    farm.http
                        .get(farm.url("/readyz"))
                        .send()
                        .await
                        .unwrap()
                        .status()
                        == 200
                })
                .await;
                assert_eq!(farm.jobs(&build).await[0].state.name(), "pending");
                farm.build(&project).await;
            }
        }
    }
}

mod in_a_bucket {
    use super::*;

    mod s3 {
        use super::*;

        /// Traces live in a bucket as they do in a directory.
        #[tokio::test]
        async fn a_trace_is_read_back_from_a_bucket() {
            let bucket = std::env::var("SLIPWAY_TEST_S3").expect("SLIPWAY_TEST_S3 names a bucket");
            let farm = TestFarm::start_with(Backend::Sqlite, |config| {
                config.blob_url = Some(bucket.parse().unwrap());
            })
            .await;
            let project = farm.project("acme/api").await;
            let build = farm.build(&project).await;
            let register = farm.http.post(farm.url("/ci/api/v1/runners/register"));
            let register = register.json(&serde_json::json!({ "token": farm.registration_token }));
            let runner: serde_json::Value = register.send().await.unwrap().json().await.unwrap();
            let claim = farm.http.post(farm.url("/ci/api/v1/builds/register"));
            let claim = claim.json(&serde_json::json!({ "token": runner["token"] }));
            let job: serde_json::Value = claim.send().await.unwrap().json().await.unwrap();
            let path = format!("/ci/api/v1/builds/{}/trace.txt", job["id"]);
            for (range, text) in [("0-6", "hello "), ("6-11", "world")] {
                let append = farm
                    .http
                    .patch(farm.url(&path))
                    .header("Content-Range", range);
                let append = append
                    .header("BUILD-TOKEN", job["token"].as_str().unwrap())
                    .body(text);
                assert_eq!(append.send().await.unwrap().status(), 202);
            }
            let id = farm.jobs(&build).await[0].id;
            assert_eq!(farm.trace(id).await, b"hello world");
        }
    }
}
