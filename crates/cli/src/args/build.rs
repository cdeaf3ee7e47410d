//! The arguments of `slipway build`. For directories they have the names of those of `docker build`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;

use super::ProjectName;

/// The arguments of `slipway build`.
#[derive(Debug, clap::Args)]
pub(crate) struct Build {
    /// The directory to build, or the project of which to build a commit. Two names with a slash are
    /// a project: for a directory with such a path, write ./NAME/NAME.
    #[arg(value_name = "PATH|NAMESPACE/NAME")]
    pub(crate) build_target: BuildTarget,
    /// The branch or tag to build, also by its full name such as refs/tags/v1 [default: the default branch
    /// of the project].
    #[arg(long = "ref", value_name = "REF", help_heading = "Commits")]
    pub(crate) git_ref: Option<String>,
    /// The commit to build, as a full SHA.
    #[arg(long, help_heading = "Commits")]
    pub(crate) sha: Option<String>,
    /// Print the traces until the build finishes. The exit status is 1 if it does not succeed.
    #[arg(long, help_heading = "Commits")]
    pub(crate) follow: bool,
    /// The pipeline to run [default: default].
    #[arg(long, value_name = "SLUG")]
    pub(crate) pipeline: Option<String>,
    #[command(flatten)]
    pub(crate) image: Image,
}

/// How to build a directory, and where to put the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Directories")]
pub(crate) struct Image {
    /// The project in which to build the directory. Its credentials and limits apply.
    #[arg(long, value_name = "NAMESPACE/NAME", env = "SLIPWAY_PROJECT")]
    pub(crate) project: Option<ProjectName>,
    /// The Dockerfile [default: PATH/Dockerfile].
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// A name for the image: `NAME` or `NAME:TAG`. The image is pushed with the tag; a NAME with a
    /// registry also sets the repository. With --load, it is also the local name. Can be repeated.
    #[arg(short, long = "tag", value_name = "NAME")]
    pub(crate) tags: Vec<String>,
    /// The stage of the Dockerfile to build.
    #[arg(long, value_name = "STAGE")]
    pub(crate) target: Option<String>,
    /// A build argument. Without a value, the value of the environment variable is used. Can be
    /// repeated.
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]")]
    pub(crate) args: Vec<String>,
    /// A label of the image. Can be repeated.
    #[arg(long = "label", value_name = "NAME=VALUE")]
    pub(crate) labels: Vec<NameValue>,
    /// Run every step without the cache.
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Pull base images even if the build host already has them.
    #[arg(long)]
    pub(crate) pull: bool,
    /// The platforms to build for, such as linux/amd64,linux/arm64 [default: the platform of the
    /// runner].
    #[arg(long = "platform", value_name = "PLATFORM", value_delimiter = ',')]
    pub(crate) platforms: Vec<String>,
    /// A secret for build steps, with a project variable as its value. Can be repeated.
    #[arg(long = "secret", value_name = "id=ID,variable=NAME")]
    pub(crate) secrets: Vec<Secret>,
    /// Push the image, and fail if no repository is set for it [default: push if a repository is
    /// set].
    #[arg(long)]
    pub(crate) push: bool,
    /// Load the image into the local Docker Engine. The image is not pushed and needs no registry.
    /// With --push, it is pushed and the local engine pulls it.
    #[arg(long)]
    pub(crate) load: bool,
    /// How to show the progress of uploads and downloads.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) progress: ProgressKind,
}

impl Image {
    /// Whether there is any argument that is only for directories.
    pub(crate) fn has_directory_args(&self) -> bool {
        let default = Self {
            // The variable SLIPWAY_PROJECT may be set for other calls.
            project: self.project.clone(),
            ..Self::default()
        };
        *self != default
    }
}

/// How to show progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressKind {
    /// A progress bar if standard error is a terminal.
    #[default]
    Auto,
    /// No progress bar.
    Plain,
}

/// A directory, or a project of which to build a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BuildTarget {
    Directory(PathBuf),
    Project(ProjectName),
}

impl FromStr for BuildTarget {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("expected a directory, such as `.`, or NAMESPACE/NAME");
        }
        let directory = || BuildTarget::Directory(PathBuf::from(text));
        if text.starts_with(['.', '/']) {
            return Ok(directory());
        }
        Ok(text
            .parse()
            .map_or_else(|_| directory(), BuildTarget::Project))
    }
}

/// A name and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NameValue {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl FromStr for NameValue {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Self {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err("expected NAME=VALUE"),
        }
    }
}

/// A secret for build steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Secret {
    pub(crate) id: String,
    pub(crate) variable: String,
}

impl FromStr for Secret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "expected id=ID,variable=NAME with the name of a project variable; \
             secrets from this machine are not supported";
        let (mut id, mut variable) = (None, None);
        for part in text.split(',') {
            match part.split_once('=') {
                Some(("id", value)) => id = Some(value.to_owned()),
                Some(("variable", value)) => variable = Some(value.to_owned()),
                _ => return Err(EXPECTED),
            }
        }
        match (id, variable) {
            (Some(id), Some(variable)) if !id.is_empty() && !variable.is_empty() => {
                Ok(Self { id, variable })
            }
            _ => Err(EXPECTED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_names_are_a_project_and_other_paths_a_directory() {
        for directory in [".", "..", "./acme/api", "/acme/api", "acme", "a/b/c", "a/"] {
            let target: BuildTarget = directory.parse().unwrap();
            assert_eq!(
                target,
                BuildTarget::Directory(directory.into()),
                "{directory}"
            );
        }
        let project: BuildTarget = "acme/api".parse().unwrap();
        assert!(matches!(project, BuildTarget::Project(_)));
        assert!("".parse::<BuildTarget>().is_err());
    }

    #[test]
    fn a_secret_has_an_id_and_a_variable() {
        let secret: Secret = "id=npm,variable=NPM_TOKEN".parse().unwrap();
        assert_eq!((&*secret.id, &*secret.variable), ("npm", "NPM_TOKEN"));
        for bad in ["", "id=npm", "variable=X", "id=,variable=X", "id=a,src=b"] {
            assert!(bad.parse::<Secret>().is_err(), "{bad}");
        }
    }
}
