//! A registry that answers as a story says.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use slipway_domain::spec::PlatformImage;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::index::{entries_of, index_of};
use crate::manifests::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};

const MANIFEST: &str = r#"{"schemaVersion":2,"config":{},"layers":[]}"#;

/// What a story answers to a request line and the body that came with it: a status line with
/// further headers, and a body.
type Story = dyn Fn(&str, &str) -> (String, String) + Send + Sync;

/// Serves a story, at its address; the requests that came are kept.
async fn serve(story: Arc<Story>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let requests: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (line, body) = read(&mut stream).await;
            // Of the requests for a token nothing is to be told.
            let (head, text) = match line.starts_with("GET /v2/ ") {
                true => ("200 OK".to_owned(), String::new()),
                false => {
                    kept.lock().unwrap().push(format!("{line}\n{body}"));
                    story(&line, &body)
                }
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

/// The request line and the body of a request.
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
        assert!(count > 0, "half a request: {text}");
        all.extend_from_slice(&more[..count]);
    }
}

fn registry(address: &str) -> Registry {
    let repository = format!("{address}/acme/api").parse().unwrap();
    let mut registry = Registry::of(&repository, None);
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

fn given(media_type: &str) -> (String, String) {
    (
        format!("200 OK\r\nContent-Type: {media_type}"),
        MANIFEST.to_owned(),
    )
}

fn taken() -> (String, String) {
    ("201 Created".to_owned(), String::new())
}

async fn pushed(
    story: Arc<Story>,
    images: &[PlatformImage],
) -> (Result<String, String>, Vec<String>) {
    let (address, requests) = serve(story).await;
    let tags = ["v1", "latest"].map(str::to_owned);
    let pushed = registry(&address).push_index(images, &tags, &|_| {}).await;
    let requests = requests.lock().unwrap().clone();
    (
        pushed.map_err(|error| error.to_string().replace(&address, "HOST")),
        requests,
    )
}

#[tokio::test]
async fn an_index_of_images_as_docker_has_them_is_a_list_as_docker_has_them() {
    for (media_type, kind) in [(DOCKER_MANIFEST, DOCKER_LIST), (OCI_MANIFEST, OCI_INDEX)] {
        let story = move |line: &str, _: &str| match line.starts_with("GET") {
            true => given(media_type),
            false => taken(),
        };
        let images = [image("linux/amd64"), image("linux/arm/v6")];
        let (pushed, requests) = pushed(Arc::new(story), &images).await;
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
async fn what_may_pass_is_asked_again_and_no_sooner_than_the_registry_says() {
    let asked = Mutex::new(0);
    let story = move |line: &str, _: &str| {
        let mut asked = asked.lock().unwrap();
        *asked += 1;
        match *asked {
            1 => ("503 Service Unavailable".to_owned(), String::new()),
            2 => given(DOCKER_MANIFEST),
            3 => (
                "429 Too Many Requests\r\nRetry-After: 1".to_owned(),
                "slow".to_owned(),
            ),
            _ => {
                assert!(line.starts_with("PUT"), "{line}");
                taken()
            }
        }
    };
    let since = Instant::now();
    let (pushed, requests) = pushed(Arc::new(story), &[image("linux/amd64")]).await;
    assert!(pushed.is_ok(), "{pushed:?}");
    assert_eq!(requests.len(), 5);
    assert!(since.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn what_stays_is_told_in_the_registrys_words() {
    let denied = |line: &str, _: &str| match line.starts_with("GET") {
        true => given(DOCKER_MANIFEST),
        false => ("403 Forbidden".to_owned(), "denied:\nread only".to_owned()),
    };
    let images = [image("linux/amd64")];
    let (refused, requests) = pushed(Arc::new(denied), &images).await;
    let why = "the registry HOST did not take it: 403 Forbidden denied: read only";
    assert_eq!((refused, requests.len()), (Err(why.to_owned()), 2));
    let down = |_: &str, _: &str| ("502 Bad Gateway".to_owned(), String::new());
    let (refused, requests) = pushed(Arc::new(down), &images).await;
    let digest = digest_of(MANIFEST.as_bytes());
    let why = format!("the registry HOST does not give the image {digest}: 502 Bad Gateway");
    assert_eq!((refused, requests.len()), (Err(why), 5));
    let day = |_: &str, _: &str| {
        let head = "429 Too Many Requests\r\nRetry-After: 86400";
        (head.to_owned(), String::new())
    };
    let (refused, requests) = pushed(Arc::new(day), &images).await;
    assert!(refused.unwrap_err().contains("come again in 86400 s"));
    assert_eq!(requests.len(), 1);
}

#[tokio::test]
async fn another_manifest_and_a_platform_twice_are_no_index() {
    let other = |_: &str, _: &str| ("200 OK".to_owned(), "{}".to_owned());
    let (refused, _) = pushed(Arc::new(other), &[image("linux/amd64")]).await;
    assert!(
        refused
            .unwrap_err()
            .ends_with("what it gives has another digest")
    );
    let twice = [image("linux/arm64"), image("linux/arm64")];
    let (refused, requests) = pushed(Arc::new(other), &twice).await;
    let why = "two of the images are for linux/arm64; each must be for a platform of its own";
    assert_eq!((refused, requests.len()), (Err(why.to_owned()), 0));
}

#[tokio::test]
async fn an_image_gets_more_tags_and_it_is_counted_how_many() {
    let digest = digest_of(MANIFEST.as_bytes());
    let tags = ["a", "b", "c"].map(str::to_owned);
    let tagged = async |story: Arc<Story>, digest: &str| {
        let (address, requests) = serve(story).await;
        let given = registry(&address).add_tags(digest, &tags).await;
        let requests = requests.lock().unwrap().clone();
        (given, requests)
    };
    let all = |line: &str, body: &str| match line.starts_with("GET") {
        true => given(DOCKER_MANIFEST),
        false => {
            assert_eq!(body, MANIFEST);
            taken()
        }
    };
    let (count, requests) = tagged(Arc::new(all), &digest).await;
    assert_eq!(count, 3);
    assert!(requests[3].starts_with("PUT /v2/acme/api/manifests/c "));
    // What is refused ends it, and nothing is tried again.
    let first = |line: &str, _: &str| match line {
        line if line.starts_with("GET") => given(DOCKER_MANIFEST),
        line if line.contains("/manifests/a ") => taken(),
        _ => ("503 Service Unavailable".to_owned(), String::new()),
    };
    let (count, requests) = tagged(Arc::new(first), &digest).await;
    assert_eq!((count, requests.len()), (1, 3));
    // Another image than the one that is meant gets none.
    let (count, requests) = tagged(Arc::new(all), "sha256:0").await;
    assert_eq!((count, requests.len()), (0, 1));
}

#[test]
fn an_index_of_one_platform_is_taken_apart() {
    let inner = json!({"mediaType": OCI_MANIFEST, "digest": "sha256:1", "size": 1,
        "platform": {"os": "linux", "architecture": "amd64"}});
    let proof = json!({"mediaType": OCI_MANIFEST, "digest": "sha256:2", "size": 2,
        "platform": {"os": "unknown", "architecture": "unknown"},
        "annotations": {"vnd.docker.reference.type": "attestation-manifest"}});
    let index = index_of(&[inner.clone(), proof.clone()]);
    assert_eq!(
        entries_of(&image("linux/amd64"), &index),
        Ok(vec![inner, proof])
    );
}
