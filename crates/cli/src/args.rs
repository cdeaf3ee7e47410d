//! What can be typed.

mod build;

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, Subcommand};
use uuid::Uuid;

pub(crate) use build::{Build, Given, Image, ProgressKind, What};

/// Builds images on a Slipway farm.
#[derive(Debug, Parser)]
#[command(name = "slipway", version, propagate_version = true)]
pub(crate) struct Args {
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Where the farm's URL and the token are kept [default: ~/.config/slipway/config.toml].
    #[arg(long, global = true, env = "SLIPWAY_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Keep a farm's URL and a token for later commands.
    ///
    /// The token is read from --token, --token-file, SLIPWAY_TOKEN, or else from standard input.
    Login(Login),
    /// Set a password, with which clients of GitLab sign in.
    ///
    /// It is read from standard input: the password that you have on the first line, if you have
    /// one, and the new one on the next.
    Password {
        /// Set that of this user, as an administrator: the new password is all that is read.
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
    },
    /// List, make and show projects.
    Projects {
        #[command(subcommand)]
        command: Option<ProjectsCommand>,
    },
    /// Build a directory, or a commit of a project.
    ///
    /// A directory is packed by its .dockerignore, sent, built and followed: it ends with 1 unless
    /// the build succeeded, and Ctrl-C calls the build off.
    Build(Box<Build>),
    /// List a project's builds, newest first.
    Builds(Builds),
    /// Show a build and its jobs.
    Show {
        /// The build's id.
        build: Uuid,
    },
    /// Print the trace of a job, or of all jobs of a build.
    Logs {
        /// A job's number or a build's id.
        #[arg(value_name = "JOB|BUILD")]
        target: Target,
        /// Go on until it is over, and end with 1 unless it succeeded.
        #[arg(short, long)]
        follow: bool,
    },
    /// Call off a job or a build.
    Cancel {
        /// A job's number or a build's id.
        #[arg(value_name = "JOB|BUILD")]
        target: Target,
    },
    /// Make a new attempt at a job, or at all that did not succeed of a build.
    Retry {
        /// A job's number or a build's id.
        #[arg(value_name = "JOB|BUILD")]
        target: Target,
    },
    /// List the runners you may see.
    Runners,
    /// Show what waits, and why.
    Queue,
    /// List the artifacts of a job or a build.
    Artifacts {
        /// A job's number or a build's id.
        #[arg(value_name = "BUILD|JOB")]
        target: Target,
    },
}

