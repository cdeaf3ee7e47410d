//! How builds of several jobs go.

#![expect(
    clippy::disallowed_methods,
    reason = "tests await or drop their tasks themselves"
)]

use std::collections::BTreeSet;

use slipway_domain::{BuildState, JobSpec, Slug};
use slipway_farm::BuildRequest;
use slipway_testkit::farm::SHA;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::hands::{Hands, pipeline, states};

on_both_back_ends!(
    builds_made_at_once_are_numbered_without_gaps,
    a_cancel_reaches_every_job,
    a_retry_reruns_what_did_not_succeed,
    what_needs_a_failed_job_is_skipped_or_runs_for_that,
    the_images_of_other_jobs_arrive_by_their_digests,
);

async fn builds_made_at_once_are_numbered_without_gaps(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let admin = farm.admin().await;
    let request = || BuildRequest {
        pipeline: Slug::default_pipeline(),
        sha: Some(SHA.parse().unwrap()),
        git_ref: None,
    };
    // A build that cannot be takes no number.
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
        assert!(numbers.insert(made.await.unwrap()), "a number came twice");
    }
    assert_eq!(numbers, (1..=20).collect());
}

async fn a_cancel_reaches_every_job(backend: Backend) {
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
    let hands = Hands::of(&farm).await;
    let first = hands.claim_named("first").await;
    hands.succeed(first).await;
    hands.claim_named("running").await;
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
    assert!(hands.claim().await.is_none(), "nothing runs after a cancel");
}

async fn a_retry_reruns_what_did_not_succeed(backend: Backend) {
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
    let hands = Hands::of(&farm).await;
    for (name, good) in [("a", true), ("b", false), ("d", true)] {
        let claimed = hands.claim_named(name).await;
        match good {
            true => hands.succeed(claimed).await,
            false => hands.fail(claimed).await,
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
        let claimed = hands.claim_named(name).await;
        hands.succeed(claimed).await;
    }
    assert_eq!(farm.build_now(&build).await.state, BuildState::Succeeded);
    assert_eq!(farm.jobs(&build).await.len(), 6);
    let again = farm.farm().retry_build(&admin, &project, &build).await;
    let why = again.unwrap_err().to_string();
    assert!(why.contains("every job of the build succeeded"), "{why}");
}

async fn what_needs_a_failed_job_is_skipped_or_runs_for_that(backend: Backend) {
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
    let hands = Hands::of(&farm).await;
    let mut ran = Vec::new();
    while let Some(claimed) = hands.claim().await {
        ran.push(claimed.job.name.clone());
        match claimed.job.name.as_str() {
            "may" | "must" => hands.fail(claimed).await,
            _ => hands.succeed(claimed).await,
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

async fn the_images_of_other_jobs_arrive_by_their_digests(backend: Backend) {
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
    let hands = Hands::of(&farm).await;
    let digest = |id: i64| format!("sha256:{id:064x}");
    let base = hands.claim_named("base").await;
    let base_id = base.job.id.0;
    hands.succeed(base).await;
    let app = hands.claim_named("app").await;
    let app_id = app.job.id.0;
    let JobSpec::ImageBuild(spec) = &app.job.spec else {
        panic!("an image");
    };
    let expected = format!("registry.example:5000/acme/api/base@{}", digest(base_id));
    assert_eq!(spec.args["BASE"], expected);
    assert_eq!(spec.args["A"], "b");
    assert_eq!(spec.cache_image.as_deref(), Some(expected.as_str()));
    hands.succeed(app).await;
    let test = hands.claim_named("test").await;
    let JobSpec::Script(spec) = &test.job.spec else {
        panic!("a script");
    };
    let expected = format!("registry.example:5000/acme/api/app@{}", digest(app_id));
    assert_eq!(spec.image, Some(expected));
    hands.succeed(test).await;
}
