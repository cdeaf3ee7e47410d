//! Pulling the base image before the build, if the spec wants a fresh one.

use slipway_domain::base_image::BaseImage;
use slipway_domain::{ImageBuild, Phase};
use slipway_image_builder::{Backend, BuildError, Builder, ImageStore};
use slipway_test_engine::{SHELL, is_podman, remove_image};

use crate::docker::{
    RecordedProgress, backends, builder, checkout, registry, request, run, unique,
};

fn fresh() -> ImageBuild {
    ImageBuild {
        pull: true,
        ..ImageBuild::default()
    }
}

#[tokio::test]
async fn a_base_image_is_pulled_before_the_build_and_deleted_after_it() {
    for backend in backends() {
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

#[tokio::test]
async fn no_image_of_a_dockerfile_is_pulled_from_an_address_that_is_not_allowed() {
    let builder = builder(backends()[0]).await;
    for (pull, dockerfile) in [
        (true, "FROM 169.254.169.254/a:1\n"),
        (false, "FROM scratch AS first\nFROM 169.254.169.254/a:1\n"),
        (
            false,
            "FROM scratch\nCOPY --from=169.254.169.254/a:1 /a /\n",
        ),
    ] {
        let dir = checkout(dockerfile);
        let spec = ImageBuild {
            pull,
            ..ImageBuild::default()
        };
        let progress = RecordedProgress::default();
        let error = run(&builder, &request(dir.path(), spec), &progress).await;
        let Err(BuildError::BaseImageUnavailable { image, detail }) = error else {
            panic!("{dockerfile}: {error:?}");
        };
        assert_eq!(image, "169.254.169.254/a:1");
        assert!(detail.contains("SLIPWAY_ALLOW_NET"), "{detail}");
        assert!(!progress.text().contains("Pulling"), "{dockerfile}");
    }
}

#[tokio::test]
async fn base_images_have_the_digest_that_the_build_used() {
    let name = format!("{}/test/{}:1", registry(), unique());
    let (repository, _) = name.rsplit_once(':').unwrap();
    let made = ImageBuild {
        repository: Some(repository.parse().unwrap()),
        tags: vec!["1".to_owned()],
        ..ImageBuild::default()
    };
    for backend in backends() {
        let builder = builder(backend).await;
        let dir = checkout(&format!("{SHELL}RUN echo {} >/x\n", unique()));
        let of_base = request(dir.path(), made.clone());
        let pushed = run(&builder, &of_base, &RecordedProgress::default()).await;
        let pushed = pushed.unwrap().digest;
        let dockerfile = format!("FROM {name} AS a\nFROM a\nRUN echo {}\n", unique());
        let dir = checkout(&dockerfile);
        let base: BaseImage = name.parse().unwrap();
        let local = ["*".parse().unwrap()].into_iter().collect();
        let lenient = crate::docker::builder(backend)
            .await
            .with_local_images(local);
        let digest = async |builder: &Builder| {
            let on_top = request(dir.path(), ImageBuild::default());
            let progress = RecordedProgress::default();
            let built = run(builder, &on_top, &progress).await.unwrap();
            builder.base_digest(&base, &built.bases).await
        };
        if backend == Backend::BuildKit {
            // The engine has no image of this name.
            assert_eq!(digest(&builder).await, Some(pushed.clone()), "{backend:?}");
        }
        // Another image has the name in the engine, and was never pushed.
        slipway_test_engine::build(&name, SHELL);
        let used = digest(&lenient).await;
        if backend == Backend::BuildKit {
            // Unless the operator allows it, the engine's image is not used.
            assert_eq!(digest(&builder).await, Some(pushed.clone()), "{backend:?}");
        }
        remove_image(&name);
        if backend == Backend::BuildKit && builder.image_store() == ImageStore::Containerd {
            // BuildKit uses the registry's image nevertheless.
            assert_eq!(used, Some(pushed), "{backend:?}");
        } else if !is_podman() {
            // Podman pulls the registry's image and gives it the name.
            assert_ne!(used, Some(pushed), "{backend:?}");
        }
    }
}
