//! Pushing images, and registries that refuse them.

#![expect(
    clippy::disallowed_methods,
    reason = "tests await or drop their tasks themselves"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use slipway_domain::{FailureReason, ImageBuild, Phase};
use slipway_image_builder::{Backend, BuildError, Login};
use slipway_test_engine::SHELL;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::docker::{
    RecordedProgress, backends, builder, checkout, registry, request, run, unique,
};

/// The head of the registry's answer to a `HEAD` request for a manifest.
fn manifest_head(repository: &str, tag: &str) -> String {
    let registry = registry();
    let mut stream = TcpStream::connect(&registry).unwrap();
    let (_, path) = repository.split_once('/').unwrap();
    write!(
        stream,
        "HEAD /v2/{path}/manifests/{tag} HTTP/1.1\r\nHost: {registry}\r\nAccept: application/vnd.docker.distribution.manifest.v2+json\r\nAccept: application/vnd.oci.image.manifest.v1+json\r\nAccept: application/vnd.oci.image.index.v1+json\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut head = String::new();
    stream.read_to_string(&mut head).unwrap();
    head
}

#[tokio::test]
async fn an_image_is_pushed_under_every_tag_and_deleted_locally() {
    for backend in backends() {
        let dir = checkout(&format!(
            "{SHELL}ARG WORD\nRUN echo said $WORD\nRUN [ ! -e /left-out ]\n"
        ));
        std::fs::write(dir.path().join(".dockerignore"), "left-out\n").unwrap();
        std::fs::write(dir.path().join("left-out"), "").unwrap();
        let repository = format!("{}/test/{}", registry(), unique());
        let spec = ImageBuild {
            args: [("WORD".to_owned(), unique())].into(),
            repository: Some(repository.parse().unwrap()),
            tags: vec!["v1".to_owned(), "latest".to_owned()],
            ..ImageBuild::default()
        };
        let word = format!("said {}", spec.args["WORD"]);
        let request = request(dir.path(), spec);
        let progress = RecordedProgress::default();
        let builder = builder(backend).await;
        let image = run(&builder, &request, &progress).await.unwrap();
        assert_eq!(image.reference, Some(format!("{repository}:v1")));
        assert_eq!(image.tags, ["v1", "latest"]);
        assert!(image.size_bytes > 500_000, "{image:?}");
        for tag in ["v1", "latest"] {
            let head = manifest_head(&repository, tag);
            assert!(head.contains(&image.digest), "{head} {image:?}");
        }
        let text = progress.text();
        assert!(text.contains(&word), "{text}");
        // Only the first tag is pushed by the engine.
        assert!(
            text.contains(&format!("Pushing {repository}:v1\n")),
            "{text}"
        );
        assert!(
            !text.contains(&format!("Pushing {repository}:latest")),
            "{text}"
        );
        let tagged = format!("{repository}:latest is {}\n", image.digest);
        assert!(text.contains(&tagged), "{text}");
        let phases = progress.phases();
        assert_eq!(phases.last(), Some(&Phase::Pushing), "{phases:?}");
        assert!(phases.contains(&Phase::Building), "{phases:?}");
        assert_eq!(builder.remove_leftovers().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_registry_that_refuses_is_named_with_its_reason() {
    let registry = refusing_registry();
    let dir = checkout(SHELL);
    let builder = builder(Backend::BuildKit).await;
    let spec = ImageBuild {
        repository: Some(format!("{registry}/acme/api").parse().unwrap()),
        tags: vec!["v1".to_owned()],
        ..ImageBuild::default()
    };
    let mut request = request(dir.path(), spec);
    request.logins = vec![Login {
        registry: "elsewhere.example".to_owned(),
        username: "me".to_owned(),
        password: "s3cret".to_owned(),
    }];
    let progress = RecordedProgress::default();
    let error = run(&builder, &request, &progress).await.unwrap_err();
    assert!(
        matches!(&error, BuildError::PushRefused { registry: named, reason }
            if *named == registry && reason.contains("auth")),
        "{error:?}"
    );
    assert!(!format!("{error:?}{}", progress.text()).contains("s3cret"));
    assert_eq!(builder.remove_leftovers().await.unwrap(), 0);
}

/// Starts a registry that answers every request like this.
fn registry_answering(head: &'static str, code: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let body = format!(r#"{{"errors":[{{"code":"{code}","message":"not now"}}]}}"#);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            for line in lines.map_while(Result::ok) {
                if line.is_empty() {
                    break;
                }
            }
            let _ = write!(
                stream,
                "HTTP/1.1 {head}\r\nContent-Type: application/json\r\nDocker-Distribution-Api-Version: registry/2.0\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    address
}

/// Starts a proxy of the registry that serves only Docker Engines.
async fn engine_only_registry() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                    let read = stream.read_buf(&mut head).await.unwrap_or(0);
                    if read == 0 {
                        return;
                    }
                    // Engines try TLS first; an answer in plain text makes them use HTTP.
                    if !head[0].is_ascii_uppercase() {
                        let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
                        let _ = stream.write_all(answer).await;
                        return;
                    }
                }
                let is_engine = String::from_utf8_lossy(&head).contains("User-Agent: docker/");
                if !is_engine {
                    let answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
                    let _ = stream.write_all(answer).await;
                    return;
                }
                let mut real = tokio::net::TcpStream::connect(registry()).await.unwrap();
                real.write_all(&head).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut real).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn a_registry_that_only_the_engine_can_reach_gets_every_tag_from_it() {
    let address = engine_only_registry().await;
    let path = format!("test/{}", unique());
    let dir = checkout(SHELL);
    let builder = builder(Backend::BuildKit).await;
    let tags = ["v1", "v2", "v3"].map(str::to_owned);
    let spec = ImageBuild {
        repository: Some(format!("{address}/{path}").parse().unwrap()),
        tags: tags.to_vec(),
        ..ImageBuild::default()
    };
    let progress = RecordedProgress::default();
    let request = request(dir.path(), spec);
    let image = run(&builder, &request, &progress).await.unwrap();
    let text = progress.text();
    for tag in tags {
        assert!(
            text.contains(&format!("Pushing {address}/{path}:{tag}\n")),
            "{text}"
        );
        let head = manifest_head(&format!("{}/{path}", registry()), &tag);
        assert!(head.contains(&image.digest), "{head} {image:?}");
    }
}

/// Starts a registry that accepts no login.
fn refusing_registry() -> String {
    let head = "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"r\"";
    registry_answering(head, "UNAUTHORIZED")
}

#[tokio::test]
async fn an_overloaded_registry_is_retried_after_the_wait_it_asks_for() {
    let head = "429 Too Many Requests\r\nRetry-After: 2";
    let address = registry_answering(head, "TOOMANYREQUESTS");
    let dir = checkout("FROM scratch\nCOPY busybox /\n");
    let spec = ImageBuild {
        repository: Some(format!("{address}/acme/api").parse().unwrap()),
        tags: vec!["v1".to_owned()],
        ..ImageBuild::default()
    };
    let progress = RecordedProgress::default();
    let builder = builder(Backend::BuildKit).await;
    let began = Instant::now();
    let error = run(&builder, &request(dir.path(), spec), &progress).await;
    let error = error.unwrap_err();
    assert_eq!(error.reason(), FailureReason::PushRefused, "{error}");
    let text = progress.text();
    let asked = text.matches("The registry asks to retry in 2 s").count();
    assert_eq!(asked, 2, "{text}");
    assert!(began.elapsed() >= Duration::from_secs(4));
}
