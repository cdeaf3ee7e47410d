//! Namespaces, projects, pipelines, variables and registry credentials.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use slipway_domain::image::Repository;
use slipway_domain::pipeline::Definition;
use slipway_domain::{Name, RefName, Slug, Submodules, Visibility};
use utoipa::ToSchema;

use super::parse::{parse_nullable, parse_optional, parse_text};
use super::schemas;

/// A namespace: the owner of projects.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Namespace {
    pub(crate) id: i64,
    pub(crate) name: String,
    /// The number of unfinished builds above which Quay's API accepts no more, or null for no
    /// limit.
    pub(crate) max_builds: Option<u32>,
    pub(crate) created_at: DateTime<Utc>,
}

/// Changes to a namespace. Absent fields stay as they are.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NamespaceChange {
    /// The number of unfinished builds above which Quay's API accepts no more. Null removes the
    /// limit.
    #[serde(default, deserialize_with = "parse_nullable")]
    #[schema(value_type = Option<u32>)]
    pub(crate) max_builds: Option<Option<u32>>,
}

/// The namespace to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewNamespace {
    #[schema(value_type = schemas::NewNameText)]
    pub(crate) name: Name,
}

/// A project: a source repository that the farm builds.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Project {
    pub(crate) id: i64,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// The URL of the source repository, or another text with which a client of Harmont created the
    /// project.
    pub(crate) repo_url: String,
    /// The branch whose image is tagged `latest`.
    pub(crate) default_branch: String,
    /// The repository to which images are pushed. If null, it is derived from the registry of the
    /// farm.
    pub(crate) image_repository: Option<String>,
    /// Whether shared runners can claim the jobs of the project.
    pub(crate) shared_runners: bool,
    /// The number of jobs that can run at the same time, or null for no limit.
    pub(crate) max_running: Option<u32>,
    /// A description for people.
    pub(crate) description: String,
    /// Who sees the project without being a member: nobody (`private`), or every user (`internal`
    /// and `public`).
    #[schema(value_type = schemas::Visibility)]
    pub(crate) visibility: &'static str,
    /// Whether everybody who sees the project also sees its builds.
    pub(crate) public_builds: bool,
    /// Whether jobs are run and shown.
    pub(crate) builds_enabled: bool,
    /// Whether the project is read-only: no new builds, and no changes to existing ones.
    pub(crate) read_only: bool,
    /// The submodules that are checked out: `none`, `normal` (direct ones) or `recursive`.
    #[schema(value_type = schemas::Submodules)]
    pub(crate) submodules: Submodules,
    pub(crate) created_at: DateTime<Utc>,
}

/// The project to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewProject {
    #[schema(value_type = schemas::NameText)]
    pub(crate) namespace: Name,
    #[schema(value_type = schemas::NewNameText)]
    pub(crate) name: Name,
    /// The URL of the source repository: http, https, ssh, git, or `user@host:path`, without a
    /// password.
    #[schema(value_type = schemas::RepoUrlText)]
    pub(crate) repo_url: String,
    /// The branch whose image is tagged `latest`. If absent, `main`.
    #[schema(value_type = Option<schemas::RefText>)]
    pub(crate) default_branch: Option<RefName>,
    /// The repository to which images are pushed. If absent, it is derived from the registry of
    /// the farm.
    #[schema(value_type = Option<schemas::RepositoryText>)]
    pub(crate) image_repository: Option<Repository>,
    /// Whether shared runners can claim the jobs of the project.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub(crate) shared_runners: bool,
    /// The number of jobs that can run at the same time. If absent, there is no limit.
    pub(crate) max_running: Option<u32>,
    /// A description for people.
    #[serde(default)]
    #[schema(value_type = schemas::DescriptionText)]
    pub(crate) description: String,
    /// Who sees the project without being a member: nobody (`private`), or every user (`internal`
    /// and `public`).
    #[serde(default = "private", deserialize_with = "parse_text")]
    #[schema(value_type = schemas::Visibility, default = "private")]
    pub(crate) visibility: Visibility,
    /// Whether everybody who sees the project also sees its builds.
    #[serde(default)]
    pub(crate) public_builds: bool,
    /// Whether jobs are run and shown.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub(crate) builds_enabled: bool,
    /// The submodules that are checked out: `none`, `normal` (direct ones) or `recursive`.
    #[serde(default)]
    #[schema(value_type = schemas::Submodules, default = "recursive")]
    pub(crate) submodules: Submodules,
}

