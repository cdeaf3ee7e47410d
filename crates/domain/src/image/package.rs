//! Builds of packages, and where in a package the Dockerfile and the build context are.
//!
//! A build request for a package names a Dockerfile path and a context path, which are stored exactly
//! as given: [`stored_location`] picks the pair. [`PackageLocation::resolve`] turns the pair into the
//! paths a runner builds from. Nothing here touches a disk.

use serde::{Deserialize, Serialize};

use crate::ids::UploadId;
use crate::image::reference::is_tag;
use crate::names::Invalid;

/// The default name of a Dockerfile.
const DOCKERFILE: &str = "Dockerfile";
/// The maximum length of a sanitized tag, in characters.
const MAX_SANITIZED_TAG: usize = 127;
/// The maximum length of a path, in bytes.
const MAX_PATH: usize = 1024;

/// Where a package comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PackageSource {
    /// A URL from which the runner fetches the package.
    Url(String),
    /// A file that was uploaded to the farm, from which the runner fetches it.
    Upload(UploadId),
}

/// A package that a job builds instead of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildPackage {
    pub source: PackageSource,
    pub location: PackageLocation,
    /// Whether it is a directory that `slipway build` packed. Its names, links, permissions and times
    /// are restored exactly; other packages are unpacked by the rules for untrusted archives.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_directory: bool,
}

/// The request for a build of a package, as responses repeat it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestedPackage {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The uploaded file. It is part of the response even if the build uses `url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<UploadId>,
    pub location: PackageLocation,
    /// The sanitized tags of the image.
    pub tags: Vec<String>,
    /// The robot that pulls base images: `namespace+name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_robot: Option<String>,
    /// The first digits of a digest of the file or the URL.
    pub display_name: String,
}

/// Where in a package the Dockerfile and the context are, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageLocation {
    /// The path of the Dockerfile; may be empty.
    pub dockerfile_path: String,
    pub context: String,
}

/// The paths a runner builds from. Both are inside the package and have no `.`, `..` or empty parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedLocation {
    /// The build context, relative to the root of the package; empty for the root itself.
    pub context: String,
    /// The Dockerfile, relative to the context. If it is empty, the Dockerfile is missing.
    pub dockerfile: String,
}

impl ResolvedLocation {
    /// The Dockerfile, relative to the root of the package.
    pub fn dockerfile_in_package(&self) -> String {
        match self.context.as_str() {
            "" => self.dockerfile.clone(),
            context => format!("{context}/{}", self.dockerfile),
        }
    }
}

/// Returns the pair of paths to store for a request with these fields.
///
/// A field that is present counts even if it is empty, and paths are not normalized. The Dockerfile
/// path takes precedence over the subdirectory, and that over the context.
pub fn stored_location(
    dockerfile_path: Option<&str>,
    subdirectory: Option<&str>,
    context: Option<&str>,
) -> PackageLocation {
    let (dockerfile_path, context) = match (dockerfile_path, subdirectory, context) {
        (Some(path), _, Some(context)) => (path.to_owned(), context),
        (Some(path), _, None) => (path.to_owned(), directory_of(path)),
        // Without a Dockerfile path, the subdirectory is both the context and the place of the Dockerfile.
        (None, Some(directory), _) => (dockerfile_in(directory), directory),
        (None, None, context) => {
            let context = context.unwrap_or("/");
            (dockerfile_in(context), context)
        }
    };
    PackageLocation {
        dockerfile_path,
        context: context.to_owned(),
    }
}

