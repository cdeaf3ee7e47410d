//! What all documents have in common.

use serde_json::Value;

/// The media type of a provenance statement in a registry.
pub const PROVENANCE_TYPE: &str = "application/vnd.in-toto+json";
/// The media type of an SBOM in a registry.
pub const SBOM_TYPE: &str = "application/spdx+json";

/// The image that a document is about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The repository with its registry.
    pub name: &'a str,
    /// The digest of the manifest, such as `sha256:…`.
    pub digest: &'a str,
}

impl Subject<'_> {
    /// The value of the digest, without its algorithm.
    pub(crate) fn hex_digest(&self) -> &str {
        self.digest.strip_prefix("sha256:").unwrap_or(self.digest)
    }
}

/// Applies `change` to every string of a document except the names of members.
pub fn map_texts(document: Value, change: &dyn Fn(&str) -> String) -> Value {
    match document {
        Value::String(text) => Value::String(change(&text)),
        Value::Array(items) => items
            .into_iter()
            .map(|item| map_texts(item, change))
            .collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| (name, map_texts(value, change)))
            .collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_text_except_member_names_is_changed() {
        let document = json!({"a": ["xy", {"b": "y", "c": 1}], "y": "z"});
        let changed = map_texts(document, &|text| text.replace('y', "*"));
        assert_eq!(changed, json!({"a": ["x*", {"b": "*", "c": 1}], "y": "z"}));
    }
}
