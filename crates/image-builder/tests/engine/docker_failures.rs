//! Whose fault a failed build is: a command's, the Dockerfile's, or the engine's.

use slipway_domain::{FailureReason, ImageBuild};
use slipway_image_builder::{Backend, BuildError, Builder};
use slipway_test_engine::SHELL;

use crate::docker::{RecordedProgress, checkout, outbound, request, run, unique};

/// A builder for the engine's own backend.
async fn connected() -> Builder {
    Builder::connect(&unique(), outbound()).await.unwrap()
}

/// The error of a build of this Dockerfile, and the trace.
async fn failure(builder: &Builder, dockerfile: &str) -> (BuildError, String) {
    let dir = checkout(dockerfile);
    let progress = RecordedProgress::default();
    let request = request(dir.path(), ImageBuild::default());
    let error = run(builder, &request, &progress).await.unwrap_err();
    (error, progress.text())
}

#[tokio::test]
async fn a_failed_command_is_named_with_its_exit_code_on_every_engine() {
    let builder = connected().await;
    let dockerfile = format!("{SHELL}RUN echo 'no space left on device'; exit 7\n");
    let (error, trace) = failure(&builder, &dockerfile).await;
    let BuildError::BuildFailed { step, code, .. } = &error else {
        panic!("{error}\n{trace}");
    };
    assert_eq!(*code, Some(7), "{error}");
    assert!(step.contains("RUN echo"), "{step}");
    let heading = trace.lines().find(|line| line.contains("RUN echo"));
    assert!(heading.unwrap().starts_with("Step "), "{trace}");
}

#[tokio::test]
async fn a_program_that_the_image_lacks_is_not_the_fault_of_the_host() {
    let builder = connected().await;
    for step in [
        "RUN [\"/nope\"]",
        "RUN [\"/Dockerfile\"]",
        "SHELL [\"/bin/nope\", \"-c\"]\nRUN true",
        "USER nobody-here\nRUN true",
    ] {
        let dockerfile = format!("{SHELL}COPY Dockerfile /\n{step}\n");
        let (error, trace) = failure(&builder, &dockerfile).await;
        assert_eq!(
            error.reason(),
            FailureReason::BuildFailed,
            "{error}\n{trace}"
        );
    }
}

#[tokio::test]
async fn a_dockerfile_that_the_engine_refuses_is_invalid() {
    let builder = connected().await;
    for dockerfile in [
        format!("{SHELL}BOGUS x\n"),
        format!("{SHELL}RUN --mount=type=cache,foo=bar,target=/x true\n"),
        format!("{SHELL}RUN --mount=type=foo,target=/x true\n"),
    ] {
        let (error, trace) = failure(&builder, &dockerfile).await;
        assert_eq!(
            error.reason(),
            FailureReason::DockerfileInvalid,
            "{error}\n{trace}"
        );
        assert!(!error.to_string().contains("(unknown)"), "{error}");
    }
}

#[tokio::test]
async fn a_missing_frontend_is_not_called_a_base_image() {
    let builder = connected().await;
    // Only BuildKit uses frontends.
    if builder.backend() == Backend::Classic {
        return;
    }
    let dockerfile = format!("# syntax=docker/dockerfile:{}\n{SHELL}", unique());
    let (error, _) = failure(&builder, &dockerfile).await;
    assert!(
        matches!(&error, BuildError::FrontendUnavailable { image, .. } if image.contains("docker/dockerfile")),
        "{error}"
    );
}

#[tokio::test]
async fn a_self_test_succeeds_and_leaves_nothing() {
    let builder = connected().await;
    let scratch = tempfile::tempdir().unwrap();
    builder.check().await.unwrap();
    builder.self_test(scratch.path()).await.unwrap();
    assert_eq!(builder.remove_leftovers().await.unwrap(), 0);
}

#[tokio::test]
async fn the_classic_builder_reuses_the_layers_of_the_last_success_until_they_are_pruned() {
    // Podman has no other builder. The one of other engines keeps its cache in images too, except
    // with the containerd store, where nobody uses it.
    let builder = connected().await.with_backend(Backend::Classic);
    let info = builder.engine().info().await.unwrap();
    if format!("{:?}", info.driver_status).contains("io.containerd.snapshotter") {
        return;
    }
    let word = unique();
    let dockerfile = format!("{SHELL}RUN echo {word} > /x\nRUN echo {word} > /y\n");
    let dir = checkout(&dockerfile);
    let build = async || {
        let progress = RecordedProgress::default();
        let request = request(dir.path(), ImageBuild::default());
        run(&builder, &request, &progress).await.unwrap();
        progress.step(&format!("echo {word} > /x")).cached
    };
    assert!(!build().await);
    assert!(build().await);
    builder.remove_leftovers().await.unwrap();
    assert!(build().await);
    builder.prune(1 << 40).await.unwrap();
    assert!(build().await);
    builder.prune(0).await.unwrap();
    assert!(!build().await);
    builder.prune(0).await.unwrap();
}

#[tokio::test]
async fn the_directories_of_the_engine_are_found() {
    let builder = connected().await;
    let dirs = builder.storage_dirs().await;
    assert!(!dirs.is_empty());
    for dir in dirs {
        // As root they are seen through the engine's own mount namespace.
        assert!(dir.is_dir(), "{}", dir.display());
    }
}
