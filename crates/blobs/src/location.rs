//! Where blobs are kept, as an operator writes it, and the connection to it.

use std::fmt;
use std::path::{Path as FilePath, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ClientOptions, RetryConfig};
use url::Url;

use crate::Blobs;
use crate::error::BlobError;

/// Where blobs are kept.
///
/// Written as a path, as `file:///path`, or as
/// `s3://bucket/prefix?endpoint=http://host:9000&region=eu-central-1&allow_http=true`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobLocation {
    /// A directory on this machine, or on a file system that all coordinators share.
    Directory(PathBuf),
    /// A bucket. Its credentials are `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, and
    /// `AWS_SESSION_TOKEN` where there is one, of the environment.
    S3 {
        /// The name of the bucket, which has to exist.
        bucket: String,
        /// What every key is put under, without slashes at its ends; may be empty.
        prefix: String,
        /// Where the bucket is, when not at Amazon.
        endpoint: Option<String>,
        /// The region, `us-east-1` when nothing is said.
        region: Option<String>,
        /// Whether the endpoint may be reached without TLS.
        allow_http: bool,
    },
}

/// Why a text does not say where blobs are kept.
#[derive(Debug, thiserror::Error)]
pub enum BlobLocationError {
    /// Nothing was written at all.
    #[error("the blob location is empty; write a directory or `s3://bucket/prefix`")]
    Empty,
    /// The URL has another scheme.
    #[error("blobs cannot be kept at `{0}://`; write a directory, `file:///path` or `s3://bucket`")]
    Scheme(String),
    /// The URL cannot be read.
    #[error("`{text}` is not a URL")]
    Url {
        /// What was written.
        text: String,
        /// What is wrong with it.
        source: url::ParseError,
    },
    /// A `file:` URL without an absolute path.
    #[error("`{0}` names no directory; write `file:///path`")]
    NoPath(String),
    /// An `s3:` URL without a bucket.
    #[error("`{0}` names no bucket; write `s3://bucket/prefix`")]
    NoBucket(String),
    /// A secret where it would be seen.
    #[error("credentials belong in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, not in the URL")]
    Credentials,
    /// A parameter that means nothing here.
    #[error("`{0}` is not a parameter of `s3://`; there are `endpoint`, `region` and `allow_http`")]
    Parameter(String),
    /// `allow_http` has to be `true` or `false`.
    #[error("`allow_http` is `true` or `false`, not `{0}`")]
    AllowHttp(String),
}

impl FromStr for BlobLocation {
    type Err = BlobLocationError;

    fn from_str(text: &str) -> Result<Self, BlobLocationError> {
        if text.is_empty() {
            return Err(BlobLocationError::Empty);
        }
        let Some((scheme, _)) = text.split_once("://") else {
            return Ok(Self::Directory(PathBuf::from(text)));
        };
        if !matches!(scheme, "file" | "s3") {
            return Err(BlobLocationError::Scheme(scheme.to_owned()));
        }
        let url = Url::parse(text).map_err(|source| BlobLocationError::Url {
            text: text.to_owned(),
            source,
        })?;
        if scheme == "s3" {
            return bucket(&url);
        }
        url.to_file_path()
            .map(Self::Directory)
            .map_err(|()| BlobLocationError::NoPath(text.to_owned()))
    }
}

fn bucket(url: &Url) -> Result<BlobLocation, BlobLocationError> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err(BlobLocationError::Credentials);
    }
    let bucket = url
        .host_str()
        .filter(|bucket| !bucket.is_empty())
        .ok_or_else(|| BlobLocationError::NoBucket(url.to_string()))?
        .to_owned();
    let (mut endpoint, mut region, mut allow_http) = (None, None, false);
    for (name, value) in url.query_pairs() {
        match name.as_ref() {
            "endpoint" => endpoint = Some(value.into_owned()),
            "region" => region = Some(value.into_owned()),
            "allow_http" => {
                allow_http = value
                    .parse()
                    .map_err(|_| BlobLocationError::AllowHttp(value.into_owned()))?;
            }
            other => return Err(BlobLocationError::Parameter(other.to_owned())),
        }
    }
    Ok(BlobLocation::S3 {
        bucket,
        prefix: url.path().trim_matches('/').to_owned(),
        endpoint,
        region,
        allow_http,
    })
}

