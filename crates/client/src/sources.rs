//! Source archives: uploaded first, then built.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use futures_util::Stream;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Body, Method};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Build, Client, ClientError};

/// An uploaded source archive.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Source {
    pub id: Uuid,
    /// The size of the archive in bytes, as uploaded.
    pub size_bytes: u64,
    /// The SHA-256 of the archive as uploaded, in hex.
    pub sha256: String,
}

/// A build of an uploaded source archive.
#[derive(Clone, Debug, Serialize)]
pub struct SourceBuild {
    pub source: Uuid,
    /// The slug of the pipeline. If absent, `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// How to build the image.
    pub image: ImageSpec,
    /// Whether to push the image. If absent, it is pushed if a repository is set for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push: Option<bool>,
}

/// A build of a source archive that is not uploaded yet.
#[derive(Clone, Debug, Serialize)]
pub struct BuildToCheck {
    /// The slug of the pipeline. If absent, `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// How to build the image.
    pub image: ImageSpec,
    /// Whether to push the image. If absent, it is pushed if a repository is set for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push: Option<bool>,
}

/// The result of checking a build.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckedBuild {
    /// The repository to which the image would be pushed, if it would be.
    pub repository: Option<String>,
}

/// How to build an image, and where to push it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ImageSpec {
    /// The path of the Dockerfile in the source archive.
    pub dockerfile: String,
    /// The stage to build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Whether to run every step without the cache.
    pub no_cache: bool,
    /// Whether to pull base images even if the build host has them.
    pub pull: bool,
    /// The repository to which the image is pushed. If absent, that of the project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The tags to push.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The platforms to build for. If empty, the platform of the runner.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    /// Secrets of build steps: from the id in the Dockerfile to the project variable with the
    /// value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// The creation time that is written into the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_date: Option<SourceDate>,
    /// The names of the image in an archive of it, which becomes an artifact of the job.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub archive: Vec<String>,
}

/// The creation time that is written into an image.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceDate {
    /// Seconds since 1970-01-01T00:00:00Z.
    Seconds(u32),
}

impl Client {
    /// Uploads a source archive, a gzipped tar, for a build of a project. The upload has no time
    /// limit.
    pub async fn send_source(
        &self,
        namespace: &str,
        name: &str,
        packed: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<Source, ClientError> {
        let request = self
            .without_read_timeout()?
            .request(Method::POST, &["projects", namespace, name, "sources"])
            .header(CONTENT_TYPE, "application/gzip")
            .body(Body::wrap_stream(packed));
        self.fetch(request).await
    }

    /// Checks a build of a source archive before the archive is uploaded.
    pub async fn check_build(
        &self,
        namespace: &str,
        name: &str,
        build: &BuildToCheck,
    ) -> Result<CheckedBuild, ClientError> {
        let path = ["projects", namespace, name, "builds", "check"];
        self.post(&path, build).await
    }

    /// Builds an uploaded source archive.
    pub async fn build_source(
        &self,
        namespace: &str,
        name: &str,
        build: &SourceBuild,
    ) -> Result<Build, ClientError> {
        self.post(&["projects", namespace, name, "builds"], build)
            .await
    }
}
