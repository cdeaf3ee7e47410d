//! Calls of the engine's API with the version that was negotiated.
//!
//! The client library negotiates a version but sends its requests without one, and the engine then
//! answers as the newest version it has. So an engine that is newer than this program could answer
//! in a way that the program does not know.

use bollard::{BollardRequest, Docker};
use hyper::Uri;
use hyper::http::uri::PathAndQuery;

/// The first version of the API in which the limit of the build cache is `reserved-space`.
const FIRST_RESERVED_SPACE: (usize, usize) = (1, 48);

/// A client that sends every request with the version that it negotiated.
pub(crate) fn with_negotiated_version(docker: Docker) -> Docker {
    let version = docker.client_version();
    let version = (version.major_version, version.minor_version);
    docker.with_request_modifier(move |mut request: BollardRequest| {
        if let Some(uri) = versioned(request.uri(), version) {
            *request.uri_mut() = uri;
        }
        request
    })
}

/// The URI with the version in front of its path; `None` if it has no valid form with it.
fn versioned(uri: &Uri, version: (usize, usize)) -> Option<Uri> {
    let (major, minor) = version;
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let mut path = format!("/v{major}.{minor}{path}");
    // An engine that does not know the name of the limit would delete the whole cache.
    if uri.path() == "/build/prune" && version < FIRST_RESERVED_SPACE {
        path = path.replace("reserved-space=", "keep-storage=");
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path.parse().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;
    use std::sync::mpsc;

    use bollard::API_DEFAULT_VERSION;
    use bollard::query_parameters::{ListImagesOptions, PruneBuildOptions};

    use super::*;

    /// An engine that answers every request with `body`; yields the targets of the requests.
    fn engine(body: &'static str) -> (String, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap());
        let (sender, targets) = mpsc::channel();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let first = lines.next().unwrap().unwrap();
                let target = first.split(' ').nth(1).unwrap().to_owned();
                let _ = sender.send(target);
                lines.map_while(Result::ok).find(String::is_empty);
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        (address, targets)
    }

    #[tokio::test]
    async fn every_call_names_the_negotiated_version() {
        let (address, targets) = engine(r#"{"ApiVersion":"1.44","MinAPIVersion":"1.24"}"#);
        let docker = Docker::connect_with_http(&address, 5, API_DEFAULT_VERSION).unwrap();
        let docker = with_negotiated_version(docker.negotiate_version().await.unwrap());
        // The answers do not matter here.
        let _ = docker.version().await;
        let _ = docker.list_images(None::<ListImagesOptions>).await;
        let _ = docker.inspect_image("a/b:1").await;
        let _ = docker.inspect_container("c", None).await;
        let options = PruneBuildOptions {
            reserved_space: Some(7),
            ..PruneBuildOptions::default()
        };
        let _ = docker.prune_build(Some(options)).await;
        let targets: Vec<String> = targets.try_iter().skip(1).collect();
        assert_eq!(targets.len(), 5, "{targets:?}");
        let is_versioned = |target: &String| target.starts_with("/v1.44/");
        assert!(targets.iter().all(is_versioned), "{targets:?}");
        assert!(targets[4].contains("keep-storage=7"), "{targets:?}");
    }

    #[test]
    fn the_cache_limit_has_the_name_that_the_version_knows() {
        let uri: Uri = "unix://2f72:0/build/prune?reserved-space=7"
            .parse()
            .unwrap();
        for (version, expected) in [
            ((1, 41), "unix://2f72:0/v1.41/build/prune?keep-storage=7"),
            ((1, 48), "unix://2f72:0/v1.48/build/prune?reserved-space=7"),
        ] {
            assert_eq!(versioned(&uri, version).unwrap().to_string(), expected);
        }
    }
}
