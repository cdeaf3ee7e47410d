//! The command line arguments.

mod build;

use std::path::PathBuf;
use std::str::FromStr;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use uuid::Uuid;

pub(crate) use build::{Build, BuildTarget, Image, NameValue, ProgressKind};

/// The variables that are read and have no flag.
const ENVIRONMENT: &str = "\
Environment:
  SLIPWAY_URL, SLIPWAY_TOKEN
          The farm's URL and the token. They take precedence over the file of `slipway login`
  SLIPWAY_CONFIG
          That file, if neither --config nor SLIPWAY_CLI_CONFIG is set. Deprecated: `slipway-runner`
          reads this variable as well, and the two programs need different files
  XDG_CONFIG_HOME, HOME
          Where that file is by default: $XDG_CONFIG_HOME/slipway/config.toml, or
          $HOME/.config/slipway/config.toml
  SOURCE_DATE_EPOCH
          The creation time of an image that `slipway build` builds from a directory, in seconds since
          1970
  HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE, SSL_CERT_DIR
          The proxies and the certificates for requests to the farm
  PATH
          Where `docker` is found, for `slipway build --load`";

/// Build Docker images on a Slipway farm.
///
/// Exit status: 0 on success, 1 if a followed build or job did not succeed, 2 for wrong usage, 3 for
/// any other error.
#[derive(Debug, Parser)]
#[command(name = "slipway", version, propagate_version = true)]
pub(crate) struct Args {
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The file with the farm's URL and the token [default: ~/.config/slipway/config.toml].
    #[arg(long, global = true, env = "SLIPWAY_CLI_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Args {
    /// Parses the arguments of the program, or exits with a message for a person.
    pub(crate) fn from_arguments() -> Self {
        let matches = documented(Self::command()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// Adds the variables without a flag to the help of the program and of each command.
fn documented(command: clap::Command) -> clap::Command {
    command.after_help(ENVIRONMENT).mut_subcommands(documented)
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Store a farm's URL and a token for later commands.
    ///
    /// The token is taken from --token, --token-file, SLIPWAY_TOKEN or standard input, in this
    /// order.
    Login(Login),
    /// Set your password, with which GitLab clients sign in.
    ///
    /// Passwords are read from standard input, one on each line: first the current password if you
    /// have one, then the new password.
    Password {
        /// Set the password of this user, as an administrator. Only the new password is read.
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
    },
    /// Revoke all your tokens and sign-ins, and the triggers and registration tokens that you created.
    ///
    /// The token of `slipway login` is revoked as well. The password stays, except with --user.
    RevokeAll {
        /// Revoke the credentials of this user, as an administrator, and delete the password.
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
    },
    /// List, create and show projects.
    Projects {
        #[command(subcommand)]
        command: Option<ProjectsCommand>,
    },
    /// Build a directory, or a commit of a project.
    ///
    /// A directory is packed without the files that its .dockerignore excludes, uploaded, built and
    /// followed. The exit status is 1 if the build does not succeed. Ctrl-C cancels the build.
    ///
    /// A commit is followed only with --follow.
    Build(Box<Build>),
    /// List a project's builds, newest first.
    Builds(Builds),
    /// Show a build and its jobs.
    Show {
        /// The id of the build.
        build: Uuid,
    },
    /// Print the trace of a job, or the traces of all jobs of a build.
    Logs {
        /// The id of a job (a number) or of a build (a UUID).
        #[arg(value_name = "JOB|BUILD")]
        target: Target,
        /// Wait for new output until the job or build finishes. The exit status is 1 if it does not
        /// succeed.
        #[arg(short, long)]
        follow: bool,
    },
    /// Start a manual job.
    Play {
        /// The id of the job.
        job: i64,
    },
    /// Cancel a job or a build.
    Cancel {
        /// The id of a job (a number) or of a build (a UUID).
        #[arg(value_name = "JOB|BUILD")]
        target: Target,
    },
    /// Retry a job, or all jobs of a build that did not succeed.
    Retry {
        /// The id of a job (a number) or of a build (a UUID).
        #[arg(value_name = "JOB|BUILD")]
        target: Target,
    },
    /// List the runners that you may see.
    Runners,
    /// List pending jobs, and why they are pending.
    Queue,
    /// List the artifacts of a job or a build.
    Artifacts {
        /// The id of a job (a number) or of a build (a UUID).
        #[arg(value_name = "BUILD|JOB")]
        target: Target,
    },
}

/// The arguments of `slipway login`.
#[derive(Debug, clap::Args)]
pub(crate) struct Login {
    /// The farm's URL, such as `https://slipway.example`.
    #[arg(long, env = "SLIPWAY_URL")]
    pub(crate) url: String,
    /// The token. Other users of this machine can see it while the command runs: prefer
    /// --token-file.
    #[arg(long, conflicts_with = "token_file", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// A file that contains the token; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

/// The subcommands of `slipway projects`.
#[derive(Debug, Subcommand)]
pub(crate) enum ProjectsCommand {
    /// List the projects that you may see. This is the default.
    List,
    /// Create a project, and its namespace if it does not exist.
    Create {
        /// The project.
        #[arg(value_name = "NAMESPACE/NAME")]
        project: ProjectName,
        /// The URL of the source repository.
        #[arg(long, value_name = "URL")]
        repo: String,
        /// The branch whose image is tagged `latest` [default: main].
        #[arg(long, value_name = "BRANCH")]
        default_branch: Option<String>,
        /// The repository to which images are pushed, such as registry.example/acme/api [default:
        /// derived from the registry of the farm].
        #[arg(long, value_name = "REPOSITORY")]
        image: Option<String>,
    },
    /// Show a project.
    Show {
        /// The project.
        #[arg(value_name = "NAMESPACE/NAME")]
        project: ProjectName,
    },
    /// Manage a project's deploy key or token.
    ///
    /// Runners use it to fetch the repository of the project.
    DeployKey {
        #[command(subcommand)]
        command: DeployKeyCommand,
    },
}

/// The subcommands of `slipway projects deploy-key`.
#[derive(Debug, Subcommand)]
pub(crate) enum DeployKeyCommand {
    /// Set the deploy key. It replaces an earlier one.
    Set {
        /// The project.
        #[arg(value_name = "NAMESPACE/NAME")]
        project: ProjectName,
        #[command(flatten)]
        new: DeployKeyArgs,
    },
    /// Show the deploy key, without its secret half.
    Show {
        /// The project.
        #[arg(value_name = "NAMESPACE/NAME")]
        project: ProjectName,
    },
    /// Delete the deploy key.
    Remove {
        /// The project.
        #[arg(value_name = "NAMESPACE/NAME")]
        project: ProjectName,
    },
}

/// The credentials to set as deploy key.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("kind").required(true).args(["key_file", "generate", "username"]))]
pub(crate) struct DeployKeyArgs {
    /// For ssh: a file with a private key in the OpenSSH format, without a passphrase; `-` is
    /// standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// For ssh: create a key on the farm, and print its public half.
    #[arg(long)]
    pub(crate) generate: bool,
    /// For ssh: a known_hosts file with the accepted host keys of the server [default: the first key
    /// that the server shows].
    #[arg(long, value_name = "FILE", conflicts_with = "username")]
    pub(crate) known_hosts: Option<PathBuf>,
    /// For http and https: the user name.
    #[arg(long, value_name = "USER", requires = "password_file")]
    pub(crate) username: Option<String>,
    /// For http and https: a file with the password or token; `-` is standard input.
    #[arg(long, value_name = "FILE", requires = "username")]
    pub(crate) password_file: Option<PathBuf>,
}

/// The arguments of `slipway builds`.
#[derive(Debug, clap::Args)]
pub(crate) struct Builds {
    /// The project.
    #[arg(value_name = "NAMESPACE/NAME")]
    pub(crate) project: ProjectName,
    /// Only list builds in this state.
    #[arg(long)]
    pub(crate) state: Option<String>,
    /// Only list builds of this branch or tag.
    #[arg(long = "ref", value_name = "REF")]
    pub(crate) git_ref: Option<String>,
    /// The maximum number of builds, 1 to 100.
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) limit: u8,
}

/// The path of a project.
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
            _ => Err("expected NAMESPACE/NAME, such as acme/api"),
        }
    }
}

/// A job or a build.
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
        build.map_err(|_| "expected the id of a job (a number) or of a build (a UUID)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_definitions_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn numbers_are_jobs_and_uuids_are_builds() {
        assert_eq!("12".parse(), Ok(Target::Job(12)));
        let id = "0193d0c0-0000-7000-8000-000000000000";
        assert_eq!(id.parse(), Ok(Target::Build(id.parse().unwrap())));
        assert!("acme/api".parse::<Target>().is_err());
    }

    #[test]
    fn a_project_path_has_exactly_two_names() {
        assert!("acme/api".parse::<ProjectName>().is_ok());
        for bad in ["", "acme", "acme/", "/api", "a/b/c"] {
            assert!(bad.parse::<ProjectName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn wrong_usage_exits_with_2() {
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
