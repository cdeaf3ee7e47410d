//! The client against a scripted registry.

#![expect(
    clippy::disallowed_methods,
    reason = "tests await or drop their tasks themselves"
)]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use slipway_domain::spec::PlatformImage;
use slipway_outbound::{NetworkPolicy, Outbound};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::Registry;
use crate::index::{entries_of, index_of};
use crate::manifests::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, digest_of};

const MANIFEST: &str = r#"{"schemaVersion":2,"config":{},"layers":[]}"#;

/// Answers a request line and its body with a status line, optionally followed by headers, and a
/// body.
type Script = dyn Fn(&str, &str) -> (String, String) + Send + Sync;

/// Starts a registry that follows the script; returns its address and the requests it received.
async fn serve(script: Arc<Script>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let requests: Arc<Mutex<Vec<String>>> = Arc::default();
    let received = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (line, body) = read(&mut stream).await;
            // The client asks here whether it needs a token; tests look at the other requests.
            let (head, text) = if line.starts_with("GET /v2/ ") {
                ("200 OK".to_owned(), String::new())
            } else {
                received.lock().unwrap().push(format!("{line}\n{body}"));
                script(&line, &body)
            };
            let length = text.len();
            let answer = format!(
                "HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (address, requests)
}

/// Reads a request; returns its request line and its body.
async fn read(stream: &mut TcpStream) -> (String, String) {
    let mut all = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&all).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lower = head.to_lowercase();
            let length = lower.split("content-length: ").nth(1);
            let length = length
                .and_then(|rest| rest.lines().next()?.parse().ok())
                .unwrap_or(0);
            if body.len() >= length {
                return (head.lines().next().unwrap().to_owned(), body.to_owned());
            }
        }
        let mut more = [0; 4096];
        let count = stream.read(&mut more).await.unwrap();
        assert!(count > 0, "incomplete request: {text}");
        all.extend_from_slice(&more[..count]);
    }
}

fn registry(address: &str) -> Registry {
    let repository = format!("{address}/acme/api").parse().unwrap();
    let policy = NetworkPolicy::new(vec!["127.0.0.1".parse().unwrap()], Vec::new());
    let outbound = Outbound::start(policy).unwrap();
    let mut registry = Registry::new(&outbound, &repository, None).unwrap();
    registry.first_wait = Duration::from_millis(1);
    registry
}

fn image(platform: &str) -> PlatformImage {
    PlatformImage {
        platform: platform.parse().unwrap(),
        digest: digest_of(MANIFEST.as_bytes()),
        size_bytes: 1,
    }
}

fn manifest_answer(media_type: &str) -> (String, String) {
    (
        format!("200 OK\r\nContent-Type: {media_type}"),
        MANIFEST.to_owned(),
    )
}

fn created() -> (String, String) {
    ("201 Created".to_owned(), String::new())
}

async fn push(
    script: Arc<Script>,
    images: &[PlatformImage],
) -> (Result<String, String>, Vec<String>) {
    let (address, requests) = serve(script).await;
    let tags = ["v1", "latest"].map(str::to_owned);
    let pushed = registry(&address).push_index(images, &tags, &|_| {}).await;
    let requests = requests.lock().unwrap().clone();
    (
        pushed.map_err(|error| error.to_string().replace(&address, "HOST")),
        requests,
    )
}

#[tokio::test]
async fn docker_images_become_a_docker_list_and_oci_images_an_oci_index() {
    for (media_type, kind) in [(DOCKER_MANIFEST, DOCKER_LIST), (OCI_MANIFEST, OCI_INDEX)] {
        let script = move |line: &str, _: &str| {
            if line.starts_with("GET") {
                manifest_answer(media_type)
            } else {
                created()
            }
        };
        let images = [image("linux/amd64"), image("linux/arm/v6")];
        let (pushed, requests) = push(Arc::new(script), &images).await;
        assert_eq!(requests.len(), 4, "{requests:?}");
        for (request, tag) in requests[2..].iter().zip(["v1", "latest"]) {
            let (line, body) = request.split_once('\n').unwrap();
            assert_eq!(line, format!("PUT /v2/acme/api/manifests/{tag} HTTP/1.1"));
            let index: Value = serde_json::from_str(body).unwrap();
            assert_eq!(index["mediaType"], kind);
            assert_eq!(
                index["manifests"][0]["platform"],
                json!({"os": "linux", "architecture": "amd64"})
            );
            let arm = json!({
                "mediaType": media_type, "digest": digest_of(MANIFEST.as_bytes()), "size": MANIFEST.len(),
                "platform": {"os": "linux", "architecture": "arm", "variant": "v6"},
            });
            assert_eq!(index["manifests"][1], arm);
            assert_eq!(pushed, Ok(digest_of(body.as_bytes())));
        }
    }
}

