//! Documents attached to an image, as OCI referrers.
//!
//! Each document has a manifest whose subject is the manifest of the image. If a registry does not
//! list referrers, an index under a tag made from the image's digest lists them: the fallback of
//! the distribution specification.

use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::{
    IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
};
use oci_client::{Reference, RegistryOperation};
use serde_json::{Value, json};

use crate::error::{RegistryError, failure};
use crate::manifests::digest_of;
use crate::repository::Registry;

/// The configuration of a manifest that needs no configuration.
const EMPTY: &[u8] = b"{}";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";

/// A document about an image.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its media type.
    pub kind: &'static str,
    pub bytes: Vec<u8>,
}

/// How clients find the attached documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    /// The registry lists them.
    Listed,
    /// Through the fallback tag, because the registry lists no referrers.
    Tagged,
}

impl Registry {
    /// Attaches documents to the image whose manifest has this `digest`.
    ///
    /// # Errors
    /// `Refused`; documents attached before stay.
    pub async fn attach(
        &self,
        digest: &str,
        documents: &[Document],
    ) -> Result<Attached, RegistryError> {
        let attached = self.attach_all(digest, documents).await;
        attached.map_err(|error| RegistryError::Refused {
            registry: self.repository().registry().to_owned(),
            detail: failure(&self.session, &error),
        })
    }

    async fn attach_all(
        &self,
        digest: &str,
        documents: &[Document],
    ) -> Result<Attached, OciDistributionError> {
        let image = self.by_digest(digest);
        self.client
            .auth(&image, &self.auth, RegistryOperation::Push)
            .await?;
        let accepted = [OCI_IMAGE_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE];
        let (manifest, _) = self
            .client
            .pull_manifest_raw(&image, &self.auth, &accepted)
            .await?;
        let subject = json!({
            "mediaType": media_type(&manifest),
            "digest": digest,
            "size": manifest.len(),
        });
        let empty = digest_of(EMPTY);
        self.client.push_blob(&image, EMPTY, &empty).await?;
        let mut entries = Vec::new();
        for document in documents {
            let blob = digest_of(&document.bytes);
            self.client
                .push_blob(&image, document.bytes.clone(), &blob)
                .await?;
            let manifest = json!({
                "schemaVersion": 2,
                "mediaType": OCI_IMAGE_MEDIA_TYPE,
                "artifactType": document.kind,
                "config": { "mediaType": EMPTY_TYPE, "digest": empty, "size": EMPTY.len() },
                "layers": [{
                    "mediaType": document.kind,
                    "digest": blob,
                    "size": document.bytes.len(),
                }],
                "subject": subject,
            });
            let bytes = manifest.to_string().into_bytes();
            let manifest_digest = digest_of(&bytes);
            entries.push(json!({
                "mediaType": OCI_IMAGE_MEDIA_TYPE,
                "artifactType": document.kind,
                "digest": manifest_digest,
                "size": bytes.len(),
            }));
            let reference = self.by_digest(&manifest_digest);
            self.push_manifest(&reference, bytes, OCI_IMAGE_MEDIA_TYPE)
                .await?;
        }
        // Without a list of referrers the client reads the fallback tag, which does not have the
        // new documents yet. So this is true only for a registry that lists them itself.
        let listed = self.client.pull_referrers(&image, None).await;
        let is_listed = |entry: &Value| {
            listed.as_ref().is_ok_and(|index| {
                let mut found = index.manifests.iter();
                found.any(|listed| entry["digest"] == listed.digest.as_str())
            })
        };
        if entries.iter().all(is_listed) {
            return Ok(Attached::Listed);
        }
        self.add_to_fallback_tag(digest, entries).await?;
        Ok(Attached::Tagged)
    }

    /// Adds entries to the index under the fallback tag of the image with this `digest`.
    async fn add_to_fallback_tag(
        &self,
        digest: &str,
        entries: Vec<Value>,
    ) -> Result<(), OciDistributionError> {
        let tag = Reference::with_tag(
            self.repository().registry().to_owned(),
            self.path().to_owned(),
            digest.replace(':', "-"),
        );
        let accepted = [OCI_IMAGE_INDEX_MEDIA_TYPE];
        let pulled = self.client.pull_manifest_raw(&tag, &self.auth, &accepted);
        let mut manifests = match pulled.await {
            Ok((index, _)) => {
                let index: Value = serde_json::from_slice(&index).unwrap_or_default();
                index["manifests"].as_array().cloned().unwrap_or_default()
            }
            Err(error) if is_missing(&error) => Vec::new(),
            Err(error) => return Err(error),
        };
        // Attaching the same document again must not list it twice.
        for entry in entries {
            manifests.retain(|listed| listed["digest"] != entry["digest"]);
            manifests.push(entry);
        }
        let index = json!({
            "schemaVersion": 2,
            "mediaType": OCI_IMAGE_INDEX_MEDIA_TYPE,
            "manifests": manifests,
        });
        let bytes = index.to_string().into_bytes();
        self.push_manifest(&tag, bytes, OCI_IMAGE_INDEX_MEDIA_TYPE)
            .await
    }

    async fn push_manifest(
        &self,
        to: &Reference,
        bytes: Vec<u8>,
        media_type: &'static str,
    ) -> Result<(), OciDistributionError> {
        let media_type = media_type.parse().map_err(|_| {
            OciDistributionError::GenericError(Some("invalid media type".to_owned()))
        })?;
        let pushed = self.client.push_manifest_raw(to, bytes, media_type).await;
        pushed.map(drop)
    }

    fn by_digest(&self, digest: &str) -> Reference {
        Reference::with_digest(
            self.repository().registry().to_owned(),
            self.path().to_owned(),
            digest.to_owned(),
        )
    }
}

/// The media type that a manifest declares.
fn media_type(manifest: &[u8]) -> String {
    let manifest: Value = serde_json::from_slice(manifest).unwrap_or_default();
    let own = manifest["mediaType"].as_str();
    own.unwrap_or(OCI_IMAGE_MEDIA_TYPE).to_owned()
}

/// Whether the registry has no such manifest.
fn is_missing(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::ImageManifestNotFoundError(_)
        | OciDistributionError::ServerError { code: 404, .. } => true,
        OciDistributionError::RegistryError { envelope, .. } => {
            let mut errors = envelope.errors.iter();
            errors.any(|error| {
                matches!(
                    error.code,
                    OciErrorCode::ManifestUnknown | OciErrorCode::NotFound
                )
            })
        }
        _ => false,
    }
}