impl PackageLocation {
    /// Resolves the pair to the paths a runner builds from.
    ///
    /// If the Dockerfile is not inside the context, its own directory becomes the context. If one of
    /// the two is empty, both are used unchanged.
    ///
    /// # Errors
    /// `Invalid` if a path leaves the package through `..`, is too long or has invalid characters.
    pub fn resolve(&self) -> Result<ResolvedLocation, Invalid> {
        let dockerfile = parts("Dockerfile path", &self.dockerfile_path)?;
        let context = parts("build context", &self.context)?;
        // An empty path cannot be compared with the other one, so neither replaces the other.
        let keep_both = self.dockerfile_path.is_empty() || self.context.is_empty();
        // Compared by parts, because `/apple` is not below `/app`.
        let (context, dockerfile) = match dockerfile.strip_prefix(context.as_slice()) {
            Some(below) => (context.as_slice(), below),
            None if keep_both => (context.as_slice(), dockerfile.as_slice()),
            None => dockerfile.split_at(dockerfile.len().saturating_sub(1)),
        };
        Ok(ResolvedLocation {
            context: context.join("/"),
            dockerfile: dockerfile.join("/"),
        })
    }
}

/// The parts of a path, relative to the root of the package, with `.` and `..` resolved.
fn parts<'a>(what: &'static str, path: &'a str) -> Result<Vec<&'a str>, Invalid> {
    let invalid = || Invalid::new(what, path, "a path inside the package");
    if path.len() > MAX_PATH || path.contains(['\0', '\n', '\r', '\\']) {
        return Err(invalid());
    }
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                // Popping from the root would leave the package.
                parts.pop().ok_or_else(invalid)?;
            }
            part => parts.push(part),
        }
    }
    Ok(parts)
}

/// The path of the Dockerfile in `directory`, which is not normalized.
fn dockerfile_in(directory: &str) -> String {
    let directory = directory.strip_suffix('/').unwrap_or(directory);
    format!("{directory}/{DOCKERFILE}")
}

/// The directory of a path, without trailing slashes unless it is the root.
fn directory_of(path: &str) -> &str {
    let end = path.rfind('/').map_or(0, |slash| slash + 1);
    let directory = &path[..end];
    match directory.trim_end_matches('/') {
        "" => directory,
        trimmed => trimmed,
    }
}

