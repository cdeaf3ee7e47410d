//! Builds of two projects on one engine: what one of them may not get from the other.

use slipway_domain::{FailureReason, ImageBuild};
use slipway_image_builder::{Backend, BuildError, Builder, CacheScope, Login};
use slipway_test_engine::{SHELL, docker, is_podman, remove_image};

use crate::docker::{
    RecordedProgress, backends, builder, checkout, outbound, registry, request, run, unique,
};

/// The login of the project that owns the private registry.
fn own_login() -> Login {
    let var = |name: &str| std::env::var(name).unwrap();
    Login {
        registry: var("SLIPWAY_TEST_AUTH_REGISTRY"),
        username: var("SLIPWAY_TEST_AUTH_REGISTRY_USER"),
        password: var("SLIPWAY_TEST_AUTH_REGISTRY_PASSWORD"),
    }
}

/// Builds a Dockerfile with this login.
async fn build(
    builder: &Builder,
    dockerfile: &str,
    spec: ImageBuild,
    login: Option<Login>,
) -> (Result<String, BuildError>, String) {
    let dir = checkout(dockerfile);
    let mut request = request(dir.path(), spec);
    request.logins = login.into_iter().collect();
    let progress = RecordedProgress::default();
    let built = run(builder, &request, &progress).await;
    (built.map(|image| image.digest), progress.text())
}

#[tokio::test]
async fn a_private_base_image_needs_the_right_to_pull_it_even_if_the_engine_has_it() {
    for backend in backends() {
        let builder = builder(backend).await;
        let name = format!("{}/test/{}", own_login().registry, unique());
        let push = ImageBuild {
            repository: Some(name.parse().unwrap()),
            tags: vec!["1".to_owned()],
            ..ImageBuild::default()
        };
        let dockerfile = format!("{SHELL}RUN echo {} >/secret\n", unique());
        let (pushed, trace) = build(&builder, &dockerfile, push, Some(own_login())).await;
        let digest = pushed.unwrap_or_else(|error| panic!("{error}: {trace}"));
        // The engine also has an image of this name.
        slipway_test_engine::build(&format!("{name}:1"), SHELL);
        let hex = digest.trim_start_matches("sha256:");
        for dockerfile in [
            format!("FROM {name}:1\nRUN echo used\n"),
            format!("FROM {name}@{digest}\nRUN echo used\n"),
            format!("ARG D={hex}\nFROM {name}@sha256:${{D}}\nRUN echo used\n"),
            format!("{SHELL}COPY --from={name}:1 /bin/sh /copy\nRUN echo used\n"),
            format!("{SHELL}COPY --from={name}@{digest} /bin/sh /copy\nRUN echo used\n"),
        ] {
            let owner = Some(own_login());
            let (built, trace) = build(&builder, &dockerfile, ImageBuild::default(), owner).await;
            assert!(built.is_ok(), "{backend:?} {dockerfile}: {built:?} {trace}");
            let (built, trace) = build(&builder, &dockerfile, ImageBuild::default(), None).await;
            let error = built.expect_err(&dockerfile);
            // The classic builder reports an image to copy from like any other fault of a step.
            let is_step = error.to_string().contains("invalid from flag value");
            assert!(
                error.reason() == FailureReason::BaseImageUnavailable
                    || (backend == Backend::Classic && is_step),
                "{backend:?} {dockerfile}: {error:?} {trace}"
            );
            assert!(!trace.contains("echo used\n"), "{trace}");
        }
        remove_image(&format!("{name}:1"));
    }
}

#[tokio::test]
async fn an_image_that_only_the_engine_has_needs_the_operators_permission() {
    for backend in backends() {
        let name = format!("slipway-test/{}:1", unique());
        slipway_test_engine::build(&name, SHELL);
        let dockerfile = format!("FROM {name}\nRUN echo used {}\n", unique());
        let strict = builder(backend).await;
        let (built, trace) = build(&strict, &dockerfile, ImageBuild::default(), None).await;
        let error = built.unwrap_err();
        assert_eq!(
            error.reason(),
            FailureReason::BaseImageUnavailable,
            "{backend:?}: {error:?} {trace}"
        );
        for pattern in [name.as_str(), "slipway-test/*", "*"] {
            let local = [pattern.parse().unwrap()].into_iter().collect();
            let allowed = builder(backend).await.with_local_images(local);
            let (built, trace) = build(&allowed, &dockerfile, ImageBuild::default(), None).await;
            assert!(built.is_ok(), "{backend:?} {pattern}: {built:?} {trace}");
        }
        remove_image(&name);
    }
}