/// What an operator recognises the place by; without the parameters.
impl fmt::Display for BlobLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
            Self::S3 { bucket, prefix, .. } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

pub(crate) fn connect(location: &BlobLocation) -> Result<Blobs, BlobError> {
    let connected = match location {
        BlobLocation::Directory(path) => directory(path),
        BlobLocation::S3 {
            bucket,
            prefix,
            endpoint,
            region,
            allow_http,
        } => {
            let region = region.as_deref().unwrap_or("us-east-1");
            s3(bucket, prefix, endpoint.as_deref(), region, *allow_http)
        }
    };
    connected.map_err(|source| BlobError::Unusable {
        location: location.to_string(),
        step: "open",
        source,
    })
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

fn directory(path: &FilePath) -> Result<Blobs, Cause> {
    let path = std::path::absolute(path)?;
    create_durably(&path)?;
    let path = path.canonicalize()?;
    // An acknowledged blob has to outlive a power cut, so files and directories are synced.
    let store = LocalFileSystem::new_with_prefix(&path)?.with_fsync(true);
    Ok(Blobs {
        store: Arc::new(store),
        prefix: Path::default(),
        root: Some(path),
        part_size: 1024 * 1024,
    })
}

/// Makes a directory that only its owner may enter, and those above it.
fn create_durably(path: &FilePath) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;

    if path.is_dir() {
        return Ok(());
    }
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    create_durably(parent)?;
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        // Another coordinator may have been quicker.
        Err(_) if path.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => std::fs::File::open(parent)?.sync_all(),
    }
}

fn s3(
    bucket: &str,
    prefix: &str,
    endpoint: Option<&str>,
    region: &str,
    allow_http: bool,
) -> Result<Blobs, Cause> {
    // The HTTP client is built without cryptography of its own. Somebody else in this process may
    // have chosen a provider already, which serves just as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(region)
        .with_access_key_id(credential("AWS_ACCESS_KEY_ID")?)
        .with_secret_access_key(credential("AWS_SECRET_ACCESS_KEY")?)
        .with_allow_http(allow_http)
        // `DELETE key` is understood by every server that speaks S3, bulk deletes are not.
        .with_disable_bulk_delete(true)
        .with_retry(RetryConfig {
            max_retries: 5,
            retry_timeout: Duration::from_secs(30),
            ..RetryConfig::default()
        })
        .with_client_options(
            // A large artifact takes as long as it takes, as long as it moves.
            ClientOptions::new()
                .with_allow_http(allow_http)
                .with_timeout_disabled()
                .with_connect_timeout(Duration::from_secs(5))
                .with_read_timeout(Duration::from_secs(30)),
        );
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Ok(token) = std::env::var("AWS_SESSION_TOKEN") {
        builder = builder.with_token(token);
    }
    Ok(Blobs {
        store: Arc::new(builder.build()?),
        prefix: Path::parse(prefix)?,
        root: None,
        part_size: 8 * 1024 * 1024,
    })
}

fn credential(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| format!("{name} is not set"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_and_a_file_url_are_directories() {
        for text in ["/var/lib/slipway/blobs", "file:///var/lib/slipway/blobs"] {
            let location: BlobLocation = text.parse().expect("a directory");
            assert_eq!(
                location,
                BlobLocation::Directory("/var/lib/slipway/blobs".into())
            );
        }
    }

    #[test]
    fn a_bucket_has_a_prefix_and_parameters() {
        let text = "s3://blobs/farm/one?endpoint=http://127.0.0.1:9000&region=eu&allow_http=true";
        assert_eq!(
            text.parse::<BlobLocation>().expect("a bucket"),
            BlobLocation::S3 {
                bucket: "blobs".to_owned(),
                prefix: "farm/one".to_owned(),
                endpoint: Some("http://127.0.0.1:9000".to_owned()),
                region: Some("eu".to_owned()),
                allow_http: true,
            }
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_reason() {
        for (text, said) in [
            ("", "is empty"),
            ("gs://bucket", "`gs://`"),
            ("s3://", "names no bucket"),
            ("s3://bucket?endpont=x", "`endpont`"),
            ("s3://bucket?allow_http=yes", "`yes`"),
            ("s3://key:secret@bucket/x", "AWS_ACCESS_KEY_ID"),
            ("file://relative", "file:///path"),
        ] {
            let error = text.parse::<BlobLocation>().expect_err(text).to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
