//! Builds, and everything below `/projects/:id/builds`.
//!
//! See `docs/protocols/gitlab-builds-v3.md#endpoints`.

mod artifacts;
mod cancel;
mod erase;
mod get;
mod list;
mod play;
mod retry;
mod trace;