fn private() -> Visibility {
    Visibility::Private
}

fn yes() -> bool {
    true
}

/// Changes to a project. Absent fields stay as they are.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProjectChange {
    /// The URL of the source repository.
    #[schema(value_type = Option<schemas::RepoUrlText>)]
    pub(crate) repo_url: Option<String>,
    /// The branch whose image is tagged `latest`.
    #[schema(value_type = Option<schemas::RefText>)]
    pub(crate) default_branch: Option<RefName>,
    /// The repository to which images are pushed. Null derives it from the registry of the farm.
    #[serde(default, deserialize_with = "parse_nullable")]
    #[schema(value_type = Option<schemas::RepositoryText>)]
    pub(crate) image_repository: Option<Option<Repository>>,
    /// Whether shared runners can claim the jobs of the project.
    pub(crate) shared_runners: Option<bool>,
    /// The number of jobs that can run at the same time. Null removes the limit.
    #[serde(default, deserialize_with = "parse_nullable")]
    #[schema(value_type = Option<schemas::AtLeastOne>)]
    pub(crate) max_running: Option<Option<u32>>,
    #[schema(value_type = Option<schemas::NewNameText>)]
    pub(crate) name: Option<Name>,
    /// A description for people.
    #[schema(value_type = Option<schemas::DescriptionText>)]
    pub(crate) description: Option<String>,
    /// Who sees the project without being a member: nobody (`private`), or every user (`internal`
    /// and `public`).
    #[serde(default, deserialize_with = "parse_optional")]
    #[schema(value_type = Option<schemas::Visibility>)]
    pub(crate) visibility: Option<Visibility>,
    /// Whether everybody who sees the project also sees its builds.
    pub(crate) public_builds: Option<bool>,
    /// Whether jobs are run and shown.
    pub(crate) builds_enabled: Option<bool>,
    /// Whether the project is read-only: no new builds, and no changes to existing ones.
    pub(crate) read_only: Option<bool>,
    /// The submodules that are checked out: `none`, `normal` (direct ones) or `recursive`.
    #[schema(value_type = Option<schemas::Submodules>)]
    pub(crate) submodules: Option<Submodules>,
}

/// A variable that is passed to the jobs of a project.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Variable {
    pub(crate) key: String,
    /// The value, or null if the variable is not public.
    pub(crate) value: Option<String>,
    /// Whether the value can be shown, also in traces.
    pub(crate) public: bool,
    /// Whether scripts get the value in a file, and its path in the variable.
    pub(crate) file: bool,
    pub(crate) created_at: DateTime<Utc>,
    /// What of the value is not masked in traces, in the answer to the request that sets a value that
    /// is too short to be masked. Otherwise null.
    pub(crate) warning: Option<String>,
}

/// The value of a variable.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewVariable {
    #[schema(value_type = schemas::ValueText)]
    pub(crate) value: String,
    /// Whether the value can be shown, also in traces.
    #[serde(default)]
    pub(crate) public: bool,
    /// Whether scripts get the value in a file, and its path in the variable.
    #[serde(default)]
    pub(crate) file: bool,
}

/// The secret that signs the push webhooks of a project.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewHookSecret {
    /// 16 to 1024 printable ASCII characters.
    #[schema(value_type = schemas::HookSecretText)]
    pub(crate) secret: String,
}

/// The login of a namespace at a registry, without its password.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RegistryCredential {
    /// The host of the registry, with its port if it has one.
    pub(crate) registry: String,
    pub(crate) username: String,
    pub(crate) created_at: DateTime<Utc>,
    /// What of the password is not masked in traces, in the answer to the request that sets a password
    /// that is too short to be masked. Otherwise null.
    pub(crate) warning: Option<String>,
}

/// The login to set. It replaces an earlier one for the same registry.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRegistryCredential {
    /// The host of the registry, with its port if it has one.
    #[schema(value_type = schemas::RegistryText, example = "registry.example:5000")]
    pub(crate) registry: String,
    #[schema(value_type = schemas::LoginText)]
    pub(crate) username: String,
    /// The password, or a token that is used as one.
    #[schema(value_type = schemas::ValueText)]
    pub(crate) password: String,
}

