//! Sources of somebody's own: sent first, then built.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use futures_util::Stream;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Body, Method};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Build, Client, ClientError};

/// Sources that were sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Source {
    /// Their name.
    pub id: Uuid,
    /// How large they are, packed.
    pub size_bytes: u64,
    /// The SHA-256 of the packed bytes, in hex.
    pub sha256: String,
}

/// A build of sources that were sent.
#[derive(Clone, Debug, Serialize)]
pub struct SourceBuild {
    /// The sources.
    pub source: Uuid,
    /// The pipeline's slug; `default` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// How the image is built.
    pub image: ImageSpec,
    /// Whether the image is pushed; when absent, if there is a place for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push: Option<bool>,
}

/// A build of sources that are not sent yet.
#[derive(Clone, Debug, Serialize)]
pub struct BuildToCheck {
    /// The pipeline's slug; `default` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// How the image is built.
    pub image: ImageSpec,
    /// Whether the image is pushed; when absent, if there is a place for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push: Option<bool>,
}

/// What is known of a build before it is made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckedBuild {
    /// Where its image would be pushed.
    pub repository: Option<String>,
}

/// How an image is built, and where it goes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ImageSpec {
    /// The Dockerfile, from the root of the sources.
    pub dockerfile: String,
    /// The stage to stop at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Build arguments.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Whether every step is run anew.
    pub no_cache: bool,
    /// Whether base images are pulled even if the host has them.
    pub pull: bool,
    /// Where the image is pushed; where the project says when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The tags that are pushed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The platforms it is built for; that of the runner when there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    /// Secrets of steps: the id there, and the project's variable with the value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// The time that the image says it was made at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_date: Option<SourceDate>,
    /// The names that the image has in an archive of it, a file of the job.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub archive: Vec<String>,
}

/// The time that an image says it was made at.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceDate {
    /// So many seconds after the beginning of 1970.
    Seconds(u32),
}

impl Client {
    /// Sends sources for a build of a project, as they come: a gzipped tar.
    ///
    /// There is no limit on the time it takes.
    pub async fn send_source(
        &self,
        namespace: &str,
        name: &str,
        packed: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<Source, ClientError> {
        let request = self
            .patient()?
            .request(Method::POST, &["projects", namespace, name, "sources"])
            .header(CONTENT_TYPE, "application/gzip")
            .body(Body::wrap_stream(packed));
        self.fetch(request).await
    }

    /// Whether sources could be built so, before they are sent.
    pub async fn check_build(
        &self,
        namespace: &str,
        name: &str,
        build: &BuildToCheck,
    ) -> Result<CheckedBuild, ClientError> {
        let path = ["projects", namespace, name, "builds", "check"];
        self.post(&path, build).await
    }

    /// Builds sources that were sent.
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
