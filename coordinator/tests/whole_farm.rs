//! The whole farm: start, stop, monitoring, and a database or blob store that comes back.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

on_both_back_ends!(
    restart_keeps_everything,
    health_and_metrics_are_served,
    api_description_names_the_public_url,
);

async fn health_and_metrics_are_served(backend: Backend) {
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

async fn api_description_names_the_public_url(backend: Backend) {
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

async fn restart_keeps_everything(backend: Backend) {
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

        #[tokio::test]
        async fn closed_connections_are_replaced_and_nothing_is_lost() {
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

        #[tokio::test]
        async fn trace_is_stored_in_and_read_from_a_bucket() {
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
