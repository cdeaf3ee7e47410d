//! Builds one image from a checkout with the Docker Engine, and pushes it.
//!
//! Here are the engine's progress in readable form, pushing, and the removal of what builds leave
//! behind. This crate knows nothing of coordinators or of git: it is given a
//! directory and a spec, and tells how it goes to a [`Progress`].

mod builder;
mod buildkit;
mod classic;
mod context;
mod dockerfile;
mod engine;
mod error;
mod images;
mod limits;
mod request;

pub use builder::{Backend, Builder};
pub use error::BuildError;
pub use images::export::Exported;
pub use limits::Limits;
pub use request::{BuildRequest, BuiltImage, Login, Origin, Progress, Variables};
