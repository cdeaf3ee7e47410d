//! Images for several platforms, and their cache sources.

use serde_json::{Value, json};
use slipway_domain::pipeline::Definition;
use slipway_domain::queue::PendingReason;
use slipway_domain::spec::PlatformImage;
use slipway_domain::{BuildState, ImageBuild, JobSpec, Slug};
use slipway_farm::{BuildRequest, ClaimedJob, FarmError, StartBlocker};
use slipway_testkit::farm::SHA;
use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::scripted_runner::{ScriptedRunner, states};

on_both_back_ends!(
    each_platform_is_built_by_a_runner_for_it_and_the_index_has_all_images,
    failed_platform_leaves_no_index_until_a_retry_succeeds,
    several_platforms_need_a_repository,
    branch_uses_its_own_image_or_that_of_the_default_branch_as_cache,
);

async fn farm_with_registry(backend: Backend) -> TestFarm {
    TestFarm::start_with(backend, |config| {
        config.registry = Some("registry.example:5000".to_owned());
    })
    .await
}

fn definition(jobs: Value) -> Definition {
    serde_json::from_value(json!({ "jobs": jobs })).unwrap()
}

fn two_platforms() -> Value {
    json!({
        "name": "app",
        "spec": {"kind": "image_build", "tags": ["v1"], "platforms": ["linux/amd64", "linux/arm64"]},
    })
}

fn image(claimed: &ClaimedJob) -> &ImageBuild {
    match &claimed.job.spec {
        JobSpec::ImageBuild(image) => image,
        other => panic!("{other:?}"),
    }
}

async fn each_platform_is_built_by_a_runner_for_it_and_the_index_has_all_images(backend: Backend) {
    let farm = farm_with_registry(backend).await;
    let project = farm.project("acme/api").await;
    let jobs = json!([
        two_platforms(),
        {"name": "test", "needs": ["app"],
         "spec": {"kind": "script", "image_of": "app", "commands": ["x"]}},
    ]);
    let build = farm.build_defined(&project, definition(jobs)).await;
    let intel = ScriptedRunner::on(&farm, "amd64").await;
    let on_intel = intel.claim_named("app-linux-amd64").await;
    assert_eq!(image(&on_intel).tags, ["v1-linux-amd64"]);
    assert!(
        intel.claim().await.is_none(),
        "claimed a job for another processor"
    );
    let waiting = farm.jobs(&build).await;
    let why = farm.farm().pending_reason(&project, waiting[1].id);
    let why = why.await.unwrap();
    let missing = vec!["images for linux/arm64".to_owned()];
    assert_eq!(
        why,
        StartBlocker::Pending(PendingReason::NoRunnerHasFeatures(missing))
    );

    let arm = ScriptedRunner::on(&farm, "arm64").await;
    let on_arm = arm.claim_named("app-linux-arm64").await;
    let made = [&on_intel, &on_arm].map(|claimed| PlatformImage {
        platform: image(claimed).platforms[0].clone(),
        digest: format!("sha256:{:064x}", claimed.job.id.0),
        size_bytes: 1,
    });
    arm.succeed(on_arm).await;
    assert!(
        arm.claim().await.is_none(),
        "claimed the index before all images were built"
    );
    intel.succeed(on_intel).await;
    // A stock runner cannot push an index.
    assert!(ScriptedRunner::of(&farm).await.claim().await.is_none());
    let index = arm.claim_named("app").await;
    let JobSpec::ImageIndex(spec) = &index.job.spec else {
        panic!("{:?}", index.job.spec);
    };
    assert_eq!(spec.images, made);
    assert_eq!(spec.tags, ["v1"]);
    let repository = spec.repository.clone().unwrap();
    assert_eq!(repository.as_str(), "registry.example:5000/acme/api");
    let digest = format!("sha256:{:064x}", index.job.id.0);
    arm.succeed(index).await;
    let test = arm.claim_named("test").await;
    let JobSpec::Script(script) = &test.job.spec else {
        panic!("{:?}", test.job.spec);
    };
    assert_eq!(
        script.image,
        Some(format!("{}@{digest}", repository.as_str()))
    );
    arm.succeed(test).await;
    assert_eq!(farm.build_now(&build).await.state, BuildState::Succeeded);
}

