//! Images for platforms other than the engine's.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;

use slipway_domain::{FailureReason, ImageBuild};
use slipway_image_builder::{Backend, BuildError};
use slipway_test_engine::SHELL;

use crate::docker::{RecordedProgress, builder, checkout, registry, request, run, unique};

fn foreign() -> ImageBuild {
    ImageBuild {
        platforms: vec!["linux/s390x".parse().unwrap()],
        ..ImageBuild::default()
    }
}

#[tokio::test]
async fn an_image_without_run_steps_is_built_for_any_platform() {
    let dir = checkout("FROM scratch\nCOPY busybox /x\n");
    let builder = builder(Backend::BuildKit).await;
    let spec = ImageBuild {
        platforms: vec!["linux/arm64".parse().unwrap()],
        ..ImageBuild::default()
    };
    let request = request(dir.path(), spec);
    let built = run(&builder, &request, &RecordedProgress::default())
        .await
        .unwrap();
    let platform = built.details.platform.map(|platform| platform.to_string());
    assert_eq!(platform.as_deref(), Some("linux/arm64"));
}

/// The header of a program for s390x, which no test host is.
fn foreign_program() -> Vec<u8> {
    let mut elf = vec![0x7f, b'E', b'L', b'F', 2, 2, 1];
    elf.resize(64, 0);
    elf[17] = 2;
    elf[19] = 22;
    elf
}

#[tokio::test]
async fn a_command_for_another_architecture_fails_with_advice() {
    let dockerfile = format!(
        "FROM scratch\nCOPY program /bin/sh\nRUN echo {}\n",
        unique()
    );
    let dir = checkout(&dockerfile);
    let program = dir.path().join("program");
    std::fs::write(&program, foreign_program()).unwrap();
    let runs = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&program, runs).unwrap();
    let builder = builder(Backend::BuildKit).await;
    let progress = RecordedProgress::default();
    let request = request(dir.path(), foreign());
    let error = run(&builder, &request, &progress).await.unwrap_err();
    assert!(
        matches!(&error, BuildError::PlatformUnsupported { platform, step: Some(step), .. }
            if platform == "linux/s390x" && step.contains("RUN echo")),
        "{error:?} {}",
        progress.text()
    );
    assert_eq!(error.reason(), FailureReason::PlatformUnsupported);
    assert!(error.to_string().contains("binfmt_misc"), "{error}");
}

/// Pushes a manifest list that contains only this image, for `platform`.
fn push_list(repository: &str, digest: &str, platform: &str) {
    let (registry, path) = repository.split_once('/').unwrap();
    let exchange = |request: String| {
        let mut stream = TcpStream::connect(registry).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let manifest_type = "application/vnd.docker.distribution.manifest.v2+json";
    let list_type = "application/vnd.docker.distribution.manifest.list.v2+json";
    let head = exchange(format!(
        "HEAD /v2/{path}/manifests/{digest} HTTP/1.1\r\nHost: {registry}\r\nAccept: {manifest_type}\r\nConnection: close\r\n\r\n"
    ));
    let size = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "));
    let (os, architecture) = platform.split_once('/').unwrap();
    let list = format!(
        r#"{{"schemaVersion":2,"mediaType":"{list_type}","manifests":[{{"mediaType":"{manifest_type}","size":{},"digest":"{digest}","platform":{{"os":"{os}","architecture":"{architecture}"}}}}]}}"#,
        size.unwrap()
    );
    let answer = exchange(format!(
        "PUT /v2/{path}/manifests/list HTTP/1.1\r\nHost: {registry}\r\nContent-Type: {list_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{list}",
        list.len()
    ));
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

#[tokio::test]
async fn a_base_image_without_the_platform_is_named() {
    let base = format!("{}/test/{}", registry(), unique());
    let dir = checkout(SHELL);
    let made = ImageBuild {
        repository: Some(base.parse().unwrap()),
        tags: vec!["1".to_owned()],
        ..ImageBuild::default()
    };
    let builder = builder(Backend::BuildKit).await;
    let made = request(dir.path(), made);
    let made = run(&builder, &made, &RecordedProgress::default())
        .await
        .unwrap();
    push_list(&base, &made.digest, "linux/amd64");

    let dir = checkout(&format!("FROM {base}:list\nRUN echo {}\n", unique()));
    for pull in [false, true] {
        let spec = ImageBuild { pull, ..foreign() };
        let request = request(dir.path(), spec);
        let progress = RecordedProgress::default();
        let error = run(&builder, &request, &progress).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "the base image {base}:list is not available for linux/s390x; choose another base image or another platform"
            ),
            "{}",
            progress.text()
        );
        assert_eq!(error.reason(), FailureReason::PlatformUnsupported);
    }
}

#[tokio::test]
async fn the_classic_builder_refuses_other_platforms() {
    let dir = checkout(SHELL);
    let builder = builder(Backend::Classic).await;
    let own = ImageBuild {
        platforms: builder.platform().cloned().into_iter().collect(),
        ..ImageBuild::default()
    };
    let request_own = request(dir.path(), own);
    run(&builder, &request_own, &RecordedProgress::default())
        .await
        .unwrap();
    let request = request(dir.path(), foreign());
    let error = run(&builder, &request, &RecordedProgress::default())
        .await
        .unwrap_err();
    assert_eq!(error.reason(), FailureReason::Unsupported, "{error:?}");
    assert!(error.to_string().contains("other platforms"), "{error}");
}
