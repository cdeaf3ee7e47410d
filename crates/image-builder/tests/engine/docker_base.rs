//! The image that a build begins with, when a fresh one is wanted.

use slipway_domain::{ImageBuild, Phase};
use slipway_image_builder::{Backend, BuildError};
use slipway_test_engine::SHELL;

use crate::docker::{BOTH, Told, builder, checkout, registry, request, run, unique};

fn fresh() -> ImageBuild {
    ImageBuild {
        pull: true,
        ..ImageBuild::default()
    }
}

#[tokio::test]
async fn a_base_image_is_pulled_ahead_and_does_not_stay() {
    for backend in BOTH {
        let base = format!("{}/test/{}", registry(), unique());
        let dir = checkout(SHELL);
        let made = ImageBuild {
            repository: Some(base.parse().unwrap()),
            tags: vec!["1".to_owned()],
            ..ImageBuild::default()
        };
        let told = Told::default();
        let of_base = request(dir.path(), made);
        // Somebody else's: the labels of the image say whose it is.
        run(&builder(backend).await, &of_base, &told).await.unwrap();
        assert_eq!(*told.bases.lock().unwrap(), ["scratch"]);
        assert!(!told.text().contains("Pulling"), "{}", told.text());

        let dockerfile = format!("ARG TAG=1\nFROM {base}:$TAG\nRUN echo {}\n", unique());
        let dir = checkout(&dockerfile);
        let told = Told::default();
        let on_top = request(dir.path(), fresh());
        let builder = builder(backend).await;
        run(&builder, &on_top, &told).await.unwrap();
        let text = told.text();
        let first = text
            .lines()
            .find(|line| !line.starts_with("This engine has no"));
        assert_eq!(first, Some(&*format!("Pulling {base}:1")), "{text}");
        assert_eq!(*told.bases.lock().unwrap(), [format!("{base}:1")]);
        let is_heading = |line: &str| line.starts_with("Step ") && line.contains(" : RUN echo ");
        assert!(text.lines().any(is_heading), "{text}");
        assert_eq!(builder.remove_leftovers().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_base_image_that_is_not_there_is_tried_for_and_then_named() {
    let builder = builder(Backend::BuildKit).await;
    let base = format!("{}/test/{}:9", registry(), unique());
    let dir = checkout(&format!("FROM {base}\n"));
    let told = Told::default();
    let nothing = request(dir.path(), fresh());
    let error = run(&builder, &nothing, &told).await.unwrap_err();
    assert!(
        matches!(&error, BuildError::BaseImageUnavailable { image, .. } if *image == base),
        "{error:?}"
    );
    // The engine was not asked to build.
    assert_eq!(told.text(), format!("Pulling {base}\n"));
    assert_eq!(told.phases(), [Phase::Pulling]);
}
