//! Image indexes: one name for the same image on several platforms.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use slipway_domain::Platform;
use slipway_domain::spec::PlatformImage;

use crate::error::RegistryError;
use crate::manifests::{DOCKER_LIST, DOCKER_MANIFEST, Manifest, OCI_INDEX, digest_of};
use crate::repository::Registry;

impl Registry {
    /// Creates an index of images that are in the repository, and pushes it under every tag;
    /// returns its digest. Stops at the first tag that the registry refuses; tags pushed before
    /// stay. `report` receives each push and each retry as a line.
    ///
    /// # Errors
    /// `SamePlatform`; `Unreadable` and `Refused` if all attempts failed.
    pub async fn push_index(
        &self,
        images: &[PlatformImage],
        tags: &[String],
        report: &(dyn Fn(&str) + Sync),
    ) -> Result<String, RegistryError> {
        let mut seen = BTreeSet::new();
        if let Some(duplicate) = images.iter().find(|image| !seen.insert(&image.platform)) {
            return Err(RegistryError::SamePlatform(duplicate.platform.clone()));
        }
        let registry = || self.repository().registry().to_owned();
        let mut entries = Vec::new();
        for image in images {
            // The size and the media type of an entry are known only from the manifest itself.
            let read = self.manifest(&image.digest, report).await;
            let entry = read.and_then(|manifest| entries_of(image, &manifest));
            entries.extend(entry.map_err(|detail| RegistryError::Unreadable {
                registry: registry(),
                digest: image.digest.clone(),
                detail,
            })?);
        }
        let index = index_of(&entries);
        for tag in tags {
            report(&format!("Pushing {}", self.repository().tagged(tag)));
            let put = self.put_manifest(tag, &index, report).await;
            put.map_err(|detail| RegistryError::Refused {
                registry: registry(),
                detail,
            })?;
        }
        Ok(digest_of(&index.bytes))
    }
}

/// The entries of an image in the index: one, or those of the index that some engines push for a
/// single platform. The latter already name their platforms.
pub(crate) fn entries_of(image: &PlatformImage, manifest: &Manifest) -> Result<Vec<Value>, String> {
    let read: Value = serde_json::from_slice(&manifest.bytes)
        .map_err(|_| "the answer is not a manifest".to_owned())?;
    if let Some(Value::Array(entries)) = read.get("manifests") {
        return Ok(entries.clone());
    }
    Ok(vec![json!({
        "mediaType": manifest.media_type,
        "digest": image.digest,
        "size": manifest.bytes.len(),
        "platform": platform_json(&image.platform),
    })])
}

fn platform_json(platform: &Platform) -> Value {
    let mut json = json!({ "architecture": platform.architecture(), "os": platform.os() });
    if let Some(variant) = platform.variant() {
        json["variant"] = variant.into();
    }
    json
}

/// The index of these entries.
///
/// If all entries are Docker manifests it is a Docker manifest list, which the oldest engines and
/// registries accept too; otherwise it is an OCI index.
pub(crate) fn index_of(entries: &[Value]) -> Manifest {
    let is_docker = entries
        .iter()
        .all(|entry| entry["mediaType"] == DOCKER_MANIFEST);
    let media_type = if is_docker { DOCKER_LIST } else { OCI_INDEX };
    let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": entries });
    Manifest {
        media_type: media_type.to_owned(),
        bytes: index.to_string().into_bytes(),
    }
}
