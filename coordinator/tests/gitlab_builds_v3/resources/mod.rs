//! The other resources of the API: everything that clients need around builds.
//!
//! See `docs/protocols/gitlab-builds-v3.md#endpoints`.

mod commits;
mod members;
mod pipelines;
mod project_deletion;
mod projects;
mod runners;
mod sessions;
mod triggers;
mod users;
mod variables;
