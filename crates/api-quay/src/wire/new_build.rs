//! The body that creates a build.

use slipway_domain::package::{PackageLocation, sanitize_tag, stored_location};

use super::Fields;
use crate::error::QuayError;

/// The tag of a build without tags.
const DEFAULT_TAG: &str = "latest";

/// What `POST …/build/` asks for.
#[derive(Debug)]
pub(crate) struct NewBuild {
    /// The id of an uploaded file, not validated.
    pub(crate) file: Option<String>,
    /// Where the farm downloads the package.
    pub(crate) url: Option<String>,
    /// The Dockerfile and the context in the package.
    pub(crate) location: PackageLocation,
    pub(crate) tags: Vec<String>,
    /// The robot whose password is used to pull base images.
    pub(crate) robot: Option<String>,
}

impl TryFrom<Fields> for NewBuild {
    type Error = QuayError;

    fn try_from(fields: Fields) -> Result<Self, QuayError> {
        // Fields are checked in Quay's order, because the first invalid one is in the response.
        let not_empty =
            |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        let file = not_empty(fields.text("file_id")?);
        let url = not_empty(fields.text("archive_url")?);
        // Which of the three decides is a rule of Quay; the values are stored as they are.
        let location = stored_location(
            fields.text("dockerfile_path")?,
            fields.text("subdirectory")?,
            fields.text("context")?,
        );
        let robot = not_empty(fields.text("pull_robot")?);
        let (docker_tags, tags) = (fields.texts("docker_tags")?, fields.texts("tags")?);
        let tags = docker_tags.or(tags).unwrap_or_else(|| vec![DEFAULT_TAG]);
        if file.is_none() && url.is_none() {
            return Err(QuayError::invalid("file_id or archive_url required"));
        }
        if let Some(url) = &url {
            check_url(url)?;
        }
        Ok(Self {
            file,
            url,
            location,
            tags: tags.into_iter().map(sanitize_tag).collect(),
            robot,
        })
    }
}

/// Checks a URL as far as Quay does when it creates a build. Whether it works shows in the build.
fn check_url(url: &str) -> Result<(), QuayError> {
    let authority = url.split_once("//").map_or("", |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('[') != authority.contains(']') {
        let why = "Invalid Archive URL: Must be a valid URI";
        return Err(QuayError::invalid(why));
    }
    let scheme = url.split_once(':').map(|(scheme, _)| scheme);
    let accepted =
        |scheme: &str| scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    if !scheme.is_some_and(accepted) {
        let why = "Invalid Archive URL: Must be http or https";
        return Err(QuayError::invalid(why));
    }
    // Quay answers 500 for these; 400 is the documented difference.
    if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        let why = "Invalid Archive URL: Must be ASCII; percent-encode other characters";
        return Err(QuayError::invalid(why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn new_build(body: Value) -> Result<NewBuild, QuayError> {
        match body {
            Value::Object(fields) => NewBuild::try_from(Fields(fields)),
            _ => unreachable!("the tests pass objects"),
        }
    }

    #[test]
    fn a_build_needs_a_file_or_a_valid_url() {
        for invalid in [
            json!({}),
            json!({"archive_url": "", "file_id": ""}),
            json!({"archive_url": 5}),
            json!({"file_id": null}),
            json!({"archive_url": "foobarbaz"}),
            json!({"archive_url": "ftp://x/y"}),
            json!({"archive_url": "http://[::1"}),
            json!({"archive_url": "https://x/é.tgz"}),
            json!({"archive_url": "https://x", "context": null}),
        ] {
            assert!(new_build(invalid.clone()).is_err(), "{invalid}");
        }
        for valid in ["HTTP://X/y", "http://[::1]/a", "https:", "http://x/?q=[a"] {
            assert!(new_build(json!({"archive_url": valid})).is_ok(), "{valid}");
        }
    }

    #[test]
    fn tags_have_two_names_and_are_sanitized() {
        let tags = |more: Value| {
            let mut body = json!({"archive_url": "https://x"});
            if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
                body.extend(more);
            }
            new_build(body).map(|build| build.tags)
        };
        assert_eq!(tags(json!({})).unwrap(), ["latest"]);
        assert_eq!(tags(json!({"tags": ["v 1"]})).unwrap(), ["v_1"]);
        let both = json!({"tags": ["b"], "docker_tags": ["a", ""]});
        assert_eq!(tags(both).unwrap(), ["a", "latest"]);
        for invalid in [
            json!([]),
            json!(["a", "a"]),
            json!("a"),
            json!(null),
            json!([1]),
        ] {
            assert!(
                tags(json!({"docker_tags": invalid.clone()})).is_err(),
                "{invalid}"
            );
            assert!(
                tags(json!({"tags": invalid.clone(), "docker_tags": ["a"]})).is_err(),
                "{invalid}"
            );
        }
    }
}
