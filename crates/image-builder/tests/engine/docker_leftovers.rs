//! What is deleted from the engine, and what is kept.

use slipway_domain::ImageBuild;
use slipway_image_builder::{Backend, Builder};
use slipway_test_engine::{SHELL, docker, remove_image};

use crate::docker::{
    RecordedProgress, builder, checkout, outbound, registry, request, run, unique,
};

#[tokio::test]
async fn pruning_keeps_the_cache_that_fits() {
    let dir = checkout(&format!("{SHELL}RUN echo {}\n", unique()));
    let builder = builder(Backend::BuildKit).await;
    let build = async || {
        let progress = RecordedProgress::default();
        let request = request(dir.path(), ImageBuild::default());
        run(&builder, &request, &progress).await.unwrap();
        progress.text()
    };
    build().await;
    builder.prune(1 << 40).await.unwrap();
    assert!(build().await.contains("CACHED"));
}

#[tokio::test]
async fn leftovers_of_a_dead_manager_are_deleted_only_by_the_same_owner() {
    let dir = checkout(SHELL);
    let (job, owner) = (unique(), unique());
    let labels = [
        format!("--label=io.slipway.job={job}"),
        format!("--label=io.slipway.runner={owner}"),
    ];
    let left = format!("slipway-job:left-{job}");
    let [of_job, of_runner] = labels.each_ref().map(String::as_str);
    let context = dir.path().to_str().unwrap();
    let build = ["build", "--no-cache", "-q", "-t", &left];
    docker(&[&build[..], &[of_job, of_runner, context]].concat());
    let script = format!("slipway-{owner}-job-{job}");
    docker(&["create", "--name", &script, of_job, of_runner, &left, "sh"]);
    let other = builder(Backend::BuildKit).await;
    assert_eq!(other.remove_leftovers().await.unwrap(), 0);
    let restarted = Builder::connect(&owner, outbound()).await.unwrap();
    assert_eq!(restarted.remove_leftovers().await.unwrap(), 2);
    assert_eq!(restarted.remove_leftovers().await.unwrap(), 0);
}

#[tokio::test]
async fn pushed_images_in_use_and_their_containers_are_not_leftovers() {
    let dir = checkout(&format!("{SHELL}RUN echo {} > /x\n", unique()));
    let builder = builder(Backend::BuildKit).await;
    let repository = format!("{}/test/{}", registry(), unique());
    let spec = ImageBuild {
        repository: Some(repository.parse().unwrap()),
        tags: vec!["v1".to_owned()],
        ..ImageBuild::default()
    };
    let request = request(dir.path(), spec);
    run(&builder, &request, &RecordedProgress::default())
        .await
        .unwrap();
    let image = format!("{repository}:v1");
    docker(&["pull", "-q", &image]);
    let container = format!("api-{}", request.job);
    let script = ["sh", "-c", "sleep 600"];
    let run = ["run", "-d", "--name", &container, &image];
    docker(&[&run[..], &script[..]].concat());
    assert_eq!(builder.remove_leftovers().await.unwrap(), 0);
    let state = docker(&["inspect", "-f", "{{.State.Running}}", &container]);
    assert_eq!(state, "true");
    docker(&["rm", "-f", &container]);
    assert_eq!(builder.remove_leftovers().await.unwrap(), 0);
    remove_image(&image);
}
