//! The spec of a script: commands to run in a container, and the artifacts to collect.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::checks::{check_path, is_variable_name};
use crate::expiry;
use crate::image::{Repository, is_tag};
use crate::names::{Invalid, Name, check_line};

/// The maximum number of commands, and of artifact paths, in a script.
const MAX_ITEMS: usize = 1000;
/// The maximum length of a command, in bytes.
const MAX_COMMAND: usize = 64 * 1024;

/// Commands to run in a shell in a checkout of the commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// The image of the container they run in; the runner's default when absent. A stock runner with
    /// the shell executor ignores it and runs the commands on its host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The job whose image to use. At the claim it is resolved into `image`, by digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_of: Option<Name>,
    /// Whether the image already contains the files, because a job with `keep` created it. Nothing is
    /// checked out then.
    #[serde(rename = "goes_on", default, skip_serializing_if = "is_false")]
    pub skip_checkout: bool,
    /// The repository and tag to which the container is committed as an image after the commands
    /// succeeded, for jobs that continue from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<String>,
    /// Run in order. The first command that fails ends the job.
    pub commands: Vec<String>,
    /// Environment variables of the commands, in addition to those of every job.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<ArtifactRules>,
}

/// Which files of a script become artifacts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtifactRules {
    /// Files and directories, relative to the checkout's root. `*`, `?` and `**` are wildcards.
    pub paths: Vec<String>,
    /// The archive's name, without its suffix; `artifacts` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// After which result of the script they are collected.
    #[serde(default, skip_serializing_if = "ArtifactsWhen::is_default")]
    pub when: ArtifactsWhen,
    /// How long they are kept, as a GitLab duration; forever when absent, `never` or zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expire_in: Option<String>,
}

/// Whether an artifact path, or a name in it, has wildcards.
pub fn has_wildcard(path: &str) -> bool {
    path.contains(['*', '?'])
}

/// After which result of a script its artifacts are collected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactsWhen {
    /// After all commands succeeded.
    #[default]
    OnSuccess,
    /// After a command failed.
    OnFailure,
    /// After either result.
    Always,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

impl ArtifactsWhen {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_default(&self) -> bool {
        *self == Self::OnSuccess
    }

    /// Returns true if artifacts are collected from a script with this result.
    pub fn collects(self, succeeded: bool) -> bool {
        match self {
            Self::OnSuccess => succeeded,
            Self::OnFailure => !succeeded,
            Self::Always => true,
        }
    }
}

impl Script {
    /// Checks the values that the types do not guarantee to be valid.
    ///
    /// # Errors
    /// `Invalid` if there is no command, for a malformed image, variable name or duration, and for a
    /// path that leaves the checkout.
    pub fn check(&self) -> Result<(), Invalid> {
        // A job without commands would succeed without doing anything.
        if self.commands.is_empty() || self.commands.len() > MAX_ITEMS {
            return Err(Invalid::new("commands", "", "1 to 1000 commands"));
        }
        let is_invalid = |command: &&String| command.len() > MAX_COMMAND || command.contains('\0');
        if let Some(command) = self.commands.iter().find(is_invalid) {
            // The error quotes only the start, because a command can have 64 KiB.
            let start: String = command.chars().take(40).collect();
            let expected = "at most 64 KiB without NUL bytes";
            return Err(Invalid::new("command", &start, expected));
        }
        if let Some(image) = &self.image {
            check_image(image)?;
        }
        let is_invalid = |name: &&String| !is_variable_name(name);
        if let Some(bad) = self.variables.keys().find(is_invalid) {
            let expected = "a name of A-Z a-z 0-9 _ that does not start with a digit";
            return Err(Invalid::new("variable name", bad, expected));
        }
        self.snapshot_target()?;
        self.artifacts.as_ref().map_or(Ok(()), ArtifactRules::check)
    }

    /// The repository and tag of `keep`, if it is set.
    ///
    /// # Errors
    /// `Invalid` if `keep` is not a repository and a tag.
    pub fn snapshot_target(&self) -> Result<Option<(Repository, String)>, Invalid> {
        let Some(keep) = &self.keep else {
            return Ok(None);
        };
        // The last colon, because the registry may have a port.
        let parts = keep.rsplit_once(':').filter(|(_, tag)| is_tag(tag));
        let parts = parts.and_then(|(name, tag)| Some((name.parse().ok()?, tag.to_owned())));
        let expected = "HOST[:PORT]/PATH:TAG, such as registry.example:5000/acme/api:kept";
        parts
            .map(Some)
            .ok_or_else(|| Invalid::new("keep", keep, expected))
    }
}

