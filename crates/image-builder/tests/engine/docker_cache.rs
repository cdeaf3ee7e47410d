//! Layers that are taken from an earlier image.

use slipway_domain::ImageBuild;
use slipway_image_builder::{Backend, Login};
use slipway_test_engine::{SHELL, docker};

use crate::docker::{BOTH, Told, builder, checkout, registry, request, run, unique};

/// A build that takes layers from `main` of its repository, and becomes `main`.
fn spec(repository: &str) -> ImageBuild {
    ImageBuild {
        repository: Some(repository.parse().unwrap()),
        tags: vec!["main".to_owned()],
        cache_tag: Some("main".to_owned()),
        ..ImageBuild::default()
    }
}

#[tokio::test]
async fn a_branch_has_layers_for_its_next_build_and_its_first_does_without() {
    for backend in BOTH {
        let word = unique();
        let dir = checkout(&format!("{SHELL}RUN echo said {word}\n"));
        let repository = format!("{}/test/{}", registry(), unique());
        let name = format!("{repository}:main");
        let builder = builder(backend).await;
        let build = async |spec: ImageBuild| {
            let told = Told::default();
            let request = request(dir.path(), spec);
            run(&builder, &request, &told).await.unwrap();
            assert_eq!(builder.remove_leftovers().await.unwrap(), 0);
            told.text()
        };
        let first = build(spec(&repository)).await;
        let without = format!("Nothing is taken from {name}: ");
        assert!(first.contains(&without), "{first}");
        assert!(first.contains(&format!("said {word}\n")), "{first}");

        let second = build(spec(&repository)).await;
        assert!(!second.contains("Nothing is taken"), "{second}");
        // The first builder keeps no cache but images, and of the first build none is here.
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
        assert!(!third.contains("to take layers from"), "{third}");
        assert!(!third.contains("importing cache"), "{third}");
        assert!(third.contains(&format!("said {word}\n")), "{third}");
    }
}

#[tokio::test]
async fn the_image_of_another_job_is_a_source_of_layers_and_a_missing_one_costs_nothing_else() {
    for backend in BOTH {
        let dir = checkout(&format!("{SHELL}RUN echo said {}\n", unique()));
        let builder = builder(backend).await;
        let build = async |spec: ImageBuild| {
            let told = Told::default();
            let request = request(dir.path(), spec);
            let built = run(&builder, &request, &told).await.unwrap();
            assert_eq!(builder.remove_leftovers().await.unwrap(), 0);
            (built.digest, told.text())
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
            Backend::Classic => format!("Pulling {made}@{digest} to take layers from"),
        };
        assert!(text.contains(&fetched), "{text}");
        // The branch of the other repository has none yet.
        assert!(
            text.contains(&format!("Nothing is taken from {other}:main: ")),
            "{text}"
        );
        assert!(
            !text.contains(&format!("Nothing is taken from {made}")),
            "{text}"
        );
        let sign = match backend {
            Backend::BuildKit => "importing cache manifest from",
            Backend::Classic => "Using cache",
        };
        assert!(text.contains(sign), "{text}");

        let gone = format!("sha256:{}", "0a".repeat(32));
        let (_, text) = build(from(&gone)).await;
        let without = format!("Nothing is taken from {made}@{gone}: ");
        assert!(text.contains(&without), "{text}");
    }
}

#[tokio::test]
async fn layers_are_left_at_a_place_of_the_projects_choice_and_taken_from_there() {
    let dir = checkout(&format!("{SHELL}RUN echo said {}\n", unique()));
    let builder = builder(Backend::BuildKit).await;
    let build = async |spec: ImageBuild| {
        let told = Told::default();
        let request = request(dir.path(), spec);
        run(&builder, &request, &told).await.unwrap();
        assert_eq!(builder.remove_leftovers().await.unwrap(), 0);
        told.text()
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
    let without = format!("Nothing is taken from {missing}: ");
    assert!(second.contains(&without), "{second}");
    assert!(second.contains("importing cache manifest from"), "{second}");
}

#[tokio::test]
async fn a_branch_without_an_image_takes_layers_from_the_one_it_falls_back_to() {
    let dir = checkout(&format!("{SHELL}RUN echo said {}\n", unique()));
    let builder = builder(Backend::BuildKit).await;
    let repository = format!("{}/test/{}", registry(), unique());
    let main = request(dir.path(), spec(&repository));
    run(&builder, &main, &Told::default()).await.unwrap();
    let branch = ImageBuild {
        tags: vec!["topic".to_owned()],
        cache_tag: Some("topic".to_owned()),
        fallback_cache_tag: Some("main".to_owned()),
        ..spec(&repository)
    };
    for is_first in [true, false] {
        let told = Told::default();
        let request = request(dir.path(), branch.clone());
        run(&builder, &request, &told).await.unwrap();
        let text = told.text();
        for tag in ["topic", "main"] {
            let looked = format!("importing cache manifest from {repository}:{tag}");
            assert!(text.contains(&looked), "{text}");
        }
        let is_missing = text.contains(&format!("Nothing is taken from {repository}:topic: "));
        assert_eq!(is_missing, is_first, "{text}");
    }
}

/// Takes what the engine's own cache has of the step that says `word` away from it, as on a host that
/// never ran it.
fn forget_step(word: &str) {
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
async fn a_host_that_never_built_it_takes_every_step_from_the_registry() {
    let word = unique();
    let dir = checkout(&format!("{SHELL}RUN echo said {word}\n"));
    let repository = format!("{}/test/{}", registry(), unique());
    let build = async |spec: ImageBuild| {
        let (told, builder) = (Told::default(), builder(Backend::BuildKit).await);
        let request = request(dir.path(), spec);
        run(&builder, &request, &told).await.unwrap();
        told.step("RUN echo said").cached
    };
    let cached = build(spec(&repository)).await;
    assert!(!cached);
    forget_step(&word);
    let alone = ImageBuild {
        cache_tag: None,
        tags: vec!["alone".to_owned()],
        ..spec(&repository)
    };
    let cached = build(alone).await;
    assert!(!cached, "the engine has forgotten it");
    forget_step(&word);
    let cached = build(spec(&repository)).await;
    assert!(cached);
}

#[tokio::test]
async fn a_login_for_base_images_does_not_stand_between_a_build_and_its_layers() {
    let var = |name: &str| std::env::var(name).unwrap();
    let registry = var("SLIPWAY_TEST_AUTH_REGISTRY");
    let login = |password: String| Login {
        registry: registry.clone(),
        username: var("SLIPWAY_TEST_AUTH_REGISTRY_USER"),
        password,
    };
    let dir = checkout(&format!("{SHELL}RUN echo said {}\n", unique()));
    let builder = builder(Backend::BuildKit).await;
    let repository = format!("{registry}/test/{}", unique());
    for is_first in [true, false] {
        let told = Told::default();
        let mut request = request(dir.path(), spec(&repository));
        request.logins = vec![login(var("SLIPWAY_TEST_AUTH_REGISTRY_PASSWORD"))];
        request.pull_login = Some(login("not that one".to_owned()));
        run(&builder, &request, &told).await.unwrap();
        let is_missing = told.text().contains("Nothing is taken");
        assert_eq!(is_missing, is_first, "{}", told.text());
    }
}