/// A registry account that pulls base images for the builds that name it, without its password.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Robot {
    /// The name in the namespace.
    pub(crate) name: String,
    /// The user name at the registry, by which builds name the robot.
    pub(crate) username: String,
    /// The host of the registry, with its port if it has one.
    pub(crate) registry: String,
    pub(crate) created_at: DateTime<Utc>,
}

/// The account of a robot at its registry.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRobot {
    /// The host of the registry, with its port if it has one.
    #[schema(value_type = schemas::RegistryText, example = "registry.example:5000")]
    pub(crate) registry: String,
    /// The password, or a token that is used as one.
    #[schema(value_type = schemas::ValueText)]
    pub(crate) password: String,
}

/// A pipeline: the graph of jobs that a project runs for a commit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Pipeline {
    pub(crate) slug: String,
    /// The jobs: `{"jobs":[{"name","stage","needs","tags","timeout_s","allow_failure","spec"}]}`.
    #[schema(value_type = Object)]
    pub(crate) definition: Definition,
    /// Whether the jobs are read from `.slipway.yml` in the repository at the commit. Commits
    /// without that file use `definition`.
    pub(crate) from_repository: bool,
    /// The number of the newest build.
    pub(crate) last_number: i64,
    pub(crate) created_at: DateTime<Utc>,
    /// The title for people.
    pub(crate) title: String,
    pub(crate) description: Option<String>,
    /// A slug that is unique in the namespace.
    pub(crate) wide_slug: String,
    /// The repository as `owner/name`, by which clients find the pipeline.
    pub(crate) repo_name: Option<String>,
    /// The slug of the pipeline inside its repository.
    pub(crate) source_slug: Option<String>,
    /// Whether users can start the pipeline.
    pub(crate) allow_manual: bool,
    /// When the pipeline was archived.
    pub(crate) archived_at: Option<DateTime<Utc>>,
}

/// The pipeline to create, with a definition, `from_repository`, or both.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPipeline {
    #[schema(value_type = schemas::SlugText)]
    pub(crate) slug: Slug,
    /// The jobs. With `from_repository`, only for commits without `.slipway.yml`.
    #[schema(value_type = Option<Object>)]
    pub(crate) definition: Option<Definition>,
    /// Whether the jobs are read from `.slipway.yml` in the repository at the commit.
    pub(crate) from_repository: Option<bool>,
}

/// Changes to the properties of a pipeline besides its jobs. Absent fields stay as they are; null
/// deletes a value.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PipelineDescription {
    /// The title for people.
    #[schema(value_type = Option<schemas::TitleText>)]
    pub(crate) title: Option<String>,
    #[serde(default, deserialize_with = "parse_nullable")]
    #[schema(value_type = Option<schemas::DescriptionText>)]
    pub(crate) description: Option<Option<String>>,
    /// The repository as `owner/name`, by which clients find the pipeline.
    #[serde(default, deserialize_with = "parse_nullable")]
    #[schema(value_type = Option<schemas::LineText>)]
    pub(crate) repo_name: Option<Option<String>>,
    /// The slug of the pipeline inside its repository.
    #[serde(default, deserialize_with = "parse_nullable")]
    #[schema(value_type = Option<schemas::LineText>)]
    pub(crate) source_slug: Option<Option<String>>,
    /// Whether users can start the pipeline.
    pub(crate) allow_manual: Option<bool>,
    /// Whether the pipeline is archived.
    pub(crate) archived: Option<bool>,
}

/// The new jobs of a pipeline: a definition, `from_repository`, or both.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PipelineChange {
    /// The jobs. With `from_repository`, only for commits without `.slipway.yml`.
    #[schema(value_type = Option<Object>)]
    pub(crate) definition: Option<Definition>,
    /// Whether the jobs are read from `.slipway.yml` in the repository at the commit. A definition
    /// alone sets it to false.
    pub(crate) from_repository: Option<bool>,
}

/// A trigger: a token that starts builds of one project.
#[derive(Serialize, ToSchema)]
pub(crate) struct Trigger {
    pub(crate) id: i64,
    pub(crate) description: String,
    pub(crate) token: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) last_used_at: Option<DateTime<Utc>>,
}

/// The trigger to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTrigger {
    #[serde(default)]
    #[schema(value_type = schemas::LineText)]
    pub(crate) description: String,
}