impl ArtifactRules {
    /// Whether a path is without wildcards, so that it is a mistake if it matches nothing.
    pub fn names_a_file(&self) -> bool {
        self.paths.iter().any(|path| !has_wildcard(path))
    }

    /// How long the files are kept; `None` if they do not expire.
    pub fn kept_for(&self) -> Option<TimeDelta> {
        expiry::parse(self.expire_in.as_deref()?)?.after()
    }

    fn check(&self) -> Result<(), Invalid> {
        if self.paths.is_empty() || self.paths.len() > MAX_ITEMS {
            return Err(Invalid::new("artifacts.paths", "", "1 to 1000 paths"));
        }
        for path in &self.paths {
            check_path("artifact path", path)?;
        }
        if let Some(name) = &self.name {
            check_line("artifacts.name", name)?;
            // The name becomes a file name in a `Content-Disposition` header.
            if name.is_empty() || name.contains(['/', '\\', '"']) || name.starts_with('.') {
                let expected = "a file name without / \\ \" that does not start with a dot";
                return Err(Invalid::new("artifacts.name", name, expected));
            }
        }
        match &self.expire_in {
            Some(text) if expiry::parse(text).is_none() => Err(Invalid::new(
                "artifacts.expire_in",
                text,
                "a duration such as 3 days or 2 hrs 20 min, or never",
            )),
            _ => Ok(()),
        }
    }
}

/// Checks that `image` has only characters of image references. A shell interprets none of them.
fn check_image(image: &str) -> Result<(), Invalid> {
    let is_valid = !image.is_empty()
        && image.len() <= 512
        && image.starts_with(|c: char| c.is_ascii_alphanumeric())
        && image
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b));
    if is_valid {
        return Ok(());
    }
    let expected = "an image reference such as registry.example:5000/acme/tools:1";
    Err(Invalid::new("image", image, expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(change: impl FnOnce(&mut Script)) -> Result<(), Invalid> {
        let mut script = Script {
            image: Some("busybox".to_owned()),
            image_of: None,
            skip_checkout: false,
            keep: None,
            commands: vec!["true".to_owned()],
            variables: BTreeMap::new(),
            artifacts: None,
        };
        change(&mut script);
        script.check()
    }

    fn paths(paths: &[&str], expire_in: Option<&str>) -> Option<ArtifactRules> {
        Some(ArtifactRules {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            name: None,
            when: ArtifactsWhen::OnSuccess,
            expire_in: expire_in.map(str::to_owned),
        })
    }

    #[test]
    fn an_invalid_script_is_refused() {
        assert!(script(|_| {}).is_ok());
        assert!(script(|s| s.artifacts = paths(&["out/**/*.txt", "a b"], Some("7 days"))).is_ok());
        assert!(script(|s| s.commands.clear()).is_err());
        assert!(script(|s| s.commands.push("a\0b".to_owned())).is_err());
        assert!(script(|s| s.image = Some("-v /:/host".to_owned())).is_err());
        assert!(script(|s| drop(s.variables.insert("1".to_owned(), String::new()))).is_err());
        assert!(script(|s| s.keep = Some("r.example:5000/a/b:kept".to_owned())).is_ok());
        for bad in [
            "r.example:5000/a/b",
            "kept",
            "a:1",
            "r.example/a:",
            "r.example/a@sha256:1",
        ] {
            assert!(script(|s| s.keep = Some(bad.to_owned())).is_err(), "{bad}");
        }
        assert!(script(|s| s.artifacts = paths(&["../x"], None)).is_err());
        assert!(script(|s| s.artifacts = paths(&[], None)).is_err());
        assert!(script(|s| s.artifacts = paths(&["x"], Some("soon"))).is_err());
    }

    #[test]
    fn artifacts_are_collected_after_the_listed_results() {
        use ArtifactsWhen::{Always, OnFailure, OnSuccess};
        let collects = |when: ArtifactsWhen| (when.collects(true), when.collects(false));
        assert_eq!(collects(OnSuccess), (true, false));
        assert_eq!(collects(OnFailure), (false, true));
        assert_eq!(collects(Always), (true, true));
    }
}
