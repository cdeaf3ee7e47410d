//! The JSON objects of the consumer API v3.
//!
//! Members that the farm has no data for are there with a fixed value, because clients of GitLab 8
//! expect every member.

mod builds;
mod projects;
mod runners;
mod users;

pub(crate) use self::builds::{
    Build, BuildWithDownload, Commit, CommitDetails, CommitStatus, Pipeline, PipelineSummary,
};
pub(crate) use self::projects::{
    Access, Member, Namespace, Permissions, Project, SimpleProject, Trigger, Variable,
};
pub(crate) use self::runners::{Runner, RunnerDetails, RunnerProject};
pub(crate) use self::users::{CurrentUser, Session, User};
