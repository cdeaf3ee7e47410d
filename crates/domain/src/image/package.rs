//! Where a package has its Dockerfile and its build context, as two texts say it.
//!
//! A build that is asked for with a package keeps a path of the Dockerfile and a path of the
//! context exactly as they were given. [`stored_location`] says which pair is kept, and
//! [`PackageLocation::resolve`] what a runner makes of it. Nothing here looks at a disk.

use serde::{Deserialize, Serialize};

use crate::ids::UploadId;
use crate::image::reference::is_tag;
use crate::names::Invalid;

/// The name of a Dockerfile that nobody named.
const DOCKERFILE: &str = "Dockerfile";
/// The most characters that are kept of a tag.
const MAX_KEPT_TAG: usize = 127;
/// The longest path, in bytes.
const MAX_PATH: usize = 1024;

/// Where a package comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PackageSource {
    /// A URL, which the runner fetches.
    Url(String),
    /// A file that was uploaded to the farm, and that the runner fetches there.
    Upload(UploadId),
}

/// What a job builds that has a package in the place of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildPackage {
    /// Where the package comes from.
    pub source: PackageSource,
    /// Where in it the Dockerfile and the context are.
    pub location: PackageLocation,
}

/// How a build of a package was asked for, as it is told again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestedPackage {
    /// The URL that was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The uploaded file that was given. It is shown even when the URL is what is built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<UploadId>,
    /// Where in the package the Dockerfile and the context are.
    pub location: PackageLocation,
    /// The tags of the image, made to fit.
    pub tags: Vec<String>,
    /// Who pulls base images: `namespace+name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_robot: Option<String>,
    /// What a digest of the file or of the URL begins with.
    pub display_name: String,
}

/// The two paths of a build, as they were stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageLocation {
    /// The path of the Dockerfile. Empty when there is none.
    pub dockerfile_path: String,
    /// The path of the build context.
    pub context: String,
}

/// What a runner builds: both paths are inside the package, and have no `.`, `..` or empty part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedLocation {
    /// The build context, from the root of the package; empty for the root itself.
    pub context: String,
    /// The Dockerfile, from the context. Empty when there is none, which is a missing Dockerfile.
    pub dockerfile: String,
}

impl ResolvedLocation {
    /// The Dockerfile's path from the root of the package.
    pub fn dockerfile_in_package(&self) -> String {
        match self.context.as_str() {
            "" => self.dockerfile.clone(),
            context => format!("{context}/{}", self.dockerfile),
        }
    }
}

/// The pair that is stored for a request that had these fields.
///
/// Whether a field is there decides, not whether it is empty, and nothing is tidied up. The
/// Dockerfile's path goes first, then the subdirectory, then the context.
pub fn stored_location(
    dockerfile_path: Option<&str>,
    subdirectory: Option<&str>,
    context: Option<&str>,
) -> PackageLocation {
    let (dockerfile_path, context) = match (dockerfile_path, subdirectory, context) {
        (Some(path), _, Some(context)) => (path.to_owned(), context),
        (Some(path), _, None) => (path.to_owned(), directory_of(path)),
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
    /// What a runner builds of a package.
    ///
    /// A Dockerfile that is not inside the context replaces the context by its own directory. When
    /// one of the two is empty, both are taken as they are.
    ///
    /// # Errors
    /// When a path leaves the package by `..`, or cannot be a path.
    pub fn resolve(&self) -> Result<ResolvedLocation, Invalid> {
        let dockerfile = parts("Dockerfile path", &self.dockerfile_path)?;
        let context = parts("build context", &self.context)?;
        let as_they_are = self.dockerfile_path.is_empty() || self.context.is_empty();
        let (context, dockerfile) = match dockerfile.strip_prefix(context.as_slice()) {
            Some(below) => (context.as_slice(), below),
            None if as_they_are => (context.as_slice(), dockerfile.as_slice()),
            None => dockerfile.split_at(dockerfile.len().saturating_sub(1)),
        };
        Ok(ResolvedLocation {
            context: context.join("/"),
            dockerfile: dockerfile.join("/"),
        })
    }
}

/// The parts of a path from the root of the package, with `.` and `..` worked out.
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
                parts.pop().ok_or_else(invalid)?;
            }
            part => parts.push(part),
        }
    }
    Ok(parts)
}

