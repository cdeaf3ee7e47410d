//! Builds of several jobs.

#![expect(
    clippy::disallowed_methods,
    reason = "tests await or drop their tasks themselves"
)]

use std::collections::BTreeSet;

use slipway_domain::{BuildState, JobSpec, Slug};
use slipway_farm::BuildRequest;
use slipway_testkit::farm::SHA;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::scripted_runner::{ScriptedRunner, pipeline, states};

on_both_back_ends!(
    concurrent_builds_are_numbered_without_gaps,
    cancel_ends_every_unfinished_job,
    retry_runs_only_jobs_that_did_not_succeed,
    jobs_that_need_a_failed_job_are_skipped_or_run_on_failure,
    images_of_other_jobs_are_passed_by_digest,
);

async fn concurrent_builds_are_numbered_without_gaps(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let admin = farm.admin().await;
    let request = || BuildRequest {
        pipeline: Slug::default_pipeline(),
        sha: Some(SHA.parse().unwrap()),
        git_ref: None,
    };
    // A build that is refused takes no number.
    let mut wrong = request();
    wrong.pipeline = "other".parse().unwrap();
    assert!(
        farm.farm()
            .create_build(&admin, &project, wrong)
            .await
            .is_err()
    );
    let made = (0..20).map(|_| {
        let (farm, admin, project) = (farm.farm().clone(), admin.clone(), project.clone());
        let request = request();
        tokio::spawn(async move {
            farm.create_build(&admin, &project, request)
                .await
                .unwrap()
                .number
        })
    });
    let mut numbers = BTreeSet::new();
    for made in made.collect::<Vec<_>>() {
        assert!(
            numbers.insert(made.await.unwrap()),
            "a number was used twice"
        );
    }
    assert_eq!(numbers, (1..=20).collect());
}

async fn cancel_ends_every_unfinished_job(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let build = farm
        .build_defined(
            &project,
            pipeline(
                "jobs:\n\
                 \x20 first: {image: {}}\n\
                 \x20 running: {image: {}}\n\
                 \x20 pending: {script: [x]}\n\
                 \x20 waiting: {needs: [running], script: [x]}\n\
                 \x20 after: {needs: [waiting], when: always, script: [x]}\n\
                 \x20 rescue: {needs: [running], when: on_failure, script: [x]}\n\
                 \x20 offered: {needs: [first], when: manual, script: [x]}\n\
                 \x20 last: {needs: [after], when: always, script: [x]}\n",
            ),
        )
        .await;
    let runner = ScriptedRunner::of(&farm).await;
    let first = runner.claim_named("first").await;
    runner.succeed(first).await;
    runner.claim_named("running").await;
    let build = farm.farm().cancel_build(&project, &build).await.unwrap();
    assert_eq!(build.state, BuildState::Canceled);
    let expected = [
        "after: canceled",
        "first: succeeded",
        "last: canceled",
        "offered: canceled",
        "pending: canceled",
        "rescue: canceled",
        "running: canceled",
        "waiting: canceled",
    ];
    assert_eq!(states(&farm, &build).await, expected);
    assert!(
        runner.claim().await.is_none(),
        "a job was claimed after the cancel"
    );
}

async fn retry_runs_only_jobs_that_did_not_succeed(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let build = farm
        .build_defined(
            &project,
            pipeline(
                "jobs:\n\
                 \x20 a: {image: {}}\n\
                 \x20 b: {needs: [a], image: {}}\n\
                 \x20 c: {needs: [b], script: [x]}\n\
                 \x20 d: {needs: [b], when: on_failure, script: [x]}\n",
            ),
        )
        .await;
    let runner = ScriptedRunner::of(&farm).await;
    for (name, good) in [("a", true), ("b", false), ("d", true)] {
        let claimed = runner.claim_named(name).await;
        if good {
            runner.succeed(claimed).await;
        } else {
            runner.fail(claimed).await;
        }
    }
    assert_eq!(farm.build_now(&build).await.state, BuildState::Failed);
    let admin = farm.admin().await;
    let again = farm
        .farm()
        .retry_build(&admin, &project, &build)
        .await
        .unwrap();
    assert!(!again.state.is_done());
    let expected = ["a: succeeded", "b: pending", "c: waiting", "d: succeeded"];
    assert_eq!(states(&farm, &build).await, expected);
    for name in ["b", "c"] {
        let claimed = runner.claim_named(name).await;
        runner.succeed(claimed).await;
    }
    assert_eq!(farm.build_now(&build).await.state, BuildState::Succeeded);
    assert_eq!(farm.jobs(&build).await.len(), 6);
    let again = farm.farm().retry_build(&admin, &project, &build).await;
    let why = again.unwrap_err().to_string();
    assert!(why.contains("every job of the build succeeded"), "{why}");
}

