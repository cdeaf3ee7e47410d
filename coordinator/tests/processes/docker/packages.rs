//! Builds of packages: which become images, and which fail.
//!
//! See `docs/protocols/quay.md`.

mod fixture;

use serde_json::json;

use self::fixture::{Packages, refusing_registry, shell_in_registry, tar, tar_of, zip};
use super::{Fixture, var};

/// A Dockerfile whose step is never cached, so that its output is in the trace.
const LABELED: &str = "FROM scratch\nLABEL a=b\n";
/// Turns off automatic retries.
const ONCE: [&str; 2] = ["--max-attempts", "1"];

#[tokio::test]
async fn dockerfile_alone_is_built_and_pushed_under_all_tags() {
    let (fixture, packages) = (Fixture::with_packages(&[]).await, Packages::start().await);
    let url = packages.serve("text/plain", LABELED);
    let body = json!({"archive_url": url, "docker_tags": ["v1", "latest"]});
    fixture.built(body).await.is_complete();
    assert_eq!(
        fixture.digest_of("v1").await,
        fixture.digest_of("latest").await
    );
}

#[tokio::test]
async fn archive_is_built_in_the_directory_of_its_dockerfile() {
    let (fixture, packages) = (Fixture::with_packages(&[]).await, Packages::start().await);
    for (kind, at_root, in_sub) in [
        (
            "application/zip",
            zip("Dockerfile", LABELED),
            zip("sub/Dockerfile", LABELED),
        ),
        (
            "application/gzip",
            tar("-czf", "Dockerfile", LABELED),
            tar("-czf", "sub/Dockerfile", LABELED),
        ),
    ] {
        fixture
            .built_of(&packages.serve(kind, at_root))
            .await
            .is_complete();
        let url = packages.serve(kind, in_sub);
        let body = json!({"archive_url": url, "subdirectory": "sub"});
        fixture.built(body).await.is_complete();
        fixture
            .built_of(&url)
            .await
            .fails_with("dockerfile_missing", "dockerfileissue");
        let body = json!({"archive_url": url, "subdirectory": "other"});
        fixture
            .built(body)
            .await
            .fails_with("dockerfile_missing", "dockerfileissue");
    }
}

#[tokio::test]
async fn uncompressed_tar_is_refused() {
    let (fixture, packages) = (Fixture::with_packages(&[]).await, Packages::start().await);
    let url = packages.serve("application/x-tar", tar("-cf", "Dockerfile", LABELED));
    fixture
        .built_of(&url)
        .await
        .fails_with("package_invalid", "cannotextractbuildpack");
}

#[tokio::test]
async fn package_that_is_an_image_file_is_refused() {
    let (fixture, packages) = (Fixture::with_packages(&[]).await, Packages::start().await);
    let url = packages.serve("image/png", LABELED);
    let ended = fixture.built_of(&url).await;
    ended.fails_with("package_invalid", "cannotextractbuildpack");
    assert!(ended.trace.contains("image/png"), "{}", ended.trace);
}

#[tokio::test]
async fn response_with_an_error_status_is_not_a_package() {
    let (fixture, packages) = (Fixture::with_packages(&ONCE).await, Packages::start().await);
    let url = packages.answer(404, "text/plain", LABELED);
    let ended = fixture.built_of(&url).await;
    ended.fails_with("package_unavailable", "buildpackissue");
    assert!(ended.trace.contains("404"), "{}", ended.trace);
    assert!(!fixture.has_tag("latest").await);
}

#[tokio::test]
async fn failing_step_is_not_retried() {
    let (fixture, packages) = (Fixture::with_packages(&[]).await, Packages::start().await);
    let base = shell_in_registry();
    let dockerfile = format!("FROM {base}\nRUN exit 1\n");
    let url = packages.serve("text/plain", dockerfile);
    let ended = fixture.built_of(&url).await;
    ended.fails_with("build_failed", "builderror");
    // The base image is pulled first, and each step has a log entry.
    let pulling = format!("\nPulling {base}\n");
    assert!(ended.trace.contains(&pulling), "{}", ended.trace);
    let heading = "\nStep 2/2 : RUN exit 1\n";
    assert!(ended.trace.contains(heading), "{}", ended.trace);
    let mut steps = ended.log.iter().filter(|entry| entry["type"] == "command");
    let last = steps.next_back().unwrap();
    assert_eq!(last["message"], "Step 2/2 : RUN exit 1");
    let (image, tag) = base.rsplit_once(':').unwrap();
    let pulling = ended.pulling();
    assert_eq!(pulling["base_image"], image);
    assert_eq!(pulling["base_image_tag"], tag);
    assert_eq!(pulling["registry_url"], var("SLIPWAY_TEST_REGISTRY"));
}

