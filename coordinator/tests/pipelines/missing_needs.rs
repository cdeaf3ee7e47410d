//! Jobs that need something that another job was to leave and did not.
//!
//! See `docs/pipelines.md#images-of-other-jobs`.

use slipway_domain::pipeline::Definition;
use slipway_domain::{FailureReason, JobState, Outcome};
use slipway_farm::{Build, ProjectAccess};
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::scripted_runner::{ScriptedRunner, pipeline, states};

on_both_back_ends!(
    job_whose_needed_image_is_missing_fails_and_names_it,
    job_whose_needed_files_are_missing_fails_and_names_it,
    job_whose_needed_wildcards_matched_nothing_runs,
    job_whose_needed_files_have_expired_fails_and_names_it,
    missing_cache_image_is_no_error,
    retry_of_the_needed_job_runs_the_job_again,
);

const MISSING: JobState = JobState::Done(Outcome::Failed(FailureReason::NeedMissing));

async fn start(backend: Backend) -> (TestFarm, ProjectAccess, ScriptedRunner) {
    let farm = TestFarm::start_with(backend, |config| {
        config.registry = Some("registry.example:5000".to_owned());
    })
    .await;
    let project = farm.project("acme/api").await;
    let runner = ScriptedRunner::of(&farm).await;
    (farm, project, runner)
}

/// Asserts that the latest attempt of a job failed because of a need, and returns the message.
async fn missing_need(farm: &TestFarm, build: &Build, name: &str) -> String {
    let jobs = farm.jobs(build).await;
    let job = jobs.into_iter().rfind(|job| job.name == name).unwrap();
    assert_eq!(job.state, MISSING, "{name}");
    job.failure_message.unwrap()
}

fn with_image() -> Definition {
    pipeline(
        "jobs:\n\
         \x20 base: {image: {}}\n\
         \x20 app: {image: {args_from: {BASE: base}}}\n\
         \x20 test: {run_in: {job: base}, script: [x]}\n\
         \x20 after: {needs: [test], script: [x]}\n",
    )
}

async fn job_whose_needed_image_is_missing_fails_and_names_it(backend: Backend) {
    let (farm, project, runner) = start(backend).await;
    let build = farm.build_defined(&project, with_image()).await;
    let base = runner.claim_named("base").await;
    runner.succeed_without_image(base).await;
    assert!(runner.claim().await.is_none());
    for name in ["app", "test"] {
        let why = missing_need(&farm, &build, name).await;
        assert_eq!(why, "it needs the image of job base, which has no image");
    }
    let expected = [
        "after: skipped",
        "app: failed",
        "base: succeeded",
        "test: failed",
    ];
    let mut found = states(&farm, &build).await;
    found.sort();
    let mut expected = expected.map(str::to_owned);
    expected.sort();
    assert_eq!(found, expected);
}

fn with_files() -> Definition {
    pipeline(
        "jobs:\n\
         \x20 make: {script: [x], artifacts: {paths: [out]}}\n\
         \x20 use: {needs: [make], script: [x]}\n",
    )
}

async fn job_whose_needed_files_are_missing_fails_and_names_it(backend: Backend) {
    let (farm, project, runner) = start(backend).await;
    let build = farm.build_defined(&project, with_files()).await;
    let make = runner.claim_named("make").await;
    runner.succeed(make).await;
    assert!(runner.claim().await.is_none());
    let why = missing_need(&farm, &build, "use").await;
    assert!(why.starts_with("it needs the files of job make, "), "{why}");
}

fn with_wildcard() -> Definition {
    pipeline(
        "jobs:\n\
         \x20 make: {script: [x], artifacts: {paths: ['report*'], expire_in: 30 s}}\n\
         \x20 use: {needs: [make], script: [x]}\n",
    )
}

async fn job_whose_needed_wildcards_matched_nothing_runs(backend: Backend) {
    let (farm, project, runner) = start(backend).await;
    farm.build_defined(&project, with_wildcard()).await;
    let make = runner.claim_named("make").await;
    runner.succeed(make).await;
    let after = runner.claim_named("use").await;
    runner.succeed(after).await;
}

async fn job_whose_needed_files_have_expired_fails_and_names_it(backend: Backend) {
    let (farm, project, runner) = start(backend).await;
    let build = farm.build_defined(&project, with_wildcard()).await;
    let make = runner.claim_named("make").await;
    runner.succeed(make).await;
    farm.advance(60);
    assert!(runner.claim().await.is_none());
    let why = missing_need(&farm, &build, "use").await;
    assert_eq!(
        why,
        "it needs the files of job make, which were erased or have expired"
    );
}

async fn missing_cache_image_is_no_error(backend: Backend) {
    let (farm, project, runner) = start(backend).await;
    let definition = pipeline(
        "jobs:\n\
         \x20 base: {image: {}}\n\
         \x20 app: {image: {cache_from: base}}\n",
    );
    farm.build_defined(&project, definition).await;
    let base = runner.claim_named("base").await;
    runner.succeed_without_image(base).await;
    let app = runner.claim_named("app").await;
    runner.succeed(app).await;
}

async fn retry_of_the_needed_job_runs_the_job_again(backend: Backend) {
    let (farm, project, runner) = start(backend).await;
    let build = farm.build_defined(&project, with_image()).await;
    let base = runner.claim_named("base").await;
    let again = base.job.clone();
    runner.succeed_without_image(base).await;
    let admin = farm.admin().await;
    let retried = farm.farm().retry_job(&admin, &project, &again).await;
    retried.unwrap();
    let base = runner.claim_named("base").await;
    runner.succeed(base).await;
    for _ in 0..2 {
        let next = runner.claim().await.unwrap();
        runner.succeed(next).await;
    }
    let after = runner.claim_named("after").await;
    runner.succeed(after).await;
    let states = states(&farm, &build).await;
    assert!(
        states.iter().all(|state| state.ends_with(": succeeded")),
        "{states:?}"
    );
}
