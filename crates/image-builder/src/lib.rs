//! Builds one image from a checkout with the Docker Engine, and pushes it.
//!
//! Here are the engine's progress in readable form, pushing, and the removal of what builds leave
//! behind. This crate knows nothing of coordinators or of git: it is given a
//! directory and a spec, and tells how it goes to a [`Progress`].

mod archive;
mod base;
mod builder;
mod buildkit;
mod cache;
mod call;
mod classic;
mod classify;
mod clean;
mod context;
mod details;
mod endpoint;
mod error;
mod export;
mod frontend;
mod given;
mod instructions;
mod limits;
mod options;
mod patience;
mod progress;
mod push;
mod request;
mod session;
mod sync;

pub use builder::{Backend, Builder};
pub use error::BuildError;
pub use export::Exported;
pub use limits::Limits;
pub use request::{BuildRequest, BuiltImage, Login, Origin, Progress, Variables};
