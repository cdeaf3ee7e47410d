//! Checks 91 to 98 and 101 to 103 of the repository build API: packages that become images, and
//! those that do not.

mod ground;

use serde_json::json;

use self::ground::{Packages, door, shell_in_registry, tar, tar_of, zip};
use super::{Yard, var};

/// What a step of this Dockerfile says is in the trace, whoever built it before.
const LABELED: &str = "FROM scratch\nLABEL a=b\n";
/// Keeps the farm from trying again what failed through its own fault.
const ONCE: [&str; 2] = ["--max-attempts", "1"];

#[tokio::test]
async fn check_91_a_dockerfile_alone_becomes_an_image_under_all_tags() {
    let (yard, packages) = (Yard::of_packages(&[]).await, Packages::start().await);
    let url = packages.serve("text/plain", LABELED);
    let body = json!({"archive_url": url, "docker_tags": ["v1", "latest"]});
    yard.built(body).await.is_complete();
    assert_eq!(yard.digest_of("v1").await, yard.digest_of("latest").await);
}

#[tokio::test]
async fn check_92_archives_are_built_where_their_dockerfile_is() {
    let (yard, packages) = (Yard::of_packages(&[]).await, Packages::start().await);
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
        yard.built_of(&packages.serve(kind, at_root))
            .await
            .is_complete();
        let url = packages.serve(kind, in_sub);
        let body = json!({"archive_url": url, "subdirectory": "sub"});
        yard.built(body).await.is_complete();
        yard.built_of(&url)
            .await
            .is_error("dockerfile_missing", "dockerfileissue");
        let body = json!({"archive_url": url, "subdirectory": "other"});
        yard.built(body)
            .await
            .is_error("dockerfile_missing", "dockerfileissue");
    }
}

#[tokio::test]
async fn check_93_a_tar_that_is_not_compressed_is_not_built() {
    let (yard, packages) = (Yard::of_packages(&[]).await, Packages::start().await);
    let url = packages.serve("application/x-tar", tar("-cf", "Dockerfile", LABELED));
    yard.built_of(&url)
        .await
        .is_error("package_invalid", "cannotextractbuildpack");
}

#[tokio::test]
async fn check_94_a_picture_is_not_built() {
    let (yard, packages) = (Yard::of_packages(&[]).await, Packages::start().await);
    let url = packages.serve("image/png", LABELED);
    let ended = yard.built_of(&url).await;
    ended.is_error("package_invalid", "cannotextractbuildpack");
    assert!(ended.trace.contains("image/png"), "{}", ended.trace);
}

#[tokio::test]
async fn check_95_an_error_page_is_not_built() {
    let (yard, packages) = (Yard::of_packages(&ONCE).await, Packages::start().await);
    let url = packages.answer(404, "text/plain", LABELED);
    let ended = yard.built_of(&url).await;
    ended.is_error("package_unavailable", "buildpackissue");
    assert!(ended.trace.contains("404"), "{}", ended.trace);
    assert!(!yard.has_tag("latest").await);
}

