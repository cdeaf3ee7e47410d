//! Documents about an image: how it was made, and what is in it.
//!
//! Pure functions from facts to JSON, and a reader of what is installed in a file system that comes
//! as an archive. Where facts come from and where documents go is for others to know.

mod provenance;
mod purl;
mod sbom;
mod scan;

use serde_json::Value;

pub use provenance::{BUILD_TYPE, Base, Making, Source, provenance};
pub use sbom::sbom;
pub use scan::{Installed, Kind, Package, ScanLimits, scan};

/// The type of a provenance statement in a registry.
pub const PROVENANCE_TYPE: &str = "application/vnd.in-toto+json";
/// The type of a list of packages in a registry.
pub const SBOM_TYPE: &str = "application/spdx+json";

/// The image that a document is about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its repository, with the registry.
    pub name: &'a str,
    /// The digest of its manifest, such as `sha256:…`.
    pub digest: &'a str,
}

impl Subject<'_> {
    /// The digest's value, without its algorithm.
    fn hex(&self) -> &str {
        self.digest.strip_prefix("sha256:").unwrap_or(self.digest)
    }
}

/// The document with every text in it as `change` makes it, names of members excepted.
pub fn with_texts(document: Value, change: &dyn Fn(&str) -> String) -> Value {
    match document {
        Value::String(text) => Value::String(change(&text)),
        Value::Array(items) => items
            .into_iter()
            .map(|item| with_texts(item, change))
            .collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| (name, with_texts(value, change)))
            .collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_text_of_a_document_is_changed() {
        let document = json!({"a": ["xy", {"b": "y", "c": 1}], "y": "z"});
        let changed = with_texts(document, &|text| text.replace('y', "*"));
        assert_eq!(changed, json!({"a": ["x*", {"b": "*", "c": 1}], "y": "z"}));
    }
}
