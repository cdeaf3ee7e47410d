//! Namespaces, projects, pipelines, variables and registry credentials.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use slipway_domain::image::Repository;
use slipway_domain::pipeline::Definition;
use slipway_domain::{GitRef, Name, Slug, Submodules, Visibility};
use utoipa::ToSchema;

use super::present;
use crate::parsed::{parsed, parsed_if_any};

/// An owner of projects.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Namespace {
    /// Its id.
    pub(crate) id: i64,
    /// Its name.
    pub(crate) name: String,
    /// How many builds may be unfinished before no package is taken; no limit when null.
    pub(crate) max_builds: Option<u32>,
    /// When it was made.
    pub(crate) created_at: DateTime<Utc>,
}

/// What to change about a namespace; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NamespaceChange {
    /// How many builds may be unfinished before no package is taken; null lifts the limit.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u32>)]
    pub(crate) max_builds: Option<Option<u32>>,
}

/// A namespace to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewNamespace {
    /// Its name.
    #[schema(value_type = String)]
    pub(crate) name: Name,
}

/// A source repository that the farm builds.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Project {
    /// Its id.
    pub(crate) id: i64,
    /// Its namespace's name.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
    /// Where its source is.
    pub(crate) repo_url: String,
    /// The branch whose image is `latest`.
    pub(crate) default_branch: String,
    /// Where its images are pushed; the farm's registry decides when null.
    pub(crate) image_repository: Option<String>,
    /// Whether shared runners may take its jobs.
    pub(crate) shared_runners: bool,
    /// How many of its jobs may run at once; no limit when null.
    pub(crate) max_running: Option<u32>,
    /// What people say of it.
    pub(crate) description: String,
    /// Who sees it without being a member: nobody (`private`), every user (`internal`, `public`).
    pub(crate) visibility: &'static str,
    /// Whether all who see it see its builds too.
    pub(crate) public_builds: bool,
    /// Whether its jobs are run and shown at all.
    pub(crate) builds_enabled: bool,
    /// Whether it takes no builds, and those there are can only be looked at.
    pub(crate) read_only: bool,
    /// Which submodules are checked out with its commits: `none`, `normal` or `recursive`.
    #[schema(value_type = String)]
    pub(crate) submodules: Submodules,
    /// When it was made.
    pub(crate) created_at: DateTime<Utc>,
}

/// A project to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewProject {
    /// Its namespace's name.
    #[schema(value_type = String)]
    pub(crate) namespace: Name,
    /// Its name.
    #[schema(value_type = String)]
    pub(crate) name: Name,
    /// Where its source is: http, https, ssh, git, or `user@host:path`; without a password.
    pub(crate) repo_url: String,
    /// The branch whose image is `latest`; `main` when absent.
    #[schema(value_type = Option<String>)]
    pub(crate) default_branch: Option<GitRef>,
    /// Where its images are pushed; the farm's registry decides when absent.
    #[schema(value_type = Option<String>)]
    pub(crate) image_repository: Option<Repository>,
    /// Whether shared runners may take its jobs.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub(crate) shared_runners: bool,
    /// How many of its jobs may run at once; no limit when absent.
    pub(crate) max_running: Option<u32>,
    /// What people say of it.
    #[serde(default)]
    pub(crate) description: String,
    /// Who sees it without being a member: `private`, `internal` or `public`.
    #[serde(default = "private", deserialize_with = "parsed")]
    #[schema(value_type = String, default = "private")]
    pub(crate) visibility: Visibility,
    /// Whether all who see it see its builds too.
    #[serde(default)]
    pub(crate) public_builds: bool,
    /// Whether its jobs are run and shown at all.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub(crate) builds_enabled: bool,
    /// Which submodules are checked out with its commits: `none`, its own (`normal`), or theirs too
    /// (`recursive`).
    #[serde(default)]
    #[schema(value_type = String, default = "recursive")]
    pub(crate) submodules: Submodules,
}

fn private() -> Visibility {
    Visibility::Private
}

fn yes() -> bool {
    true
}

/// What to change about a project; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProjectChange {
    /// Where its source is.
    pub(crate) repo_url: Option<String>,
    /// The branch whose image is `latest`.
    #[schema(value_type = Option<String>)]
    pub(crate) default_branch: Option<GitRef>,
    /// Where its images are pushed; null leaves that to the farm's registry.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub(crate) image_repository: Option<Option<Repository>>,
    /// Whether shared runners may take its jobs.
    pub(crate) shared_runners: Option<bool>,
    /// How many of its jobs may run at once; null lifts the limit.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u32>)]
    pub(crate) max_running: Option<Option<u32>>,
    /// Its name.
    #[schema(value_type = Option<String>)]
    pub(crate) name: Option<Name>,
    /// What people say of it.
    pub(crate) description: Option<String>,
    /// Who sees it without being a member: `private`, `internal` or `public`.
    #[serde(default, deserialize_with = "parsed_if_any")]
    #[schema(value_type = Option<String>)]
    pub(crate) visibility: Option<Visibility>,
    /// Whether all who see it see its builds too.
    pub(crate) public_builds: Option<bool>,
    /// Whether its jobs are run and shown at all.
    pub(crate) builds_enabled: Option<bool>,
    /// Whether it takes no builds, and those there are can only be looked at.
    pub(crate) read_only: Option<bool>,
    /// Which submodules are checked out with its commits: `none`, `normal` or `recursive`.
    #[schema(value_type = Option<String>)]
    pub(crate) submodules: Option<Submodules>,
}

