//! Image indexes: one name for the same image on several platforms.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use slipway_domain::Platform;
use slipway_domain::spec::PlatformImage;

use crate::digest_of;
use crate::manifests::{DOCKER_LIST, DOCKER_MANIFEST, Manifest, OCI_INDEX};
use crate::{Registry, RegistryError};

impl Registry {
    /// Makes an index of images that the repository has, and pushes it under every tag; returns its
    /// digest. The first tag that is not taken ends it, and what was pushed before stays. `tell`
    /// hears how it goes.
    ///
    /// # Errors
    /// `SamePlatform`; `Unreadable` and `Refused` when the registry stays with it.
    pub async fn push_index(
        &self,
        images: &[PlatformImage],
        tags: &[String],
        tell: &(dyn Fn(&str) + Sync),
    ) -> Result<String, RegistryError> {
        let mut seen = BTreeSet::new();
        if let Some(twice) = images.iter().find(|image| !seen.insert(&image.platform)) {
            return Err(RegistryError::SamePlatform(twice.platform.clone()));
        }
        let registry = || self.repository.registry().to_owned();
        let mut entries = Vec::new();
        for image in images {
            let read = self.manifest(&image.digest, tell).await;
            let entry = read.and_then(|manifest| entries_of(image, &manifest));
            entries.extend(entry.map_err(|detail| RegistryError::Unreadable {
                registry: registry(),
                digest: image.digest.clone(),
                detail,
            })?);
        }
        let index = index_of(&entries);
        for tag in tags {
            tell(&format!("Pushing {}", self.repository.tagged(tag)));
            let put = self.put_manifest(tag, &index, tell).await;
            put.map_err(|detail| RegistryError::Refused {
                registry: registry(),
                detail,
            })?;
        }
        Ok(digest_of(&index.bytes))
    }
}

/// What an index has of an image: one entry, or those of the index that some engines push for a
/// single platform, which say themselves what each is.
pub(crate) fn entries_of(image: &PlatformImage, manifest: &Manifest) -> Result<Vec<Value>, String> {
    let read: Value = serde_json::from_slice(&manifest.bytes)
        .map_err(|_| "what it gives is no manifest".to_owned())?;
    if let Some(Value::Array(entries)) = read.get("manifests") {
        return Ok(entries.clone());
    }
    Ok(vec![json!({
        "mediaType": manifest.media_type,
        "digest": image.digest,
        "size": manifest.bytes.len(),
        "platform": platform(&image.platform),
    })])
}

fn platform(platform: &Platform) -> Value {
    let mut told = json!({ "architecture": platform.architecture(), "os": platform.os() });
    if let Some(variant) = platform.variant() {
        told["variant"] = variant.into();
    }
    told
}

/// The index of these entries: a list as Docker has them where all are images as Docker has them,
/// which the oldest engines and registries take too, and otherwise one of OCI.
pub(crate) fn index_of(entries: &[Value]) -> Manifest {
    let of_docker = entries
        .iter()
        .all(|entry| entry["mediaType"] == DOCKER_MANIFEST);
    let media_type = if of_docker { DOCKER_LIST } else { OCI_INDEX };
    let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": entries });
    Manifest {
        media_type: media_type.to_owned(),
        bytes: index.to_string().into_bytes(),
    }
}
