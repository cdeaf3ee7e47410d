//! Jobs of builds.
//!
//! See `docs/protocols/harmont.md#jobs`.

use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::fixture::{BUILDS, Fixture, independent_steps, two_steps};

on_both_back_ends!(
    jobs_are_listed_after_the_jobs_that_they_need,
    job_is_found_only_in_its_own_build,
);

async fn jobs_are_listed_after_the_jobs_that_they_need(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let mut graph = two_steps();
    graph["steps"].as_array_mut().unwrap().reverse();
    let number = fixture.create_build(&graph).await;
    let jobs = fixture.jobs(number).await;
    let keys: Vec<&Value> = jobs.iter().map(|job| &job["step_key"]).collect();
    assert_eq!(keys, ["a", "b"]);
    assert_eq!(jobs[0]["depends_on"], json!([]));
    assert_eq!(jobs[1]["depends_on"], json!([jobs[0]["id"]]));
    for job in &jobs {
        assert_eq!(job.as_object().unwrap().len(), 15, "{job}");
        assert_eq!(job["soft_failed"], false);
        for key in [
            "exit_code",
            "soft_fail_policy",
            "retry_policy",
            "error_code",
        ] {
            assert_eq!(job.get(key), Some(&Value::Null), "{key}");
        }
    }
    assert_eq!(
        (&jobs[0]["name"], &jobs[1]["name"]),
        (&json!(null), &json!("B"))
    );
}

async fn job_is_found_only_in_its_own_build(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let (first, second) = (
        fixture.create_build(&two_steps()).await,
        fixture.create_build(&independent_steps(&["x"])).await,
    );
    let job = fixture.jobs(first).await.remove(0);
    let id = job["id"].as_str().unwrap();
    let own = fixture
        .member
        .get(&format!("{BUILDS}/{first}/jobs/{id}"))
        .await;
    assert_eq!(own.is(200).json(), job);
    let random = "0190a5d0-ac96-4b4b-8cce-b302099a8057";
    for (number, id) in [(second, id), (first, random), (first, "xyz")] {
        let response = fixture
            .member
            .get(&format!("{BUILDS}/{number}/jobs/{id}"))
            .await;
        response.fails_with_code(404, "not_found", "job_not_found");
    }
}