#[tokio::test]
async fn transient_errors_are_retried_after_the_wait_that_the_registry_asks_for() {
    let count = Mutex::new(0);
    let script = move |line: &str, _: &str| {
        let mut count = count.lock().unwrap();
        *count += 1;
        match *count {
            1 => ("503 Service Unavailable".to_owned(), String::new()),
            2 => manifest_answer(DOCKER_MANIFEST),
            3 => (
                "429 Too Many Requests\r\nRetry-After: 1".to_owned(),
                "slow".to_owned(),
            ),
            _ => {
                assert!(line.starts_with("PUT"), "{line}");
                created()
            }
        }
    };
    let since = Instant::now();
    let (pushed, requests) = push(Arc::new(script), &[image("linux/amd64")]).await;
    assert!(pushed.is_ok(), "{pushed:?}");
    assert_eq!(requests.len(), 5);
    assert!(since.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn permanent_errors_are_reported_without_the_words_of_the_registry() {
    let denied = |line: &str, _: &str| {
        if line.starts_with("GET") {
            manifest_answer(DOCKER_MANIFEST)
        } else {
            let body = json!({"errors": [{"code": "DENIED", "message": "SECRET"}]});
            ("403 Forbidden".to_owned(), body.to_string())
        }
    };
    let images = [image("linux/amd64")];
    let (refused, requests) = push(Arc::new(denied), &images).await;
    let why = "the registry HOST refused the push: 403 Forbidden (access is denied)";
    assert_eq!((refused, requests.len()), (Err(why.to_owned()), 2));
    let down = |_: &str, _: &str| ("502 Bad Gateway".to_owned(), "SECRET".to_owned());
    let (refused, requests) = push(Arc::new(down), &images).await;
    let digest = digest_of(MANIFEST.as_bytes());
    let why = format!("could not read the image {digest} from the registry HOST: 502 Bad Gateway");
    assert_eq!((refused, requests.len()), (Err(why), 5));
    let day = |_: &str, _: &str| {
        let head = "429 Too Many Requests\r\nRetry-After: 86400";
        (head.to_owned(), String::new())
    };
    let (refused, requests) = push(Arc::new(day), &images).await;
    assert!(refused.unwrap_err().contains("retry only after 86400 s"));
    assert_eq!(requests.len(), 1);
}

#[tokio::test]
async fn a_wrong_digest_and_a_duplicate_platform_are_refused() {
    let other = |_: &str, _: &str| ("200 OK".to_owned(), "{}".to_owned());
    let (refused, _) = push(Arc::new(other), &[image("linux/amd64")]).await;
    assert!(
        refused
            .unwrap_err()
            .ends_with("the manifest has another digest")
    );
    let twice = [image("linux/arm64"), image("linux/arm64")];
    let (refused, requests) = push(Arc::new(other), &twice).await;
    let why = "two images are for linux/arm64; each image must be for a different platform";
    assert_eq!((refused, requests.len()), (Err(why.to_owned()), 0));
}

#[tokio::test]
async fn add_tags_returns_how_many_tags_were_added() {
    let digest = digest_of(MANIFEST.as_bytes());
    let tags = ["a", "b", "c"].map(str::to_owned);
    let add = async |script: Arc<Script>, digest: &str| {
        let (address, requests) = serve(script).await;
        let added = registry(&address).add_tags(digest, &tags).await;
        let requests = requests.lock().unwrap().clone();
        (added, requests)
    };
    let all = |line: &str, body: &str| {
        if line.starts_with("GET") {
            manifest_answer(DOCKER_MANIFEST)
        } else {
            assert_eq!(body, MANIFEST);
            created()
        }
    };
    let (count, requests) = add(Arc::new(all), &digest).await;
    assert_eq!(count, 3);
    assert!(requests[3].starts_with("PUT /v2/acme/api/manifests/c "));
    // The first refusal ends it, without a retry.
    let first = |line: &str, _: &str| match line {
        line if line.starts_with("GET") => manifest_answer(DOCKER_MANIFEST),
        line if line.contains("/manifests/a ") => created(),
        _ => ("503 Service Unavailable".to_owned(), String::new()),
    };
    let (count, requests) = add(Arc::new(first), &digest).await;
    assert_eq!((count, requests.len()), (1, 3));
    // A manifest with another digest gets no tag.
    let (count, requests) = add(Arc::new(all), "sha256:0").await;
    assert_eq!((count, requests.len()), (0, 1));
}

#[test]
fn entries_of_an_index_for_one_platform_are_listed_directly() {
    let inner = json!({"mediaType": OCI_MANIFEST, "digest": "sha256:1", "size": 1,
        "platform": {"os": "linux", "architecture": "amd64"}});
    let attestation = json!({"mediaType": OCI_MANIFEST, "digest": "sha256:2", "size": 2,
        "platform": {"os": "unknown", "architecture": "unknown"},
        "annotations": {"vnd.docker.reference.type": "attestation-manifest"}});
    let index = index_of(&[inner.clone(), attestation.clone()]);
    assert_eq!(
        entries_of(&image("linux/amd64"), &index),
        Ok(vec![inner, attestation])
    );
}