/// A variable that the jobs of a project get.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Variable {
    /// Its name.
    pub(crate) key: String,
    /// Its value, when it is public; else null.
    pub(crate) value: Option<String>,
    /// Whether its value may be shown, in traces as well.
    pub(crate) public: bool,
    /// When it was first set.
    pub(crate) created_at: DateTime<Utc>,
}

/// The value to give to a variable.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewVariable {
    /// Its value.
    pub(crate) value: String,
    /// Whether its value may be shown, in traces as well.
    #[serde(default)]
    pub(crate) public: bool,
}

/// What the push hooks of a project are signed with. It is never shown.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewHookSecret {
    /// 16 to 1024 printable ASCII characters.
    pub(crate) secret: String,
}

/// What the jobs of a namespace log in to a registry with. The password is never shown.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RegistryCredential {
    /// The registry's host, with its port.
    pub(crate) registry: String,
    /// Who logs in.
    pub(crate) username: String,
    /// When it was first set.
    pub(crate) created_at: DateTime<Utc>,
}

/// A registry credential to set, in the place of an earlier one for that registry.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRegistryCredential {
    /// The registry's host, with its port.
    #[schema(example = "registry.example:5000")]
    pub(crate) registry: String,
    /// Who logs in.
    pub(crate) username: String,
    /// The password, or a token that stands for one.
    pub(crate) password: String,
}

/// Who pulls base images for builds that name it. The password is never shown.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Robot {
    /// Its name in its namespace.
    pub(crate) name: String,
    /// Its user name at the registry, by which builds name it.
    pub(crate) username: String,
    /// The registry's host, with its port.
    pub(crate) registry: String,
    /// When it was first set.
    pub(crate) created_at: DateTime<Utc>,
}

/// What a robot is at its registry.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRobot {
    /// The registry's host, with its port.
    #[schema(example = "registry.example:5000")]
    pub(crate) registry: String,
    /// The password, or a token that stands for one.
    pub(crate) password: String,
}

/// What a project runs for a commit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Pipeline {
    /// Its short name.
    pub(crate) slug: String,
    /// Its jobs: `{"jobs":[{"name","stage","needs","tags","timeout_s","allow_failure","spec"}]}`.
    #[schema(value_type = Object)]
    pub(crate) definition: Definition,
    /// Whether the jobs come from `.slipway.yml` in the repository at the commit; `definition` is
    /// for commits without it.
    pub(crate) from_repository: bool,
    /// The number of its newest build.
    pub(crate) last_number: i64,
    /// When it was made.
    pub(crate) created_at: DateTime<Utc>,
    /// What people call it.
    pub(crate) title: String,
    /// What it is for.
    pub(crate) description: Option<String>,
    /// Its short name in its whole namespace.
    pub(crate) wide_slug: String,
    /// The repository as `owner/name`.
    pub(crate) repo_name: Option<String>,
    /// What it is called inside of its repository.
    pub(crate) source_slug: Option<String>,
    /// Whether people may have it run.
    pub(crate) allow_manual: bool,
    /// When it was put away.
    pub(crate) archived_at: Option<DateTime<Utc>>,
}

/// A pipeline to add, with a definition or `from_repository`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPipeline {
    /// Its short name.
    #[schema(value_type = String)]
    pub(crate) slug: Slug,
    /// Its jobs, or those for commits whose repository has none.
    #[schema(value_type = Option<Object>)]
    pub(crate) definition: Option<Definition>,
    /// Whether the jobs come from the repository at the commit.
    pub(crate) from_repository: Option<bool>,
}

/// What is known of a pipeline besides its jobs; what is absent stays, what is null goes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PipelineDescription {
    /// What people call it.
    pub(crate) title: Option<String>,
    /// What it is for.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub(crate) description: Option<Option<String>>,
    /// The repository as `owner/name`.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub(crate) repo_name: Option<Option<String>>,
    /// What it is called inside of its repository.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub(crate) source_slug: Option<Option<String>>,
    /// Whether people may have it run.
    pub(crate) allow_manual: Option<bool>,
    /// Whether it is put away.
    pub(crate) archived: Option<bool>,
}

/// What a pipeline is to run from now on: a definition, `from_repository`, or both.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PipelineChange {
    /// Its jobs, or those for commits whose repository has none.
    #[schema(value_type = Option<Object>)]
    pub(crate) definition: Option<Definition>,
    /// Whether the jobs come from the repository at the commit; no longer, when a definition is
    /// given and nothing said of this.
    pub(crate) from_repository: Option<bool>,
}

/// What starts builds of a project from outside.
#[derive(Serialize, ToSchema)]
pub(crate) struct Trigger {
    /// Its id.
    pub(crate) id: i64,
    /// Free text.
    pub(crate) description: String,
    /// The token that starts builds.
    pub(crate) token: String,
    /// When it was made.
    pub(crate) created_at: DateTime<Utc>,
    /// When it last started a build.
    pub(crate) last_used_at: Option<DateTime<Utc>>,
}

/// A trigger to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTrigger {
    /// Free text.
    #[serde(default)]
    pub(crate) description: String,
}
