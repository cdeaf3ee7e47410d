//! Reusing layers of earlier images.

use slipway_domain::ImageBuild;
use slipway_image_builder::{Backend, Builder, ImageStore, Login};
use slipway_test_engine::{SHELL, docker, is_podman};

use crate::docker::{
    RecordedProgress, backends, builder, checkout, registry, request, run, unique,
};

/// A build that reuses layers of `main` of its repository, and is pushed as `main`.
fn spec(repository: &str) -> ImageBuild {
    ImageBuild {
        repository: Some(repository.parse().unwrap()),
        tags: vec!["main".to_owned()],
        cache_tag: Some("main".to_owned()),
        ..ImageBuild::default()
    }
}

/// Whether the builder reuses layers of an image that was pulled. The classic builder of Docker
/// does not with the image store of containerd, and Podman only looks at its own layers.
fn reuses_layers(builder: &Builder) -> bool {
    builder.backend() == Backend::BuildKit
        || (builder.image_store() == ImageStore::GraphDriver && !is_podman())
}

#[tokio::test]
async fn a_branch_reuses_layers_of_its_previous_build() {
    for backend in backends() {
        let word = unique();
        let dir = checkout(&format!("{SHELL}RUN echo built {word}\n"));
        let repository = format!("{}/test/{}", registry(), unique());
        let name = format!("{repository}:main");
        let builder = builder(backend).await;
        if !reuses_layers(&builder) {
            continue;
        }
        let build = async |spec: ImageBuild| {
            let progress = RecordedProgress::default();
            let request = request(dir.path(), spec);
            run(&builder, &request, &progress).await.unwrap();
            assert_eq!(builder.remove_leftovers().await.unwrap(), 0);
            progress.text()
        };
        let first = build(spec(&repository)).await;
        let without = format!("No layers reused from {name}: ");
        assert!(first.contains(&without), "{first}");
        assert!(first.contains(&format!("built {word}\n")), "{first}");

        let second = build(spec(&repository)).await;
        assert!(!second.contains("No layers reused"), "{second}");
        // The classic builder caches only in images, and those of the first build are deleted.
        let sign = match backend {
            Backend::BuildKit => "importing cache manifest from",
            Backend::Classic => "Using cache",
        };
        assert!(second.contains(sign), "{second}");

        let anew = ImageBuild {
            no_cache: true,
            ..spec(&repository)
        };
        let third = build(anew).await;
        assert!(!third.contains("to reuse its layers"), "{third}");
        assert!(!third.contains("importing cache"), "{third}");
        assert!(third.contains(&format!("built {word}\n")), "{third}");
    }
}

#[tokio::test]
async fn layers_of_another_jobs_image_are_reused_and_a_missing_image_is_no_error() {
    for backend in backends() {
        let dir = checkout(&format!("{SHELL}RUN echo built {}\n", unique()));
        let builder = builder(backend).await;
        if !reuses_layers(&builder) {
            continue;
        }
        let build = async |spec: ImageBuild| {
            let progress = RecordedProgress::default();
            let request = request(dir.path(), spec);
            let built = run(&builder, &request, &progress).await.unwrap();
            assert_eq!(builder.remove_leftovers().await.unwrap(), 0);
            (built.digest, progress.text())
        };
        let made = format!("{}/test/{}", registry(), unique());
        let mut first = ImageBuild {
            cache_tag: None,
            ..spec(&made)
        };
        let inline = ("BUILDKIT_INLINE_CACHE".to_owned(), "1".to_owned());
        first.args.extend([inline]);
        let (digest, _) = build(first).await;

        let other = format!("{}/test/{}", registry(), unique());
        let from = |digest: &str| ImageBuild {
            cache_image: Some(format!("{made}@{digest}")),
            ..spec(&other)
        };
        let (_, text) = build(from(&digest)).await;
        let fetched = match backend {
            Backend::BuildKit => format!("importing cache manifest from {made}@{digest}"),
            Backend::Classic => format!("Pulling {made}@{digest} to reuse its layers"),
        };
        assert!(text.contains(&fetched), "{text}");
        // The branch of the other repository has no image yet.
        assert!(
            text.contains(&format!("No layers reused from {other}:main: ")),
            "{text}"
        );
        assert!(
            !text.contains(&format!("No layers reused from {made}")),
            "{text}"
        );
        let sign = match backend {
            Backend::BuildKit => "importing cache manifest from",
            Backend::Classic => "Using cache",
        };
        assert!(text.contains(sign), "{text}");

        let gone = format!("sha256:{}", "0a".repeat(32));
        let (_, text) = build(from(&gone)).await;
        let without = format!("No layers reused from {made}@{gone}: ");
        assert!(text.contains(&without), "{text}");
    }
}

