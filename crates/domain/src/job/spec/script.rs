//! A script: commands that run in a container, and the files they leave.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::checks::{check_path, is_variable_name};
use crate::expiry;
use crate::image::{Repository, is_tag};
use crate::names::{Invalid, Name, check_line};

/// The most commands, artifact paths or variables that one script has.
const MAX_ITEMS: usize = 1000;
/// The longest command, in bytes.
const MAX_COMMAND: usize = 64 * 1024;

/// Commands that a shell runs in a checkout of the commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// The image whose container they run in. Without one it is for the runner to choose; a stock
    /// runner with the shell executor runs them on its host either way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The job whose image it is. A claim adds the `image`, by its digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_of: Option<Name>,
    /// Whether the image holds the files already that the commands work on, as one does that a job
    /// with `keep` left: nothing is checked out then.
    #[serde(default, skip_serializing_if = "is_false")]
    pub goes_on: bool,
    /// Where the container is kept as an image once the commands have succeeded, for jobs that go
    /// on from there: a repository and a tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<String>,
    /// The commands, in order. The first that fails ends the job.
    pub commands: Vec<String>,
    /// What the commands see in their environment, besides what every job does.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// What is kept of the files they leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<ArtifactRules>,
}

/// Which files a script leaves to the farm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtifactRules {
    /// Files and directories, relative to the checkout's root; `*` and `**` stand for names.
    pub paths: Vec<String>,
    /// The archive's name, without its suffix; `artifacts` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// After which end of the script they are taken.
    #[serde(default, skip_serializing_if = "ArtifactsWhen::is_default")]
    pub when: ArtifactsWhen,
    /// How long they are kept, as GitLab writes durations; for ever when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expire_in: Option<String>,
}

/// After which end of a script its files are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactsWhen {
    /// When every command succeeded.
    #[default]
    OnSuccess,
    /// When one failed.
    OnFailure,
    /// Either way.
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

    /// Whether files are taken from a script that ended so.
    pub fn takes(self, succeeded: bool) -> bool {
        match self {
            Self::OnSuccess => succeeded,
            Self::OnFailure => !succeeded,
            Self::Always => true,
        }
    }
}

impl Script {
    /// Checks what the types alone do not say.
    ///
    /// # Errors
    /// No command, an image no engine takes, a variable without a name, a path that leaves the
    /// checkout, a duration that is none.
    pub fn check(&self) -> Result<(), Invalid> {
        if self.commands.is_empty() || self.commands.len() > MAX_ITEMS {
            return Err(Invalid::new("commands", "", "1 to 1000 commands"));
        }
        let unfit = |command: &&String| command.len() > MAX_COMMAND || command.contains('\0');
        if let Some(command) = self.commands.iter().find(unfit) {
            let start: String = command.chars().take(40).collect();
            let expected = "at most 64 KiB, and no byte that is zero";
            return Err(Invalid::new("command", &start, expected));
        }
        if let Some(image) = &self.image {
            check_image(image)?;
        }
        let nameless = |name: &&String| !is_variable_name(name);
        if let Some(bad) = self.variables.keys().find(nameless) {
            let expected = "a name of A-Z a-z 0-9 _ that does not begin with a digit";
            return Err(Invalid::new("variable name", bad, expected));
        }
        self.kept_at()?;
        self.artifacts.as_ref().map_or(Ok(()), ArtifactRules::check)
    }

    /// The repository and the tag where the container is kept, if it is.
    ///
    /// # Errors
    /// When `keep` is not a repository and a tag.
    pub fn kept_at(&self) -> Result<Option<(Repository, String)>, Invalid> {
        let Some(keep) = &self.keep else {
            return Ok(None);
        };
        let parts = keep.rsplit_once(':').filter(|(_, tag)| is_tag(tag));
        let parts = parts.and_then(|(name, tag)| Some((name.parse().ok()?, tag.to_owned())));
        let expected = "HOST[:PORT]/PATH:TAG, such as registry.example:5000/acme/api:kept";
        parts
            .map(Some)
            .ok_or_else(|| Invalid::new("keep", keep, expected))
    }
}

impl ArtifactRules {
    fn check(&self) -> Result<(), Invalid> {
        if self.paths.is_empty() || self.paths.len() > MAX_ITEMS {
            return Err(Invalid::new("artifacts.paths", "", "1 to 1000 paths"));
        }
        for path in &self.paths {
            check_path("artifact path", path)?;
        }
        if let Some(name) = &self.name {
            check_line("artifacts.name", name)?;
            if name.is_empty() || name.contains(['/', '\\', '"']) || name.starts_with('.') {
                let expected = "a file name without / \\ \" that does not begin with a dot";
                return Err(Invalid::new("artifacts.name", name, expected));
            }
        }
        match &self.expire_in {
            Some(text) if expiry::parse(text).is_none() => Err(Invalid::new(
                "artifacts.expire_in",
                text,
                "a duration such as 3 days or 2 hrs 20 min",
            )),
            _ => Ok(()),
        }
    }
}

/// Checks that `image` has the characters of an image's reference, which a shell leaves alone.
fn check_image(image: &str) -> Result<(), Invalid> {
    let fits = !image.is_empty()
        && image.len() <= 512
        && image.starts_with(|c: char| c.is_ascii_alphanumeric())
        && image
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b));
    if fits {
        return Ok(());
    }
    let expected = "an image as the engine names it, such as registry.example:5000/acme/tools:1";
    Err(Invalid::new("image", image, expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(change: impl FnOnce(&mut Script)) -> Result<(), Invalid> {
        let mut script = Script {
            image: Some("busybox".to_owned()),
            image_of: None,
            goes_on: false,
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
    fn a_script_is_checked_before_it_is_used() {
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
    fn files_are_taken_after_the_ends_that_were_named() {
        use ArtifactsWhen::{Always, OnFailure, OnSuccess};
        let takes = |when: ArtifactsWhen| (when.takes(true), when.takes(false));
        assert_eq!(takes(OnSuccess), (true, false));
        assert_eq!(takes(OnFailure), (false, true));
        assert_eq!(takes(Always), (true, true));
    }
}