/// How to reach a farm.
#[derive(Debug, clap::Args)]
pub(crate) struct Login {
    /// The farm's URL, such as `https://slipway.example`.
    #[arg(long, env = "SLIPWAY_URL")]
    pub(crate) url: String,
    /// The token. Others on this machine can see it while the command runs: prefer --token-file.
    #[arg(long, conflicts_with = "token_file", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// A file that has the token.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

/// What to do with projects; to list them when nothing is said.
#[derive(Debug, Subcommand)]
pub(crate) enum ProjectsCommand {
    /// List the projects you may see.
    List,
    /// Make a project, and its namespace unless it is there.
    Create {
        /// NAMESPACE/NAME.
        #[arg(value_name = "NAMESPACE/NAME")]
        project: ProjectName,
        /// Where its source is.
        #[arg(long, value_name = "URL")]
        repo: String,
        /// The branch whose image is `latest` [default: main].
        #[arg(long, value_name = "BRANCH")]
        default_branch: Option<String>,
        /// Where its images are pushed, such as registry.example/acme/api.
        #[arg(long, value_name = "REPOSITORY")]
        image: Option<String>,
    },
    /// Show one project.
    Show {
        /// NAMESPACE/NAME.
        #[arg(value_name = "NAMESPACE/NAME")]
        project: ProjectName,
    },
    /// What opens a project's repository.
    DeployKey {
        #[command(subcommand)]
        command: DeployKeyCommand,
    },
}

/// What to do with what opens a project's repository.
#[derive(Debug, Subcommand)]
pub(crate) enum DeployKeyCommand {
    /// Set it, in the place of what did so before.
    Set {
        /// NAMESPACE/NAME.
        #[arg(value_name = "NAMESPACE/NAME")]
        project: ProjectName,
        #[command(flatten)]
        new: NewKey,
    },
    /// Show it, without its secret half.
    Show {
        /// NAMESPACE/NAME.
        #[arg(value_name = "NAMESPACE/NAME")]
        project: ProjectName,
    },
    /// Remove it.
    Remove {
        /// NAMESPACE/NAME.
        #[arg(value_name = "NAMESPACE/NAME")]
        project: ProjectName,
    },
}

/// What is to open a project's repository.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("kind").required(true).args(["key_file", "generate", "username"]))]
pub(crate) struct NewKey {
    /// A private key in OpenSSH's form without a passphrase, for ssh; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Have the farm make a key for ssh, and print its public half.
    #[arg(long)]
    pub(crate) generate: bool,
    /// The host keys of the server, in the form of a known_hosts file.
    #[arg(long, value_name = "FILE", conflicts_with = "username")]
    pub(crate) known_hosts: Option<PathBuf>,
    /// Who logs in, for http and https.
    #[arg(long, value_name = "USER", requires = "password_file")]
    pub(crate) username: Option<String>,
    /// A file that has the password, or a token; `-` reads standard input.
    #[arg(long, value_name = "FILE", requires = "username")]
    pub(crate) password_file: Option<PathBuf>,
}

/// Which builds to list.
#[derive(Debug, clap::Args)]
pub(crate) struct Builds {
    /// NAMESPACE/NAME.
    #[arg(value_name = "NAMESPACE/NAME")]
    pub(crate) project: ProjectName,
    /// Only those in this state.
    #[arg(long)]
    pub(crate) state: Option<String>,
    /// Only those of this branch or tag.
    #[arg(long = "ref", value_name = "REF")]
    pub(crate) git_ref: Option<String>,
    /// At most so many.
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) limit: u8,
}

/// A project by its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProjectName {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl std::fmt::Display for ProjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl FromStr for ProjectName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text.split_once('/') {
            Some((namespace, name))
                if !namespace.is_empty() && !name.is_empty() && !name.contains('/') =>
            {
                Ok(Self {
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                })
            }
            _ => Err("write NAMESPACE/NAME, such as acme/api"),
        }
    }
}

/// A job by its number or a build by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Job(i64),
    Build(Uuid),
}

impl FromStr for Target {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        if let Ok(job) = text.parse() {
            return Ok(Target::Job(job));
        }
        let build = text.parse().map(Target::Build);
        build.map_err(|_| "write a job's number or a build's id")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn a_target_is_a_job_or_a_build() {
        assert_eq!("12".parse(), Ok(Target::Job(12)));
        let id = "0193d0c0-0000-7000-8000-000000000000";
        assert_eq!(id.parse(), Ok(Target::Build(id.parse().unwrap())));
        assert!("acme/api".parse::<Target>().is_err());
    }

    #[test]
    fn a_project_has_two_names() {
        assert!("acme/api".parse::<ProjectName>().is_ok());
        for bad in ["", "acme", "acme/", "/api", "a/b/c"] {
            assert!(bad.parse::<ProjectName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_typed_wrongly_ends_with_2() {
        for bad in [
            &["slipway"][..],
            &["slipway", "show", "12"],
            &["slipway", "build"],
            &["slipway", "build", ".", "--secret", "id=a,src=b"],
            &["slipway", "build", ".", "--label", "no value"],
            &[
                "slipway",
                "login",
                "--url",
                "u",
                "--token",
                "t",
                "--token-file",
                "f",
            ],
        ] {
            let error = Args::try_parse_from(bad).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{bad:?}");
        }
    }
}
