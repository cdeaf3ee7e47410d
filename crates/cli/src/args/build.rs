//! What can be typed after `slipway build`: a project, or a directory with the flags that people
//! know of `docker build`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;

use super::ProjectName;

/// What to build.
#[derive(Debug, clap::Args)]
pub(crate) struct Build {
    /// A directory, or the project whose commit is built. A path of two names is a project's; write
    /// ./NAME/NAME for such a directory.
    #[arg(value_name = "PATH|NAMESPACE/NAME")]
    pub(crate) what: What,
    /// The branch or tag [default: the project's default branch].
    #[arg(long = "ref", value_name = "REF", help_heading = "Commits")]
    pub(crate) git_ref: Option<String>,
    /// The commit, in full.
    #[arg(long, help_heading = "Commits")]
    pub(crate) sha: Option<String>,
    /// Print the traces until the build is over, and end with 1 unless it succeeded.
    #[arg(long, help_heading = "Commits")]
    pub(crate) follow: bool,
    /// The pipeline [default: default].
    #[arg(long, value_name = "SLUG")]
    pub(crate) pipeline: Option<String>,
    #[command(flatten)]
    pub(crate) image: Image,
}

/// How a directory is built, and where the image goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Directories")]
pub(crate) struct Image {
    /// The project that builds the directory.
    #[arg(long, value_name = "NAMESPACE/NAME", env = "SLIPWAY_PROJECT")]
    pub(crate) project: Option<ProjectName>,
    /// The Dockerfile [default: PATH/Dockerfile].
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// A name of the image, `NAME` or `NAME:TAG`. The tag is pushed, and NAME with a registry says where
    /// to; with --load, the image has the name here.
    #[arg(short, long = "tag", value_name = "NAME")]
    pub(crate) tags: Vec<String>,
    /// The stage to stop at.
    #[arg(long, value_name = "STAGE")]
    pub(crate) target: Option<String>,
    /// A build argument; its value is taken from the environment when it has none here.
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]")]
    pub(crate) args: Vec<String>,
    /// A label.
    #[arg(long = "label", value_name = "NAME=VALUE")]
    pub(crate) labels: Vec<Given>,
    /// Run every step anew.
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Pull base images even if the build host has them.
    #[arg(long)]
    pub(crate) pull: bool,
    /// A platform such as linux/arm64; several are separated by commas.
    #[arg(long = "platform", value_name = "PLATFORM", value_delimiter = ',')]
    pub(crate) platforms: Vec<String>,
    /// A secret of the build's steps, whose value is a variable of the project.
    #[arg(long = "secret", value_name = "id=ID,variable=NAME")]
    pub(crate) secrets: Vec<Secret>,
    /// Push the image, or refuse when there is nowhere to; the default is to push if there is.
    #[arg(long)]
    pub(crate) push: bool,
    /// Load the image into the local Docker Engine. It needs no registry and is pushed only with --push
    /// as well; the engine pulls it then.
    #[arg(long)]
    pub(crate) load: bool,
    /// How it is told what is sent and loaded: with a bar if this is a terminal, or not at all.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) progress: ProgressKind,
}

impl Image {
    /// Whether anything was typed that is for directories only.
    pub(crate) fn is_asked_for(&self) -> bool {
        let usual = Self {
            project: self.project.clone(),
            ..Self::default()
        };
        *self != usual
    }
}

/// How it is told what is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressKind {
    /// With a bar on a terminal.
    #[default]
    Auto,
    /// Without one.
    Plain,
}

/// A directory, or a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Directory(PathBuf),
    Project(ProjectName),
}

impl FromStr for What {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("write a directory, such as `.`, or NAMESPACE/NAME");
        }
        let directory = || What::Directory(PathBuf::from(text));
        if text.starts_with(['.', '/']) {
            return Ok(directory());
        }
        Ok(text.parse().map_or_else(|_| directory(), What::Project))
    }
}

/// A name with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl FromStr for Given {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Self {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err("write NAME=VALUE"),
        }
    }
}

/// A secret of a build's steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Secret {
    pub(crate) id: String,
    pub(crate) variable: String,
}

impl FromStr for Secret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const HOW: &str = "write id=ID,variable=NAME, with the name of a variable of the project; \
             values of this machine are not sent";
        let (mut id, mut variable) = (None, None);
        for part in text.split(',') {
            match part.split_once('=') {
                Some(("id", value)) => id = Some(value.to_owned()),
                Some(("variable", value)) => variable = Some(value.to_owned()),
                _ => return Err(HOW),
            }
        }
        match (id, variable) {
            (Some(id), Some(variable)) if !id.is_empty() && !variable.is_empty() => {
                Ok(Self { id, variable })
            }
            _ => Err(HOW),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_names_are_a_project_and_all_else_a_directory() {
        for directory in [".", "..", "./acme/api", "/acme/api", "acme", "a/b/c", "a/"] {
            let what: What = directory.parse().unwrap();
            assert_eq!(what, What::Directory(directory.into()), "{directory}");
        }
        let project: What = "acme/api".parse().unwrap();
        assert!(matches!(project, What::Project(_)));
        assert!("".parse::<What>().is_err());
    }

    #[test]
    fn a_secret_names_a_variable() {
        let secret: Secret = "id=npm,variable=NPM_TOKEN".parse().unwrap();
        assert_eq!((&*secret.id, &*secret.variable), ("npm", "NPM_TOKEN"));
        for bad in ["", "id=npm", "variable=X", "id=,variable=X", "id=a,src=b"] {
            assert!(bad.parse::<Secret>().is_err(), "{bad}");
        }
    }
}