/// Turns any text into a valid tag.
///
/// An empty text becomes `latest`, invalid characters become `_`, and a long text is cut.
pub fn sanitize_tag(tag: &str) -> String {
    if tag.is_empty() {
        return "latest".to_owned();
    }
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let sanitized: String = tag
        .chars()
        .take(MAX_SANITIZED_TAG)
        .enumerate()
        .map(|(at, c)| match c {
            c if word(c) => c,
            // Tags must not start with these characters.
            '.' | '-' if at > 0 => c,
            _ => '_',
        })
        .collect();
    debug_assert!(is_tag(&sanitized));
    sanitized
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_paths_depend_on_which_fields_are_present() {
        // Dockerfile path, subdirectory and context of the request; then the stored path and context.
        type Row = (
            Option<&'static str>,
            Option<&'static str>,
            Option<&'static str>,
            &'static str,
            &'static str,
        );
        let table: &[Row] = &[
            (None, None, None, "/Dockerfile", "/"),
            (None, None, Some("/some"), "/some/Dockerfile", "/some"),
            (None, None, Some(""), "/Dockerfile", ""),
            (None, Some("some"), None, "some/Dockerfile", "some"),
            (None, Some("some/"), None, "some/Dockerfile", "some/"),
            (None, Some(""), None, "/Dockerfile", ""),
            (None, Some("a"), Some("/z"), "a/Dockerfile", "a"),
            (
                Some("some/Dockerfile"),
                None,
                None,
                "some/Dockerfile",
                "some",
            ),
            (Some("Dockerfile"), None, None, "Dockerfile", ""),
            (
                Some("some/Dockerfile"),
                None,
                Some("/"),
                "some/Dockerfile",
                "/",
            ),
            (
                Some("some/Dockerfile"),
                Some("slime"),
                Some("/"),
                "some/Dockerfile",
                "/",
            ),
            (Some(""), None, None, "", ""),
            // Cases that the Quay contract leaves open, by the same rules.
            (Some("/Dockerfile"), None, None, "/Dockerfile", "/"),
            (Some("a//b"), Some("c"), None, "a//b", "a"),
            (None, None, Some("/"), "/Dockerfile", "/"),
            (None, Some("../x"), None, "../x/Dockerfile", "../x"),
        ];
        for &(path, subdirectory, context, stored_path, stored_context) in table {
            let expected = PackageLocation {
                dockerfile_path: stored_path.to_owned(),
                context: stored_context.to_owned(),
            };
            let stored = stored_location(path, subdirectory, context);
            assert_eq!(stored, expected, "{path:?} {subdirectory:?} {context:?}");
        }
    }

    fn resolve(dockerfile_path: &str, context: &str) -> Option<(String, String)> {
        let location = PackageLocation {
            dockerfile_path: dockerfile_path.to_owned(),
            context: context.to_owned(),
        };
        let place = location.resolve().ok()?;
        Some((place.context, place.dockerfile))
    }

    #[test]
    fn a_location_resolves_to_a_dockerfile_below_the_context() {
        for (path, context, runner_context, dockerfile) in [
            ("/Dockerfile", "/", "", "Dockerfile"),
            ("some/Dockerfile", "some", "some", "Dockerfile"),
            ("/some/Dockerfile", "/", "", "some/Dockerfile"),
            ("/docker/Dockerfile", "/app", "docker", "Dockerfile"),
            ("", "", "", ""),
            // A relative context is resolved like an absolute one.
            ("app/docker/Dockerfile", "app", "app", "docker/Dockerfile"),
            ("/app/docker/Dockerfile", "app/", "app", "docker/Dockerfile"),
            ("Dockerfile", "", "", "Dockerfile"),
            ("/some/Dockerfile", "", "", "some/Dockerfile"),
            ("", "/some", "some", ""),
            ("a/../b/./Dockerfile", "//b//", "b", "Dockerfile"),
            // A common prefix is not enough: `/apple` is not below `/app`.
            ("/apple/Dockerfile", "/app", "apple", "Dockerfile"),
            ("/Dockerfile", "/app", "", "Dockerfile"),
            ("/app", "/app", "app", ""),
        ] {
            let expected = (runner_context.to_owned(), dockerfile.to_owned());
            assert_eq!(resolve(path, context), Some(expected), "{path} {context}");
        }
    }

    #[test]
    fn a_path_that_leaves_the_package_is_refused() {
        for (path, context) in [
            ("../Dockerfile", "/"),
            ("/../Dockerfile", "/"),
            ("a/../../Dockerfile", "a"),
            ("Dockerfile", "../../etc"),
            ("Dockerfile", ".."),
            ("", "/.."),
            ("a\0b", "/"),
            ("a\\..\\b", "/"),
        ] {
            assert_eq!(resolve(path, context), None, "{path} {context}");
        }
    }

    #[test]
    fn the_dockerfile_path_can_be_relative_to_the_package() {
        let place = |context: &str| ResolvedLocation {
            context: context.to_owned(),
            dockerfile: "d/Dockerfile".to_owned(),
        };
        assert_eq!(place("").dockerfile_in_package(), "d/Dockerfile");
        assert_eq!(place("a/b").dockerfile_in_package(), "a/b/d/Dockerfile");
    }

    #[test]
    fn every_text_is_sanitized_to_a_valid_tag() {
        for (text, tag) in [
            ("", "latest"),
            ("a b", "a_b"),
            (".x", "_x"),
            ("-x", "_x"),
            ("v1/2", "v1_2"),
            ("v1.2-rc_3", "v1.2-rc_3"),
            ("é", "_"),
            ("aéb", "a_b"),
        ] {
            assert_eq!(sanitize_tag(text), tag, "{text:?}");
        }
        assert_eq!(sanitize_tag(&"x".repeat(200)), "x".repeat(127));
        assert_eq!(sanitize_tag(&"é".repeat(200)), "_".repeat(127));
    }
}
