//! What a step may use, and what is pruned while it runs.

use std::time::Duration;

use slipway_domain::ImageBuild;
use slipway_image_builder::{Backend, BuildError, Limits};
use slipway_test_engine::SHELL;
use tokio_util::sync::CancellationToken;

use crate::docker::{Told, builder, checkout, request, run, unique};

#[tokio::test]
async fn the_classic_builder_bounds_its_steps_and_buildkit_says_that_it_does_not() {
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
    assert!(classic.bounds_builds());
    let made = request(dir.path(), ImageBuild::default());
    let error = run(&classic, &made, &Told::default()).await.unwrap_err();
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
    assert!(!buildkit.bounds_builds());
    let made = request(dir.path(), ImageBuild::default());
    run(&buildkit, &made, &Told::default()).await.unwrap();
}

#[tokio::test]
async fn pruning_everything_costs_a_running_build_nothing() {
    let word = unique();
    // Builds meet in a cache that both mount.
    let met = format!("--mount=type=cache,id={word},target=/met");
    let dir = checkout(&format!(
        "{SHELL}RUN echo {word} >/word\n\
         RUN {met} echo napping; until [ -e /met/go ]; do sleep 0.1; done; cat /word\n\
         RUN cat /word\n"
    ));
    let builder = builder(Backend::BuildKit).await;
    let (told, over) = (Told::default(), CancellationToken::new());
    let napping = request(dir.path(), ImageBuild::default());
    let prune = async {
        tokio::select! {
            () = told.wait_for("napping\n") => {}
            () = over.cancelled() => return,
        }
        builder.prune_unused_for(Duration::ZERO).await.unwrap();
        builder.prune(0).await.unwrap();
        let dir = checkout(&format!("{SHELL}RUN {met} echo go >/met/go\n"));
        let waking = request(dir.path(), ImageBuild::default());
        run(&builder, &waking, &Told::default()).await.unwrap();
    };
    let build = async {
        let _over = over.clone().drop_guard();
        run(&builder, &napping, &told).await
    };
    let (built, ()) = tokio::join!(build, prune);
    assert!(built.is_ok(), "{built:?} {}", told.text());
    let said = told.text().matches(&format!("{word}\n")).count();
    assert_eq!(said, 2, "{}", told.text());
}

#[tokio::test]
async fn what_was_used_of_late_is_not_too_old() {
    let dir = checkout(&format!("{SHELL}RUN echo {}\n", unique()));
    let builder = builder(Backend::BuildKit).await;
    let build = async || {
        let told = Told::default();
        let request = request(dir.path(), ImageBuild::default());
        run(&builder, &request, &told).await.unwrap();
        told.text()
    };
    build().await;
    let day = Duration::from_secs(24 * 3600);
    builder.prune_unused_for(day).await.unwrap();
    assert!(build().await.contains("CACHED"));
}
