//! Pulling the base image before the build, if the spec wants a fresh one.

use slipway_domain::{ImageBuild, Phase};
use slipway_image_builder::{Backend, BuildError};
use slipway_test_engine::SHELL;

use crate::docker::{
    BOTH_BACKENDS, RecordedProgress, builder, checkout, registry, request, run, unique,
};

fn fresh() -> ImageBuild {
    ImageBuild {
        pull: true,
        ..ImageBuild::default()
    }
}

#[tokio::test]
async fn a_base_image_is_pulled_before_the_build_and_deleted_after_it() {
    for backend in BOTH_BACKENDS {
        let base = format!("{}/test/{}", registry(), unique());
        let dir = checkout(SHELL);
        let made = ImageBuild {
            repository: Some(base.parse().unwrap()),
            tags: vec!["1".to_owned()],
            ..ImageBuild::default()
        };
        let progress = RecordedProgress::default();
        let of_base = request(dir.path(), made);
        // Built with another owner, so that cleanup below does not find it by its label.
        run(&builder(backend).await, &of_base, &progress)
            .await
            .unwrap();
        assert_eq!(*progress.base_images.lock().unwrap(), ["scratch"]);
        assert!(!progress.text().contains("Pulling"), "{}", progress.text());

        let dockerfile = format!("ARG TAG=1\nFROM {base}:$TAG\nRUN echo {}\n", unique());
        let dir = checkout(&dockerfile);
        let progress = RecordedProgress::default();
        let on_top = request(dir.path(), fresh());
        let builder = builder(backend).await;
        run(&builder, &on_top, &progress).await.unwrap();
        let text = progress.text();
        let first = text
            .lines()
            .find(|line| !line.starts_with("This engine has no"));
        assert_eq!(first, Some(&*format!("Pulling {base}:1")), "{text}");
        assert_eq!(*progress.base_images.lock().unwrap(), [format!("{base}:1")]);
        let is_heading = |line: &str| line.starts_with("Step ") && line.contains(" : RUN echo ");
        assert!(text.lines().any(is_heading), "{text}");
        assert_eq!(builder.remove_leftovers().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_missing_base_image_fails_before_the_engine_builds() {
    let builder = builder(Backend::BuildKit).await;
    let base = format!("{}/test/{}:9", registry(), unique());
    let dir = checkout(&format!("FROM {base}\n"));
    let progress = RecordedProgress::default();
    let nothing = request(dir.path(), fresh());
    let error = run(&builder, &nothing, &progress).await.unwrap_err();
    assert!(
        matches!(&error, BuildError::BaseImageUnavailable { image, .. } if *image == base),
        "{error:?}"
    );
    // No build was started.
    assert_eq!(progress.text(), format!("Pulling {base}\n"));
    assert_eq!(progress.phases(), [Phase::Pulling]);
}
