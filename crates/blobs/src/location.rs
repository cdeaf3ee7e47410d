//! The location of the blob storage, as an operator configures it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

/// Where blobs are kept.
///
/// Written as a path, as `file:///path`, or as
/// `s3://bucket/prefix?endpoint=http://host:9000&region=eu-central-1&allow_http=true`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobLocation {
    /// A directory on this host, or on a file system that all coordinators share.
    Directory(PathBuf),
    /// An S3 bucket. Credentials come from the environment variables `AWS_ACCESS_KEY_ID` and
    /// `AWS_SECRET_ACCESS_KEY`, and optionally `AWS_SESSION_TOKEN`.
    S3 {
        /// The name of the bucket, which must exist.
        bucket: String,
        /// The prefix of all keys, without slashes at its ends; may be empty.
        prefix: String,
        /// The URL of the S3 server; Amazon's when `None`.
        endpoint: Option<String>,
        /// The region; `us-east-1` when `None`.
        region: Option<String>,
        /// Whether connections without TLS are allowed.
        allow_http: bool,
    },
}

/// Why a text is not a valid blob location.
#[derive(Debug, thiserror::Error)]
pub enum BlobLocationError {
    #[error("the blob location is empty; expected a directory or `s3://bucket/prefix`")]
    Empty,
    #[error(
        "unsupported scheme `{0}://` in the blob location; expected a directory, `file:///path` or `s3://bucket`"
    )]
    Scheme(String),
    #[error("the blob location `{text}` is not a valid URL")]
    Url {
        text: String,
        source: url::ParseError,
    },
    /// A `file:` URL without an absolute path.
    #[error("the blob location `{0}` has no absolute path; expected `file:///path`")]
    NoPath(String),
    #[error("the blob location `{0}` has no bucket; expected `s3://bucket/prefix`")]
    NoBucket(String),
    /// Credentials in the URL would show up in process lists and logs.
    #[error(
        "the blob location must not contain credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )]
    Credentials,
    #[error(
        "unknown parameter `{0}` in the blob location; allowed are `endpoint`, `region` and `allow_http`"
    )]
    Parameter(String),
    #[error("invalid `allow_http` value `{0}` in the blob location; expected `true` or `false`")]
    AllowHttp(String),
}

impl FromStr for BlobLocation {
    type Err = BlobLocationError;

    fn from_str(text: &str) -> Result<Self, BlobLocationError> {
        if text.is_empty() {
            return Err(BlobLocationError::Empty);
        }
        // Paths are the common case and need no scheme.
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
    // The location is logged and shown in process lists, so it must not contain secrets.
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

/// Shows the location without its parameters.
impl fmt::Display for BlobLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
            Self::S3 { bucket, prefix, .. } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_and_a_file_url_are_parsed_as_directories() {
        for text in ["/var/lib/slipway/blobs", "file:///var/lib/slipway/blobs"] {
            let location: BlobLocation = text.parse().expect("a directory");
            assert_eq!(
                location,
                BlobLocation::Directory("/var/lib/slipway/blobs".into())
            );
        }
    }

    #[test]
    fn an_s3_url_is_parsed_with_prefix_and_parameters() {
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
    fn an_invalid_location_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "is empty"),
            ("gs://bucket", "`gs://`"),
            ("s3://", "has no bucket"),
            ("s3://bucket?endpont=x", "`endpont`"),
            ("s3://bucket?allow_http=yes", "`yes`"),
            ("s3://key:secret@bucket/x", "AWS_ACCESS_KEY_ID"),
            ("file://relative", "file:///path"),
        ] {
            let error = text.parse::<BlobLocation>().expect_err(text).to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
