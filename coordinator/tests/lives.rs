//! The farm from the outside: it starts, serves and stops, and keeps what it was told.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer")]

use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

on_both_back_ends!(a_restart_keeps_everything, the_farm_says_how_it_is);

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

async fn a_restart_keeps_everything(backend: Backend) {
    let mut farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let build = farm.build(&project).await;
    farm.restart().await;
    let jobs = farm.jobs(&build).await;
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].state.name(), "pending");
}
