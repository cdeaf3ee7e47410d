//! Runners.

use serde::Serialize;

/// A runner, in a list or as part of a build.
#[derive(Serialize)]
pub(crate) struct Runner {
    pub(crate) id: i64,
    pub(crate) description: String,
    pub(crate) active: bool,
    pub(crate) is_shared: bool,
    /// The name of the runner program.
    pub(crate) name: Option<String>,
}

/// A runner, requested by its id.
#[derive(Serialize)]
pub(crate) struct RunnerDetails {
    #[serde(flatten)]
    pub(crate) runner: Runner,
    pub(crate) tag_list: Vec<String>,
    pub(crate) run_untagged: bool,
    pub(crate) locked: bool,
    pub(crate) version: Option<String>,
    pub(crate) revision: Option<String>,
    pub(crate) platform: Option<String>,
    pub(crate) architecture: Option<String>,
    pub(crate) contacted_at: Option<String>,
    /// Always null: the farm stores only a hash of the token.
    pub(crate) token: Option<String>,
    pub(crate) projects: Vec<RunnerProject>,
}

/// A project that a runner serves.
#[derive(Serialize)]
pub(crate) struct RunnerProject {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) name_with_namespace: String,
    pub(crate) path: String,
    pub(crate) path_with_namespace: String,
}