/// Builds in this scope. Returns what was reported, and whether the build succeeded.
async fn in_scope(builder: &Builder, dockerfile: &str, scope: &str) -> (RecordedProgress, bool) {
    let dir = checkout(dockerfile);
    let mut request = request(dir.path(), ImageBuild::default());
    request.cache_scope = Some(CacheScope::new(scope));
    let progress = RecordedProgress::default();
    let built = run(builder, &request, &progress).await;
    (progress, built.is_ok())
}

#[tokio::test]
async fn cache_mounts_and_layers_of_another_scope_are_not_used() {
    let builder = builder(Backend::BuildKit).await;
    if is_podman() {
        return;
    }
    let (one, other, word) = (unique(), unique(), unique());
    let id = format!("id=shared-{word}");
    let mount = format!("--mount=type=cache,{id},target=/c");
    let write = format!("{SHELL}RUN {mount} echo {word} >/c/file\n");
    assert!(in_scope(&builder, &write, &one).await.1);
    let read = |more: &str| format!("{SHELL}RUN {mount} test -s /c/file # {more}\n");
    assert!(in_scope(&builder, &read("own"), &one).await.1);
    assert!(!in_scope(&builder, &read("other"), &other).await.1);
    // An id may lead out of its namespace, but not into one whose name is secret.
    let escape = format!("--mount=type=cache,id=../shared-{word},target=/c");
    let escaped = format!("{SHELL}RUN {escape} test -s /c/file\n");
    assert!(!in_scope(&builder, &escaped, &other).await.1);

    let step = format!("{SHELL}RUN echo step {word}\n");
    for (scope, is_cached) in [(&one, false), (&one, true), (&other, false), (&other, true)] {
        let (progress, succeeded) = in_scope(&builder, &step, scope).await;
        assert!(succeeded, "{}", progress.text());
        let cached = progress.step("RUN echo step").cached;
        assert_eq!(cached, is_cached, "{}", progress.text());
    }
}

#[tokio::test]
async fn the_scope_is_not_in_the_image() {
    let builder = builder(Backend::BuildKit).await;
    let dockerfile = format!("{SHELL}RUN echo {} >/x; rm /x\n", unique());
    let dir = checkout(&dockerfile);
    let mut digests = Vec::new();
    for scope in [None, Some(unique()), Some(unique())] {
        let spec = ImageBuild {
            repository: Some(format!("{}/test/{}", registry(), unique()).parse().unwrap()),
            tags: vec!["1".to_owned()],
            ..ImageBuild::default()
        };
        let mut request = request(dir.path(), spec);
        request.cache_scope = scope.map(CacheScope::new);
        let progress = RecordedProgress::default();
        let image = run(&builder, &request, &progress).await.unwrap();
        let steps = progress.steps();
        assert!(
            steps
                .iter()
                .all(|step| !step.name.contains("slipway.invalid"))
        );
        digests.push(image.details.layers.len());
    }
    assert_eq!(digests, [digests[0]; 3]);
}

#[tokio::test]
async fn names_of_images_before_their_push_cannot_be_guessed() {
    for backend in backends() {
        let (owner, job) = (unique(), unique());
        let dir = checkout(SHELL);
        let mut names = Vec::new();
        for _ in 0..2 {
            let builder = Builder::connect(&owner, outbound()).await.unwrap();
            let builder = builder.with_backend(backend).keeping_images();
            let request = slipway_image_builder::BuildRequest {
                job: job.clone(),
                ..request(dir.path(), ImageBuild::default())
            };
            let progress = RecordedProgress::default();
            run(&builder, &request, &progress).await.unwrap();
            let listed = docker(&["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]);
            let own = listed.lines().filter(|name| name.contains(&job));
            let own: Vec<String> = own.map(str::to_owned).collect();
            assert_eq!(own.len(), 1, "{own:?}");
            names.extend(own);
            builder.remove_job(&job).await.unwrap();
            assert_eq!(builder.remove_leftovers().await.unwrap(), 0);
        }
        assert_ne!(names[0], names[1]);
    }
}