async fn jobs_that_need_a_failed_job_are_skipped_or_run_on_failure(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let build = farm
        .build_defined(
            &project,
            pipeline(
                "jobs:\n\
                 \x20 may: {allow_failure: true, script: [x]}\n\
                 \x20 must: {script: [x]}\n\
                 \x20 after-may: {needs: [may], script: [x]}\n\
                 \x20 lost: {needs: [must], script: [x]}\n\
                 \x20 lost-too: {needs: [lost], script: [x]}\n\
                 \x20 tell: {needs: [lost-too], when: on_failure, script: [x]}\n\
                 \x20 clean: {needs: [must], when: always, script: [x]}\n\
                 \x20 idle: {needs: [may], when: on_failure, script: [x]}\n",
            ),
        )
        .await;
    let runner = ScriptedRunner::of(&farm).await;
    let mut ran = Vec::new();
    while let Some(claimed) = runner.claim().await {
        ran.push(claimed.job.name.clone());
        match claimed.job.name.as_str() {
            "may" | "must" => runner.fail(claimed).await,
            _ => runner.succeed(claimed).await,
        }
    }
    ran.sort();
    assert_eq!(ran, ["after-may", "clean", "may", "must", "tell"]);
    let expected = [
        "after-may: succeeded",
        "clean: succeeded",
        "idle: skipped",
        "lost-too: skipped",
        "lost: skipped",
        "may: failed",
        "must: failed",
        "tell: succeeded",
    ];
    assert_eq!(states(&farm, &build).await, expected);
    assert_eq!(farm.build_now(&build).await.state, BuildState::Failed);
    let jobs = farm.jobs(&build).await;
    let why = |name: &str| {
        let job = jobs.iter().find(|job| job.name == name);
        job.and_then(|job| job.failure_message.clone())
    };
    let told = |text: &str| Some(text.to_owned());
    assert_eq!(why("lost"), told("it needs job must, which failed"));
    assert_eq!(
        why("lost-too"),
        told("it needs job lost, which was skipped")
    );
    assert_eq!(
        why("idle"),
        told("it runs after a failure, but no job it needs failed")
    );
}

async fn images_of_other_jobs_are_passed_by_digest(backend: Backend) {
    let farm = TestFarm::start_with(backend, |config| {
        config.registry = Some("registry.example:5000".to_owned());
    })
    .await;
    let project = farm.project("acme/api").await;
    farm.build_defined(
        &project,
        pipeline(
            "jobs:\n\
             \x20 base: {image: {args: {A: b}}}\n\
             \x20 app: {image: {args_from: {BASE: base}, cache_from: base, args: {A: b}}}\n\
             \x20 test: {run_in: {job: app}, script: [x]}\n",
        ),
    )
    .await;
    let runner = ScriptedRunner::of(&farm).await;
    let digest = |id: i64| format!("sha256:{id:064x}");
    let base = runner.claim_named("base").await;
    let base_id = base.job.id.0;
    runner.succeed(base).await;
    let app = runner.claim_named("app").await;
    let app_id = app.job.id.0;
    let JobSpec::ImageBuild(spec) = &app.job.spec else {
        panic!("an image");
    };
    let expected = format!("registry.example:5000/acme/api/base@{}", digest(base_id));
    assert_eq!(spec.args["BASE"], expected);
    assert_eq!(spec.args["A"], "b");
    assert_eq!(spec.cache_image.as_deref(), Some(expected.as_str()));
    runner.succeed(app).await;
    let test = runner.claim_named("test").await;
    let JobSpec::Script(spec) = &test.job.spec else {
        panic!("a script");
    };
    let expected = format!("registry.example:5000/acme/api/app@{}", digest(app_id));
    assert_eq!(spec.image, Some(expected));
    runner.succeed(test).await;
}