#[tokio::test]
async fn dockerfile_without_from_is_invalid() {
    let (fixture, packages) = (Fixture::with_packages(&[]).await, Packages::start().await);
    let url = packages.serve("text/plain", "RUN true\nFROM scratch\n");
    fixture
        .built_of(&url)
        .await
        .fails_with("dockerfile_invalid", "dockerfileissue");
}

#[tokio::test]
async fn scratch_is_not_pulled() {
    let (fixture, packages) = (Fixture::with_packages(&[]).await, Packages::start().await);
    let ended = fixture
        .built_of(&packages.serve("text/plain", LABELED))
        .await;
    ended.is_complete();
    assert!(!ended.trace.contains("Pulling scratch"), "{}", ended.trace);
    let pulling = ended.pulling();
    assert_eq!(pulling["base_image"], "scratch");
    assert_eq!(pulling.get("registry_url"), None);
}

#[tokio::test]
async fn missing_cache_image_does_not_fail_the_build() {
    let (mut fixture, packages) = (Fixture::with_packages(&[]).await, Packages::start().await);
    // Without steps there are no layers to look up, so the cache image is the only request.
    let url = packages.serve("text/plain", "FROM scratch\nCOPY Dockerfile /\n");
    fixture
        .push_to(&refusing_registry(&["GET", "HEAD"], "latest").await)
        .await;
    for _ in 0..2 {
        let ended = fixture.built_of(&url).await;
        ended.is_complete();
        assert!(ended.trace.contains("No layers reused"), "{}", ended.trace);
    }
}

#[tokio::test]
async fn pushed_tags_stay_if_the_next_tag_is_refused() {
    let (mut fixture, packages) = (Fixture::with_packages(&ONCE).await, Packages::start().await);
    fixture
        .push_to(&refusing_registry(&["PUT"], "second").await)
        .await;
    let url = packages.serve("text/plain", LABELED);
    let tags = ["first", "second", "third"];
    let body = json!({"archive_url": url, "docker_tags": tags});
    fixture
        .built(body)
        .await
        .fails_with("push_refused", "pushissue");
    let mut there = Vec::new();
    for tag in tags {
        there.push(fixture.has_tag(tag).await);
    }
    assert_eq!(there, [true, false, false]);
}

#[tokio::test]
async fn files_outside_the_package_are_not_read() {
    let (fixture, packages) = (Fixture::with_packages(&[]).await, Packages::start().await);
    let url = packages.serve("application/zip", zip("Dockerfile", LABELED));
    let body = json!({"archive_url": url, "context": "../../etc"});
    let ended = fixture.built(body).await;
    ended.fails_with("job_failed", "builderror");
    assert!(ended.trace.contains("leads out"), "{}", ended.trace);

    // The same for a symbolic link.
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("../../..", dir.path().join("up")).unwrap();
    std::fs::write(dir.path().join("Dockerfile"), LABELED).unwrap();
    let url = packages.serve("application/gzip", tar_of("-czf", dir.path()));
    let body = json!({"archive_url": url, "dockerfile_path": "/Dockerfile", "context": "/up"});
    fixture
        .built(body)
        .await
        .fails_with("package_invalid", "cannotextractbuildpack");
}

#[tokio::test]
async fn uploaded_tarball_is_built_and_pushed_under_its_tags() {
    let fixture = Fixture::with_packages(&[]).await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy("/bin/busybox", dir.path().join("busybox")).unwrap();
    let dockerfile = "FROM scratch\nCOPY busybox /bin/sh\nRUN echo from the drop > /greeting\n";
    std::fs::write(dir.path().join("Dockerfile"), dockerfile).unwrap();
    let farm_dir = json!({"mimeType": "application/gzip"});
    let farm_dir = fixture.ask("/api/v1/filedrop/", farm_dir).await;
    let put = reqwest::Client::new().put(farm_dir["url"].as_str().unwrap());
    let put = put
        .header("Content-Type", "application/gzip")
        .body(tar_of("-czf", dir.path()));
    assert_eq!(put.send().await.unwrap().status(), 200);
    let body = json!({"file_id": farm_dir["file_id"], "docker_tags": ["v1", "odd tag"]});
    let ended = fixture.built(body).await;
    ended.is_complete();
    for step in ["Step 1/2 : COPY busybox /bin/sh\n", "Step 2/2 : RUN echo"] {
        assert!(ended.trace.contains(step), "{}", ended.trace);
    }
    assert_eq!(
        fixture.digest_of("v1").await,
        fixture.digest_of("odd_tag").await
    );
}