/// The path of the Dockerfile in `directory`, which keeps its spelling.
fn dockerfile_in(directory: &str) -> String {
    let directory = directory.strip_suffix('/').unwrap_or(directory);
    format!("{directory}/{DOCKERFILE}")
}

/// What stands before the last slash of a path, without slashes at its end unless it is a root.
fn directory_of(path: &str) -> &str {
    let end = path.rfind('/').map_or(0, |slash| slash + 1);
    let directory = &path[..end];
    match directory.trim_end_matches('/') {
        "" => directory,
        trimmed => trimmed,
    }
}

/// The tag that is used for one that somebody asked for. Nothing is refused.
///
/// An empty one is `latest`; what a tag cannot have becomes `_`; the end is cut off.
pub fn sanitize_tag(tag: &str) -> String {
    if tag.is_empty() {
        return "latest".to_owned();
    }
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let kept: String = tag
        .chars()
        .take(MAX_KEPT_TAG)
        .enumerate()
        .map(|(at, c)| match c {
            c if word(c) => c,
            '.' | '-' if at > 0 => c,
            _ => '_',
        })
        .collect();
    debug_assert!(is_tag(&kept));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_pair_follows_from_the_fields_that_are_there() {
        // Dockerfile path, subdirectory, context; then what is stored of path and context.
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
            // What the table leaves open, by the same rules.
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
    fn a_runner_takes_the_dockerfile_from_the_context() {
        for (path, context, runner_context, dockerfile) in [
            ("/Dockerfile", "/", "", "Dockerfile"),
            ("some/Dockerfile", "some", "some", "Dockerfile"),
            ("/some/Dockerfile", "/", "", "some/Dockerfile"),
            ("/docker/Dockerfile", "/app", "docker", "Dockerfile"),
            ("", "", "", ""),
            // A relative context is resolved like one that begins with a slash.
            ("app/docker/Dockerfile", "app", "app", "docker/Dockerfile"),
            ("/app/docker/Dockerfile", "app/", "app", "docker/Dockerfile"),
            ("Dockerfile", "", "", "Dockerfile"),
            ("/some/Dockerfile", "", "", "some/Dockerfile"),
            ("", "/some", "some", ""),
            ("a/../b/./Dockerfile", "//b//", "b", "Dockerfile"),
            // A name that only begins alike is another directory.
            ("/apple/Dockerfile", "/app", "apple", "Dockerfile"),
            ("/Dockerfile", "/app", "", "Dockerfile"),
            ("/app", "/app", "app", ""),
        ] {
            let expected = (runner_context.to_owned(), dockerfile.to_owned());
            assert_eq!(resolve(path, context), Some(expected), "{path} {context}");
        }
    }

    #[test]
    fn no_path_leaves_the_package() {
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
    fn the_dockerfile_is_named_from_the_root_as_well() {
        let place = |context: &str| ResolvedLocation {
            context: context.to_owned(),
            dockerfile: "d/Dockerfile".to_owned(),
        };
        assert_eq!(place("").dockerfile_in_package(), "d/Dockerfile");
        assert_eq!(place("a/b").dockerfile_in_package(), "a/b/d/Dockerfile");
    }

    #[test]
    fn a_tag_is_made_to_fit_and_never_refused() {
        for (asked, used) in [
            ("", "latest"),
            ("a b", "a_b"),
            (".x", "_x"),
            ("-x", "_x"),
            ("v1/2", "v1_2"),
            ("v1.2-rc_3", "v1.2-rc_3"),
            ("é", "_"),
            ("aéb", "a_b"),
        ] {
            assert_eq!(sanitize_tag(asked), used, "{asked:?}");
        }
        assert_eq!(sanitize_tag(&"x".repeat(200)), "x".repeat(127));
        assert_eq!(sanitize_tag(&"é".repeat(200)), "_".repeat(127));
    }
}