#[tokio::test]
async fn check_96_a_step_that_fails_is_not_tried_again() {
    let (yard, packages) = (Yard::of_packages(&[]).await, Packages::start().await);
    let base = shell_in_registry();
    let dockerfile = format!("FROM {base}\nRUN exit 1\n");
    let url = packages.serve("text/plain", dockerfile);
    let ended = yard.built_of(&url).await;
    ended.is_error("build_failed", "builderror");
    // The base image is pulled ahead, and each step has a heading.
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
async fn check_97_a_dockerfile_begins_with_a_base_image() {
    let (yard, packages) = (Yard::of_packages(&[]).await, Packages::start().await);
    let url = packages.serve("text/plain", "RUN true\nFROM scratch\n");
    yard.built_of(&url)
        .await
        .is_error("dockerfile_invalid", "dockerfileissue");
}

#[tokio::test]
async fn check_98_nothing_is_pulled_of_scratch() {
    let (yard, packages) = (Yard::of_packages(&[]).await, Packages::start().await);
    let ended = yard.built_of(&packages.serve("text/plain", LABELED)).await;
    ended.is_complete();
    assert!(!ended.trace.contains("Pulling scratch"), "{}", ended.trace);
    let pulling = ended.pulling();
    assert_eq!(pulling["base_image"], "scratch");
    assert_eq!(pulling.get("registry_url"), None);
}

#[tokio::test]
async fn check_101_a_build_does_without_its_cache() {
    let (mut yard, packages) = (Yard::of_packages(&[]).await, Packages::start().await);
    // For a step there would be layers to look for.
    let url = packages.serve("text/plain", "FROM scratch\nCOPY Dockerfile /\n");
    yard.push_to(&door(&["GET", "HEAD"], "latest").await).await;
    for _ in 0..2 {
        let ended = yard.built_of(&url).await;
        ended.is_complete();
        assert!(ended.trace.contains("No layers reused"), "{}", ended.trace);
    }
}

#[tokio::test]
async fn check_102_tags_that_were_pushed_stay_when_the_next_is_refused() {
    let (mut yard, packages) = (Yard::of_packages(&ONCE).await, Packages::start().await);
    yard.push_to(&door(&["PUT"], "second").await).await;
    let url = packages.serve("text/plain", LABELED);
    let tags = ["first", "second", "third"];
    let body = json!({"archive_url": url, "docker_tags": tags});
    yard.built(body).await.is_error("push_refused", "pushissue");
    let mut there = Vec::new();
    for tag in tags {
        there.push(yard.has_tag(tag).await);
    }
    assert_eq!(there, [true, false, false]);
}

#[tokio::test]
async fn check_103_nothing_outside_of_the_package_is_read() {
    let (yard, packages) = (Yard::of_packages(&[]).await, Packages::start().await);
    let url = packages.serve("application/zip", zip("Dockerfile", LABELED));
    let body = json!({"archive_url": url, "context": "../../etc"});
    let ended = yard.built(body).await;
    ended.is_error("job_failed", "builderror");
    assert!(ended.trace.contains("leads out"), "{}", ended.trace);

    // Nor by a link.
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("../../..", dir.path().join("up")).unwrap();
    std::fs::write(dir.path().join("Dockerfile"), LABELED).unwrap();
    let url = packages.serve("application/gzip", tar_of("-czf", dir.path()));
    let body = json!({"archive_url": url, "dockerfile_path": "/Dockerfile", "context": "/up"});
    yard.built(body)
        .await
        .is_error("package_invalid", "cannotextractbuildpack");
}

#[tokio::test]
async fn a_tarball_from_the_file_drop_becomes_an_image_under_its_tags() {
    let yard = Yard::of_packages(&[]).await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy("/bin/busybox", dir.path().join("busybox")).unwrap();
    let dockerfile = "FROM scratch\nCOPY busybox /bin/sh\nRUN echo from the drop > /greeting\n";
    std::fs::write(dir.path().join("Dockerfile"), dockerfile).unwrap();
    let place = json!({"mimeType": "application/gzip"});
    let place = yard.ask("/api/v1/filedrop/", place).await;
    let put = reqwest::Client::new().put(place["url"].as_str().unwrap());
    let put = put
        .header("Content-Type", "application/gzip")
        .body(tar_of("-czf", dir.path()));
    assert_eq!(put.send().await.unwrap().status(), 200);
    let body = json!({"file_id": place["file_id"], "docker_tags": ["v1", "odd tag"]});
    let ended = yard.built(body).await;
    ended.is_complete();
    for step in ["Step 1/2 : COPY busybox /bin/sh\n", "Step 2/2 : RUN echo"] {
        assert!(ended.trace.contains(step), "{}", ended.trace);
    }
    assert_eq!(yard.digest_of("v1").await, yard.digest_of("odd_tag").await);
}
