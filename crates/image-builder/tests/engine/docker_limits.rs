//! Resource limits of steps, and pruning while a step runs.

use std::time::Duration;

use slipway_domain::ImageBuild;
use slipway_image_builder::{Backend, BuildError, Limits};
use slipway_test_engine::SHELL;
use tokio_util::sync::CancellationToken;

use crate::docker::{RecordedProgress, builder, checkout, request, run, unique};

#[tokio::test]
async fn the_classic_builder_limits_its_steps_and_buildkit_does_not() {
    let limits = Limits {
        memory_bytes: Some(64 << 20),
        nano_cpus: Some(500_000_000),
        disk_bytes: None,
    };
    let dir = checkout(&format!(
        "{SHELL}RUN echo {}; dd if=/dev/zero of=/dev/null bs=256M count=1\n",
        unique()
    ));
    let classic = builder(Backend::Classic).await.with_limits(limits);
    assert!(classic.limits_builds());
    let made = request(dir.path(), ImageBuild::default());
    let error = run(&classic, &made, &RecordedProgress::default())
        .await
        .unwrap_err();
    assert!(
        matches!(
            &error,
            BuildError::BuildFailed {
                code: Some(137),
                ..
            }
        ),
        "{error:?}"
    );
    let buildkit = builder(Backend::BuildKit).await.with_limits(limits);
    assert!(!buildkit.limits_builds());
    let made = request(dir.path(), ImageBuild::default());
    run(&buildkit, &made, &RecordedProgress::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn pruning_everything_does_not_disturb_a_running_build() {
    let word = unique();
    // The second build releases the first one through a cache that both mount.
    let shared = format!("--mount=type=cache,id={word},target=/shared");
    let dir = checkout(&format!(
        "{SHELL}RUN echo {word} >/word\n\
         RUN {shared} echo sleeping; until [ -e /shared/go ]; do sleep 0.1; done; cat /word\n\
         RUN cat /word\n"
    ));
    let builder = builder(Backend::BuildKit).await;
    let (progress, ended) = (RecordedProgress::default(), CancellationToken::new());
    let sleeping = request(dir.path(), ImageBuild::default());
    let prune = async {
        tokio::select! {
            () = progress.wait_for("sleeping\n") => {}
            () = ended.cancelled() => return,
        }
        builder.prune_unused_for(Duration::ZERO).await.unwrap();
        builder.prune(0).await.unwrap();
        let dir = checkout(&format!("{SHELL}RUN {shared} echo go >/shared/go\n"));
        let waking = request(dir.path(), ImageBuild::default());
        run(&builder, &waking, &RecordedProgress::default())
            .await
            .unwrap();
    };
    let build = async {
        let _ended = ended.clone().drop_guard();
        run(&builder, &sleeping, &progress).await
    };
    let (built, ()) = tokio::join!(build, prune);
    assert!(built.is_ok(), "{built:?} {}", progress.text());
    let count = progress.text().matches(&format!("{word}\n")).count();
    assert_eq!(count, 2, "{}", progress.text());
}

#[tokio::test]
async fn recently_used_cache_is_not_pruned_by_age() {
    let dir = checkout(&format!("{SHELL}RUN echo {}\n", unique()));
    let builder = builder(Backend::BuildKit).await;
    let build = async || {
        let progress = RecordedProgress::default();
        let request = request(dir.path(), ImageBuild::default());
        run(&builder, &request, &progress).await.unwrap();
        progress.text()
    };
    build().await;
    let day = Duration::from_secs(24 * 3600);
    builder.prune_unused_for(day).await.unwrap();
    assert!(build().await.contains("CACHED"));
}

/// The image store of containerd keeps each layer unpacked and compressed.
#[tokio::test]
async fn the_limit_of_the_cache_counts_every_copy_of_a_layer() {
    let builder = builder(Backend::BuildKit).await;
    // The quotes are in the command, but not in what it prints.
    let dir = checkout(&format!(
        "{SHELL}RUN dd if=/dev/urandom of=/noise bs=1M count=24; echo ma''de {}\n",
        unique()
    ));
    let is_run = async || {
        let progress = RecordedProgress::default();
        let request = request(dir.path(), ImageBuild::default());
        run(&builder, &request, &progress).await.unwrap();
        progress.text().contains("made ")
    };
    builder.prune(0).await.unwrap();
    assert!(is_run().await);
    builder.prune(64 << 20).await.unwrap();
    assert!(!is_run().await, "both copies fit");
    // One copy fits, and two do not.
    builder.prune(40 << 20).await.unwrap();
    let info = builder.engine().info().await.unwrap();
    let has_two_copies = format!("{:?}", info.driver_status).contains("io.containerd.snapshotter");
    assert_eq!(is_run().await, has_two_copies);
}