async fn failed_platform_leaves_no_index_until_a_retry_succeeds(backend: Backend) {
    let farm = farm_with_registry(backend).await;
    let project = farm.project("acme/api").await;
    let build = farm
        .build_defined(&project, definition(json!([two_platforms()])))
        .await;
    let (intel, arm) = (
        ScriptedRunner::on(&farm, "amd64").await,
        ScriptedRunner::on(&farm, "arm64").await,
    );
    intel
        .succeed(intel.claim_named("app-linux-amd64").await)
        .await;
    arm.fail(arm.claim_named("app-linux-arm64").await).await;
    let left = [
        "app-linux-amd64: succeeded",
        "app-linux-arm64: failed",
        "app: skipped",
    ];
    assert_eq!(states(&farm, &build).await, left);
    assert_eq!(farm.build_now(&build).await.state, BuildState::Failed);
    let build = farm.build_now(&build).await;
    let admin = farm.admin().await;
    farm.farm()
        .retry_build(&admin, &project, &build)
        .await
        .unwrap();
    arm.succeed(arm.claim_named("app-linux-arm64").await).await;
    let index = intel.claim_named("app").await;
    let JobSpec::ImageIndex(spec) = &index.job.spec else {
        panic!("{:?}", index.job.spec);
    };
    assert_eq!(spec.images.len(), 2, "{spec:?}");
    intel.succeed(index).await;
    assert_eq!(farm.build_now(&build).await.state, BuildState::Succeeded);
}

async fn several_platforms_need_a_repository(backend: Backend) {
    let farm = TestFarm::start(backend).await;
    let project = farm.project("acme/api").await;
    let slug = Slug::default_pipeline();
    let jobs = definition(json!([two_platforms()]));
    farm.farm()
        .put_pipeline(&project, &slug, jobs)
        .await
        .unwrap();
    let request = BuildRequest {
        pipeline: slug,
        sha: Some(SHA.parse().unwrap()),
        git_ref: None,
    };
    let admin = farm.admin().await;
    let refused = farm.farm().create_build(&admin, &project, request).await;
    let Err(FarmError::Invalid(why)) = refused else {
        panic!("{refused:?}");
    };
    let expected = "job \"app\" builds for several platforms, which requires an image repository";
    assert!(why.starts_with(expected), "{why}");
}

async fn branch_uses_its_own_image_or_that_of_the_default_branch_as_cache(backend: Backend) {
    let farm = farm_with_registry(backend).await;
    let project = farm.project("acme/api").await;
    let jobs = json!([
        {"name": "app", "spec": {"kind": "image_build", "platforms": ["linux/amd64", "linux/arm64"]}},
        {"name": "own", "spec": {"kind": "image_build", "cache_tag": "mine"}},
        {"name": "other", "spec": {"kind": "image_build", "tags": ["v1"]}},
        {"name": "anew", "spec": {"kind": "image_build", "no_cache": true}},
    ]);
    let slug = Slug::default_pipeline();
    farm.farm()
        .put_pipeline(&project, &slug, definition(jobs))
        .await
        .unwrap();
    let admin = farm.admin().await;
    let arm = "-linux-arm64";
    for (branch, tag, fallback) in [
        (Some("main"), Some("main"), None),
        (Some("side"), Some("side"), Some("main")),
        (None, None, None),
    ] {
        let request = BuildRequest {
            pipeline: slug.clone(),
            sha: Some(SHA.parse().unwrap()),
            git_ref: branch.map(|name: &str| name.parse().unwrap()),
        };
        let build = farm
            .farm()
            .create_build(&admin, &project, request)
            .await
            .unwrap();
        let jobs = farm.jobs(&build).await;
        let caches = |name: &str| {
            let job = jobs.iter().find(|job| job.name == name).unwrap();
            let JobSpec::ImageBuild(image) = &job.spec else {
                panic!("{job:?}");
            };
            (
                image.cache_tag.clone(),
                image.fallback_cache_tag.clone(),
                image.tags.clone(),
            )
        };
        let (cache, other, tags) = caches("app-linux-arm64");
        assert_eq!(cache, tag.map(|tag| format!("{tag}{arm}")));
        assert_eq!(other, fallback.map(|tag| format!("{tag}{arm}")));
        let pushed = [Some(SHA), tag].into_iter().flatten();
        let pushed: Vec<String> = pushed.map(|tag| format!("{tag}{arm}")).collect();
        assert_eq!(
            tags, pushed,
            "the tag that the next build uses as cache is not pushed"
        );
        assert_eq!(caches("own").0.as_deref(), Some("mine"));
        for name in ["other", "anew"] {
            assert_eq!(caches(name).0, None, "{name}");
        }
    }
}