#[tokio::test]
async fn layers_are_pushed_to_the_cache_reference_of_the_spec_and_reused_from_there() {
    let dir = checkout(&format!("{SHELL}RUN echo built {}\n", unique()));
    let builder = builder(Backend::BuildKit).await;
    let build = async |spec: ImageBuild| {
        let progress = RecordedProgress::default();
        let request = request(dir.path(), spec);
        run(&builder, &request, &progress).await.unwrap();
        assert_eq!(builder.remove_leftovers().await.unwrap(), 0);
        progress.text()
    };
    let place = format!("{}/test/{}:cache", registry(), unique());
    let first = build(ImageBuild {
        cache_to: Some(place.clone()),
        ..ImageBuild::default()
    })
    .await;
    assert!(first.contains(&format!("Pushing {place}\n")), "{first}");
    let missing = format!("{}/test/{}:cache", registry(), unique());
    let second = build(ImageBuild {
        cache_images: vec![missing.clone(), place.clone()],
        ..ImageBuild::default()
    })
    .await;
    let without = format!("No layers reused from {missing}: ");
    assert!(second.contains(&without), "{second}");
    assert!(second.contains("importing cache manifest from"), "{second}");
}

#[tokio::test]
async fn a_branch_without_an_image_reuses_layers_of_the_fallback_branch() {
    let dir = checkout(&format!("{SHELL}RUN echo built {}\n", unique()));
    let builder = builder(Backend::BuildKit).await;
    let repository = format!("{}/test/{}", registry(), unique());
    let main = request(dir.path(), spec(&repository));
    run(&builder, &main, &RecordedProgress::default())
        .await
        .unwrap();
    let branch = ImageBuild {
        tags: vec!["topic".to_owned()],
        cache_tag: Some("topic".to_owned()),
        fallback_cache_tag: Some("main".to_owned()),
        ..spec(&repository)
    };
    for is_first in [true, false] {
        let progress = RecordedProgress::default();
        let request = request(dir.path(), branch.clone());
        run(&builder, &request, &progress).await.unwrap();
        let text = progress.text();
        for tag in ["topic", "main"] {
            let looked = format!("importing cache manifest from {repository}:{tag}");
            assert!(text.contains(&looked), "{text}");
        }
        let is_missing = text.contains(&format!("No layers reused from {repository}:topic: "));
        assert_eq!(is_missing, is_first, "{text}");
    }
}

/// Deletes the step whose command contains `word` from the engine's cache, as on a host that never
/// ran it.
fn delete_cached_step(word: &str) {
    let listed = docker(&[
        "system",
        "df",
        "--verbose",
        "--format",
        "{{json .BuildCache}}",
    ]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let of_step = listed.as_array().unwrap().iter().filter(|record| {
        let description = record["Description"].as_str();
        description.is_some_and(|text| text.contains(word))
    });
    for record in of_step {
        let id = format!("id={}", record["ID"].as_str().unwrap());
        docker(&["builder", "prune", "--force", "--all", "--filter", &id]);
    }
}

#[tokio::test]
async fn a_host_that_never_built_an_image_reuses_its_layers_from_the_registry() {
    let word = unique();
    let dir = checkout(&format!("{SHELL}RUN echo built {word}\n"));
    let repository = format!("{}/test/{}", registry(), unique());
    let build = async |spec: ImageBuild| {
        let (progress, builder) = (
            RecordedProgress::default(),
            builder(Backend::BuildKit).await,
        );
        let request = request(dir.path(), spec);
        run(&builder, &request, &progress).await.unwrap();
        progress.step("RUN echo built").cached
    };
    let cached = build(spec(&repository)).await;
    assert!(!cached);
    delete_cached_step(&word);
    let alone = ImageBuild {
        cache_tag: None,
        tags: vec!["alone".to_owned()],
        ..spec(&repository)
    };
    let cached = build(alone).await;
    assert!(!cached, "the step was deleted from the cache");
    delete_cached_step(&word);
    let cached = build(spec(&repository)).await;
    assert!(cached);
}

#[tokio::test]
async fn a_login_for_base_images_is_not_used_for_the_layer_cache() {
    let var = |name: &str| std::env::var(name).unwrap();
    let registry = var("SLIPWAY_TEST_AUTH_REGISTRY");
    let login = |password: String| Login {
        registry: registry.clone(),
        username: var("SLIPWAY_TEST_AUTH_REGISTRY_USER"),
        password,
    };
    let dir = checkout(&format!("{SHELL}RUN echo built {}\n", unique()));
    let builder = builder(Backend::BuildKit).await;
    let repository = format!("{registry}/test/{}", unique());
    for is_first in [true, false] {
        let progress = RecordedProgress::default();
        let mut request = request(dir.path(), spec(&repository));
        request.logins = vec![login(var("SLIPWAY_TEST_AUTH_REGISTRY_PASSWORD"))];
        request.pull_login = Some(login("wrong password".to_owned()));
        run(&builder, &request, &progress).await.unwrap();
        let is_missing = progress.text().contains("No layers reused");
        // BuildKit with the image store of containerd cannot reuse what was pulled with a login.
        let is_reusable = builder.image_store() == ImageStore::GraphDriver;
        assert_eq!(is_missing, is_first || !is_reusable, "{}", progress.text());
    }
}
