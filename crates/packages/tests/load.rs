//! Loading packages from a real server, up to the paths to build from.

#![expect(
    clippy::disallowed_methods,
    reason = "tests await or drop their tasks themselves"
)]
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::io::Write as _;
use std::path::Path;

use slipway_domain::package::{PackageLocation, stored_location};
use slipway_outbound::NetworkPolicy;
use slipway_packages::{FetchLimits, PackageError, PackageUrl, Packages, UnpackLimits, locate};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Serves one response with this content type, if any. Returns its URL.
async fn serve(content_type: Option<&str>, body: Vec<u8>) -> PackageUrl {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/package", listener.local_addr().unwrap());
    let named = content_type.map(|name| format!("Content-Type: {name}\r\n"));
    let (named, length) = (named.unwrap_or_default(), body.len());
    let head = format!("HTTP/1.1 200 OK\r\n{named}Content-Length: {length}\r\n\r\n");
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(socket.read_u8().await.unwrap());
        }
        // The client may have disconnected already.
        let _ = socket.write_all(&[head.as_bytes(), &body].concat()).await;
    });
    url.parse().unwrap()
}

async fn load(
    content_type: Option<&str>,
    body: Vec<u8>,
    dir: &Path,
) -> Result<Vec<String>, PackageError> {
    let url = serve(content_type, body).await;
    let allowed = NetworkPolicy::default().public_only(["127.0.0.0/8".parse().unwrap()]);
    let limits = (FetchLimits::default(), UnpackLimits::default());
    let packages = Packages::new(limits.0, limits.1, allowed)?;
    let mut progress = Vec::new();
    let mut report = |line: &str| progress.push(line.to_owned());
    packages.load(&url, dir, &mut report).await?;
    Ok(progress)
}

/// A compressed tar archive with one file.
fn tarball(path: &str, text: &str) -> Vec<u8> {
    let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut archive = tar::Builder::new(encoder);
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(text.len() as u64);
    archive
        .append_data(&mut header, path, text.as_bytes())
        .unwrap();
    archive.into_inner().unwrap().finish().unwrap()
}

/// A zip archive with one file.
fn zipped(path: &str, text: &str) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    archive.start_file(path, options).unwrap();
    archive.write_all(text.as_bytes()).unwrap();
    archive.finish().unwrap().into_inner()
}

const DOCKERFILE: &str = "FROM scratch\nLABEL a=b\n";

#[tokio::test]
async fn tar_and_zip_packages_are_unpacked() {
    let octets = Some("application/octet-stream");
    for (content_type, body) in [
        (
            Some("application/gzip"),
            tarball("sub/Dockerfile", DOCKERFILE),
        ),
        (
            Some("application/x-tar"),
            tarball("sub/Dockerfile", DOCKERFILE),
        ),
        (octets, tarball("sub/Dockerfile", DOCKERFILE)),
        (None, tarball("sub/Dockerfile", DOCKERFILE)),
        (
            Some("application/zip"),
            zipped("sub/Dockerfile", DOCKERFILE),
        ),
        (octets, zipped("sub/Dockerfile", DOCKERFILE)),
        (None, zipped("sub/Dockerfile", DOCKERFILE)),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        let progress = load(content_type, body, &source).await.unwrap();
        assert!(
            progress.last().unwrap().starts_with("Unpacked 2 entries"),
            "{progress:?}"
        );

        let resolved = locate(&source, &stored_location(None, Some("sub"), None)).unwrap();
        let dockerfile = source.join(resolved.dockerfile_in_package());
        assert_eq!(std::fs::read_to_string(dockerfile).unwrap(), DOCKERFILE);
        let missing = locate(&source, &stored_location(None, None, None));
        assert!(matches!(
            missing,
            Err(PackageError::DockerfileMissing { .. })
        ));
    }
}

#[tokio::test]
async fn a_single_dockerfile_is_a_package() {
    for content_type in [
        Some("text/plain; charset=utf-8"),
        Some("application/octet-stream"),
        None,
    ] {
        let dir = tempfile::tempdir().unwrap();
        let progress = load(content_type, DOCKERFILE.into(), dir.path())
            .await
            .unwrap();
        assert_eq!(progress.last().unwrap(), "The package is a Dockerfile");
        let location = PackageLocation {
            dockerfile_path: "/Dockerfile".to_owned(),
            context: "/".to_owned(),
        };
        let resolved = locate(dir.path(), &location).unwrap();
        let dockerfile = dir.path().join(resolved.dockerfile_in_package());
        assert_eq!(std::fs::read_to_string(dockerfile).unwrap(), DOCKERFILE);
    }
}

#[tokio::test]
async fn an_unsupported_package_is_refused_with_the_reason() {
    let octets = Some("application/octet-stream");
    for (content_type, body, expected) in [
        (Some("image/png"), Vec::new(), "of the type image/png"),
        (Some("text/html"), Vec::new(), "of the type text/html"),
        (
            octets,
            vec![0xfd; 2 << 20],
            "larger than the maximum for a Dockerfile, 1 MiB",
        ),
        (
            Some("application/zip"),
            tarball("a", "b"),
            "the archive cannot be read",
        ),
        (
            Some("application/gzip"),
            zipped("a", "b"),
            "not compressed with gzip",
        ),
        (
            Some("application/x-tar"),
            tarball("a", "b")[..40].to_vec(),
            "the archive cannot be read",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let error = load(content_type, body, dir.path()).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
