//! Builds, and everything below `/projects/:id/builds`.

mod artifacts;
mod cancel;
mod erase;
mod get;
mod list;
mod play;
mod retry;
mod trace;
