//! Images for other platforms than the engine's own.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;

use slipway_domain::{FailureReason, ImageBuild};
use slipway_image_builder::{Backend, BuildError};
use slipway_test_engine::SHELL;

use crate::docker::{Told, builder, checkout, registry, request, run, unique};

fn foreign() -> ImageBuild {
    ImageBuild {
        platforms: vec!["linux/s390x".parse().unwrap()],
        ..ImageBuild::default()
    }
}

#[tokio::test]
async fn files_alone_make_an_image_for_any_platform() {
    let dir = checkout("FROM scratch\nCOPY busybox /x\n");
    let builder = builder(Backend::BuildKit).await;
    let spec = ImageBuild {
        platforms: vec!["linux/arm64".parse().unwrap()],
        ..ImageBuild::default()
    };
    let request = request(dir.path(), spec);
    let built = run(&builder, &request, &Told::default()).await.unwrap();
    let platform = built.details.platform.map(|platform| platform.to_string());
    assert_eq!(platform.as_deref(), Some("linux/arm64"));
}

/// The head of a program for a processor that this is none of.
fn foreign_program() -> Vec<u8> {
    let mut elf = vec![0x7f, b'E', b'L', b'F', 2, 2, 1];
    elf.resize(64, 0);
    elf[17] = 2;
    elf[19] = 22;
    elf
}

#[tokio::test]
async fn a_command_for_another_processor_tells_what_to_do() {
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
    let told = Told::default();
    let request = request(dir.path(), foreign());
    let error = run(&builder, &request, &told).await.unwrap_err();
    assert!(
        matches!(&error, BuildError::PlatformUnsupported { platform, step: Some(step), .. }
            if platform == "linux/s390x" && step.contains("RUN echo")),
        "{error:?} {}",
        told.text()
    );
    assert_eq!(error.reason(), FailureReason::PlatformUnsupported);
    assert!(error.to_string().contains("binfmt_misc"), "{error}");
}

/// Pushes a list of images that has nothing but this one, for `platform`.
fn push_list(repository: &str, digest: &str, platform: &str) {
    let (registry, path) = repository.split_once('/').unwrap();
    let exchange = |request: String| {
        let mut stream = TcpStream::connect(registry).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let of_image = "application/vnd.docker.distribution.manifest.v2+json";
    let of_list = "application/vnd.docker.distribution.manifest.list.v2+json";
    let head = exchange(format!(
        "HEAD /v2/{path}/manifests/{digest} HTTP/1.1\r\nHost: {registry}\r\nAccept: {of_image}\r\nConnection: close\r\n\r\n"
    ));
    let size = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "));
    let (os, architecture) = platform.split_once('/').unwrap();
    let list = format!(
        r#"{{"schemaVersion":2,"mediaType":"{of_list}","manifests":[{{"mediaType":"{of_image}","size":{},"digest":"{digest}","platform":{{"os":"{os}","architecture":"{architecture}"}}}}]}}"#,
        size.unwrap()
    );
    let answer = exchange(format!(
        "PUT /v2/{path}/manifests/list HTTP/1.1\r\nHost: {registry}\r\nContent-Type: {of_list}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{list}",
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
    let made = run(&builder, &made, &Told::default()).await.unwrap();
    push_list(&base, &made.digest, "linux/amd64");

    let dir = checkout(&format!("FROM {base}:list\nRUN echo {}\n", unique()));
    for pull in [false, true] {
        let spec = ImageBuild { pull, ..foreign() };
        let request = request(dir.path(), spec);
        let told = Told::default();
        let error = run(&builder, &request, &told).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "the base image {base}:list is not to be had for linux/s390x; name one that is, or another platform"
            ),
            "{}",
            told.text()
        );
        assert_eq!(error.reason(), FailureReason::PlatformUnsupported);
    }
}

#[tokio::test]
async fn the_classic_builder_builds_for_its_own_platform_alone() {
    let dir = checkout(SHELL);
    let builder = builder(Backend::Classic).await;
    let own = ImageBuild {
        platforms: builder.platform().cloned().into_iter().collect(),
        ..ImageBuild::default()
    };
    let request_own = request(dir.path(), own);
    run(&builder, &request_own, &Told::default()).await.unwrap();
    let request = request(dir.path(), foreign());
    let error = run(&builder, &request, &Told::default()).await.unwrap_err();
    assert_eq!(error.reason(), FailureReason::Unsupported, "{error:?}");
    assert!(error.to_string().contains("other platforms"), "{error}");
}
